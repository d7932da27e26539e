"""What a journal says of one request, read without taking anything up."""

from collections.abc import Iterable, Iterator

import msgspec

from toolkit.journal.log import Entry
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import JournalCorrupt
from toolkit.model.tx import Confirmed, Exposure, Outcome, TransactionRequest
from toolkit.tx.config import KEEP_BLOCKS
from toolkit.tx.events import (
    DRY,
    FAILED,
    KINDS,
    OUTCOME,
    REOPENED,
    Accepted,
    Answered,
    CancelAsked,
    Ended,
    Event,
    Failed,
    Mined,
    Observed,
    Prepared,
    Reopened,
    ReplaceAsked,
)
from toolkit.tx.job import Job
from toolkit.tx.recovery import CHECKPOINT, Fold

_Told = Event | Ended | Failed | Reopened | Fold
_TYPES: dict[str, type[_Told]] = {
    **KINDS,
    f"checkpoint.{CHECKPOINT}": Fold,
    OUTCOME: Ended,
    DRY: Ended,
    FAILED: Failed,
    REOPENED: Reopened,
}
READ = tuple(_TYPES)
"""The kinds of entries that a history is read from."""


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One signed try, without its bytes: caps in wei, and who may hold it."""

    tx_hash: Hash
    nonce: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    version: int
    cancels: bool
    exposure: Exposure
    answers: tuple[str, ...] = ()  # what destinations said when they refused


class RequestHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One request from its acceptance to where the journal ends.

    `state` is one of those of `toolkit.tx.status.RequestStatus`. `request` is
    what is wanted by now, None of a dry run and of one whose acceptance was compacted away.
    """

    request_id: str
    sender: Address
    state: str
    request: TransactionRequest | None = None
    idempotency_key: str | None = None
    after: str | None = None
    deadline_block: int | None = None
    cancel_asked: bool = False
    chain_id: int | None = None
    attempts: tuple[PastAttempt, ...] = ()
    outcome: Outcome | None = None
    failure: str = ""

    @property
    def nonce(self) -> int | None:
        """Of its latest attempt; None while it waits for one."""
        return self.attempts[-1].nonce if self.attempts else None

    @property
    def tx_hash(self) -> Hash | None:
        """Of what was mined, else of the latest attempt."""
        if self.outcome is not None:
            return self.outcome.tx_hash
        return self.attempts[-1].tx_hash if self.attempts else None


def first_entry(name: str) -> int:
    """The number of the entry before which there is nothing of a request: its name tells it."""
    number = name.rpartition("-")[2]
    return int(number) if name.startswith(("tx-", "dry-")) and number.isdecimal() else 1


def request_named(entries: Iterable[Entry], name: str) -> str | None:
    """The request with this id, idempotency key, or hash of any attempt; None if there is none.

    Cancellations of two requests that held the same nonce, one after the other, may be the same
    bytes; then it is the later one, since the former had certainly lost the nonce.
    """
    found: str | None = None
    for event in _events(entries):
        if isinstance(event, Fold):
            for _, job in _jobs(event):
                if name in {job.request_id, *(one.signed.hash for one in job.tries)}:
                    found = job.request_id
        elif _names(event, name):
            found = getattr(event, "request_id", None)
            if isinstance(event, Accepted):
                break  # ids and keys are nobody else's
    return found


def history(entries: Iterable[Entry], request_id: str) -> RequestHistory | None:
    """Read one request; entries before `first_entry(request_id)` are not needed.

    Of a journal that was compacted, a checkpoint stands for what is gone. None where the entries
    have no such request.

    Raises:
        JournalCorrupt: an entry's data is not what its kind says.
    """
    reading: _Reading | None = None
    for event in _events(entries):
        if isinstance(event, Fold):
            for lane, job in _jobs(event):
                if job.request_id == request_id:
                    reading = reading or _Reading(request_id, lane)
                    reading.recall(job)
        elif isinstance(event, Observed):
            if reading is not None:
                reading.observe(event)
        elif getattr(event, "request_id", None) == request_id:
            if reading is None and isinstance(event, Accepted | Ended | Failed):
                reading = _Reading(request_id, event.lane)
            if reading is not None:
                reading.read(event)
    return None if reading is None else reading.result()


def _events(entries: Iterable[Entry]) -> Iterator[_Told]:
    for entry in entries:
        if entry.kind not in _TYPES:
            continue
        try:
            yield msgspec.json.decode(entry.data, type=_TYPES[entry.kind])
        except msgspec.MsgspecError as error:
            raise JournalCorrupt(
                f"journal entry {entry.seq} ({entry.kind}) cannot be read: {error}; restore the"
                " file from a copy"
            ) from None


def _jobs(fold: Fold) -> Iterator[tuple[Address, Job]]:
    for lane, state in fold.lanes.items():
        for job in state.jobs.values():
            yield lane, job


