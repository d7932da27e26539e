"""Transactions as values: what is wanted, what was signed, and how it ended."""

from enum import Enum, IntEnum

import msgspec

from toolkit.model.chain import Address, Hash, address, hash32
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError
from toolkit.model.units import div_ceil


class Urgency(Enum):
    """How soon a transaction should be included, in blocks."""

    NEXT_BLOCK = 1
    SOON = 3
    RELAXED = 10

    @property
    def blocks(self) -> int:
        """The target number of blocks until inclusion."""
        return self.value


class Visibility(Enum):
    """Who may see a transaction before it is mined."""

    PUBLIC = "public"
    PRIVATE = "private"
    PRIVATE_THEN_PUBLIC = "private_then_public"


class Exposure(IntEnum):
    """Who may hold an attempt's bytes, in rising order of knowledge elsewhere."""

    NONE = 0  # never left the process
    JOURNALLED = 1  # durable here and about to be sent: counts as exposed after a crash
    UNKNOWN = 2  # sent, the answer is unknown
    PRIVATE = 3  # accepted by a relay only
    PUBLIC = 4  # accepted by a public node


class FeeQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Fees for inclusion, in wei, and the first block they are meant for."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    base_fee_per_gas: int
    for_block: int
    confidence: float = 1.0


_WORD, _HALF = 2**256 - 1, 2**64 - 1
_GRANT = {"chain_id": _WORD, "nonce": _HALF, "y_parity": 255, "r": _WORD, "s": _WORD}


