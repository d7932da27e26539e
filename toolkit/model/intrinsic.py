"""Gas that a transaction pays whatever it executes, in exact integers; each rule cites its EIP."""

from collections.abc import Sequence

from toolkit.model.tx import AccessListItem
from toolkit.model.units import div_ceil

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
