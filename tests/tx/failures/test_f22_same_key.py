"""The same idempotency key again: at once, later, and after a restart."""

import asyncio

import pytest

from tests.tx.failures.bot import open_bot, payment
from toolkit.model.errors import IdempotencyConflict
from toolkit.model.tx import Confirmed

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])


@PROFILES
async def test_f22_one_key_is_one_transaction(profile: str) -> None:
    """Ten callers at once, ten after a restart and ten after the end hold one transaction."""
    async with open_bot(profile) as bot:
        handles = []
        for _ in range(2):
            sends = (bot.scheduler.send(payment(7), idempotency_key="rent") for _ in range(10))
            handles += await asyncio.gather(*sends)
            await bot.stop()
            await bot.start()
        again = await bot.scheduler.send(payment(7), idempotency_key="rent")
        (outcome,) = await bot.settle([again])
        late = [await bot.scheduler.send(payment(7), idempotency_key="rent") for _ in range(10)]
        ends = [await one.wait() for one in late]
        with pytest.raises(
            IdempotencyConflict, match=f"'rent' already stands for {again.request_id}"
        ):
            await bot.scheduler.send(payment(8), idempotency_key="rent")

        assert {again.request_id} == {one.request_id for one in (*handles, *late)}
        assert isinstance(outcome, Confirmed)
        assert [outcome] * 10 == ends
        assert (1, 7, 1) == (await bot.chain_nonce(), await bot.received(), len(bot.public.bids()))
