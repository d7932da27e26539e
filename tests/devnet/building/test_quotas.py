"""Limits by the minute: what they let through, and that our client never runs into them."""

import random

import pytest

from toolkit.bundles.limits import Purpose, TokenBucket
from toolkit.bundles.profiles import PROFILES
from toolkit.devnet.building.dialects import FLASHBOTS_PER_MINUTE, Operation
from toolkit.devnet.building.quotas import Quotas

SEND, CANCEL = Operation.SEND_BUNDLE, Operation.CANCEL_BUNDLE


def test_no_minute_has_more_than_its_limit() -> None:
    """Whichever minute it is; what is refused does not count, and other methods go on."""
    quotas = Quotas({SEND: 2})
    waits = [quotas.wait_s(SEND, now) for now in (0.0, 50.0, 55.0, 59.5, 60.0, 61.0, 110.0)]

    assert [0.0, 0.0, 5.0, 0.5, 0.0, 49.0, 0.0] == waits
    assert [0.0] * 5 == [quotas.wait_s(CANCEL, 61.0) for _ in range(5)]
    assert [0.0] * 5 == [quotas.wait_s(None, 61.0) for _ in range(5)]


@pytest.mark.parametrize(
    ("purpose", "operation"),
    [
        (Purpose.BUNDLE, SEND),
        (Purpose.CANCEL, CANCEL),
        (Purpose.SIMULATION, Operation.CALL_BUNDLE),
        (Purpose.OTHER, Operation.SEND_PRIVATE),
    ],
)
def test_the_clients_budget_fits_what_is_published(purpose: Purpose, operation: Operation) -> None:
    """However an author's requests come, those that the client lets out are never refused."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rate = PROFILES["flashbots"].rates.of(purpose)
    assert rate is not None
    bucket, quotas = TokenBucket(rate), Quotas(FLASHBOTS_PER_MINUTE)

    now, let_out, refused = 0.0, 0, 0
    for _ in range(10_000):
        now += rng.choice((0.0, 0.0, 0.001, 0.05, 0.3 if rng.random() < 0.9 else 90.0))
        wait = bucket.reserve(now, patience_s=0.0)
        if wait <= 0.0:
            let_out += 1
            refused += quotas.wait_s(operation, now) > 0

    assert let_out > 1_000
    assert 0 == refused
