"""Trend following on one price: the crossing of a fast and a slow average of its logarithm."""

import math
from collections.abc import Iterable
from functools import lru_cache

from toolkit.model.decision import Intent
from toolkit.model.errors import ConfigError
from toolkit.reasoning.agent import View
from toolkit.reasoning.steering import Steered


class Momentum(Steered, frozen=True, kw_only=True):
    """Holds `base` in proportion to EMA(fast) - EMA(slow) of the log price, step by step.

    `fast` and `slow` are spans in samples (weight of the newest 2 / (span + 1)); averages are cut
    after `window` samples and normalised, so the signal is exactly a linear filter. Below
    `threshold_sds` standard deviations of its recent values it wants nothing held; at
    `full_sds` it wants `max_position_wei`, long or short against its own zero. A block trades at
    most `clip_wei` of the gap, and no gap below a quarter of that. Doubt is in the position that
    it wants already, so its intents are of full confidence.
    """

    name: str = "momentum"
    fast: int = 5
    slow: int = 30
    window: int = 60
    threshold_sds: float = 0.5
    full_sds: float = 2.0

    def __post_init__(self) -> None:
        """Check what the filter needs."""
        if not 0 < self.fast < self.slow < self.window < self.memory:
            raise ConfigError(
                f"momentum needs 0 < fast < slow < window < memory, not "
                f"{self.fast}, {self.slow}, {self.window}, {self.memory}"
            )

    def kernel(self) -> tuple[float, ...]:
        """Return the fast average's weights minus the slow one's, newest first; they sum to 0."""
        return _crossing(self.fast, self.slow, self.window)

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the next clip towards the position that the signal asks for, if any."""
        return self.clip(view, self.kernel())


@lru_cache(maxsize=64)  # asked for each block
def _crossing(fast: int, slow: int, window: int) -> tuple[float, ...]:
    pairs = zip(_ema_weights(fast, window), _ema_weights(slow, window), strict=True)
    return tuple(a - b for a, b in pairs)


def _ema_weights(span: int, window: int) -> tuple[float, ...]:
    keep = 1 - 2 / (span + 1)
    raw = tuple(keep**lag for lag in range(window))
    total = math.fsum(raw)
    return tuple(weight / total for weight in raw)
