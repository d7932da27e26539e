"""Bounds on what agents may do, alone and together."""

import msgspec

from toolkit.model.errors import ConfigError


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Finite by default. Values in wei are worth of native token, whatever token is traded.

    An amount above `max_trade_wei` is cut to it; one above `absurd_factor` times that is taken
    for a unit error, and its agent is quarantined. So is an agent with more than
    `max_intents` intents a block.
    """

    max_trade_wei: int = 5 * 10**18
    min_trade_wei: int = 10**16
    max_position_wei: int = 20 * 10**18  # of one agent in one base asset, long or short
    max_cycle_wei: int = 1_000 * 10**18  # input of one arbitrage, borrowed or own
    max_fee_per_gas: int = 500 * 10**9
    max_gas_wei: int = 10**18  # worst-case gas and tips reserved at one time
    max_plans: int = 4  # sent for one block
    max_intents: int = 16  # of one agent for one block
    absurd_factor: int = 100

    def __post_init__(self) -> None:
        """Check each bound."""
        for field in self.__struct_fields__:
            if getattr(self, field) <= 0:
                raise ConfigError(f"limits.{field} is {getattr(self, field)}; it must be positive")
        if self.min_trade_wei > self.max_trade_wei:
            raise ConfigError(
                f"limits.min_trade_wei {self.min_trade_wei} is above "
                f"max_trade_wei {self.max_trade_wei}"
            )
