import itertools
import random
from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from scripts.bench.markets import Market, mixed, published
from tests.routing.graphs import TOKENS, market, pair, snapshot
from tests.routing.settling.test_repair import constant
from toolkit.model.chain import Address
from toolkit.model.market import BEST_SO_FAR
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.graph import Graph
from toolkit.routing.networks.dual import GOT, PAID, Dual
from toolkit.routing.networks.network import Network, Plan
from toolkit.routing.settling.repair import settle

A, B, C, *_ = TOKENS
GAS = 5e13
"""Of each pool, in wei: 5e-5 of the native token."""


def costs(graph: Graph, gas: float) -> np.typing.NDArray[np.float64]:
    return np.full(len(graph.pools), gas)


def planned(drawn: Market, gas: float = GAS) -> tuple[Graph, Plan]:
    graph = Graph(drawn.snapshot)
    return graph, Network(graph, want={drawn.native: 1.0}).plan(costs(graph, gas))


def settled_net(drawn: Market, graph: Graph, plan: Plan, gas: float) -> float:
    """What is left after every amount was worked out by the pools themselves."""
    settled = settle(graph, plan.inputs, start=drawn.native, hop_cost=gas)
    at_hand: Counter[Address] = Counter(settled.spent)
    pools = dict(drawn.snapshot.pools)
    for hop in settled.hops:
        at_hand[hop.token_in] -= hop.amount_in
        assert at_hand[hop.token_in] >= 0
        swapped = pools[hop.pool].swap_in(hop.token_in, hop.amount_in)
        assert hop.amount_out == swapped[0]
        pools[hop.pool] = swapped[1]
        at_hand[hop.token_out] += hop.amount_out
    assert all(at_hand[token] >= amount for token, amount in settled.spent.items())
    gain = at_hand[drawn.native] - settled.spent.get(drawn.native, 0)
    return gain - gas * len({hop.pool for hop in settled.hops})


def best_subset(graph: Graph, start: Address, gas: float) -> float:
    """The most that any set of pools leaves, by trying all of them."""
    dual = Dual(graph, want={start: 1.0})
    prices, none = dual.reference(), np.zeros(len(graph.pools))
    best = 0.0
    for size in range(1, len(graph.pools) + 1):
        for chosen in itertools.combinations(range(len(graph.pools)), size):
            solved = dual.minimise(prices, np.array(chosen), none)
            best = max(best, solved.value - gas * size)
    return best


def test_small_markets_come_near_the_best_of_all_subsets(seed: int) -> None:
    """No set of pools beats the bound, and hardly any the plan."""
    rng = random.Random(seed)
    found, best = 0.0, 0.0
    for _ in range(6):
        graph = Graph(market(rng, tokens=4, pools=8, depth=(20, 21.5), noise=0.03, v3=0.3))
        gas = 10 ** rng.uniform(15, 16.5)
        plan = Network(graph, want={A: 1.0}).plan(costs(graph, gas))
        most = best_subset(graph, A, gas)
        assert most <= plan.bound
        assert plan.net <= most * (1 + 1e-9)
        found, best = found + plan.net, best + most

    assert 0.95 * best <= found


@pytest.mark.parametrize("draw", [published, mixed])
@pytest.mark.parametrize("gas", [0.0, GAS])
def test_plans_reach_the_bound(draw: Callable[..., Market], gas: float, seed: int) -> None:
    """What a plan says is left balances in every token, and is near the bound even if it is few."""
    drawn = draw(300, 60, seed=seed)
    graph, plan = planned(drawn, gas)
    used = np.flatnonzero(plan.inputs) >> 1
    response = Dual(graph, want={drawn.native: 1.0}).respond(plan.prices, used)
    over = np.zeros(len(graph.tokens))
    np.add.at(over, graph.edge_in[response.edges], -response.trades[:, PAID])
    np.add.at(over, graph.edge_out[response.edges], response.trades[:, GOT])
    start = graph.tokens.index(drawn.native)

    assert np.array_equal(plan.inputs[response.edges], response.trades[:, 0])
    assert pytest.approx(plan.value, rel=1e-6) == over[start]
    assert np.abs(np.delete(over, start)).max() <= 1e-6 * plan.value
    assert 0.8 * plan.bound <= plan.net <= plan.bound


@pytest.mark.parametrize("gas", [0.0, GAS])
def test_plans_reach_the_bound_in_integers(gas: float, seed: int) -> None:
    """Run hop by hop with the pools' own integers, a plan leaves at least 95 % of its bound."""
    drawn = published(300, 60, seed=seed)
    graph, plan = planned(drawn, gas)
    net = settled_net(drawn, graph, plan, gas)

    assert 0.95 * plan.bound <= net <= plan.bound


