"""Second moments of prices."""

import random

import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.decision import Reading
from toolkit.orchestrator.deciding.covariance import (
    PRIOR_VARIANCE,
    PRIOR_WEIGHT,
    WINDOW,
    Covariance,
    Moments,
)
from toolkit.orchestrator.mainnet import MAIN_POOL, USDC, WBTC, WETH
from toolkit.orchestrator.market import Market
from toolkit.perception.prices import PriceSource
from toolkit.testing.decide import OFFLINE_MARKET, price_series

BOTH = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH, WBTC),
    stables=(USDC.address,),
    prices=(
        PriceSource(key="price/WETH-USDC", pool=MAIN_POOL, base=WETH.address, quote=USDC.address),
        PriceSource(key="price/WBTC-USDC", pool=MAIN_POOL, base=WBTC.address, quote=USDC.address),
    ),
)


def series(prices: list[float], *, before: int = 1000) -> tuple[Reading, ...]:
    """Readings of WETH."""
    return price_series(prices, before=before)


def walk(rng: random.Random, count: int, sigma: float) -> list[float]:
    """A random walk."""
    price, made = 2000.0, []
    for _ in range(count):
        price *= 1 + rng.gauss(0, sigma)
        made.append(price)
    return made


def test_what_was_never_seen_has_the_priors_variance() -> None:
    """Without readings an asset moves by half a tenth of a percent a block, half in step."""
    known = Moments(OFFLINE_MARKET).update({})

    assert PRIOR_VARIANCE == known.of(WETH.address, WETH.address)
    assert PRIOR_VARIANCE // 2 == known.of(WETH.address, WBTC.address)
    assert 500_000 * 10 == known.sd_ppb(WETH.address, 100)


def test_the_estimate_comes_to_what_prices_do() -> None:
    """After a window of returns of 2 permille a block the deviation is within a fifth of that."""
    for seed in fresh_seeds(20):
        prices = walk(random.Random(seed), WINDOW + 1, 2e-3)
        known = Moments(OFFLINE_MARKET).update({"price/WETH-USDC": series(prices)})

        assert known.sd_ppb(WETH.address, 1) == pytest.approx(2e6, rel=0.2), f"seed {seed}"


def test_reading_by_reading_is_the_same_as_all_at_once() -> None:
    """Moments depend on the readings alone: not on when they came in, nor on reorgs between."""
    for seed in fresh_seeds(20):
        rng = random.Random(seed)
        length = rng.choice([WINDOW // 4, WINDOW * 3 // 2])
        given = series(walk(rng, length, 1e-3))
        forked = series(walk(rng, length, 1e-3))
        step = Moments(OFFLINE_MARKET)
        for end in range(1, len(given) + 1):
            step.update({"price/WETH-USDC": given[:end]})
            if rng.random() < 0.1:
                step.update({"price/WETH-USDC": (*given[: end - 1], forked[end - 1])})
        whole = Moments(OFFLINE_MARKET).update({"price/WETH-USDC": given})

        assert whole == step.update({"price/WETH-USDC": given}), f"seed {seed}"


def test_no_price_is_no_return() -> None:
    """A price of zero, of text or without bound is passed over, with the returns beside it."""
    given = series([2000.0, 2000.0, 2000.0, 2000.0])
    broken = (given[0], *(_with(given[1], v) for v in (0.0, "?", float("inf"))), *given[1:])

    known = Moments(OFFLINE_MARKET).update({"price/WETH-USDC": broken})

    returns = 2
    expected = PRIOR_WEIGHT * PRIOR_VARIANCE // (PRIOR_WEIGHT + returns)
    assert expected == known.of(WETH.address, WETH.address)


def test_assets_that_move_together_are_known_to() -> None:
    """Two prices that always do the same have a covariance near their variance."""
    prices = walk(random.Random(7), WINDOW + 1, 2e-3)
    weth = series(prices)
    wbtc = tuple(_with(one, float(one.value) * 15, key="price/WBTC-USDC") for one in weth)

    known = Moments(BOTH).update({"price/WETH-USDC": weth, "price/WBTC-USDC": wbtc})

    own, cross = known.of(WETH.address, WETH.address), known.of(WBTC.address, WETH.address)
    assert cross == pytest.approx(own, rel=0.01)


def test_a_covariance_is_the_same_both_ways() -> None:
    """The order of two assets does not matter."""
    low, high = sorted((WETH.address, WBTC.address))
    known = Covariance(moments={(low, high): 5})

    assert (5, 5) == (known.of(low, high), known.of(high, low))


def _with(reading: Reading, value: float | str, key: str = "price/WETH-USDC") -> Reading:
    return Reading(
        key=key,
        value=value,
        source=reading.source,
        block_number=reading.block_number,
        block_hash=reading.block_hash,
        observed_at=reading.observed_at,
        max_age_blocks=1,
    )
