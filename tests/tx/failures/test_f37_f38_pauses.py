"""Failure cases of a process that is stopped for ten minutes, or told to end amid its work."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.tx.failures.bot import CHAIN_ID, FRIEND, GWEI, bot_on, payment
from tests.tx.failures.lives import Life, Place, serves, until, waits
from toolkit.chain.signer import decode_transaction
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.journal.sqlite import read_entries
from toolkit.model.tx import Confirmed
from toolkit.tx.events import KIND_OF, Observed, Prepared

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
SEND = "eth_sendRawTransaction"
PAUSE_BLOCKS = 20
BLOCK_S = 0.05


def attempts(path: Path) -> list[int]:
    """The nonce of every attempt in a journal."""
    entries = read_entries(path, KIND_OF[Prepared])
    raws = [json.loads(entry.data)["signed"]["raw"] for entry in entries]
    return sorted(decode_transaction(raw).unsigned.nonce for raw in raws)


def seen(path: Path) -> list[int]:
    """The blocks that its writer has looked at."""
    return [json.loads(each.data)["block"] for each in read_entries(path, KIND_OF[Observed])]


async def seal(node: StrictNode, count: int, *, base_fee_wei: int, rise_wei: int = 0) -> None:
    """Mine blocks, each of which is dearer than the one before it by `rise_wei`."""
    for number in range(count):
        fee = base_fee_wei + number * rise_wei
        await node.node.rpc.call("anvil_setNextBlockBaseFeePerGas", (hex(fee),))
        await node.seal()


async def paid(node: StrictNode) -> tuple[int, int]:
    """The account's count, and what its friend has."""
    return await node.node.nonce(node.accounts[0].address), await node.node.balance(FRIEND)


@PROFILES
async def test_f37_a_process_that_was_stopped_for_ten_minutes(profile: str, tmp_path: Path) -> None:
    """Deadlines count blocks, not the clock; twenty dear blocks lead to one bump, not to ten."""
    path = tmp_path / "j.db"
    async with open_strict_node(profile=profile, chain_id=CHAIN_ID) as node:
        place = Place(node.rpc_url, path, node.accounts[0].key)
        async with Life(waits, place) as life:
            assert "sent" == await life.hear()
            life.signal(signal.SIGSTOP)
            await life.stopped()
            await node.node.rpc.call("evm_increaseTime", (600,))
            await seal(node, PAUSE_BLOCKS, base_fee_wei=20 * GWEI, rise_wei=5 * GWEI)
            paused = attempts(path)
            life.signal(signal.SIGCONT)
            await until(lambda: node.head.number in seen(path))
            # Its deadline has passed: what it cancels is to be out before cheap blocks come.
            await until(lambda: any(one.to == one.sender for one in node.pool.pending()))
            awake, looked = attempts(path), seen(path)
            while not life.has_spoken:
                await seal(node, 1, base_fee_wei=GWEI)
                await asyncio.sleep(BLOCK_S)  # it follows by itself
            ends = await life.hear()
            assert 0 == await life.ended()

        assert [0, 1] == paused
        assert len({block for block in looked if block > 0}) <= 2  # the newest, not all twenty
        assert len(awake) <= 4
        assert awake.count(0) <= 2
        assert ["Confirmed", "Expired"] == ends
        assert (2, 3) == await paid(node)
        assert len(attempts(path)) <= 5


@pytest.mark.parametrize("handler", ["dies", "cancels"])
@PROFILES
async def test_f38_told_to_end_amid_its_work(profile: str, handler: str, tmp_path: Path) -> None:
    """SIGTERM while the node keeps its answer to itself: it ends, and the next one goes on."""
    path = tmp_path / "j.db"
    async with open_strict_node(profile=profile, chain_id=CHAIN_ID) as node:
        place = Place(node.rpc_url, path, node.accounts[0].key)
        async with Life(serves, place, handler) as life:
            assert "ready" == await life.hear()
            node.faults.next(SEND, "timeout_after_accept")
            life.tell("go")
            await until(lambda: len(node.pool) == 2)
            life.signal(signal.SIGTERM)
            code = await life.ended()
        left = attempts(path)
        node.faults.clear()

        async with bot_on(node, journal=path) as bot:
            went_on = bot.scheduler.statistics().open
            sent = [
                await bot.scheduler.send(payment(value), idempotency_key=key)
                for value, key in ((3, "a"), (5, "b"))
            ]
            outcomes = await bot.settle(sent)

        assert (0 if handler == "cancels" else -signal.SIGTERM) == code
        assert [0, 1] == left == attempts(path)
        assert 2 == went_on
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert (2, 3 + 5) == await paid(node)
