"""The bump law's cases are judged, not only drawn."""

import secrets

import msgspec

from scripts.soak import bumps
from scripts.soak.bumps import bid, check, draw, faults
from toolkit.devnet.pool_rules import GETH, STRICT

CASES = 2_000


def test_random_bids_keep_the_law() -> None:
    """Every bid is taken by geth, reth and a strict pool, and none is above its ceiling."""
    first = secrets.randbits(32)
    print(f"seeds {first}..{first + CASES - 1}")

    counts, failures = check((first, CASES))

    assert () == failures
    bids = counts["bids"]
    assert isinstance(bids, int)
    assert CASES // 4 < bids < CASES


def test_a_bid_below_the_law_is_noticed() -> None:
    """A judge that takes any bid would find nothing: ten percent exactly is refused somewhere."""
    case = next(case for seed in range(1_000) if bid(case := draw(seed)) is not None)
    new = bid(case)
    assert new is not None
    weak = msgspec.structs.replace(
        new, max_fee_per_gas=case.old.max_fee_per_gas, gas_price=case.old.gas_price
    )

    assert [] != [bumps._offer(rules, case.old, weak) for rules in (GETH, STRICT)]
    assert () == faults(case)
    assert "underpriced" in bumps._offer(STRICT, case.old, weak)


def test_a_bid_above_the_ceiling_is_noticed() -> None:
    """What costs more than it may is a fault, whatever the pools say."""
    case = next(case for seed in range(1_000) if bid(case := draw(seed)) is not None)
    poor = msgspec.structs.replace(case, max_cost_wei=case.max_cost_wei // 1_000_000)

    assert bid(poor) is None
    assert () == faults(poor)
