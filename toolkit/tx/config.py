"""What the scheduler may do, checked before it does anything."""

import msgspec

from toolkit.gas.rules import MAX_TX_GAS
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError
from toolkit.tx.events import LaneLimits

KEEP_BLOCKS = 64
"""How deep a mined transaction is watched for reorgs, as deep as heads are followed."""

_MOST, _MOST_WEI = 2**31, 2**96
_GAS_CAPS = {137: 32_000_000, 42_161: 32_000_000}


def gas_cap(chain_id: int) -> int:
    """The most gas that one transaction may ask for: EIP-7825's 2**24, or the chain's own.

    Arbitrum One and Polygon allow 32,000,000.
    """
    return _GAS_CAPS.get(chain_id, MAX_TX_GAS)


class SchedulerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler may do.

    `max_cost_wei` bounds gas limit x fee cap of every single attempt, and of all of a bundle with
    its tip. A stuck attempt is replaced after `replace_after_blocks` when the market asks for
    more; ends are told under `confirmations` blocks, and a reorg deeper than `finality_blocks`
    halts the lane. `max_queued` requests may wait for a nonce in each lane. `max_gas` bounds the
    gas limit of one transaction; None is the chain's own cap (`gas_cap`).
    """

    max_cost_wei: int
    max_in_flight: int = 16
    replace_after_blocks: int = 2
    confirmations: int = 1
    max_queued: int = 1_000
    max_gas: int | None = None
    finality_blocks: int = KEEP_BLOCKS

    def __post_init__(self) -> None:
        """Refuse bounds that bound nothing or everything."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None and name == "max_gas":
                continue
            if type(value) is not int or value < 1:
                raise ConfigError(f"{name} is {shown(value)}; it must be an integer, at least 1")
            if value > (_MOST_WEI if name == "max_cost_wei" else _MOST):
                raise ConfigError(f"{name} is {shown(value)}, above all that can be meant")
        if self.finality_blocks > KEEP_BLOCKS:
            raise ConfigError(f"finality_blocks {self.finality_blocks} is above {KEEP_BLOCKS}")
        if self.confirmations > self.finality_blocks:
            raise ConfigError(
                f"confirmations {self.confirmations} is above {self.finality_blocks}, where an "
                "end is final"
            )

    def gas_limit(self, chain_id: int) -> int:
        """The most gas that a transaction may ask for on this chain."""
        return self.max_gas or gas_cap(chain_id)

    def limits(self) -> LaneLimits:
        """The part that binds each lane."""
        return LaneLimits(
            max_cost_wei=self.max_cost_wei,
            max_in_flight=self.max_in_flight,
            replace_after_blocks=self.replace_after_blocks,
            confirmations=self.confirmations,
            finality_blocks=self.finality_blocks,
            keep_blocks=KEEP_BLOCKS,
        )
