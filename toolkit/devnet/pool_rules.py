"""What a client's transaction pool refuses, in which words, and what it keeps: rules as data.

Read from go-ethereum 1.16 (`core/txpool`, `core/error.go`, `internal/ethapi`) and reth 2.3
(`crates/transaction-pool`, `crates/rpc/rpc-eth-types`). A row names the place it was read from.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import msgspec

from toolkit.model.errors import ConfigError
from toolkit.model.units import div_ceil


class Reason(Enum):
    """Why a pool refuses a transaction."""

    ALREADY_KNOWN = "already known"
    NONCE_TOO_LOW = "nonce too low"
    NONCE_MAX = "nonce max"
    BLOB_NONCE_GAP = "blob nonce gap"
    MINIMUM_TIP = "minimum tip"
    MINIMUM_FEE_CAP = "minimum fee cap"
    TIP_ABOVE_CAP = "tip above fee cap"
    FEE_ABOVE_RPC_CAP = "fee above rpc cap"
    REPLACEMENT = "replacement underpriced"
    BLOB_REPLACEMENT_EQUAL = "blob replacement not higher"
    BLOB_REPLACEMENT = "blob replacement underpriced"
    FUNDS = "insufficient funds"
    OVERDRAFT = "insufficient funds beside what is pooled"
    REPLACEMENT_OVERDRAFT = "insufficient funds for the higher fees"
    BLOB_OVERDRAFT = "insufficient funds beside the pooled blobs"
    ACCOUNT_SLOTS = "account slots"
    BLOB_ACCOUNT_SLOTS = "blob account slots"
    OTHER_TYPE_POOLED = "address reserved"
    AUTHORITY_BUSY = "authority reserved"
    DELEGATED_LIMIT = "delegated in-flight limit"
    DELEGATED_GAP = "delegated gap"
    GAS_ABOVE_BLOCK = "gas above block"
    GAS_ABOVE_CAP = "gas above the transaction cap"
    INTRINSIC_GAS = "intrinsic gas"
    FLOOR_GAS = "floor gas"
    OVERSIZED = "oversized"
    INITCODE = "initcode size"
    WRONG_CHAIN = "wrong chain"
    UNPROTECTED = "no replay protection"
    NO_AUTHORIZATION = "no authorization"
    NO_BLOB = "no blob"
    TOO_MANY_BLOBS = "too many blobs"
    MINIMUM_BLOB_FEE = "minimum blob fee"
    POOL_UNDERPRICED = "cheaper than the cheapest of a full pool"
    POOL_FULL = "pool full"
    FUTURE_REPLACES_PENDING = "future replaces pending"


class Refusal(msgspec.Struct, frozen=True):
    """The client's own words (`str.format` fields from the check), their code and their source."""

    text: str
    code: int
    source: str


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


_GETH_RPC = "internal/ethapi/api.go SubmitTransaction"
_GETH_ERRORS = "core/txpool/errors.go"
_GETH_CHECKS = "core/txpool/validation.go ValidateTransaction"
_GETH_STATE = "core/txpool/validation.go ValidateTransactionWithState"
_GETH_LEGACY = "core/txpool/legacypool/legacypool.go"
_GETH_BLOB = "core/txpool/blobpool/blobpool.go validateTx"
_GETH_PENALTY = (
    "replacement transaction underpriced: new tx {field} {new} < {old} queued"
    " + {percent}% replacement penalty"
)
_GETH_FUNDS = "insufficient funds for gas * price + value: balance {balance}, "


