import random

import numpy as np

from tests.routing.graphs import market
from toolkit.routing.curves import Floats
from toolkit.routing.graph import Graph
from toolkit.routing.kernels.cycles import weigh
from toolkit.routing.kernels.shapes import Curves, Links, Weights


def weighed(graph: Graph, prices: Floats) -> Weights:
    weights = Weights(*np.zeros((4, len(graph.edge_in))))
    weigh(
        np.arange(len(graph.edge_in)),
        Links(graph.token_start, graph.out_edges, graph.edge_in, graph.edge_out),
        Curves(graph.keep, graph.piece_start, graph.piece_stop, graph.pieces),
        prices,
        weights,
    )
    return weights


def outputs(graph: Graph, edge: int, inputs: Floats) -> Floats:
    """What a curve gives for rising inputs, read off its pieces."""
    rows = graph.pieces[graph.piece_start[edge] : graph.piece_stop[edge]]
    before, out, x, y = rows[np.searchsorted(rows[:, 0], inputs, side="right") - 1].T
    paid = (inputs - before) * graph.keep[edge]
    given: Floats = out + paid * y / (x + paid)
    return given


def test_no_edge_gives_more_than_its_rate_and_bend_say(seed: int) -> None:
    """Of any input, over all pieces; and with more bend than that, some input would."""
    rng = random.Random(seed)
    graph = Graph(market(rng, tokens=3, pools=40, depth=(10, 22), v3=0.8))
    prices = np.array([10 ** rng.uniform(-9, 9) for _ in graph.tokens])
    weights = weighed(graph, prices)
    bent = 0
    for edge in range(len(graph.edge_in)):
        first, stop = graph.piece_start[edge], graph.piece_stop[edge]
        if first == stop:
            continue
        most = float(graph.pieces[stop - 1, 0] + graph.pieces[stop - 1, 2])
        marks = graph.pieces[first + 1 : stop, 0]
        inputs = np.sort([*np.geomspace(most * 1e-12, most * 1e6, 4000), *marks])
        values = inputs * prices[graph.edge_in[edge]]
        given = outputs(graph, edge, inputs) * prices[graph.edge_out[edge]]
        rate, bend = weights.rates[edge], weights.bends[edge]
        bound = values * rate / (1 + values * bend)
        bent += stop > first + 1 and bend > 0

        assert (given <= bound * (1 + 1e-9) + weights.blurs[edge]).all(), (seed, edge)
        assert bend >= 0
        far = values > 1e-6 * most * prices[graph.edge_in[edge]]
        tight = (rate / given[far] - 1 / values[far]).min()
        assert bend >= 0.98 * tight - 1e-9 * rate / given[-1], (seed, edge)
    assert bent > 0