def _require_whole(name: str, value: object, *, least: int = 0, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(
            f"{name} is {shown(value)}: give an integer from {least} to 2**{most.bit_length()}-1"
        )


class AccessListItem(msgspec.Struct, frozen=True, kw_only=True):
    """One address and its storage keys (EIP-2930).

    Raises:
        ConfigError: a field that no transaction can hold.
    """

    address: Address
    storage_keys: tuple[Hash, ...] = ()

    def __post_init__(self) -> None:
        """Check what msgspec does not check when a value is made by hand."""
        address(self.address)
        if type(self.storage_keys) is not tuple:
            raise ConfigError("storage_keys is no tuple of 32-byte words")
        for key in self.storage_keys:
            hash32(key)


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """One signed delegation of an account to `address`'s code (EIP-7702); chain id 0 is any.

    Raises:
        ConfigError: a field that no transaction can hold (EIP-7702's bounds).
    """

    chain_id: int
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int

    def __post_init__(self) -> None:
        """Check what msgspec does not check when a value is made by hand."""
        address(self.address)
        for name, most in _GRANT.items():
            _require_whole(f"{name} of an authorization", getattr(self, name), most=most)


class ExternalSpend(Enum):
    """What a request does when a stranger spent its nonce on something else."""

    REPORT = "report"
    REQUEUE = "requeue"  # once that is final, try again on a new nonce


_QUANTITIES = {
    "value": _WORD,
    "gas": _HALF,
    "max_fee_per_gas": _WORD,
    "max_priority_fee_per_gas": _WORD,
    "type": 2**7 - 1,
}


class TransactionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the author wants done; unset fields are filled by the lane.

    `value` is in wei, `gas` in gas units, `data` 0x hex; `to` None creates a contract.

    Raises:
        ConfigError: a field of another type, or out of range. A lane that accepted it could
            neither sign it nor get rid of it.
    """

    to: Address | None = None
    data: str = "0x"
    value: int = 0
    gas: int | None = None
    sender: Address | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    access_list: tuple[AccessListItem, ...] = ()
    authorization_list: tuple[Authorization, ...] = ()  # of type 4
    type: int = 2

    def __post_init__(self) -> None:
        """Check what msgspec does not check when a value is made by hand."""
        for name, most in _QUANTITIES.items():
            value = getattr(self, name)
            if value is None and name not in {"value", "type"}:
                continue
            # A fee cap of 0 would read as "not set", and a lane divides by gas.
            least = 1 if name in {"gas", "max_fee_per_gas"} else 0
            _require_whole(name, value, least=least, most=most)
        for account in (self.to, self.sender):
            if account is not None:
                address(account)
        if not _is_hex(self.data):
            raise ConfigError("data is not 0x followed by whole bytes of hex")
        items = self.access_list
        if type(items) is not tuple or any(type(item) is not AccessListItem for item in items):
            raise ConfigError("access_list is no tuple of AccessListItem")
        grants = self.authorization_list
        if type(grants) is not tuple or any(type(grant) is not Authorization for grant in grants):
            raise ConfigError("authorization_list is no tuple of Authorization")


def _is_hex(data: object) -> bool:
    if not isinstance(data, str) or not data.startswith("0x"):
        return False
    try:
        return len(bytes.fromhex(data[2:])) * 2 == len(data) - 2
    except ValueError:
        return False


DYNAMIC_FEE_TYPES = frozenset({2, 4})
"""Types that bid a fee cap and a tip; the older ones bid one gas price for both."""


class UnsignedTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """Every field that gets signed. `gas_price` is for types 0 and 1, the two caps for 2 and 4."""

    type: int
    chain_id: int
    nonce: int
    to: Address | None
    value: int
    data: str
    gas: int
    max_fee_per_gas: int = 0
    max_priority_fee_per_gas: int = 0
    gas_price: int = 0
    access_list: tuple[AccessListItem, ...] = ()
    authorization_list: tuple[Authorization, ...] = ()

    @property
    def fee_cap(self) -> int:
        """The most a unit of gas may cost, in wei, whatever the type."""
        return self.max_fee_per_gas if self.type in DYNAMIC_FEE_TYPES else self.gas_price

    @property
    def worst_cost_wei(self) -> int:
        """Gas limit x fee cap + value: what the account must hold."""
        return self.gas * self.fee_cap + self.value


class SignedTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """Signed bytes as 0x hex with their hash; the repr hides the bytes (they may be private)."""

    raw: str
    hash: Hash
    sender: Address
    unsigned: UnsignedTransaction

    def __repr__(self) -> str:
        """Name the transaction without disclosing its bytes."""
        return f"SignedTransaction({self.hash}, nonce={self.unsigned.nonce})"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One signed try at a nonce on behalf of a request.

    `since_block` is the first block that any try at this nonce was meant for: it comes from the
    journal, so it is the same in every process.
    """

    request_id: str
    number: int  # 0 for the first try at this nonce
    signed: SignedTransaction
    since_block: int
    cancels: bool = False


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mined with success and buried under the asked confirmations.

    `version` tells which payload it was: 0 the first, one more for each `Sent.replace`.
    """

    tx_hash: Hash
    block_number: int
    block_hash: Hash
    gas_used: int
    fee_wei: int
    version: int = 0


class Reverted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mined and failed: the nonce and the gas are spent."""

    tx_hash: Hash
    block_number: int
    block_hash: Hash
    gas_used: int
    fee_wei: int
    reason: str = ""
    version: int = 0


class Expired(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Its deadline passed and it can no longer be mined."""

    last_block: int
    tx_hash: Hash | None = None


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Cancelled; `tx_hash` is the mined cancellation's, None if nothing was exposed.

    `reason` is "" where the author asked for it; else it says why, as when the request was to
    follow one that did not succeed.
    """

    tx_hash: Hash | None = None
    block_number: int | None = None
    fee_wei: int = 0
    reason: str = ""


class Replaced(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The nonce was spent by a transaction that is not ours.

    With `executed` that one had the same (to, value, data): what was wanted has been done, by
    somebody else's signature of the same key, and is not sent again.
    """

    by: Hash | None
    nonce: int
    tx_hash: Hash | None = None
    executed: bool = False


class DryRun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everything up to signing and simulation was done; nothing was sent."""

    would_be_hash: Hash
    max_cost_wei: int
    tx_hash: Hash | None = None


Outcome = Confirmed | Reverted | Expired | Cancelled | Replaced | DryRun


def bumped(fee_wei: int) -> int:
    """The smallest fee that every known client accepts as a replacement of `fee_wei`.

    geth's legacypool wants >= floor(old * 110 / 100) and strictly more, reth >= ceil; one wei
    above floor satisfies both, down to 1 wei fees.
    """
    return max(fee_wei * 110 // 100 + 1, div_ceil(fee_wei * 110, 100))
