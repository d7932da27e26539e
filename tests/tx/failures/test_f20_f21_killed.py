"""Failure cases of a process that dies amid its work, and of the journal it leaves behind."""

import json
import signal
from pathlib import Path

import pytest

from tests.tx.failures.bot import CHAIN_ID, bot_on, payment
from tests.tx.failures.lives import Life, Place, dies, fills
from toolkit.chain.signer import decode_transaction
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.journal.sqlite import read_entries
from toolkit.journal.verification import verify_file
from toolkit.model.tx import Confirmed
from toolkit.tx.events import KIND_OF, Prepared
from toolkit.tx.stages import Stage

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])


def journalled(path: Path) -> dict[str, int]:
    """Every attempt's hash in a journal, with its nonce."""
    entries = read_entries(path, KIND_OF[Prepared])
    raws = [json.loads(entry.data)["signed"]["raw"] for entry in entries]
    signed = [decode_transaction(raw) for raw in raws]
    return {one.hash: one.unsigned.nonce for one in signed}


async def with_node(node: StrictNode) -> set[str]:
    """Every hash that the node was ever given and has not lost."""
    pooled: set[str] = {each.hash for each in (*node.pool.pending(), *node.pool.queued())}
    for number in range(1, node.head.number + 1):
        block = await node.node.rpc.call("eth_getBlockByNumber", (hex(number), False))
        pooled |= set(block["transactions"])
    return pooled


@PROFILES
async def test_f20_killed_at_every_stage(profile: str, tmp_path: Path) -> None:
    """Wherever SIGKILL strikes, the next process pays once, at the same nonce, and tells it once.

    The stages are the code's own list: one account and one journal for each of them.
    """
    stages = list(Stage)
    async with open_strict_node(profile=profile, chain_id=CHAIN_ID, accounts=len(stages)) as node:
        for number, stage in enumerate(stages):
            path = tmp_path / f"{stage.value}.db"
            key = node.accounts[number].key
            async with Life(dies, Place(node.rpc_url, path, key), stage.value) as life:
                assert -signal.SIGKILL == await life.ended(), stage
            before = journalled(path) if path.exists() else {}

            async with bot_on(node, account=number, journal=path) as bot:
                resent = bot.public.hashes(0)
                sent = await bot.scheduler.send(payment(1), idempotency_key="pay-0")
                await bot.seal()
                outcome = await sent.wait()

                assert isinstance(outcome, Confirmed), stage
                assert 1 == await bot.chain_nonce(), stage
                assert number + 1 == await bot.received(), stage
            assert set(resent) <= before.keys(), stage
            assert before.items() <= journalled(path).items(), stage
            assert {0} == set(journalled(path).values()), stage


@PROFILES
async def test_f21_the_journals_tail_is_torn(profile: str, tmp_path: Path) -> None:
    """What was written whole is recovered; what was not was never sent, and is sent once."""
    path = tmp_path / "j.db"
    async with open_strict_node(profile=profile, chain_id=CHAIN_ID) as node:
        place = Place(node.rpc_url, path, node.accounts[0].key)
        async with Life(dies, place, Stage.DURABLE.value, 2) as life:
            assert -signal.SIGKILL == await life.ended()
        whole = journalled(path)
        tail = path.with_name("j.db-wal")
        tail.write_bytes(tail.read_bytes()[:-1])
        prefix = journalled(path)

        async with bot_on(node, journal=path) as bot:
            sent = [
                await bot.scheduler.send(payment(1), idempotency_key=f"pay-{number}")
                for number in range(2)
            ]
            outcomes = await bot.settle(sent)

            assert all(isinstance(each, Confirmed) for each in outcomes)
            assert (2, 2) == (await bot.chain_nonce(), await bot.received())
        assert ({0, 1}, {0}) == (set(whole.values()), set(prefix.values()))
        assert await with_node(node) <= journalled(path).keys()
        assert verify_file(path).entries


@PROFILES
async def test_f21_the_disk_is_full(profile: str, tmp_path: Path) -> None:
    """Nothing leaves that the disk refused; with room again the next process ends all of it."""
    path = tmp_path / "j.db"
    async with open_strict_node(profile=profile, chain_id=CHAIN_ID) as node:
        place = Place(node.rpc_url, path, node.accounts[0].key)
        async with Life(fills, place, 200_000) as life:
            said = await life.hear()
            assert isinstance(said, tuple)
            promised, error = said
            assert 0 == await life.ended()
        durable, out = journalled(path), await with_node(node)

        async with bot_on(node, journal=path) as bot:
            await bot.seal(3)
            nonces = await bot.chain_nonce()

            assert 0 == bot.scheduler.statistics().open
            assert nonces == await bot.received()
        assert "cannot write entry" in error
        assert len(promised) > 8
        assert set(promised) <= durable.keys()
        assert out <= durable.keys()
        assert list(range(nonces)) == sorted(set(durable.values()))
