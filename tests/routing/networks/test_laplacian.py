import random

import numpy as np
import pytest

from tests.routing.graphs import market
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph
from toolkit.routing.networks.laplacian import Laplacian

# Kernels may have to be compiled first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Drawn:
    """Second derivatives of some pools of a market, as blocks and as a full matrix."""

    def __init__(self, rng: random.Random, graph: Graph, pools: Ints) -> None:
        count = len(graph.tokens)
        self.pools = pools
        self.edges: Ints = 2 * pools + np.array([rng.randrange(2) for _ in pools])
        weights = np.array([10.0 ** rng.uniform(-1, 1) for _ in pools])
        self.blocks: Floats = np.stack([weights, -weights, weights], axis=1)
        self.rest = 1e-3
        self.full: Floats = self.rest * np.eye(count)
        for edge, weight in zip(self.edges.tolist(), weights.tolist(), strict=True):
            ends = [int(graph.edge_in[edge]), int(graph.edge_out[edge])]
            self.full[np.ix_(ends, ends)] += weight * np.array([[1, -1], [-1, 1]])


def held_still(full: Floats, held: Floats, right: Floats) -> Floats:
    """The solution of a system in which held . x = 0, with a multiplier, in full."""
    whole = np.block([[full, held[:, None]], [held[None, :], np.zeros((1, 1))]])
    solution: Floats = np.linalg.solve(whole, np.append(right, 0.0))[:-1]
    return solution


def drawn(seed: int, wanted: int) -> tuple[random.Random, Graph, Laplacian, Floats]:
    """A market, and a system that holds what so many of its tokens are worth together."""
    rng = random.Random(seed)
    graph = Graph(market(rng, tokens=6, pools=14, depth=(18, 22)))
    want = np.zeros(len(graph.tokens))
    want[:wanted] = [1.0, 2.0][:wanted]
    prices = np.array([10.0 ** rng.uniform(-1, 1) for _ in graph.tokens])
    return rng, graph, Laplacian(graph, want), want * prices


@pytest.mark.parametrize("wanted", [1, 2])
def test_prices_move_to_where_slopes_vanish(wanted: int, seed: int) -> None:
    """As the full system says that keeps the basket's price, also with a pattern of other pools."""
    rng, graph, system, held = drawn(seed, wanted)
    for pools in (np.arange(14), np.arange(3), np.arange(2, 14, 2)):
        one = Drawn(rng, graph, pools)
        system.factorise(one.pools, one.edges, one.blocks, one.rest, held)
        slopes = np.array([rng.gauss(0, 1) for _ in graph.tokens])
        move = system.move(slopes)
        expected = -held_still(one.full, held, slopes)

        assert 0.0 == pytest.approx(held @ move, abs=1e-9 * held.sum() * np.abs(move).max())
        assert np.allclose(expected, move, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("wanted", [1, 2])
def test_resistance_is_how_far_a_unit_moves_two_prices_apart(wanted: int, seed: int) -> None:
    """By the same full system."""
    rng, graph, system, held = drawn(seed, wanted)
    one = Drawn(rng, graph, np.arange(14))
    system.factorise(one.pools, one.edges, one.blocks, one.rest, held)
    count = len(graph.tokens)
    ends = np.array([rng.sample(range(count), 2) for _ in range(10)])
    apart = np.eye(count)[ends[:, 0]] - np.eye(count)[ends[:, 1]]
    expected = [float(row @ held_still(one.full, held, row)) for row in apart]

    assert np.allclose(expected, system.resistances(ends), rtol=1e-5)


def test_nothing_resists_where_no_used_pool_is(seed: int) -> None:
    """A token that only pools have which are not used can go anywhere."""
    rng, graph, system, held = drawn(seed, 1)
    start = 0
    chosen = np.flatnonzero((graph.edge_in[0::2] == start) | (graph.edge_out[0::2] == start))[:1]
    one = Drawn(rng, graph, chosen)
    system.factorise(one.pools, one.edges, one.blocks, one.rest, held)
    inside = {int(graph.edge_in[one.edges[0]]), int(graph.edge_out[one.edges[0]])}
    outside = min({*range(len(graph.tokens))} - inside)

    assert [np.inf] == system.resistances(np.array([[start, outside]])).tolist()
