"""A snapshot as the graph that the searches walk: arrays of floats that move with the chain."""

from collections.abc import Mapping
from itertools import compress
from operator import is_, is_not

import numpy as np

from toolkit.model.chain import Address
from toolkit.model.market import PoolId
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.curves import (
    Floats,
    Ints,
    Routable,
    keep,
    lasting_obstacle,
    obstacle,
    pieces,
)

# Room for more pieces than a pool with ticks has now, so that most of its changes fit in place.
_SPARE = 2


class Graph:
    """Pools by their places, and both directions of each as edges between tokens.

    Edge 2 p takes token0 of pool p, edge 2 p + 1 its token1. Places follow the order of ids and
    addresses, not that of the snapshot. Pools that cannot be traded now have edges without pieces.

    Attributes:
        snapshot: what the graph stands at.
        tokens: addresses, rising; their places are the token indices.
        pools: states, by rising id.
        places: of the pools, by id.
        edge_in, edge_out: (n_edges) index of the token that goes in, and of the one that comes out.
        token_start: (n_tokens + 1); out_edges[token_start[t] : token_start[t + 1]] are the edges
            that take token t, by the token that comes out and then by pool.
        keep: (n_edges) share of the input left after the fee.
        piece_start, piece_stop: (n_edges); the rows of `pieces` that are an edge's.
        pieces: (n, 4) as `curves` has them; rows of no edge mean nothing.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.pools = routable(snapshot)
        self.places: dict[PoolId, int] = {pool.id: at for at, pool in enumerate(self.pools)}
        self.tokens: tuple[Address, ...] = tuple(
            sorted({token for pool in self.pools for token in (pool.token0, pool.token1)})
        )
        index = {token: at for at, token in enumerate(self.tokens)}
        ends = np.array(
            [(index[pool.token0], index[pool.token1]) for pool in self.pools], dtype=np.int64
        ).reshape(-1, 2)
        self.edge_in: Ints = ends.reshape(-1)
        # Kernels are compiled for arrays without steps; of one pool's ends this would be a view.
        self.edge_out: Ints = np.ascontiguousarray(ends[:, ::-1]).reshape(-1)
        self.out_edges: Ints = np.lexsort((np.arange(ends.size), self.edge_out, self.edge_in))
        self.token_start: Ints = np.searchsorted(
            self.edge_in[self.out_edges], np.arange(len(self.tokens) + 1)
        )
        self._lay_out()

    def move(self, snapshot: Snapshot) -> Ints | None:
        """Take over the pools that changed, in place, and return their places, rising.

        None where the snapshot has other pools: nothing changed here, and it takes a new graph.
        """
        before: Mapping[PoolId, Pool | None] = self.snapshot.pools
        after = snapshot.pools
        # A block's pools mostly are the last one's own, in the same order: then only objects
        # are to be compared.
        if len(before) != len(after) or not all(map(is_, before, after)):
            came = [name for name in after if name not in before]
            if not self.places.keys() <= after.keys() or not all(
                lasting_obstacle(after[name]) for name in came
            ):
                return None
            before = {name: before.get(name) for name in after}
        changed = []
        for name in compress(after, map(is_not, after.values(), before.values())):
            at, pool = self.places.get(name, -1), after[name]
            if at < 0 or pool == self.pools[at]:
                continue
            changed.append(at)
            self.pools[at] = pool
            for edge in (2 * at, 2 * at + 1):
                self._put(edge)
        changed.sort()
        self.snapshot = snapshot
        return np.array(changed, dtype=np.int64)

    def _lay_out(self) -> None:
        """Write all curves one after the other."""
        found = [_curve(self.pools[edge >> 1], edge) for edge in range(len(self.edge_in))]
        self.keep: Floats = np.array([left for left, _ in found], dtype=np.float64)
        counts = np.array([len(curve) for _, curve in found], dtype=np.int64)
        room = np.where(counts > 1, _SPARE * counts, 1)
        ends = np.cumsum(room)
        self.piece_start: Ints = ends - room
        self.piece_stop: Ints = self.piece_start + counts
        self._room = room
        self._used = int(ends[-1]) if len(ends) else 0
        self.pieces: Floats = np.zeros((self._used, 4))
        for edge, (_, curve) in enumerate(found):
            self.pieces[self.piece_start[edge] : self.piece_stop[edge]] = curve

    def _put(self, edge: int) -> None:
        """Write one curve where it was, or at the end if it has outgrown that."""
        self.keep[edge], curve = _curve(self.pools[edge >> 1], edge)
        if len(curve) > self._room[edge]:
            self._room[edge] = _SPARE * len(curve)
            self.piece_start[edge] = self._used
            self._used += int(self._room[edge])
            if self._used > len(self.pieces):
                grown = np.zeros((_SPARE * self._used, 4))
                grown[: len(self.pieces)] = self.pieces
                self.pieces = grown
        self.piece_stop[edge] = self.piece_start[edge] + len(curve)
        self.pieces[self.piece_start[edge] : self.piece_stop[edge]] = curve


def routable(snapshot: Snapshot) -> list[Routable]:
    """Return the pools that routes may go through, by id; `unroutable` tells of the others.

    Of a further family a curve is needed first.
    """
    found = (pool for _, pool in sorted(snapshot.pools.items()))
    return [pool for pool in found if isinstance(pool, Routable) and not lasting_obstacle(pool)]


def unroutable(snapshot: Snapshot) -> dict[PoolId, str]:
    """Say of each pool that no route goes through as it is, by id, why not."""
    found = ((name, obstacle(pool)) for name, pool in sorted(snapshot.pools.items()))
    return {name: f"pool {name}: {why}" for name, why in found if why}


def _curve(pool: Routable, edge: int) -> tuple[float, Floats]:
    forward = edge % 2 == 0
    return keep(pool, forward=forward), pieces(pool, forward=forward)
