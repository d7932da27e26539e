"""A dependent's linear signal, followed sample by sample: as it sees it, and without own trades.

Two things decide otherwise because of an own trade: the signal is shifted by C(n), and the
standard deviation that its threshold is counted in grows from sd to sd'. Either way the threshold
theta moves against the clean signal, so with f the density of the clean |score| (signal / sd) at
theta the probability of deciding otherwise is about

    f max(|C(n)| / sd, theta |sd' / sd - 1|)

the larger of both, as one side of the distribution sees their sum and the other their difference.
f is a property of the market and of the filter, not of the hour: it is learned over thousands of
samples, where those of one window, which hang together, would give f within half of it at best.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.pausing.decay import HORIZON, Impact, Table, left_over
from toolkit.reasoning.agent import LinearSignal, filtered

MEMORY = 240
"""Samples of a price that an agent is taken to look at when it does not say."""

MOST_MEMORY = 4096
"""Samples; an agent's attribute of that name that is no such number means something else."""

LEAST_WIDTH = 0.1
"""Scores; the kernel that counts those near the threshold narrows as they become many."""

PRIOR = 64.0
"""Scores that the belief before any history weighs: those of a normal distribution."""

LEARNED = 20_000.0
"""Scores after which the oldest begin to be forgotten."""

ROOT_TAU = math.sqrt(2.0 * math.pi)

NOISE = 1e-12
"""A signal smaller than this is the rounding of logarithms."""

MOST_WEIGHT = 1e100
"""Of a kernel's weights; squares of what they make of a logarithm are still numbers."""

SMALLEST = 1074
"""The smallest float is 2 to the minus this."""


@runtime_checkable
class Remembering(Protocol):
    """A linear signal whose standard deviation is that of its last `memory` samples of the price.

    It is then contaminated as well, for as long as they hold an own trade.
    """

    @property
    def memory(self) -> int:
        """Samples of the price that it looks at."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What does not change of an agent's signal, asked for once."""

    key: str
    kernel: tuple[float, ...]
    threshold: float  # theta, in scores
    memory: int  # samples of the price that it looks at
    remembers: bool  # whether the agent itself counts in the spread of those

    @property
    def room(self) -> int:
        """How many signals there are in what it looks at."""
        return max(self.memory - len(self.kernel) + 1, 1)


def shape_of(agent: LinearSignal) -> Shape:
    """Ask an agent for its signal.

    Raises:
        ConfigError: it is none: without weights or a threshold that are numbers.
    """
    kernel, threshold = tuple(agent.kernel()), agent.threshold_sds
    numbers = all(type(weight) in {int, float} and abs(weight) <= MOST_WEIGHT for weight in kernel)
    if not kernel or not numbers or len(kernel) > HORIZON:
        raise ConfigError(
            f"a linear signal's kernel needs 1..{HORIZON} finite weights, none above "
            f"{MOST_WEIGHT:g}"
        )
    if type(threshold) not in {int, float} or not 0 < threshold < math.inf:
        raise ConfigError(f"a linear signal's threshold_sds is not above 0: {threshold!r:.80}")
    memory = agent.memory if isinstance(agent, Remembering) else None
    remembers = type(memory) is int and len(kernel) <= memory <= MOST_MEMORY
    return Shape(
        key=agent.signal_key,
        kernel=kernel,
        threshold=threshold,
        memory=memory if remembers and memory is not None else max(MEMORY, 2 * len(kernel)),
        remembers=remembers,
    )


class Sample(msgspec.Struct, frozen=True):
    """The log of one price reading as the agent sees it, and what own trades left in it."""

    block: int
    value: float
    log: float
    own: float


@dataclass(frozen=True, slots=True)
class Squares:
    """Sums of squares of a signal: as the agent has it, and without own trades.

    Counted exactly, in the smallest part that a float has: what leaves the window can then be
    taken off again, and the float nearest to a sum is the one that `fsum` finds over all of it.
    """

    seen: int = 0
    clean: int = 0

    def moved(
        self, gone: Iterable[tuple[float, float]], come: Iterable[tuple[float, float]]
    ) -> "Squares":
        """Return them of a window that lost some (signal, own part) and got others."""
        seen, clean = self.seen, self.clean
        for sign, values in ((-1, gone), (1, come)):
            for value, own in values:
                square = sign * _parts(value * value)
                seen += square
                clean += sign * _parts((value - own) * (value - own)) if own else square
        return Squares(seen, clean)


