"""Failure cases of payloads: they revert, their revert reads like something else, too much gas."""

import pytest

from tests.tx.failures.bot import FRIEND, Bot, open_bot, payment
from tests.tx.failures.contracts import ACCEPTING, hungry, reverting
from toolkit.model.errors import CallReverted, GasLimitTooHigh
from toolkit.model.tx import Confirmed, Reverted

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])


async def set_code(bot: Bot, code: str) -> None:
    await bot.rpc.call("anvil_setCode", (FRIEND, code))


@PROFILES
async def test_f27_a_payload_that_always_reverts(profile: str) -> None:
    """Known before, it fails without a nonce; found out later, it is reported and others go on."""
    async with open_bot(profile) as bot:
        await set_code(bot, reverting("closed"))
        with pytest.raises(CallReverted, match="closed"):
            await bot.scheduler.send(payment(1))
        unused = bot.public.log[:]
        await set_code(bot, ACCEPTING)
        late = await bot.scheduler.send(payment(3))
        await set_code(bot, reverting("sold out"))
        (failed,) = await bot.settle([late])
        await set_code(bot, ACCEPTING)
        (after,) = await bot.settle([await bot.scheduler.send(payment(5))])

        assert [] == unused
        assert isinstance(failed, Reverted)
        assert "sold out" in failed.reason
        assert isinstance(after, Confirmed)
        assert [0, 1] == [late.status().nonce, (await bot.mined(after))[0]]
        assert (2, 5) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f28_a_revert_whose_text_quotes_a_pool(profile: str) -> None:
    """A contract may say "nonce too low": that is a revert, before sending and after."""
    texts = [
        "nonce too low",
        "nonce too high",
        "already known",
        "insufficient balance",
        "insufficient funds for gas * price + value",
        "replacement transaction underpriced",
        "txpool is full",
    ]
    async with open_bot(profile) as bot:
        for text in texts:
            await set_code(bot, reverting(text))
            with pytest.raises(CallReverted) as caught:
                await bot.scheduler.send(payment(1))
            with pytest.raises(CallReverted, match=text[:12]):
                await bot.scheduler.send(payment(1, gas=60_000))
            assert text == caught.value.reason
        assert [] == bot.public.log
        sent = [await bot.scheduler.send(payment(1, gas=60_000), simulate=False) for _ in texts]
        outcomes = await bot.settle(sent)

        assert all(isinstance(each, Reverted) for each in outcomes)
        assert {texts[-1]} == {each.reason for each in outcomes if isinstance(each, Reverted)}
        assert (len(texts), 0) == (await bot.chain_nonce(), await bot.received())


@pytest.mark.parametrize(
    ("block_gas_limit", "words", "stated"),
    [
        (30_000_000, 94_000, None),  # an estimate above 2**24 = 16,777,216 (EIP-7825)
        (30_000_000, 1, 2**24 + 1),
        (8_000_000, 1, 8_000_001),
    ],
    ids=["estimated above 2**24", "stated above 2**24", "above the block's"],
)
@PROFILES
async def test_f29_more_gas_than_fits(
    profile: str, block_gas_limit: int, words: int, stated: int | None
) -> None:
    """Above the cap of a transaction or a block it is refused by its figures, without a nonce."""
    async with open_bot(profile, block_gas_limit=block_gas_limit) as bot:
        await set_code(bot, hungry(words))
        with pytest.raises(GasLimitTooHigh, match=r"gas limit \d+ is above \d+"):
            await bot.scheduler.send(payment(1, gas=stated))
        unused = bot.public.log[:]
        await set_code(bot, ACCEPTING)
        most = min(block_gas_limit, 2**24)
        (after,) = await bot.settle([await bot.scheduler.send(payment(3, gas=most))])

        assert [] == unused
        assert isinstance(after, Confirmed)
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f29_an_estimate_that_just_fits(profile: str) -> None:
    """What needs nearly 2**24 gas is sent with less margin, and not refused for having one."""
    async with open_bot(profile) as bot:
        await set_code(bot, hungry(90_000))
        sent = await bot.scheduler.send(payment(3))
        (outcome,) = await bot.settle([sent])
        mined = await bot.rpc.call("eth_getTransactionByHash", (outcome.tx_hash,))

        assert isinstance(outcome, Confirmed)
        assert 2**24 == int(mined["gas"], 16)
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())
