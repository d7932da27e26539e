"""The ordered nonce stream of one (chain id, sender), as a pure state machine.

`step(state, event)` returns the next state and the effects that the shell is to perform. There is
no nonce counter to drift: a nonce is free if the chain has not spent it and no live request or
lease holds it, and the lowest free one is always given out first, so a gap heals by itself.

What spent a nonce stays remembered until no reorg can reach it (`limits.watch_blocks`). If a reorg
takes an end back that was told, it is reopened and told anew; if that end was final, the lane
halts: it observes and reports, but signs and sends nothing until somebody resumes it.
"""

from typing import NamedTuple

import msgspec

from toolkit.model.errors import Recovery
from toolkit.model.tx import Exposure
from toolkit.tx.delegation import delegates_itself
from toolkit.tx.events import (
    Accepted,
    Answered,
    CancelAsked,
    Effect,
    Event,
    Fail,
    Finish,
    LaneOpened,
    Leased,
    LeaseSettled,
    Observed,
    Prepared,
    Released,
    ReplaceAsked,
    Resumed,
    SigningFailed,
)
from toolkit.tx.job import Job, Try, unsent_outcome
from toolkit.tx.lane_signing import (
    FILLER,
    RESERVED,
    above,
    act,
    cancel,
    fill_window,
    hand_out_again,
    replace_one,
    send,
    stops,
)
from toolkit.tx.lane_spent import SPENT_PATIENCE_BLOCKS, follow, report
from toolkit.tx.lane_state import Draft, LaneState

__all__ = ["SPENT_PATIENCE_BLOCKS", "LaneState", "Step", "open_lane", "step"]


class Step(NamedTuple):
    """What a step leads to."""

    state: LaneState
    effects: tuple[Effect, ...]


def open_lane(event: LaneOpened) -> LaneState:
    """The state of a lane that nothing has happened to."""
    return LaneState(lane=event.lane, chain_id=event.chain_id, limits=event.limits)


def step(state: LaneState, event: Event) -> Step:
    """Apply one event; the same state and event always give the same result.

    Sign effects come only from Accepted, CancelAsked, ReplaceAsked, Released, Resumed, Observed
    and LeaseSettled; the shell answers each of them before it applies another of these.
    """
    draft = Draft(state)
    match event:
        case Answered():
            _answered(draft, event)
        case Prepared():
            _prepared(draft, event)
        case Accepted():
            _accepted(draft, event)
        case Observed():
            _observed(draft, event)
        case SigningFailed():
            _signing_failed(draft, event)
        case LaneOpened():
            _opened(draft, event)
        case Leased():
            draft.update(leases={**state.leases, event.lease_id: event})
        case LeaseSettled():
            _lease_settled(draft, event)
        case CancelAsked() | ReplaceAsked() | Released() | Resumed():
            _asked(draft, event)
    return Step(draft.state, tuple(draft.effects))


def _asked(draft: Draft, event: CancelAsked | ReplaceAsked | Released | Resumed) -> None:
    match event:
        case CancelAsked():
            _cancel_asked(draft, event)
        case ReplaceAsked():
            _replace_asked(draft, event)
        case Released():
            _released(draft, event)
        case Resumed():
            draft.update(halted="")
            act(draft)


def _opened(draft: Draft, event: LaneOpened) -> None:
    """Whatever an earlier process was about to send may be out: it never told."""
    draft.update(limits=event.limits)
    for job in tuple(draft.state.jobs.values()):
        if any(Exposure.JOURNALLED in one.exposures.values() for one in job.tries):
            draft.put(job, tries=tuple(map(_unknown, job.tries)))


def _unknown(attempt: Try) -> Try:
    exposures = {
        name: Exposure.UNKNOWN if exposure is Exposure.JOURNALLED else exposure
        for name, exposure in attempt.exposures.items()
    }
    return msgspec.structs.replace(attempt, exposures=exposures)


def _accepted(draft: Draft, event: Accepted) -> None:
    state = draft.state
    draft.update(
        balance_wei=event.balance_wei,
        quotes={**state.quotes, event.urgency.name: event.quote},
        accepted=state.accepted + 1,
    )
    job = draft.put(
        Job(
            request_id=event.request_id,
            request=event.request,
            urgency=event.urgency,
            destinations=event.destinations,
            deadline_block=event.deadline_block,
            order=state.accepted + 1,
            priority=event.priority,
            after=event.after,
            on_external_spend=event.on_external_spend,
        )
    )
    if job.after is not None:
        draft.park(job)
        return
    draft.enqueue(job)
    fill_window(draft)


