"""Own trades planted in recorded minutes, and what agents then decide with and without them.

An episode is a trade at one recorded minute and the 240 minutes after it; thousands of them are
looked at together, one row each, one column a minute. What a pause rule knows was learned before
them: the density at the threshold from ten thousand minutes, the rate of reversion from 300 own
fills among those.
"""

import csv
import gzip
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.model.chain import ZERO_HASH
from toolkit.model.decision import Reading
from toolkit.orchestrator.pausing.decay import Decay, Impact, Reversion, Table, residue, response
from toolkit.orchestrator.pausing.signals import Track, density, followed, shape_of

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Sides = NDArray[np.int8]

SPAN = 240
"""Minutes that an episode lasts."""
LEARNED = 10_000
"""Minutes before the first episode."""
FILLS = 300
BAND = 5e-4  # the pool's fee, within which nobody need correct
DRIFT = 60.0  # minutes, as in the anchor
IMPACTS_BPS = (10, 30, 100)
REVERSIONS = (0.9, 0.5, 0.1)
TOLERANCES = (0.02, 0.05)
BLOCKS = 20
"""Stretches of time whose rates differ as chance has it: the standard error is theirs."""


class Scored(Protocol):
    """An agent with a linear signal, counted in its own standard deviations."""

    @property
    def memory(self) -> int:
        """Samples of the price that it looks at."""
        ...

    @property
    def signal_key(self) -> str:
        """The price."""
        ...

    @property
    def threshold_sds(self) -> float:
        """Where the decision flips."""
        ...

    def kernel(self) -> tuple[float, ...]:
        """Return the filter."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One impact in one market."""

    bps: int
    reversion: float

    @property
    def true(self) -> Decay:
        """How it fades."""
        return Decay(reversion=self.reversion, band=BAND, drift=DRIFT)

    def impact(self, decay: Decay) -> Impact:
        """Return it as a trade that is taken to fade like that."""
        return Impact(
            agent="arbitrage",
            key="price",
            verdict_id="",
            block_number=0,
            log_move=self.bps * 1e-4,
            decay=decay,
        )


CELLS = tuple(Cell(bps=bps, reversion=rate) for bps in IMPACTS_BPS for rate in REVERSIONS)


def recorded(path: Path) -> Matrix:
    """Return the log of whole USDC per WETH in each recorded minute, from its closing tick."""
    with gzip.open(path, "rt") as file:
        ticks = [float(row["closeTick"]) for row in csv.DictReader(file)]
    return math.log(10**12) - np.array(ticks) * math.log(1.0001)


def learned_density(agent: Scored, logs: Matrix) -> float:
    """Return what the toolkit knows of the density at the threshold after `LEARNED` minutes."""
    track, shape, readings = Track(), shape_of(agent), []
    for minute in range(LEARNED):
        readings.append(
            Reading(
                key=agent.signal_key,
                value=math.exp(logs[minute] - logs[0]),
                source="pool",
                block_number=minute,
                block_hash=ZERO_HASH,
                observed_at=60 * minute,
                max_age_blocks=1,
            )
        )
        if minute >= agent.memory:
            track = followed(track, shape, readings[-agent.memory - 2 :], impacts=())
    return density(track, shape)


def learned_decay(cell: Cell, logs: Matrix, seed: int) -> Decay:
    """Return what the toolkit knows of reversion after `FILLS` own fills of 7.5 to 100 bp.

    The drift is taken as given: in a world into which impacts are planted no price's own history
    could tell it.
    """
    rng = random.Random(f"{seed}/{cell.reversion}")  # noqa: S311 - an experiment, no secret
    reversion = Reversion.prior(band=BAND)
    for _ in range(FILLS):
        minute = rng.randrange(LEARNED - 1)
        move = rng.choice((-1, 1)) * rng.uniform(7.5e-4, 1e-2)
        step = float(logs[minute + 1] - logs[minute])
        step += residue(move, 1, cell.true) - residue(move, 0, cell.true)
        reversion = reversion.observed(move, step)
    known = reversion.decay(most_band=BAND)
    return Decay(reversion=float(known.reversion), band=float(known.band), drift=DRIFT)


def sides(signal: Matrix, level: Matrix) -> Sides:
    """Return long, short or neither."""
    return way_of(signal > level, signal < -level)


def way_of(above: Mask, below: Mask) -> Sides:
    """Return 1, -1 or 0."""
    return above.astype(np.int8) - below.astype(np.int8)


def share_error(false: Mask, released: Mask) -> float:
    """Return the standard error of a share, from what it is in stretches of time apart."""
    wrong = false & released
    rates = [
        one.sum() / max(other.sum(), 1)
        for one, other in zip(
            np.array_split(wrong, BLOCKS), np.array_split(released, BLOCKS), strict=True
        )
    ]
    return float(np.std(rates, ddof=1) / math.sqrt(BLOCKS))


