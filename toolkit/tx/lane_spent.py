"""What a head says of the lane's nonces: who spent them, what a reorg took back, what is final.

A nonce that the chain has spent is explained by a receipt of ours or by a stranger's transaction.
Either stays remembered until no reorg can reach it, and holds its nonce again if one does. Nothing
is believed to be undone because a node is silent: an end is taken back when its nonce is unspent
again or something else is named in its place.
"""

from itertools import takewhile

import msgspec

from toolkit.model.chain import Hash
from toolkit.tx.events import Finish, Mined, Observed, Reopen, Spender
from toolkit.tx.job import Job, end_of
from toolkit.tx.lane_state import Draft, FirstLife, LaneState

SPENT_PATIENCE_BLOCKS = 3
"""Heads to wait for the name of whoever spent a nonce: a node may lag behind itself."""

FALLEN_PATIENCE_HEADS = 6
"""Heads in a row with a lower count of the account after which it is the truth, and no lag."""


def follow(draft: Draft, event: Observed) -> None:
    """Take over what the head says, and end or reopen the requests that it is about."""
    before = draft.state
    fallen = before.fallen + 1 if event.nonce < before.nonce else 0
    reorged = event.reorged or fallen >= FALLEN_PATIENCE_HEADS
    found = _receipts(before, event, reorged=reorged)
    draft.update(
        nonce=_count(draft, event, found, reorged=reorged),
        block=event.block,
        balance_wei=event.balance_wei,
        quotes=event.quotes,
        delegated=event.delegated,
        fallen=0 if reorged else fallen,
    )
    spenders = {spender.nonce: spender for spender in event.spenders}
    if reorged:
        _return_unspent(draft, seen_block=before.block)
    if event.reorged:
        _reconsider(draft, found, spenders, seen_block=before.block)
    _watch_first_lives(draft, event, spenders)
    for name, mined in found.items():
        job = draft.state.jobs[name]
        if not _alike(job.mined, mined):
            changed = draft.put(
                job, mined=mined, foreign=None, lost=False, unexplained=0, refusal=""
            )
            draft.land(_recognised(draft, changed), mined.block_number)
    if before.slots or before.due or reorged:
        _explain(draft, spenders)
        report(draft)
    _forget(draft)


def _receipts(state: LaneState, event: Observed, *, reorged: bool) -> dict[str, Mined]:
    if not event.receipts:
        return {}
    asked = (*state.slots.values(), *(state.landed if reorged else state.due))
    owner = {attempt.signed.hash: name for name in asked for attempt in state.jobs[name].tries}
    return {owner[one.tx_hash]: one for one in event.receipts if one.tx_hash in owner}


def _count(draft: Draft, event: Observed, found: dict[str, Mined], *, reorged: bool) -> int:
    """The account's count, as far as one answer of one node is to be believed.

    It falls only in a reorg, and then not below what receipts of the same head prove, what a
    bundle has spent in a block still to be seen, or what is too deep to be taken back.
    """
    state = draft.state
    proven = [_above(state.jobs[name]) for name in found]
    if not reorged:
        return max(event.nonce, state.nonce, *proven)
    if event.block < state.bundled_block:
        proven.append(state.bundled_nonce)
    if not event.reorged:  # a low count alone undoes nothing that was seen to be spent
        proven += [_above(state.jobs[name]) for name in state.landed]
    if event.nonce < state.settled_nonce and event.reorged and event.block >= state.block:
        draft.halt(
            f"the chain's count of the account fell to {event.nonce}, though nonces below "
            f"{state.settled_nonce} were final; resume the lane when this is understood"
        )
        draft.update(settled_nonce=event.nonce)
    return max(event.nonce, draft.state.settled_nonce, *proven)


def _above(job: Job) -> int:
    """The least count of an account that has spent this job's nonce; 0 where nothing proves it."""
    return 0 if job.nonce is None or job.lost else job.nonce + 1


def _return_unspent(draft: Draft, *, seen_block: int) -> None:
    """Let requests hold their nonces again that the chain does not count any more."""
    nonce = draft.state.nonce
    for job in [draft.state.jobs[name] for name in draft.state.landed]:
        if job.nonce is not None and job.nonce >= nonce:
            _require_not_final(draft, job, seen_block)
            _reopen(draft, job)
            _return(draft, msgspec.structs.replace(job, final=""), reported="")
    unspent = [name for held, name in draft.state.slots.items() if held >= nonce]
    for job in map(draft.state.jobs.__getitem__, unspent):
        if job.final:
            draft.halt(_undone(job, job.final_block))
        if job.reported:
            _reopen(draft, job)
        if job.reported or job.final:
            draft.put(job, reported="", final="")