def _prepared(draft: Draft, event: Prepared) -> None:
    job = draft.state.jobs.get(event.request_id)
    if job is None:
        return  # refused for good while this was signed: nobody has it, and nobody gets it
    block, unsigned = draft.state.block, event.signed.unsigned
    attempt = Try(
        signed=event.signed,
        cancels=event.cancels,
        exposures=dict.fromkeys((*job.destinations, *event.also), Exposure.NONE),
        first_block=block,
        sent_block=block,
        version=event.version,
    )
    if not job.tries:
        draft.take_slot(job, unsigned.nonce)
    job = draft.put(
        job,
        tries=(*job.tries, attempt),
        raise_fees=False,
        floor=None,
        refusal="",
        unsigned="",
        held_wei=max(job.held_wei, unsigned.worst_cost_wei),
    )
    send(draft, job)


def _signing_failed(draft: Draft, event: SigningFailed) -> None:
    job = draft.state.jobs.get(event.request_id)
    if job is None:
        return
    if job.tries:  # the older attempt stands, the next head tries again
        hand_out_again(draft, draft.put(job, unsigned=event.message))
        return
    if job.requeued:  # its caller has long been told that it was sent
        draft.put(job, refusal="SignerError", refusal_text=event.message)
        return
    draft.drop(job)
    draft.effects.append(Fail(request_id=event.request_id, message=event.message))


def _answered(draft: Draft, event: Answered) -> None:
    job = draft.state.jobs.get(event.request_id)
    attempt = job.attempt(event.tx_hash) if job else None
    if job is None or attempt is None:
        return  # it ended while the answer was on its way
    before = attempt.exposures.get(event.destination, Exposure.NONE)
    # A refusal proves that bytes are unknown only where they were never sent before.
    after = max(before, event.exposure) if before > Exposure.JOURNALLED else event.exposure
    newest = attempt is job.last
    attempt = msgspec.structs.replace(
        attempt,
        exposures={**attempt.exposures, event.destination: after},
        refusals={} if event.exposure > Exposure.UNKNOWN else attempt.refusals,
    )
    for_good = event.recovery is Recovery.FAIL or _is_barred(draft.state, attempt, event)
    if for_good:
        attempt = attempt.refused_again(event.destination)
    changes: dict[str, object] = {"tries": job.tries_with(attempt)}
    if newest and event.recovery is Recovery.RAISE_FEES:
        changes["raise_fees"] = True
    refused = event.recovery not in {None, Recovery.TREAT_AS_SENT}
    # What stops the lane is taken back by whoever said it, or by somebody who takes the attempt.
    if newest and not (refused and stops(job) and job.refused_by != event.destination):
        changes |= {
            "refusal": event.refusal if refused else "",
            "refusal_text": event.message if refused else "",
            "refused_by": event.destination if refused else "",
        }
    job = draft.put(job, **changes)
    if after is Exposure.PRIVATE and event.destination not in draft.state.relays:
        draft.update(relays=(*draft.state.relays, event.destination))
    unspent = attempt.signed.unsigned.nonce >= draft.state.nonce
    if for_good and unspent and not job.landed:
        _refused_for_good(draft, job, attempt, event.message)


def _is_barred(state: LaneState, attempt: Try, event: Answered) -> bool:
    """Whether an attempt is kept out by what can only follow it.

    A reorg may bring a delegation of the account itself back below what was sent behind it. Pools
    take it beside one other transaction at most, and those behind it cannot be mined before it.
    """
    unsigned = attempt.signed.unsigned
    behind = sum(nonce > unsigned.nonce for nonce in state.slots)
    reserved = event.refusal == RESERVED and delegates_itself(unsigned, state.lane)
    return reserved and behind > 1


def _refused_for_good(draft: Draft, job: Job, attempt: Try, message: str) -> None:
    if not job.exposed:
        if job.request_id.startswith(FILLER):
            draft.update(fill_floor=above(attempt.signed.unsigned, draft.state.block))
        draft.drop(job)
        draft.effects.append(Fail(request_id=job.request_id, message=message))
    elif not attempt.cancels and (attempt.refused or not attempt.exposed):
        dead = job.with_try(msgspec.structs.replace(attempt, dead=True))
        if not dead.last.dead:
            # An older attempt is out: that one is stood by, and this payload is not tried again.
            version = dead.last.version
            draft.put(dead, version=version, request=dead.payload_of(version))
        elif job.cancelling:
            draft.put(dead)
        else:
            # Somebody may have it, but nobody takes it any more: its nonce goes to nothing.
            draft.put(dead, cancel_asked=True, reason=f"refused for good: {message}")


def _cancel_asked(draft: Draft, event: CancelAsked) -> None:
    job = draft.state.jobs.get(event.request_id)
    if job is None or job.mined is not None:
        return
    job = draft.put(job, cancel_asked=True)
    if job.landed:
        report(draft)
        return
    _end_unsent(draft, job)
    cancel(draft, job)
    fill_window(draft)


