"""What a scheduler tells about itself, as values."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import ToolkitError
from toolkit.model.tx import Cancelled, Confirmed, Expired, Outcome, Replaced, Reverted
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
    """Counts since start, by end; `open` requests have none yet, or none that is on disk."""

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


def kind_of(end: Outcome | ToolkitError) -> str:
    """What an end is counted as."""
    return "failed" if isinstance(end, ToolkitError) else type(end).__name__


def collect(counts: Counter[str], runners: Iterable[LaneRunner]) -> SchedulerStatistics:
    """Put counters and lanes together."""
    running = tuple(runners)
    lanes = tuple(_lane(runner) for runner in running)
    mined = sum(len(runner.state.due) for runner in running)
    return SchedulerStatistics(
        accepted=counts["accepted"],
        open=sum(lane.queued + lane.in_flight for lane in lanes) + mined + counts["untold"],
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
