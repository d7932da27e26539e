"""Every cycle of constant product pools, one after the other, compiled: a peer without bounds."""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from toolkit.pools.constant_product import ConstantProduct
from toolkit.routing.graph import Graph

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Enumeration:
    """The pools of a graph as arrays, and the best cycle from one of its tokens."""

    def __init__(self, graph: Graph, source: int) -> None:
        into, out = np.empty((2, len(graph.edge_in)))
        for place, pool in enumerate(graph.pools):
            assert isinstance(pool, ConstantProduct)
            into[2 * place], out[2 * place] = pool.reserve0, pool.reserve1
            into[2 * place + 1], out[2 * place + 1] = pool.reserve1, pool.reserve0
        order = graph.out_edges
        self._arrays = (
            graph.token_start,
            order,
            graph.edge_out[order],
            (graph.keep * out / into)[order],
            (graph.keep / into)[order],
        )
        self._source = source

    def best(self, hops: int) -> tuple[int, float, float, tuple[int, ...]]:
        """Return how many cycles there are, and profit, input and edges of the best in floats."""
        path = np.full(hops, -1, dtype=np.int64)
        count, profit, amount = _enumerate(self._source, hops, *self._arrays, path)
        return count, profit, amount, tuple(int(edge) for edge in path if edge >= 0)


@njit(cache=True)  # type: ignore[untyped-decorator] # numba has no types
def _enumerate(
    source: int,
    hops: int,
    start: Ints,
    edges: Ints,
    target: Ints,
    rates: Floats,
    bends: Floats,
    best_path: Ints,
) -> tuple[int, float, float]:
    """Depth first, each cycle sized where its rate has fallen to 1."""
    seen = np.zeros(start.shape[0] - 1, np.bool_)
    node, at = np.full(hops, source), np.full(hops, start[source])
    path = np.full(hops, -1)
    rate, bend = np.ones(hops), np.zeros(hops)
    count, best, best_amount, depth = 0, 0.0, 0.0, 0
    while depth >= 0:
        if at[depth] == start[node[depth] + 1]:
            seen[node[depth]] = False
            depth -= 1
            continue
        place = at[depth]
        at[depth] += 1
        other = target[place]
        after = rate[depth] * rates[place]
        bent = bend[depth] + rate[depth] * bends[place]
        path[depth] = edges[place]
        if other == source:
            if depth == 0 or (depth == 1 and path[0] ^ 1 == path[1]):
                continue
            count += 1
            if after > 1.0:
                root = math.sqrt(after)
                profit = (root - 1.0) * (root - 1.0) / bent
                if profit > best:
                    best, best_amount = profit, (root - 1.0) / bent
                    best_path[:] = -1
                    best_path[: depth + 1] = path[: depth + 1]
        elif depth + 1 < hops and not seen[other]:
            depth += 1
            seen[other] = True
            node[depth], at[depth], rate[depth], bend[depth] = other, start[other], after, bent
    return count, best, best_amount