@dataclass(frozen=True, slots=True)
class Episodes:
    """What an agent's signal would be without own trades: (episodes, SPAN), and its spread."""

    agent: Scored
    signal: Matrix
    spread: Matrix

    @classmethod
    def of(cls, agent: Scored, logs: Matrix, *, stride: int) -> "Episodes":
        """Lay out an episode every `stride` minutes after what was learned from."""
        kernel = np.array(agent.kernel())
        room = agent.memory - len(kernel) + 1
        signal = np.convolve(logs - logs[0], kernel, "valid")
        squares = np.concatenate(([0.0], np.cumsum(signal * signal)))
        spread = np.sqrt((squares[room:] - squares[:-room]) / room)
        first = LEARNED - (agent.memory - 1)
        starts = np.arange(first, len(spread) - SPAN, stride)
        minutes = starts[:, None] + np.arange(SPAN)[None]
        return cls(agent, signal[room - 1 :][minutes], spread[minutes])

    def spread_with(self, shift: Table) -> Matrix:
        """Return the spread of the signal with a shift in it, over the agent's own window."""
        room = self.agent.memory - len(self.agent.kernel()) + 1
        grown = np.cumsum(2 * self.signal * shift + shift * shift, axis=1)
        grown[:, room:] -= grown[:, :-room].copy()
        return np.asarray(np.sqrt(np.maximum(self.spread**2 + grown / room, 0.0)))

    def shift(self, impact: Impact) -> Table:
        """Return C over an episode."""
        return response(self.agent.kernel(), impact)[:SPAN]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipTime:
    """The last minute in which more decisions flip than tolerated: predicted and measured."""

    cell: Cell
    tolerance: float
    measured: int
    predicted: int

    @property
    def is_near(self) -> bool:
        """Whether they differ by no more than a tenth or four minutes."""
        return abs(self.measured - self.predicted) <= max(0.1 * self.measured, 4)


def flip_times(episodes: Episodes, known: float, logs: Matrix, seed: int) -> list[FlipTime]:
    """Compare, cell by cell, for a threshold that counts in the spread of a clean market."""
    level = episodes.agent.threshold_sds * episodes.spread
    clean = sides(episodes.signal, level)
    found = []
    for cell in CELLS:
        true = episodes.shift(cell.impact(cell.true))
        guess = episodes.shift(cell.impact(learned_decay(cell, logs, seed)))
        flips = (sides(episodes.signal + true, level) != clean).mean(axis=0)
        said = np.minimum(known * np.abs(guess) / episodes.spread[:, :1], 1.0).mean(axis=0)
        found += [
            FlipTime(
                cell=cell,
                tolerance=tolerance,
                measured=last_of(flips > tolerance),
                predicted=last_of(said > tolerance),
            )
            for tolerance in TOLERANCES
        ]
    return found


def last_of(above: Mask) -> int:
    """Return the first minute after which nothing is above any more."""
    return int(np.max(np.nonzero(above)[0], initial=-1)) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """One rule in one cell: which minutes it pauses, and which are decided otherwise."""

    cell: Cell
    tolerance: float
    paused: Mask
    differs: Mask

    @property
    def minutes(self) -> float:
        """How long it pauses, on average."""
        return float(self.paused.sum(axis=1).mean())

    @property
    def cost(self) -> float:
        """Minutes lost: a false decision costs one, a paused one what is tolerated instead."""
        lost = np.where(self.paused, self.tolerance, self.differs)
        return float(lost.sum(axis=1).mean())

    def false_share(self, ages: slice) -> tuple[float, float]:
        """Return the share of false among released decisions at some ages, and its error."""
        released = ~self.paused[:, ages]
        false = self.differs[:, ages]
        share = float((false & released).sum() / max(released.sum(), 1))
        return share, share_error(false, released)

    @property
    def is_false_too_often(self) -> bool:
        """Whether the share is beyond tolerance + 2 s.e.; see `false_share`."""
        share, error = self.false_share(slice(None))
        return share > self.tolerance + 2 * error

    @property
    def worst_minutes(self) -> tuple[int, float]:
        """Return the ten minutes (by age) whose share is furthest beyond tolerance + 2 s.e."""
        found = []
        for age in range(0, SPAN, 10):
            share, error = self.false_share(slice(age, age + 10))
            found.append((share - self.tolerance - 2 * error, age))
        excess, age = max(found)
        return age, excess


Rule = Callable[[Mask], Mask]


def oracle(tolerance: float) -> Rule:
    """Pause exactly at the ages at which more flip than tolerated, as only hindsight tells."""
    return lambda differs: np.broadcast_to(differs.mean(axis=0) > tolerance, differs.shape)


def constant(minutes: int) -> Rule:
    """Pause so long after each trade, whatever it was."""
    return lambda differs: np.broadcast_to(np.arange(SPAN) < minutes, differs.shape)


def ruled(
    episodes: Episodes, known: float, logs: Matrix, seed: int, rules: Sequence[str]
) -> dict[str, list[Ruled]]:
    """Try the model and other rules on agents that count in their own, spoilt, spread."""
    agent = episodes.agent
    clean = sides(episodes.signal, agent.threshold_sds * episodes.spread)
    found: dict[str, list[Ruled]] = {name: [] for name in ("model", "oracle", "subtract", *rules)}
    for cell in CELLS:
        true = episodes.shift(cell.impact(cell.true))
        guess = episodes.shift(cell.impact(learned_decay(cell, logs, seed)))
        seen = episodes.spread_with(true)
        differs = sides(episodes.signal + true, agent.threshold_sds * seen) != clean
        left = episodes.spread_with(true - guess)
        moved = np.maximum(np.abs(guess) / left, agent.threshold_sds * np.abs(seen / left - 1))
        cured = sides(episodes.signal + true - guess, agent.threshold_sds * left) != clean
        for tolerance in TOLERANCES:
            made: dict[str, tuple[Mask, Mask]] = {
                "model": (known * moved > tolerance, differs),
                "oracle": (oracle(tolerance)(differs), differs),
                "subtract": (np.zeros_like(differs), cured),
            }
            made |= {name: (constant(int(name))(differs), differs) for name in rules}
            for name, (paused, wrong) in made.items():
                one = Ruled(cell=cell, tolerance=tolerance, paused=paused, differs=wrong)
                found[name].append(one)
    return found
