"""What netting saved: pool fees and gas that agents would have paid, each on its own."""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.execution.planner import expected_gas
from toolkit.model.chain import Address
from toolkit.model.decision import Plan, Reading
from toolkit.model.errors import NoRoute
from toolkit.model.market import FundingKind, Route
from toolkit.model.units import PPM
from toolkit.orchestrator.capital.ledger import Share
from toolkit.orchestrator.market import Market
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.router import Router


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
    snapshot: Snapshot,
    market: Market,
    readings: Mapping[str, Reading],
) -> int:
    """Return the fees of the same amounts traded one intent at a time, minus those of the net leg.

    Each intent's wish of one pair counts as one trade: what it filled inside and its share of the
    leg. All trades take their best path at the same snapshot. Negative where the net leg needs a
    dearer pool than each of its parts.

    Args:
        inside: of the wishes that are settled with this leg.
        pair: the net leg's tokens; None if nothing went to the market.
        shares: whose the leg is.
        snapshot: the pools, before any of these trades.
        market: to value fees.
        readings: that prices are taken from.
    """
    if not inside:
        return 0
    alone = _alone(inside, pair, shares)
    router = Router(snapshot, native=market.wrapped)
    netted = 0
    if pair is not None:
        total = sum(share.amount_in for share in shares)
        netted = _fee_wei(router, *pair, total, market, readings)
    unnetted = sum(
        _fee_wei(router, token_in, token_out, amount, market, readings)
        for (_, token_in, token_out), amount in sorted(alone.items())
    )
    return unnetted - netted


def saved_gas(
    inside: Sequence[Crossed],
    shares: Sequence[Share],
    plan: Plan | None,
    *,
    snapshot: Snapshot,
    market: Market,
    swap_tip_wei: int,
    swap_hops: int,
) -> int:
    """Return the gas units of the same trades planned one intent at a time, minus the plan's.

    What counts as a trade is as in `saved_wei`, and each takes its best path at the same snapshot;
    each would be a plan with own capital. Gas is as plans expect it, without approvals. Negative
    where the plan needs more hops than each of its parts.

    Args:
        inside: of the wishes that are settled with this plan.
        shares: whose the plan's route is.
        plan: what is executed of them; None if nothing is.
        snapshot: the pools, before any of these trades.
        market: names the native token.
        swap_tip_wei: the tip of each plan with own capital.
        swap_hops: through how many pools one may go.
    """
    if plan is not None and plan.route.is_cycle:
        return 0
    pair = None if plan is None else (plan.route.token_in, plan.route.token_out)
    alone = _alone(inside, pair, shares)
    if len(alone) <= (plan is not None):
        return 0
    router = Router(snapshot, native=market.wrapped)
    unnetted = 0
    for (_, token_in, token_out), amount in sorted(alone.items()):
        route = _path(router, token_in, token_out, amount, hops=swap_hops)
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


def fee_of(amount_in: int, fees_ppm: Sequence[int]) -> int:
    """Return a path's pool fees in its input token: each hop's share of the input, rounded up."""
    return sum(-(-amount_in * fee // PPM) for fee in fees_ppm)


def _fee_wei(
    router: Router,
    token_in: Address,
    token_out: Address,
    amount_in: int,
    market: Market,
    readings: Mapping[str, Reading],
) -> int:
    """Value one trade's fees; a trade that no pool takes would have paid none."""
    route = _path(router, token_in, token_out, amount_in)
    if route is None:
        return 0
    fee = fee_of(amount_in, [hop.fee_ppm for hop in route.hops])
    return market.value_wei(token_in, fee, readings) or 0


def _path(
    router: Router, token_in: Address, token_out: Address, amount_in: int, *, hops: int = 2
) -> Route | None:
    """Find a trade's best path; None for nothing, and where no pool takes it."""
    if amount_in == 0:
        return None
    try:
        return router.path(token_in, token_out, amount_in, max_hops=hops)
    except NoRoute:
        return None
