"""Bounds on what agents may do, alone and together."""

import msgspec

from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError
from toolkit.model.units import PPM

MOST = 2**128 - 1
"""No amount of a token comes near; what is above is a slip of units, and bounds nothing."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Finite by default. Values in wei are worth of native token, whatever token is traded.

    An amount above `max_trade_wei` is cut to it; one above `absurd_factor` times that is taken
    for a unit error, and its agent is quarantined. So is an agent with more than
    `max_intents` intents a block.

    Risk is what a position loses in one standard deviation of its assets' prices over
    `risk_horizon_blocks`: of one agent added up over its assets (nothing is saved by holding
    several), and of all agents together, net, in one asset. `kelly_ppm` is the share of the
    growth-optimal stake that a claimed edge earns, counted over `kelly_horizon_blocks`.
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
    agent_risk_wei: int = 2 * 10**18
    class_risk_wei: int = 4 * 10**18
    risk_horizon_blocks: int = 7_200  # a day of 12 s blocks
    kelly_ppm: int = 250_000
    kelly_horizon_blocks: int = 100

    def __post_init__(self) -> None:
        """Check each bound."""
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if type(value) is not int:
                raise ConfigError(
                    f"limits.{field} is {shown(value)}, a {type(value).__name__}; "
                    "it must be an integer"
                )
            if value <= 0:
                raise ConfigError(f"limits.{field} is {shown(value)}; it must be positive")
            if value > MOST:
                raise ConfigError(f"limits.{field} is {shown(value)}; give {MOST} at most")
        if self.kelly_ppm > PPM:
            raise ConfigError(
                f"limits.kelly_ppm is {self.kelly_ppm}; more than {PPM}, all of Kelly, only loses"
            )
        if self.min_trade_wei > self.max_position_wei:
            raise ConfigError(
                f"limits.min_trade_wei {self.min_trade_wei} is above max_position_wei "
                f"{self.max_position_wei}: nothing could ever be traded"
            )
        if self.min_trade_wei > self.max_trade_wei:
            raise ConfigError(
                f"limits.min_trade_wei {self.min_trade_wei} is above "
                f"max_trade_wei {self.max_trade_wei}"
            )
