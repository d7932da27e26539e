"""Arbitrage over all pools at once: what is left after gas, beside the bound and greedy cycles.

Every plan is settled in integers and run by a simulator that knows no routing. Greedy takes the
best cycle of at most four hops, executes it, and looks again; with gas it is to earn no more than
half of ours where prices are off all over, as on the published market and on one that has moved.
On the third, calm one few prices are off, far from each other: most of what is there to earn is in
single cycles, so that no plan could earn twice as much, and greedy's part is shown only.

Bounds without gas stand beside the optimum that cvxpy with Clarabel finds, from an environment of
its own that this benchmark makes.
"""

import asyncio
import time
from collections.abc import Callable
from random import Random
from statistics import median

import msgspec
import numpy as np

from scripts.bench.figures import Figure, Measured
from scripts.bench.markets import Market, mixed, moved, published
from scripts.bench.network_bounds import beside_clarabel
from scripts.bench.simulator import simulate
from scripts.bench.timing import versions
from scripts.conformance import environments
from toolkit.model.errors import PoolError
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.cycles.search import Costs, CycleSearch
from toolkit.routing.graph import Graph
from toolkit.routing.networks.network import Network, Plan
from toolkit.routing.settling.repair import settle

TIMEOUT_S = 1800  # the peer's environment may have to be made
GAS = 5e13
"""Of each pool: 5e-5 of the native token."""
MAX_HOPS = 4
ROUNDS = 400
TIMES = 2
CHANGED = 10
REPEATS = 5
TURNS = 20
_PART = 0.95

Draw = Callable[..., Market]


async def measure(seed: int) -> Measured:
    """Measure nets against bounds and greedy, cold plans, and plans after changes.

    Raises:
        RuntimeError: the peer's environment cannot be made, or the peer failed.
    """
    return await asyncio.to_thread(_measure, seed)