class Track(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What is remembered of one dependent's signal. Sums run over the last `memory` samples."""

    samples: tuple[Sample, ...] = ()
    seen: tuple[float, ...] = ()  # the signal as the agent has it
    shifts: tuple[float, ...] = ()  # what own trades added to it
    counted_to: int = -1  # the last block whose score was counted
    scores: float = 0.0  # how many were counted, old ones for less
    mass: float = 0.0  # of theirs at the threshold

    @cached_property
    def squares(self) -> Squares:
        """The sums of squares over `seen`: no part of what it is, but of what is known of it."""
        return Squares().moved((), zip(self.seen, self.shifts, strict=True))

    @property
    def spread(self) -> float:
        """The standard deviation of the clean signal."""
        return _spread(self.squares.clean, len(self.seen))

    @property
    def spread_seen(self) -> float:
        """The same of the signal as the agent has it."""
        return _spread(self.squares.seen, len(self.seen))


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A signal at one block: its contamination, and what turns one into a probability."""

    shift: float  # C(n)
    spread: float  # sd of the clean signal
    spread_seen: float  # sd', which the agent counts in
    density: float  # f, per score
    threshold: float  # theta, in scores

    @property
    def flip_probability(self) -> float:
        """How likely it decides otherwise than without own trades, now."""
        return self.flips(self.shift, self.spread_seen)

    def flips(self, shift: float, spread_seen: float) -> float:
        """Say the same of another shift and spread."""
        if self.spread == 0.0:
            return 0.0 if shift == 0.0 and spread_seen == 0.0 else 1.0
        moved = max(abs(shift) / self.spread, self.threshold * abs(spread_seen / self.spread - 1.0))
        return min(self.density * moved, 1.0)


def followed(
    track: Track,
    shape: Shape,
    series: Sequence[Reading],
    *,
    impacts: Sequence[Impact],
    subtracted: Sequence[Impact] = (),
) -> Track:
    """Take in what is new of the price.

    Args:
        track: as of an earlier block. Begun anew where the series no longer holds what it saw,
            after a reorg or a fill that was told late.
        shape: of whose signal it is.
        series: its price, oldest first.
        impacts: own trades that the agent sees in its price.
        subtracted: own trades that are taken out of what it sees.
    """
    since = _continues(track, series)
    if since is None:
        track = msgspec.structs.replace(track, samples=(), seen=(), shifts=())
        since = 0
    fresh: list[Sample] = []
    for reading in series[max(since, len(series) - shape.memory) :]:
        block, value = reading.block_number, float(reading.value)
        if 0 < value < math.inf:
            log = math.log(value) - (left_over(subtracted, block) if subtracted else 0.0)
            own = left_over(impacts, block) if impacts else 0.0
            fresh.append(Sample(block, value, log, own))
    if not fresh:
        return track
    samples = (*track.samples, *fresh)[-shape.memory :]
    reach = samples[-(len(fresh) + len(shape.kernel) - 1) :]
    seen = _quiet(filtered(shape.kernel, tuple([one.log for one in reach])))
    return _counted(_grown(track, samples, seen, _filtered_own(shape.kernel, reach), shape), shape)


def _grown(
    track: Track,
    samples: tuple[Sample, ...],
    seen: tuple[float, ...],
    shifts: tuple[float, ...],
    shape: Shape,
) -> Track:
    """Add the newest of a signal, and let go of the oldest."""
    grown = msgspec.structs.replace(
        track,
        samples=samples,
        seen=(*track.seen, *seen)[-shape.room :],
        shifts=(*track.shifts, *shifts)[-shape.room :],
    )
    gone = len(track.seen) + len(seen) - len(grown.seen)
    if gone <= len(track.seen):  # or it is all new, and so are the sums
        news = zip(seen, shifts, strict=True)
        lost = zip(track.seen[:gone], track.shifts[:gone], strict=True)
        vars(grown)["squares"] = track.squares.moved(lost, news)
    return grown


def state(track: Track, shape: Shape) -> State | None:
    """Return where the signal stands, or None while it has too few samples."""
    if not track.seen:
        return None
    clean = track.spread
    return State(
        shift=track.shifts[-1],
        spread=clean,
        spread_seen=track.spread_seen if shape.remembers else clean,
        density=density(track, shape),
        threshold=shape.threshold,
    )


def density(track: Track, shape: Shape) -> float:
    """Return f: the density of the clean |score| at the threshold."""
    before = PRIOR * 2.0 * _normal(shape.threshold)
    return (before + track.mass) / (PRIOR + track.scores)


def ahead(track: Track, now: State, tables: Sequence[tuple[int, Table]]) -> Table:
    """Return the probability of deciding otherwise at each sample to come, up to the horizon.

    Args:
        track: as of now.
        now: its state.
        tables: samples since it landed, and `decay.response`, of each own trade.

    What the price will do is not known, so products of it with C count as nothing.
    """
    shift = np.zeros(HORIZON)
    for age, table in tables:
        known = table[age + 1 :]
        shift[: len(known)] += known
    moved = np.abs(shift) / now.spread if now.spread else np.where(shift == 0.0, 0.0, np.inf)
    if now.spread and now.spread_seen != now.spread:
        seen, own = np.array(track.seen), np.array(track.shifts)
        gained = np.zeros(HORIZON)
        room = min(len(seen), HORIZON)
        gained[:room] = (seen * seen - (seen - own) * (seen - own))[:room]
        # Of what is in the window already.
        left = math.fsum(gained[:room].tolist()) - np.cumsum(gained)
        added = np.cumsum(shift * shift)
        added[room:] -= added[: HORIZON - room].copy()
        spread = np.sqrt(np.maximum(now.spread**2 + (left + added) / len(seen), 0.0))
        moved = np.maximum(moved, now.threshold * np.abs(spread / now.spread - 1.0))
    return np.minimum(now.density * moved, 1.0)


def _continues(track: Track, series: Sequence[Reading]) -> int | None:
    """Return how much of the series the track has seen; None where they do not fit."""
    if not track.samples:
        return None
    last = track.samples[-1]
    for index in range(len(series) - 1, -1, -1):
        if series[index].block_number <= last.block:
            same = series[index].block_number == last.block
            return index + 1 if same and float(series[index].value) == last.value else None
    return None


def _counted(track: Track, shape: Shape) -> Track:
    """Count the scores of blocks that were not counted yet, by the spread there is now."""
    if not track.seen or track.samples[-1].block <= track.counted_to:
        return track
    spread = track.spread
    if spread == 0.0:
        return track
    fresh = 0
    for sample in reversed(track.samples[-len(track.seen) :]):
        if sample.block <= track.counted_to:
            break
        fresh += 1
    scores, mass = track.scores, track.mass
    for seen, own in zip(track.seen[-fresh:], track.shifts[-fresh:], strict=True):
        score = (seen - own) / spread
        width = max(math.pow(scores + PRIOR, -0.25), LEAST_WIDTH)
        near = _normal((score - shape.threshold) / width)
        near += _normal((score + shape.threshold) / width)
        keep = 1.0 - 1.0 / LEARNED
        scores, mass = scores * keep + 1.0, mass * keep + near / width
    counted = msgspec.structs.replace(
        track, counted_to=track.samples[-1].block, scores=scores, mass=mass
    )
    vars(counted)["squares"] = track.squares
    return counted


def _filtered_own(kernel: tuple[float, ...], samples: Sequence[Sample]) -> tuple[float, ...]:
    """Filter what own trades left; the usual answer, nothing, costs nothing."""
    own = tuple([one.own for one in samples])
    if not any(own):
        return (0.0,) * max(len(own) - len(kernel) + 1, 0)
    return filtered(kernel, own)


def _quiet(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple([0.0 if abs(value) < NOISE else value for value in values])


def _parts(value: float) -> int:
    """Return a float in units of the smallest one, 2^-1074, exactly."""
    above, below = value.as_integer_ratio()  # below is a power of two
    return above << (SMALLEST + 1 - below.bit_length())


def _spread(squares: int, count: int) -> float:
    return math.sqrt(squares / (1 << SMALLEST) / max(count, 1))


def _normal(score: float) -> float:
    return math.exp(-score * score / 2.0) / ROOT_TAU
