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
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from toolkit.model.decision import Reading
from toolkit.orchestrator.decay import HORIZON, Impact, Table, left_over
from toolkit.reasoning.agent import LinearSignal, filtered

MEMORY = 240
"""Samples of a price that an agent is taken to look at when it does not say."""

LEAST_WIDTH = 0.1
"""Scores; the kernel that counts those near the threshold narrows as they become many."""

PRIOR = 64.0
"""Scores that the belief before any history weighs: those of a normal distribution."""

LEARNED = 20_000.0
"""Scores after which the oldest begin to be forgotten."""

NOISE = 1e-12
"""A signal smaller than this is the rounding of logarithms."""


@runtime_checkable
class Remembering(Protocol):
    """A linear signal whose standard deviation is that of its last `memory` samples of the price.

    It is then contaminated as well, for as long as they hold an own trade.
    """

    @property
    def memory(self) -> int:
        """Samples of the price that it looks at."""
        ...


class Sample(msgspec.Struct, frozen=True):
    """The log of one price reading as the agent sees it, and what own trades left in it."""

    block: int
    value: float
    log: float
    own: float


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one dependent's signal. Sums run over the last `memory` samples."""

    samples: tuple[Sample, ...] = ()
    seen: tuple[float, ...] = ()  # the signal as the agent has it
    shifts: tuple[float, ...] = ()  # what own trades added to it
    counted_to: int = -1  # the last block whose score was counted
    scores: float = 0.0  # how many were counted, old ones for less
    mass: float = 0.0  # of theirs at the threshold


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
    agent: LinearSignal,
    series: Sequence[Reading],
    *,
    impacts: Sequence[Impact],
    subtracted: Sequence[Impact] = (),
) -> Track:
    """Take in what is new of the price.

    Args:
        track: as of an earlier block. Begun anew where the series no longer holds what it saw,
            after a reorg or a fill that was told late.
        agent: whose signal it is.
        series: its price, oldest first.
        impacts: own trades that the agent sees in its price.
        subtracted: own trades that are taken out of what it sees.
    """
    usable = [reading for reading in series if float(reading.value) > 0]
    since = _continues(track, usable)
    if since is None:
        track = msgspec.structs.replace(track, samples=(), seen=(), shifts=())
        since = 0
    depth, kernel = memory_of(agent), agent.kernel()
    samples = list(track.samples)
    for reading in usable[max(since, len(usable) - depth) :]:
        block, value = reading.block_number, float(reading.value)
        log = math.log(value) - left_over(subtracted, block)
        samples.append(Sample(block, value, log, left_over(impacts, block)))
    new = len(samples) - len(track.samples)
    samples = samples[-depth:]
    reach = samples[-(new + len(kernel) - 1) :]
    room = max(depth - len(kernel) + 1, 1)
    seen = (*track.seen, *_quiet(filtered(kernel, tuple(one.log for one in reach))))[-room:]
    shifts = (*track.shifts, *_filtered_own(kernel, reach))[-room:]
    grown = msgspec.structs.replace(track, samples=tuple(samples), seen=seen, shifts=shifts)
    return _counted(grown, agent)


def memory_of(agent: LinearSignal) -> int:
    """Return how many samples of its price an agent looks at."""
    return agent.memory if isinstance(agent, Remembering) else MEMORY


def state(track: Track, agent: LinearSignal) -> State | None:
    """Return where the signal stands, or None while it has too few samples."""
    if not track.seen:
        return None
    clean = _spread([a - b for a, b in zip(track.seen, track.shifts, strict=True)])
    return State(
        shift=track.shifts[-1],
        spread=clean,
        spread_seen=_spread(track.seen) if isinstance(agent, Remembering) else clean,
        density=density(track, agent),
        threshold=agent.threshold_sds,
    )


def density(track: Track, agent: LinearSignal) -> float:
    """Return f: the density of the clean |score| at the threshold."""
    before = PRIOR * 2.0 * _normal(agent.threshold_sds)
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
        left = math.fsum(gained) - np.cumsum(gained)  # of what is in the window already
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


def _counted(track: Track, agent: LinearSignal) -> Track:
    """Count the scores of blocks that were not counted yet, by the spread there is now."""
    spread = _spread([a - b for a, b in zip(track.seen, track.shifts, strict=True)])
    if spread == 0.0:
        return track
    scores, mass, theta = track.scores, track.mass, agent.threshold_sds
    fresh = track.samples[-len(track.seen) :]
    for sample, seen, shift in zip(fresh, track.seen, track.shifts, strict=True):
        if sample.block <= track.counted_to:
            continue
        score = (seen - shift) / spread
        width = max(math.pow(scores + PRIOR, -0.25), LEAST_WIDTH)
        near = _normal((score - theta) / width) + _normal((score + theta) / width)
        keep = 1.0 - 1.0 / LEARNED
        scores, mass = scores * keep + 1.0, mass * keep + near / width
    return msgspec.structs.replace(
        track, counted_to=max(track.counted_to, fresh[-1].block), scores=scores, mass=mass
    )


def _filtered_own(kernel: tuple[float, ...], samples: Sequence[Sample]) -> tuple[float, ...]:
    """Filter what own trades left; the usual answer, nothing, costs nothing."""
    width = len(kernel)
    if all(one.own == 0.0 for one in samples):
        return (0.0,) * max(len(samples) - width + 1, 0)
    return filtered(kernel, tuple(one.own for one in samples))


def _quiet(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(0.0 if abs(value) < NOISE else value for value in values)


def _spread(signal: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in signal) / max(len(signal), 1))


def _normal(score: float) -> float:
    return math.exp(-score * score / 2.0) / math.sqrt(2.0 * math.pi)