def _measure(seed: int) -> Measured:
    try:
        python = environments.cvxpy()
    except environments.EnvironmentFailed as error:
        raise RuntimeError(str(error)) from None
    figures: list[Figure] = []
    for draw, is_asked in ((published, True), (moved, True), (mixed, False)):
        name = draw.__name__
        for gas in (0.0, GAS):
            most = 100 / TIMES if is_asked and gas else None
            figures += _against(name, draw(1000, 200, seed=seed), gas, most)
        for pools, target in ((3000, 1.5), (10_000, 5.0)):
            figures += _timed(name, draw(pools, pools // 5, seed=seed), pools, target)
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    figures += _again(published(10_000, 2000, seed=seed), rng)
    figures += beside_clarabel(python, seed, GAS)
    return Measured(
        figures=tuple(figures),
        peers={
            **{name: environments.version(python, name) for name in ("cvxpy", "clarabel")},
            **versions("numba", "numpy"),
        },
        not_covered=("greedy beyond 1,000 pools, which takes minutes",),
    )


def _plan(drawn: Market, gas: float) -> tuple[Graph, Plan]:
    graph = Graph(drawn.snapshot)
    network = Network(graph, want={drawn.native: 1.0})
    return graph, network.plan(np.full(len(graph.pools), gas))


def _net(drawn: Market, graph: Graph, plan: Plan, gas: float) -> float:
    """What is left after gas, as the simulator has it."""
    settled = settle(graph, plan.inputs, start=drawn.native, hop_cost=gas)
    left = simulate(drawn.snapshot, settled.hops, settled.spent)
    assert all(left[token] >= amount for token, amount in settled.spent.items())
    gain = left.get(drawn.native, 0) - settled.spent.get(drawn.native, 0)
    return gain - gas * len({hop.pool for hop in settled.hops})


def _against(name: str, drawn: Market, gas: float, most: float | None) -> list[Figure]:
    graph, plan = _plan(drawn, gas)
    net = _net(drawn, graph, plan, gas)
    what = f"{name}, 1,000 pools, {'with' if gas else 'without'} gas"
    greedy = _greedy(drawn, gas)
    return [
        Figure(
            name=f"{what}: short of the bound, in integers",
            unit="%",
            target=100 * (1 - _PART),
            ours=100 * (1 - net / plan.bound),
        ),
        Figure(
            name=f"{what}: greedy cycles earn of ours",
            unit="%",
            target=most,
            ours=100 * greedy / net,
        ),
    ]


def _greedy(drawn: Market, gas: float) -> float:
    """What the best cycle, executed again and again, leaves."""
    graph = Graph(drawn.snapshot)
    costs = Costs(
        each=np.full(len(graph.edge_in), gas), once=0.0, exact=lambda pools: int(gas) * len(pools)
    )
    search = CycleSearch(graph, drawn.native, max_hops=MAX_HOPS, costs=costs)
    snapshot, earned = drawn.snapshot, 0
    for _ in range(ROUNDS):
        found = search.best()
        if not found:
            break
        earned += found[0].net
        pools = dict(snapshot.pools)
        path = found[0].path
        for pool, into, taken in zip(path.pools, path.tokens, found[0].amounts, strict=False):
            pools[pool.id] = pools[pool.id].swap_in(into, taken)[1]
        snapshot = msgspec.structs.replace(snapshot, pools=pools)
        changed = graph.move(snapshot)
        assert changed is not None
        search.move(changed)
    return earned


def _timed(name: str, drawn: Market, pools: int, target: float) -> list[Figure]:
    """A cold plan of a graph that is there, kernels compiled, and its part of the bound."""
    graph = Graph(drawn.snapshot)
    costs = np.full(len(graph.pools), GAS)
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        plan = Network(graph, want={drawn.native: 1.0}).plan(costs)
        taken.append(time.perf_counter() - start)
    start = time.perf_counter()
    net = _net(drawn, graph, plan, GAS)
    settled = time.perf_counter() - start
    short = 100 * (1 - net / plan.bound)
    what = f"{name}, {pools:,} pools with gas"
    return [
        Figure(name=f"{what}: a plan", unit="s", target=target, ours=median(taken)),
        Figure(name=f"{what}: settled and simulated", unit="s", ours=settled),
        Figure(name=f"{what}: short of the bound, in integers", unit="%", target=5, ours=short),
    ]


def _again(drawn: Market, rng: Random) -> list[Figure]:
    """Plans after swaps in ten pools, many times, and how far their nets are from cold ones."""
    graph = Graph(drawn.snapshot)
    costs = np.full(len(graph.pools), GAS)
    network = Network(graph, want={drawn.native: 1.0})
    network.plan(costs)
    taken, anew, apart, snapshot = [], [], [], drawn.snapshot
    for _ in range(TURNS):
        snapshot = _moved(snapshot, rng)
        start = time.perf_counter()
        graph.move(snapshot)
        warm = network.plan(costs)
        taken.append(time.perf_counter() - start)
        fresh = Graph(snapshot)
        start = time.perf_counter()
        cold = Network(fresh, want={drawn.native: 1.0}).plan(costs)
        anew.append(time.perf_counter() - start)
        apart.append(abs(warm.net / cold.net - 1))
    what = f"after changes of {CHANGED} of 10,000 pools, {TURNS} times"
    return [
        Figure(
            name=f"{what}: a plan",
            unit="ms",
            target=250,
            ours=1e3 * median(taken),
            peer=1e3 * median(anew),
            peer_name="ours, cold, on a graph that is there",
        ),
        Figure(
            name=f"{what}: net off a cold plan's, at most", unit="", target=1e-6, ours=max(apart)
        ),
    ]


def _moved(snapshot: Snapshot, rng: Random) -> Snapshot:
    pools = dict(snapshot.pools)
    for name in rng.sample(sorted(pools), CHANGED):
        pool = pools[name]
        balance = getattr(pool, "reserve0", 10**6)
        try:
            _, pools[name] = pool.swap_in(pool.token0, int(balance * rng.uniform(0.001, 0.02)))
        except PoolError:  # safe because a pool too small for the swap just stays as it is
            continue
    return msgspec.structs.replace(snapshot, pools=pools)
