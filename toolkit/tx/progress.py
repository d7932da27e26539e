"""Where a request is on its way through a lane, and why a lane or a request does not move."""

from enum import Enum

from toolkit.model.tx import Exposure, FeeQuote, UnsignedTransaction
from toolkit.model.units import format_units
from toolkit.tx.delegation import delegates_itself, delegating
from toolkit.tx.job import Job
from toolkit.tx.lane_signing import (
    RESERVED,
    bid,
    first_bid,
    outrun,
    owes,
    stopped_by,
    stops,
)
from toolkit.tx.lane_state import LaneState


class Phase(Enum):
    """How far a request has come, whatever its end is."""

    QUEUED = "queued"  # no nonce (any more)
    PREPARED = "prepared"  # signed and journalled; nobody is known to have it
    BROADCAST = "broadcast"  # somebody has it, or may have
    MINED = "mined"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


def phase(job: Job, state: LaneState) -> Phase:
    """How far a request of this lane has come."""
    if job.mined is not None:
        depth = state.block - job.mined.block_number + 1
        if depth >= state.limits.finality_blocks:
            return Phase.FINALIZED
        return Phase.CONFIRMED if depth >= state.limits.confirmations else Phase.MINED
    if not job.tries or job.requeues:
        return Phase.QUEUED
    return Phase.BROADCAST if any(attempt.taken for attempt in job.tries) else Phase.PREPARED


def why_waiting(state: LaneState) -> str:
    """Why the lane does not go on with what comes first; "" where only the chain is waited for."""
    if state.halted:
        return f"halted: {state.halted}"
    first = [*state.in_flight(), *(state.jobs[name] for name in state.queue[:1])]
    others = [state.jobs[name] for name in (*state.due, *state.parked)]
    return next(filter(None, (_why(job, state) for job in (*first, *others))), "")


def why_waits(job: Job, state: LaneState) -> str:
    """Why one request does not go on; "" where only the chain, or its turn, is waited for."""
    return f"halted: {state.halted}" if state.halted else _why(job, state)


def _why(job: Job, state: LaneState) -> str:
    if job.requeues:
        return (
            f"{job.request_id} waits until its nonce {job.nonce} is spent for good "
            f"({state.limits.finality_blocks} blocks), then it gets a new one"
        )
    if job.undecided:
        return (
            f"{job.request_id} waits until somebody says what spent its nonce {job.nonce} "
            f"({state.limits.finality_blocks} blocks at most)"
        )
    if job.after is not None:
        return f"{job.request_id} waits for {job.after} to be confirmed"
    return _why_held(job, state) if job.tries else _why_queued(job, state)


def _why_held(job: Job, state: LaneState) -> str:
    """Of a request with a nonce: what keeps its attempt, or the next one, from the pools."""
    quote = state.quote(job)
    if job.nonce is None or job.nonce < state.nonce:
        return ""  # it is mined, or a stranger's, or the next head will say which
    stopped = _refused(job) if stops(job) else _unpaid(job, state)
    if stopped:
        return stopped
    wished = owes(job) or job.unwanted
    behind = quote is not None and (_below(job, quote) or outrun(state, job, quote))
    unbid = _why_not_bid(job, state, quote) if wished or behind else ""
    return unbid or _untaken(job) or (_stood_by(job, quote) if quote and not wished else "")


def _why_not_bid(job: Job, state: LaneState, quote: FeeQuote | None) -> str:
    """Of a request that asks for another attempt: why there is none yet."""
    what = "its cancellation" if job.cancelling else "its next attempt"
    if quote is None:
        return f"no fee quote for {what} of {job.request_id}"
    unsigned = bid(state, job, quote)
    if unsigned is None:
        again = "; until then what is out is sent again as it is" if job.unwanted else ""
        return _ceiling(job, state, what) + again
    if unsigned.worst_cost_wei - job.held_wei > max(0, _spare_wei(state)):
        return _unfunded(job, unsigned, state)
    return f"{what} for {job.request_id} could not be signed: {job.unsigned}" * bool(job.unsigned)


def _stood_by(job: Job, quote: FeeQuote) -> str:
    """Of an attempt whose bump was refused for good, and that cannot pay for the next block."""
    out = job.last.signed.unsigned.fee_cap
    if job.last is job.tries[-1] or out >= quote.base_fee_per_gas:
        return ""
    return (
        f"the last bid for {job.request_id} is refused for good; the one before it is sent again, "
        f"but its {_gwei(out)} gwei are below the base fee of {_gwei(quote.base_fee_per_gas)}: it "
        "waits for a cheaper market, speed_up or cancel"
    )


