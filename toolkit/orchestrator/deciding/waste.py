"""What netting saved: the pool fees that a conflict's agents would have paid, each on its own."""

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.model.chain import Address
from toolkit.model.decision import Reading
from toolkit.model.errors import NoRoute
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
    alone: dict[tuple[str, Address, Address], int] = {}
    for part in inside:
        key = (part.intent, part.token_in, part.token_out)
        alone[key] = alone.get(key, 0) + part.amount_in
    router = Router(snapshot, native=market.wrapped)
    netted = 0
    if pair is not None:
        for share in shares:
            alone[share.intent, *pair] = alone.get((share.intent, *pair), 0) + share.amount_in
        total = sum(share.amount_in for share in shares)
        netted = _fee_wei(router, *pair, total, market, readings)
    unnetted = sum(
        _fee_wei(router, token_in, token_out, amount, market, readings)
        for (_, token_in, token_out), amount in sorted(alone.items())
    )
    return unnetted - netted


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
    if amount_in == 0:
        return 0
    try:
        route = router.swap(token_in, token_out, amount_in)
    except NoRoute:
        return 0
    fee = fee_of(amount_in, [hop.fee_ppm for hop in route.hops])
    return market.value_wei(token_in, fee, readings) or 0
