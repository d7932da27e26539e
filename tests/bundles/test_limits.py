import random

import pytest

from toolkit.bundles.limits import Budgets, Purpose, Rate, Rates, TokenBucket
from toolkit.model.errors import ConfigError


@pytest.mark.parametrize("requests", [2, 3, 7, 50, 120])
@pytest.mark.parametrize("seconds", [1.0, 60.0])
def test_no_stretch_of_time_sees_more_than_the_limit(requests: int, seconds: float) -> None:
    """Under any pressure, a stretch of the limit's length never sees more than its requests."""
    rng = random.Random(f"{requests}/{seconds}")
    bucket = TokenBucket(Rate(requests=requests, seconds=seconds))
    now, sent = 0.0, []
    for _ in range(2_000):
        now += rng.choice((0.0, 0.0, seconds / requests / 3, seconds / 2, seconds * rng.random()))
        wait = bucket.reserve(now, patience_s=seconds * rng.random())
        if wait <= 0:
            sent.append(now)

    for first, time_s in enumerate(sent):
        window = [one for one in sent[first:] if one - time_s < seconds * (1 - 1e-9)]
        assert len(window) <= requests


def test_half_goes_at_once_and_the_rest_evenly() -> None:
    """Of ten a second, five go at once and the next when a fifth of a second has passed."""
    bucket = TokenBucket(Rate(requests=10, seconds=1))

    waits = [round(bucket.reserve(100.0, patience_s=1.0), 6) for _ in range(7)]

    assert [0, 0, 0, 0, 0, 0.2, 0.4] == waits


def test_what_is_too_long_takes_nothing() -> None:
    """A turn that nobody waits for is not taken, so that the next who can wait gets it."""
    bucket = TokenBucket(Rate(requests=2, seconds=1))
    bucket.reserve(0.0, patience_s=0.0)

    refused = [bucket.reserve(0.5, patience_s=0.1) for _ in range(9)]

    assert [0.5] * 9 == refused
    assert 0 == bucket.reserve(1.0, patience_s=0.0)


def test_cancellations_have_a_budget_of_their_own() -> None:
    """However many bundles are sent, and whatever the relay says to them, a cancellation goes."""
    budgets = Budgets(Rates(bundles=Rate(requests=2, seconds=60)))
    budgets.reserve(Purpose.BUNDLE, 0.0, patience_s=0.0)

    budgets.hold(Purpose.BUNDLE, 0.0, seconds=90)

    assert 90 == budgets.reserve(Purpose.BUNDLE, 0.0, patience_s=1.0)
    assert 0 == budgets.reserve(Purpose.CANCEL, 0.0, patience_s=0.0)


def test_a_relay_without_limits_is_left_alone_when_it_asks() -> None:
    """Where no limit is known, only the relay's own word makes anybody wait."""
    budgets = Budgets(Rates())

    free = [budgets.reserve(Purpose.OTHER, 0.0, patience_s=0.0) for _ in range(1_000)]
    budgets.hold(Purpose.OTHER, 10.0, seconds=5)

    assert {0.0} == set(free)
    assert 2 == budgets.reserve(Purpose.OTHER, 13.0, patience_s=9.0)
    assert 0 == budgets.reserve(Purpose.OTHER, 15.0, patience_s=9.0)


@pytest.mark.parametrize(("requests", "seconds"), [(1, 1), (0, 1), (10, 0), (10, -1)])
def test_limits_that_let_nothing_through_are_refused(requests: int, seconds: float) -> None:
    """A limit that would never let anything through is named at once."""
    with pytest.raises(ConfigError, match="of a rate"):
        Rate(requests=requests, seconds=seconds)
