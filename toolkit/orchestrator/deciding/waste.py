"""What netting saved: pool fees and gas that agents would have paid, each on its own."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from toolkit.execution.planner import Ways, expected_gas
from toolkit.model.chain import Address
from toolkit.model.decision import Plan, Reading
from toolkit.model.errors import NoRoute
from toolkit.model.market import FundingKind, Hop, Route
from toolkit.model.units import PPM, div_ceil
from toolkit.orchestrator.capital.ledger import Share
from toolkit.orchestrator.market import Market


class Crossed(msgspec.Struct, frozen=True, kw_only=True):
    """What of an intent's wish changed hands inside, in units of its input token."""

    intent: str
    token_in: Address
    token_out: Address
    amount_in: int


def saved_wei(
    inside: Sequence[Crossed],
    pair: tuple[Address, Address] | None,
    shares: Sequence[Share],
    *,
    ways: Ways,
    market: Market,
    readings: Mapping[str, Reading],
) -> int:
    """Return the fees of the same amounts traded one intent at a time, minus those of the net leg.

    Each intent's wish of one pair counts as one trade: what it filled inside and its share of the
    leg. All trades take their best route at the same snapshot. Negative where the net leg needs a
    dearer pool than each of its parts.

    Args:
        inside: of the wishes that are settled with this leg.
        pair: the net leg's tokens; None if nothing went to the market.
        shares: whose the leg is.
        ways: over the pools as they were before any of these trades.
        market: to value fees.
        readings: that prices are taken from.
    """
    if not inside:
        return 0
    alone = _alone(inside, pair, shares)
    netted = 0
    if pair is not None:
        total = sum(share.amount_in for share in shares)
        netted = _fee_wei(ways, *pair, total, market, readings)
    unnetted = sum(
        _fee_wei(ways, token_in, token_out, amount, market, readings)
        for (_, token_in, token_out), amount in sorted(alone.items())
    )
    return unnetted - netted


def saved_gas(
    inside: Sequence[Crossed],
    shares: Sequence[Share],
    plan: Plan | None,
    *,
    ways: Ways,
    swap_tip_wei: int,
) -> int:
    """Return the gas units of the same trades planned one intent at a time, minus the plan's.

    What counts as a trade is as in `saved_wei`, and each takes its best route at the same snapshot;
    each would be a plan with own capital. Gas is as plans expect it, without approvals. Negative
    where the plan needs more hops than each of its parts.

    Args:
        inside: of the wishes that are settled with this plan.
        shares: whose the plan's route is.
        plan: what is executed of them; None if nothing is.
        ways: over the pools as they were before any of these trades.
        swap_tip_wei: the tip of each plan with own capital.
    """
    if plan is not None and plan.route.is_cycle:
        return 0
    pair = None if plan is None else (plan.route.token_in, plan.route.token_out)
    alone = _alone(inside, pair, shares)
    if len(alone) <= (plan is not None):
        return 0
    unnetted = 0
    for (_, token_in, token_out), amount in sorted(alone.items()):
        route = _route(ways, token_in, token_out, amount)
        if route is not None:
            unnetted += expected_gas(route, FundingKind.OWN, tip_wei=swap_tip_wei)
    if plan is None:
        return unnetted
    return unnetted - expected_gas(plan.route, plan.funding.kind, tip_wei=plan.tip_wei)


def _alone(
    inside: Sequence[Crossed], pair: tuple[Address, Address] | None, shares: Sequence[Share]
) -> dict[tuple[str, Address, Address], int]:
    """Put together what each intent would have traded on its own, by its tokens."""
    alone: dict[tuple[str, Address, Address], int] = {}
    for part in inside:
        key = (part.intent, part.token_in, part.token_out)
        alone[key] = alone.get(key, 0) + part.amount_in
    if pair is not None:
        for share in shares:
            alone[share.intent, *pair] = alone.get((share.intent, *pair), 0) + share.amount_in
    return alone


def fees_up(route: Route) -> int:
    """Return a route's pool fees in its input token, each hop's rounded up.

    A hop's fee is a part of what it takes, and that counts at what was paid for it: all that
    brings a token is one purchase, of which each hop that sells the token has its share by amount,
    rounded down, and the last the rest.
    """
    fees = 0
    paid, held = {route.token_in: route.amount_in}, {route.token_in: route.amount_in}
    for hop in _bought_first(route.hops):
        cost, has = paid.get(hop.token_in, 0), held.get(hop.token_in, 0)
        part = cost if hop.amount_in >= has else cost * hop.amount_in // has
        fees += div_ceil(part * hop.fee_ppm, PPM)
        paid[hop.token_in], held[hop.token_in] = cost - part, max(has - hop.amount_in, 0)
        paid[hop.token_out] = paid.get(hop.token_out, 0) + part
        held[hop.token_out] = held.get(hop.token_out, 0) + hop.amount_out
    return fees


def _bought_first(hops: Sequence[Hop]) -> Iterator[Hop]:
    """Give every hop after all that bring its token; within a circle, as they come."""
    waiting = list(hops)
    while waiting:
        brought = {hop.token_out for hop in waiting}
        ready = [hop for hop in waiting if hop.token_in not in brought] or waiting[:1]
        for hop in ready:
            waiting.remove(hop)
            yield hop


def _fee_wei(
    ways: Ways,
    token_in: Address,
    token_out: Address,
    amount_in: int,
    market: Market,
    readings: Mapping[str, Reading],
) -> int:
    """Value one trade's fees, rounded down; a trade that no pool takes would have paid none."""
    route = _route(ways, token_in, token_out, amount_in)
    if route is None:
        return 0
    return market.value_wei(token_in, fees_up(route), readings) or 0


def _route(ways: Ways, token_in: Address, token_out: Address, amount_in: int) -> Route | None:
    """Route a trade; None for nothing, and where no pools take it."""
    if amount_in == 0:
        return None
    try:
        return ways.route(token_in, token_out, amount_in)
    except NoRoute:
        return None