def _reconsider(
    draft: Draft, found: dict[str, Mined], spenders: dict[int, Spender], *, seen_block: int
) -> None:
    """Look again at what spent the nonces that are still spent."""
    jobs = draft.state.jobs
    for job in [jobs[name] for name in draft.state.landed]:
        spender = spenders.get(-1 if job.nonce is None else job.nonce)
        if job.request_id in found:
            if not job.final and not _alike(job.mined, found[job.request_id]):
                _require_not_final(draft, job, seen_block)
        elif spender is not None and spender.by not in job.hashes():
            again = job.foreign is not None and job.foreign.by == spender.by
            if not again and not job.final:
                _require_not_final(draft, job, seen_block)
            # In a newer block it is no less final than it was: the next reorg may not take it back.
            _spent_by(draft, _marked(draft, job, seen_block) if again else job, spender)
        else:
            # Silence: asked for again at each head, and told anew only if the answer differs.
            _return(draft, _marked(draft, job, seen_block), reported=job.reported)


def _marked(draft: Draft, job: Job, seen_block: int) -> Job:
    """The job, with the end that was final when this reorg came, wherever it is mined now."""
    block = draft.state.landed[job.request_id]
    if job.lost or seen_block - block + 1 < draft.state.limits.finality_blocks:
        return job
    return msgspec.structs.replace(job, final=end_of(job)[0], final_block=block)


def _recognised(draft: Draft, job: Job) -> Job:
    """The job, now that somebody names what spent its nonce; not what was final: that halts.

    The mark of what is named again stays: it may be in a block that a shallow reorg can reach.
    """
    if not job.final:
        return job
    if end_of(job)[0] != job.final:
        draft.halt(_undone(job, job.final_block))
        return draft.put(job, final="", final_block=0)
    return job


def _alike(one: Mined | None, other: Mined) -> bool:
    """Whether two receipts tell of the same transaction in the same block."""
    return (
        one is not None
        and one.tx_hash == other.tx_hash
        and one.block_hash == other.block_hash
        and one.succeeded == other.succeeded
    )


def _return(draft: Draft, job: Job, *, reported: str) -> None:
    """Let a job hold its nonce again."""
    draft.unland(job)
    changed = draft.put(job, mined=None, foreign=None, lost=False, unexplained=0, reported=reported)
    assert changed.nonce is not None, "what landed has a nonce"
    draft.take_slot(changed, changed.nonce)


def _explain(draft: Draft, spenders: dict[int, Spender]) -> None:
    """Find out who spent a nonce that is not unspent; without a name, wait for one a little."""
    state = draft.state
    for nonce in sorted(n for n in state.slots if n < state.nonce):
        job = state.jobs[state.slots[nonce]]
        spender = spenders.get(nonce)
        if spender is not None:
            if spender.by not in job.hashes():
                _spent_by(draft, job, spender)
        elif job.unexplained < SPENT_PATIENCE_BLOCKS:
            draft.put(job, unexplained=job.unexplained + 1)
        else:
            draft.land(draft.put(job, lost=True), state.block)
    for name in state.due:
        job = state.jobs[name]
        named = spenders.get(-1 if job.nonce is None else job.nonce)
        if job.lost and named is not None and named.by not in job.hashes():
            _spent_by(draft, job, named)


def _spent_by(draft: Draft, job: Job, spender: Spender) -> None:
    block = spender.block_number or draft.state.landed.get(job.request_id, draft.state.block)
    changed = draft.put(job, foreign=spender, mined=None, lost=False, unexplained=0, refusal="")
    draft.land(_recognised(draft, changed), block)


