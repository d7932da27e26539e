"""How often a relay may be asked, by what for; pure."""

from collections import deque
from collections.abc import Mapping

from toolkit.devnet.building.dialects import Operation

WINDOW_S = 60.0


class Quotas:
    """Counts requests in sliding minutes: the strictest way in which a published limit is meant.

    Times are seconds of any one clock, in order.
    """

    def __init__(self, per_minute: Mapping[Operation, int]) -> None:
        self._seen: dict[Operation, deque[float]] = {
            operation: deque(maxlen=most) for operation, most in per_minute.items()
        }

    def wait_s(self, operation: Operation | None, now_s: float) -> float:
        """Count a request: 0 where it has its place, else how long there is none (uncounted)."""
        seen = None if operation is None else self._seen.get(operation)
        if seen is None:
            return 0.0
        if len(seen) == seen.maxlen and seen[0] + WINDOW_S > now_s:
            return seen[0] + WINDOW_S - now_s
        seen.append(now_s)
        return 0.0
