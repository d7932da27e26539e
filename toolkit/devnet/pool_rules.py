"""What a client's transaction pool takes and keeps: its rules as data.

Read from go-ethereum 1.16 (`core/txpool`) and reth 2.3 (`crates/transaction-pool`), with the place
beside each number; the words of the refusals are in `pool_refusals`.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import msgspec

from toolkit.devnet.pool_refusals import GETH_REFUSALS, RETH_REFUSALS, Reason, Refusal
from toolkit.model.errors import ConfigError
from toolkit.model.units import div_ceil

__all__ = [
    "GETH",
    "PROFILES",
    "RETH",
    "STRICT",
    "Bump",
    "PoolRules",
    "Reason",
    "Refusal",
    "Rounding",
    "pool_rules",
]


class Rounding(Enum):
    """How a replacement's least fee, old x (100 + percent) / 100, is rounded."""

    FLOOR_AND_HIGHER = "floor"  # at least the floor, and more than the old fee
    CEIL = "ceil"  # at least the ceiling
    ABOVE = "above"  # more than the exact product


class Bump(msgspec.Struct, frozen=True, kw_only=True):
    """By how much the fees of a replacement must rise."""

    rounding: Rounding
    percent: int = 10
    blob_percent: int = 100
    compares_zero_tips: bool = True

    def accepts(self, old_wei: int, new_wei: int, *, blob: bool = False) -> bool:
        """Whether one fee field rose enough."""
        factor = 100 + (self.blob_percent if blob else self.percent)
        if self.rounding is Rounding.ABOVE:
            return new_wei * 100 > old_wei * factor
        if self.rounding is Rounding.CEIL:
            return new_wei >= div_ceil(old_wei * factor, 100)
        return new_wei > old_wei and new_wei >= old_wei * factor // 100


class PoolRules(msgspec.Struct, frozen=True, kw_only=True):
    """One client's pool. Sizes are in bytes, fees in wei, lifetimes in blocks.

    `rpc_checks` come first and are for what arrives over JSON-RPC, `checks` follow and hold for
    what a reorg gives back too; both are tried in this order, the first that fails refuses.
    """

    name: str
    rpc_checks: tuple[Reason, ...]
    checks: tuple[Reason, ...]
    refusals: Mapping[Reason, Refusal]
    bump: Bump
    minimum_tip_wei: int
    minimum_fee_cap_wei: int
    rpc_fee_cap_wei: int
    max_bytes: int
    max_blob_bytes: int
    max_initcode_bytes: int
    max_gas: int
    max_blobs: int
    # Blobs per account; legacypool has no limit per account until the pool is full.
    blob_account_slots: int
    # A hard limit on what one sender may have pooled beside its next nonce; None: there is none.
    account_slots: int | None
    # Below this many an account's executable transactions are never cut to make room.
    guaranteed_slots: int
    global_slots: int
    account_queue: int
    global_queue: int
    slot_bytes: int
    # Pending, base fee, queued and blob sub-pools of this many each instead of one pending and
    # one queue; what is unaffordable or below the base fee is parked. None: geth's two lists.
    subpool_slots: int | None
    lifetime_blocks: int

    @property
    def has_subpools(self) -> bool:
        """Whether it parks transactions in reth's sub-pools."""
        return self.subpool_slots is not None

    def refusal(self, reason: Reason) -> Refusal:
        """The client's answer for `reason`."""
        return self.refusals[reason]


GETH = PoolRules(
    name="geth",
    rpc_checks=(Reason.FEE_ABOVE_RPC_CAP, Reason.UNPROTECTED),
    checks=(
        Reason.ALREADY_KNOWN,
        Reason.TOO_MANY_BLOBS,
        Reason.OVERSIZED,
        Reason.INITCODE,
        Reason.GAS_ABOVE_CAP,
        Reason.GAS_ABOVE_BLOCK,
        Reason.TIP_ABOVE_CAP,
        Reason.WRONG_CHAIN,
        Reason.NONCE_MAX,
        Reason.INTRINSIC_GAS,
        Reason.FLOOR_GAS,
        Reason.MINIMUM_TIP,
        Reason.MINIMUM_BLOB_FEE,
        Reason.NO_BLOB,
        Reason.NO_AUTHORIZATION,
        Reason.NONCE_TOO_LOW,
        Reason.BLOB_NONCE_GAP,
        Reason.FUNDS,
        Reason.REPLACEMENT_OVERDRAFT,
        Reason.OVERDRAFT,
        Reason.BLOB_ACCOUNT_SLOTS,
        Reason.DELEGATED_GAP,
        Reason.DELEGATED_LIMIT,
        Reason.AUTHORITY_BUSY,
        Reason.OTHER_TYPE_POOLED,
        Reason.REPLACEMENT,
        Reason.BLOB_REPLACEMENT_EQUAL,
        Reason.BLOB_REPLACEMENT,
    ),
    refusals=GETH_REFUSALS,
    bump=Bump(rounding=Rounding.FLOOR_AND_HIGHER),  # legacypool/list.go Add; blobpool PriceBump 100
    minimum_tip_wei=1,  # legacypool DefaultConfig.PriceLimit
    minimum_fee_cap_wei=0,  # what is capped below the base fee is kept
    rpc_fee_cap_wei=10**18,  # eth/ethconfig Defaults.RPCTxFeeCap
    max_bytes=4 * 32 * 1024,  # legacypool txMaxSize
    max_blob_bytes=1024 * 1024,  # blobpool txMaxSize
    max_initcode_bytes=2 * 24_576,  # EIP-3860
    max_gas=2**24,  # EIP-7825
    max_blobs=6,  # params.BlobTxMaxBlobs
    blob_account_slots=16,  # blobpool maxTxsPerAccount
    account_slots=None,
    guaranteed_slots=16,  # legacypool DefaultConfig.AccountSlots
    global_slots=4096 + 1024,  # legacypool DefaultConfig.GlobalSlots
    account_queue=64,  # legacypool DefaultConfig.AccountQueue
    global_queue=1024,  # legacypool DefaultConfig.GlobalQueue
    slot_bytes=32 * 1024,  # legacypool txSlotSize
    subpool_slots=None,
    lifetime_blocks=3 * 3600 // 12,  # legacypool DefaultConfig.Lifetime, in slots of 12 s
)
"""go-ethereum with its defaults.

Not modelled: the blob pool's limit in bytes of disk, the 4:1 split of the priced list, and the
throttle of replacements between two maintenance runs (here one follows each admission).
"""

