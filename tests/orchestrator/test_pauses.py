"""Who waits for whom, and for exactly how long."""

import math
import random

import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.pauses import (
    Decay,
    Impact,
    Pause,
    Reversion,
    assess,
    compile_pauses,
    contaminations,
    drift_time,
    residue,
    threshold_density,
)
from toolkit.reasoning.agent import filtered
from toolkit.reasoning.momentum import Momentum

MOMENTUM = Momentum(base=WETH.address, quote=USDC.address)
KERNEL = MOMENTUM.kernel()
BPS = 1e-4


def impact(bps: float, *, block: int = 0, agent: str = "arbitrage") -> Impact:
    """An own trade's move of the price."""
    return Impact(
        agent=agent,
        key="price/WETH-USDC",
        verdict_id=f"{block}-0",
        block_number=block,
        log_move=bps * BPS,
    )


def length(
    bps: float, *, density: float, decay: Decay | None = None, tolerance: float = 0.05
) -> int:
    """The predicted pause after one impact, in blocks."""
    return assess(
        [Pause("momentum", "arbitrage", 1.0, tolerance)],
        [impact(bps)],
        kernel=KERNEL,
        density=density,
        block=0,
        decay=decay or Decay(),
    ).until_block


def prices(rng: random.Random, count: int) -> list[float]:
    """Log prices of a market that trends a little."""
    price, drift = 0.0, 0.0
    made = []
    for _ in range(count):
        drift = 0.97 * drift + rng.gauss(0, 5e-5)
        price += drift + rng.gauss(0, 6e-4)
        made.append(price)
    return made


def decisions(signal: tuple[float, ...], threshold: float) -> list[int]:
    """Long, short or flat at each sample."""
    return [(value > threshold) - (value < -threshold) for value in signal]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bps", [30.0, 100.0])
@pytest.mark.parametrize("reversion", [0.9, 0.5, 0.1])
def test_predicted_pause_matches_measured_flips(bps: float, reversion: float) -> None:
    """The pause ends when injected impact no longer flips more decisions than tolerated."""
    tolerance = 0.05
    decay = Decay(reversion=reversion)
    series = tuple(prices(random.Random(7), 9_000))
    signal = filtered(KERNEL, series)
    density = threshold_density(signal[:3000], MOMENTUM.threshold_sds)
    threshold = MOMENTUM.threshold_sds * math.sqrt(sum(v * v for v in signal) / len(signal))
    shifts = contaminations(KERNEL, [impact(bps)], start=0, count=200, decay=decay)
    clean = decisions(signal, threshold)
    flips = [
        sum(
            a != b
            for a, b in zip(decisions(tuple(v + c for v in signal), threshold), clean, strict=True)
        )
        / len(clean)
        for c in shifts
    ]
    measured = max((n + 1 for n, rate in enumerate(flips) if rate > tolerance), default=0)

    predicted = length(bps, density=density, decay=decay, tolerance=tolerance)

    assert abs(measured - predicted) <= max(4, 0.1 * measured), (measured, predicted)


def test_a_pause_has_no_length_of_its_own() -> None:
    """Two impacts give two lengths, a tolerated one none, and a slower market a longer one.

    The larger impact need not wait longer: its spike and what stays in the band may cancel.
    """
    density = 300.0
    lengths = [length(bps, density=density) for bps in (10, 60, 200)]

    assert 3 == len({*lengths} - {0})
    assert 0 == length(0.1, density=density)
    assert length(60, density=density, decay=Decay(reversion=0.05)) > lengths[1]


def test_paused_means_density_times_contamination_above_tolerance() -> None:
    """At every block, paused is exactly that the predicted flips exceed the tolerance."""
    decay, density = Decay(), 250.0
    shifts = contaminations(KERNEL, [impact(40)], start=0, count=120, decay=decay)
    for block, shift in enumerate(shifts):
        answer = assess(
            [Pause("momentum", "arbitrage", 10.0)],
            [impact(40)],
            kernel=KERNEL,
            density=density,
            block=block,
            decay=decay,
        )

        assert (density * abs(shift) > 0.05) == answer.paused
        assert math.isclose(shift, answer.contamination, abs_tol=1e-15)


def test_the_prediction_comes_true() -> None:
    """Nothing after the predicted end is paused, and the block before it is."""
    decay, density = Decay(), 250.0
    end = length(40, density=density)

    def paused(block: int) -> bool:
        return assess(
            [Pause("momentum", "arbitrage", 10.0)],
            [impact(40)],
            kernel=KERNEL,
            density=density,
            block=block,
            decay=decay,
        ).paused

    assert paused(end - 1)
    assert not any(paused(block) for block in range(end, end + 200))


def test_impacts_below_the_threshold_or_of_others_do_not_pause() -> None:
    """Only trades of the declared agent that reach the declared size count."""
    for one in (impact(9.9), impact(50, agent="rebalancing")):
        answer = assess(
            [Pause("momentum", "arbitrage", 10.0)],
            [one],
            kernel=KERNEL,
            density=1e4,
            block=0,
            decay=Decay(),
        )

        assert (False, ()) == (answer.paused, answer.because)


def test_contamination_is_the_filter_of_what_is_left() -> None:
    """C(n) is what the kernel makes of a series that holds nothing but the residue."""
    decay = Decay(reversion=0.3)
    left = tuple(residue(50 * BPS, n, decay) for n in range(-len(KERNEL) + 1, 40))

    expected = filtered(KERNEL, left)

    found = contaminations(KERNEL, [impact(50)], start=0, count=40, decay=decay)
    assert all(math.isclose(a, b, abs_tol=1e-15) for a, b in zip(expected, found, strict=True))


def test_two_impacts_add_up() -> None:
    """The contamination of two trades is the sum of theirs."""
    decay = Decay()
    one, two = impact(30), impact(-20, block=3)
    both = contaminations(KERNEL, [one, two], start=5, count=10, decay=decay)
    alone = [
        a + b
        for a, b in zip(
            contaminations(KERNEL, [one], start=5, count=10, decay=decay),
            contaminations(KERNEL, [two], start=5, count=10, decay=decay),
            strict=True,
        )
    ]

    assert all(math.isclose(a, b, abs_tol=1e-15) for a, b in zip(alone, both, strict=True))


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


def test_a_cycle_is_rejected_with_its_path() -> None:
    """Agents that wait for each other in a circle are refused, and the circle is written out."""
    pauses = [Pause("a", "b"), Pause("b", "c"), Pause("c", "a"), Pause("d", "a")]

    with pytest.raises(ConfigError, match="a -> b -> c -> a"):
        compile_pauses(pauses, ["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("pauses", "words"),
    [
        ([Pause("a", "a")], "a -> a"),
        ([Pause("a", "x")], "'x'; the agents are a, b"),
        ([Pause("a", "b"), Pause("a", "b", 5.0)], "twice"),
    ],
)
def test_impossible_pauses_are_refused(pauses: list[Pause], words: str) -> None:
    """An agent that waits for itself, for nobody, or twice is refused."""
    with pytest.raises(ConfigError, match=words):
        compile_pauses(pauses, ["a", "b"])


@pytest.mark.parametrize(
    "changes", [{"impact_bps": math.nan}, {"impact_bps": -1.0}, {"tolerance": 0.0}]
)
def test_impossible_figures_are_refused(changes: dict[str, float]) -> None:
    """A pause needs a size of impact and a tolerance that mean something."""
    with pytest.raises(ConfigError, match="pause of a"):
        Pause("a", "b", **changes)
