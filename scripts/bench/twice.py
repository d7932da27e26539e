"""RSI and Donchian on recorded minutes: paused while the answer without own trades differs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.bench.episodes import (
    CELLS,
    LEARNED,
    SPAN,
    Cell,
    Mask,
    Matrix,
    Sides,
    learned_decay,
    share_error,
    way_of,
)
from toolkit.orchestrator.pausing.decay import Decay, residue
from toolkit.orchestrator.pausing.subtraction import DIGITS

Answer = Callable[[Matrix], Sides]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One agent in one cell: paused by its second answer, and wrong without and with that."""

    agent: str
    cell: Cell
    paused: Mask
    differs: Mask

    @property
    def minutes(self) -> float:
        """How long it is paused, on average."""
        return float(self.paused.sum(axis=1).mean())

    @property
    def truly(self) -> float:
        """How many minutes it decides otherwise: what hindsight would pause."""
        return float(self.differs.sum(axis=1).mean())

    @property
    def false_share(self) -> float:
        """Return the share of false among released decisions."""
        return float((self.differs & ~self.paused).sum() / max((~self.paused).sum(), 1))

    def is_false_too_often(self, tolerance: float) -> bool:
        """Whether that share is beyond the tolerance and two standard errors."""
        return self.false_share > tolerance + 2 * share_error(self.differs, ~self.paused)


def strength(prices: Matrix, *, high: float) -> Sides:
    """Answer like `RelativeStrength`: the last price in the last column."""
    steps = np.diff(prices, axis=1)
    up = np.where(steps > 0, steps, 0.0).sum(axis=1)
    way = up - np.where(steps < 0, steps, 0.0).sum(axis=1)
    share = np.divide(up, way, out=np.full_like(up, 0.5), where=way > 0)
    return way_of(share < 1 - high, share > high)


def as_read(prices: Matrix) -> Matrix:
    """Round to the digits that are left of a price from which an own trade was taken out."""
    unit = np.power(10.0, np.floor(np.log10(prices)) - (DIGITS - 1))
    return np.asarray(np.round(prices / unit) * unit)


def breakout(prices: Matrix) -> Sides:
    """Answer like `Donchian`."""
    last, channel = prices[:, -1], prices[:, :-1]
    above, below = last > channel.max(axis=1), last < channel.min(axis=1)
    return way_of(above, below)


def asked_twice(name: str, answer: Answer, span: int, logs: Matrix, seed: int) -> list[Asked]:
    """Ask with what really happened, with own trades taken out as known, and as if none had been.

    Args:
        name: of the agent.
        answer: its decision from the last `span` + 1 prices.
        span: how far it looks back.
        logs: the recorded minutes.
        seed: of the own fills that taught how impacts fade.
    """
    starts = np.arange(LEARNED, len(logs) - SPAN, 11)
    past = np.arange(-span, 1)
    found = []
    for cell in CELLS:
        true, guess = cell.true, learned_decay(cell, logs, seed)
        masks = [np.zeros((len(starts), SPAN), dtype=np.bool_) for _ in range(2)]
        for age in range(SPAN):
            clean = logs[starts[:, None] + age + past]
            own, known = (_left(cell, decay, age + past) for decay in (true, guess))
            seen = answer(np.exp(clean + own))
            masks[0][:, age] = seen != answer(as_read(np.exp(clean + own - known)))
            masks[1][:, age] = seen != answer(np.exp(clean))
        found.append(Asked(agent=name, cell=cell, paused=masks[0], differs=masks[1]))
    return found


def _left(cell: Cell, decay: Decay, ages: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Matrix:
    move = cell.bps * 1e-4
    left = [residue(move, int(age), decay) for age in ages]
    assert all(math.isfinite(value) for value in left)
    return np.array(left)
