"""Bundles as values: ordered signed transactions, all or nothing, for a target block."""

from enum import Enum

import msgspec

from toolkit.model.chain import Address, Hash


class GuardKind(Enum):
    """On-chain conditions that make a leaked bundle harmless."""

    BLOCK = "block"
    PARENT_HASH = "parent_hash"
    MINIMUM_PROFIT = "minimum_profit"


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """Ordered signed transactions for one block; `transactions` are 0x hex, never printed."""

    transactions: tuple[str, ...]
    hashes: tuple[Hash, ...]
    target_block: int
    reverting_hashes: tuple[Hash, ...] = ()
    replacement_uuid: str | None = None
    min_timestamp: int | None = None
    max_timestamp: int | None = None
    guards: tuple[GuardKind, ...] = ()

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
    """Every transaction of the bundle is in the block, contiguous and in order."""

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
