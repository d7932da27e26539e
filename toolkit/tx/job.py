"""A request on its way through a lane, with everything that may exist of it elsewhere."""

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    Expired,
    Exposure,
    ExternalSpend,
    FeeQuote,
    Outcome,
    Replaced,
    Reverted,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.tx.events import Mined, Spender

REFUSAL_PATIENCE = 3
"""Refusals for good in a row after which whoever once took an attempt is believed to mean it."""


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One signed attempt; `exposures` says what each destination may have of it."""

    signed: SignedTransaction
    cancels: bool
    exposures: dict[str, Exposure]
    first_block: int  # head when it was prepared
    sent_block: int  # head when it was last handed to its destinations
    version: int = 0  # which payload of the request it carries
    dead: bool = False  # refused for good by everybody, and so not what is meant to be mined
    refusals: dict[str, int] = {}  # for good, by destination, since it last took the attempt

    @property
    def exposed(self) -> bool:
        """Whether anybody else may have the bytes."""
        return any(exposure > Exposure.NONE for exposure in self.exposures.values())

    @property
    def taken(self) -> bool:
        """Whether anybody has said, or is not known not to say, that they have the bytes."""
        return any(exposure > Exposure.JOURNALLED for exposure in self.exposures.values())

    @property
    def uncertain(self) -> bool:
        """Whether some destination's answer is not known."""
        return any(
            exposure in {Exposure.JOURNALLED, Exposure.UNKNOWN}
            for exposure in self.exposures.values()
        )

    @property
    def refused(self) -> bool:
        """Whether every destination refuses it for good by now, also where it may have been out.

        One that took it before may have changed its rules, or be another node than the one that
        did, so it has to say so several times.
        """
        return all(
            known is not Exposure.JOURNALLED
            and self.refusals.get(name, 0) >= (REFUSAL_PATIENCE if known > Exposure.UNKNOWN else 1)
            for name, known in self.exposures.items()
        )

    def refused_again(self, destination: str) -> "Try":
        """The attempt after this destination has refused it for good once more."""
        count = self.refusals.get(destination, 0) + 1
        return msgspec.structs.replace(self, refusals={**self.refusals, destination: count})

    def public(self, relays: tuple[str, ...]) -> bool:
        """Whether it may be where it stays until it is mined, unlike at these relays."""
        return any(
            known is Exposure.PUBLIC
            or (known in {Exposure.JOURNALLED, Exposure.UNKNOWN} and name not in relays)
            for name, known in self.exposures.items()
        )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted request. It has a nonce exactly while it has tries.

    `request` and `version` are what the author wants by now; `payloads` has every version once
    there are several. At most one of `mined`, `foreign` and `lost` tells what spent the nonce.
    """

    request_id: str
    request: TransactionRequest
    urgency: Urgency
    destinations: tuple[str, ...]
    deadline_block: int | None = None
    tries: tuple[Try, ...] = ()
    mined: Mined | None = None
    reported: str = ""  # names the end that was last reported
    reported_hash: Hash | None = None  # of what spent the nonce then
    cancel_asked: bool = False
    expired: bool = False  # its deadline made us cancel it
    raise_fees: bool = False  # the last attempt was refused as too cheap
    unexplained: int = 0  # heads since the nonce was spent by nobody we know
    order: int = 0  # of acceptance
    priority: int = 0
    after: str | None = None  # the request that must be confirmed before this one may go
    on_external_spend: ExternalSpend = ExternalSpend.REPORT
    version: int = 0
    payloads: tuple[TransactionRequest, ...] = ()
    floor: FeeQuote | None = None  # the least that the author wants the next attempt to bid
    reason: str = ""  # why it is cancelled, where the author did not ask
    unsigned: str = ""  # why its next attempt could not be signed
    refusal: str = ""  # the error by which the last attempt was refused, its message, by whom
    refusal_text: str = ""
    refused_by: str = ""
    foreign: Spender | None = None  # somebody else's transaction spent the nonce
    lost: bool = False  # the nonce is spent, and nobody could ever say by what
    requeued: bool = False  # it lives on its second nonce
    abandoned: bool = False  # its author was told that nobody knows what spent the nonce
    final: str = ""  # names the end that was final when a reorg came, until another is named
    final_block: int = 0  # where that end was
    held_wei: int = 0  # what the account must hold for its costliest attempt

    @property
    def nonce(self) -> int | None:
        """The nonce it holds."""
        return self.tries[0].signed.unsigned.nonce if self.tries else None

    @property
    def last(self) -> Try:
        """The attempt that is meant to be mined: the newest that was not refused for good."""
        newest = self.tries[-1]
        if newest.dead:
            return next((one for one in reversed(self.tries) if not one.dead), newest)
        return newest

    @property
    def landed(self) -> bool:
        """Whether something has spent its nonce."""
        return self.mined is not None or self.foreign is not None or self.lost

    @property
    def in_flight(self) -> bool:
        """Whether it holds a nonce that nothing known has spent."""
        return bool(self.tries) and not self.landed

    @property
    def exposed(self) -> bool:
        """Whether any of its attempts may still be mined by somebody."""
        return any(attempt.exposed for attempt in self.tries)

    @property
    def cancelling(self) -> bool:
        """Whether its nonce should be spent on nothing."""
        return self.cancel_asked or self.expired

    @property
    def requeues(self) -> bool:
        """Whether, once the stranger's transaction is final, it is tried on a new nonce."""
        spender = self.foreign
        return (
            spender is not None
            and not spender.same_payload
            and not self.cancelling
            and not self.requeued
            and not self.abandoned
            and self.on_external_spend is ExternalSpend.REQUEUE
        )

    @property
    def undecided(self) -> bool:
        """Whether it may yet be tried on a new nonce, once somebody says what spent its own."""
        wished = self.on_external_spend is ExternalSpend.REQUEUE and not self.cancelling
        return self.lost and wished and not self.requeued and not self.abandoned

    def hashes(self) -> tuple[Hash, ...]:
        """Every hash under which it may be mined."""
        return tuple(attempt.signed.hash for attempt in self.tries)

    def attempt(self, tx_hash: Hash) -> Try | None:
        """The attempt with this hash."""
        return next((a for a in self.tries if a.signed.hash == tx_hash), None)

    @property
    def unwanted(self) -> bool:
        """Whether what is meant to be mined is not what is wanted any more."""
        return self.cancelling and bool(self.tries) and not self.last.cancels

    def with_try(self, changed: Try) -> "Job":
        """The job with the attempt of the same hash replaced."""
        return msgspec.structs.replace(self, tries=self.tries_with(changed))

    def tries_with(self, changed: Try) -> tuple[Try, ...]:
        """The tries with the one of the same hash replaced."""
        if len(self.tries) == 1:
            return (changed,)
        own = changed.signed.hash
        return tuple(changed if one.signed.hash == own else one for one in self.tries)

    def payload_of(self, version: int) -> TransactionRequest:
        """What the author asked for in one of the versions."""
        return self.payloads[version] if self.payloads else self.request

    def does(self, to: Address | None, value: int, data: str) -> bool:
        """Whether a transaction with these fields is one that the author asked this job to send.

        Every version that anybody may have counts: what one of them wanted has been done.
        """
        wanted = {payload(one.signed.unsigned) for one in self.tries if not one.cancels}
        wanted.add(payload(self.request))
        return (to and to.lower(), value, data.lower()) in wanted


