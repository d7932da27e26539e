"""Second derivatives of what pools earn, as a sparse system between the tokens they connect."""

import numpy as np

from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph

# Pools that were in the pattern and are not used now cost some fill, a new pattern costs more.
_STALE = 1.3
# Part of a token's own stiffness. Tokens that only trade among each other move together, and what
# holds them has to stay above the rounding of what they hold each other with.
_LOOSE = 1e-11


class Laplacian:
    """A system H + a rank-one term that holds want . prices, factorised; reused while it fits.

    Unknowns are relative changes of prices. Where no used pool has curvature H is a diagonal.

    Args:
        graph: whose pools are meant.
        want: (n_tokens) weights; want . prices is to stay as it is.
    """

    def __init__(self, graph: Graph, want: Floats) -> None:
        self._graph = graph
        self._want = want
        wanted = np.flatnonzero(want)
        first, second = np.triu_indices(len(wanted), 1)
        self._clique: Ints = np.stack([wanted[first], wanted[second]], axis=1)
        self._wanted: Ints = wanted
        self._mask = np.zeros(len(graph.pools), dtype=np.bool_)
        self._spots: Ints = np.empty(0, dtype=np.int64)
        self._lower: Floats = np.empty(0)

    def factorise(
        self, pools: Ints, edges: Ints, blocks: Floats, rest: Floats, held: Floats
    ) -> None:
        """Set the system up.

        Args:
            pools: (n) places of the used pools.
            edges: (n) their edges.
            blocks: (n, 3) their second derivatives, as the kernel `weigh` has them.
            rest: (n_tokens), positive: what is added to the diagonal.
            held: (n_tokens) want times prices.
        """
        from toolkit.routing.kernels.sparse import factorise  # noqa: PLC0415 - numba, at first use

        if not self._mask[pools].all() or not len(self._spots):
            self._arrange(pools)
        graph = self._graph
        size = len(rest)
        stiffness = np.bincount(graph.edge_in[edges], blocks[:, 0], size) + np.bincount(
            graph.edge_out[edges], blocks[:, 2], size
        )
        diagonal: Floats = rest + (1.0 + _LOOSE) * stiffness
        stiff = diagonal.max() / (held @ held)
        diagonal += stiff * held * held
        clique = self._clique
        entries = np.concatenate([blocks[:, 1], stiff * held[clique[:, 0]] * held[clique[:, 1]]])
        spots = np.concatenate([self._spots[pools], self._clique_spots])
        self._lower = np.bincount(spots, entries, len(self._below)).astype(np.float64)
        self._diagonal = diagonal
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
            np.empty(len(self._order)),
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
            lay_out,
        )

        if np.count_nonzero(self._mask) > _STALE * len(pools):
            self._mask[:] = False
        self._mask[pools] = True
        inside = np.flatnonzero(self._mask)
        graph = self._graph
        ends = np.stack([graph.edge_in[2 * inside], graph.edge_out[2 * inside]], axis=1)
        ends = np.concatenate([ends, self._clique])
        tokens = np.unique(np.concatenate([ends.ravel(), self._wanted]))
        self._place: Ints = np.full(len(graph.tokens), -1, dtype=np.int64)
        self._place[tokens] = np.arange(len(tokens))
        ends = self._place[ends]
        size = len(tokens)
        near = np.zeros((size, size // BITS + 1), dtype=np.int64)
        order = np.empty(size, dtype=np.int64)
        entries = arrange(ends, near, order, np.empty(size, dtype=np.int64))
        place = np.empty(size, dtype=np.int64)
        self._starts: Ints = np.empty(size + 1, dtype=np.int64)
        self._below: Ints = np.empty(entries, dtype=np.int64)
        spots = np.empty(len(ends), dtype=np.int64)
        lay_out(near, order, ends, place, self._starts, self._below, spots)
        self._order: Ints = tokens[order]
        self._place[tokens] = place
        self._spots = np.full(len(graph.pools), -1, dtype=np.int64)
        self._spots[inside] = spots[: len(inside)]
        self._clique_spots: Ints = spots[len(inside) :]
