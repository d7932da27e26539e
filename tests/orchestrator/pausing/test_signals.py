"""A dependent's signal is followed sample by sample, with and without own trades."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec
import pytest

from tests.orchestrator.pausing.test_decay import BPS, impact
from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.chain import ZERO_HASH
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.pausing.decay import HORIZON, Decay, Impact, left_over, response
from toolkit.orchestrator.pausing.signals import (
    PRIOR,
    SMALLEST,
    Squares,
    Track,
    _parts,
    ahead,
    density,
    followed,
    shape_of,
    state,
)
from toolkit.reasoning.agent import LinearSignal, filtered
from toolkit.reasoning.momentum import Momentum

KEY = "price/WETH-USDC"
FULL = Momentum(base=WETH.address, quote=USDC.address)


@dataclass(frozen=True)
class Small:
    """A short filter of somebody else's, whose spread is its own samples'."""

    name: str = "small"
    signal_key: str = KEY
    threshold_sds: float = 0.5
    memory: int = 24

    def kernel(self) -> tuple[float, ...]:
        """Return the newest price less the mean of the four before it."""
        return (1.0, -0.25, -0.25, -0.25, -0.25)


def series(logs: Sequence[float], *, first: int = 0) -> tuple[Reading, ...]:
    """Readings of a price by its logarithms, one a block."""
    return tuple(
        Reading(
            key=KEY,
            value=2000.0 * math.exp(log),
            source="pool",
            block_number=first + n,
            block_hash=ZERO_HASH,
            observed_at=n,
            max_age_blocks=1,
        )
        for n, log in enumerate(logs)
    )


def walk(rng: random.Random, count: int) -> list[float]:
    """Log prices of a market that trends a little."""
    price, drift, made = 0.0, 0.0, []
    for _ in range(count):
        drift = 0.97 * drift + rng.gauss(0, 5e-5)
        price += drift + rng.gauss(0, 6e-4)
        made.append(price)
    return made


def step_by_step(
    agent: LinearSignal, readings: Sequence[Reading], *, impacts: Sequence[Impact] = ()
) -> Track:
    """Follow a signal block by block, as the orchestrator does."""
    track = Track()
    for end in range(1, len(readings) + 1):
        track = followed(track, shape_of(agent), readings[:end], impacts=impacts)
    return track


def moved(logs: Sequence[float], impacts: Sequence[Impact]) -> list[float]:
    """Log prices with own trades in them."""
    return [log + left_over(impacts, block) for block, log in enumerate(logs)]


def test_what_own_trades_left_is_taken_out_exactly() -> None:
    """Signal, shift and spreads are those of the series with and without the trades."""
    agent = Small()
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        logs = walk(rng, 60)
        decay = Decay(reversion=rng.uniform(0.05, 0.95), drift=rng.uniform(2, 60))
        own = [impact(rng.uniform(-90, 90), block=rng.randrange(30, 60), decay=decay)]

        found = state(step_by_step(agent, series(moved(logs, own)), impacts=own), shape_of(agent))

        assert found is not None
        clean, seen = (
            filtered(agent.kernel(), tuple(values))[-(24 - 5 + 1) :]
            for values in (logs, moved(logs, own))
        )
        assert math.isclose(seen[-1] - clean[-1], found.shift, abs_tol=1e-12), f"seed {seed}"
        for expected, spread in ((clean, found.spread), (seen, found.spread_seen)):
            rms = math.sqrt(sum(v * v for v in expected) / len(expected))
            assert math.isclose(rms, spread, rel_tol=1e-9), f"seed {seed}"


def test_one_look_at_a_past_is_as_many_looks() -> None:
    """Signals do not depend on whether the past came block by block or at once."""
    agent = Small()
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        own = [impact(40, block=40)]
        readings = series(moved(walk(rng, 60), own))

        once = followed(Track(), shape_of(agent), readings, impacts=own)
        often = step_by_step(agent, readings, impacts=own)

        assert (once.seen, once.shifts) == (often.seen, often.shifts), f"seed {seed}"


def test_spreads_are_those_of_the_whole_window() -> None:
    """What is kept up sample by sample is to the last digit what a sum over the window gives."""
    agent = Small()
    for seed in fresh_seeds(50):
        rng = random.Random(seed)
        own = [impact(rng.uniform(-90, 90), block=rng.randrange(10, 60)) for _ in range(2)]
        readings = series(moved(walk(rng, 80), own))
        track, end = Track(), 0
        while end < len(readings):
            end += rng.choice((1, 1, 1, 2, 30))
            if rng.random() < 0.1:
                track = msgspec.structs.replace(track, samples=(), seen=(), shifts=())
            track = followed(track, shape_of(agent), readings[:end], impacts=own)

            for spread, signal in (
                (track.spread_seen, track.seen),
                (track.spread, [a - b for a, b in zip(track.seen, track.shifts, strict=True)]),
            ):
                whole = math.fsum(value * value for value in signal) / max(len(signal), 1)
                assert math.sqrt(whole) == spread, f"seed {seed}"


@pytest.mark.parametrize("value", [5e-324, 1e-308, 1 / 3, 2.0**1023, 0.0, -1e-200])
def test_a_sum_of_squares_is_exact(value: float) -> None:
    """A float is counted in the smallest floats without a rest, and can be taken off again."""
    whole = Squares().moved((), [(1.5, 0.0)])

    assert Fraction(value) == Fraction(_parts(value), 2**SMALLEST)
    assert whole == whole.moved((), [(value / 2**512, 0.0)]).moved([(value / 2**512, 0.0)], ())


def test_a_past_that_changed_is_looked_at_again() -> None:
    """After a reorg the signal is that of the new blocks alone; a score is not counted twice."""
    agent = Small()
    rng = random.Random(5)
    logs = walk(rng, 60)
    other = [*logs[:57], *(log + 0.01 for log in logs[57:])]
    before = step_by_step(agent, series(logs))

    after = followed(before, shape_of(agent), series(other)[:59], impacts=())

    assert followed(Track(), shape_of(agent), series(other)[:59], impacts=()).seen == after.seen
    assert (before.counted_to, before.scores) == (after.counted_to, after.scores)


def test_the_density_is_learned_over_many_samples() -> None:
    """What is believed at first gives way to how often the market is near the threshold."""
    agent = Small()
    normal = 2 * math.exp(-0.125) / math.sqrt(2 * math.pi)
    assert math.isclose(normal, density(Track(), shape_of(agent)))
    (seed,) = fresh_seeds(1)
    readings = series(walk(random.Random(seed), 3_000))
    track = Track()
    scores = []
    for end in range(30, len(readings)):
        track = followed(track, shape_of(agent), readings[max(end - 60, 0) : end], impacts=())
        found = state(track, shape_of(agent))
        assert found is not None
        scores.append(abs(track.seen[-1]) / found.spread)

    near = sum(0.4 <= score < 0.6 for score in scores) / len(scores) / 0.2

    assert math.isclose(near, density(track, shape_of(agent)), rel_tol=0.15), f"seed {seed}"
    assert track.scores > 2_500


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bps", [30.0, 100.0])
@pytest.mark.parametrize("reversion", [0.9, 0.5, 0.1])
def test_flips_are_as_likely_as_said(bps: float, reversion: float) -> None:
    """Over a long market the share decided otherwise is f times a small shift, within 25 %."""
    decay = Decay(reversion=reversion)
    table = response(FULL.kernel(), impact(bps, decay=decay))
    signal = filtered(FULL.kernel(), tuple(walk(random.Random(7), 9_000)))
    spread = math.sqrt(sum(v * v for v in signal) / len(signal))
    level = FULL.threshold_sds * spread
    normal = 2 * math.exp(-0.125) / math.sqrt(2 * math.pi)

    def decided(value: float) -> int:
        return (value > level) - (value < -level)

    small = [shift for shift in table[:120:4].tolist() if normal * abs(shift) < 0.15 * spread]
    assert small
    for shift in small:
        flips = sum(decided(v + shift) != decided(v) for v in signal) / len(signal)

        assert math.isclose(normal * abs(shift) / spread, flips, rel_tol=0.25, abs_tol=0.01)


def test_what_is_ahead_comes_true() -> None:
    """In a price that stands still, what was predicted is found sample after sample."""
    agent = Small()
    own = [impact(60, block=59, decay=Decay(reversion=0.4, drift=20.0))]
    calm = [1e-3 * math.sin(n) for n in range(60)]
    logs = [*calm, *[calm[-1]] * 30]
    readings = series(moved(logs, own))
    track = step_by_step(agent, readings[:60], impacts=own)
    now = state(track, shape_of(agent))
    assert now is not None

    shifts = response(agent.kernel(), own[0])
    predicted = ahead(track, now, [(0, shifts)])

    assert HORIZON == len(predicted)
    for n in range(1, 30):
        track = followed(track, shape_of(agent), readings[: 60 + n], impacts=own)
        assert math.isclose(shifts[n], track.shifts[-1], abs_tol=1e-12)
    assert predicted[-1] < 1e-9 < predicted[0]


def test_a_grown_spread_decides_otherwise_too() -> None:
    """An own trade that has left the filter but not the spread still moves the threshold."""
    agent, logs = Small(), walk(random.Random(3), 60)
    own = [impact(150, block=45, decay=Decay(reversion=0.98, band=0.0))]

    found = state(step_by_step(agent, series(moved(logs, own)), impacts=own), shape_of(agent))

    assert found is not None
    assert abs(found.shift) < 1e-12
    assert found.spread_seen > 2 * found.spread
    assert found.flip_probability > 0.3


def test_a_price_that_never_moved_has_no_signal_to_shift() -> None:
    """Without variation nothing is decided, so an own trade decides everything."""
    agent = Small()
    flat = state(step_by_step(agent, series([0.0] * 30)), shape_of(agent))
    own = [impact(10, block=29)]
    hit = state(step_by_step(agent, series(moved([0.0] * 30, own)), impacts=own), shape_of(agent))

    assert flat is not None
    assert hit is not None
    assert (0.0, 1.0) == (flat.flip_probability, hit.flip_probability)


def test_a_track_survives_the_journal() -> None:
    """What is remembered of a signal is the same after a checkpoint, to the last digit."""
    own = [impact(40, block=40)]
    track = step_by_step(Small(), series(moved(walk(random.Random(1), 60), own)), impacts=own)

    assert track == msgspec.json.decode(msgspec.json.encode(track), type=Track)
    assert PRIOR > 0
    assert (24, True) == (shape_of(Small()).memory, shape_of(Small()).remembers)
    assert abs(left_over(own, 40)) == pytest.approx(40 * BPS)


class Odd(Small):
    """A signal of somebody else's, of any shape."""

    def __init__(self, kernel: object, **changes: object) -> None:
        super().__init__()
        self.__dict__.update(changes)
        object.__setattr__(self, "given", kernel)

    def kernel(self) -> tuple[float, ...]:
        """Return what was given."""
        return self.__dict__["given"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kernel", "changes", "words"),
    [
        ((), {}, "needs 1..512 finite weights"),
        ((1.0, math.nan), {}, "needs 1..512 finite weights"),
        ((1.0, -1e101), {}, "none above 1e[+]100"),
        (("much",), {}, "needs 1..512 finite weights"),
        ((1.0,) * 513, {}, "needs 1..512 finite weights"),
        ((1.0, -1.0), {"threshold_sds": math.inf}, "not above 0: inf"),
        ((1.0, -1.0), {"threshold_sds": "high"}, "not above 0: 'high'"),
    ],
)
def test_a_signal_that_is_none_is_refused(
    kernel: object, changes: dict[str, object], words: str
) -> None:
    """A kernel or threshold that nothing can be computed with is refused with the reason."""
    with pytest.raises(ConfigError, match=words):
        shape_of(Odd(kernel, **changes))


def test_a_memory_that_means_something_else_is_no_number_of_samples() -> None:
    """An attribute of that name that is no number of samples is not taken for one."""
    for memory in ([1, 2], -1, 1, 10**9, None):
        shape = shape_of(Odd((1.0, -1.0), memory=memory))

        assert (240, False) == (shape.memory, shape.remembers)
