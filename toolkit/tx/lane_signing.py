"""What a lane asks to be signed and sent, given all that it knows.

Everything here may be asked again at every head: what could not be done, for want of funds or
room below the fee ceiling, is simply found undone then.
"""

from collections.abc import Iterable
from itertools import islice, takewhile

import msgspec

from toolkit.model.tx import (
    Exposure,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
    bumped,
)
from toolkit.tx import fees
from toolkit.tx.delegation import delegates_itself, delegating
from toolkit.tx.events import Send, Sign
from toolkit.tx.job import Job, Try
from toolkit.tx.lane_state import Draft, LaneState

FILLER = "fill-"
"""How the requests begin by which a lane closes a gap of its own accord."""

MAX_FILLERS = 64
"""How many nonces of a gap are closed at one head."""

NOT_A_MATTER_OF_FEES = frozenset({"InsufficientFunds", "AlreadyReserved", "AccountLimit"})
"""Refusals that a higher bid does not change, and that the next request would meet as well."""

RESERVED = "AlreadyReserved"

GAPPED = "NonceTooHigh"
"""The refusal of what stands above a nonce that is missing."""


def act(draft: Draft) -> None:
    """Do at a head whatever can be done now."""
    if draft.state.halted:
        return
    for job in draft.state.in_flight():
        cancel(draft, job)
    fill_window(draft)
    _fill_gaps(draft)
    _replace(draft)
    _rebroadcast(draft)


def cancel(draft: Draft, job: Job) -> None:
    """Outbid an unwanted request with an empty transaction, if somebody may have it."""
    state = draft.state
    unspent = job.nonce is not None and job.nonce >= state.nonce
    wanted = job.unwanted and job.in_flight and job.exposed
    quote = state.quote(job)
    if unspent and wanted and not state.halted and quote is not None:
        _sign_over(draft, job, bid(state, job, quote), cancels=True)


def fill_window(draft: Draft) -> None:
    """Give the lowest free nonces to the first waiting requests, as far as funds and room go."""
    state = draft.state
    room = state.window - len(state.slots)
    if room <= 0 or not state.queue or state.halted or stopped_by(state) is not None:
        return
    if delegating(state) is not None:
        return
    for name, nonce in zip(state.queue[:room], state.free_nonces(), strict=False):
        unsigned = first_bid(state, state.jobs[name], nonce)
        if unsigned is None or not _affordable(draft, unsigned):
            return  # strictly in order: later requests may rely on earlier ones
        alone = delegates_itself(unsigned, state.lane)
        if alone and (state.held() or draft.signing):
            return
        draft.sign(Sign(request_id=name, unsigned=unsigned, version=state.jobs[name].version))
        if alone:
            return


def first_bid(state: LaneState, job: Job, nonce: int) -> UnsignedTransaction | None:
    """The first attempt of a request; None while there is no quote."""
    quote = state.quote(job)
    if quote is None:
        return None
    return fees.first_attempt(job.request, quote, chain_id=state.chain_id, nonce=nonce)


def replace_one(draft: Draft, job: Job) -> None:
    """Bid higher for one request, if there is a reason to and it is possible."""
    state = draft.state
    nonce = job.nonce
    quote = state.quote(job)
    if quote is None or nonce is None or nonce < state.nonce or state.halted:
        return
    if job.unwanted:
        return  # `cancel` deals with it
    if not (owes(job) or outrun(state, job, quote)):
        return
    _sign_over(draft, job, bid(state, job, quote), cancels=job.last.cancels)


def owes(job: Job) -> bool:
    """Whether the author or a node asked for an attempt that is not signed yet."""
    return job.floor is not None or job.raise_fees


def bid(state: LaneState, job: Job, quote: FeeQuote) -> UnsignedTransaction | None:
    """The next attempt at the nonce of a request; None if it would cost too much."""
    highest, ceiling = job.tries[-1].signed.unsigned, state.limits.max_cost_wei
    if job.cancelling:
        return fees.cancellation(highest, quote, sender=state.lane, max_cost_wei=ceiling)
    if job.last.version == job.version and job.last is job.tries[-1]:
        return fees.replacement(
            highest, quote, max_cost_wei=ceiling, own_cap=job.request.max_fee_per_gas
        )
    return fees.revision(highest, job.request, quote, max_cost_wei=ceiling)


def stopped_by(state: LaneState) -> Job | None:
    """The request whose refusal says that further ones would be refused as well."""
    held = (state.jobs[name] for name in state.slots.values())
    return next((job for job in held if stops(job)), None)


def stops(job: Job) -> bool:
    """Whether its last attempt was refused everywhere for a reason beyond its fees."""
    return job.refusal in NOT_A_MATTER_OF_FEES and not job.last.taken


def send(draft: Draft, job: Job) -> None:
    """Hand the last attempt to each destination whose answer is not being waited for.

    From here on it counts as exposed there, whatever an earlier refusal said of the same bytes.
    """
    last, block = _to_send(draft.state, job), draft.state.block
    if last is None or draft.state.halted:
        return
    places = tuple(
        name for name, known in last.exposures.items() if known is not Exposure.JOURNALLED
    )
    if not places:
        return
    sent = msgspec.structs.replace(
        last,
        exposures={name: max(known, Exposure.JOURNALLED) for name, known in last.exposures.items()},
        sent_block=block,
    )
    draft.put(job, tries=job.tries_with(sent))
    draft.effects.append(
        Send(
            request_id=job.request_id,
            number=job.tries.index(last),
            signed=sent.signed,
            cancels=sent.cancels,
            destinations=places,
            target_block=block + 1,
            since_block=job.tries[0].first_block + 1,
        )
    )