def report(draft: Draft) -> None:
    """Tell the ends that lie deep enough, each once, and take back those that changed."""
    limits = draft.state.limits
    for job in [draft.state.jobs[name] for name in draft.state.due]:
        depth = draft.state.block - draft.state.landed[job.request_id] + 1
        end, outcome = end_of(job)
        told = job.reported
        if told and job.lost:
            continue  # nobody can name it now: that takes nothing back
        if told and (job.requeues or told != end):
            _reopen(draft, job)
            told = ""
        if job.requeues:
            draft.put(job, reported=told)
            if depth >= limits.finality_blocks:
                _requeue(draft, draft.state.jobs[job.request_id])
            continue
        final = depth >= limits.finality_blocks
        if job.undecided and final and not job.exposed:
            # Nobody ever had it, so nothing of it was mined, whoever spent the nonce.
            _requeue(draft, draft.put(job, reported=told))
            continue
        enough = (final or not job.undecided) if job.lost else depth >= limits.confirmations
        if enough and not told:
            told = end
            draft.effects.append(Finish(request_id=job.request_id, outcome=outcome))
            # Who hears that may send it anew, so it is not sent again behind its author's back.
            abandoned = job.abandoned or job.lost
            draft.put(job, reported=end, reported_hash=_cause(job), abandoned=abandoned)
        elif told != job.reported:
            draft.put(job, reported=told)
        if told and not job.lost:  # the receipt of what is lost may still come
            draft.settle(job)


def _requeue(draft: Draft, job: Job) -> None:
    """Give a request a second life at a new nonce, now that the old one is spent for good.

    A reorg deeper than finality could still bring an attempt at the old nonce back, and so double
    it: that is looked for as long as for any other end.
    """
    if job.exposed:
        life = FirstLife(job=job, block=draft.state.landed[job.request_id])
        draft.update(first_lives=(*draft.state.first_lives, life))
    draft.unland(job)
    draft.update(settled_nonce=max(draft.state.settled_nonce, (job.nonce or 0) + 1))
    second = draft.put(
        job,
        tries=(),
        foreign=None,
        lost=False,
        unexplained=0,
        requeued=True,
        raise_fees=False,
        refusal="",
        held_wei=0,
    )
    draft.enqueue(second)


def _watch_first_lives(draft: Draft, event: Observed, spenders: dict[int, Spender]) -> None:
    """Halt when a reorg let something else spend a nonce that a request has given up for good."""
    mined = {receipt.tx_hash for receipt in event.receipts}
    watched = []
    for before in draft.state.first_lives:
        life, job, nonce = before, before.job, before.job.nonce or 0
        named = spenders.get(nonce)
        by = next((one for one in job.hashes() if one in mined), named and named.by)
        if draft.state.nonce <= nonce:  # a count below what is final has halted the lane already
            job = msgspec.structs.replace(job, foreign=None)
            life = FirstLife(job=job, block=life.block, doubted=True)
        elif by is None:
            life = FirstLife(job=job, block=life.block, doubted=life.doubted or event.reorged)
        elif by in job.hashes() or (job.foreign is not None and by != job.foreign.by):
            draft.halt(
                f"a reorg took back block {life.block}, which was final: nonce {nonce} of "
                f"{job.request_id} is spent by {by} now, though the request has gone on to another "
                "nonce; resume the lane when this is understood"
            )
            continue
        else:
            job = msgspec.structs.replace(job, foreign=named)
            life = FirstLife(job=job, block=life.block)
        if draft.state.block - life.block < draft.state.limits.watch_blocks:
            watched.append(life)
    if draft.state.first_lives:
        draft.update(first_lives=tuple(watched))


def _reopen(draft: Draft, job: Job) -> None:
    if job.reported:
        tx_hash = job.reported_hash or job.last.signed.hash
        draft.effects.append(Reopen(request_id=job.request_id, tx_hash=tx_hash))


def _cause(job: Job) -> Hash | None:
    """What spent the nonce."""
    if job.mined is not None:
        return job.mined.tx_hash
    return None if job.foreign is None else job.foreign.by


def _require_not_final(draft: Draft, job: Job, seen_block: int) -> None:
    """Halt when something that was final at the last head is taken back."""
    block = draft.state.landed[job.request_id]
    deep = not job.lost and seen_block - block + 1 >= draft.state.limits.finality_blocks
    if deep or job.final:
        draft.halt(_undone(job, job.final_block if job.final else block))


def _undone(job: Job, block: int) -> str:
    return (
        f"a reorg took back block {block} with nonce {job.nonce} of {job.request_id}, which "
        "was final; resume the lane when this is understood"
    )


def _forget(draft: Draft) -> None:
    """Let go of what is deeper than any reorg is looked for; the oldest come first."""
    state = draft.state
    newest = state.block - state.limits.watch_blocks
    gone = list(takewhile(lambda name: state.landed[name] <= newest, state.landed))
    for job in [state.jobs[name] for name in gone]:
        draft.drop(job)
        draft.update(settled_nonce=max(draft.state.settled_nonce, (job.nonce or 0) + 1))
