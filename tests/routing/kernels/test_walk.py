import random

import numba
import numpy as np
import pytest

from tests.routing.graphs import market
from toolkit.model.errors import PoolError
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph
from toolkit.routing.kernels import walk

Layout = tuple[Floats, Ints, Ints, Floats]


@numba.njit
def along_edge(edge: int, amount: float, layout: Layout) -> tuple[float, float, float]:
    return walk.along_edge(edge, amount, layout[0], layout[1], layout[2], layout[3])


@numba.njit
def along_path(path: Ints, amount: float, layout: Layout) -> tuple[float, float, float]:
    return walk.along_path(path, len(path), amount, layout[0], layout[1], layout[2], layout[3])


@numba.njit
def surplus(edge: int, price_in: float, price_out: float, layout: Layout) -> tuple[float, float]:
    return walk.surplus(edge, price_in, price_out, layout[0], layout[1], layout[2], layout[3])


def drawn(rng: random.Random) -> tuple[Graph, Layout]:
    graph = Graph(market(rng, tokens=3, pools=8, depth=(18, 22)))
    return graph, (graph.keep, graph.piece_start, graph.piece_stop, graph.pieces)


def test_what_comes_out_is_what_the_pool_gives(seed: int) -> None:
    """To a part in 10^9, across ticks and up to where the liquidity ends."""
    rng = random.Random(seed)
    graph, layout = drawn(rng)
    compared = 0
    for edge in range(len(graph.edge_in)):
        pool, token = graph.pools[edge >> 1], graph.tokens[graph.edge_in[edge]]
        for _ in range(20):
            amount = int(10 ** rng.uniform(12, 23))
            try:
                taken, given = pool.fill_in(token, amount)
            except PoolError:
                continue
            compared += 1

            assert along_edge(edge, float(amount), layout)[0] == pytest.approx(
                given, rel=1e-9, abs=10
            ), (seed, taken)
    assert compared > 100


def test_rate_and_bend_are_those_of_the_curve(seed: int) -> None:
    """The rate is the slope, and within the pieces falls as the bend says."""
    rng = random.Random(seed)
    graph, layout = drawn(rng)
    for _ in range(50):
        path = np.array([rng.randrange(len(graph.edge_in)) for _ in range(3)])
        amount = 10 ** rng.uniform(12, 19)
        (low, rate, bend), (high, later, _) = (
            along_path(path, more, layout) for more in (amount, amount * (1 + 1e-5))
        )
        if later == 0 or rate / later > 1.01:  # a gap in the liquidity lies between
            continue

        assert high - low == pytest.approx(rate * amount * 1e-5, rel=1e-2), seed
        assert later <= rate
        assert later >= rate / (1 + amount * 1e-5 * bend) ** 2 * 0.99


def test_no_trade_is_worth_more_than_the_surplus(seed: int) -> None:
    """At any prices: no input gains more, and what is said to gain it does."""
    rng = random.Random(seed)
    graph, layout = drawn(rng)
    gaining = 0
    for edge in range(len(graph.edge_in)):
        price = rng.uniform(0.9, 1.2)
        amount, gain = surplus(edge, 1.0, price, layout)
        gaining += gain > 0
        tried = [amount * rng.uniform(0, 2) for _ in range(20)] + [
            10 ** rng.uniform(10, 24) for _ in range(20)
        ]

        assert gain == pytest.approx(
            price * along_edge(edge, amount, layout)[0] - amount, rel=1e-6, abs=1e6
        ), seed
        for other in tried:
            worth = price * along_edge(edge, other, layout)[0] - other
            assert worth <= gain * (1 + 1e-9) + 1e-9 * other, (seed, edge)
    assert gaining > 0
