"""Processes that send, and are killed, stopped, asked to end, or run out of disk.

They are forked from a server that has everything imported, so that a life costs milliseconds.
Each is told the node's address, where its journal is, and its key.
"""

import asyncio
import multiprocessing
import os
import resource
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.tx.failures.bot import CHAIN_ID, payment
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Hash, HeadChange, Mode
from toolkit.model.errors import JournalUnavailable
from toolkit.model.tx import Visibility
from toolkit.model.units import ether
from toolkit.session import connect
from toolkit.tx import scheduler as scheduler_module
from toolkit.tx.destination import PublicNode
from toolkit.tx.scheduler import SchedulerConfig, TransactionScheduler
from toolkit.tx.stages import Stage

_JOIN_S = 30
_LOOK_S = 0.02
_MOST_PAYMENTS = 500
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


async def until(came: Callable[[], bool]) -> None:
    """Look again and again whether another process has got that far."""
    while not came():  # noqa: ASYNC110 - it cannot set our events
        await asyncio.sleep(_LOOK_S)


class Place(NamedTuple):
    """Where a process works, and with which key."""

    url: str
    journal: Path
    key: str


class Life:
    """A process at work, and the line to it; it is over with the context."""

    def __init__(self, work: Callable[..., None], place: Place, *words: object) -> None:
        self._line, far = _SERVER.Pipe()
        self._process: BaseProcess = _SERVER.Process(target=work, args=(place, far, *words))
        self._process.start()
        far.close()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    async def stopped(self) -> None:
        """Wait until it stands still."""
        await until(lambda: self._state() == "T")

    def _state(self) -> str:
        # What follows the program's name, which may hold anything, in brackets.
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def tell(self, word: str) -> None:
        """Say something to it."""
        self._line.send(word)

    async def hear(self) -> object:
        """Wait for what it says next."""
        return await asyncio.to_thread(self._line.recv)

    @property
    def has_spoken(self) -> bool:
        """Whether there is something to hear."""
        return self._line.poll()

    async def ended(self) -> int | None:
        """Wait for its end; its exit code, None if it did not come in half a minute."""
        await asyncio.to_thread(self._process.join, _JOIN_S)
        return self._process.exitcode

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._line.close()


@asynccontextmanager
async def _scheduler(
    place: Place, on_stage: Callable[[Stage], None] | None = None
) -> AsyncIterator[tuple[HttpRpc, TransactionScheduler]]:
    async with HttpRpc(place.url) as rpc:
        node, journal = Node(rpc), Journal(SqliteBackend(place.journal))
        scheduler = TransactionScheduler(
            node,
            signers=[LocalSigner(place.key)],
            journal=journal,
            oracle=GasOracle(node),
            chain_id=CHAIN_ID,
            mode=Mode.DEV,
            config=SchedulerConfig(max_cost_wei=ether("0.5")),
            public=PublicNode(node),
            on_stage=on_stage,
        )
        await scheduler.start()
        yield rpc, scheduler
        await scheduler.close()
        with suppress(JournalUnavailable):
            await journal.close()


async def _mine(rpc: HttpRpc, scheduler: TransactionScheduler) -> None:
    await rpc.call("evm_mine")
    await scheduler.on_head(HeadChange(added=()))


def dies(place: Place, _: Connection, stage: str, payments: int = 1) -> None:
    """Pay once for each number, and be killed at this stage of the last of them."""
    scheduler_module.CHECKPOINT_ENTRIES = scheduler_module.ENTRIES_A_REQUEST = 1
    armed: Counter[bool] = Counter()

    def on_stage(reached: Stage) -> None:
        if armed[True] and reached is Stage(stage):
            os.kill(os.getpid(), signal.SIGKILL)

    async def live() -> None:
        async with _scheduler(place, on_stage) as (rpc, scheduler):
            for number in range(payments):
                armed[True] += number == payments - 1
                sent = await scheduler.send(payment(1), idempotency_key=f"pay-{number}")
                await sent.speed_up()
                await _mine(rpc, scheduler)

    asyncio.run(live())


def fills(place: Place, line: Connection, most_bytes: int) -> None:
    """Pay until the disk takes no more; say what was promised, and by which error it ended."""

    async def live() -> None:
        async with _scheduler(place) as (rpc, scheduler):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            promised: list[Hash | None] = []
            try:
                while len(promised) < _MOST_PAYMENTS:
                    sent = await scheduler.send(payment(1))
                    promised.append(sent.tx_hash)
                    if len(promised) % 8 == 0:
                        await _mine(rpc, scheduler)
            except JournalUnavailable as error:
                line.send((promised, str(error)))
            else:
                line.send((promised, ""))

    asyncio.run(live())


def waits(place: Place, line: Connection) -> None:
    """Send one with a far deadline and one with a near one, in blocks; say how each ended."""

    async def live() -> None:
        async with connect(
            place.url, signer=LocalSigner(place.key), journal=place.journal
        ) as session:
            sent = [
                await session.send(
                    payment(value), deadline_blocks=blocks, visibility=Visibility.PUBLIC
                )
                for value, blocks in ((3, 100), (5, 5))
            ]
            line.send("sent")
            ends = [type(await each.wait()).__name__ for each in sent]
        line.send(ends)

    asyncio.run(live())


def serves(place: Place, line: Connection, handler: str) -> None:
    """Pay 3, and on a word 5; with a handler of SIGTERM end in order, else as the system does."""

    async def live() -> None:
        work = asyncio.current_task()
        assert work is not None
        if handler == "cancels":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        async with connect(
            place.url, signer=LocalSigner(place.key), journal=place.journal, timeout_s=600
        ) as session:
            await session.send(payment(3), idempotency_key="a", visibility=Visibility.PUBLIC)
            line.send("ready")
            await asyncio.to_thread(line.recv)
            await session.send(payment(5), idempotency_key="b", visibility=Visibility.PUBLIC)

    with suppress(asyncio.CancelledError):
        asyncio.run(live())
