import random

import numpy as np
import pytest

from tests.routing.graphs import TOKENS, concentrated, market, pair, snapshot
from toolkit.model.chain import Address
from toolkit.model.errors import NoRoute
from toolkit.routing.graph import Graph
from toolkit.routing.networks.dual import CURVATURE, GOT, PAID, SURPLUS, Dual, Solved, cooled

A, B, C, D, *_ = TOKENS


def free(graph: Graph) -> np.typing.NDArray[np.float64]:
    return np.zeros(len(graph.pools))


def every(graph: Graph) -> np.typing.NDArray[np.int64]:
    return np.arange(len(graph.pools))


def surpluses(graph: Graph, solved: Solved) -> np.typing.NDArray[np.float64]:
    """What is over of each token after all trades, in baskets."""
    found = np.zeros(len(graph.tokens))
    used = solved.edges >= 0
    np.add.at(found, graph.edge_in[solved.edges[used]], -solved.trades[used, PAID])
    np.add.at(found, graph.edge_out[solved.edges[used]], solved.trades[used, GOT])
    return found


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_at_the_best_prices_no_token_is_short_and_nothing_is_left(seed: int, share: float) -> None:
    """The optimality conditions: trades at the prices found balance, but for the start token."""
    rng = random.Random(seed)
    for _ in range(30):
        taken = market(rng, tokens=5, pools=16, depth=(18, 22), v3=share)
        graph = Graph(taken)
        if A not in graph.tokens:
            continue
        dual = Dual(graph, want={A: 1.0})
        solved = dual.minimise(dual.reference(), every(graph), free(graph))
        over = surpluses(graph, solved)
        start = graph.tokens.index(A)
        volume = solved.trades[:, PAID].sum() + 1.0

        assert solved.is_final
        assert pytest.approx(solved.value, rel=1e-9, abs=1e-9 * volume) == over[start]
        assert np.abs(np.delete(over, start)).max() <= 1e-7 * volume


def test_the_closed_form_of_two_pools(seed: int) -> None:
    """Two pools of one pair: a cycle of both, sized where its rate has fallen to 1."""
    rng = random.Random(seed)
    one, other = (pair(rng, (A, B), 1e21, 0.3) for _ in range(2))
    graph = Graph(snapshot(one, other))
    dual = Dual(graph, want={A: 1.0})
    solved = dual.minimise(dual.reference(), every(graph), free(graph))
    best = 0.0
    for first, second in ((one, other), (other, one)):
        k1, k2 = (1 - pool.fee_ppm / 1e6 for pool in (first, second))
        # out(u) = a u / (b + c u), through `first` with A in and back through `second`
        a = k1 * k2 * first.reserve1 * second.reserve0
        b = first.reserve0 * second.reserve1
        c = k1 * (second.reserve1 + k2 * first.reserve1)
        best = max(best, (max(a, b) ** 0.5 - b**0.5) ** 2 / c)

    assert pytest.approx(best, rel=1e-9) == solved.value


def test_any_prices_bound_what_any_pools_earn_after_costs(seed: int) -> None:
    """Weak duality: a bound at prices drawn anyhow is above the optimum of every set of pools."""
    rng = random.Random(seed)
    graph = Graph(market(rng, tokens=3, pools=6, depth=(19, 21), noise=0.05))
    dual = Dual(graph, want={A: 1.0})
    reference = dual.reference()
    costs = np.array([rng.uniform(0, 2e17) for _ in graph.pools])
    best = 0.0
    for chosen in range(1, 1 << len(graph.pools)):
        pools = np.array([at for at in range(len(graph.pools)) if chosen >> at & 1])
        solved = dual.minimise(reference, pools, free(graph))
        best = max(best, solved.value - float(costs[pools].sum()))
    relaxed = cooled(dual, reference, every(graph), costs, (0.3, 0.1, 0.03))
    # where nothing pays its gas, every bound is what is left of a smoothed zero: dust beside gas
    dust = 1e-9 * float(costs.sum())

    assert best <= dual.bound(relaxed.prices, costs)
    for _ in range(50):
        noisy = reference * np.exp([rng.gauss(0, 0.05) for _ in reference])
        assert best <= dual.bound(noisy, costs)
        assert dual.bound(relaxed.prices, costs) <= dual.bound(noisy, costs) * (1 + 0.05) + dust


