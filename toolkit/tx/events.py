"""What happens to a lane, and what a lane asks for: both are plain values.

Events are journalled before they count, so a lane's state is the fold of its events; effects are
what the shell then does, and never come back from the journal.
"""

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import Recovery
from toolkit.model.tx import (
    Exposure,
    ExternalSpend,
    FeeQuote,
    Outcome,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)


class LaneLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a lane; see `SchedulerConfig` for the meaning and the checks."""

    max_cost_wei: int
    max_in_flight: int = 16
    replace_after_blocks: int = 2
    confirmations: int = 1
    finality_blocks: int = 64
    keep_blocks: int = 64

    @property
    def watch_blocks(self) -> int:
        """How deep a spent nonce is remembered: deeper than anything that may be taken back."""
        return max(self.keep_blocks, self.finality_blocks + 1)


class Mined(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain did with one of our transactions; `reason` decodes a revert."""

    tx_hash: Hash
    block_number: int
    block_hash: Hash
    succeeded: bool
    gas_used: int
    fee_wei: int
    reason: str = ""


class Spender(msgspec.Struct, frozen=True, kw_only=True):
    """The transaction that spent a nonce whose request has no receipt: a stranger's, mostly.

    Where it is one of the request's own, the node lags behind itself and its receipt will come.
    """

    nonce: int
    by: Hash
    block_number: int = 0
    same_payload: bool = False  # the same (to, value, data) as the request's


class LaneOpened(msgspec.Struct, frozen=True, kw_only=True):
    """A process took the lane up; the limits hold until the next opening.

    The anchor is a block too deep to be reorganised: it tells this chain from every other.
    """

    lane: Address
    chain_id: int
    limits: LaneLimits
    anchor_block: int
    anchor_hash: Hash


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A request passed its preflight; `gas` is set, `deadline_block` is its last block.

    `fingerprint` digests what the author asked for, to tell a repeated call from another one.
    """

    lane: Address
    request_id: str
    request: TransactionRequest
    urgency: Urgency
    deadline_block: int | None
    destinations: tuple[str, ...]
    quote: FeeQuote
    balance_wei: int
    idempotency_key: str | None = None
    fingerprint: str = ""
    priority: int = 0
    after: str | None = None  # the request, of any lane, that must be confirmed first
    on_external_spend: ExternalSpend = ExternalSpend.REPORT


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt was signed; once this is durable it counts as exposed.

    `also` names who gets it beside the request's own destinations.
    """

    lane: Address
    request_id: str
    signed: SignedTransaction
    cancels: bool = False
    version: int = 0
    also: tuple[str, ...] = ()


class SigningFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The signer refused or failed; nothing exists that could be sent."""

    lane: Address
    request_id: str
    message: str


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A destination answered an attempt, or did not: `exposure` is what follows from it.

    `refusal` is the name of the error's class, as "InsufficientFunds", and `message` its text.
    """

    lane: Address
    request_id: str
    tx_hash: Hash
    destination: str
    exposure: Exposure
    recovery: Recovery | None = None
    message: str = ""
    refusal: str = ""


class CancelAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The author wants the request not to happen; the chain decides whether that is possible."""

    lane: Address
    request_id: str


class ReplaceAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The author wants another payload, or with `request` None higher fees, at the same nonce.

    `quote` is the least that the next attempt bids; `urgency` holds from here on, and so does
    `own_cap`, where given, as the request's own fee ceiling. The chain decides which attempt is
    mined, and the outcome's `version` tells.
    """

    lane: Address
    request_id: str
    request: TransactionRequest | None
    urgency: Urgency
    quote: FeeQuote
    own_cap: int | None = None


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """The request that this one was to follow ended; without success this one is cancelled."""

    lane: Address
    request_id: str
    succeeded: bool
    reason: str = ""


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody looked at why the lane halted and lets it go on."""

    lane: Address


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """The chain as of one head: the lane's only clock.

    With `reorged`, every mined request was asked for again and `receipts` has all that still are.
    `quotes` has one quote for each urgency's name.
    """

    lane: Address
    block: int
    nonce: int
    balance_wei: int
    quotes: dict[str, FeeQuote]
    receipts: tuple[Mined, ...] = ()
    spenders: tuple[Spender, ...] = ()
    reorged: bool = False
    delegated: bool = False  # the account runs code (EIP-7702): pools take one at a time


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive nonces were signed for a private bundle of one target block."""

    lane: Address
    lease_id: str
    target_block: int
    signed: tuple[SignedTransaction, ...]


class LeaseSettled(msgspec.Struct, frozen=True, kw_only=True):
    """The bundle landed, so its nonces are spent, or it missed, so they are free."""

    lane: Address
    lease_id: str
    landed: bool


Event = (
    LaneOpened
    | Accepted
    | Prepared
    | SigningFailed
    | Answered
    | CancelAsked
    | ReplaceAsked
    | Released
    | Resumed
    | Observed
    | Leased
    | LeaseSettled
)

KINDS: dict[str, type[Event]] = {
    "tx.opened": LaneOpened,
    "tx.request": Accepted,
    "tx.prepared": Prepared,
    "tx.signing_failed": SigningFailed,
    "tx.answer": Answered,
    "tx.cancel": CancelAsked,
    "tx.replace": ReplaceAsked,
    "tx.released": Released,
    "tx.resumed": Resumed,
    "tx.observed": Observed,
    "tx.lease": Leased,
    "tx.lease_settled": LeaseSettled,
}
"""Journal kinds of the events; further `tx.*` kinds are reports that no state is built from."""

KIND_OF = {event: kind for kind, event in KINDS.items()}


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """Sign this and come back with Prepared or SigningFailed before any further event."""

    request_id: str
    unsigned: UnsignedTransaction
    cancels: bool = False
    version: int = 0


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """Send this attempt to its destinations, after everything so far is durable."""

    request_id: str
    number: int
    signed: SignedTransaction
    cancels: bool
    destinations: tuple[str, ...]
    target_block: int
    since_block: int  # the first target of the request at this nonce


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The request ended like this (again, if a reorg changed its end)."""

    request_id: str
    outcome: Outcome


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The request can never be sent; no nonce was used for it."""

    request_id: str
    message: str


class Reopen(msgspec.Struct, frozen=True, kw_only=True):
    """A reorg took back a request whose end had been reported."""

    request_id: str
    tx_hash: Hash


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """What was told as final is not: the lane stops sending until it is resumed."""

    reason: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """Journal report `tx.outcome` (or `tx.dry`): how a request ended; its last one holds."""

    lane: Address
    request_id: str
    outcome: Outcome


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Journal report `tx.failed`: a request that was refused for good without using a nonce."""

    lane: Address
    request_id: str
    message: str


class Reopened(msgspec.Struct, frozen=True, kw_only=True):
    """Journal report `tx.reopened`: a reorg took back an end that had been reported."""

    lane: Address
    request_id: str
    tx_hash: Hash


class Halted(msgspec.Struct, frozen=True, kw_only=True):
    """Journal report `tx.halted`: the lane stopped itself, and why."""

    lane: Address
    reason: str


OUTCOME, FAILED, REOPENED, DRY = "tx.outcome", "tx.failed", "tx.reopened", "tx.dry"
HALTED = "tx.halted"

Effect = Sign | Send | Finish | Fail | Reopen | Halt
