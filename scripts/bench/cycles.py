"""The best cycle of a token, beside plain enumeration and networkx, and again after changes.

All search the same constant product pools of the published generator in the same run, and must
come to the same profit. Ours starts from a graph that is laid out and knows nothing else. After
changes it must come to the very cycle that a search which knows nothing finds.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median

import msgspec

from scripts.bench.checkout import ROOT
from scripts.bench.cycles_enumeration import Enumeration
from scripts.bench.figures import Figure, Measured
from scripts.bench.markets import Market, mixed, published
from scripts.bench.timing import versions
from scripts.conformance import environments
from toolkit.model.chain import Address
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.cycles.search import Cycle, CycleSearch
from toolkit.routing.graph import Graph

TIMEOUT_S = 1800  # the peer's environment may have to be made
ROUNDS = 7
BLOCKS = 40
CHANGED = 10
MANY = 100_000
AIM = 10_000, 4
TIMES_ENUMERATION, TIMES_NETWORKX = 10, 20
AFTER_CHANGES_MS = 10
MS, MIB = 1e3, 2**20
_SAME = 1e-9


async def measure(seed: int) -> Measured:
    """Time searches, cold and after changes, and weigh a process that knows 100,000 pools.

    Raises:
        RuntimeError: a peer finds another profit, or a search after changes another cycle than a
            new one.
    """
    return await asyncio.to_thread(_measure, seed)


def _measure(seed: int) -> Measured:
    figures: list[Figure] = []
    peers = versions("numba", "numpy")
    gaps = ["what it takes to make a snapshot; compiling, which `toolkit warmup` does"]
    for pools, hops in ((1_000, 3), (1_000, 4), (10_000, 3), (10_000, 4)):
        figures.append(_beside_enumeration(published(pools, pools // 5, seed=seed), hops))
    try:
        python = environments.networkx()
    except environments.EnvironmentFailed as error:
        gaps.append(f"networkx: {error}")
    else:
        figures.append(_beside_networkx(published(seed=seed), python))
        peers["networkx"] = environments.version(python, "networkx")
    market = mixed(10_000, 2_000, seed=seed)
    graph = Graph(market.snapshot)
    taken = _median(lambda: CycleSearch(graph, market.native).best())
    name = "10,000 pools, V3 among them, up to 4 hops"
    figures.append(Figure(name=name, unit="ms", target=None, ours=taken * MS))
    figures += _after_changes("10,000 pools", published(10_000, 2_000, seed=seed), seed)
    figures += _after_changes("10,000 pools, V3 among them,", market, seed)
    figures.append(_weight(seed))
    return Measured(figures=tuple(figures), peers=peers, not_covered=tuple(gaps))


def _beside_enumeration(market: Market, hops: int) -> Figure:
    graph = Graph(market.snapshot)
    plain = Enumeration(graph, graph.tokens.index(market.native))

    def search() -> Cycle:
        return CycleSearch(graph, market.native, max_hops=hops).best()[0]

    count, profit, _, edges = plain.best(hops)
    found = search()
    mine = tuple(pool.id for pool in found.path.pools)
    if mine != tuple(graph.pools[edge >> 1].id for edge in edges):
        raise RuntimeError(f"up to {hops} hops enumeration finds {profit}, the search {found.net}")
    theirs, ours = _median(lambda: plain.best(hops)), _median(search)
    is_aim = (len(graph.pools), hops) == AIM  # where there is little to enumerate nothing is saved
    name = f"{len(graph.pools):,} pools, best of {count:,} cycles of up to {hops} hops"
    return Figure(
        name=f"{name}; {TIMES_ENUMERATION} times as fast" if is_aim else name,
        unit="ms",
        target=theirs / TIMES_ENUMERATION * MS if is_aim else None,
        ours=ours * MS,
        peer=theirs * MS,
        peer_name="plain enumeration, compiled, sizes in floats only",
    )


def _beside_networkx(market: Market, python: Path) -> Figure:
    numbers = {token: number for number, token in enumerate(market.tokens)}
    rows = [
        [
            numbers[pool.token0],
            numbers[pool.token1],
            str(pool.reserve0),
            str(pool.reserve1),
            10**6 - pool.fee_ppm,
        ]
        for pool in market.snapshot.pools.values()
        if isinstance(pool, ConstantProduct)
    ]
    hops = 3
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("cycles_networkx.py"))],
        input="\n".join([json.dumps({"pools": rows}), *[str(hops)] * ROUNDS]) + "\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    graph = Graph(market.snapshot)
    found = CycleSearch(graph, market.native, max_hops=hops).best()[0]
    if not 0 <= found.net - int(answers[0]["profit"]) <= _SAME * found.net:
        raise RuntimeError(f"networkx finds {answers[0]}, the search {found}")
    theirs = median(answer["seconds"] for answer in answers)
    ours = _median(lambda: CycleSearch(graph, market.native, max_hops=hops).best())
    return Figure(
        name=f"1,000 pools, best cycle of up to {hops} hops; {TIMES_NETWORKX} times as fast",
        unit="ms",
        target=theirs / TIMES_NETWORKX * MS,
        ours=ours * MS,
        peer=theirs * MS,
        peer_name="networkx, with closed forms in Python",
    )


def _after_changes(pools: str, market: Market, seed: int) -> list[Figure]:
    """Blocks that change ten pools, every second one by trading what was found."""
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    snapshot = market.snapshot
    graph = Graph(snapshot)
    search = CycleSearch(graph, market.native)
    found = search.best()
    taken = []
    for block in range(BLOCKS):
        snapshot = _changed(rng, snapshot, found if block % 2 else ())
        start = time.perf_counter()
        moved = graph.move(snapshot)
        assert moved is not None
        search.move(moved)
        found = search.best()
        taken.append((time.perf_counter() - start) * MS)
        again = CycleSearch(Graph(snapshot), market.native).best()
        if found != again:
            raise RuntimeError(f"block {block}: {found} after changes, {again} anew")
    name = f"{CHANGED} of {pools} changed, the best cycle again, up to 4 hops"
    late = sum(one > AFTER_CHANGES_MS for one in taken)
    count = f"{name}; how many of {BLOCKS} blocks took more than {AFTER_CHANGES_MS} ms"
    longest = f"{name}; longest of {BLOCKS} blocks"
    return [
        Figure(name=name, unit="ms", target=AFTER_CHANGES_MS, ours=median(taken)),
        Figure(name=longest, unit="ms", target=AFTER_CHANGES_MS, ours=max(taken)),
        Figure(name=count, unit="", ours=late),
    ]


def _changed(rng: Random, snapshot: Snapshot, traded: Sequence[Cycle]) -> Snapshot:
    """Swaps of a thousandth to a hundredth of a pool; a traded cycle's own among them."""
    pools = dict(snapshot.pools)
    count = 0
    for cycle in traded:
        for pool, token, amount in zip(
            cycle.path.pools, cycle.path.tokens, cycle.amounts, strict=False
        ):
            pools[pool.id] = _swapped(pool, token, amount)
            count += 1
    for name in rng.sample(sorted(pools), CHANGED - count):
        pool = pools[name]
        token = rng.choice((pool.token0, pool.token1))
        amount = int(_depth(pool, token) * rng.uniform(0.001, 0.01))
        if amount and pool.fill_in(token, amount)[1]:
            pools[name] = _swapped(pool, token, amount)
    return msgspec.structs.replace(snapshot, pools=pools)


