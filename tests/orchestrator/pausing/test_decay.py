"""How an own trade's move fades, and what a filter makes of what is left."""

import math
import random

import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.orchestrator.pausing.decay import (
    HORIZON,
    Decay,
    Impact,
    Reversion,
    drift_time,
    left_over,
    residue,
    response,
)
from toolkit.reasoning.agent import filtered

BPS = 1e-4


def impact(bps: float, *, block: int = 0, decay: Decay | None = None) -> Impact:
    """An own trade's move of the price."""
    return Impact(
        agent="arbitrage",
        key="price/WETH-USDC",
        verdict_id=f"{block}-0",
        block_number=block,
        log_move=bps * BPS,
        decay=decay or Decay(),
    )


def test_a_response_is_the_filter_of_what_is_left() -> None:
    """C(n) is what the kernel makes of a series that holds nothing but the residue."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        kernel = tuple(rng.uniform(-1, 1) for _ in range(rng.randint(1, 70)))
        decay = Decay(
            reversion=rng.uniform(0.02, 0.98),
            band=rng.uniform(0, 30) * BPS,
            drift=rng.uniform(1, 240),
        )
        one = impact(rng.uniform(-200, 200), decay=decay)
        left = tuple(residue(one.log_move, n, decay) for n in range(1 - len(kernel), HORIZON))

        expected = filtered(kernel, left)

        found = response(kernel, one)
        assert HORIZON == len(found), f"seed {seed}"
        pairs = zip(expected, found.tolist(), strict=True)
        assert all(math.isclose(a, b, abs_tol=1e-14) for a, b in pairs), f"seed {seed}"


def test_what_is_left_adds_up_and_begins_where_the_trade_landed() -> None:
    """Two trades leave their sum; before its block a trade leaves nothing."""
    one, two = impact(30), impact(-20, block=3)

    assert 0.0 == left_over([one, two], -1)
    assert left_over([one], 2) == left_over([one, two], 2)
    both = residue(30 * BPS, 8, one.decay) + residue(-20 * BPS, 5, two.decay)
    assert math.isclose(both, left_over([one, two], 8))


@pytest.mark.parametrize(("rate", "band_bps"), [(0.2, 5.0), (0.8, 5.0), (0.95, 0.0)])
def test_own_fills_teach_how_impacts_fade(rate: float, band_bps: float) -> None:
    """After enough own fills the rate and the band are near those that the market shows."""
    for seed in fresh_seeds(20):
        rng = random.Random(seed)
        estimate = Reversion.prior(band=5 * BPS)
        for _ in range(500):
            move = rng.choice([-1, 1]) * rng.uniform(6, 60) * BPS
            back = math.copysign(rate * (abs(move) - band_bps * BPS), move)
            estimate = estimate.observed(move, -back + rng.gauss(0, 1e-4))
        decay = estimate.decay(most_band=5 * BPS)

        assert abs(rate - decay.reversion) < 0.1, f"seed {seed}"
        assert abs(band_bps * BPS - decay.band) < 2.5 * BPS, f"seed {seed}"


@pytest.mark.parametrize("step_bps", [1.0, 2.0, 5.0, 15.0])
def test_a_wild_market_forgets_a_place_in_the_band_sooner(step_bps: float) -> None:
    """Two prices kept within the band of one fair price meet as fast as the drift time says."""
    band, step, samples, count = 5 * BPS, step_bps * BPS, 100, 1_000
    (seed,) = fresh_seeds(1)
    rng = random.Random(seed)
    gaps = [0.0] * samples
    for _ in range(count):
        fair, low = 0.0, rng.uniform(-band, band - 2 * BPS)
        high = low + 2 * BPS
        for n in range(samples):
            gaps[n] += high - low
            fair += rng.gauss(0, step)
            low, high = (min(max(one, fair - band), fair + band) for one in (low, high))
    history = [0.0]
    for _ in range(1_000):
        history.append(history[-1] + rng.gauss(0, step))
    decay = Decay(band=band, drift=drift_time(band, history))

    modelled = sum(residue(2 * BPS, n, decay) for n in range(samples)) / (2 * BPS)

    assert math.isclose(sum(gaps) / gaps[0], modelled, rel_tol=0.35), f"seed {seed}"


def test_before_any_fill_the_belief_is_the_default() -> None:
    """Without own fills half of what exceeds the pool's fee is taken back per sample."""
    decay = Reversion.prior(band=5 * BPS).decay(most_band=5 * BPS)

    assert math.isclose(Decay().reversion, decay.reversion)
    assert math.isclose(5 * BPS, decay.band)
