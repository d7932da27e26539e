"""Failure cases of cancelling: the original wins after all, the middle one of many goes away."""

import pytest

from tests.tx.failures.bot import Bot, open_bot, payment
from toolkit.model.tx import Cancelled, Confirmed, Exposure
from toolkit.tx.handle import Sent

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
SEND = "eth_sendRawTransaction"


@PROFILES
async def test_f24_a_cancellation_races_the_original(profile: str) -> None:
    """Executed or cancelled, as the receipt has it, and never both, also across a reorg."""
    async with open_bot(profile) as bot:
        sent = await bot.scheduler.send(payment(3))
        (original,) = bot.node.pool.pending(bot.address)
        await sent.cancel()
        (cancellation,) = bot.node.pool.pending(bot.address)
        await bot.seal()
        before, paid = await sent.wait(), await bot.received()
        await bot.node.reorg(1, [str(original.raw)])
        await bot.follow()
        after, then = await sent.wait(), await bot.received()
        await bot.node.reorg(1, [str(cancellation.raw)])
        await bot.follow()
        last = await sent.wait()
        await bot.seal(2)

        assert isinstance(before, Cancelled)
        assert (cancellation.hash, 0) == (before.tx_hash, paid)
        assert isinstance(after, Confirmed)
        assert (original.hash, 3) == (after.tx_hash, then)
        assert isinstance(last, Cancelled)
        assert (cancellation.hash, 0) == (last.tx_hash, await bot.received())
        assert 1 == await bot.chain_nonce()


async def with_unsent_second(bot: Bot) -> list[Sent]:
    """Six requests; the node refused the second, so nobody has it, and the later ones wait."""
    sent = [await bot.scheduler.send(payment(1))]
    bot.node.faults.next(SEND, "error", message="txpool is full")
    return sent + [await bot.scheduler.send(payment(10**n)) for n in range(1, 6)]


@pytest.mark.parametrize("follows", [1, 0], ids=["a request follows", "nothing follows"])
@PROFILES
async def test_f25_a_middle_one_that_was_never_sent_is_cancelled(
    profile: str, follows: int
) -> None:
    """Its nonce goes to the next request, or to nothing at all; the later ones are mined."""
    async with open_bot(profile) as bot:
        sent = await with_unsent_second(bot)
        exposure = sent[1].status().exposure
        queued = [each.nonce for each in bot.node.pool.queued(bot.address)]
        await sent[1].cancel()
        cancelled = await sent[1].wait()
        if follows:
            sent.append(await bot.scheduler.send(payment(10**6)))
        outcomes = await bot.settle([*sent[:1], *sent[2:]], within=3)

        assert (Exposure.NONE, [2, 3, 4, 5]) == (exposure, queued)
        assert Cancelled() == cancelled
        assert all(isinstance(each, Confirmed) for each in outcomes)
        if follows:
            assert (1, 10**6) == await bot.mined(outcomes[-1])
        assert 111_101 + follows * 10**6 == await bot.received()
        assert 6 == await bot.chain_nonce()
