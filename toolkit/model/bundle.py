"""Bundles as values: ordered signed transactions, all or nothing, for a target block."""

from enum import Enum

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError

MAX_REFUND_PERCENT = 99


class GuardKind(Enum):
    """On-chain conditions that make a leaked bundle harmless."""

    BLOCK = "block"
    PARENT_HASH = "parent_hash"
    MINIMUM_PROFIT = "minimum_profit"


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """What a builder gives back of a bundle's payment; each builder has a formula of its own.

    Args:
        percent: of the payment, 1 to 99.
        recipient: who gets it; None is the sender of the first transaction, where a builder has
            that rule at all.
        tx_hashes: the transactions whose payment is shared; empty is the last one.

    Raises:
        ConfigError: a percentage that no builder takes.
    """

    percent: int
    recipient: Address | None = None
    tx_hashes: tuple[Hash, ...] = ()

    def __post_init__(self) -> None:
        """Check what all builders refuse."""
        if type(self.percent) is not int or not 1 <= self.percent <= MAX_REFUND_PERCENT:
            raise ConfigError(
                f"refund of {self.percent!r} percent: give an integer from 1 to"
                f" {MAX_REFUND_PERCENT}"
            )


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """Ordered signed transactions for one block; `transactions` are 0x hex, never printed.

    Of `reverting_hashes` each may fail and stays; of `dropping_hashes` each may be left out, but
    must not fail on chain. With `replacement_nonce` the highest one of a uuid wins, in whatever
    order they arrive. `builders` are those a relay is to pass it on to; empty is the relay's rule.
    """

    transactions: tuple[str, ...]
    hashes: tuple[Hash, ...]
    target_block: int
    reverting_hashes: tuple[Hash, ...] = ()
    replacement_uuid: str | None = None
    min_timestamp: int | None = None
    max_timestamp: int | None = None
    guards: tuple[GuardKind, ...] = ()
    dropping_hashes: tuple[Hash, ...] = ()
    replacement_nonce: int | None = None
    refund: Refund | None = None
    builders: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Name the bundle without disclosing its transactions."""
        return f"Bundle(block={self.target_block}, hashes={list(self.hashes)})"


class MissCause(Enum):
    """Why a bundle did not land; exactly one, with evidence."""

    PARTIAL = "partial"
    REVERTED_SIM = "reverted_sim"
    UNDERPRICED = "underpriced"
    NONCE_USED = "nonce_used"
    OUTBID_CONFLICT = "outbid_conflict"
    STATE_CONFLICT = "state_conflict"
    EXPIRED = "expired"
    LATE = "late"
    WRONG_BUILDER = "wrong_builder"
    CANCELLED = "cancelled"
    REORGED = "reorged"
    UNKNOWN = "unknown"


class Landed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Every transaction of the bundle is in the block, contiguous and in order.

    `fee_wei` is what its transactions paid for gas, priority fees included; `tip_wei` what they
    transferred to the coinbase beside that, as far as the node tells it.
    """

    bundle_hash: Hash
    block_number: int
    block_hash: Hash
    builder: Address
    fee_wei: int
    tip_wei: int
    tx_hash: Hash | None = None


class Missed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The bundle is not in its target block and can no longer land; `evidence` is readable."""

    bundle_hash: Hash
    target_block: int
    cause: MissCause
    evidence: str
    rival: Hash | None = None
    tx_hash: Hash | None = None


BundleResult = Landed | Missed