def hand_out_again(draft: Draft, job: Job) -> None:
    """Hand out what a block has passed by, or what nobody answered for."""
    attempt = _to_send(draft.state, job)
    unspent = job.nonce is not None and job.nonce >= draft.state.nonce
    if attempt is None or not unspent or job.landed:
        return
    if attempt.uncertain or attempt.sent_block < draft.state.block:
        send(draft, job)


def _to_send(state: LaneState, job: Job) -> Try | None:
    """The attempt to hand out: the last one, unless nobody wants it to be mined any more.

    An unwanted one that is too dear to be outbid is handed out all the same: somebody has it
    anyway, and its nonce, with all that stands behind it, would hang for ever if pools forgot it.
    """
    if not job.unwanted:
        return job.last
    quote = state.quote(job)
    if quote is None or bid(state, job, quote) is not None:
        return None
    out = [one for one in reversed(job.tries) if one.exposed]
    return next((one for one in out if not one.dead), out[0] if out else None)


def outrun(state: LaneState, job: Job, quote: FeeQuote) -> bool:
    """Whether the market has left the head of the line behind.

    Bumping a transaction behind the head cannot make it land sooner, so those keep their fees; so
    does one that was refused for a reason that fees do not change, or whose bump was. An empty
    transfer that is refused for good is worth another one: all that stands behind waits for it.
    """
    last = job.last
    return (
        job.nonce == state.nonce
        and state.block - last.first_block >= state.limits.replace_after_blocks
        and last is job.tries[-1]
        and not stops(job)
        and (fees.outbids(quote, last.signed.unsigned) or (last.cancels and last.refused))
    )


def _sign_over(
    draft: Draft, job: Job, unsigned: UnsignedTransaction | None, *, cancels: bool
) -> None:
    if unsigned is None or job.request_id in draft.signing:
        return
    if unsigned.worst_cost_wei - job.held_wei > max(0, draft.spare_wei()):
        return
    effect = Sign(
        request_id=job.request_id, unsigned=unsigned, cancels=cancels, version=job.version
    )
    draft.sign(effect, already_wei=job.held_wei)


def _affordable(draft: Draft, unsigned: UnsignedTransaction) -> bool:
    ceiling = draft.state.limits.max_cost_wei
    within = unsigned.gas * unsigned.fee_cap <= ceiling
    return within and unsigned.worst_cost_wei <= draft.spare_wei()


def _fill_gaps(draft: Draft) -> None:
    """Spend a free nonce on nothing that others hang on, when no request is there to use it.

    Those are out already, or refused because of the gap: pools take none of an account that runs
    code, and then there is no room for a request below either.
    """
    state = draft.state
    hanging = {job.nonce or 0: job for job in state.in_flight() if job.exposed or _gapped(job)}
    top = max(hanging, default=0)
    if top - state.nonce < len(hanging):
        if state.fill_floor is not None:
            draft.update(fill_floor=None)
        return  # nothing is missing
    given = {effect.unsigned.nonce for effect in draft.signing.values()}
    missing = (nonce for nonce in state.free_nonces() if nonce not in given)
    for nonce in islice(takewhile(lambda nonce: nonce < top, missing), MAX_FILLERS):
        above = [job for held, job in hanging.items() if held > nonce]
        if not _fill(draft, nonce, _places(above)):
            return


def _gapped(job: Job) -> bool:
    return job.refusal == GAPPED and not job.last.taken


def _fill(draft: Draft, nonce: int, places: tuple[str, ...]) -> bool:
    state = draft.state
    serial = state.accepted + 1
    filler = Job(
        request_id=f"{FILLER}{nonce}-{serial}",
        request=TransactionRequest(to=state.lane, gas=fees.CANCEL_GAS),
        urgency=Urgency.NEXT_BLOCK,
        destinations=places,
        order=serial,
        floor=state.fill_floor,
    )
    unsigned = first_bid(state, filler, nonce)
    if unsigned is None or not _affordable(draft, unsigned):
        return False
    draft.update(accepted=serial)
    draft.put(filler)
    draft.park(filler)
    draft.sign(Sign(request_id=filler.request_id, unsigned=unsigned))
    return True


def above(refused: UnsignedTransaction, block: int) -> FeeQuote:
    """What an empty transfer bids that follows a refused one: the same bytes would be refused."""
    return FeeQuote(
        max_fee_per_gas=bumped(refused.fee_cap),
        max_priority_fee_per_gas=bumped(refused.max_priority_fee_per_gas),
        base_fee_per_gas=0,
        for_block=block,
    )


def _places(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Wherever those are that hang on a nonce, each once."""
    return tuple(dict.fromkeys(name for job in jobs for name in job.destinations))


def _replace(draft: Draft) -> None:
    for job in draft.state.in_flight():
        replace_one(draft, job)


def _rebroadcast(draft: Draft) -> None:
    """Hand out again what a block has passed by: pools forget, and these bytes are idempotent.

    While a blob transaction of the account is pending elsewhere only the lowest of those that were
    refused for it asks again: nothing is sent across that one by another way.
    """
    state = draft.state
    reserved = False
    for job in state.in_flight():
        last = job.last
        refused = job.refusal == RESERVED and not last.taken
        if reserved and not last.taken:
            continue
        reserved = reserved or refused
        if job.request_id not in draft.signing:
            hand_out_again(draft, job)
