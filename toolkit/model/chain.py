"""Values that name things on a chain.

Addresses and hashes are lower-case `0x` hex strings everywhere inside the toolkit; checksums are
for people and for web3, and are added at those edges only.
"""

from enum import Enum
from typing import NewType

import msgspec

from toolkit.model.errors import ConfigError

Address = NewType("Address", str)
Hash = NewType("Hash", str)

ZERO_ADDRESS = Address("0x" + "00" * 20)
MAINNET_WETH = Address("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
"""Ethereum's wrapped native token, the default wherever one is needed."""
ZERO_HASH = Hash("0x" + "00" * 32)


_KEY_DIGITS = 64


def _hex(text: str, size: int, what: str) -> str:
    value = text.lower() if isinstance(text, str) else ""
    try:
        ok = value.startswith("0x") and len(bytes.fromhex(value[2:])) == size
    except ValueError:
        ok = False
    if not ok:
        raise ConfigError(f"{what} {_shown(text)} is not 0x followed by {2 * size} hex digits")
    return value


def _shown(text: object) -> str:
    """Quote what was given, unless it may be a private key that landed in the wrong place."""
    if not isinstance(text, str):
        return f"of type {type(text).__name__}"
    return repr(text) if len(text) < _KEY_DIGITS else f"{text[:6]!r}... ({len(text)} characters)"


def address(text: str) -> Address:
    """Normalise a 20-byte address (any case) to the toolkit's lower-case form.

    Raises:
        ConfigError: not 20 bytes of hex.
    """
    return Address(_hex(text, 20, "address"))


def hash32(text: str) -> Hash:
    """Normalise a 32-byte hash to the toolkit's lower-case form.

    Raises:
        ConfigError: not 32 bytes of hex.
    """
    return Hash(_hex(text, 32, "hash"))


class Mode(Enum):
    """What a session may do; contract.md section 2."""

    DEV = "DEV"  # our devnet or a plain development node: sends are real, and worthless
    FORK = "FORK"  # a development node that forks a real chain
    DRY = "DRY"  # a real node, nothing is sent
    LIVE = "LIVE"  # a real node, asked for by an explicit word and a matching chain id


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A canonical block reference with the header fields that decisions read."""

    number: int
    hash: Hash
    parent_hash: Hash
    timestamp: int
    base_fee_per_gas: int
    gas_limit: int
    gas_used: int


class HeadChange(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the chain as a follower saw it: reverted heads first, then the new ones.

    `reverted` is newest first and empty unless there was a reorg; its length is the depth.
    """

    added: tuple[Head, ...]
    reverted: tuple[Head, ...] = ()

    @property
    def depth(self) -> int:
        """How many canonical blocks were replaced."""
        return len(self.reverted)


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event log; `data` and `topics` are 0x hex."""

    address: Address
    topics: tuple[Hash, ...]
    data: str
    block_number: int
    block_hash: Hash
    transaction_hash: Hash
    log_index: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain says about a mined transaction; fees in wei, gas in gas units."""

    transaction_hash: Hash
    block_number: int
    block_hash: Hash
    transaction_index: int
    sender: Address
    to: Address | None
    succeeded: bool
    gas_used: int
    effective_gas_price: int
    contract_address: Address | None = None
    logs: tuple[LogEntry, ...] = ()

    @property
    def fee_wei(self) -> int:
        """Gas used x effective gas price."""
        return self.gas_used * self.effective_gas_price