def test_a_warm_plan_is_a_cold_one(seed: int) -> None:
    """After swaps in ten pools the kept prices lead to the same net and bound."""
    rng = random.Random(seed)
    drawn = published(400, 80, seed=seed)
    graph = Graph(drawn.snapshot)
    network = Network(graph, want={drawn.native: 1.0})
    network.plan(costs(graph, GAS))
    pools = dict(drawn.snapshot.pools)
    for name in rng.sample(sorted(pools), 10):
        pool = pools[name]
        assert isinstance(pool, ConstantProduct)
        _, pools[name] = pool.swap_in(pool.token0, max(10**4, pool.reserve0 // 100))
    moved = msgspec.structs.replace(drawn.snapshot, pools=pools)
    graph.move(moved)
    warm = network.plan(costs(graph, GAS))
    cold = Network(Graph(moved), want={drawn.native: 1.0}).plan(costs(graph, GAS))

    assert pytest.approx(cold.net, rel=1e-6) == warm.net
    assert pytest.approx(cold.bound, rel=1e-6) == warm.bound


def renamed(taken: Snapshot, rng: random.Random) -> tuple[Snapshot, dict[Address, Address]]:
    """The same pools under other names, so in another order, and some of them turned round."""
    names = {token: Address(f"0x{rng.getrandbits(160):040x}") for token in taken.tokens}
    pools = []
    for pool in taken.pools.values():
        assert isinstance(pool, ConstantProduct)
        sides = sorted([(names[pool.token0], pool.reserve0), (names[pool.token1], pool.reserve1)])
        (token0, reserve0), (token1, reserve1) = sides
        pools.append(
            ConstantProduct(
                id=Address(f"0x{rng.getrandbits(160):040x}"),
                token0=token0,
                token1=token1,
                reserve0=reserve0,
                reserve1=reserve1,
                fee_ppm=pool.fee_ppm,
            )
        )
    return snapshot(*pools), names


def test_what_leaves_through_a_deep_pool_is_no_rounding() -> None:
    """It earns that pool next to nothing, and is all that the start token ever gets."""
    graph = Graph(
        snapshot(
            constant(1, (A, B), 10**28, 10**28),
            constant(2, (B, C), 10**21, 10**21),
            constant(3, (B, C), 10**21, 11 * 10**20),
        )
    )
    plan = Network(graph, want={A: 1.0}).plan(costs(graph, 1e15))

    assert 3 == np.count_nonzero(plan.inputs)
    assert 0.99 * plan.bound <= plan.net <= plan.bound
    assert plan.flags == ()


def test_names_and_order_do_not_matter(seed: int) -> None:
    """Under any permutation of pools and tokens the net and the bound are the same."""
    rng = random.Random(seed)
    drawn = published(300, 60, seed=seed)
    _, plan = planned(drawn)
    taken, names = renamed(drawn.snapshot, rng)
    graph = Graph(taken)
    other = Network(graph, want={names[drawn.native]: 1.0}).plan(costs(graph, GAS))

    assert pytest.approx(plan.net, rel=1e-6) == other.net
    assert pytest.approx(plan.bound, rel=1e-6) == other.bound


def test_decimals_do_not_matter(seed: int) -> None:
    """Reserves of tokens counted in other units give the same net."""
    rng = random.Random(seed)
    drawn = published(300, 60, seed=seed)
    _, plan = planned(drawn)
    units = {token: 2 ** rng.randrange(20) for token in drawn.tokens}
    units[drawn.native] = 1
    pools = {
        name: msgspec.structs.replace(
            pool,
            reserve0=pool.reserve0 * units[pool.token0],
            reserve1=pool.reserve1 * units[pool.token1],
        )
        for name, pool in drawn.snapshot.pools.items()
        if isinstance(pool, ConstantProduct)
    }
    graph = Graph(msgspec.structs.replace(drawn.snapshot, pools=pools))
    other = Network(graph, want={drawn.native: 1.0}).plan(costs(graph, GAS))

    assert pytest.approx(plan.net, rel=1e-6) == other.net


def test_cheaper_gas_never_earns_less(seed: int) -> None:
    """Over a sweep of gas prices the net falls as gas rises, down to nothing at all."""
    drawn = published(300, 60, seed=seed)
    graph = Graph(drawn.snapshot)
    nets = [
        Network(graph, want={drawn.native: 1.0}).plan(costs(graph, GAS * 1.5**step)).net
        for step in range(-4, 20)
    ]

    assert nets == sorted(nets, reverse=True)


def test_nothing_is_done_where_nothing_pays(seed: int) -> None:
    """Gas above every surplus, or a base cost above the net: no trade, no cost, bound 0 or more."""
    drawn = published(200, 40, seed=seed)
    graph = Graph(drawn.snapshot)
    network = Network(graph, want={drawn.native: 1.0})
    dear = network.plan(costs(graph, 1e22))
    based = network.plan(costs(graph, GAS), base_cost=1e22)
    calm = Graph(snapshot(*[pair(random.Random(1), (A, B), 1e20, 0.0) for _ in range(1)]))
    idle = Network(calm, want={A: 1.0}).plan(costs(calm, 0.0))

    for plan in (dear, based, idle):
        assert (0.0, 0.0, 0.0) == (plan.net, plan.cost, plan.inputs.sum())
        assert plan.bound >= 0.0


def test_a_time_budget_is_kept(seed: int) -> None:
    """Where time runs out the plan says so, and its bound still holds."""
    drawn = published(300, 60, seed=seed)
    graph = Graph(drawn.snapshot)
    ticks = itertools.count()
    hurried = Network(graph, want={drawn.native: 1.0}, clock=lambda: float(next(ticks)))
    plan = hurried.plan(costs(graph, GAS), budget_s=5.0)
    _, unhurried = planned(drawn)

    assert (BEST_SO_FAR,) == plan.flags
    assert unhurried.flags == ()
    assert unhurried.net <= plan.bound
