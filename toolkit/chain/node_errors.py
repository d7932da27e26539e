"""What nodes mean by their error texts: one table, matched by text because codes differ.

Sources: geth `core/txpool/errors.go`, `core/txpool/legacypool/legacypool.go`, `core/error.go`,
`internal/ethapi`; reth `crates/rpc/rpc-eth-types/src/error/mod.rs`; Nethermind
`Nethermind.TxPool/AcceptTxResult.cs` (names of results until 2025) and `TxPoolErrorMessages.cs`
(since); Besu `jsonrpc/internal/response/RpcErrorType.java`; Erigon
`txnprovider/txpool/txpoolcfg/txpoolcfg.go`; anvil `crates/anvil/src/eth/error.rs` and, for its
JSON-RPC texts, the running program.
"""

import re

from toolkit.chain.reverts import decode_revert
from toolkit.model.errors import (
    AccountLimit,
    AlreadyKnown,
    AlreadyReserved,
    CallReverted,
    GasLimitTooHigh,
    InsufficientFunds,
    NonceTooHigh,
    NonceTooLow,
    PoolFull,
    RejectedByNode,
    ReplacementUnderpriced,
    RpcError,
    ToolkitError,
    Underpriced,
)

# geth's code of a revert, whatever the text.
_REVERT_CODE = 3
# A contract can put any of the texts below into its revert reason, so this is looked for first.
# "VM execution error." is what Nethermind says, with the revert in its data.
_REVERTED = re.compile(
    r"^(?:vm exception.*)?execution reverted|\brevert(?:ed)?\b|^vm execution error", re.IGNORECASE
)
_REASON = re.compile(
    r"execution reverted:?\s*(?P<geth>.*)|reason string '(?P<hardhat>.*)'|: revert (?P<ganache>.+)",
    re.IGNORECASE | re.DOTALL,
)
_DATA = re.compile(r"0x[0-9a-fA-F]+")

