"""What kernels take together, of a graph and of a search for cycles: n edges, t tokens."""

from typing import NamedTuple

from toolkit.routing.curves import Floats, Ints


class Links(NamedTuple):
    """Which edge leads where; meanings are those of a `Graph`."""

    token_start: Ints
    out_edges: Ints
    edge_in: Ints
    edge_out: Ints


class Curves(NamedTuple):
    """What comes out of an edge; meanings are those of a `Graph`."""

    keep: Floats
    piece_start: Ints
    piece_stop: Ints
    pieces: Floats


class Weights(NamedTuple):
    """What the search for cycles goes by; each is (n), in values.

    gains: an edge's surplus at the prices, -inf where nothing can be traded. rates: value out per
    value in at first. bends: by how much that falls per value, at least; for an edge of several
    pieces that is less than at first where later ones are deeper. blurs: how far amounts of such
    an edge may be off, because they are sums of differences.
    """

    gains: Floats
    rates: Floats
    bends: Floats
    blurs: Floats


class Ahead(NamedTuple):
    """How a path from a token may go on to the source; each is (2, hops, t).

    worth: the most that surpluses less costs add up to, within so many hops; -inf without a way.
    rate: the most that rates multiply to. Row 1 is for any way, row 0 for those through an edge
    that was touched.
    """

    worth: Floats
    rate: Floats


class Live(NamedTuple):
    """The edges worth trying, after so many others; those that promise most come first.

    start (2, hops, t + 1), edge and worth (l): those of a token after `depth` others are
    edge[start[state, depth, token] : start[state, depth, token + 1]], states as in `Ahead` but of
    what came before; worth is what an edge and all that may follow it can leave at most.
    """

    start: Ints
    edge: Ints
    worth: Floats


class Rows(NamedTuple):
    """The best cycles found, in no order.

    most (r): no less than what one leaves after costs, -inf where unused. path (r, hops): its
    edges, -1 after the last.
    """

    most: Floats
    path: Ints