def _geth_rows() -> dict[Reason, Refusal]:
    rows = {
        Reason.FEE_ABOVE_RPC_CAP: (
            "tx fee ({fee_ether} ether) exceeds the configured cap ({cap_ether} ether)",
            f"{_GETH_RPC}, checkTxFee; ethconfig RPCTxFeeCap 1 ether",
        ),
        Reason.UNPROTECTED: (
            "only replay-protected (EIP-155) transactions allowed over RPC",
            _GETH_RPC,
        ),
        Reason.ALREADY_KNOWN: ("already known", f"{_GETH_ERRORS} ErrAlreadyKnown"),
        Reason.TOO_MANY_BLOBS: (
            "transaction blob limit exceeded: blob count {have}, limit {permitted}",
            f"{_GETH_CHECKS}, ErrTxBlobLimitExceeded; params.BlobTxMaxBlobs 6 (EIP-7594)",
        ),
        Reason.OVERSIZED: (
            "oversized data: transaction size {size}, limit {limit}",
            f"{_GETH_CHECKS}; legacypool txMaxSize 128 KiB, blobpool 1 MiB",
        ),
        Reason.INITCODE: (
            "max initcode size exceeded: code size {size} limit {limit}",
            "core/vm/common.go CheckMaxInitCodeSize; EIP-3860",
        ),
        Reason.GAS_ABOVE_CAP: (
            "transaction gas limit too high (cap: {limit}, tx: {gas})",
            f"{_GETH_CHECKS}, core/error.go ErrGasLimitTooHigh; EIP-7825",
        ),
        Reason.GAS_ABOVE_BLOCK: ("exceeds block gas limit", f"{_GETH_ERRORS} ErrGasLimit"),
        Reason.TIP_ABOVE_CAP: (
            "max priority fee per gas higher than max fee per gas",
            f"{_GETH_CHECKS}, core/error.go ErrTipAboveFeeCap",
        ),
        Reason.WRONG_CHAIN: (
            "invalid sender: invalid chain id for signer: have {have} want {want}",
            f"{_GETH_CHECKS}, core/types/transaction_signing.go ErrInvalidChainId",
        ),
        Reason.NONCE_MAX: ("nonce has max value", f"{_GETH_CHECKS}; EIP-2681"),
        Reason.INTRINSIC_GAS: (
            "intrinsic gas too low: gas {gas}, minimum needed {needed}",
            f"{_GETH_CHECKS}, core/error.go ErrIntrinsicGas",
        ),
        Reason.FLOOR_GAS: (
            "insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}",
            f"{_GETH_CHECKS}, core/error.go ErrFloorDataGas; EIP-7623",
        ),
        Reason.MINIMUM_TIP: (
            "transaction gas price below minimum: gas tip cap {tip}, minimum needed {minimum}",
            f"{_GETH_CHECKS}, ErrTxGasPriceTooLow; legacypool PriceLimit 1",
        ),
        Reason.MINIMUM_BLOB_FEE: (
            "transaction gas price below minimum: blob fee cap {fee}, minimum needed {minimum}",
            "core/txpool/validation.go validateBlobTx",
        ),
        Reason.NO_BLOB: ("blobless blob transaction", "core/txpool/validation.go validateBlobTx"),
        Reason.NO_AUTHORIZATION: (
            "set code tx must have at least one authorization tuple",
            _GETH_CHECKS,
        ),
        Reason.NONCE_TOO_LOW: (
            "nonce too low: next nonce {next}, tx nonce {nonce}",
            _GETH_STATE,
        ),
        Reason.BLOB_NONCE_GAP: (
            "nonce too high: tx nonce {nonce}, gapped nonce {next}",
            f"{_GETH_STATE}, FirstNonceGap",
        ),
        Reason.FUNDS: (_GETH_FUNDS + "tx cost {cost}, overshot {overshot}", _GETH_STATE),
        Reason.OVERDRAFT: (
            _GETH_FUNDS + "queued cost {pooled}, tx cost {cost}, overshot {overshot}",
            f"{_GETH_STATE}, ExistingExpenditure",
        ),
        Reason.REPLACEMENT_OVERDRAFT: (
            _GETH_FUNDS + "queued cost {pooled}, tx bumped {bump}, overshot {overshot}",
            f"{_GETH_STATE}, ExistingCost",
        ),
        Reason.BLOB_ACCOUNT_SLOTS: (
            "account limit exceeded: pooled {pooled} txs",
            f"{_GETH_STATE}, UsedAndLeftSlots; blobpool maxTxsPerAccount 16",
        ),
        Reason.DELEGATED_GAP: (
            "gapped-nonce tx from delegated accounts",
            f"{_GETH_LEGACY} checkDelegationLimit",
        ),
        Reason.DELEGATED_LIMIT: (
            "in-flight transaction limit reached for delegated accounts",
            f"{_GETH_LEGACY} checkDelegationLimit; blobpool.go checkDelegationLimit",
        ),
        Reason.AUTHORITY_BUSY: (
            "authority already reserved",
            f"{_GETH_LEGACY} validateAuth",
        ),
        Reason.OTHER_TYPE_POOLED: (
            "address already reserved",
            f"{_GETH_ERRORS} ErrAlreadyReserved; core/txpool/reserver.go",
        ),
        Reason.REPLACEMENT: (
            "replacement transaction underpriced",
            "core/txpool/legacypool/list.go Add",
        ),
        Reason.BLOB_REPLACEMENT_EQUAL: (
            "replacement transaction underpriced: new tx {field} {new} <= {old} queued",
            _GETH_BLOB,
        ),
        Reason.BLOB_REPLACEMENT: (
            _GETH_PENALTY,
            _GETH_BLOB,
        ),
        Reason.POOL_UNDERPRICED: (
            "transaction underpriced",
            f"{_GETH_LEGACY} add, priced.Underpriced",
        ),
        Reason.POOL_FULL: ("txpool is full", f"{_GETH_LEGACY} add, ErrTxPoolOverflow"),
        Reason.FUTURE_REPLACES_PENDING: (
            "future transaction tries to replace pending",
            f"{_GETH_LEGACY} add, isGapped",
        ),
    }
    # rpc/errors.go errcodeDefault: none of these errors has a code of its own.
    return {reason: Refusal(text, -32000, source) for reason, (text, source) in rows.items()}


