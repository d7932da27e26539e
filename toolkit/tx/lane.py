"""The ordered nonce stream of one (chain id, sender), as a pure state machine.

`step(state, event)` returns the next state and the effects that the shell is to perform. There is
no nonce counter to drift: a nonce is free if the chain has not spent it and no live request or
lease holds it, and the lowest free one is always given out first, so a gap heals by itself.

Limits: a request whose end was reported and which a reorg takes back is sent again, and its new
end is reported; a nonce spent by a stranger stays reported as such even if a reorg undoes it.
"""

from itertools import count
from typing import NamedTuple

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import Recovery
from toolkit.model.tx import Exposure, FeeQuote, Replaced, TransactionRequest, Urgency
from toolkit.tx import fees
from toolkit.tx.events import (
    Accepted,
    Answered,
    CancelAsked,
    Effect,
    Event,
    Fail,
    Finish,
    LaneLimits,
    LaneOpened,
    Leased,
    LeaseSettled,
    Mined,
    Observed,
    Prepared,
    Reopen,
    Send,
    Sign,
    SigningFailed,
)
from toolkit.tx.job import Job, Try, mined_outcome, unsent_outcome

SPENT_PATIENCE_BLOCKS = 3
"""Heads to wait for the name of whoever spent a nonce: a node may lag behind itself."""


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """All a lane knows. `nonce` is the chain's count of the account as of head `block`.

    `jobs` is in order of acceptance and keeps mined ones for `limits.keep_blocks` more blocks;
    `settled_nonce` is above every nonce whose block is deeper than that.
    """

    lane: Address
    chain_id: int
    limits: LaneLimits
    block: int = 0
    nonce: int = 0
    balance_wei: int = 0
    settled_nonce: int = 0
    quotes: dict[str, FeeQuote] = {}
    jobs: dict[str, Job] = {}
    leases: dict[str, Leased] = {}

    def held(self) -> set[int]:
        """Nonces that a live request or a lease stands for."""
        leased = {tx.unsigned.nonce for lease in self.leases.values() for tx in lease.signed}
        return leased | {job.nonce for job in self.jobs.values() if job.nonce is not None}

    def in_flight(self) -> list[Job]:
        """Requests that hold an unspent nonce, lowest first."""
        return sorted(
            (job for job in self.jobs.values() if job.in_flight), key=lambda job: job.nonce or 0
        )

    def queued(self) -> list[Job]:
        """Requests that wait for a nonce, in order."""
        return [job for job in self.jobs.values() if not job.tries]

    def reserved_wei(self) -> int:
        """What all unspent attempts and leases may cost together."""
        leased = sum(
            tx.unsigned.worst_cost_wei for lease in self.leases.values() for tx in lease.signed
        )
        return leased + sum(job.worst_cost_wei for job in self.jobs.values())

    def next_lease_nonce(self) -> int:
        """The first of any number of consecutive nonces behind all that are held."""
        return max([self.nonce, *(nonce + 1 for nonce in self.held())])

    def depth(self, request_id: str) -> int:
        """How many blocks, its own included, lie on a mined request; 0 if it is not mined."""
        job = self.jobs.get(request_id)
        mined = job.mined if job else None
        return 0 if mined is None else self.block - mined.block_number + 1


class Step(NamedTuple):
    """What a step leads to."""

    state: LaneState
    effects: tuple[Effect, ...]


def open_lane(event: LaneOpened) -> LaneState:
    """The state of a lane that nothing has happened to."""
    return LaneState(lane=event.lane, chain_id=event.chain_id, limits=event.limits)


def step(state: LaneState, event: Event) -> Step:
    """Apply one event; the same state and event always give the same result.

    Sign effects come only from Accepted, CancelAsked, Observed and LeaseSettled; the shell answers
    each of them before it applies another of these.
    """
    draft = _Draft(state)
    match event:
        case LaneOpened():
            _opened(draft, event)
        case Accepted():
            _accepted(draft, event)
        case Prepared():
            _prepared(draft, event)
        case SigningFailed():
            _signing_failed(draft, event)
        case Answered():
            _answered(draft, event)
        case CancelAsked():
            _cancel_asked(draft, event)
        case Observed():
            _observed(draft, event)
        case Leased():
            draft.leases[event.lease_id] = event
        case LeaseSettled():
            _lease_settled(draft, event)
    return Step(draft.state(), tuple(draft.effects))


