"""One life of a bot that pays by the thousand, in a process of its own, until it is killed.

`python -m scripts.soak.sender` with an `Errand` as JSON on stdin. Each payment has a key and an
amount of its own. What has ended is noted in a file beside the journal; the next life goes on
behind the last payment before which everything has ended.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from toolkit.chain.heads import HeadFollower
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address, Mode
from toolkit.model.errors import ConfigError, NodeError, RejectedByNode
from toolkit.model.tx import Attempt, TransactionRequest, Urgency
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.destination import PublicNode
from toolkit.tx.handle import Sent
from toolkit.tx.scheduler import TransactionScheduler
from toolkit.tx.stages import Stage

T = TypeVar("T")

PAYEE = Address("0x" + "f1" * 20)
POLL_S = 0.05
RETRY_S = 0.05
SPEED_UP_EVERY, CANCEL_EVERY = 11, 29
"""Which payments the author hurries, and which he takes back."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What one life is to do, and when it is to die."""

    rpc_url: str
    folder: str
    keys: tuple[str, ...]
    payments: int
    window: int  # payments under way at once
    stage: str  # die at this stage; "" lives to the end
    passes: int  # how many times the stage is lived through
    patience: int  # sends after which any stage will do
    born: float  # time.monotonic() when the process was started


class Life(msgspec.Struct, kw_only=True):
    """What a life tells of itself, line by line on stdout."""

    stage: str = ""  # where it died
    first_resend_s: float | None = None
    entries: int = 0  # in the journal when it began
    done: bool = False


class Doom:
    """Kills this process the hard way when its time has come."""

    def __init__(self, errand: Errand) -> None:
        self.sends = 0
        self._errand = errand
        self._left = errand.passes

    def at(self, stage: Stage) -> None:
        """The scheduler reached a stage."""
        errand = self._errand
        if not errand.stage:
            return
        if stage.value == errand.stage:
            self._left -= 1
        if (stage.value == errand.stage and self._left < 0) or self.sends >= errand.patience:
            tell(Life(stage=stage.value))
            os.kill(os.getpid(), signal.SIGKILL)


class Watched(PublicNode):
    """The public node; notes when the first bytes leave."""

    def __init__(self, node: Node, doom: Doom, errand: Errand, entries: int) -> None:
        super().__init__(node)
        self._doom = doom
        self._errand = errand
        self._entries = entries

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Broadcast."""
        if self._doom.sends == 0:
            waited = time.monotonic() - self._errand.born
            tell(Life(first_resend_s=waited, entries=self._entries))
        self._doom.sends += 1
        await super().send(attempt, target_block=target_block)


def tell(life: Life) -> None:
    """Write a line for the parent at once."""
    sys.stdout.buffer.write(msgspec.json.encode(life) + b"\n")
    sys.stdout.buffer.flush()


class Ledger:
    """The author's own note of how each payment ended, in one file of a line each."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ends.txt"
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        # The last line may be torn.
        self.ends = {int(line.split()[0]): line.split()[1] for line in lines if line.endswith(".")}

    def note(self, payment: int, end: str) -> None:
        """Remember an end."""
        self.ends[payment] = end
        with self._path.open("a") as file:
            file.write(f"\n{payment} {end} .")


async def live(errand: Errand) -> None:
    """Go on with the errand until everything has ended, or death."""
    folder = Path(errand.folder)
    ledger, doom = Ledger(folder), Doom(errand)
    signers = [LocalSigner(key) for key in errand.keys]
    journal = Journal(SqliteBackend(folder / "journal.db"))
    async with HttpRpc(errand.rpc_url) as rpc:
        node = Node(rpc)
        scheduler = TransactionScheduler(
            node,
            signers=signers,
            journal=journal,
            oracle=GasOracle(node),
            chain_id=await patiently(node.chain_id),
            mode=Mode.DEV,
            config=SchedulerConfig(max_cost_wei=10**17, replace_after_blocks=3),
            public=Watched(node, doom, errand, journal.last_seq),
            on_stage=doom.at,
        )
        await patiently(scheduler.start)
        todo = (number for number in range(errand.payments) if number not in ledger.ends)

        async def clerk() -> None:
            for payment in todo:
                ledger.note(payment, await _pay(scheduler, signers, payment))

        async with asyncio.TaskGroup() as life:  # a follower that dies is no silence
            follower = life.create_task(_follow(scheduler, HeadFollower(node)))
            async with asyncio.TaskGroup() as clerks:
                for _ in range(errand.window):
                    clerks.create_task(clerk())
            follower.cancel()
        await scheduler.close()
        await journal.close()
    tell(Life(done=True))


async def _pay(scheduler: TransactionScheduler, signers: list[LocalSigner], payment: int) -> str:
    signer = signers[payment % len(signers)]
    request = TransactionRequest(to=PAYEE, value=payment + 1, gas=21_000, sender=signer.address)

    async def send() -> Sent:
        return await scheduler.send(
            request, idempotency_key=f"pay-{payment}", simulate=False, urgency=Urgency.NEXT_BLOCK
        )

    try:
        sent = await patiently(send)
        if payment % CANCEL_EVERY == CANCEL_EVERY - 1:
            await sent.cancel()
        elif payment % SPEED_UP_EVERY == SPEED_UP_EVERY - 1:
            with suppress(ConfigError):  # it was mined in the meantime: nothing to hurry
                await patiently(sent.speed_up)
        outcome = await sent.wait(confirmations=4)
    except RejectedByNode as refused:
        return type(refused).__name__
    return type(outcome).__name__


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the node answers; a closed connection is nothing to die of."""
    while True:
        try:
            return await ask()
        except NodeError:
            await asyncio.sleep(RETRY_S)


async def _follow(scheduler: TransactionScheduler, heads: HeadFollower) -> None:
    while True:
        change = await patiently(heads.poll)
        if change is not None:
            await patiently(partial(scheduler.on_head, change))
        await asyncio.sleep(POLL_S)


def main() -> None:
    """Live one life."""
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    asyncio.run(live(errand))


if __name__ == "__main__":
    main()
