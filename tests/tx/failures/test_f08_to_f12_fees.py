"""Failure cases of fees: the market runs away, pools want their bumps, somebody holds the slot."""

from itertools import pairwise

import pytest

from tests.tx.failures.bot import GWEI, Market, open_bot, payment
from toolkit.model.errors import FeeLimitReached
from toolkit.model.tx import Confirmed, Replaced, bumped
from toolkit.tx.scheduler import SchedulerConfig

PROFILES = pytest.mark.parametrize("profile", ["geth", "reth"])
ALL_RULES = pytest.mark.parametrize("profile", ["geth", "reth", "strict"])
CEILING = 40 * GWEI
CAPPED = SchedulerConfig(max_cost_wei=21_000 * CEILING)
EAGER = SchedulerConfig(max_cost_wei=21_000 * CEILING, replace_after_blocks=1)


@PROFILES
async def test_f08_the_base_fee_jumps_over_the_cap(profile: str) -> None:
    """Bids follow a tenfold base fee on both fields, stop at the ceiling, and are mined below."""
    async with open_bot(profile, config=CAPPED) as bot:
        sent = await bot.scheduler.send(payment())
        await bot.seal(2, base_fee_wei=10 * GWEI)
        await bot.seal(2, base_fee_wei=30 * GWEI)
        followed = bot.public.bids()
        await bot.seal(8, base_fee_wei=100 * GWEI)
        waiting = bot.public.bids()
        with pytest.raises(FeeLimitReached):  # the alert: nothing can be sent at this price
            await bot.scheduler.send(payment())
        await bot.seal(2, base_fee_wei=100 * GWEI)
        last = bot.public.bids()
        (outcome,) = await bot.settle([sent], within=1, base_fee_wei=30 * GWEI)

        assert len(followed) >= 3
        for (old_cap, old_tip), (cap, tip) in pairwise(last):
            assert cap >= bumped(old_cap)
            assert tip >= bumped(old_tip)
        assert followed[-1][0] >= 30 * GWEI
        assert max(cap for cap, _ in last) <= CEILING
        assert waiting == last  # no further bid at the ceiling
        assert [] == bot.public.refusals()
        assert isinstance(outcome, Confirmed)
        assert 1 == await bot.chain_nonce()


@ALL_RULES
async def test_f09_a_bump_exactly_at_the_threshold(profile: str) -> None:
    """The smallest bump, and not one wei more, is accepted under every rule."""
    market = Market(10 * GWEI, GWEI)
    async with open_bot(profile, config=EAGER, oracle=market) as bot:
        sent = await bot.scheduler.send(payment())
        for _ in range(5):
            market.cap += 1  # the market asks for a wei more than it is bid
            await bot.seal(base_fee_wei=100 * GWEI)
        bids = bot.public.bids()
        (outcome,) = await bot.settle([sent], base_fee_wei=GWEI)

        assert 2 <= len(bids)
        assert all(new == (bumped(old[0]), bumped(old[1])) for old, new in pairwise(bids))
        assert [] == bot.public.refusals()
        assert isinstance(outcome, Confirmed)
        assert bot.public.hashes(0)[-1] == outcome.tx_hash


@ALL_RULES
async def test_f10_bumps_of_single_wei(profile: str) -> None:
    """Fees of a few wei rise with every bump, and no pool refuses one."""
    least = 7 if profile == "reth" else 1  # reth takes no fee cap below MIN_PROTOCOL_BASE_FEE
    market = Market(least, 1)
    async with open_bot(profile, config=EAGER, oracle=market) as bot:
        sent = await bot.scheduler.send(payment(value := 1))
        for _ in range(16):
            cap, tip = bot.public.bids()[-1]
            market.cap, market.tip = cap + 1, tip
            await bot.seal()
        bids = bot.public.bids()
        market.cap = 10 * GWEI
        (outcome,) = await bot.settle([sent], base_fee_wei=GWEI)

        assert [(least, 1), (bumped(least), 2)] == bids[:2]
        assert bids[-1][0] > 20
        assert [] == bot.public.refusals()
        assert isinstance(outcome, Confirmed)
        assert value == await bot.received()


@pytest.mark.parametrize("rises", ["cap", "tip"])
@PROFILES
async def test_f11_only_one_of_both_fees_has_to_rise(profile: str, rises: str) -> None:
    """A market that asks for more on one field gets a bump on both."""
    market = Market(10 * GWEI, GWEI)
    async with open_bot(profile, config=EAGER, oracle=market) as bot:
        sent = await bot.scheduler.send(payment())
        first = bot.public.bids()[-1]
        if rises == "cap":
            market.cap = 30 * GWEI
        else:
            market.tip = 3 * GWEI
        await bot.seal(2, base_fee_wei=100 * GWEI)
        second = bot.public.bids()[1]
        (outcome,) = await bot.settle([sent], base_fee_wei=GWEI)

        wanted = (30 * GWEI, bumped(first[1])) if rises == "cap" else (bumped(first[0]), 3 * GWEI)
        assert wanted == second
        assert [] == bot.public.refusals()
        assert isinstance(outcome, Confirmed)


@PROFILES
async def test_f12_somebody_else_holds_the_slot(profile: str) -> None:
    """A stranger's higher bid is outbid as far as the ceiling allows, then told truthfully."""
    market = Market(10 * GWEI, GWEI)
    async with open_bot(profile, config=EAGER, oracle=market) as bot:
        sent = await bot.scheduler.send(payment(3))
        foreign = await bot.by_hand(
            0, value=7, max_fee_per_gas=39 * GWEI, max_priority_fee_per_gas=10 * GWEI
        )
        await bot.seal(20, base_fee_wei=100 * GWEI)
        bids = bot.public.bids()
        assert bot.node.pool.get(foreign.hash) is not None  # still theirs
        assert "replacement transaction underpriced" in bot.public.refusals()[0]
        assert max(cap for cap, _ in bids) <= CEILING
        assert bumped(bids[-1][0]) > CEILING  # it tried as far as it may
        assert len(bids) <= 16  # 10 gwei to 40 gwei by tenths
        await bot.seal(2, base_fee_wei=GWEI)
        after = await bot.scheduler.send(payment(5))
        (outcome,) = await bot.settle([after])

        assert Replaced(by=foreign.hash, nonce=0, executed=False) == await sent.wait()
        assert isinstance(outcome, Confirmed)
        assert 7 + 5 == await bot.received()
        assert 2 == await bot.chain_nonce()


@PROFILES
async def test_f12_a_holder_below_the_ceiling_is_outbid(profile: str) -> None:
    """Refused for somebody's higher bid, ours rises from head to head until it has the slot."""
    market = Market(10 * GWEI, GWEI)
    async with open_bot(profile, config=EAGER, oracle=market) as bot:
        sent = await bot.scheduler.send(payment(3))
        foreign = await bot.by_hand(
            0, value=7, max_fee_per_gas=15 * GWEI, max_priority_fee_per_gas=2 * GWEI
        )
        await bot.seal(12, base_fee_wei=100 * GWEI)
        held = bot.node.pool.get(foreign.hash)
        (outcome,) = await bot.settle([sent], base_fee_wei=GWEI)

        assert held is None
        assert isinstance(outcome, Confirmed)
        assert bot.public.hashes(0)[-1] == outcome.tx_hash
        assert (1, 3) == (await bot.chain_nonce(), await bot.received())
