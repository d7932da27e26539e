"""What a relay has answered so far, and how fast: the measure by which relays are kept or left."""

from collections import deque

import msgspec

from toolkit.model.errors import RelayError, RelayRejected

_NEWEST = 256


class RelayStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of all kinds by what came of them; latencies of the newest 256 answers.

    `refused` are a relay's own and those that its limits kept from being sent; `unsure` had no
    answer that tells. Latencies are seconds from sending to the whole answer, zero without one.
    """

    accepted: int
    refused: int
    unsure: int
    latency_p50_s: float
    latency_p99_s: float


class Tally:
    """Counts, for one relay."""

    __slots__ = ("_accepted", "_latencies", "_refused", "_unsure")

    def __init__(self) -> None:
        self._accepted = self._refused = self._unsure = 0
        self._latencies: deque[float] = deque(maxlen=_NEWEST)

    def answered(self, latency_s: float) -> None:
        """Note that an answer came, whatever it says."""
        self._latencies.append(latency_s)

    def ended(self, error: RelayError | None) -> None:
        """Note what a request came to."""
        if error is None:
            self._accepted += 1
        elif isinstance(error, RelayRejected):
            self._refused += 1
        else:
            self._unsure += 1

    def told(self) -> RelayStatistics:
        """All of it, as a value."""
        ordered = sorted(self._latencies)
        return RelayStatistics(
            accepted=self._accepted,
            refused=self._refused,
            unsure=self._unsure,
            latency_p50_s=_quantile(ordered, 50),
            latency_p99_s=_quantile(ordered, 99),
        )


def _quantile(ordered: list[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed (nearest rank)."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[rank - 1] if ordered else 0.0