_RETH_TX = "crates/transaction-pool/src/validate/eth.rs"
_RETH_POOL = "crates/transaction-pool/src/pool/txpool.rs"
_RETH_RPC = "crates/rpc/rpc-eth-types/src/error/mod.rs"
# EthRpcErrorCode: what the node rejects for the account's state, and what it calls bad input.
_REJECTED, _INPUT = -32003, -32000
_RETH_UNDERPRICED = "replacement transaction underpriced"
_RETH_FUNDS = "insufficient funds for gas * price + value: have {balance} want {cost}"

_RETH_ROWS = {
    Reason.NONCE_MAX: Refusal(
        "nonce has max value", _REJECTED, f"{_RETH_TX} validate_stateless; EIP-2681"
    ),
    Reason.OVERSIZED: Refusal(
        "oversized data: transaction size {size}, limit {limit}",
        _INPUT,
        f"{_RETH_TX}; DEFAULT_MAX_TX_INPUT_BYTES 128 KiB",
    ),
    Reason.INITCODE: Refusal(
        "max initcode size exceeded", _INPUT, f"{_RETH_TX} ensure_max_init_code_size"
    ),
    Reason.GAS_ABOVE_BLOCK: Refusal("exceeds block gas limit", _INPUT, f"{_RETH_TX}; {_RETH_RPC}"),
    Reason.TIP_ABOVE_CAP: Refusal(
        "max priority fee per gas higher than max fee per gas", _REJECTED, f"{_RETH_TX}"
    ),
    Reason.FEE_ABOVE_RPC_CAP: Refusal(
        "tx fee ({fee} wei) exceeds the configured cap ({cap} wei)",
        _INPUT,
        f"{_RETH_TX} ExceedsFeeCap, --rpc.txfeecap 1 ether",
    ),
    Reason.WRONG_CHAIN: Refusal("invalid chain ID", _INPUT, f"{_RETH_TX}; {_RETH_RPC}"),
    Reason.NO_AUTHORIZATION: Refusal(
        "no items in authorization list for EIP7702 transaction",
        _INPUT,
        "crates/transaction-pool/src/error.rs Eip7702PoolTransactionError",
    ),
    Reason.INTRINSIC_GAS: Refusal(
        "intrinsic gas too low", _INPUT, f"{_RETH_TX} ensure_intrinsic_gas"
    ),
    Reason.FLOOR_GAS: Refusal(
        "intrinsic gas too low", _INPUT, f"{_RETH_TX} ensure_intrinsic_gas; EIP-7623"
    ),
    Reason.NO_BLOB: Refusal("blobless blob transaction", _INPUT, f"{_RETH_TX} NoEip4844Blobs"),
    Reason.TOO_MANY_BLOBS: Refusal(
        "too many blobs in transaction: have {have}, permitted {permitted}",
        _INPUT,
        f"{_RETH_TX} TooManyEip4844Blobs; EIP-7594 allows 6 a transaction",
    ),
    Reason.GAS_ABOVE_CAP: Refusal(
        "gas limit too high", _INPUT, f"{_RETH_TX} tx_gas_limit_cap; EIP-7825"
    ),
    Reason.NONCE_TOO_LOW: Refusal(
        "nonce too low: next nonce {next}, tx nonce {nonce}",
        _REJECTED,
        f"{_RETH_TX} validate_sender_nonce; {_RETH_RPC} NonceTooLow",
    ),
    Reason.FUNDS: Refusal(_RETH_FUNDS, _REJECTED, f"{_RETH_TX} validate_sender_balance"),
    Reason.ALREADY_KNOWN: Refusal(
        "already known", _INPUT, f"{_RETH_POOL} add_transaction; {_RETH_RPC}"
    ),
    Reason.DELEGATED_GAP: Refusal(
        "gapped-nonce tx from delegated accounts", _INPUT, f"{_RETH_POOL} check_delegation_limit"
    ),
    Reason.DELEGATED_LIMIT: Refusal(
        "in-flight transaction limit reached for delegated accounts",
        _INPUT,
        f"{_RETH_POOL} check_delegation_limit; max_inflight_delegated_slot_limit 1",
    ),
    Reason.AUTHORITY_BUSY: Refusal(
        "authority already reserved", _INPUT, f"{_RETH_POOL} validate_auth"
    ),
    Reason.ACCOUNT_SLOTS: Refusal(
        "txpool is full",
        _REJECTED,
        f"{_RETH_POOL} ensure_valid; config.rs TXPOOL_MAX_ACCOUNT_SLOTS_PER_SENDER 16",
    ),
    Reason.OTHER_TYPE_POOLED: Refusal(
        "address already reserved", _INPUT, f"{_RETH_POOL} ensure_valid TxTypeConflict"
    ),
    Reason.BLOB_NONCE_GAP: Refusal(
        "nonce too high", _INPUT, f"{_RETH_POOL} ensure_valid_blob_transaction"
    ),
    Reason.BLOB_OVERDRAFT: Refusal(
        _RETH_FUNDS, _REJECTED, f"{_RETH_POOL} ensure_valid_blob_transaction"
    ),
    Reason.MINIMUM_FEE_CAP: Refusal(
        "transaction underpriced",
        _INPUT,
        f"{_RETH_POOL} insert_tx; MIN_PROTOCOL_BASE_FEE 7 wei",
    ),
    Reason.REPLACEMENT: Refusal(_RETH_UNDERPRICED, _INPUT, f"{_RETH_POOL} insert_tx; {_RETH_RPC}"),
    Reason.BLOB_REPLACEMENT_EQUAL: Refusal(
        _RETH_UNDERPRICED, _INPUT, f"{_RETH_POOL} insert_tx; REPLACE_BLOB_PRICE_BUMP 100"
    ),
    Reason.BLOB_REPLACEMENT: Refusal(
        _RETH_UNDERPRICED, _INPUT, f"{_RETH_POOL} insert_tx; REPLACE_BLOB_PRICE_BUMP 100"
    ),
    Reason.POOL_FULL: Refusal(
        "txpool is full", _REJECTED, f"{_RETH_RPC} DiscardedOnInsert -> TxPoolOverflow"
    ),
}

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
    refusals=MappingProxyType(_geth_rows()),
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
    refusals=MappingProxyType(_RETH_ROWS),
    # validate/mod.rs: a tip of zero on either side is not compared.
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

Older reth asked for this (`<=` in `is_underpriced`), and services that round up still do.
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