class _Draft:
    """A state in the making: the one place where a step changes anything."""

    def __init__(self, state: LaneState) -> None:
        self.base = state
        self.jobs = dict(state.jobs)
        self.leases = dict(state.leases)
        self.effects: list[Effect] = []
        self.signing: dict[str, Sign] = {}  # by request: asked for by this very step

    def state(self) -> LaneState:
        return msgspec.structs.replace(self.base, jobs=self.jobs, leases=self.leases)

    def update(self, **changes: object) -> None:
        self.base = msgspec.structs.replace(self.base, **changes)

    def put(self, job: Job, **changes: object) -> Job:
        changed = msgspec.structs.replace(job, **changes) if changes else job
        self.jobs[job.request_id] = changed
        return changed

    def sign(self, effect: Sign) -> None:
        self.signing[effect.request_id] = effect
        self.effects.append(effect)

    def held(self) -> set[int]:
        given = {effect.unsigned.nonce for effect in self.signing.values()}
        return given | self.state().held()

    def quote(self, job: Job) -> FeeQuote | None:
        """What the market asks of a job now; a cancellation is always urgent."""
        left = None if job.deadline_block is None else job.deadline_block - self.base.block
        urgency = fees.urgency_by_deadline(job.urgency, blocks_left=left)
        if job.cancelling:
            urgency = Urgency.NEXT_BLOCK
        quotes = self.base.quotes
        return quotes.get(urgency.name) or next(iter(quotes.values()), None)


def _opened(draft: _Draft, event: LaneOpened) -> None:
    """Whatever an earlier process was about to send may be out: it never told."""
    draft.update(limits=event.limits)
    for job in tuple(draft.jobs.values()):
        for attempt in job.tries:
            exposures = {
                name: Exposure.UNKNOWN if exposure is Exposure.JOURNALLED else exposure
                for name, exposure in attempt.exposures.items()
            }
            known = msgspec.structs.replace(attempt, exposures=exposures)
            draft.put(draft.jobs[job.request_id].with_try(known))


def _accepted(draft: _Draft, event: Accepted) -> None:
    draft.put(
        Job(
            request_id=event.request_id,
            request=event.request,
            urgency=event.urgency,
            destinations=event.destinations,
            deadline_block=event.deadline_block,
        )
    )
    quotes = draft.base.quotes | {event.urgency.name: event.quote}
    draft.update(balance_wei=event.balance_wei, quotes=quotes)
    _fill_window(draft)


def _prepared(draft: _Draft, event: Prepared) -> None:
    job = draft.jobs[event.request_id]
    block = draft.base.block
    attempt = Try(
        signed=event.signed,
        cancels=event.cancels,
        exposures=dict.fromkeys(job.destinations, Exposure.NONE),
        first_block=block,
        sent_block=block,
    )
    job = draft.put(job, tries=(*job.tries, attempt), raise_fees=False)
    _send(draft, job)


def _signing_failed(draft: _Draft, event: SigningFailed) -> None:
    job = draft.jobs[event.request_id]
    if job.tries:
        return  # a replacement could not be signed; the older attempt stands, the next head tries
    del draft.jobs[event.request_id]
    draft.effects.append(Fail(request_id=event.request_id, message=event.message))


def _answered(draft: _Draft, event: Answered) -> None:
    job = draft.jobs.get(event.request_id)
    attempt = job.attempt(event.tx_hash) if job else None
    if job is None or attempt is None:
        return  # it ended while the answer was on its way
    before = attempt.exposures.get(event.destination, Exposure.NONE)
    # A refusal proves that bytes are unknown only where they were never sent before.
    after = max(before, event.exposure) if before > Exposure.JOURNALLED else event.exposure
    exposures = {**attempt.exposures, event.destination: after}
    job = draft.put(job.with_try(msgspec.structs.replace(attempt, exposures=exposures)))
    if event.recovery is Recovery.RAISE_FEES and attempt.signed.hash == job.last.signed.hash:
        draft.put(job, raise_fees=True)
    if event.recovery is Recovery.FAIL and not job.exposed and job.mined is None:
        del draft.jobs[job.request_id]
        draft.effects.append(Fail(request_id=job.request_id, message=event.message))


def _cancel_asked(draft: _Draft, event: CancelAsked) -> None:
    job = draft.jobs.get(event.request_id)
    if job is not None and job.mined is None:
        draft.put(job, cancel_asked=True)
        _cancel(draft)
        _fill_window(draft)


