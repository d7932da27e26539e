"""What nodes mean by their error texts: one table, matched by text because codes differ.

Sources: geth `core/txpool/errors.go`, `core/txpool/legacypool/legacypool.go`, `core/error.go`,
`internal/ethapi`; reth `crates/rpc/rpc-eth-types/src/error/mod.rs`; anvil
`crates/anvil/src/eth/error.rs` and, for its JSON-RPC texts, the running program.
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

# A contract can put any of the texts below into its revert reason, so this is looked for first.
_REVERTED = re.compile(r"^(?:vm exception.*)?execution reverted|\brevert(?:ed)?\b", re.IGNORECASE)

_TABLE: tuple[tuple[str, type[RejectedByNode]], ...] = (
    # An EIP-7702 authorization's nonce, not the transaction's (geth ErrAuthorityNonceTooLow).
    (r"authority (?:nonce too low|already reserved)", RejectedByNode),
    (r"nonce too low", NonceTooLow),  # geth, reth ("…: next nonce 5, tx nonce 3"), anvil
    (r"nonce too high|gapped[- ]nonce", NonceTooHigh),  # geth (blob pool, delegated), reth, anvil
    # geth, reth; anvil's own text and its pool's. Not "unknown transaction".
    (r"\balready known\b|\balready imported\b|(?<!un)\bknown transaction\b", AlreadyKnown),
    # geth ErrFutureReplacePending: the holder of the slot is pending, ours is gapped.
    (r"future transaction tries to replace pending", NonceTooHigh),
    (
        r"replacement transaction underpriced|insufficient gas price to replace",
        ReplacementUnderpriced,
    ),
    (r"transaction underpriced|gas price (?:is )?(?:too low|below)", Underpriced),  # geth, reth
    (r"max fee per gas less than block base fee", Underpriced),  # anvil at admission; reth
    (r"priority fee below minimum required", Underpriced),  # reth PriorityFeeBelowMinimum
    (r"insufficient funds", InsufficientFunds),  # geth, reth, anvil ("Insufficient funds for…")
    (r"txpool is full|pool is full", PoolFull),  # geth legacypool, reth
    # geth ErrAccountLimitExceeded, ErrInflightTxLimitReached (delegated accounts); reth's own.
    (r"account limit exceeded|in-?flight transaction limit|account slots? exceeded", AccountLimit),
    (r"address already reserved", AlreadyReserved),  # geth, reth
    (r"exceeds block gas limit|exceeds max transaction gas limit", GasLimitTooHigh),  # geth, reth
    (r"gas limit too high|gas limit reached", GasLimitTooHigh),  # geth and reth, EIP-7825 included
    (r"intrinsic gas too high", GasLimitTooHigh),  # anvil, reth
    (r"gas limit is greater than the block gas limit", GasLimitTooHigh),  # anvil
    (r"exceeds the configured cap", RejectedByNode),  # geth and reth --rpc.txfeecap
    (r"nonce has max value", RejectedByNode),
    (r"intrinsic gas too low|insufficient gas for floor data gas cost", RejectedByNode),
    (r"max priority fee per gas higher than max fee per gas", RejectedByNode),
    (r"invalid sender|invalid chain id|sender (?:is )?not an eoa", RejectedByNode),
    (r"only replay-protected|signed for another chain", RejectedByNode),
    (r"transaction type not supported|oversized data|max initcode size exceeded", RejectedByNode),
    (r"failed to decode signed transaction", RejectedByNode),  # anvil
)
_MEANINGS = tuple((re.compile(text, re.IGNORECASE), kind) for text, kind in _TABLE)


def classify(code: int, message: str, data: object = None) -> ToolkitError:
    """Turn a node's error object into the error that says what to do about it.

    Returns:
        CallReverted with the decoded reason, a RejectedByNode, or RpcError for the unknown.
    """
    if _REVERTED.search(message):
        reason = decode_revert(data) if _has_data(data) else _reason_in(message)
        return CallReverted(reason, data=data if isinstance(data, str) else "0x")
    for pattern, kind in _MEANINGS:
        if pattern.search(message):
            return kind(message, code=code)
    return RpcError(code, message, data)


def _has_data(data: object) -> bool:
    return isinstance(data, str) and data.startswith("0x") and len(data) > len("0x")


def _reason_in(message: str) -> str:
    _, _, reason = message.partition("execution reverted")
    return reason.lstrip(": ") or "no reason given"