def _names(event: _Told, name: str) -> bool:
    match event:
        case Accepted():
            return name in {event.request_id, event.idempotency_key}
        case Prepared():
            return name == event.signed.hash
        case Ended():
            hashes = {event.outcome.tx_hash, getattr(event.outcome, "would_be_hash", None)}
            return name == event.request_id or name in hashes
        case _:
            return False


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the author wanted."""

    request: TransactionRequest
    after: str | None
    deadline_block: int | None


class _Reading:
    """One request while its entries go by."""

    def __init__(self, request_id: str, lane: Address) -> None:
        self._asked: _Asked | None = None
        self._request_id = request_id
        self._lane = lane
        self._idempotency_key: str | None = None
        self._prepared: dict[Hash, Prepared] = {}
        self._exposures: dict[Hash, Exposure] = {}
        self._answers: dict[Hash, tuple[str, ...]] = {}
        self._mined: Mined | None = None
        self._cancel_asked = False
        self._outcome: Outcome | None = None
        self._failure = ""
        self._block = 0

    def recall(self, job: Job) -> None:
        """Take in what a checkpoint knows of it; idempotency keys are not in there."""
        self._asked = _Asked(
            request=job.request, after=job.after, deadline_block=job.deadline_block
        )
        self._mined = job.mined
        self._cancel_asked = job.cancel_asked
        for one in job.tries:
            tx_hash = one.signed.hash
            self._prepared[tx_hash] = Prepared(
                lane=self._lane,
                request_id=job.request_id,
                signed=one.signed,
                cancels=one.cancels,
                version=one.version,
            )
            self._exposures[tx_hash] = max(one.exposures.values(), default=Exposure.NONE)

    def read(self, event: _Told) -> None:
        """Take one entry of this request in."""
        match event:
            case Accepted():
                self._idempotency_key = event.idempotency_key
                self._asked = _Asked(
                    request=event.request, after=event.after, deadline_block=event.deadline_block
                )
            case ReplaceAsked(request=TransactionRequest() as wanted) if self._asked is not None:
                self._asked = msgspec.structs.replace(self._asked, request=wanted)
            case Prepared():
                self._prepared[event.signed.hash] = event
                self._exposures[event.signed.hash] = Exposure.JOURNALLED
            case Answered():
                known = self._exposures.get(event.tx_hash, Exposure.NONE)
                self._exposures[event.tx_hash] = max(known, event.exposure)
                if event.message:
                    said = f"{event.destination}: {event.message}"
                    before = self._answers.get(event.tx_hash, ())
                    self._answers[event.tx_hash] = (*before, said)
            case CancelAsked():
                self._cancel_asked = True
            case Ended():
                self._outcome = event.outcome
            case Failed():
                self._failure = event.message
            case Reopened():
                self._outcome = self._mined = None

    def observe(self, event: Observed) -> None:
        """Take in what a head brought, if it was this request's lane that looked."""
        if event.lane != self._lane:
            return
        self._block = event.block
        if event.reorged:
            self._mined = None  # then every receipt that still holds is told again
        for one in event.receipts:
            if one.tx_hash in self._prepared:
                self._mined = one

    def result(self) -> RequestHistory:
        """What is known by now."""
        result = RequestHistory(
            request_id=self._request_id,
            sender=self._lane,
            state=self._state(),
            idempotency_key=self._idempotency_key,
            cancel_asked=self._cancel_asked,
            attempts=tuple(map(self._attempt, self._prepared.values())),
            outcome=self._outcome,
            failure=self._failure,
        )
        for last in tuple(self._prepared.values())[-1:]:
            result = msgspec.structs.replace(result, chain_id=last.signed.unsigned.chain_id)
        if self._asked is None:
            return result
        return msgspec.structs.replace(
            result,
            request=self._asked.request,
            after=self._asked.after,
            deadline_block=self._asked.deadline_block,
        )

    def _attempt(self, prepared: Prepared) -> PastAttempt:
        unsigned, tx_hash = prepared.signed.unsigned, prepared.signed.hash
        return PastAttempt(
            tx_hash=tx_hash,
            nonce=unsigned.nonce,
            max_fee_per_gas=unsigned.fee_cap,
            max_priority_fee_per_gas=unsigned.max_priority_fee_per_gas,
            version=prepared.version,
            cancels=prepared.cancels,
            exposure=self._exposures[tx_hash],
            answers=self._answers.get(tx_hash, ()),
        )

    def _state(self) -> str:
        if isinstance(self._outcome, Confirmed):
            deep = self._block - self._outcome.block_number + 1 >= KEEP_BLOCKS
            return "finalized" if deep else "confirmed"
        if self._outcome is not None:
            return type(self._outcome).__name__.lower()
        if self._failure:
            return "failed"
        if self._mined is not None:
            return "mined"
        out = any(exposure > Exposure.JOURNALLED for exposure in self._exposures.values())
        if out:
            return "broadcast"
        return "prepared" if self._prepared else "queued"
