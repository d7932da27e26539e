"""A market in which arbitrageurs keep a pool near a fair price, the recorded one.

Nothing is planted by formula here: each minute, with probability lam, somebody brings the pool
back to the edge of the band around the fair price. An own trade's impact is what the pool does
with it, less what it does without it, under the same arbitrageurs; and all that the prediction
rests on is what the toolkit estimates from that pool's own past and own fills: how fast others
correct, once; how long what lies within the band is remembered, at each trade, since it follows
how much the price moves in those hours; the signal's spread, in each minute that is judged.
"""

import math
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.bench.episodes import (
    BAND,
    CELLS,
    FILLS,
    LEARNED,
    REVERSIONS,
    SPAN,
    TOLERANCES,
    FlipTime,
    Mask,
    Matrix,
    Scored,
    last_of,
    sides,
)
from toolkit.orchestrator.board.blackboard import HISTORY
from toolkit.orchestrator.pausing.decay import MOST_DRIFT, Decay, Reversion, drift_time

STRIDE = 5
Minutes = NDArray[np.int64]


def kept(prices: Matrix, fair: Matrix, comes: Mask) -> Matrix:
    """Return the pool's prices a minute later."""
    return np.where(comes, fair + np.clip(prices - fair, -BAND, BAND), prices)


def market(fair: Matrix, reversion: float, seed: int) -> tuple[Matrix, Mask]:
    """Return the pool's price without own trades, and when somebody comes."""
    comes = np.random.default_rng(seed).random(len(fair)) < reversion
    price, found = fair[:1], np.empty_like(fair)
    for minute in range(len(fair)):
        price = kept(price, fair[minute : minute + 1], comes[minute : minute + 1])
        found[minute] = price[0]
    return found, comes


def estimated(pool: Matrix, fair: Matrix, comes: Mask, seed: int) -> Decay:
    """Return what the toolkit makes of own fills; what it makes of the past is each trade's."""
    rng = random.Random(seed)  # noqa: S311 - an experiment, no secret
    reversion = Reversion.prior(band=BAND)
    for _ in range(FILLS):
        minute = rng.randrange(LEARNED - 1)
        move = rng.choice((-1, 1)) * rng.uniform(7.5e-4, 1e-2)
        after = slice(minute + 1, minute + 2)
        hit = pool[minute : minute + 1] + move
        step = float(kept(hit, fair[after], comes[after])[0] - hit[0])
        reversion = reversion.observed(move, step)
    return reversion.decay(most_band=BAND)


def drifts(pool: Matrix, starts: Minutes, decay: Decay) -> Matrix:
    """Return rho as the toolkit estimates it at each trade, from as much past as it keeps."""
    past = (pool[start - HISTORY : start].tolist() for start in starts)
    corrected = 1 / math.log(1 - decay.reversion)
    times = np.array([drift_time(BAND, prices) for prices in past])
    return np.minimum(times - corrected, MOST_DRIFT)


def responses(kernel: Sequence[float], move: float, decay: Decay, drift: Matrix) -> Matrix:
    """Return `pausing.decay.response` of a move, episode by episode, each with its rho."""
    weights = [*kernel[:SPAN], *[0.0] * (SPAN - len(kernel))]
    total = np.zeros((len(drift), SPAN))
    for amount, keep in (
        (min(move, decay.band), np.exp(-1 / drift)),
        (max(move - decay.band, 0.0), np.full_like(drift, 1 - decay.reversion)),
    ):
        value = np.zeros_like(drift)
        for age, weight in enumerate(weights):
            value = keep * value + weight
            total[:, age] += amount * value
    return total


def flip_times(agent: Scored, known: float, fair: Matrix, seed: int) -> list[FlipTime]:
    """Compare predicted with measured flip times where everything is estimated."""
    found = []
    for reversion in REVERSIONS:
        pool, comes = market(fair, reversion, seed)
        decay = estimated(pool, fair, comes, seed)
        signal, spread, starts = _laid_out(agent, pool)
        level = agent.threshold_sds * spread
        clean = sides(signal, level)
        drift = drifts(pool, starts, decay)
        for cell in (one for one in CELLS if one.reversion == reversion):
            shift = _shifts(agent, pool, fair, comes, starts, cell.bps * 1e-4)
            flips = (sides(signal + shift, level) != clean).mean(axis=0)
            guess = responses(agent.kernel(), cell.bps * 1e-4, decay, drift)
            said = np.minimum(known * np.abs(guess) / spread, 1.0).mean(axis=0)
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


def _laid_out(agent: Scored, pool: Matrix) -> tuple[Matrix, Matrix, Minutes]:
    kernel = np.array(agent.kernel())
    room = agent.memory - len(kernel) + 1
    signal = np.convolve(pool - pool[0], kernel, "valid")
    squares = np.concatenate(([0.0], np.cumsum(signal * signal)))
    spread = np.sqrt((squares[room:] - squares[:-room]) / room)
    starts = np.arange(LEARNED, len(pool) - SPAN, STRIDE)
    minutes = starts[:, None] + np.arange(SPAN)[None] - (len(kernel) - 1)
    return signal[minutes], spread[minutes - (room - 1)], starts


def _shifts(
    agent: Scored,
    pool: Matrix,
    fair: Matrix,
    comes: Mask,
    starts: Minutes,
    move: float,
) -> Matrix:
    """Filter what really is left of a move, episode by episode."""
    left = np.zeros((len(starts), SPAN))
    hit = pool[starts] + move
    left[:, 0] = move
    for age in range(1, SPAN):
        hit = kept(hit, fair[starts + age], comes[starts + age])
        left[:, age] = hit - pool[starts + age]
    shift = np.zeros_like(left)
    for lag, weight in enumerate(agent.kernel()[:SPAN]):
        shift[:, lag:] += weight * left[:, : SPAN - lag]
    assert math.isfinite(float(shift.sum()))
    return shift
