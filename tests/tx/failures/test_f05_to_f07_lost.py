"""Failure cases of a pool that forgets: one transaction, all of them, the head of the line."""

import asyncio

import pytest

from tests.tx.failures.bot import GWEI, Bot, open_bot, payment
from toolkit.model.tx import Confirmed
from toolkit.tx.handle import Sent

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
DEAR = 100 * GWEI  # a base fee at which nothing of ours is mined


async def in_flight(bot: Bot, count: int) -> list[Sent]:
    """Requests that wait in the pool: the next block is too dear for them."""
    sent = await asyncio.gather(*(bot.scheduler.send(payment()) for _ in range(count)))
    await bot.set_base_fee(DEAR)
    return list(sent)


@PROFILES
async def test_f05_a_dropped_transaction_comes_back(profile: str) -> None:
    """What the pool dropped is there again with the same bytes one head later, and mined."""
    async with open_bot(profile) as bot:
        (sent,) = await in_flight(bot, 1)
        (first,) = bot.public.hashes(0)
        await bot.rpc.call("anvil_dropTransaction", (first,))
        gone = bot.node.pool.get(first)
        await bot.seal()
        back = bot.node.pool.get(first)
        (outcome,) = await bot.settle([sent], base_fee_wei=GWEI)

        assert gone is None
        assert back is not None
        assert isinstance(outcome, Confirmed)
        assert (first, [first]) == (outcome.tx_hash, bot.public.hashes(0))
        assert 1 == await bot.received()


@PROFILES
async def test_f06_the_whole_pool_is_lost(profile: str) -> None:
    """After a node's restart everything in flight is sent again, in nonce order."""
    async with open_bot(profile) as bot:
        sent = await in_flight(bot, 16)
        before = [bot.public.hashes(nonce) for nonce in range(16)]
        await bot.rpc.call("anvil_dropAllTransactions")
        lost, seen = len(bot.node.pool), len(bot.public.log)
        await bot.seal()
        again = [each.nonce for each in bot.public.log[seen:]]
        outcomes = await bot.settle(sent, base_fee_wei=GWEI)

        assert 0 == lost
        assert list(range(16)) == again
        assert before == [bot.public.hashes(nonce) for nonce in range(16)]
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert (16, 16) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f07_the_lowest_nonce_is_lost_and_later_ones_stay_queued(profile: str) -> None:
    """The head of the line comes back first, and what hangs on it is not bid up."""
    async with open_bot(profile) as bot:
        sent = await in_flight(bot, 5)
        (lowest,) = bot.public.hashes(0)
        await bot.rpc.call("anvil_dropTransaction", (lowest,))
        seen = len(bot.public.log)
        queued = [each.nonce for each in bot.node.pool.queued(bot.address)]
        await bot.seal(2, base_fee_wei=DEAR)
        first_again = bot.public.log[seen].nonce
        outcomes = await bot.settle(sent, base_fee_wei=GWEI)

        assert [1, 2, 3, 4] == queued
        assert 0 == first_again
        assert len(bot.public.hashes(0)) > 1  # the market asked for more: the head bids it
        assert [1, 1, 1, 1] == [len(bot.public.hashes(nonce)) for nonce in range(1, 5)]
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert (5, 5) == (await bot.chain_nonce(), await bot.received())
