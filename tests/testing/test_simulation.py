import secrets

import pytest

from toolkit.testing.simulation import chaotic_world, run_many, run_one

FRESH_SEEDS = 200
FAILED_BEFORE = (299, 1167)
"""Seeds that once broke an invariant; they run for ever."""


@pytest.mark.parametrize("seed", FAILED_BEFORE)
def test_a_schedule_that_once_failed(seed: int) -> None:
    """A seed that broke an invariant once does not break it again."""
    run_one(chaotic_world, seed)


@pytest.mark.timeout(240)
def test_every_schedule_ends_in_the_truth() -> None:
    """Under faults, reorgs, crashes and rivals every request ends once, as the chain says."""
    base = secrets.randbits(32)
    print(f"seeds {base}..")

    coverage = run_many(chaotic_world, range(base, base + FRESH_SEEDS))

    print(coverage)
    reached = ["Confirmed", "Reverted", "Expired", "Cancelled", "Replaced", "lease landed"]
    assert [] == [name for name in reached if not coverage.ends[name]]
    assert [] == [name for name in ("crash", "reorg") if not coverage.actions[name]]
