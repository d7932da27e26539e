"""Fee and gas rules that the protocol fixes, in exact integers; each function cites its EIP."""

from toolkit.model.chain import Head
from toolkit.model.errors import ConfigError
from toolkit.model.intrinsic import calldata_floor, charged_gas, intrinsic_gas, prepaid_gas

__all__ = [
    "MAX_TX_GAS",
    "base_fee_after",
    "base_fee_upper_bound",
    "calldata_floor",
    "charged_gas",
    "intrinsic_gas",
    "next_base_fee",
    "prepaid_gas",
]

# EIP-1559
ELASTICITY_MULTIPLIER = 2
BASE_FEE_MAX_CHANGE_DENOMINATOR = 8
# Block validity (kept by EIP-1559): |limit - parent limit| < parent limit // 1024
GAS_LIMIT_BOUND_DIVISOR = 1024
MIN_GAS_LIMIT = 5_000

# EIP-7825: the most gas one transaction may ask for, on mainnet since Osaka
MAX_TX_GAS = 1 << 24


def base_fee_after(*, base_fee_per_gas: int, gas_used: int, gas_limit: int) -> int:
    """Return the base fee, in wei, of the block after one with these three header fields.

    EIP-1559: with target T = limit // 2 and used gas U, the fee b becomes b when U = T,
    b + max(1, b (U - T) // T // 8) when U > T, and b - b (T - U) // T // 8 when U < T.

    Raises:
        ConfigError: fields that no valid header has.
    """
    target = gas_limit // ELASTICITY_MULTIPLIER
    if target < 1 or base_fee_per_gas < 0 or not 0 <= gas_used <= gas_limit:
        raise ConfigError(
            f"no block has base fee {base_fee_per_gas} wei, {gas_used} gas used and gas limit "
            f"{gas_limit}; read the header again"
        )
    if gas_used == target:
        return base_fee_per_gas
    change = base_fee_per_gas * abs(gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    return base_fee_per_gas + max(1, change) if gas_used > target else base_fee_per_gas - change


def next_base_fee(head: Head) -> int:
    """Return the base fee, in wei, that the protocol fixes for the block after `head` (EIP-1559).

    Exact on chains with Ethereum's own parameters. A development node whose next base fee was
    set by hand, and a rollup with another elasticity, differ.
    """
    return base_fee_after(
        base_fee_per_gas=head.base_fee_per_gas, gas_used=head.gas_used, gas_limit=head.gas_limit
    )


def base_fee_upper_bound(base_fee_per_gas: int, *, gas_limit: int, blocks: int) -> int:
    """Return the highest base fee, in wei, that is possible `blocks` blocks after one with this.

    Every block is full, and validators lower the gas limit as fast as they may: with an odd
    limit a full block is one gas more than twice its target, so a rise can pass 1/8 by a little,
    and by more the smaller the limit. `blocks` = 0 returns the fee itself.
    """
    fee, limit = base_fee_per_gas, gas_limit
    for _ in range(blocks):
        target = max(limit // ELASTICITY_MULTIPLIER, 1)
        fee += max(1, fee * (target + 1) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR)
        limit = max(limit - limit // GAS_LIMIT_BOUND_DIVISOR + 1, min(MIN_GAS_LIMIT, gas_limit))
    return fee
