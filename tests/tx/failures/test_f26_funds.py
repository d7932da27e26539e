"""Failure case of an account that runs out of money with requests under way."""

import pytest

from tests.tx.failures.bot import GWEI, Bot, Market, open_bot, payment
from toolkit.model.tx import Confirmed

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
CAP = 10 * GWEI
COST = 21_000 * CAP  # of one payment, at worst
RICH = 10**20


async def set_balance(bot: Bot, wei: int) -> None:
    await bot.rpc.call("anvil_setBalance", (bot.address, hex(wei)))


@PROFILES
async def test_f26_funds_for_three_of_six_requests(profile: str) -> None:
    """The fourth waits and says why, without a nonce; with money all go on, at their fees."""
    async with open_bot(profile, oracle=Market(CAP, GWEI)) as bot:
        await set_balance(bot, 3 * COST + COST // 2)
        await bot.seal()
        sent = [await bot.scheduler.send(payment(1)) for _ in range(6)]
        nonces = [each.status().nonce for each in sent]
        waiting = sent[3].status().waiting_for
        await bot.seal(3, base_fee_wei=2 * CAP)  # nothing is mined meanwhile
        handed = {each.tx_hash for each in bot.public.log}
        await set_balance(bot, RICH)
        outcomes = await bot.settle(sent, base_fee_wei=GWEI)

        assert [0, 1, 2, None, None, None] == nonces
        assert "insufficient funds" in waiting
        assert 3 == len(handed)  # no bump meanwhile
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert [1] * 6 == [len(bot.public.hashes(nonce)) for nonce in range(6)]
        assert [] == bot.public.refusals()
        assert (6, 6) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f26_the_account_is_emptied_while_requests_are_in_flight(profile: str) -> None:
    """What the pool gave up for want of funds comes back with them, byte for byte."""
    async with open_bot(profile, oracle=Market(CAP, GWEI)) as bot:
        sent = [await bot.scheduler.send(payment(1)) for _ in range(3)]
        await bot.set_base_fee(2 * CAP)
        await set_balance(bot, COST // 2)
        await bot.seal(3, base_fee_wei=2 * CAP)
        (lane,) = bot.scheduler.statistics().lanes
        await set_balance(bot, RICH)
        outcomes = await bot.settle(sent, base_fee_wei=GWEI)

        assert "insufficient funds" in lane.waiting
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert [1] * 3 == [len(bot.public.hashes(nonce)) for nonce in range(3)]
        assert (3, 3) == (await bot.chain_nonce(), await bot.received())
