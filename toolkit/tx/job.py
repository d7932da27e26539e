"""A request on its way through a lane, with everything that may exist of it elsewhere."""

import msgspec

from toolkit.model.chain import Hash
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    Expired,
    Exposure,
    Outcome,
    Reverted,
    SignedTransaction,
    TransactionRequest,
    Urgency,
)
from toolkit.tx.events import Mined


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One signed attempt; `exposures` says what each destination may have of it."""

    signed: SignedTransaction
    cancels: bool
    exposures: dict[str, Exposure]
    first_block: int  # head when it was prepared
    sent_block: int  # head when it was last handed to its destinations

    @property
    def exposed(self) -> bool:
        """Whether anybody else may have the bytes."""
        return any(exposure > Exposure.NONE for exposure in self.exposures.values())

    @property
    def uncertain(self) -> bool:
        """Whether some destination's answer is not known."""
        return any(
            exposure in {Exposure.JOURNALLED, Exposure.UNKNOWN}
            for exposure in self.exposures.values()
        )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted request. It has a nonce exactly while it has tries."""

    request_id: str
    request: TransactionRequest
    urgency: Urgency
    destinations: tuple[str, ...]
    deadline_block: int | None = None
    tries: tuple[Try, ...] = ()
    mined: Mined | None = None
    reported: str = ""  # hash and status of the end that was last reported
    cancel_asked: bool = False
    expired: bool = False  # its deadline made us cancel it
    raise_fees: bool = False  # the last attempt was refused as too cheap
    unexplained: int = 0  # heads since the nonce was spent by nobody we know

    @property
    def nonce(self) -> int | None:
        """The nonce it holds."""
        return self.tries[0].signed.unsigned.nonce if self.tries else None

    @property
    def last(self) -> Try:
        """The attempt that is meant to be mined."""
        return self.tries[-1]

    @property
    def in_flight(self) -> bool:
        """Whether it holds a nonce that it has not spent yet."""
        return bool(self.tries) and self.mined is None

    @property
    def exposed(self) -> bool:
        """Whether any of its attempts may still be mined by somebody."""
        return any(attempt.exposed for attempt in self.tries)

    @property
    def cancelling(self) -> bool:
        """Whether its nonce should be spent on nothing."""
        return self.cancel_asked or self.expired

    @property
    def worst_cost_wei(self) -> int:
        """What the account must hold for its costliest attempt; 0 once it is mined."""
        if not self.in_flight:
            return 0
        return max(attempt.signed.unsigned.worst_cost_wei for attempt in self.tries)

    def hashes(self) -> tuple[Hash, ...]:
        """Every hash under which it may be mined."""
        return tuple(attempt.signed.hash for attempt in self.tries)

    def attempt(self, tx_hash: Hash) -> Try | None:
        """The attempt with this hash."""
        return next((a for a in self.tries if a.signed.hash == tx_hash), None)

    def with_try(self, changed: Try) -> "Job":
        """The job with the attempt of the same hash replaced."""
        return msgspec.structs.replace(
            self,
            tries=tuple(
                changed if attempt.signed.hash == changed.signed.hash else attempt
                for attempt in self.tries
            ),
        )


def mined_outcome(job: Job) -> Outcome:
    """The truth about a mined job: which of its attempts was mined, and what came of it."""
    mined = job.mined
    assert mined is not None, "only a mined job has an outcome by receipt"
    attempt = job.attempt(mined.tx_hash)
    if attempt is not None and attempt.cancels:
        if job.expired and not job.cancel_asked:
            return Expired(last_block=job.deadline_block or 0, tx_hash=mined.tx_hash)
        return Cancelled(
            tx_hash=mined.tx_hash, block_number=mined.block_number, fee_wei=mined.fee_wei
        )
    if not mined.succeeded:
        return Reverted(
            tx_hash=mined.tx_hash,
            block_number=mined.block_number,
            block_hash=mined.block_hash,
            gas_used=mined.gas_used,
            fee_wei=mined.fee_wei,
            reason=mined.reason,
        )
    return Confirmed(
        tx_hash=mined.tx_hash,
        block_number=mined.block_number,
        block_hash=mined.block_hash,
        gas_used=mined.gas_used,
        fee_wei=mined.fee_wei,
    )


def unsent_outcome(job: Job) -> Outcome:
    """The end of a job that certainly never was in anybody's hands, or is no longer wanted."""
    if job.expired and not job.cancel_asked:
        return Expired(last_block=job.deadline_block or 0)
    return Cancelled()
