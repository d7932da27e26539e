"""Where a request stands: read from a lane's state, never asked of a node."""

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ToolkitError
from toolkit.model.tx import Confirmed, Exposure, Outcome
from toolkit.tx.job import Job
from toolkit.tx.lane_state import LaneState
from toolkit.tx.progress import Phase, phase, why_waits


class RequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request stands.

    `state` is queued, prepared, broadcast, mined, confirmed or finalized (`finality_blocks` deep),
    or how else it ended: reverted, expired, cancelled, replaced, failed. `exposure` tells who may
    hold any of its `attempts`; `waiting_for` is "" where only the chain, or its turn, is waited
    for. An end is told once it is on disk: until then the state is the one before it, or "unknown"
    to who asks for a handle in that very moment.
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
    status = RequestStatus(
        request_id=name,
        sender=state.lane,
        state="unknown" if error is None else "failed",
        tx_hash=None if outcome is None else outcome.tx_hash,
    )
    job = state.jobs.get(name)
    if job is not None and (outcome is not None or error is None):
        status = _with_job(status, job, state)
    if outcome is None:
        return status
    ended = type(outcome).__name__.lower()
    if isinstance(outcome, Confirmed):
        ended = Phase.FINALIZED.value if job is None else status.state
    return msgspec.structs.replace(status, state=ended)


def untold_status(name: str, state: LaneState, before: Job | None) -> RequestStatus:
    """Where a request stood before an end that is not durable yet."""
    status = RequestStatus(request_id=name, sender=state.lane, state="unknown")
    if before is None:
        return status
    status = _with_job(status, before, state)
    # Under whose confirmations it is by now is what that end says.
    return msgspec.structs.replace(status, state=Phase.MINED.value) if before.mined else status


def _with_job(status: RequestStatus, job: Job, state: LaneState) -> RequestStatus:
    known = [exposure for attempt in job.tries for exposure in attempt.exposures.values()]
    return msgspec.structs.replace(
        status,
        state=phase(job, state).value,
        nonce=job.nonce,
        tx_hash=status.tx_hash or (job.last.signed.hash if job.tries else None),
        attempts=len(job.tries),
        exposure=max(known, default=Exposure.NONE),
        waiting_for=why_waits(job, state),
    )
