"""The one tree of errors.

ToolkitError
├── ConfigError(ValueError)
├── NodeError                     the node could not be asked
│   ├── NodeTimeout(TimeoutError)
│   ├── NodeUnavailable
│   └── RpcError(code, message, data)
├── RejectedByNode                the node said no; `.recovery` says what a lane does about it
│   ├── NonceTooLow, NonceTooHigh, AlreadyKnown, Underpriced, ReplacementUnderpriced,
│   └── InsufficientFunds, PoolFull, AccountLimit, AlreadyReserved, GasLimitTooHigh
├── CallReverted(reason)          preflight says it would fail; nothing was sent, no nonce used
├── FeeLimitReached, LaneHalted, IdempotencyConflict, LeaseLost
├── SignerError
│   └── RemoteSignerMismatch
├── RelayError
│   └── RelayUnavailable, RelayRejected
├── BundleRefused                 unguarded, own-foreign-own, contradicts a live bundle
├── PoolError(ValueError)         names pool and field
├── RoutingError
│   └── NoRoute, StaleSnapshot
├── DataError(ValueError)         names file and line
└── DevnetError, JournalCorrupt, JournalUnavailable, BusOverflow

Exceptions mean "you must act" or "we are broken". Expected endings are values
(`toolkit.model.tx.Outcome`, `toolkit.model.bundle.BundleResult`). A message says what happened,
with which values, and what to do about it; the object carries the data.
"""

from enum import Enum
from typing import ClassVar

from toolkit.model.printable import printable


class Recovery(Enum):
    """What a lane does after a node refused an attempt."""

    RESYNC = "resync"  # read the account's nonce again; the slot may have been spent
    FILL_GAP = "fill_gap"  # a lower nonce is missing at the node: send that one first
    TREAT_AS_SENT = "treat_as_sent"  # the node has these very bytes
    RAISE_FEES = "raise_fees"  # the same nonce again with higher fees
    WAIT = "wait"  # nothing we send now helps; retry at a later block
    FAIL = "fail"  # this payload can never be accepted


class ToolkitError(Exception):
    """Base of every error this toolkit raises; never raised itself.

    Written down it is one line that only shows, whatever it repeats of others; `args` have all.
    """

    def __str__(self) -> str:
        """Return the message, fit for a terminal."""
        return printable(super().__str__())


class ConfigError(ToolkitError, ValueError):
    """A setting, argument or combination of them that cannot be right."""


class NodeError(ToolkitError):
    """The node could not be asked, or its answer could not be understood."""


class NodeTimeout(NodeError, TimeoutError):
    """No answer before the deadline; the request may or may not have been carried out."""


class NodeUnavailable(NodeError):
    """The connection was refused or lost; `sent` tells whether bytes may have left."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class RpcError(NodeError):
    """A JSON-RPC error object that is no transaction rejection."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message
        self.data = data


class RejectedByNode(ToolkitError):
    """The node refused a transaction; subclasses say why, `recovery` what to do."""

    recovery: ClassVar[Recovery] = Recovery.FAIL

    def __init__(self, message: str, *, code: int = -32000) -> None:
        super().__init__(message)
        self.code = code


class NonceTooLow(RejectedByNode):
    """The nonce is already spent on the node's chain."""

    recovery = Recovery.RESYNC


class NonceTooHigh(RejectedByNode):
    """The node does not take gapped nonces for this transaction."""

    recovery = Recovery.FILL_GAP


class AlreadyKnown(RejectedByNode):
    """The node has these very bytes: a success in disguise."""

    recovery = Recovery.TREAT_AS_SENT


class Underpriced(RejectedByNode):
    """Below the node's minimum, or below the cheapest in a full pool."""

    recovery = Recovery.RAISE_FEES


class ReplacementUnderpriced(RejectedByNode):
    """The slot is taken and the bump over its holder is too small."""

    recovery = Recovery.RAISE_FEES


class InsufficientFunds(RejectedByNode):
    """The account cannot cover gas limit x fee cap + value."""

    recovery = Recovery.WAIT


class PoolFull(RejectedByNode):
    """The node's pool has no room."""

    recovery = Recovery.WAIT


class AccountLimit(RejectedByNode):
    """Too many transactions of this account are pending (1 when delegated)."""

    recovery = Recovery.WAIT


class AlreadyReserved(RejectedByNode):
    """The account has a pending transaction of the other pool (blob or not)."""

    recovery = Recovery.WAIT


class GasLimitTooHigh(RejectedByNode):
    """The gas limit exceeds the block's or the protocol's per-transaction cap (EIP-7825)."""


class CallReverted(ToolkitError):
    """Preflight says that it would fail; nothing was sent and no nonce was used."""

    def __init__(self, reason: str, *, data: str = "0x") -> None:
        super().__init__(f"call would revert: {reason}")
        self.reason = reason
        self.data = data


class FeeLimitReached(ToolkitError):
    """The worst-case cost of an attempt exceeds the configured ceiling."""


class LaneHalted(ToolkitError):
    """A lane stopped itself because going on could lose money; the message says why."""


class IdempotencyConflict(ToolkitError):
    """The idempotency key was used before with another payload."""


class LeaseLost(ToolkitError):
    """Another process holds this key's lane."""


class SignerError(ToolkitError):
    """A key or signer that cannot sign what was asked."""


class RemoteSignerMismatch(SignerError):
    """A remote signer returned something other than what was asked for."""


class RelayError(ToolkitError):
    """A relay could not be used; `relay` names it."""

    def __init__(self, message: str, *, relay: str = "") -> None:
        super().__init__(message)
        self.relay = relay


class RelayUnavailable(RelayError):
    """The relay did not answer in time or at all."""


class RelayRejected(RelayError):
    """The relay answered with an error."""


class BundleRefused(ToolkitError):
    """We refuse to send this bundle: unguarded, own-foreign-own, or contradicting a live one."""


class PoolError(ToolkitError, ValueError):
    """A pool state or amount the contract itself would refuse; names pool and field."""


class RoutingError(ToolkitError):
    """No usable answer to a routing question."""


class NoRoute(RoutingError):
    """No path with the given pools and limits."""


class StaleSnapshot(RoutingError):
    """The snapshot is older than the question allows."""


class DataError(ToolkitError, ValueError):
    """A data file that cannot be read as its format says; names file and line."""


class DevnetError(ToolkitError):
    """The local devnet could not be built or died."""


class JournalCorrupt(ToolkitError):
    """The journal's hash chain is broken; names the first bad entry."""


class JournalUnavailable(ToolkitError):
    """The journal cannot be written (disk full, permissions); nothing leaves the process."""


class BusOverflow(ToolkitError):
    """A bounded queue whose messages must not be dropped is full."""
