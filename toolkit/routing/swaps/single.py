"""The best single path of a swap, in exact integers."""

from collections.abc import Iterator, Sequence

import numpy as np

from toolkit.model.errors import PoolError
from toolkit.routing.curves import Routable
from toolkit.routing.graph import Graph
from toolkit.routing.swaps.mesh import SOURCE, TARGET, Mesh
from toolkit.routing.swaps.settler import Plan
from toolkit.routing.swaps.shares import Filled

_SURELY = 1 + 1e-7  # what estimates may lack
_ROUNDS = 16
_DOUBLINGS = 64

_Reached = tuple[int, tuple[Filled, ...]]


class SinglePaths:
    """Paths through a mesh of up to so many hops, no token twice.

    Estimates say what each edge could give at best as the last of a path; exact quotes are asked
    for from the top, until no estimate is left that could still do better.
    """

    def __init__(self, graph: Graph, mesh: Mesh, max_hops: int) -> None:
        self._graph = graph
        self._mesh = mesh
        self._hops = max_hops
        self._into = [
            mesh.into[mesh.into_start[token] : mesh.into_start[token + 1]].tolist()
            for token in range(len(mesh.token))
        ]
        self._edge: list[int] = mesh.edge.tolist()
        self._tail: list[int] = mesh.tail.tolist()

    def best(self, amount: int) -> Plan | None:
        """Return the path that gives the most for exactly `amount`, None if none takes it."""
        from toolkit.routing.kernels.split import walk_paths  # noqa: PLC0415 - numba

        most = np.zeros((self._hops + 1, len(self._mesh.token)))
        through = np.zeros((self._hops, len(self._edge)))
        walk_paths(self._mesh, float(amount), most, through)
        seen: dict[tuple[int, int], _Reached | None] = {(0, SOURCE): (amount, ())}
        found: _Reached | None = None
        for hop in range(1, self._hops + 1):
            if found is None or most[hop, TARGET] * _SURELY + 1 > found[0]:
                found = _better(found, self._reached(hop, TARGET, through.tolist(), seen))
        return None if found is None else Plan(found[1], amount, found[0])

    def bought(self, amount_out: int, start: int, most: int) -> Plan | None:
        """Return the path that needs the least to give `amount_out`, None if none gives it.

        Of the path that gives the most for an input, the least input for `amount_out` is asked;
        for that input another path may give more, and so on until none does.
        """
        plan = self.best(start)
        for _ in range(_DOUBLINGS):
            if start >= most or (plan is not None and plan.amount_out >= amount_out):
                break
            start = min(2 * start, most)
            plan = self.best(start)
        if plan is None or plan.amount_out < amount_out:
            return None
        for _ in range(_ROUNDS):
            need = self._needed(plan.fills, amount_out)
            if need is None or need >= plan.amount_in:
                break
            cheaper = self.best(need)
            if cheaper is None or cheaper.amount_out < amount_out:
                break
            plan = cheaper
        return plan

    def _reached(
        self,
        hop: int,
        token: int,
        through: Sequence[Sequence[float]],
        seen: dict[tuple[int, int], _Reached | None],
    ) -> _Reached | None:
        """The most of a token after so many hops, and how."""
        if (hop, token) in seen or hop == 0:
            return seen.get((hop, token))
        estimates = through[hop - 1]
        found: _Reached | None = None
        for edge in sorted(self._into[token], key=lambda edge: -estimates[edge]):
            if not estimates[edge] or (found and estimates[edge] * _SURELY + 1 < found[0]):
                break
            before = self._reached(hop - 1, self._tail[edge], through, seen)
            if before is not None:
                further = self._further(before, self._edge[edge])
                found = _better(found, further)
                if further is None and hop > 1:  # what gives less may be what it can take
                    for less in self._arrivals(hop - 1, self._tail[edge], seen[0, SOURCE]):
                        found = _better(found, self._further(less, self._edge[edge]))
        seen[hop, token] = found
        return found

    def _arrivals(self, hop: int, token: int, start: _Reached | None) -> Iterator[_Reached]:
        """Every path of so many hops to a token."""
        if hop == 0:
            if token == SOURCE and start is not None:
                yield start
            return
        for edge in self._into[token]:
            for before in self._arrivals(hop - 1, self._tail[edge], start):
                further = self._further(before, self._edge[edge])
                if further is not None:
                    yield further

    def _further(self, before: _Reached, edge: int) -> _Reached | None:
        amount, fills = before
        graph = self._graph
        target = graph.edge_out[edge]
        if any(graph.edge_in[passed] == target for passed, *_ in fills):
            return None
        given = _all_in(graph.pools[edge >> 1], graph, edge, amount)
        return (given, (*fills, (edge, amount, given))) if given else None

    def _needed(self, fills: Sequence[Filled], amount: int) -> int | None:
        """The least input of a path for an output, by the contracts' own quotes backwards."""
        for edge, *_ in reversed(fills):
            pool = self._graph.pools[edge >> 1]
            try:
                amount = pool.quote_out(self._graph.tokens[self._graph.edge_out[edge]], amount)
            except PoolError:  # safe because None says that so much cannot be bought
                return None
        return amount


def _all_in(pool: Routable, graph: Graph, edge: int, amount: int) -> int:
    """What a pool gives for all of an amount; 0 if it does not take it."""
    try:
        taken, given = pool.fill_in(graph.tokens[graph.edge_in[edge]], amount)
    except PoolError:  # safe because 0 says that it is no way
        return 0
    return given if taken == amount else 0


def _better(one: _Reached | None, other: _Reached | None) -> _Reached | None:
    """The greater amount, then fewer hops, then the lower edges."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=_rank)


def _rank(reached: _Reached) -> tuple[int, int, tuple[int, ...]]:
    amount, fills = reached
    return -amount, len(fills), tuple(edge for edge, *_ in fills)
