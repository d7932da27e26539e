"""What own fills teach of how a price takes a move back."""

import math
from collections.abc import Sequence

import msgspec

from toolkit.model.decision import Reading
from toolkit.orchestrator.pausing.decay import Decay, Impact, Reversion, drift_time

TEACHES = 1.5
"""Times the fee that a move must be for what follows it to say something of reversion."""


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one price, and which own fills that still matter have taught it."""

    reversion: Reversion
    taught: tuple[tuple[str, str], ...] = ()  # (verdict, agent)

    @classmethod
    def before(cls, band: float) -> "Lesson":
        """Return what is believed before any fill."""
        return cls(reversion=Reversion.prior(band=band))

    def decay(self, series: Sequence[Reading], band: float) -> Decay:
        """Return how an impact fades, by own fills and the price's own past; b at most `band`."""
        values = [float(reading.value) for reading in series]
        past = [math.log(value) for value in values if value > 0]
        return self.reversion.decay(most_band=band, drift=drift_time(band, past))

    def learned(
        self, impacts: Sequence[Impact], series: Sequence[Reading], band: float
    ) -> "Lesson":
        """Take the first step after each impact once, when both of its readings exist.

        Args:
            impacts: those on this price that still matter, oldest first.
            series: the price, oldest first.
            band: the fee, below which a move teaches nothing.
        """
        names = {(impact.verdict_id, impact.agent) for impact in impacts}
        taught = {name for name in self.taught if name in names}
        fresh = [
            impact
            for impact in impacts
            if abs(impact.log_move) >= TEACHES * band
            and (impact.verdict_id, impact.agent) not in taught
        ]
        if not fresh and len(taught) == len(self.taught):
            return self
        reversion = self.reversion
        values = _values_since(series, fresh)
        for impact in fresh:
            here, after = values.get(impact.block_number), values.get(impact.block_number + 1)
            if not here or not after:
                continue
            own = math.fsum(
                i.log_move for i in impacts if i.block_number == impact.block_number + 1
            )
            reversion = reversion.observed(impact.log_move, math.log(after / here) - own)
            taught.add((impact.verdict_id, impact.agent))
        return Lesson(reversion=reversion, taught=tuple(sorted(taught)))


def _values_since(series: Sequence[Reading], impacts: Sequence[Impact]) -> dict[int, float]:
    """Return the price by block, from the first of these impacts on."""
    first = min((impact.block_number for impact in impacts), default=math.inf)
    found: dict[int, float] = {}
    for reading in reversed(series):
        if reading.block_number < first:
            break
        found.setdefault(reading.block_number, float(reading.value))
    return found
