"""Which plans of a block leave in one transaction, as the journal tells it."""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from toolkit.execution.merging import (
    merged_gas_limit,
    merged_worst_gas_wei,
    pulls,
    swaps_own_capital,
    together,
)
from toolkit.execution.planner import PlanLimits
from toolkit.model.chain import Address
from toolkit.model.decision import Fill, Plan
from toolkit.model.market import PoolId
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.block import Sitting
from toolkit.orchestrator.records import Planned


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts that are carried out in one transaction, in order of their standing.

    `gas_limit` and `worst_gas_wei` (approvals, fee cap and tips counted) are of the whole, and
    within what its parts have reserved; `approvals` is what the executor may take, in smallest
    units by token.
    """

    verdicts: tuple[str, ...]
    gas_limit: int
    worst_gas_wei: int
    approvals: dict[Address, int]


def contested(settled: Iterable[tuple[Fill, Planned | None]]) -> frozenset[PoolId]:
    """Name the pools of own swaps that did not land, as of the block in which that is known.

    Somebody may be quicker there, so what is exact for the parent is not to be had in the block.
    """
    return frozenset(
        hop.pool
        for fill, planned in settled
        if planned is not None and not fill.landed and swaps_own_capital(planned.plan)
        for hop in planned.plan.route.hops
    )


def sendings(
    plans: Sequence[Plan],
    *,
    fee: FeeQuote,
    limits: PlanLimits,
    pools: Collection[PoolId] = (),
    turn: int = 0,
) -> tuple[tuple[Plan, ...], ...]:
    """Group a block's plans, best first, into what is sent at once.

    A swap through one of the contested `pools` would take all that shares its transaction with it,
    so it goes alone and last; of several such a different one is first at each `turn`, because a
    later one stands on the nonces of those before it.
    """
    apart = [
        plan
        for plan in plans
        if swaps_own_capital(plan) and any(hop.pool in pools for hop in plan.route.hops)
    ]
    calm = [plan for plan in plans if plan not in apart]
    first = turn % len(apart) if apart else 0
    return (
        *together(calm, fee=fee, max_gas=limits.max_gas, most=limits.max_merged),
        *((plan,) for plan in (*apart[first:], *apart[:first])),
    )


def grouped(
    planned: Sequence[Planned], now: Sitting, limits: PlanLimits
) -> tuple[tuple[Plan, ...], ...]:
    """Group a block's plans by what is known of it, and journal every group of several."""
    fee, plans = now.seen.fee, [one.plan for one in planned]
    if len(plans) == 1:
        return (tuple(plans),)
    groups = sendings(
        plans,
        fee=fee,
        limits=limits,
        pools=contested(now.settled),
        turn=now.seen.head.number,
    )
    for group in groups:
        if len(group) > 1:
            cause = f"plan/{group[0].verdict_id}"
            now.note(records.MERGED, merged(group, fee), cause=cause)
    return groups


def merged(plans: Sequence[Plan], fee: FeeQuote) -> Merged:
    """Tell of a group of several what is sent for all of it."""
    return Merged(
        verdicts=tuple(plan.verdict_id for plan in plans),
        gas_limit=merged_gas_limit(plans),
        worst_gas_wei=merged_worst_gas_wei(plans, fee),
        approvals=dict(pulls(plans)),
    )