# No text that a row knows is matched by a row of another class, so their order means nothing.
_TABLE: tuple[tuple[str, type[RejectedByNode]], ...] = (
    # geth, reth ("...: next nonce 5, tx nonce 3"), anvil, Besu, Erigon, Nethermind. An EIP-7702
    # authorization's nonce (geth ErrAuthorityNonceTooLow) is not the transaction's.
    (r"(?<!authority )nonce (?:is )?too low|\bOldNonce\b", NonceTooLow),
    # geth (blob pool, delegated accounts), reth, anvil, Besu, Nethermind.
    (r"nonce (?:is )?too high|gapped[- ]nonce|delegation nonce gap", NonceTooHigh),
    (r"nonce too far in future|nonce is too distant|lower nonce exists", NonceTooHigh),
    (r"\bNonceGap\b|\bNonceTooFarInFuture\b|\bNotCurrentNonceForDelegation\b", NonceTooHigh),
    # geth ErrFutureReplacePending: the holder of the slot is pending, ours is gapped.
    (r"future transaction tries to replace pending", NonceTooHigh),
    # geth, reth, Erigon, Nethermind; anvil's own text and its pool's; Besu. Not "unknown
    # transaction", which says the opposite.
    (r"\balready ?known\b|\balready imported\b|\bknown transaction\b", AlreadyKnown),
    (r"existing txn? with same hash", AlreadyKnown),  # Erigon
    # All but reth's pool; Nethermind's former name for it.
    (r"replacement transaction underpriced|\bReplacementNotAllowed\b", ReplacementUnderpriced),
    (r"insufficient gas price to replace", ReplacementUnderpriced),  # reth's pool
    (r"could not replace existing tx|replaced by transaction with higher", ReplacementUnderpriced),
    (r"(?<!replacement )transaction underpriced|(?:^|: )underpriced", Underpriced),
    (r"gas price (?:is )?(?:too low|below)|\bfee ?too ?low", Underpriced),  # geth, Besu, Erigon
    (r"less than (?:the )?block (?:base fee|blob gas fee)", Underpriced),  # anvil, reth, geth
    (r"priority fee below minimum required", Underpriced),  # reth PriorityFeeBelowMinimum
    # geth, reth, anvil, Erigon, Nethermind ("InsufficientFunds" until 2025), Besu.
    (r"insufficient ?funds|upfront cost exceeds (?:account )?balance", InsufficientFunds),
    (r"pool is full", PoolFull),  # geth and reth "txpool", Erigon "pending sub-pool"
    # geth ErrAccountLimitExceeded, ErrInflightTxLimitReached (delegated accounts); reth's own.
    (r"account limit exceeded|in-?flight transaction limit|account slots? exceeded", AccountLimit),
    (r"(?:^|: )spammer$", AccountLimit),  # Erigon: too many of one sender
    (r"(?:address|authority) already reserved", AlreadyReserved),  # geth, reth, Erigon
    (r"type conflict|\bPendingTxsOf(?:Other|Conflicting)Type\b", AlreadyReserved),  # Nethermind
    (r"authority has pending|\bDelegatorHasPendingTx\b", AlreadyReserved),  # Nethermind
    (r"can't replace blob-txn with a non-blob-txn", AlreadyReserved),  # Erigon
    # geth, reth, Besu, Nethermind, EIP-7825 included.
    (r"exceeds block gas limit|exceeds max transaction gas limit", GasLimitTooHigh),
    (r"gas limit (?:is )?too high|gas limit reached|\bGasLimitExceeded\b", GasLimitTooHigh),
    (r"intrinsic gas too high", GasLimitTooHigh),  # anvil, reth
    (r"gas limit is greater than the block gas limit", GasLimitTooHigh),  # anvil
    (r"authority nonce too low", RejectedByNode),  # geth
    (r"exceeds the configured cap|fee cap exceeded", RejectedByNode),  # --rpc.txfeecap; Besu
    (r"nonce has max value|negative value|cost overflow", RejectedByNode),
    (r"GasUintOverflow|Int256Overflow|gas uint64 overflow", RejectedByNode),
    (r"intrinsic gas too low|intrinsic gas exceeds gas limit", RejectedByNode),
    (r"(?:^|: )IntrinsicGas$|insufficient gas for floor data gas cost", RejectedByNode),
    (r"max priority fee per gas (?:higher than|exceeds) max fee per gas", RejectedByNode),
    (r"invalid sender|sender (?:is )?not an eoa|\bSenderIsContract\b", RejectedByNode),
    (r"failed to recover sender|\bFailedToResolveSender\b|invalid signature$", RejectedByNode),
    (r"(?:invalid|wrong) chain ?id|chainid (?:not supported|is required)", RejectedByNode),
    (r"only replay-protected|signed for another chain", RejectedByNode),
    (r"transaction type not supported|unsupported transaction type", RejectedByNode),
    (r"invalid transaction type|supporting this transaction type", RejectedByNode),
    (r"\bNotSupportedTxType\b|form of a create transaction", RejectedByNode),
    (r"oversized data|transaction too large|RLPTooLong|initcode (?:size|too)", RejectedByNode),
    (r"blobless blob transaction|must have at least one blob", RejectedByNode),
    (r"too many blobs|number of blobs exceeded|blob limit exceeded", RejectedByNode),
    (r"total blob gas too high|KZGcommitment|equal number$", RejectedByNode),
    (r"at least one authorization|authorization list", RejectedByNode),
    (r"account not authorized to send|marked the transaction as invalid", RejectedByNode),
    (r"transaction invalid|^Invalid(?:,|$)|RIP-7560", RejectedByNode),
    (r"gas required exceeds allowance", RejectedByNode),  # of an estimate: geth, reth, Erigon
    (r"failed to decode signed transaction", RejectedByNode),  # anvil
)
_MEANINGS = tuple((re.compile(text, re.IGNORECASE), kind) for text, kind in _TABLE)


def classify(code: int, message: str, data: object = None) -> ToolkitError:
    """Turn a node's error object into the error that says what to do about it.

    Returns:
        CallReverted with the decoded reason, a RejectedByNode, or RpcError for the unknown.
    """
    if code == _REVERT_CODE or _REVERTED.search(message):
        found = _DATA.search(data) if isinstance(data, str) else None
        returned = found[0] if found else "0x"
        reason = decode_revert(returned) if found else _reason_in(message)
        return CallReverted(reason, data=returned)
    for kind in meanings(message):
        return kind(message, code=code)
    return RpcError(code, message, data)


def meanings(message: str) -> list[type[RejectedByNode]]:
    """The classes of the rows that know a text, in the table's order; one, or none."""
    found = [kind for pattern, kind in _MEANINGS if pattern.search(message)]
    return list(dict.fromkeys(found))


def _reason_in(message: str) -> str:
    if not _REVERTED.search(message):
        return message or "no reason given"
    found = _REASON.search(message)
    reason = next((part for part in found.groups() if part), "") if found else ""
    return reason.strip() or "no reason given"
