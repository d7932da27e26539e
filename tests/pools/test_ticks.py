import random

import pytest

from toolkit.model.errors import PoolError
from toolkit.pools.ticks import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)


@pytest.mark.parametrize(
    ("tick", "price"),
    [
        (MIN_TICK, MIN_SQRT_PRICE),
        (MAX_TICK, MAX_SQRT_PRICE),
        (0, 2**96),
        (50, 79426470787362580746886972461),
        (100, 79625275426524748796330556128),
        (250, 80224679980005306637834519095),
        (500, 81233731461783161732293370115),
        (1000, 83290069058676223003182343270),
    ],
)
def test_prices_are_those_of_tick_math(tick: int, price: int) -> None:
    """Literal rows of v3-core's own TickMath tests."""
    assert sqrt_price_at_tick(tick) == price


def test_a_price_belongs_to_the_greatest_tick_at_or_below_it(seed: int) -> None:
    """tick_at_sqrt_price inverts sqrt_price_at_tick, exactly at and right beside every tick."""
    rng = random.Random(seed)
    for tick in [
        MIN_TICK,
        MAX_TICK - 1,
        -1,
        0,
        *(rng.randrange(MIN_TICK, MAX_TICK) for _ in range(500)),
    ]:
        price = sqrt_price_at_tick(tick)

        assert tick_at_sqrt_price(price) == tick
        assert tick_at_sqrt_price(sqrt_price_at_tick(tick + 1) - 1) == tick
        if tick > MIN_TICK:
            assert tick_at_sqrt_price(price - 1) == tick - 1


@pytest.mark.parametrize("tick", [MIN_TICK - 1, MAX_TICK + 1])
def test_ticks_out_of_range_are_refused(tick: int) -> None:
    """TickMath reverts with T; we name the tick."""
    with pytest.raises(PoolError, match=str(tick)):
        sqrt_price_at_tick(tick)


@pytest.mark.parametrize("price", [MIN_SQRT_PRICE - 1, MAX_SQRT_PRICE])
def test_prices_out_of_range_are_refused(price: int) -> None:
    """TickMath reverts with R: the upper bound itself is outside."""
    with pytest.raises(PoolError, match=str(price)):
        tick_at_sqrt_price(price)