def _observed(draft: _Draft, event: Observed) -> None:
    nonce = event.nonce if event.reorged else max(event.nonce, draft.base.nonce)
    draft.update(block=event.block, nonce=nonce, balance_wei=event.balance_wei, quotes=event.quotes)
    if event.reorged:
        _unmine(draft, {mined.tx_hash for mined in event.receipts})
    _mine(draft, event.receipts)
    _resolve_spent(draft, {spender.nonce: spender.by for spender in event.spenders})
    _release_leases(draft)
    _report(draft)
    _expire(draft)
    _cancel(draft)
    _fill_window(draft)
    _fill_gaps(draft)
    _replace(draft)
    _rebroadcast(draft)


def _lease_settled(draft: _Draft, event: LeaseSettled) -> None:
    lease = draft.leases.pop(event.lease_id, None)
    if lease is not None and event.landed:
        # The chain has spent these, whether or not this lane has seen the block yet.
        spent = max(tx.unsigned.nonce for tx in lease.signed) + 1
        draft.update(nonce=max(draft.base.nonce, spent))
    _fill_window(draft)


def _unmine(draft: _Draft, still_mined: set[Hash]) -> None:
    for job in tuple(draft.jobs.values()):
        if job.mined is not None and job.mined.tx_hash not in still_mined:
            if job.reported:
                reopened = Reopen(request_id=job.request_id, tx_hash=job.mined.tx_hash)
                draft.effects.append(reopened)
            draft.put(job, mined=None)


def _mine(draft: _Draft, receipts: tuple[Mined, ...]) -> None:
    owner = {tx_hash: job for job in draft.jobs.values() for tx_hash in job.hashes()}
    for mined in receipts:
        job = owner.get(mined.tx_hash)
        if job is not None:
            draft.put(job, mined=mined, unexplained=0)


def _resolve_spent(draft: _Draft, spenders: dict[int, Hash]) -> None:
    """End requests whose nonce somebody else spent; without a name, wait for one a little."""
    for job in draft.state().in_flight():
        nonce = job.nonce
        assert nonce is not None
        if nonce >= draft.base.nonce or spenders.get(nonce) in job.hashes():
            continue
        if nonce not in spenders and job.unexplained < SPENT_PATIENCE_BLOCKS:
            draft.put(job, unexplained=job.unexplained + 1)
            continue
        outcome = Replaced(by=spenders.get(nonce), nonce=nonce)
        del draft.jobs[job.request_id]
        draft.effects.append(Finish(request_id=job.request_id, outcome=outcome))


def _release_leases(draft: _Draft) -> None:
    """A lease ends with its target block: spent nonces are the chain's, the others are free."""
    for lease_id, lease in tuple(draft.leases.items()):
        if lease.target_block <= draft.base.block:
            del draft.leases[lease_id]


def _report(draft: _Draft) -> None:
    limits = draft.base.limits
    for job in tuple(draft.jobs.values()):
        if job.mined is None:
            continue
        depth = draft.base.block - job.mined.block_number + 1
        end = f"{job.mined.tx_hash} in {job.mined.block_hash}"
        if depth >= limits.confirmations and job.reported != end:
            finished = Finish(request_id=job.request_id, outcome=mined_outcome(job))
            draft.effects.append(finished)
            job = draft.put(job, reported=end)  # noqa: PLW2901 - the job as it is from here on
        if depth > limits.keep_blocks:
            del draft.jobs[job.request_id]
            draft.update(settled_nonce=max(draft.base.settled_nonce, (job.nonce or 0) + 1))


def _expire(draft: _Draft) -> None:
    for job in tuple(draft.jobs.values()):
        late = job.deadline_block is not None and job.deadline_block <= draft.base.block
        if late and job.mined is None:
            draft.put(job, expired=True)


def _cancel(draft: _Draft) -> None:
    """Drop unwanted requests that nobody has; outbid the others with an empty transaction."""
    for job in tuple(draft.jobs.values()):
        spent = job.nonce is not None and job.nonce < draft.base.nonce
        if not job.cancelling or job.mined is not None or spent:
            continue
        if not job.exposed:
            del draft.jobs[job.request_id]
            finished = Finish(request_id=job.request_id, outcome=unsent_outcome(job))
            draft.effects.append(finished)
        elif not job.last.cancels:
            _sign_cancellation(draft, job)