def payload(wanted: TransactionRequest | UnsignedTransaction) -> tuple[str | None, int, str]:
    """What a transaction does, whatever its nonce and fees, in lower case."""
    return wanted.to and wanted.to.lower(), wanted.value, wanted.data.lower()


def end_of(job: Job) -> tuple[str, Outcome]:
    """The truth about a job whose nonce is spent, and a name that differs for each such end."""
    if job.mined is not None:
        return f"{job.mined.tx_hash} in {job.mined.block_hash}", mined_outcome(job)
    nonce = job.nonce
    assert nonce is not None, "only a nonce can be spent"
    if job.foreign is not None:
        by, executed = job.foreign.by, job.foreign.same_payload
        return f"replaced by {by}", Replaced(by=by, nonce=nonce, executed=executed)
    return "replaced by nobody known", Replaced(by=None, nonce=nonce)


def mined_outcome(job: Job) -> Outcome:
    """The truth about a mined job: which of its attempts was mined, and what came of it."""
    mined = job.mined
    assert mined is not None, "only a mined job has an outcome by receipt"
    attempt = job.attempt(mined.tx_hash)
    if attempt is not None and attempt.cancels:
        if job.expired and not job.cancel_asked:
            return Expired(last_block=job.deadline_block or 0, tx_hash=mined.tx_hash)
        return Cancelled(
            tx_hash=mined.tx_hash,
            block_number=mined.block_number,
            fee_wei=mined.fee_wei,
            reason=job.reason,
        )
    version = 0 if attempt is None else attempt.version
    if not mined.succeeded:
        return Reverted(
            tx_hash=mined.tx_hash,
            block_number=mined.block_number,
            block_hash=mined.block_hash,
            gas_used=mined.gas_used,
            fee_wei=mined.fee_wei,
            reason=mined.reason,
            version=version,
        )
    return Confirmed(
        tx_hash=mined.tx_hash,
        block_number=mined.block_number,
        block_hash=mined.block_hash,
        gas_used=mined.gas_used,
        fee_wei=mined.fee_wei,
        version=version,
    )


def unsent_outcome(job: Job) -> Outcome:
    """The end of a job that certainly never was in anybody's hands, or is no longer wanted."""
    if job.expired and not job.cancel_asked:
        return Expired(last_block=job.deadline_block or 0)
    return Cancelled(reason=job.reason)