def _replace_asked(draft: Draft, event: ReplaceAsked) -> None:
    job = draft.state.jobs.get(event.request_id)
    if job is None or (job.landed and not job.requeues):
        return
    changes: dict[str, object] = {"urgency": event.urgency, "floor": event.quote}
    if event.request is not None:
        if job.cancelling:
            return  # no resurrection
        gas = event.request.gas or job.request.gas
        request = msgspec.structs.replace(event.request, gas=gas)
        payloads = (*(job.payloads or (job.request,)), request)
        changes |= {"request": request, "payloads": payloads, "version": len(payloads) - 1}
    elif event.own_cap is not None:
        changes |= _with_cap(job, event.own_cap)
    job = draft.put(job, **changes)
    if not job.tries:
        fill_window(draft)
    elif job.in_flight:
        if job.cancelling:
            cancel(draft, job)
        replace_one(draft, job)


def _with_cap(job: Job, own_cap: int) -> dict[str, object]:
    """The same payload under another fee ceiling is no other version of it."""
    request = msgspec.structs.replace(job.request, max_fee_per_gas=own_cap)
    if not job.payloads:
        return {"request": request}
    before, after = job.payloads[: job.version], job.payloads[job.version + 1 :]
    return {"request": request, "payloads": (*before, request, *after)}


def _released(draft: Draft, event: Released) -> None:
    job = draft.state.jobs.get(event.request_id)
    if job is None or job.after is None:
        return
    if event.succeeded:
        draft.release(draft.put(job, after=None))
        fill_window(draft)
        return
    reason = event.reason or f"{job.after}, which it was to follow, did not succeed"
    _end_unsent(draft, draft.put(job, cancel_asked=True, reason=reason))


def _observed(draft: Draft, event: Observed) -> None:
    for name in draft.state.parked:
        if name.startswith(FILLER):  # asked for by a process that died before it was signed
            draft.drop(draft.state.jobs[name])
    follow(draft, event)
    live = {i: lease for i, lease in draft.state.leases.items() if lease.target_block > event.block}
    if len(live) < len(draft.state.leases):
        # Nonces that a bundle has spent are the chain's by now, the others are free.
        draft.update(leases=live)
    _expire(draft)
    for job in draft.state.in_flight():
        _end_unsent(draft, job)
    act(draft)


def _lease_settled(draft: Draft, event: LeaseSettled) -> None:
    leases = dict(draft.state.leases)
    lease = leases.pop(event.lease_id, None)
    draft.update(leases=leases)
    if lease is not None and event.landed:
        # The chain has spent these, whether or not this lane has seen the block yet.
        spent = max(tx.unsigned.nonce for tx in lease.signed) + 1
        draft.update(
            nonce=max(draft.state.nonce, spent),
            bundled_nonce=max(draft.state.bundled_nonce, spent),
            bundled_block=max(draft.state.bundled_block, lease.target_block),
        )
    fill_window(draft)


def _expire(draft: Draft) -> None:
    """Give up what is late, and what would be late in the block after next.

    A request that some pool may hold can be mined until something takes its place. So it is outbid
    one head before its last block, unless it was first sent at that very head; a relay is asked
    for one block at a time, so there the head of the last block is early enough.
    """
    state = draft.state
    if state.alarm_block is None or state.block < state.alarm_block:
        return
    landed = [state.jobs[name] for name in state.due]
    due = [job for job in landed if job.requeues or job.undecided]
    waiting = [*state.queued(), *state.in_flight(), *due]
    draft.update(alarm_block=None)
    for job in waiting:
        deadline = job.deadline_block
        if deadline is None or job.expired:
            continue
        early = deadline - 1 <= state.block and _in_a_pool(state, job)
        if deadline <= state.block or early:
            _end_unsent(draft, draft.put(job, expired=True))
        else:
            later = max(deadline - 1, state.block + 1)
            alarm = draft.state.alarm_block
            draft.update(alarm_block=later if alarm is None else min(alarm, later))
    if due:
        report(draft)


def _in_a_pool(state: LaneState, job: Job) -> bool:
    if not job.in_flight or job.tries[0].first_block >= state.block:
        return False
    return any(attempt.public(state.relays) for attempt in job.tries)


def _end_unsent(draft: Draft, job: Job) -> None:
    """End an unwanted request that certainly nobody has, and whose nonce nobody has spent."""
    spent = job.nonce is not None and job.nonce < draft.state.nonce
    if job.cancelling and not job.exposed and not job.landed and not spent:
        draft.drop(job)
        finished = Finish(request_id=job.request_id, outcome=unsent_outcome(job))
        draft.effects.append(finished)
