"""The bench of pauses measures what the toolkit does, on recorded minutes and beside its code."""

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scripts.bench import keepers
from scripts.bench.episodes import (
    BAND,
    CELLS,
    LEARNED,
    SPAN,
    Cell,
    Episodes,
    flip_times,
    recorded,
    ruled,
    share_error,
)
from scripts.bench.pauses import AGENTS
from scripts.bench.twice import as_read, breakout, strength
from tests.orchestrator.pausing.test_signals import series
from tests.orchestrator.worlds import fresh_seeds
from toolkit.devnet.crowd.scenario import RECORDED_MINUTES
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.pausing.decay import Decay, left_over, response
from toolkit.orchestrator.pausing.signals import Track, density, followed, shape_of, state
from toolkit.reasoning.momentum import Momentum
from toolkit.testing.oscillators import Donchian, RelativeStrength

KNOWN = {"EMA": 0.73, "z-score": 0.45}
"""Densities as learned from the whole first week; learning them takes longer than a test may."""


@pytest.fixture(scope="module")
def logs(data_dir: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The recorded minutes."""
    return np.asarray(recorded(data_dir / RECORDED_MINUTES))


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", sorted(AGENTS))
def test_flip_times_are_predicted(
    name: str, logs: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> None:
    """At least 15 of 18 cells are within a tenth or four minutes of what is measured."""
    episodes = Episodes.of(AGENTS[name], logs, stride=5)

    times = flip_times(episodes, KNOWN[name], logs, seed=1)

    missed = [one for one in times if not one.is_near]
    assert 18 == len(times)
    assert len(missed) <= 3, missed


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_model_costs_less_than_rules_that_know_nothing(
    logs: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    """Never, always and a constant each lose more; releases are as false as tolerated."""
    episodes = Episodes.of(AGENTS["EMA"], logs, stride=23)

    rules = ruled(episodes, KNOWN["EMA"], logs, 1, ("0", "30", "240"))

    cost = {name: sum(one.cost for one in mine) for name, mine in rules.items()}
    assert "model" == min(("model", "0", "30", "240"), key=lambda name: cost[name])
    assert not [one.cell for one in rules["model"] if one.is_false_too_often]
    paused, truly = (sum(one.minutes for one in rules[name]) for name in ("model", "oracle"))
    assert paused <= 1.25 * truly


@pytest.mark.realdata
def test_the_density_is_that_of_the_recorded_week(
    logs: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    """What the tests above take as known is what two days of it already teach, within a fifth."""
    for name, agent in AGENTS.items():
        track = Track()
        readings = series(list((logs[:3_000] - logs[0]).tolist()))
        for end in range(agent.memory, len(readings), 4):
            track = followed(track, shape_of(agent), readings[max(end - 300, 0) : end], impacts=())

        assert KNOWN[name] == pytest.approx(density(track, shape_of(agent)), rel=0.2)
    assert LEARNED > len(readings)


def test_episodes_are_what_the_toolkit_follows() -> None:
    """Signal, spread and spoilt spread in an episode are those of the orchestrator's own code."""
    (seed,) = fresh_seeds(1)
    rng = random.Random(seed)
    log, walk = 0.0, []
    for _ in range(LEARNED + SPAN + 40):
        log += rng.gauss(0, 1e-3)
        walk.append(log)
    for agent in AGENTS.values():
        episodes = Episodes.of(agent, np.array(walk), stride=40)
        for cell in CELLS:
            impact = cell.impact(cell.true)
            landed = LEARNED
            own = [left_over([impact], n - landed) for n in range(len(walk))]
            age = rng.randrange(SPAN)
            seen = [walk[n] + own[n] for n in range(landed + age + 1)]
            placed = [msgspec.structs.replace(impact, block_number=landed)]
            track = followed(Track(), shape_of(agent), series(seen), impacts=placed)
            now = state(track, shape_of(agent))

            assert now is not None
            shift = episodes.shift(impact)
            assert now.spread == pytest.approx(float(episodes.spread[0, age]), rel=1e-6)
            spoilt = float(episodes.spread_with(shift)[0, age])
            assert now.spread_seen == pytest.approx(spoilt, rel=1e-6)
            assert now.shift == pytest.approx(float(shift[age]), abs=1e-10)


def test_answers_are_those_of_the_agents() -> None:
    """RSI and Donchian answer in columns as they do one by one, also where prices repeat."""
    rsi = RelativeStrength(base=WETH.address, quote=USDC.address)
    channel = Donchian(base=WETH.address, quote=USDC.address)
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        prices = [1500.0]
        for _ in range(60):
            prices.append(prices[-1] * (1 + rng.choice([0.0, 1e-4, -1e-4, 2e-3, -2e-3])))
        for agent, answer in (
            (rsi, lambda rows: strength(rows, high=rsi.high)),
            (channel, breakout),
        ):
            width = agent.span + 1
            rows = np.array([prices[end - width : end] for end in range(width, len(prices))])

            expected = [agent.side(list(row)) for row in rows.tolist()]

            assert expected == answer(rows).tolist(), f"seed {seed}"


def test_a_price_is_read_to_six_digits() -> None:
    """What is left of a cleaned price is what the orchestrator lets its dependents read."""
    prices = np.array([[1577.123456, 0.000123456789, 99999.96]])

    assert [float(f"{price:.6g}") for price in prices[0]] == pytest.approx(
        as_read(prices)[0].tolist(), rel=1e-12
    )


def test_the_error_of_a_share_is_that_of_stretches_of_time() -> None:
    """Stretches that agree leave no error; ones that differ leave theirs."""
    released = np.ones((40, 10), dtype=np.bool_)
    even = np.tile(np.arange(10) < 5, (40, 1))
    split = np.repeat(np.arange(40) < 20, 10).reshape(40, 10)

    assert 0.0 == share_error(even, released)
    assert 0.11 < share_error(split, released) < 0.12


def test_an_episode_with_its_own_memory_is_answered_as_the_model_answers_one() -> None:
    """For every rho the response is the model's, to the last digits that sums differ by."""
    agent = Momentum(base=WETH.address, quote=USDC.address)
    decay, rhos = Decay(reversion=0.4, band=BAND), np.array([1.5, 7.0, 90.0])
    cell = Cell(bps=30, reversion=0.4)

    found = keepers.responses(agent.kernel(), 30e-4, decay, rhos)

    for rho, mine in zip(rhos, found, strict=True):
        own = Decay(reversion=0.4, band=BAND, drift=float(rho))
        expected = response(agent.kernel(), cell.impact(own))[:SPAN]
        assert np.allclose(expected, mine, rtol=1e-12, atol=1e-18)
