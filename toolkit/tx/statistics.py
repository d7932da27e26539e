"""What a scheduler tells about itself, as values."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from toolkit.model.chain import Address
from toolkit.model.tx import Cancelled, Confirmed, Expired, Replaced, Reverted
from toolkit.tx.progress import why_waiting
from toolkit.tx.runner import LaneRunner


class LaneStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One sender's lane as it stands; `chain_nonce` is the chain's count of the account.

    `reserved_wei` is what everything unspent may cost together: nobody else may promise it.
    `waiting` tells why what comes first does not go on, `halted` why the lane sends nothing until
    it is resumed; each is "" where there is no such reason.
    """

    sender: Address
    chain_nonce: int
    queued: int
    in_flight: int
    leases: int
    reserved_wei: int
    broadcasts: int
    waiting: str = ""
    halted: str = ""


class SchedulerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since start, by end; `open` requests have none yet."""

    accepted: int
    open: int
    confirmed: int
    reverted: int
    expired: int
    cancelled: int
    replaced: int
    failed: int
    reopened: int
    lanes: tuple[LaneStatistics, ...]


def collect(counts: Counter[str], runners: Iterable[LaneRunner]) -> SchedulerStatistics:
    """Put counters and lanes together."""
    lanes = tuple(_lane(runner) for runner in runners)
    return SchedulerStatistics(
        accepted=counts["accepted"],
        open=sum(lane.queued + lane.in_flight for lane in lanes),
        confirmed=counts[Confirmed.__name__],
        reverted=counts[Reverted.__name__],
        expired=counts[Expired.__name__],
        cancelled=counts[Cancelled.__name__],
        replaced=counts[Replaced.__name__],
        failed=counts["failed"],
        reopened=counts["reopened"],
        lanes=lanes,
    )


def _lane(runner: LaneRunner) -> LaneStatistics:
    state = runner.state
    return LaneStatistics(
        sender=state.lane,
        chain_nonce=state.nonce,
        queued=len(state.queued()),
        in_flight=len(state.in_flight()),
        leases=len(state.leases),
        reserved_wei=state.reserved_wei(),
        broadcasts=runner.broadcasts,
        waiting="" if state.halted else why_waiting(state),
        halted=state.halted,
    )
