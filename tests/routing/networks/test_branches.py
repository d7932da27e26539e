import itertools
import random

import numpy as np
import pytest

from tests.routing.graphs import TOKENS, market
from toolkit.routing.curves import Floats
from toolkit.routing.graph import Graph
from toolkit.routing.networks.branches import decide, shares
from toolkit.routing.networks.dual import Dual, Solved, cooled

A = TOKENS[0]
COLD = 0.03


def best_subset(dual: Dual, costs: Floats) -> float:
    """The most that any set of pools leaves, by trying all of them."""
    prices, free, best = dual.reference(), np.zeros(len(costs)), 0.0
    for size in range(1, len(costs) + 1):
        for chosen in itertools.combinations(range(len(costs)), size):
            solved = dual.minimise(prices, np.array(chosen), free)
            best = max(best, solved.value - float(costs[list(chosen)].sum()))
    return best


def test_branches_bound_all_sets(seed: int) -> None:
    """Where few pools pay: no set above the bound, the bound below the dual's, none made up."""
    rng = random.Random(seed)
    for _ in range(5):
        graph = Graph(market(rng, tokens=3, pools=6, depth=(20, 21.5), noise=0.03, v3=0.3))
        if A not in graph.tokens:
            continue
        dual = Dual(graph, want={A: 1.0})
        costs = np.full(len(graph.pools), 10 ** rng.uniform(15.5, 17))
        every, free = np.arange(len(costs)), np.zeros(len(costs))
        solved = cooled(dual, dual.reference(), every, costs, (0.3, 0.1, COLD))

        def attempt(found: Solved, left: Floats) -> float:
            pools = found.chosen[shares(found, left, COLD) > 0.5]
            alone = dual.minimise(found.prices, pools, free)  # noqa: B023 - called at once
            return alone.value - float(costs[pools].sum())  # noqa: B023

        undivided = dual.bound(solved.prices, costs)
        known = max(0.0, attempt(solved, costs))
        found, bound = decide(
            dual, solved, costs, temperature=COLD, most=200, attempt=attempt, reached=known
        )
        _, unsplit = decide(
            dual, solved, costs, temperature=COLD, most=0, attempt=attempt, reached=known
        )
        best = best_subset(dual, costs)

        assert best <= bound <= undivided
        assert pytest.approx(undivided) == unsplit
        assert found <= best * (1 + 1e-9) + 1e-9 * costs[0]


def test_a_share_is_half_where_a_pool_just_earns_its_cost() -> None:
    """Far above its cost a pool is used whole, far below not at all; free ones are used whole."""
    rng = random.Random(1)
    graph = Graph(market(rng, tokens=2, pools=2, depth=(20, 21), noise=0.1, v3=0.0))
    dual = Dual(graph, want={A: 1.0})
    solved = dual.respond(dual.reference() * np.array([1.0, 1.1]), np.arange(2))
    surplus = solved.trades[:, 4]
    used = int(surplus.argmax())

    def share(cost: float) -> float:
        return float(shares(solved, np.full(2, cost), COLD)[used])

    assert pytest.approx(0.5) == share(float(surplus[used]))
    assert share(float(surplus[used]) / 2) > 0.999
    assert share(float(surplus[used]) * 2) < 0.001
    assert 1.0 == share(0.0)