def _swapped(pool: Pool, token: Address, amount: int) -> Pool:
    if isinstance(pool, ConstantProduct):
        return pool.swap_in(token, amount)[1]
    return pool.swap(token, amount).pool


def _depth(pool: Pool, token: Address) -> float:
    """What a pool holds of a token, or would at its price with its liquidity everywhere."""
    if isinstance(pool, ConstantProduct):
        return pool.reserve0 if token == pool.token0 else pool.reserve1
    root = pool.sqrt_price_x96 / 2**96
    return pool.liquidity / root if token == pool.token0 else pool.liquidity * root


def _weight(seed: int) -> Figure:
    """The most memory that a process ever had which laid out 100,000 pools and searched them."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.cycles", str(seed)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    mebibytes, seconds = json.loads(done.stdout)
    return Figure(
        name=f"memory of {MANY:,} pools, snapshot, graph and search (which took {seconds:.2f} s)",
        unit="MiB",
        target=1024,
        ours=mebibytes,
    )


def _weigh_here(seed: int) -> None:
    market = published(MANY, MANY // 5, seed=seed)
    graph = Graph(market.snapshot)
    start = time.perf_counter()
    CycleSearch(graph, market.native).best()
    seconds = time.perf_counter() - start
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([kibibytes * 1024 / MIB, seconds]))


def _median(work: Callable[[], object]) -> float:
    taken = []
    for number in range(ROUNDS + 1):
        start = time.perf_counter()
        work()
        if number:
            taken.append(time.perf_counter() - start)
    return median(taken)


if __name__ == "__main__":
    _weigh_here(int(sys.argv[1]))
