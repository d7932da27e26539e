"""The part of a graph that a swap may use: the pools on short paths between two tokens."""

from typing import NamedTuple

import numpy as np

from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph

SOURCE, TARGET = 0, 1
"""The tokens of a mesh that are sold and bought; the others are on the way."""
_ROUNDED = 1 - 2.0**-50


class Mesh(NamedTuple):
    """Edges by the token that goes in, then by that which comes out, then by pool.

    Of k edges and m tokens: `edge` (k) in the graph; `tail`, `head` (k) tokens in and out; `start`
    (m + 1): those that leave token t are start[t] .. start[t + 1] - 1; `into` (k) all edges by
    head, those that enter token t at into_start[t] .. into_start[t + 1] - 1; `first`, `stop` (k)
    their rows of `pieces`, which with `keep` (k) are the graph's; `room` (k) the most that a
    contract can take, beside what its curve says; `token` (m) in the graph.
    """

    edge: Ints
    tail: Ints
    head: Ints
    start: Ints
    into: Ints
    into_start: Ints
    first: Ints
    stop: Ints
    keep: Floats
    room: Floats
    pieces: Floats
    token: Ints


def mesh_between(graph: Graph, source: int, target: int, max_hops: int) -> Mesh:
    """Return the edges that lie on a way of up to `max_hops` from one token to the other.

    No edges if there is no such way. Several such ways together may make a longer one.
    """
    tails, heads = graph.edge_in, graph.edge_out
    usable = graph.piece_stop > graph.piece_start
    usable &= (heads != source) & (tails != target)
    after = _distances(len(graph.tokens), source, tails[usable], heads[usable], max_hops)
    before = _distances(len(graph.tokens), target, heads[usable], tails[usable], max_hops)
    chosen = np.flatnonzero(usable & (after[tails] + before[heads] < max_hops))
    tokens = np.unique(heads[chosen])
    between = tokens[(tokens != source) & (tokens != target)]
    names = np.array([source, target, *between], dtype=np.int64)
    known = np.zeros(len(graph.tokens), dtype=np.int64)
    known[names] = np.arange(len(names))
    order = np.argsort(known[tails[chosen]] * len(names) + known[heads[chosen]], kind="stable")
    edge = chosen[order]
    tail, head = known[tails[edge]], known[heads[edge]]
    into = np.argsort(head, kind="stable")
    every = np.arange(len(names) + 1)
    first = graph.piece_start[edge]
    return Mesh(
        edge=edge,
        tail=tail,
        head=head,
        start=np.searchsorted(tail, every),
        into=into,
        into_start=np.searchsorted(head[into], every),
        first=first,
        stop=graph.piece_stop[edge],
        keep=graph.keep[edge],
        room=_room(graph, edge, graph.pieces[first, 2]),
        pieces=graph.pieces,
        token=names,
    )


def _distances(size: int, source: int, tails: Ints, heads: Ints, most: int) -> Ints:
    """How many edges each of the tokens is away from one of them; `most` if that many or more."""
    found = np.full(size, most, dtype=np.int64)
    found[source] = 0
    for hop in range(most - 1):
        reached = heads[found[tails] == hop]
        found[reached] = np.minimum(found[reached], hop + 1)
    return found


def _room(graph: Graph, edges: Ints, reserves: Floats) -> Floats:
    """What a V2 pair's balance has room for; curves tell it of the others."""
    is_pair = [isinstance(graph.pools[edge >> 1], ConstantProduct) for edge in edges.tolist()]
    return np.where(is_pair, np.maximum((MAX_RESERVE - reserves) * _ROUNDED, 0.0), np.inf)