RETH = PoolRules(
    name="reth",
    # `eth_sendRawTransaction` is external to reth, which checks the fee cap for local senders
    # (`--txpool.locals`) and the slots for others. Both are checked here: what passes, passes
    # either way.
    rpc_checks=(),
    checks=(
        Reason.NONCE_MAX,
        Reason.OVERSIZED,
        Reason.INITCODE,
        Reason.GAS_ABOVE_BLOCK,
        Reason.TIP_ABOVE_CAP,
        Reason.FEE_ABOVE_RPC_CAP,
        Reason.WRONG_CHAIN,
        Reason.NO_AUTHORIZATION,
        Reason.INTRINSIC_GAS,
        Reason.FLOOR_GAS,
        Reason.NO_BLOB,
        Reason.TOO_MANY_BLOBS,
        Reason.GAS_ABOVE_CAP,
        Reason.NONCE_TOO_LOW,
        Reason.FUNDS,
        Reason.ALREADY_KNOWN,
        Reason.DELEGATED_GAP,
        Reason.DELEGATED_LIMIT,
        Reason.AUTHORITY_BUSY,
        Reason.ACCOUNT_SLOTS,
        Reason.OTHER_TYPE_POOLED,
        Reason.BLOB_NONCE_GAP,
        Reason.BLOB_OVERDRAFT,
        Reason.MINIMUM_FEE_CAP,
        Reason.REPLACEMENT,
        Reason.BLOB_REPLACEMENT_EQUAL,
        Reason.BLOB_REPLACEMENT,
    ),
    refusals=RETH_REFUSALS,
    # validate/mod.rs: `div_ceil` (it floored before 2026, and before 2025 asked for more than the
    # floor); a tip of zero on either side is not compared.
    bump=Bump(rounding=Rounding.CEIL, compares_zero_tips=False),
    minimum_tip_wei=0,  # config.rs: minimum_priority_fee is unset
    minimum_fee_cap_wei=7,  # MIN_PROTOCOL_BASE_FEE
    rpc_fee_cap_wei=10**18,  # --rpc.txfeecap
    max_bytes=4 * 32 * 1024,  # validate/constants.rs DEFAULT_MAX_TX_INPUT_BYTES
    max_blob_bytes=4 * 32 * 1024,  # the same, for a blob transaction's input alone
    max_initcode_bytes=2 * 24_576,  # EIP-3860
    max_gas=2**24,  # EIP-7825
    max_blobs=6,  # EIP-7594
    blob_account_slots=16,  # counted within account_slots
    account_slots=16,  # config.rs TXPOOL_MAX_ACCOUNT_SLOTS_PER_SENDER
    guaranteed_slots=0,
    global_slots=40_000,  # four sub-pools
    account_queue=16,
    global_queue=40_000,
    slot_bytes=32 * 1024,
    subpool_slots=10_000,  # config.rs TXPOOL_SUBPOOL_MAX_TXS_DEFAULT
    lifetime_blocks=3 * 3600 // 12,  # maintain.rs MAX_QUEUED_TRANSACTION_LIFETIME, slots of 12 s
)
"""reth with its defaults. Not modelled: the sub-pools' limits of 20 MB."""

STRICT = msgspec.structs.replace(GETH, name="strict", bump=Bump(rounding=Rounding.ABOVE))
"""geth, but every fee of a replacement must be above the old one's exact product.

So asked reth until 2025 (`<=` in its `is_underpriced`).
"""

PROFILES: Mapping[str, PoolRules] = MappingProxyType(
    {rules.name: rules for rules in (GETH, RETH, STRICT)}
)


def pool_rules(name: str) -> PoolRules:
    """The rules of a profile.

    Raises:
        ConfigError: no such profile.
    """
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ConfigError(f"mempool profile {name!r} is not known: use one of {known}") from None
