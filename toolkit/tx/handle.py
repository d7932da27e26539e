"""What a caller holds of a transaction or a leased bundle."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError, ToolkitError
from toolkit.model.tx import Outcome, SignedTransaction, TransactionRequest, Urgency
from toolkit.tx.job import Job
from toolkit.tx.lane_state import LaneState
from toolkit.tx.pulse import Pulse
from toolkit.tx.status import RequestStatus, status_of, untold_status


class BundleLease(msgspec.Struct, frozen=True, kw_only=True):
    """Signed transactions on nonces that are held for them until `target_block` has passed."""

    lease_id: str
    sender: Address
    signed: tuple[SignedTransaction, ...]
    target_block: int


class Desk(Protocol):
    """Takes what an author wants of a request that is on its way (the scheduler is one)."""

    async def cancel_request(self, name: str, lane: Address) -> None:
        """Ask that it not happen."""
        ...

    async def replace_request(
        self,
        name: str,
        lane: Address,
        request: TransactionRequest | None,
        *,
        urgency: Urgency,
        max_fee_per_gas: int | None = None,
    ) -> None:
        """Ask for another payload, or with None for higher fees."""
        ...


class Durability(Protocol):
    """Tells which entries outlive the process (`toolkit.journal.log.Journal` does)."""

    def is_durable(self, seq: int) -> bool:
        """Whether entry `seq` does."""
        ...

    async def commit(self, upto: int | None = None) -> None:
        """Return when it does; raise what keeps it from that."""
        ...


class Track:
    """The end of one request as far as it is known, and who waits for it.

    An end is told once its entry is durable: what the journal refused, a successor of this process
    may find to have ended otherwise. A track lives as long as somebody holds it.
    """

    def __init__(
        self, name: str, *, lane: Callable[[], LaneState], heads: Pulse, journal: Durability
    ) -> None:
        self.name = name
        self.error: ToolkitError | None = None
        self.outcome: Outcome | None = None
        self._lane = lane
        self._heads = heads
        self._journal = journal
        self._changed = Pulse()
        self._seq = 0  # the entry of its end
        self._before: Job | None = None  # the request as it was, until that entry is durable
        self._stopped: ToolkitError | None = None

    @property
    def lane(self) -> Address:
        """Whose nonces it uses."""
        return self._lane().lane

    @property
    def chain_id(self) -> int:
        """Of the chain that those nonces are on."""
        return self._lane().chain_id

    @property
    def tx_hash(self) -> Hash | None:
        """Of what was mined, else of the latest attempt."""
        if self.outcome is not None and self._journal.is_durable(self._seq):
            return self.outcome.tx_hash
        job = self._before or self._lane().jobs.get(self.name)
        return job.last.signed.hash if job is not None and job.tries else None

    def status(self) -> RequestStatus:
        """Where it stands; an end that a crash could still take back is not told."""
        if self._journal.is_durable(self._seq):
            self._before = None
            return status_of(self.name, self._lane(), self.outcome, self.error)
        return untold_status(self.name, self._lane(), self._before)

    def finish(self, outcome: Outcome, *, seq: int, before: Job | None = None) -> None:
        """It ended like this, says entry `seq`; `before` is the request without that end."""
        self.outcome, self._seq, self._before = outcome, seq, before
        self._changed.beat()

    def fail(self, error: ToolkitError, *, seq: int, before: Job | None = None) -> None:
        """It can never be sent, says entry `seq`; `before` is the request without that end."""
        self.error, self._seq, self._before = error, seq, before
        self._changed.beat()

    def reopen(self) -> None:
        """A reorg took its end back."""
        self.outcome, self._seq, self._before = None, 0, None

    def stop(self, why: ToolkitError) -> None:
        """Nobody in this process follows it any longer, first of all for this reason."""
        self._stopped = self._stopped or why
        self._changed.beat()

    async def require_sendable(self) -> None:
        """Raise why it can never be sent, once that is durable; return if nothing says so."""
        if self.error is not None:
            await self._journal.commit(self._seq)
            raise self.error

    async def wait(self, confirmations: int) -> Outcome:
        """The outcome, as soon as it is durable and `confirmations` deep."""
        while True:
            await self.require_sendable()
            if self.outcome is not None and self._deep_enough(confirmations):
                if self._journal.is_durable(self._seq):
                    return self.outcome
                await self._journal.commit(self._seq)
            elif self._stopped is not None:
                # Its own error for everyone: one object would gather the tracebacks of all.
                raise type(self._stopped)(str(self._stopped))
            else:
                # Depth comes with a head only, and so does a reorg.
                await (self._changed if self.outcome is None else self._heads).next()

    def _deep_enough(self, confirmations: int) -> bool:
        state = self._lane()
        block = state.landed.get(self.name)  # where its nonce was spent, by itself or a stranger
        if block is None:
            # Remembered without a block: a reorg came, and no node has said yet what became of it.
            return self.name not in state.jobs
        return state.block - block + 1 >= confirmations


class Sent:
    """A transaction that the scheduler follows to its end, whether or not anybody waits."""

    def __init__(self, track: Track, desk: Desk, *, most_confirmations: int) -> None:
        self.request_id = track.name
        self._track = track
        self._desk = desk
        self._most = most_confirmations

    def __repr__(self) -> str:
        """Name the request and its present hash."""
        return f"Sent({self.request_id}, {self.tx_hash})"

    @property
    def sender(self) -> Address:
        """The account that sends it."""
        return self._track.lane

    @property
    def chain_id(self) -> int:
        """The chain it is for."""
        return self._track.chain_id

    @property
    def tx_hash(self) -> Hash | None:
        """Of the attempt that was mined, else of the latest; None while it waits for a nonce."""
        return self._track.tx_hash

    def status(self) -> RequestStatus:
        """Where it stands, as far as this process knows; asks nobody."""
        return self._track.status()

    async def wait(self, confirmations: int = 1) -> Outcome:
        """Wait for the end under `confirmations` blocks (at least the scheduler's own number).

        Raises:
            ConfigError: more confirmations than the scheduler remembers blocks.
            RejectedByNode, SignerError: it can never be sent; no nonce was used.
            LaneHalted: the scheduler was closed; the request goes on at its next start.
            LeaseLost, JournalUnavailable: another process took over, or the disk failed, before
                an end was durable; whoever has the journal next finds the end.
        """
        if type(confirmations) is not int or not 1 <= confirmations <= self._most:
            raise ConfigError(
                f"confirmations {shown(confirmations)} is not an integer between 1 and {self._most}"
            )
        return await self._track.wait(confirmations)

    async def cancel(self) -> None:
        """Ask that it not happen. Only the outcome tells whether that came in time."""
        await self._desk.cancel_request(self.request_id, self._track.lane)

    async def speed_up(
        self, *, urgency: Urgency = Urgency.NEXT_BLOCK, max_fee_per_gas: int | None = None
    ) -> None:
        """Bid higher at the same nonce: at least the smallest replacement that pools accept.

        Args:
            urgency: what the market is asked for, from here on.
            max_fee_per_gas: bid this much per gas unit, in wei, if the market asks for less; also
                the request's own ceiling from here on.

        Raises:
            ConfigError: it is mined or over.
            FeeLimitReached: `max_fee_per_gas` may cost more than `max_cost_wei`.
        """
        await self._desk.replace_request(
            self.request_id,
            self._track.lane,
            None,
            urgency=urgency,
            max_fee_per_gas=max_fee_per_gas,
        )

    async def replace(
        self, request: TransactionRequest, *, urgency: Urgency = Urgency.NEXT_BLOCK
    ) -> None:
        """Ask for another payload at the same nonce, checked as a new request is.

        The chain decides which is mined: the outcome's `version` is 0 for the first payload and
        one more for each replacement.

        Raises:
            ConfigError: it is mined or over or being cancelled, the request names another
                sender, or it is none.
            CallReverted, InsufficientFunds, FeeLimitReached, GasLimitTooHigh: it could not be
                sent; the present payload stands.
        """
        if not isinstance(request, TransactionRequest):
            raise ConfigError(
                f"cannot replace {self.request_id} by a {type(request).__name__}: give a "
                "TransactionRequest, or speed_up what it is"
            )
        await self._desk.replace_request(
            self.request_id, self._track.lane, request, urgency=urgency
        )