def test_a_swap_gets_what_its_only_pool_gives(seed: int) -> None:
    """Selling into one pool is worth its output, and leaves its price as the price."""
    rng = random.Random(seed)
    pool = pair(rng, (A, B), 1e21, 0.3)
    graph = Graph(snapshot(pool))
    dual = Dual(graph, want={B: 1.0}, sell={A: 1e20})
    solved = dual.minimise(dual.reference(), every(graph), free(graph))

    assert pytest.approx(pool.quote_in(A, 10**20), rel=1e-9) == solved.value
    assert pytest.approx(1e20, rel=1e-6) == solved.trades[0, 0]


def test_a_basket_is_bought_in_its_proportions(seed: int) -> None:
    """Many in, many out: what comes of each wanted token is its weight times the value."""
    rng = random.Random(seed)
    graph = Graph(market(rng, tokens=5, pools=25, depth=(20, 22), v3=0.3))
    index = {token: at for at, token in enumerate(graph.tokens)}
    want, sell = {C: 2.0, D: 1.0}, {A: 3e19, B: 1e19}
    dual = Dual(graph, want=want, sell=sell)
    solved = dual.minimise(dual.reference(), every(graph), free(graph))
    over = surpluses(graph, solved) / solved.prices
    for token, amount in sell.items():
        over[index[token]] += amount

    assert solved.is_final
    for token in graph.tokens:
        expected = want.get(token, 0.0) * solved.value
        assert pytest.approx(expected, abs=1e-6 * solved.value) == over[index[token]]


def test_tokens_out_of_reach_change_nothing(seed: int) -> None:
    """Pools that nothing connects with what is wanted are neither traded nor in the bound."""
    rng = random.Random(seed)
    near = [pair(rng, (A, B), 1e20, 0.1) for _ in range(3)]
    far = [pair(rng, (C, D), 1e23, 0.5) for _ in range(3)]
    alone, both = Graph(snapshot(*near)), Graph(snapshot(*near, *far))
    values = []
    for graph in (alone, both):
        dual = Dual(graph, want={A: 1.0})
        solved = dual.minimise(dual.reference(), every(graph), free(graph))
        values.append((solved.value, dual.bound(solved.prices, free(graph))))

    assert pytest.approx(values[0], rel=1e-12) == values[1]


def test_where_liquidity_ends_nothing_is_gained_by_estimate(seed: int) -> None:
    """Two pools that a sale drains hold no price: leaving either costs all, joining gains none."""
    rng = random.Random(seed)
    graph = Graph(snapshot(*(concentrated(rng, (A, B), 1e18, 0.01) for _ in range(2))))
    dual = Dual(graph, want={B: 1.0}, sell={A: 1e25})
    cheap = np.array([1e-9, 1.0])
    solved, joining = (dual.respond(cheap, np.array([pool])) for pool in range(2))
    ends = np.array([[graph.tokens.index(A), graph.tokens.index(B)]])
    trade = solved.trades[:, [SURPLUS, PAID, CURVATURE]].T

    assert 0.0 == solved.trades[0, CURVATURE] == joining.trades[0, CURVATURE]
    assert [np.inf] == dual.losses(solved, ends, *trade).tolist()
    assert [-np.inf] == dual.gains(solved, joining).tolist()


def test_what_cannot_be_asked_is_refused(seed: int) -> None:
    """A token that no pool has, nothing wanted, a negative amount: one line that says so."""
    graph = Graph(snapshot(pair(random.Random(seed), (A, B), 1e20, 0.1)))

    with pytest.raises(NoRoute, match=f"has token {C}"):
        Dual(graph, want={C: 1.0})
    with pytest.raises(NoRoute, match="nothing is wanted"):
        Dual(graph, want={})
    with pytest.raises(NoRoute, match="is negative"):
        Dual(graph, want={A: 1.0}, sell={Address(B): -1.0})


def test_who_is_late_gets_what_there_is(seed: int) -> None:
    """A solve that is stopped says that it is not final; its prices still bound."""
    graph = Graph(market(random.Random(seed), tokens=5, pools=20, depth=(18, 22), noise=0.05))
    dual = Dual(graph, want={A: 1.0}, is_late=lambda: True)
    solved = dual.minimise(dual.reference(), every(graph), free(graph))
    best = Dual(graph, want={A: 1.0}).minimise(dual.reference(), every(graph), free(graph))

    assert not solved.is_final
    assert best.value <= dual.bound(solved.prices, free(graph))
