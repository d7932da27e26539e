"""In which words, and under which code, a client's pool refuses a transaction.

Read from go-ethereum 1.16 (`core/txpool`, `core/error.go`, `internal/ethapi`) and reth 2.3
(`crates/transaction-pool`, `crates/rpc/rpc-eth-types`). A row names the place it was read from.
"""

from enum import Enum
from types import MappingProxyType

import msgspec


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


_GETH_ROWS = {
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


_RETH_TX = "crates/transaction-pool/src/validate/eth.rs"
_RETH_POOL = "crates/transaction-pool/src/pool/txpool.rs"
_RETH_RPC = "crates/rpc/rpc-eth-types/src/error/mod.rs"
# EthRpcErrorCode TransactionRejected and InvalidInput, as `error_code` and the conversion of
# RpcPoolError choose between them.
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
        "gas limit too high", _REJECTED, f"{_RETH_TX} tx_gas_limit_cap; EIP-7825"
    ),
    Reason.NONCE_TOO_LOW: Refusal(
        "nonce too low: next nonce {next}, tx nonce {nonce}",
        _INPUT,
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

GETH_REFUSALS = MappingProxyType(
    # rpc/errors.go errcodeDefault: none of these errors has a code of its own.
    {reason: Refusal(text, -32000, source) for reason, (text, source) in _GETH_ROWS.items()}
)
RETH_REFUSALS = MappingProxyType(_RETH_ROWS)
