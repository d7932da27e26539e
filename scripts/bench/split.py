"""One order split over many pools, beside cvxpy with Clarabel and beside the best grid of parts.

Speed is from arrays to integer amounts that have been spent to the last unit; the whole answer, a
`Route` with its bound, is timed beside it. The peer solves the same split as a convex program, from
an environment of its own that this benchmark makes, once cvxpy has compiled it. The grid is what
most aggregators search: parts of 5 % over at most seven pools, the best of all of them, exactly.
"""

import asyncio
import json
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median

import numpy as np

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure, Measured
from scripts.bench.markets import HEAD, parallel, published
from scripts.bench.timing import versions
from scripts.conformance import environments
from toolkit.model.chain import Address
from toolkit.model.errors import NoRoute
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.pairs import Pairs
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.pools.ticks import tick_at_sqrt_price
from toolkit.pools.words import to_ints, to_words
from toolkit.routing.graph import Graph
from toolkit.routing.kernels.shares import share_pairs
from toolkit.routing.kernels.split import solve
from toolkit.routing.swaps.mesh import mesh_between
from toolkit.routing.swaps.split import Splitter
from toolkit.routing.swaps.swap_order import Order

TIMEOUT_S = 1800  # the peer's environment may have to be made
COUNTS = (10, 30, 100)
SHARE = 0.05  # of what the pools hold
ROUNDS, IN_A_ROW = 9, 7  # warm, as the peer: each is asked several times before the next one is
TIMES = 100
STEPS, ROUTES = 20, 7
HOPS = 2
SWAPS = 20
SPACING = 60
WIDTHS = (3, 30, 300)
US, MS, BPS = 1e6, 1e3, 1e4
_PEER_TIMEOUT_S = 120
_SAME = 1e-5  # Clarabel's own tolerance shows at about 1e-7


async def measure(seed: int) -> Measured:
    """Time splits and look how far they are from what is possible.

    Raises:
        RuntimeError: the peer's environment cannot be made, or the peer finds another optimum.
    """
    return await asyncio.to_thread(_measure, seed)


def _measure(seed: int) -> Measured:
    try:
        python = environments.cvxpy()
    except environments.EnvironmentFailed as error:
        raise RuntimeError(str(error)) from None
    markets = {count: parallel(count, seed=seed + 1).snapshot for count in COUNTS}
    figures: list[Figure] = []
    peer = _Peer([str(python), str(Path(__file__).with_name("split_cvxpy.py"))], markets)
    try:
        for count, snapshot in markets.items():
            figures += _timed(count, snapshot, peer)
    finally:
        peer.close()
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    for count in COUNTS:
        pairs = markets[count]
        figures.append(_close(f"{count} pools, V2", pairs, _amount(pairs)))
        mixed = _mixed(rng, pairs)
        figures.append(_close(f"{count} pools, V2 and V3", mixed, _amount(pairs)))
    figures += _over_paths(seed)
    return Measured(
        figures=tuple(figures),
        peers={
            **{name: environments.version(python, name) for name in ("cvxpy", "clarabel")},
            **versions("numba", "numpy"),
        },
        not_covered=("aggregators themselves, which need a node: the best grid stands for them",),
    )


