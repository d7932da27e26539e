"""A flow through fewer pools: the ways that bring least are taken out of it, whole."""

import numpy as np

from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph
from toolkit.routing.settling.flow import Ends, Flow, living

_AT_ONCE = 4  # a round takes out one in as many of the pools there are too many
_GONE = 1e-9


def fewer(graph: Graph, flow: Flow, ends: Ends, *, most: int) -> Flow:
    """Drop the hops through which least flows, each with what flows to it and on from it.

    What flows on whole ways earns its part of the profit, so the thinnest ways earn least. Those
    left trade no more than before; a new optimum over their pools would trade more.
    """
    while (excess := len(flow.edges) - most) > 0:
        worst = np.argsort(flow.spent, kind="stable")[: max(1, excess // _AT_ONCE)]
        rest = flow.spent.copy()
        for hop in worst.tolist():
            _cancel(flow, ends, rest, hop)
        share = rest / flow.spent
        gone = np.flatnonzero(share < _GONE).tolist()
        flow = flow.scaled(graph, share).without(gone)
        flow = living(flow, ends)
    return flow


def _cancel(flow: Flow, ends: Ends, rest: Floats, hop: int) -> None:
    """Take a hop out of `rest`, the worth that flows through each, along the largest ways."""
    while rest[hop] > 0:
        way = [
            hop,
            *_way(flow.source, flow.target, rest, hop, ends.sinks),
            *_way(flow.target, flow.source, rest, hop, ends.sources),
        ]
        least = min(rest[place] for place in way)
        for place in way:
            rest[place] = max(0.0, rest[place] - least)


def _way(source: Ints, target: Ints, rest: Floats, hop: int, last: set[int]) -> list[int]:
    """The hops on from a hop, each the largest one, until a last token or one seen before."""
    way: list[int] = []
    token = int(target[hop])
    seen = {int(source[hop])}
    while token not in last and token not in seen:
        seen.add(token)
        ahead = np.flatnonzero((source == token) & (rest > 0))
        if not len(ahead):
            break
        place = int(ahead[np.argmax(rest[ahead])])
        way.append(place)
        token = int(target[place])
    return way
