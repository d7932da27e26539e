"""Trading against one price's distance from its own mean: the z-score of its logarithm."""

from collections.abc import Iterable

from toolkit.model.decision import Intent
from toolkit.model.errors import ConfigError
from toolkit.reasoning.agent import View
from toolkit.reasoning.steering import Steered


class MeanReversion(Steered, frozen=True, kw_only=True):
    """Holds `base` against the distance of the log price from its mean over `window` samples.

    The distance is counted in standard deviations of its values over the last `memory` samples.
    Below `threshold_sds` it wants nothing held; at `full_sds` it wants `max_position_wei`, short
    where the price is high and long where it is low, against its own zero. A block trades at most
    `clip_wei` of the gap, and no gap below a quarter of that.
    """

    name: str = "mean_reversion"
    window: int = 60
    threshold_sds: float = 1.0
    full_sds: float = 2.5

    def __post_init__(self) -> None:
        """Check what the filter needs."""
        if not 1 < self.window < self.memory:
            raise ConfigError(
                f"mean reversion needs 1 < window < memory, not {self.window}, {self.memory}"
            )
        if not 0 < self.threshold_sds < self.full_sds:
            raise ConfigError(
                f"mean reversion needs 0 < threshold_sds < full_sds, not "
                f"{self.threshold_sds}, {self.full_sds}"
            )

    def kernel(self) -> tuple[float, ...]:
        """Return the weights of the price minus its mean, newest first; they sum to 0."""
        share = 1.0 / self.window
        return (1.0 - share, *(-share for _ in range(self.window - 1)))

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the next clip towards the position that the distance asks for, if any."""
        return self.clip(view, self.kernel(), against=True)
