"""Failure cases of a nonce that another program of the same key spends."""

import pytest

from tests.tx.failures.bot import GWEI, Bot, open_bot, payment
from toolkit.model.tx import Confirmed, Replaced, SignedTransaction
from toolkit.model.units import ether
from toolkit.tx.handle import Sent
from toolkit.tx.scheduler import SchedulerConfig

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
FINAL = 3
QUICK = SchedulerConfig(max_cost_wei=ether("0.5"), finality_blocks=FINAL)


async def outbid(bot: Bot, value: int) -> SignedTransaction:
    """The same key sends from elsewhere: nonce 0 again, for more than the bot bids."""
    return await bot.by_hand(0, value=value)


@pytest.mark.parametrize("wish", ["report", "requeue"])
@PROFILES
async def test_f13_a_stranger_with_the_same_payload_did_what_was_wanted(
    profile: str, wish: str
) -> None:
    """Another wallet's same (to, value, data) is the request's own execution: never sent again."""
    async with open_bot(profile, config=QUICK) as bot:
        sent = await bot.scheduler.send(payment(3), on_external_spend=wish)
        foreign = await outbid(bot, 3)
        await bot.seal()
        outcome = await sent.wait()
        handed = len(bot.public.log)
        await bot.seal(2 * FINAL)

        assert Replaced(by=foreign.hash, nonce=0, executed=True) == outcome
        assert outcome == await sent.wait()
        assert handed == len(bot.public.log)
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f13_a_stranger_with_another_payload_is_reported(profile: str) -> None:
    """By default another payload at our nonce is the end; the next request goes on behind it."""
    async with open_bot(profile, config=QUICK) as bot:
        sent = await bot.scheduler.send(payment(3))
        foreign = await outbid(bot, 7)
        await bot.seal()
        outcome = await sent.wait()
        handed = len(bot.public.log)
        await bot.seal(2 * FINAL)
        silent = handed == len(bot.public.log)
        (after,) = await bot.settle([await bot.scheduler.send(payment(5))])

        assert Replaced(by=foreign.hash, nonce=0, executed=False) == outcome
        assert silent
        assert isinstance(after, Confirmed)
        assert (1, 5) == await bot.mined(after)
        assert (2, 7 + 5) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f13_another_payload_is_requeued_once_it_is_final(profile: str) -> None:
    """With "requeue" the request gets one new nonce, and not before no reorg can undo the other."""
    async with open_bot(profile, config=QUICK) as bot:
        sent = await bot.scheduler.send(payment(3), on_external_spend="requeue")
        await outbid(bot, 7)
        await bot.seal(FINAL - 1)
        early, status = bot.public.hashes(1), sent.status()
        await bot.seal(1)
        due = bot.public.hashes(1)
        (outcome,) = await bot.settle([sent])
        await bot.seal(2 * FINAL)

        assert [] == early
        assert "is spent for good" in status.waiting_for
        assert 1 == len(due)
        assert isinstance(outcome, Confirmed)
        assert (1, 3) == await bot.mined(outcome)
        assert (2, 7 + 3) == (await bot.chain_nonce(), await bot.received())


async def taken_back(bot: Bot, wish: str) -> tuple[Sent, SignedTransaction]:
    """A request whose nonce a stranger spent in a block that a reorg then removed."""
    sent = await bot.scheduler.send(payment(3), on_external_spend=wish)
    foreign = await outbid(bot, 7)
    await bot.seal(2)
    await bot.node.reorg(2)
    return sent, foreign


@pytest.mark.parametrize("wish", ["report", "requeue"])
@PROFILES
async def test_f13_a_reorg_without_the_stranger_reopens_the_question(
    profile: str, wish: str
) -> None:
    """Once the stranger's transaction is gone from the chain and the pool, ours takes its nonce."""
    async with open_bot(profile, config=QUICK) as bot:
        sent, foreign = await taken_back(bot, wish)
        await bot.rpc.call("anvil_dropTransaction", (foreign.hash,))
        await bot.follow()
        state = sent.status().state
        (outcome,) = await bot.settle([sent])
        await bot.seal(2 * FINAL)

        assert "broadcast" == state
        assert isinstance(outcome, Confirmed)
        assert bot.public.hashes(0)[-1] == outcome.tx_hash
        assert [] == bot.public.hashes(1)
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())


@PROFILES
async def test_f13_a_stranger_that_comes_back_after_a_reorg_counts_again(profile: str) -> None:
    """Mined again on the new branch, the stranger's transaction is the end once more."""
    async with open_bot(profile, config=QUICK) as bot:
        sent, foreign = await taken_back(bot, "report")
        await bot.follow()
        between = sent.status().state
        await bot.seal(base_fee_wei=GWEI)

        assert "broadcast" == between
        assert Replaced(by=foreign.hash, nonce=0, executed=False) == await sent.wait()
        assert (1, 7) == (await bot.chain_nonce(), await bot.received())
