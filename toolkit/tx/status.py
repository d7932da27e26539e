"""Where a request or a lane stands, in words: read from a lane's state, never asked of a node."""

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ToolkitError
from toolkit.model.tx import Confirmed, Exposure, Outcome
from toolkit.model.units import format_units
from toolkit.tx import fees
from toolkit.tx.job import Job
from toolkit.tx.lane_state import LaneState


class RequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request stands.

    `state` is queued, prepared, broadcast, mined, confirmed or finalized (`finality_blocks` deep),
    or how else it ended: reverted, expired, cancelled, replaced, failed. `exposure` tells who may
    hold any of its `attempts`; `waiting_for` is "" where nothing but the chain is waited for.
    """

    request_id: str
    sender: Address
    state: str
    nonce: int | None = None
    tx_hash: Hash | None = None
    attempts: int = 0
    exposure: Exposure = Exposure.NONE
    waiting_for: str = ""


def status_of(
    name: str, state: LaneState, outcome: Outcome | None, error: ToolkitError | None
) -> RequestStatus:
    """Put together what the lane and the journal say of a request."""
    job = state.jobs.get(name)
    ended = RequestStatus(
        request_id=name,
        sender=state.lane,
        state=_ended(name, state, outcome, error),
        tx_hash=None if outcome is None else outcome.tx_hash,
    )
    if job is None or (error is not None and outcome is None):
        return ended
    known = [exposure for attempt in job.tries for exposure in attempt.exposures.values()]
    tx_hash = ended.tx_hash or (job.last.signed.hash if job.tries else None)
    return msgspec.structs.replace(
        ended,
        state=ended.state if outcome is not None else _progress(job),
        nonce=job.nonce,
        tx_hash=tx_hash,
        attempts=len(job.tries),
        exposure=max(known, default=Exposure.NONE),
        waiting_for="" if job.tries else waiting_for(state, job),
    )


def waiting(state: LaneState) -> str:
    """Why the lane's next request has no nonce yet; "" where none waits."""
    queued = state.queued()
    return waiting_for(state, queued[0]) if queued else ""


def waiting_for(state: LaneState, job: Job) -> str:
    """What a request without a nonce waits for."""
    if state.halted:
        return f"somebody to resume the lane: {state.halted}"
    if job.after is not None:
        return f"{job.after} to be confirmed"
    if state.leases:
        block = max(lease.target_block for lease in state.leases.values())
        return f"the bundle for block {block}"
    if len(state.slots) >= state.window:
        return f"room among the {state.window} that may be in flight"
    return _means(state, job) or "requests before it"


def _means(state: LaneState, job: Job) -> str:
    """What the account, or its owner, does not give."""
    quote = state.quote(job)
    if quote is None:
        return "a fee quote"
    cost = fees.first_attempt(job.request, quote, chain_id=state.chain_id, nonce=state.nonce)
    if cost.gas * cost.fee_cap > state.limits.max_cost_wei:
        return f"fees below {format_units(state.limits.max_cost_wei // cost.gas, 9)} gwei"
    missing = cost.worst_cost_wei - (state.balance_wei - state.reserved_wei())
    if missing > 0:
        return f"{format_units(missing, 18)} ether more than what is under way leaves"
    return ""


def _ended(name: str, state: LaneState, outcome: Outcome | None, error: ToolkitError | None) -> str:
    if outcome is None:
        return "unknown" if error is None else "failed"
    if not isinstance(outcome, Confirmed):
        return type(outcome).__name__.lower()
    block = state.landed.get(name)
    deep = block is None or state.block - block + 1 >= state.limits.finality_blocks
    return "finalized" if deep else "confirmed"


def _progress(job: Job) -> str:
    if job.mined is not None:
        return "mined"
    if not job.tries:
        return "queued"
    out = any(
        exposure > Exposure.JOURNALLED
        for attempt in job.tries
        for exposure in attempt.exposures.values()
    )
    return "broadcast" if out else "prepared"
