"""SIGKILL wherever the code says that a process may die; the next process pays exactly once."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address, HeadChange, Mode
from toolkit.model.tx import Confirmed, TransactionRequest
from toolkit.model.units import ether
from toolkit.tx.scheduler import PublicNode, SchedulerConfig, TransactionScheduler
from toolkit.tx.stages import Stage

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
FRIEND = Address("0x" + "f1" * 20)
PAYMENT = TransactionRequest(to=FRIEND, value=1)

_LIFE = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.tx.test_kills import PAYMENT, opened
from toolkit.chain.rpc import HttpRpc
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import HeadChange
from toolkit.tx import scheduler
from toolkit.tx.stages import Stage

url, path, deadly = sys.argv[1:]
scheduler.CHECKPOINT_ENTRIES = scheduler.ENTRIES_A_REQUEST = 1
armed = False

def on_stage(stage):
    if armed and stage is Stage(deadly):
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    global armed
    async with HttpRpc(url) as rpc, opened(rpc, Path(path), on_stage) as scheduler:
        armed = True
        sent = await scheduler.send(PAYMENT, idempotency_key="pay")
        await sent.speed_up()
        await rpc.call("evm_mine")
        await scheduler.on_head(HeadChange(added=()))

asyncio.run(main())
"""


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with await start_anvil(["--no-mining"]) as process:
        yield process


@asynccontextmanager
async def opened(
    rpc: HttpRpc, path: Path, on_stage: Callable[[Stage], None] | None = None
) -> AsyncIterator[TransactionScheduler]:
    node, journal = Node(rpc), Journal(SqliteBackend(path))
    scheduler = TransactionScheduler(
        node,
        signers=[LocalSigner(KEY)],
        journal=journal,
        oracle=GasOracle(node),
        chain_id=31337,
        mode=Mode.DEV,
        config=SchedulerConfig(max_cost_wei=ether("0.5")),
        public=PublicNode(node),
        on_stage=on_stage,
    )
    await scheduler.start()
    yield scheduler
    await scheduler.close()
    await journal.close()


@pytest.mark.parametrize("stage", list(Stage))
async def test_a_killed_process_pays_exactly_once(
    anvil: Anvil, tmp_path: Path, stage: Stage
) -> None:
    """Whatever was done by then, a restart with the same key leads to one payment, told once."""
    path = tmp_path / "j.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LIFE, anvil.url, str(path), stage.value
    )
    assert -signal.SIGKILL == await process.wait()

    async with HttpRpc(anvil.url) as rpc, opened(rpc, path) as scheduler:
        sent = await scheduler.send(PAYMENT, idempotency_key="pay")
        await rpc.call("evm_mine")
        await scheduler.on_head(HeadChange(added=()))
        outcome = await sent.wait()
        node = Node(rpc)
        paid, spent = await node.balance(FRIEND), await node.nonce(LocalSigner(KEY).address)

    assert isinstance(outcome, Confirmed)
    assert (1, 1) == (paid, spent)
