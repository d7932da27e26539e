"""How an own trade's move of a price fades, and what a linear signal makes of what is left.

An own trade moves the pool's log price by I0. While others correct it, the residue n samples
later is

    I(n) = (I0 - b) (1 - lam)^n + b exp(-n / rho)      for I0 > b, else I0 exp(-n / rho)

(signs follow I0): what exceeds the no-arbitrage band b is corrected at rate lam per sample; what
lies within it is forgotten with time constant rho, as the fair price wanders from edge to edge.
A signal that is a linear filter k of the log price is off by C(n) = sum_j k_j I(n - j).

b is the pool's fee (below it nobody need correct) unless own fills contradict that, lam starts at
one half and is estimated from the first step after each own fill. rho comes from the price's own
history (`drift_time`) and lam. Own fills cannot teach it: within the band a fill is worth 5 bp
against the 60 bp that a price wanders in half an hour, so 20 % of accuracy would take thousands.
An impact keeps the figures of the block it was learned in: what it left behind in past samples is
then the same number whenever it is asked for.
"""

import math
from collections.abc import Iterable, Sequence
from operator import sub

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.model.units import BPS

MOST_DRIFT = 240.0
"""Samples; a price that hardly moves is not trusted to remember for longer."""

HORIZON = 512
"""Samples after which an impact is forgotten and beyond which no end is predicted."""


Table = NDArray[np.float64]


FOOT_ERRORS = 3.0
"""Standard errors by which own fills must contradict the fee before they are believed."""


class Decay(msgspec.Struct, frozen=True, kw_only=True):
    """How an impact fades: lam per sample, b as a fraction of the price, rho in samples."""

    reversion: float = 0.5
    band: float = 5e-4
    drift: float = 60.0


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """A landed own trade's signed move of the log of one price, in the block it landed in."""

    agent: str
    key: str
    verdict_id: str
    block_number: int
    log_move: float
    decay: Decay = Decay()


class Reversion(msgspec.Struct, frozen=True, kw_only=True):
    """Running regression of how much of an own move the next sample takes back.

    taken_back = lam (size - b), a line through (size, taken_back) of each own fill. b is the
    pool's fee unless the fills' own line meets zero three standard errors below it, and lam the
    slope of the line through b: with b known, a tenth of the fills teach lam as well. It starts
    from four moves of 5 to 60 bp that behaved as by default, so few fills shift it little and
    many decide. Only moves well beyond the fee are to be given: others teach nothing.
    """

    count: int = 0
    sizes: float = 0.0
    squares: float = 0.0
    taken_back: float = 0.0
    products: float = 0.0
    returns: float = 0.0  # squares of what was taken back

    @classmethod
    def prior(cls, *, band: float) -> "Reversion":
        """Return the belief before any fill: half of what exceeds the band, per sample."""
        start = cls()
        for size in (5 / BPS, 15 / BPS, 30 / BPS, 60 / BPS):
            start = start.observed(band + size, -Decay().reversion * size)
        return start

    def observed(self, log_move: float, next_step: float) -> "Reversion":
        """Add the log price change of the sample after a move, other own moves taken out."""
        size, back = abs(log_move), -math.copysign(1.0, log_move) * next_step
        return Reversion(
            count=self.count + 1,
            sizes=self.sizes + size,
            squares=self.squares + size * size,
            taken_back=self.taken_back + back,
            products=self.products + size * back,
            returns=self.returns + back * back,
        )

    def decay(self, *, most_band: float, drift: float = 1.0) -> Decay:
        """Return the estimates, kept where the model has a meaning; b at most `most_band`.

        What lies within the band is forgotten when the fair price has wandered across it, which
        takes `drift` samples, and somebody has then corrected, which takes -1 / ln(1 - lam).
        """
        foot, error = self._foot()
        band = most_band if foot + FOOT_ERRORS * error >= most_band else max(foot, 0.0)
        spread = self.squares - 2 * band * self.sizes + self.count * band * band
        slope = (self.products - band * self.taken_back) / spread
        rate = min(max(slope, 0.02), 0.98)
        rho = min(drift - 1.0 / math.log(1.0 - rate), MOST_DRIFT)
        return Decay(reversion=rate, band=band, drift=rho)

    def _foot(self) -> tuple[float, float]:
        """Return where the fills' own line meets zero, and the standard error of that."""
        mean, back = self.sizes / self.count, self.taken_back / self.count
        spread = self.squares - mean * self.sizes
        slope = (self.products - mean * self.taken_back) / spread
        if slope <= 0.0:
            return 0.0, math.inf
        foot = mean - back / slope
        left = self.returns - back * self.taken_back - slope * slope * spread
        noise = max(left, 0.0) / max(self.count - 2, 1)
        far = 1 / self.count + (mean - foot) ** 2 / spread
        return foot, math.sqrt(noise * far) / slope


def drift_time(band: float, log_prices: Sequence[float]) -> float:
    """Return in samples how long a fair price takes to wander across the band +-b.

    For a random walk with step s that takes about (b / s)^2 + 1 samples (simulated: within 25 %
    for s from b/5 to 3 b). s is taken from the mean size of the price's own steps, sqrt(pi / 2)
    times it: their variance is that of the few largest, and most places are forgotten in between.
    At most `MOST_DRIFT`.
    """
    steps = list(map(abs, map(sub, log_prices[1:], log_prices)))
    step = math.sqrt(math.pi / 2) * math.fsum(steps) / max(len(steps), 1)
    if step == 0.0:
        return MOST_DRIFT
    return min((band / step) ** 2 + 1.0, MOST_DRIFT)


def residue(log_move: float, n: int, decay: Decay) -> float:
    """Return I(n), what is left of a move n samples later; 0 before it happened."""
    if n < 0:
        return 0.0
    size, band, fades = abs(log_move), decay.band, math.exp(-n / decay.drift)
    if size <= band:  # most of them, and there may be hundreds
        return math.copysign(size * fades, log_move)
    return math.copysign(band * fades + (size - band) * math.pow(1 - decay.reversion, n), log_move)


def left_over(impacts: Iterable[Impact], block: int) -> float:
    """Return what all impacts together leave in the log price at a block."""
    return math.fsum(
        [residue(one.log_move, block - one.block_number, one.decay) for one in impacts]
    )


def response(kernel: Sequence[float], impact: Impact) -> Table:
    """Return C(0), C(1), ..., C(HORIZON - 1): what one impact does to a linear signal; (HORIZON,).

    Each part of I(n) is a power q^n, and what the filter makes of one at n follows from what it
    made at n - 1: sum_j k_j q^(n-j) = q (the same at n - 1) + k_n. Beyond the kernel that is a
    power again. Only products and sums in this order: every machine finds the same digits.
    """
    decay, size = impact.decay, abs(impact.log_move)
    parts = (
        (min(size, decay.band), math.exp(-1 / decay.drift)),
        (max(size - decay.band, 0.0), 1 - decay.reversion),
    )
    total = np.zeros(HORIZON)
    for amount, keep in parts:
        value, within = 0.0, []
        for weight in kernel[:HORIZON]:
            value = keep * value + weight
            within.append(value)
        rest = np.full(HORIZON - len(within), keep)
        rest[:1] *= value
        total += amount * np.concatenate((within, np.cumprod(rest)))
    return total if impact.log_move >= 0 else -total
