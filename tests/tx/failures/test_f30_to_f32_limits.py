"""Failure cases of what a pool takes from one account: blobs beside others, code, how many."""

import asyncio
from typing import Any

import pytest
from eth_account import Account

from tests.tx.failures.bot import CHAIN_ID, FRIEND, GWEI, Bot, open_bot, payment
from toolkit.devnet.pooled import PooledTransaction, pooled
from toolkit.model.errors import AccountLimit, AlreadyReserved, ConfigError
from toolkit.model.tx import Confirmed

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
DEAR = 100 * GWEI  # a base fee at which nothing of ours is mined


async def blob_by_hand(bot: Bot) -> PooledTransaction:
    """The same key sends a blob from elsewhere, which pays too little to be mined."""
    fields: dict[str, Any] = {
        "type": 3,
        "chainId": CHAIN_ID,
        "nonce": 0,
        "to": bytes.fromhex(FRIEND[2:]),
        "value": 0,
        "data": "0x",
        "gas": 21_000,
        "maxFeePerGas": GWEI,
        "maxPriorityFeePerGas": GWEI,
        "maxFeePerBlobGas": GWEI,
        "blobVersionedHashes": ["0x01" + "00" * 31],
    }
    key = bot.node.accounts[0].key
    raw = bytes(Account.from_key(key).sign_transaction(fields).raw_transaction).hex()
    await bot.reader().send_raw(f"0x{raw}")
    return pooled(f"0x{raw}")


@PROFILES
async def test_f30_a_blob_of_the_same_key_is_pending(profile: str) -> None:
    """Nothing is sent across it: the lane says what it waits for, and goes on once it is gone."""
    async with open_bot(profile) as bot:
        await bot.set_base_fee(DEAR)
        blob = await blob_by_hand(bot)
        with pytest.raises(ConfigError, match="type 3 is not supported: a pool takes blobs"):
            await bot.scheduler.send(payment(1, type=3))
        sent = [await bot.scheduler.send(payment(10**n)) for n in range(3)]
        waiting = sent[0].status().waiting_for
        await bot.seal(4, base_fee_wei=DEAR)
        held = [each.hash for each in bot.node.pool.pending() + bot.node.pool.queued()]
        tried = bot.public.log[:]
        await bot.rpc.call("anvil_dropTransaction", (blob.hash,))
        outcomes = await bot.settle(sent, base_fee_wei=GWEI)

        assert [blob.hash] == held
        assert "a blob transaction of this account is pending" in waiting
        assert {(0, AlreadyReserved)} == {(each.nonce, type(each.error)) for each in tried}
        assert len(tried) <= 5  # at each head once, and never for a higher fee
        assert 1 == len({each.tx_hash for each in tried})
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert (3, 111) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f31_the_sender_becomes_delegated(profile: str) -> None:
    """An account that gets code (EIP-7702) has one in flight from then on, and none fails."""
    async with open_bot(profile) as bot:
        first = [await bot.scheduler.send(payment(10**n)) for n in range(3)]
        await bot.settle(first)
        code = "0xef0100" + FRIEND.removeprefix("0x")
        await bot.rpc.call("anvil_setCode", (bot.address, code))
        sent = [await bot.scheduler.send(payment(10**n)) for n in range(3, 8)]
        refused = {type(each.error) for each in bot.public.log if each.error}
        await bot.seal()
        seen, waiting = len(bot.public.refusals()), sent[2].status().waiting_for
        later = [await bot.scheduler.send(payment(10**8))]
        outcomes = await bot.settle(sent + later)

        blocks = [each.block_number for each in outcomes if isinstance(each, Confirmed)]
        assert {AccountLimit} == refused
        assert "EIP-7702" in waiting
        assert seen == len(bot.public.refusals())  # known by then: nothing is refused again
        assert 6 == len(set(blocks))  # one in each block
        assert list(range(3, 9)) == [(await bot.mined(each))[0] for each in outcomes]
        assert (9, 111_111_111) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f32_a_hundred_pending_of_one_key(profile: str) -> None:
    """No more than 16 are in the pool at any time, the others wait here, and their order holds."""
    async with open_bot(profile) as bot:
        sent = list(await asyncio.gather(*(bot.scheduler.send(payment(1 + n)) for n in range(96))))
        await bot.set_base_fee(DEAR)
        most, waiting = [], []
        for _ in range(2):
            await bot.seal(base_fee_wei=DEAR)
        for _ in range(6):
            (lane,) = bot.scheduler.statistics().lanes
            most.append(len(bot.node.pool))
            waiting.append(lane.queued)
            await bot.seal(base_fee_wei=GWEI)
        outcomes = [await each.wait() for each in sent]

        assert [16] * 6 == most
        assert [80, 64, 48, 32, 16, 0] == waiting
        assert [] == bot.public.refusals()
        assert [(n, 1 + n) for n in range(96)] == [await bot.mined(each) for each in outcomes]
        assert 96 == await bot.chain_nonce()
