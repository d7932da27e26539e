"""Which plans of a block leave in one transaction, as the journal tells it."""

from collections.abc import Sequence

import msgspec

from toolkit.execution.merging import merged_gas_limit, merged_worst_gas_wei, pulls, together
from toolkit.execution.planner import PlanLimits
from toolkit.model.chain import Address
from toolkit.model.decision import Plan
from toolkit.model.tx import FeeQuote


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


def sendings(
    plans: Sequence[Plan], *, fee: FeeQuote, limits: PlanLimits
) -> tuple[tuple[Plan, ...], ...]:
    """Group a block's plans, best first, into what is sent at once."""
    return together(plans, fee=fee, max_gas=limits.max_gas, most=limits.max_merged)


def merged(plans: Sequence[Plan], fee: FeeQuote) -> Merged:
    """Tell of a group of several what is sent for all of it."""
    return Merged(
        verdicts=tuple(plan.verdict_id for plan in plans),
        gas_limit=merged_gas_limit(plans),
        worst_gas_wei=merged_worst_gas_wei(plans, fee),
        approvals=dict(pulls(plans)),
    )
