"""Private first, public in its block, bundles beside: lives of processes that die."""

import secrets
from functools import reduce
from operator import add

import pytest

from toolkit.testing.fallback import live_with_relays

LIVES = 60

FAILED_BEFORE = (21, 862, 2251)
"""Lives that once broke an invariant; they are lived for ever."""


@pytest.mark.parametrize("seed", FAILED_BEFORE)
def test_a_life_that_once_failed(seed: int) -> None:
    """A seed that broke an invariant once does not break it again."""
    live_with_relays(seed)


@pytest.mark.timeout(240)
def test_nothing_is_early_twice_or_left_behind() -> None:
    """Every life ends in the truth, and together they have seen what they are there for."""
    base = secrets.randbits(32)
    print(f"seeds {base}..{base + LIVES - 1}")

    lived = reduce(add, (live_with_relays(seed) for seed in range(base, base + LIVES)))

    assert LIVES == lived.schedules + lived.thin
    assert 100 < lived.actions["crash"]
    for name in ("answer lost", "forgotten", "late", "limited", "unheard"):
        assert lived.faults[name], name
    for name in (
        "bundle landed",
        "bundle missed",
        "bundles recovered",
        "contradiction refused",
        "private hand-over",
        "requests executed",
        "withdrawn",
    ):
        assert lived.ends[name], name


def test_one_seed_is_one_life() -> None:
    """The same seed lives the same life again, to the last event."""
    first, second = (live_with_relays(11).counts() for _ in range(2))

    assert first == second
