"""What a route does to the pools it goes through, in their own integers."""

import math
from collections.abc import Iterable

from toolkit.model.errors import PoolError
from toolkit.model.market import Hop, PoolId, Route
from toolkit.perception.prices import PriceSource
from toolkit.pools.snapshot import Pool, Snapshot


def after_hops(snapshot: Snapshot, hops: Iterable[Hop]) -> dict[PoolId, Pool]:
    """Return the pools that the hops go through as they leave them.

    Raises:
        PoolError: a hop's pool, tokens or amounts are not what its contract would do.
    """
    after: dict[PoolId, Pool] = {}
    for hop in hops:
        pool = after.get(hop.pool) or snapshot.pool(hop.pool)
        amount_out, after[hop.pool] = pool.swap_in(hop.token_in, hop.amount_in)
        if amount_out != hop.amount_out:
            raise PoolError(f"pool {hop.pool}: amount_out: {hop.amount_out} is not {amount_out}")
    return after


def route_defect(snapshot: Snapshot, route: Route) -> str:
    """Say where a route is not what its pools would do at this snapshot; "" if it is."""
    if not snapshot.gives(route.hops):
        try:
            after_hops(snapshot, route.hops)
        except PoolError as error:
            return str(error)
    held = {route.token_in: route.amount_in}
    for hop in route.hops:
        if held.get(hop.token_in, 0) < hop.amount_in:
            return f"route spends more of {hop.token_in} than it has"
        held[hop.token_in] -= hop.amount_in
        held[hop.token_out] = held.get(hop.token_out, 0) + hop.amount_out
    if held.pop(route.token_out, 0) != route.amount_out or any(held.values()):
        return "route does not end with its amount_out and nothing else"
    return ""


def log_moves(snapshot: Snapshot, route: Route, sources: Iterable[PriceSource]) -> dict[str, float]:
    """Return the signed change of the log of each price whose pool a route goes through."""
    touched = {hop.pool for hop in route.hops}
    priced = [source for source in sources if source.pool in touched]
    pools = {source.pool for source in priced}
    moved = after_hops(snapshot, [hop for hop in route.hops if hop.pool in pools])
    return {
        source.key: math.log(
            moved[source.pool].mid_price(source.base) / snapshot.mid_price(source.pool, source.base)
        )
        for source in priced
    }
