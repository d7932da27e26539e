"""Run random plans on a field, one a block, and hold what happened against what was predicted."""

from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import NamedTuple

from msgspec import structs

from scripts.gas.draws import Walk, own, plan_of, routes, unit
from scripts.gas.field import OWNER, Field
from toolkit.devnet.protocols import WETH
from toolkit.model.chain import Address
from toolkit.model.decision import Plan
from toolkit.model.market import FundingKind, PoolKind
from toolkit.pools.snapshot import PoolSpec, Snapshot

_FAR = 6_000_000  # dollars


class Ran(NamedTuple):
    """A plan that was executed, on which states, and the gas that it used."""

    plan: Plan
    snapshot: Snapshot
    gas_used: int


def plans(rng: Random, snapshot: Snapshot, number: int) -> Iterator[Plan]:
    """Yield random plans on a snapshot, without end."""
    for route in routes(rng, snapshot):
        plan = plan_of(rng, route, snapshot, number)
        if plan is not None:
            yield plan


def predicted(plan: Plan) -> dict[Address, int]:
    """What a plan changes in its owner's balances of tokens, to the wei."""
    route = plan.route
    changes: dict[Address, int] = {}
    for hop in route.hops:
        changes[hop.token_in] = changes.get(hop.token_in, 0) - hop.amount_in
        changes[hop.token_out] = changes.get(hop.token_out, 0) + hop.amount_out
    changes[route.token_in] = changes.get(route.token_in, 0) - plan.funding.fee
    if plan.funding.kind is not FundingKind.OWN and route.token_out == WETH:
        changes[WETH] -= plan.tip_wei
    return {token: change for token, change in changes.items() if change}


async def warm(field: Field) -> None:
    """Trade in every pool back and forth: what pools and ticks count is seldom zero elsewhere."""
    for spec in field.specs:
        forth, back = spec.token0, spec.token1
        await _sell(field, spec, forth, 1_000 * unit(forth))
        await _sell(field, spec, back, 1_000 * unit(back))
        if spec.kind is PoolKind.CONCENTRATED:  # and over all ticks that plans may cross
            got = await _sell(field, spec, forth, _FAR * unit(forth))
            got = await _sell(field, spec, back, got + _FAR * unit(back))
            await _sell(field, spec, forth, got - _FAR * unit(forth))


async def _sell(field: Field, spec: PoolSpec, token: Address, amount: int) -> int:
    """Sell an amount in one pool; return what came out."""
    snapshot = await field.snapshot()
    walk = Walk(Random(0), snapshot, token, amount)  # noqa: S311 - there is nothing to draw
    walk.states = {spec.id: snapshot.pools[spec.id]}
    end = walk.swap(token, amount)
    await _run(field, own(walk.route(snapshot, end), snapshot))
    return walk.held[end]


async def _run(field: Field, plan: Plan) -> int:
    """Approve what a plan needs, run it on the block after, and hold it against its prediction."""
    if plan.funding.kind is FundingKind.OWN:
        await field.approve(plan.route.token_in, plan.route.amount_in)
        head = await field.node.head()
        plan = structs.replace(plan, target_block=head.number + 1, parent_hash=head.hash)
    before = await field.balances(OWNER)
    receipt = await field.execute(plan)
    after = await field.balances(OWNER)
    changes = {token: after[token] - before[token] for token in after}
    assert predicted(plan) == {t: c for t, c in changes.items() if c}, plan
    assert not any((await field.balances(field.executor)).values()), plan
    return receipt.gas_used


async def run_plans(field: Field, rng: Random, count: int) -> AsyncIterator[Ran]:
    """Draw and execute plans; each moves the market for the next.

    Raises:
        AssertionError: one reverted, or changed other balances than predicted.
    """
    for number in range(count):
        snapshot = await field.snapshot()
        plan = next(plans(rng, snapshot, number))
        yield Ran(plan, snapshot, await _run(field, plan))
