"""Second derivatives of what pools earn, as a sparse system between the tokens they connect."""

import numpy as np

from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph

# Pools that were in the pattern and are not used now cost some fill, a new pattern costs more.
_STALE = 1.1
# Part of a token's own stiffness. Tokens that only trade among each other move together, and what
# holds them has to stay above the rounding of what they hold each other with.
_LOOSE = 1e-11


class Laplacian:
    """A system H + a rank-one term that holds want . prices, factorised; reused while it fits.

    Unknowns are relative changes of prices. Where no used pool has curvature H is a diagonal.

    Args:
        graph: whose pools are meant.
        want: (n_tokens) weights; want . prices is to stay as it is.
        weak: pools that have no room in the pattern, and hold both their tokens by less than this
            part of what holds these in all, do not make it a new one: their tokens are moved as if
            the other stood still.
    """

    def __init__(self, graph: Graph, want: Floats, *, weak: float = 0.0) -> None:
        self._graph = graph
        self._want = want
        self._weak = weak
        wanted = np.flatnonzero(want)
        first, second = np.triu_indices(len(wanted), 1)
        self._clique: Ints = np.stack([wanted[first], wanted[second]], axis=1)
        self._wanted: Ints = wanted
        self._mask = np.zeros(len(graph.pools), dtype=np.bool_)
        self._spots: Ints = np.full(len(graph.pools), -1, dtype=np.int64)
        self._lower: Floats = np.empty(0)
        self._arrange(np.empty(0, dtype=np.int64))

    def factorise(
        self, pools: Ints, edges: Ints, blocks: Floats, rest: float, held: Floats
    ) -> None:
        """Set the system up.

        Args:
            pools: (n) places of pools.
            edges: (n) their edges.
            blocks: (n, 3) their second derivatives, as the kernel `weigh` has them.
            rest: positive: what is added to the diagonal.
            held: (n_tokens) want times prices.
        """
        from toolkit.routing.kernels.sparse import (  # noqa: PLC0415 - numba, at first use
            assemble,
            factorise,
        )

        problem = (pools, edges, blocks, self._graph.edge_in)
        diagonal = np.zeros(len(held))
        if not assemble(*problem, self._spots, self._weak, diagonal, self._lower):
            self._arrange(pools[blocks[:, 0] > 0.0])
            diagonal[:] = 0.0
            assemble(*problem, self._spots, self._weak, diagonal, self._lower)
        diagonal *= 1.0 + _LOOSE
        diagonal += rest
        stiff = diagonal.max() / (held @ held)
        diagonal += stiff * held * held
        clique = self._clique
        self._lower[self._clique_spots] += stiff * held[clique[:, 0]] * held[clique[:, 1]]
        self._diagonal: Floats = diagonal
        self._pivots: Floats = diagonal[self._order]
        scratch = np.empty((2, len(self._order)), dtype=np.int64)
        factorise(self._starts, self._below, self._lower, self._pivots, scratch[0], scratch[1])
        self._held = held
        self._along = self._solve(held)

    def move(self, slopes: Floats) -> Floats:
        """Return the relative changes of prices by which the slopes vanish, want . prices kept."""
        found = self._solve(slopes)
        return self._along * ((self._held @ found) / (self._held @ self._along)) - found

    def resistances(self, ends: Ints) -> Floats:
        """Return how far a unit of value from one token to another moves their prices apart.

        Args:
            ends: (n, 2) tokens. Where one is not in the pattern, nothing holds it: infinite.
        """
        from toolkit.routing.kernels.sparse import resist  # noqa: PLC0415 - numba, at first use

        inside = self._place[ends]
        held = (inside[:, 0] >= 0) & (inside[:, 1] >= 0)
        found = np.empty(len(ends))
        resist(
            self._starts,
            self._below,
            self._lower,
            self._pivots,
            np.where(held[:, None], inside, 0),
            np.zeros(len(self._order)),
            found,
        )
        lean = self._along[ends[:, 0]] - self._along[ends[:, 1]]
        found = np.maximum(found - lean * lean / (self._held @ self._along), 0.0)
        return np.where(held, found, np.inf)

    def _solve(self, values: Floats) -> Floats:
        from toolkit.routing.kernels.sparse import substitute  # noqa: PLC0415 - numba, at first use

        found: Floats = values / self._diagonal
        inside = values[self._order]
        substitute(self._starts, self._below, self._lower, self._pivots, inside)
        found[self._order] = inside
        return found

    def _arrange(self, pools: Ints) -> None:
        """Find a pattern that has these pools, and those it had unless they are too many."""
        from toolkit.routing.kernels.sparse import (  # noqa: PLC0415 - numba, at first use
            BITS,
            arrange,
            find,
            lay_out,
        )

        if np.count_nonzero(self._mask) > _STALE * len(pools):
            self._mask[:] = False
        self._mask[pools] = True
        inside = np.flatnonzero(self._mask)
        graph = self._graph
        every = np.stack([graph.edge_in[0::2], graph.edge_in[1::2]], axis=1)
        ends = np.concatenate([every[inside], self._clique])
        tokens = np.unique(np.concatenate([ends.ravel(), self._wanted]))
        self._place: Ints = np.full(len(graph.tokens), -1, dtype=np.int64)
        self._place[tokens] = np.arange(len(tokens))
        size = len(tokens)
        near = np.zeros((size, size // BITS + 1), dtype=np.int64)
        order = np.empty(size, dtype=np.int64)
        place = np.empty(size, dtype=np.int64)
        rows = np.empty((4, max(size, near.shape[1])), dtype=np.int64)
        entries = arrange(self._place[ends], near, order, place, rows)
        self._starts: Ints = np.empty(size + 1, dtype=np.int64)
        self._below: Ints = np.empty(entries, dtype=np.int64)
        self._lower = np.empty(entries)
        lay_out(near, order, place, self._starts, self._below)
        self._order: Ints = tokens[order]
        self._place[tokens] = place
        find(self._starts, self._below, self._place[every], self._spots)
        self._clique_spots: Ints = np.empty(len(self._clique), dtype=np.int64)
        find(self._starts, self._below, self._place[self._clique], self._clique_spots)
