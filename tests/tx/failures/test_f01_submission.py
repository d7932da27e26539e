import asyncio

import pytest

from tests.tx.failures.bot import open_bot, payment
from toolkit.model.tx import Confirmed

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])


@PROFILES
async def test_f01_a_hundred_concurrent_sends_of_one_key(profile: str) -> None:
    """100 sends at once of one key: each nonce once, in the order of the calls."""
    async with open_bot(profile) as bot:
        sent = await asyncio.gather(*(bot.scheduler.send(payment(1 + n)) for n in range(100)))
        outcomes = await bot.settle(sent)

        spent = [await bot.mined(each) for each in outcomes]
        assert all(isinstance(each, Confirmed) for each in outcomes)
        assert [(n, 1 + n) for n in range(100)] == spent  # in the order of the calls
        assert 100 == await bot.chain_nonce()
        assert [] == bot.public.refusals()
