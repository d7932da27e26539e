"""Fee and gas rules that the protocol fixes, in exact integers; each function cites its EIP."""

from collections.abc import Sequence

from toolkit.model.chain import Head
from toolkit.model.errors import ConfigError
from toolkit.model.tx import AccessListItem
from toolkit.model.units import div_ceil

# EIP-1559
ELASTICITY_MULTIPLIER = 2
BASE_FEE_MAX_CHANGE_DENOMINATOR = 8
# Block validity (kept by EIP-1559): |limit - parent limit| < parent limit // 1024
GAS_LIMIT_BOUND_DIVISOR = 1024
MIN_GAS_LIMIT = 5_000

# EIP-7825: the most gas one transaction may ask for, on mainnet since Osaka
MAX_TX_GAS = 1 << 24

TX_GAS = 21_000  # Yellow Paper, G_transaction
CREATION_GAS = 32_000  # EIP-2
TOKENS_PER_NONZERO_BYTE = 4  # EIP-2028 and EIP-7623: a zero byte is one token
GAS_PER_TOKEN = 4
FLOOR_GAS_PER_TOKEN = 10  # EIP-7623
INITCODE_WORD_GAS = 2  # EIP-3860
ACCESS_ADDRESS_GAS = 2_400  # EIP-2930
ACCESS_STORAGE_KEY_GAS = 1_900  # EIP-2930
AUTHORIZATION_GAS = 25_000  # EIP-7702, PER_EMPTY_ACCOUNT_COST, partly refunded by execution
MAX_REFUND_QUOTIENT = 5  # EIP-3529


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


def calldata_tokens(data: str) -> int:
    """Count EIP-7623 tokens of 0x hex calldata: one a zero byte, four any other byte."""
    raw = bytes.fromhex(data[2:])
    zeros = raw.count(0)
    return zeros + TOKENS_PER_NONZERO_BYTE * (len(raw) - zeros)


def calldata_floor(data: str) -> int:
    """Return the least gas a transaction with this calldata pays, however little it executes.

    EIP-7623 (Prague): 21,000 + 10 gas a token.
    """
    return TX_GAS + FLOOR_GAS_PER_TOKEN * calldata_tokens(data)


def prepaid_gas(
    *,
    data: str = "0x",
    creates: bool = False,
    access_list: Sequence[AccessListItem] = (),
    authorizations: int = 0,
) -> int:
    """Return the gas charged before the first instruction runs.

    21,000 + 4 a calldata token (EIP-2028), for a creation 32,000 (EIP-2) + 2 an initcode word
    (EIP-3860), 2,400 an access-list address + 1,900 a storage key (EIP-2930), and 25,000 an
    authorization (EIP-7702).
    """
    gas = TX_GAS + GAS_PER_TOKEN * calldata_tokens(data)
    if creates:
        gas += CREATION_GAS + INITCODE_WORD_GAS * div_ceil(len(data) // 2 - 1, 32)
    keys = sum(len(item.storage_keys) for item in access_list)
    gas += ACCESS_ADDRESS_GAS * len(access_list) + ACCESS_STORAGE_KEY_GAS * keys
    return gas + AUTHORIZATION_GAS * authorizations


def intrinsic_gas(
    *,
    data: str = "0x",
    creates: bool = False,
    access_list: Sequence[AccessListItem] = (),
    authorizations: int = 0,
) -> int:
    """Return the least gas limit a node admits: the prepaid gas or the EIP-7623 floor."""
    prepaid = prepaid_gas(
        data=data, creates=creates, access_list=access_list, authorizations=authorizations
    )
    return max(prepaid, calldata_floor(data))


def charged_gas(*, spent: int, refund: int, data: str) -> int:
    """Return what a receipt calls gas used.

    `spent` is prepaid plus executed gas, `refund` the refund counter: at most a fifth of `spent`
    comes back (EIP-3529), and the calldata floor is due in any case (EIP-7623).
    """
    return max(spent - min(refund, spent // MAX_REFUND_QUOTIENT), calldata_floor(data))
