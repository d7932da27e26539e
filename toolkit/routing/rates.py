"""Prices before any swap: what the first unit into an edge or a path gives, at most.

A pool gives less for each further one, so that these bound what any amount is worth.
"""

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.routing.curves import Floats, Ints, keep
from toolkit.routing.cycles.sizing import Path
from toolkit.routing.graph import Graph

_OFF = 1e-9  # what floats can be off, of a price, and more
_AT_LEAST = 1 - _OFF


def first_rates(graph: Graph, edges: Ints) -> Floats:
    """What the first unit into each of some edges gives at most; 0 where nothing comes out."""
    first = np.minimum(graph.piece_start[edges], len(graph.pieces) - 1)
    x, y = graph.pieces[first, 2], graph.pieces[first, 3]
    used = graph.piece_stop[edges] > graph.piece_start[edges]
    return np.where(used, graph.keep[edges] * y / np.where(used, x, 1.0), 0.0)


def least_per_wei(graph: Graph, token: Address, native: Address) -> float:
    """What no wei of gas costs less than, in the token's units.

    Not by exact quotes: one unit of a coarse token on the way may pay for twice the gas.
    """
    if token == native:
        return 1.0
    source, target = (bisect_left(graph.tokens, one) for one in (token, native))
    paying, buying = (
        graph.out_edges[graph.token_start[at] : graph.token_start[at + 1]]
        for at in (source, target)
    )
    wei = np.zeros(len(graph.tokens))  # of gas that a unit of each token buys at most
    np.maximum.at(wei, graph.edge_out[buying], first_rates(graph, buying ^ 1))
    through = first_rates(graph, paying) * wei[graph.edge_out[paying]]
    most = max(float(wei[source]), float(through.max(initial=0.0)))
    return _AT_LEAST / most if most else 0.0


def best_rate(paths: Iterable[Path]) -> float:
    """What no unit into any of these paths gives more than; 0.0 where nothing comes out."""
    return max(map(_first_rate, paths), default=0.0) * (1 + _OFF)


def _first_rate(path: Path) -> float:
    rate = 1.0
    for pool, token in zip(path.pools, path.tokens, strict=False):
        try:
            rate *= pool.mid_price(token) * keep(pool, forward=token == pool.token0)
        except PoolError:  # safe because a pool without liquidity gives nothing for anything
            return 0.0
    return rate
