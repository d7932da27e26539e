"""Routes of every shape, executed by the genuine contracts: V2, V3 and V4, own and borrowed."""

import random
from collections import Counter

import pytest

from scripts.gas.field import open_field
from scripts.gas.fit import Sample, errors
from scripts.gas.measure import run_plans, warm
from toolkit.devnet.tokens import TokenLevel, token_codes
from toolkit.model.market import FundingKind
from toolkit.routing.gas import gas_table

KINDS = set(FundingKind)
PLANS = 200
MOST_ERROR = 0.03


@pytest.mark.fork
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_random_routes_do_what_was_predicted_for_the_gas_that_was_reckoned() -> None:
    """Of 200 random chains, splits, networks and orders on loans, of up to ten hops, each changes
    its owner's balances as predicted, to the wei, leaves nothing in the executor, and uses within
    three percent of its estimate."""
    seed = random.randrange(2**32)
    print("seed", seed)
    recorded = token_codes()[0] is TokenLevel.RECORDED
    async with open_field() as field:
        await warm(field)
        # Whatever is not as predicted, or reverts, is an AssertionError with its plan.
        ran = run_plans(field, random.Random(seed), PLANS)
        samples = [Sample(one, recorded) async for one in ran]

    shapes = Counter(len(sample.ran.plan.route.hops) for sample in samples)
    found = errors(samples, gas_table())
    print("hops", sorted(shapes.items()), "worst", f"{max(map(abs, found)):.3%}")
    assert len(samples) == PLANS
    assert max(shapes) > 5
    for error, sample in zip(found, samples, strict=True):
        assert abs(error) <= MOST_ERROR, (f"{error:+.3%}", sample.ran.gas_used, sample.ran.plan)
    assert {plan.funding.kind for plan in (sample.ran.plan for sample in samples)} == KINDS
    assert any(sample.ran.plan.loans for sample in samples)
    assert any(hop.key for sample in samples for hop in sample.ran.plan.route.hops)
