"""Several swaps of one block as one transaction: what goes together, what it needs, whose it was.

Only swaps with own capital merge: on the parent they were computed on, the chain either gives every
one its exact amounts or undoes all of them. A flash-funded cycle stays apart, because a rival may
take it away, and it would take the swaps with it. Pure.
"""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.execution.planner import (
    APPROVE_GAS,
    MOST_APPROVALS,
    expected_gas,
    paid_tip_wei,
    worst_gas_wei,
)
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import ConfigError
from toolkit.model.market import FundingKind
from toolkit.model.tx import FeeQuote
from toolkit.model.units import split


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One token of a merged transaction: what it takes from the owner, and what it returns."""

    token: Address
    pull: int
    minimum: int


def assets(plans: Sequence[Plan]) -> tuple[Asset, ...]:
    """Return every token that the plans touch, one after the other, by address.

    What an earlier hop has bought a later one spends, so that only the rest is pulled.
    """
    held: dict[Address, int] = {}
    pulled: dict[Address, int] = {}
    for plan in plans:
        for hop in plan.route.hops:
            left = held.get(hop.token_in, 0) - hop.amount_in
            pulled[hop.token_in] = pulled.get(hop.token_in, 0) + max(-left, 0)
            held[hop.token_in] = max(left, 0)
            held[hop.token_out] = held.get(hop.token_out, 0) + hop.amount_out
    return tuple(
        Asset(token=token, pull=pulled.get(token, 0), minimum=amount)
        for token, amount in sorted(held.items())
    )


def pulls(plans: Sequence[Plan]) -> tuple[tuple[Address, int], ...]:
    """Return what must be approved: of each token exactly what will be taken."""
    if len(plans) == 1:
        (plan,) = plans
        own = plan.funding.kind is FundingKind.OWN
        return ((plan.funding.token, plan.funding.amount),) if own else ()
    return tuple((asset.token, asset.pull) for asset in assets(plans) if asset.pull)


def expected_changes(plan: Plan) -> dict[Address, int]:
    """Return what a swap with own capital changes in its owner's balances, tip and gas aside."""
    route = plan.route
    return {route.token_in: -route.amount_in, route.token_out: route.amount_out}


def merged_gas_limit(plans: Sequence[Plan]) -> int:
    """Return the gas limit of the one transaction: no part has less than it has alone."""
    return sum(plan.gas_limit for plan in plans)


def merged_worst_gas_wei(plans: Sequence[Plan], fee: FeeQuote) -> int:
    """Native token that the merged form may need at worst; as `worst_gas_wei` of each alone."""
    approvals = MOST_APPROVALS * APPROVE_GAS * len(pulls(plans))
    gas = merged_gas_limit(plans) + approvals
    return gas * fee.max_fee_per_gas + sum(paid_tip_wei(plan) for plan in plans)


def together(
    plans: Sequence[Plan], *, fee: FeeQuote, max_gas: int, most: int
) -> tuple[tuple[Plan, ...], ...]:
    """Group a block's plans, in order, into what goes in one transaction each.

    A group holds at most `most` swaps with own capital on one parent, no pool twice, within
    `max_gas`, and needs at worst no more than its parts have reserved. It stands where its first
    plan stood.
    """
    if len(plans) == 1:
        return (tuple(plans),)
    groups: list[list[Plan]] = []
    for plan in plans:
        open_to = (group for group in groups if len(group) < most)
        fitting = next((group for group in open_to if _fits(plan, group, max_gas)), None)
        if fitting is None:
            groups.append([plan])
        else:
            fitting.append(plan)
    for group in (one for one in groups if len(one) > 1):
        assert merged_worst_gas_wei(group, fee) <= sum(worst_gas_wei(plan, fee) for plan in group)
    return tuple(tuple(group) for group in groups)


def require_mergeable(plans: Sequence[Plan]) -> None:
    """Refuse what must not share a transaction.

    Raises:
        ConfigError: fewer than two plans, borrowed capital, a cycle, another block, a shared pool.
    """
    names = ", ".join(plan.verdict_id for plan in plans)
    if len(plans) < 2 or not all(map(swaps_own_capital, plans)):  # noqa: PLR2004 - one is alone
        raise ConfigError(f"only several swaps with own capital share a transaction, not {names}")
    if any(plan.loans for plan in plans):
        raise ConfigError(f"one of plans {names} needs loans of several tokens: send it alone")
    if len({(plan.target_block, plan.parent_hash) for plan in plans}) > 1:
        raise ConfigError(f"plans {names} are not for one block on one parent")
    pools = [pool for plan in plans for pool in {hop.pool for hop in plan.route.hops}]
    if len(set(pools)) < len(pools):
        raise ConfigError(f"plans {names} trade in one pool: each was computed without the other")


def attributed(plans: Sequence[Plan], whole: Fill) -> tuple[Fill, ...]:
    """Divide what one transaction did among its plans, to the wei, as a fill of each.

    Gas is shared in proportion to what each was expected to use alone; a tip is its plan's own. Of
    the tokens each gets what its route says; what the chain gave beside that, which is nothing on
    the planned parent, is shared in proportion too.
    """
    weights = [expected_gas(p.route, p.funding.kind, tip_wei=p.tip_wei) for p in plans]
    gas = split(whole.gas_fee_wei, weights)
    tips = [plan.tip_wei if whole.landed else 0 for plan in plans]
    books: list[dict[str, int]] = [
        {str(t): c for t, c in expected_changes(plan).items()} if whole.landed else {}
        for plan in plans
    ]
    for book, fee_wei, tip_wei in zip(books, gas, tips, strict=True):
        book[ZERO_ADDRESS] = -fee_wei - tip_wei
    for token, change in sorted(_beside(whole.changes, books).items()):
        for book, part in zip(books, split(change, _stakes(token, books, weights)), strict=True):
            book[token] = book.get(token, 0) + part
    return tuple(
        msgspec.structs.replace(
            whole,
            verdict_id=plan.verdict_id,
            agents=plan.agents,
            changes={token: change for token, change in sorted(book.items()) if change},
            predicted_out=plan.minimum_profit,
            realised_out=book.get(plan.route.token_out, 0),
            gas_fee_wei=fee_wei,
            tip_wei=tip_wei,
            together=tuple(one.verdict_id for one in plans),
        )
        for plan, book, fee_wei, tip_wei in zip(plans, books, gas, tips, strict=True)
    )


def swaps_own_capital(plan: Plan) -> bool:
    """Whether a plan spends what is ours and cannot be taken away: no loan, and no cycle."""
    return plan.funding.kind is FundingKind.OWN and not plan.route.is_cycle


def _fits(plan: Plan, group: Sequence[Plan], max_gas: int) -> bool:
    whole = [*group, plan]
    try:
        require_mergeable(whole)
    except ConfigError:
        return False
    return merged_gas_limit(whole) <= max_gas


def _beside(changes: Mapping[str, int], books: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return what changed and no book explains."""
    tokens = {*changes, *(token for book in books for token in book)}
    left = {t: changes.get(t, 0) - sum(book.get(t, 0) for book in books) for t in tokens}
    return {token: change for token, change in left.items() if change}


def _stakes(token: str, books: Sequence[Mapping[str, int]], weights: Sequence[int]) -> list[int]:
    """Weigh the books by what each has of a token; by gas where none has any."""
    stakes = [abs(book.get(token, 0)) for book in books]
    return stakes if any(stakes) and token != ZERO_ADDRESS else list(weights)