def _sign_cancellation(draft: _Draft, job: Job) -> None:
    quote = draft.quote(job)
    unsigned = quote and fees.cancellation(
        job.last.signed.unsigned,
        quote,
        sender=draft.base.lane,
        max_cost_wei=draft.base.limits.max_cost_wei,
    )
    if unsigned:
        draft.sign(Sign(request_id=job.request_id, unsigned=unsigned, cancels=True))


def _fill_window(draft: _Draft) -> None:
    """Give the lowest free nonces to the oldest waiting requests, as far as funds and room go."""
    if draft.leases:
        return  # a public transaction behind a bundle would hang on the bundle's luck
    state = draft.state()
    room = state.limits.max_in_flight - len(state.in_flight())
    spendable = state.balance_wei - state.reserved_wei()
    held = draft.held()
    free = (nonce for nonce in count(state.nonce) if nonce not in held)
    for job in state.queued()[: max(0, room)]:
        quote = draft.quote(job)
        if quote is None:
            return
        unsigned = fees.first_attempt(job.request, quote, chain_id=state.chain_id, nonce=next(free))
        too_dear = unsigned.gas * unsigned.fee_cap > state.limits.max_cost_wei
        if too_dear or unsigned.worst_cost_wei > spendable:
            return  # strictly in order: later requests may rely on earlier ones
        draft.sign(Sign(request_id=job.request_id, unsigned=unsigned))
        spendable -= unsigned.worst_cost_wei


def _fill_gaps(draft: _Draft) -> None:
    """Spend a free nonce below an exposed one on nothing, when no request is there to use it."""
    exposed = [job for job in draft.state().in_flight() if job.exposed]
    if draft.leases or not exposed:
        return
    top = exposed[-1]
    assert top.nonce is not None
    held = draft.held()
    for nonce in range(draft.base.nonce, top.nonce):
        quote = draft.quote(top)
        if nonce in held or quote is None:
            continue
        filler = TransactionRequest(to=draft.base.lane, gas=fees.CANCEL_GAS)
        request_id = f"fill-{nonce}-{draft.base.block}"
        draft.put(
            Job(
                request_id=request_id,
                request=filler,
                urgency=Urgency.NEXT_BLOCK,
                destinations=top.destinations,
            )
        )
        unsigned = fees.first_attempt(filler, quote, chain_id=draft.base.chain_id, nonce=nonce)
        draft.sign(Sign(request_id=request_id, unsigned=unsigned))


def _replace(draft: _Draft) -> None:
    """Bid higher for the head of the line, and for whatever was refused as too cheap.

    Bumping a transaction behind the head cannot make it land sooner, so those keep their fees.
    """
    state = draft.state()
    for job in state.in_flight():
        old = job.last.signed.unsigned
        quote = draft.quote(job)
        if quote is None or old.nonce < state.nonce or job.request_id in draft.signing:
            continue
        waited = state.block - job.last.first_block >= state.limits.replace_after_blocks
        stuck = old.nonce == state.nonce and waited and fees.outbids(quote, old)
        if not (stuck or job.raise_fees):
            continue
        unsigned = fees.replacement(
            old,
            quote,
            max_cost_wei=state.limits.max_cost_wei,
            own_cap=None if job.last.cancels else job.request.max_fee_per_gas,
        )
        if unsigned:
            draft.sign(Sign(request_id=job.request_id, unsigned=unsigned, cancels=job.last.cancels))


def _rebroadcast(draft: _Draft) -> None:
    """Hand out again what a block has passed by: pools forget, and these bytes are idempotent."""
    for job in draft.state().in_flight():
        nonce = job.nonce
        assert nonce is not None
        waits = job.last.uncertain or job.last.sent_block < draft.base.block
        if waits and nonce >= draft.base.nonce and job.request_id not in draft.signing:
            _send(draft, job)


def _send(draft: _Draft, job: Job) -> None:
    """Hand the last attempt to each destination whose answer is not being waited for.

    From here on it counts as exposed there, whatever an earlier refusal said of the same bytes.
    """
    exposures = job.last.exposures
    places = tuple(name for name, known in exposures.items() if known is not Exposure.JOURNALLED)
    if not places:
        return
    sent = msgspec.structs.replace(
        job.last,
        exposures={name: max(known, Exposure.JOURNALLED) for name, known in exposures.items()},
        sent_block=draft.base.block,
    )
    draft.put(job.with_try(sent))
    draft.effects.append(
        Send(
            request_id=job.request_id,
            number=len(job.tries) - 1,
            signed=sent.signed,
            cancels=sent.cancels,
            destinations=places,
            target_block=draft.base.block + 1,
        )
    )
