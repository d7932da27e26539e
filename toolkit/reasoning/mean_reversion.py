"""Trading against one price's distance from its own mean: the z-score of its logarithm."""

from collections.abc import Iterable

import msgspec

from toolkit.model.chain import Address
from toolkit.model.decision import Intent
from toolkit.model.errors import ConfigError
from toolkit.reasoning.agent import View
from toolkit.reasoning.steering import clip_towards, scored, share_wei, steered


class MeanReversion(msgspec.Struct, frozen=True, kw_only=True):
    """Holds `base` against the distance of the log price from its mean over `window` samples.

    The distance is counted in standard deviations of its values over the last `memory` samples.
    Below `threshold_sds` it wants nothing held; at `full_sds` it wants `max_position_wei`, short
    where the price is high and long where it is low, against its own zero. A block trades at most
    `clip_wei` of the gap, and no gap below a quarter of that.
    """

    base: Address
    quote: Address
    name: str = "mean_reversion"
    signal_key: str = "price/WETH-USDC"
    window: int = 60
    memory: int = 240
    threshold_sds: float = 1.0
    full_sds: float = 2.5
    max_position_wei: int = 4 * 10**18
    clip_wei: int = 10**18

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

    @property
    def reads(self) -> tuple[str, ...]:
        """One price."""
        return (self.signal_key,)

    def kernel(self) -> tuple[float, ...]:
        """Return the weights of the price minus its mean, newest first; they sum to 0."""
        share = 1.0 / self.window
        return (1.0 - share, *(-share for _ in range(self.window - 1)))

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the next clip towards the position that the distance asks for, if any."""
        found = scored(self.kernel(), view.history(self.signal_key, self.memory))
        if found is None:
            return ()
        signal, score = found
        target = share_wei(
            -score,
            threshold=self.threshold_sds,
            full=self.full_sds,
            most_wei=self.max_position_wei,
        )
        trade = clip_towards(
            target,
            view,
            key=self.signal_key,
            base=self.base,
            quote=self.quote,
            clip_wei=self.clip_wei,
        )
        return (steered(self.name, self.signal_key, signal, score, trade),) if trade else ()