def _untaken(job: Job) -> str:
    """Of an attempt that was refused, for whatever reason, and that nobody is known to have."""
    if not job.refusal or any(known > Exposure.UNKNOWN for known in job.last.exposures.values()):
        return ""
    place = f"{job.request_id} (nonce {job.nonce})"
    return f"nobody is known to have {place}: {job.refusal_text or job.refusal}"


def _below(job: Job, quote: FeeQuote) -> bool:
    """Whether its highest bid can certainly not pay for the next block."""
    return job.tries[-1].signed.unsigned.fee_cap < quote.base_fee_per_gas


def _why_queued(job: Job, state: LaneState) -> str:
    stopping = job if job.refusal else stopped_by(state)
    if stopping is not None:
        return _refused(stopping)
    ahead = delegating(state)
    if ahead is not None:
        return (
            f"{ahead.request_id} delegates the account at nonce {ahead.nonce} and may spend the "
            "next one as well: nothing follows until it is mined"
        )
    if len(state.slots) >= state.window:
        if state.delegated:
            return "the account is delegated (EIP-7702): pools take one transaction at a time"
        return f"{len(state.slots)} nonces are in flight, the window is {state.window}"
    nonce = next(state.free_nonces(), None)
    if nonce is None:
        blocks = ", ".join(str(lease.target_block) for lease in state.leases.values())
        return f"a bundle holds the next nonces until block {blocks}"
    return _why_unbid(job, state, nonce)


def _why_unbid(job: Job, state: LaneState, nonce: int) -> str:
    unsigned = first_bid(state, job, nonce)
    if unsigned is None:
        return f"no fee quote for {job.request_id}"
    if state.held() and delegates_itself(unsigned, state.lane):
        return (
            f"{job.request_id} delegates its own account: it goes alone, once nothing of the "
            "account is in flight"
        )
    if unsigned.gas * unsigned.fee_cap > state.limits.max_cost_wei:
        return _ceiling(job, state, f"{unsigned.gas} gas at {_gwei(unsigned.fee_cap)} gwei")
    return _unfunded(job, unsigned, state) if unsigned.worst_cost_wei > _spare_wei(state) else ""


def _refused(job: Job) -> str:
    place = "" if job.nonce is None else f" (nonce {job.nonce})"
    why = f"{job.request_id}{place} is refused: {job.refusal_text or job.refusal}"
    if job.refusal == RESERVED:
        return f"a blob transaction of this account is pending elsewhere; {why}"
    return why


def _ceiling(job: Job, state: LaneState, what: str) -> str:
    own = job.request.max_fee_per_gas
    caps = f"max_cost_wei {state.limits.max_cost_wei}"
    higher = "open the session again with a higher max_cost_wei (--max-cost)"
    if own is not None and not job.cancelling:
        caps += f" and its own max_fee_per_gas {own}"
        higher = f"speed_up with a higher max_fee_per_gas, or {higher}"
    return (
        f"fee ceiling reached: {what} for {job.request_id} would exceed {caps}; wait for a cheaper "
        f"market, or {higher}"
    )


def _unfunded(job: Job, unsigned: UnsignedTransaction, state: LaneState) -> str:
    return (
        f"insufficient funds: {job.request_id} may cost {_ether(unsigned.worst_cost_wei)} ether, "
        f"{_ether(_spare_wei(state) + job.held_wei)} of {_ether(state.balance_wei)} are free"
    )


def _unpaid(job: Job, state: LaneState) -> str:
    """Of an attempt that the account could pay for when it was sent, and cannot any more."""
    cost = job.last.signed.unsigned.worst_cost_wei
    if cost <= state.balance_wei:
        return ""
    return (
        f"insufficient funds: {job.request_id} (nonce {job.nonce}) may cost {_ether(cost)} ether, "
        f"the account has {_ether(state.balance_wei)}"
    )


def _spare_wei(state: LaneState) -> int:
    return state.balance_wei - state.reserved_wei()


def _gwei(wei: int) -> str:
    return format_units(wei, 9)


def _ether(wei: int) -> str:
    return format_units(wei, 18, places=18)
