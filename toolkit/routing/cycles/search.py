"""The cycles that pay most: bounded search in floats, settled in the pools' own integers."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.model.market import PoolId
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.curves import Floats, Ints, Routable
from toolkit.routing.cycles.sizing import Path, path_of, size
from toolkit.routing.graph import Graph
from toolkit.routing.kernels.shapes import Ahead, Curves, Links, Rows, Weights

MAX_AMOUNT = 2**112 - 1
"""More than this goes into no pool of reserves that fit uint112."""
MAX_HOPS = 4

_ROOM = 64
# The first search is for what may pay this part of the most that could; each further one that too.
_PART = 4
_SMALLEST_PART = 1e-4
# Once what was known is used up, a search is for this part of the best that is left of it.
_NEXT = 0.75
# Prices are brought up after as many changes as this part of the pools.
_OLD = 16
# Profits are whole units, so what cannot exceed this does not pay.
_LEAST = 0.5
_ROUNDED = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What cycles cost, in the smallest units of their token.

    Attributes:
        each: (n_edges), and `once`: estimates that add up to no more than `exact`.
        once: of every cycle.
        exact: of a cycle through these pools.
    """

    each: Floats
    once: float
    exact: Callable[[Sequence[Routable]], int]

    @classmethod
    def none(cls, graph: Graph) -> "Costs":
        """Return the costs where nothing costs anything."""
        return cls(each=np.zeros(len(graph.edge_in)), once=0.0, exact=lambda _: 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """A cycle with its exact amounts, and what is left after costs."""

    path: Path
    amounts: tuple[int, ...]
    net: int

    @property
    def rank(self) -> tuple[int, int, tuple[PoolId, ...]]:
        """Sorts best first, whatever order pools came in."""
        return -self.net, len(self.path.pools), tuple(pool.id for pool in self.path.pools)


class _Row(NamedTuple):
    """A cycle that may pay: `most` is no less than it leaves; its edges."""

    most: float
    edges: tuple[int, ...]


class CycleSearch:
    """The best cycles of one token over a graph, and again after the graph has moved.

    After `graph.move` tell the places it returned to `move`; what is then asked looks only at
    cycles through those pools and at the best that it knew of the others, and answers what a new
    search would. Cycles pass no pool and no token twice.

    Args:
        graph: where to search. A token that it does not have is in no cycle.
        token: start and end.
        max_hops: at least 2.
        max_input: the most that may go in, in smallest units.
        costs: what cycles cost; nothing unless told.
    """

    def __init__(
        self,
        graph: Graph,
        token: Address,
        *,
        max_hops: int = MAX_HOPS,
        max_input: int = MAX_AMOUNT,
        costs: Costs | None = None,
    ) -> None:
        self._graph = graph
        self._token = token
        self._hops = max_hops
        self._max_input = max_input
        self._costs = costs or Costs.none(graph)
        place = bisect_left(graph.tokens, token)
        self._source = place if token in graph.tokens[place : place + 1] else -1
        self._prices: Floats = np.zeros(len(graph.tokens))
        self._weights = Weights(*np.zeros((4, len(graph.edge_in))))
        self._touched: Ints = np.zeros(len(graph.edge_in), dtype=np.int64)
        self._ahead = Ahead(*np.empty((2, 2, max_hops, len(graph.tokens))))
        self._rows: list[_Row] = []
        # No cycle but those of the rows leaves more than this; infinite before any search.
        self._floor = np.inf
        self._room = _ROOM
        self._moved = 0
        self._sized: dict[tuple[int, ...], tuple[int, ...] | None] = {}

    def best(self, limit: int = 1) -> tuple[Cycle, ...]:
        """Return up to `limit` cycles that pay, the one that leaves most first.

        Each is sized as if it were alone. Those that leave equally much come by fewer hops, then
        by the ids of their pools.
        """
        if self._source < 0:
            return ()
        if self._floor < np.inf:
            if self._touched.any():
                self._search_touched()
            found, settled = self._settle(limit)
            if settled:
                self._keep_fresh()
                return found
            # What is sought is in between; a little less soon will be.
            least = found[limit - 1].net if len(found) >= limit else self._floor
            most, asked = self._floor, least * _NEXT
        else:
            most = self._weigh_anew()
            asked = most / _PART
        asked = max(asked, _LEAST)
        while True:
            self._search_all(asked)
            found, settled = self._settle(limit)
            if settled:
                return found
            if self._floor > asked:
                self._room *= _PART
            else:
                asked = asked / _PART if asked > _SMALLEST_PART * most else 0.0
            if len(found) >= limit:
                asked = max(asked, found[limit - 1].net * (1 - _ROUNDED))
            asked = max(asked, _LEAST)

    def move(self, changed: Ints) -> None:
        """Take note of the pools that changed, by their places in the graph."""
        edges = np.concatenate((2 * changed, 2 * changed + 1))
        self._touched[edges] = 1
        self._moved += len(changed)
        if self._leads_on(edges):
            self._floor = np.inf
        if self._floor < np.inf:
            self._weigh(edges)
        self._sized = {
            path: amounts
            for path, amounts in self._sized.items()
            if not self._touched[list(path)].any()
        }

    def _leads_on(self, edges: Ints) -> bool:
        """Whether some of the edges trade between a token with a price and one without."""
        graph = self._graph
        traded = edges[graph.piece_start[edges] < graph.piece_stop[edges]]
        priced = self._prices > 0.0
        return bool((priced[graph.edge_in[traded]] != priced[graph.edge_out[traded]]).any())

    def _settle(self, limit: int) -> tuple[tuple[Cycle, ...], bool]:
        """Size rows until no other can be among the best; also whether none beyond them can."""
        found: list[Cycle] = []
        for row in self._rows:
            if len(found) >= limit and row.most * (1 + _ROUNDED) < found[limit - 1].net:
                break
            cycle = self._cycle(row.edges)
            if cycle is not None:
                found = sorted([*found, cycle], key=lambda one: one.rank)[:limit]
        enough = len(found) >= limit and found[limit - 1].net * (1 - _ROUNDED) >= self._floor
        return tuple(found), enough or self._floor <= _LEAST

    def _cycle(self, edges: tuple[int, ...]) -> Cycle | None:
        """A row in integers, None if it leaves nothing."""
        pools = [self._graph.pools[edge >> 1] for edge in edges]
        path = path_of(pools, self._token)
        if edges not in self._sized:
            self._sized[edges] = self._size(path, edges)
        amounts = self._sized[edges]
        if amounts is None:
            return None
        net = amounts[-1] - amounts[0] - self._costs.exact(pools)
        return Cycle(path=path, amounts=amounts, net=net) if net > 0 else None

    def _size(self, path: Path, edges: tuple[int, ...]) -> tuple[int, ...] | None:
        from toolkit.routing.kernels.cycles import size_path  # noqa: PLC0415 - numba at first use

        # A function of the pools alone, so that every search sizes alike.
        most = float(self._max_input)
        start, _, bend = size_path(np.array(edges), len(edges), most, self._curves())
        amount = size(path, int(start), max_input=self._max_input, bend=bend)
        return None if amount is None else path.amounts(amount)

    def _search_touched(self) -> None:
        """Drop the rows of touched pools, and find theirs anew."""
        kept = [row for row in self._rows if not self._touched[list(row.edges)].any()]
        found, self._floor = self._search(self._floor, must=1)
        self._take([*kept, *found])

    def _search_all(self, asked: float) -> None:
        found, self._floor = self._search(asked, must=0)
        self._take(found)

    def _take(self, rows: Sequence[_Row]) -> None:
        """Keep the best rows; their sizes are those found before, where pools did not change."""
        ordered = sorted(rows, reverse=True)
        self._rows = ordered[: self._room]
        if len(ordered) > self._room:
            self._floor = max(self._floor, ordered[self._room].most)
        self._touched[:] = 0
        known = {row.edges for row in self._rows}
        self._sized = {edges: at for edges, at in self._sized.items() if edges in known}

    def _search(self, asked: float, *, must: int) -> tuple[list[_Row], float]:
        """The rows above what is asked, and above what none beyond them can be."""
        from toolkit.routing.kernels.cycles import search  # noqa: PLC0415 - numba at first use

        self._complete()
        rows = Rows(np.empty(self._room), np.full((self._room, self._hops), -1, dtype=np.int64))
        floor = search(
            self._source,
            must,
            asked,
            self._costs.once,
            float(self._max_input),
            self._links(),
            self._curves(),
            self._weights,
            self._costs.each,
            self._touched,
            self._ahead,
            rows,
        )
        found = [
            _Row(float(rows.most[row]), tuple(int(edge) for edge in rows.path[row] if edge >= 0))
            for row in np.flatnonzero(np.isfinite(rows.most))
        ]
        return found, floor

    def _weigh_anew(self) -> float:
        """Estimate prices and weigh all edges; returns the most that any cycle can leave."""
        from toolkit.routing.kernels.prices import estimate_prices  # noqa: PLC0415 - as above

        links = self._links()
        estimate_prices(self._source, 0, links, self._curves(), self._prices)
        self._moved = 0
        self._weigh(np.arange(len(links.edge_in)))
        self._complete()
        start, stop = links.token_start[self._source : self._source + 2]
        first = links.out_edges[start:stop]
        ahead = self._ahead.worth[1, self._hops - 1, links.edge_out[first]]
        worth = self._weights.gains[first] - self._costs.each[first] + ahead
        return max(0.0, float(worth.max(initial=0.0)) - self._costs.once)

    def _keep_fresh(self) -> None:
        """Bring prices up once many pools moved: bounds grow loose with the age of prices."""
        from toolkit.routing.kernels.prices import estimate_prices  # noqa: PLC0415 - as above

        if self._moved * _OLD >= len(self._graph.pools):
            estimate_prices(self._source, 1, self._links(), self._curves(), self._prices)
            self._moved = 0
            self._weigh(np.arange(len(self._graph.edge_in)))

    def _weigh(self, edges: Ints) -> None:
        from toolkit.routing.kernels.cycles import weigh  # noqa: PLC0415 - as above

        weigh(edges, self._links(), self._curves(), self._prices, self._weights)

    def _complete(self) -> None:
        from toolkit.routing.kernels.cycles import complete  # noqa: PLC0415 - as above

        complete(
            self._source,
            self._links(),
            self._weights,
            self._costs.each,
            self._touched,
            self._ahead,
        )

    def _links(self) -> Links:
        graph = self._graph
        return Links(graph.token_start, graph.out_edges, graph.edge_in, graph.edge_out)

    def _curves(self) -> Curves:
        graph = self._graph
        return Curves(graph.keep, graph.piece_start, graph.piece_stop, graph.pieces)


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache, by searching two pools twice."""
    tokens = [Address(f"0x{number:040x}") for number in (1, 2)]
    pools = [
        ConstantProduct(
            id=Address(f"0x{number:040x}"),
            token0=tokens[0],
            token1=tokens[1],
            reserve0=number * 10**20,
            reserve1=10**20,
        )
        for number in (3, 4)
    ]
    head = Head(
        number=0,
        hash=ZERO_HASH,
        parent_hash=ZERO_HASH,
        timestamp=0,
        base_fee_per_gas=0,
        gas_limit=0,
        gas_used=0,
    )
    taken = Snapshot(block=head, tokens={}, pools={pool.id: pool for pool in pools})
    search = CycleSearch(Graph(taken), tokens[0])
    search.best()
    search.move(np.array([0, 1]))
    search.best()
