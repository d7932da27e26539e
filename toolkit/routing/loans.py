"""What a route must borrow: of each token what it spends before a hop has brought it; pure."""

from collections.abc import Mapping

from toolkit.model.chain import Address
from toolkit.model.market import FundingKind, Loan, Route


def shortages(route: Route) -> dict[Address, int]:
    """Return how much of each token is missing at the worst, if only the input is at hand.

    A route in an order that executes misses nothing, and none may miss its own input.
    """
    held = {route.token_in: route.amount_in}
    missing: dict[Address, int] = {}
    for hop in route.hops:
        left = held.get(hop.token_in, 0) - hop.amount_in
        if left < 0:
            missing[hop.token_in] = max(missing.get(hop.token_in, 0), -left)
        held[hop.token_in] = left
        held[hop.token_out] = held.get(hop.token_out, 0) + hop.amount_out
    return missing


def loans_for(route: Route, missing: Mapping[Address, int], kind: FundingKind) -> tuple[Loan, ...]:
    """Return all that a vault lends to a route by rising token; nothing where it misses nothing.

    Beside own capital that is what is missing; the vault that lends the input lends both at once.
    """
    if not missing:
        return ()
    lent = dict(missing)
    if kind is not FundingKind.OWN:
        lent[route.token_in] = route.amount_in
    return tuple(Loan(token=token, amount=lent[token]) for token in sorted(lent))