class _Peer:
    """The process that solves the convex programs."""

    def __init__(self, command: Sequence[str], markets: dict[int, Snapshot]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self._say(json.dumps({str(count): _program(of) for count, of in markets.items()}))

    def ask(self, count: int) -> tuple[float, float]:
        """Return the seconds that a solve took, and what comes out in whole tokens.

        Raises:
            RuntimeError: the process has ended.
        """
        self._say(str(count))
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the peer ended; what it said last is above")
        answer = json.loads(line)
        return answer["seconds"], answer["gives"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=_PEER_TIMEOUT_S)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def _program(snapshot: Snapshot) -> dict[str, object]:
    pools = _pairs(snapshot)
    return {
        "into": [pool.reserve0 / 1e18 for pool in pools],
        "out": [pool.reserve1 / 1e6 for pool in pools],
        "keep": [1 - pool.fee_ppm / 1e6 for pool in pools],
        "amount": _amount(snapshot) / 1e18,
    }


def _pairs(snapshot: Snapshot) -> list[ConstantProduct]:
    found = [pool for _, pool in sorted(snapshot.pools.items())]
    return [pool for pool in found if isinstance(pool, ConstantProduct)]


def _amount(snapshot: Snapshot) -> int:
    return int(sum(pool.reserve0 for pool in _pairs(snapshot)) * SHARE)


def _timed(count: int, snapshot: Snapshot, peer: _Peer) -> list[Figure]:
    """Ours and the peer's, in turn."""
    amount = _amount(snapshot)
    work, gives = _from_arrays(snapshot, amount)
    splitter = Splitter(Graph(snapshot))
    token_in, token_out = sorted(snapshot.tokens)
    order = Order(token_in=token_in, token_out=token_out, amount_in=amount, max_hops=1)
    splitter.swap(order)
    seconds: dict[str, list[float]] = {"arrays": [], "route": [], "peer": []}
    for _ in range(ROUNDS):
        for _ in range(IN_A_ROW):
            seconds["arrays"].append(_taken(work))
        for _ in range(IN_A_ROW):
            seconds["route"].append(_taken(lambda: splitter.swap(order)))
        for _ in range(IN_A_ROW):
            taken, theirs = peer.ask(count)
            seconds["peer"].append(taken)
            if abs(theirs * 1e6 / gives() - 1) > _SAME:
                raise RuntimeError(f"{count} pools: we buy {gives()}, Clarabel says {theirs * 1e6}")
    ours, route, cvxpy = (median(seconds[who]) * US for who in ("arrays", "route", "peer"))
    name = f"{count} V2 pools, from arrays to amounts"
    is_aim = count == COUNTS[-1]
    return [
        Figure(
            name=f"{name}; {TIMES} times as fast" if is_aim else name,
            unit="µs",
            ours=ours,
            target=cvxpy / TIMES if is_aim else None,
            peer=cvxpy,
            peer_name="cvxpy and Clarabel, warm",
        ),
        Figure(
            name=f"{count} V2 pools, from an order to its route and bound", unit="µs", ours=route
        ),
    ]


def _from_arrays(snapshot: Snapshot, amount: int) -> tuple[Callable[[], None], Callable[[], int]]:
    """The two kernels on arrays made ready, and what they last bought."""
    graph = Graph(snapshot)
    mesh = mesh_between(graph, 0, 1, 1)
    count = len(mesh.edge)
    live, nu, flows = np.ones(count, np.bool_), np.zeros(2), np.zeros((3, count))
    rows = Pairs(_pairs(snapshot)).pairs
    total = to_words([amount])[0, :2].copy()
    taken, given = np.zeros((2, count, 2), np.uint64)

    def work() -> None:
        nu[:] = 0.0
        assert solve(mesh, live, float(amount), True, 1, nu, flows)
        assert share_pairs(rows, flows[0], total, taken, given)

    work()
    assert sum(to_ints(taken)) == amount
    return work, lambda: sum(to_ints(given))


def _taken(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _close(name: str, snapshot: Snapshot, amount: int) -> Figure:
    """How far the integers are from their bound; the peer is the grid."""
    token_in, token_out = sorted(snapshot.tokens)
    splitter = Splitter(Graph(snapshot))
    order = Order(token_in=token_in, token_out=token_out, amount_in=amount, max_hops=1)
    route = splitter.swap(order)
    assert route.bound is not None
    grid = _grid(list(snapshot.pools.values()), token_in, amount)
    if grid > route.amount_out:
        raise RuntimeError(f"{name}: the grid buys {grid}, we {route.amount_out}")
    return Figure(
        name=f"{name}, short of the bound",
        unit="bps",
        target=0.5,
        ours=(route.bound - route.amount_out) / route.bound * BPS,
        peer=(route.bound - grid) / route.bound * BPS,
        peer_name=f"best grid of {100 // STEPS} % over {ROUTES} pools",
    )


def _grid(pools: Sequence[Pool], token: Address, amount: int) -> int:
    """The most that parts of 1 / STEPS over at most ROUTES pools buy, by dynamic programming."""
    best: list[list[int | None]] = [[0] + [None] * STEPS for _ in range(ROUTES + 1)]
    for pool in pools:
        gives = [0] * (STEPS + 1)
        for step in range(1, STEPS + 1):
            part = amount * step // STEPS
            taken, given = pool.fill_in(token, part)
            gives[step] = given if taken == part else 0
        for used in range(ROUTES, 0, -1):
            for step in range(STEPS, 0, -1):
                for part in range(1, step + 1):
                    before, now = best[used - 1][step - part], best[used][step]
                    if before is not None and gives[part] and before + gives[part] > (now or 0):
                        best[used][step] = before + gives[part]
    return max(row[STEPS] or 0 for row in best)


def _mixed(rng: Random, taken: Snapshot) -> Snapshot:
    """V2 pools, every second one's liquidity put into three ranges around its price."""
    pools = dict(taken.pools)
    for pool in _pairs(taken)[::2]:
        pools[pool.id] = _concentrated(rng, pool)
    return Snapshot(block=HEAD, tokens=taken.tokens, pools=pools)


def _concentrated(rng: Random, pool: ConstantProduct) -> Concentrated:
    price = math.isqrt((pool.reserve1 << 192) // pool.reserve0)
    tick = tick_at_sqrt_price(price)
    nets: dict[int, int] = {}
    depth = math.isqrt(pool.reserve0 * pool.reserve1)
    for width in WIDTHS:
        lower = (tick // SPACING - rng.randrange(width)) * SPACING
        upper = (tick // SPACING + 1 + rng.randrange(width)) * SPACING
        nets[lower] = nets.get(lower, 0) + depth
        nets[upper] = nets.get(upper, 0) - depth
    return Concentrated(
        id=pool.id,
        token0=pool.token0,
        token1=pool.token1,
        fee_ppm=3000,
        tick_spacing=SPACING,
        sqrt_price_x96=price,
        tick=tick,
        liquidity=len(WIDTHS) * depth,
        ticks=tuple((at, net) for at, net in sorted(nets.items()) if net),
    )


def _over_paths(seed: int) -> list[Figure]:
    """Swaps of up to two hops on the published market, beside its best single paths."""
    market = published(seed=seed)
    splitter = Splitter(Graph(market.snapshot))
    seconds, gaps, single = [], [], []
    for token in market.tokens[1 : 1 + SWAPS]:
        order = Order(token_in=market.native, token_out=token, amount_in=10**18, max_hops=HOPS)
        one = Order(
            token_in=market.native,
            token_out=token,
            amount_in=10**18,
            max_hops=HOPS,
            max_pools=HOPS,
        )
        try:
            route, alone = splitter.swap(order), splitter.swap(one)
        except NoRoute:
            continue
        assert route.bound is not None
        gaps.append((route.bound - route.amount_out) / route.bound * BPS)
        single.append((route.bound - alone.amount_out) / route.bound * BPS)
        start = time.perf_counter()
        splitter.swap(order)
        seconds.append(time.perf_counter() - start)
    return [
        Figure(
            name=f"{len(gaps)} swaps over {HOPS} hops, 1,000 pools, the most short of the bound",
            unit="bps",
            target=0.5,
            ours=max(gaps),
            peer=max(single),
            peer_name=f"at most {HOPS} pools",
        ),
        Figure(name=f"a swap over paths of {HOPS} hops", unit="ms", ours=median(seconds) * MS),
    ]
