"""What the scheduler may do, checked before it does anything."""

import msgspec

from toolkit.gas.rules import MAX_TX_GAS
from toolkit.model.errors import ConfigError
from toolkit.tx.events import LaneLimits

KEEP_BLOCKS = 64
"""How deep a mined transaction is watched for reorgs, as deep as heads are followed."""


class SchedulerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler may do.

    `max_cost_wei` bounds gas limit x fee cap of every single attempt, and of all of a bundle with
    its tip. A stuck attempt is replaced after `replace_after_blocks` when the market asks for
    more; ends are told under `confirmations` blocks. `max_queued` requests may wait for a nonce in
    each lane.
    """

    max_cost_wei: int
    max_in_flight: int = 16
    replace_after_blocks: int = 2
    confirmations: int = 1
    max_queued: int = 1_000
    max_gas: int = MAX_TX_GAS

    def __post_init__(self) -> None:
        """Refuse bounds that bound nothing or everything."""
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.confirmations > KEEP_BLOCKS:
            raise ConfigError(f"confirmations {self.confirmations} is above {KEEP_BLOCKS}")

    def limits(self) -> LaneLimits:
        """The part that binds each lane."""
        return LaneLimits(
            max_cost_wei=self.max_cost_wei,
            max_in_flight=self.max_in_flight,
            replace_after_blocks=self.replace_after_blocks,
            confirmations=self.confirmations,
            keep_blocks=KEEP_BLOCKS,
        )
