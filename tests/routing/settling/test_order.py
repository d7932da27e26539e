import math
import random

import numpy as np
import pytest

from toolkit.routing.settling.flow import Ends, Flow
from toolkit.routing.settling.order import order

ARBITRAGE = Ends(start=0, sell={}, want={0: 1.0})


def flow(*hops: tuple[int, int, float, float]) -> Flow:
    """Hops as (token in, token out, taken, given), of tokens all worth the same."""
    source, target, taken, given = (np.array(column) for column in zip(*hops, strict=True))
    return Flow(
        edges=2 * np.arange(len(hops)),
        taken=taken.astype(np.float64),
        given=given.astype(np.float64),
        source=source.astype(np.int64),
        target=target.astype(np.int64),
        worth=np.ones(1 + int(max(source.max(), target.max()))),
    )


def test_buys_come_late_and_exits_early() -> None:
    """So that no more of the start is out at a time than one of two ways needs."""
    hops = flow((0, 1, 3, 3), (0, 2, 2, 2), (1, 3, 3, 3), (2, 4, 2, 2), (3, 0, 3, 4), (4, 0, 2, 3))

    found = order(hops, ARBITRAGE, lends=False, most_steps=10)

    assert [0, 2, 4, 1, 3, 5] == [hop for hop, _ in found.steps]
    assert (frozenset(), {}) == (found.idle, found.lent)


def test_a_second_buy_of_a_token_waits_until_it_is_needed() -> None:
    """By then the first has come back."""
    hops = flow((0, 1, 3, 3), (0, 1, 2, 2), (1, 2, 3, 3), (1, 3, 2, 2), (2, 0, 3, 4), (3, 0, 2, 3))

    found = order(hops, ARBITRAGE, lends=False, most_steps=10)

    assert [0, 2, 4, 1, 3, 5] == [hop for hop, _ in found.steps]


def test_an_exit_waits_where_the_circle_needs_its_token() -> None:
    """What it takes opens the circle first."""
    hops = flow((0, 1, 5, 5), (1, 2, 5, 5), (2, 1, 5, 5.5), (1, 0, 5.5, 6))

    found = order(hops, ARBITRAGE, lends=False, most_steps=10)

    assert [0, 1, 2, 3] == [hop for hop, _ in found.steps]


def test_what_is_lent_is_named_with_its_worth() -> None:
    """And hops that nothing pays for are idle where nothing is lent."""
    hops = flow((1, 2, 5, 5), (2, 1, 5, 5.5), (1, 0, 0.5, 0.6))

    lending = order(hops, ARBITRAGE, lends=True, most_steps=10)
    idle = order(hops, ARBITRAGE, lends=False, most_steps=10)

    assert 1 == len(lending.lent)
    assert 5 == pytest.approx(math.fsum(lending.lent.values()))
    assert frozenset({0, 1}) == idle.idle


@pytest.mark.parametrize("lends", [False, True])
@pytest.mark.parametrize("number", range(6))
def test_no_token_is_ever_short(number: int, *, lends: bool, seed: int) -> None:
    """Sums of circles through the start, and past it where tokens are lent: all are paid for."""
    rng = random.Random(seed + number)
    hops = []
    for _ in range(rng.randrange(1, 12)):
        ring = [0, *rng.sample(range(1, 7), rng.randrange(2, 5))][rng.randrange(2) * lends :]
        size = 10 ** rng.uniform(-3, 3)
        hops += [(a, b, size, size) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)]
    rng.shuffle(hops)
    made = flow(*hops, (0, 7, 1.0, 1.0), (7, 0, 1.0, 1.0))

    found = order(made, ARBITRAGE, lends=lends, most_steps=1000)

    there = np.zeros(8)
    there[0] = math.inf
    for token, amount in found.lent.items():
        there[token] += amount
    for hop, share in found.steps:
        there[made.source[hop]] -= made.taken[hop] * share
        assert there[made.source[hop]] >= -1e-6
        there[made.target[hop]] += made.given[hop] * share
    run = np.bincount([hop for hop, _ in found.steps], weights=[share for _, share in found.steps])
    assert np.allclose(1.0, run, atol=1e-6)
    assert not found.idle
