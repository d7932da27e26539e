"""F38: a process that is told to stop, with transactions under way and a node that hangs."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.model.chain import Address
from toolkit.model.tx import Confirmed, TransactionRequest, Visibility
from toolkit.session import connect

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OTHER = Address("0x" + "22" * 20)
PAY = TransactionRequest(to=OTHER, value=7)
MOST_S = 2.0

_LIFE = """
import asyncio, signal, sys
from tests.test_session_ending import KEY, PAY
from toolkit.chain.signer import LocalSigner
from toolkit.model.tx import Visibility
from toolkit.session import connect
from toolkit.tx.destination import PublicNode

async def hang(self, attempt, *, target_block):
    if attempt.signed.unsigned.nonce == 1:
        print("hanging", flush=True)
        await asyncio.Event().wait()
    await self._node.send_raw(attempt.signed.raw)

PublicNode.send = hang

async def main():
    task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with connect(sys.argv[1], signer=LocalSigner(KEY), journal=sys.argv[2]) as session:
        for key in "ab":
            await session.send(PAY, visibility=Visibility.PUBLIC, idempotency_key=key)

try:
    asyncio.run(main())
except asyncio.CancelledError:
    sys.exit(0)
"""


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with await start_anvil(["--no-mining"]) as process:
        yield process


async def test_a_process_that_is_told_to_stop_stops_and_the_next_goes_on(
    anvil: Anvil, tmp_path: Path
) -> None:
    """It ends within two seconds though a node hangs; what it had accepted is mined once."""
    path = tmp_path / "journal.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LIFE, anvil.url, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"hanging\n" == await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert 0 == await asyncio.wait_for(process.wait(), MOST_S)

    async with connect(anvil.url, signer=LocalSigner(KEY), journal=path) as session:
        sent = [
            await session.send(PAY, visibility=Visibility.PUBLIC, idempotency_key=key)
            for key in "ab"
        ]
        await session.node.rpc.call("evm_mine")
        await session.advance()
        outcomes = [await one.wait() for one in sent]

        assert all(isinstance(outcome, Confirmed) for outcome in outcomes)
        assert 14 == await session.node.balance(OTHER)
        assert 2 == await session.node.nonce(LocalSigner(KEY).address)
