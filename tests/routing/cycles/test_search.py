import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.routing.graphs import HEAD, concentrated, market, name, profit, snapshot
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.cycles.search import Costs, Cycle, CycleSearch, warm_up
from toolkit.routing.graph import Graph

TOKENS = tuple(Address(f"0x{number:040x}") for number in range(1, 81))
START = TOKENS[0]
INPUTS = 6000
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A question, and what each cycle costs: once, and a hop."""

    hops: int = 4
    most: int = INPUTS
    once: int = 0
    each: int = 0

    def search(self, graph: Graph) -> CycleSearch:
        costs = Costs(
            each=np.full(2 * len(graph.pools), float(self.each)),
            once=float(self.once),
            exact=lambda pools: self.once + self.each * len(pools),
        )
        return CycleSearch(graph, START, max_hops=self.hops, max_input=self.most, costs=costs)


def small(rng: random.Random, *, tokens: int, pools: int, noise: float = 0.1) -> Snapshot:
    """Pools of so few units that every input can be tried; a hub, dust, equal pools and twins."""
    made: list[Pool] = []
    while len(made) < pools:
        ends = sorted(rng.sample(range(tokens), 2))
        if rng.random() < 0.5:
            ends[0] = 0
        if ends[0] == ends[1]:
            continue
        depth = rng.choice([30, 300, 3000])
        pool = ConstantProduct(
            id=name(rng),
            token0=TOKENS[ends[0]],
            token1=TOKENS[ends[1]],
            reserve0=rng.randrange(depth // 2, depth),
            reserve1=max(1, int(rng.randrange(depth // 2, depth) * rng.lognormvariate(0, noise))),
            fee_ppm=rng.choice([3000, 2500, 500, 100]),
        )
        made.append(pool)
        if rng.random() < 0.1:
            made.append(msgspec.structs.replace(pool, id=name(rng)))
    return Snapshot(block=HEAD, tokens={}, pools={pool.id: pool for pool in made[:pools]})


def all_cycles(taken: Snapshot, start: Address, max_hops: int) -> Iterator[tuple[Pool, ...]]:
    """Every cycle of distinct tokens and pools, one hop after the other."""
    at: dict[Address, list[Pool]] = {}
    for pool in taken.pools.values():
        at.setdefault(pool.token0, []).append(pool)
        at.setdefault(pool.token1, []).append(pool)

    def on(path: tuple[Pool, ...], tokens: tuple[Address, ...]) -> Iterator[tuple[Pool, ...]]:
        for pool in at.get(tokens[-1], ()):
            other = pool.token1 if pool.token0 == tokens[-1] else pool.token0
            if other == start and pool not in path:
                yield (*path, pool)
            elif other not in tokens and len(path) + 1 < max_hops:
                yield from on((*path, pool), (*tokens, other))

    return on((), (start,))


def brute(taken: Snapshot, ask: Ask) -> list[int]:
    """What every cycle leaves at the best of all inputs, the most first; only what pays."""
    found = []
    inputs = np.arange(1, ask.most + 1)
    for cycle in all_cycles(taken, START, ask.hops):
        token, amounts = START, inputs
        for pool in cycle:
            assert isinstance(pool, ConstantProduct)
            into, out = pool.reserve0, pool.reserve1
            if token != pool.token0:
                into, out = out, into
            token = pool.token1 if token == pool.token0 else pool.token0
            paid = amounts * (10**6 - pool.fee_ppm)
            amounts = paid * out // (into * 10**6 + paid)
        gains = np.where(amounts > 0, amounts - inputs, -1)
        found.append(int(gains.max()) - ask.once - ask.each * len(cycle))
    return sorted((net for net in found if net > 0), reverse=True)


@pytest.mark.parametrize(("tokens", "pools"), [(3, 6), (6, 20), (20, 60), (80, 300)])
def test_no_cycle_at_any_input_leaves_more(tokens: int, pools: int, seed: int) -> None:
    """The best, and the five best, of all cycles at all inputs: after costs, up to a bound."""
    rng = random.Random(seed)
    paying = 0
    for _ in range(3 if pools == 300 else 12):
        taken = small(rng, tokens=tokens, pools=pools, noise=rng.choice([0.03, 0.1, 0.3]))
        ask = Ask(
            hops=rng.choice([2, 3, 4]),
            most=rng.choice([40, INPUTS]),
            once=rng.choice([0, 5, 20]),
            each=rng.choice([0, 1, 7]),
        )
        wanted = brute(taken, ask)
        paying += bool(wanted)
        graph = Graph(taken)
        best, *_ = ask.search(graph).best() or (None,)
        five = ask.search(graph).best(5)

        assert [cycle.net for cycle in five] == wanted[:5], (seed, ask)
        assert (best,) == (five or (None,))[:1], (seed, ask)
        check(five, taken, ask)
    assert paying > 0


def test_five_hops_are_searched_when_asked(seed: int) -> None:
    """Any number of hops may be asked for."""
    rng = random.Random(seed)
    for _ in range(4):
        taken = small(rng, tokens=6, pools=9)
        for hops in (5, 6):
            ask = Ask(hops=hops)
            assert [one.net for one in ask.search(Graph(taken)).best(3)] == brute(taken, ask)[:3]


def check(found: Sequence[Cycle], taken: Snapshot, ask: Ask) -> None:
    """Assert that cycles are what they say, all of them different."""
    for cycle in found:
        pools, amounts = cycle.path.pools, cycle.amounts
        token = START
        for pool, (paid, got) in zip(pools, itertools.pairwise(amounts), strict=True):
            assert taken.pools[pool.id] == pool
            assert pool.fill_in(token, paid) == (paid, got)
            token = pool.token1 if token == pool.token0 else pool.token0
        assert token == START
        assert len(set(cycle.path.tokens)) == len(pools) == len({pool.id for pool in pools})
        assert amounts[0] <= ask.most
        assert cycle.net == amounts[-1] - amounts[0] - ask.once - ask.each * len(pools)
    assert len({cycle.path for cycle in found}) == len(found)


def mixed(rng: random.Random, pools: int) -> Snapshot:
    """V2, V3 and V4 of any depth, down to dust, over six tokens."""
    taken = market(rng, tokens=6, pools=pools, depth=(8, 22), noise=0.01)
    states = [
        in_manager(pool) if isinstance(pool, Concentrated) and rng.random() < 0.5 else pool
        for pool in taken.pools.values()
    ]
    return msgspec.structs.replace(taken, pools={pool.id: pool for pool in states})


def in_manager(ticked: Concentrated) -> ConcentratedV4:
    fields = {field: getattr(ticked, field) for field in Concentrated.__struct_fields__}
    fields["id"] = Hash("0x" + ticked.id[2:].rjust(64, "4"))
    return ConcentratedV4(**fields, protocol_fee_ppm=(300, 100))


def ternary(cycle: tuple[Pool, ...], start: Address) -> int:
    """The profit that a search by thirds ends at."""
    low, high = 1, 10**24
    while high - low > 2:
        third = (high - low) // 3
        if profit(cycle, start, low + third) < profit(cycle, start, high - third):
            low += third
        else:
            high -= third
    return max(profit(cycle, start, amount) for amount in range(low, high + 1))


def test_no_cycle_of_a_mixed_market_leaves_more(seed: int) -> None:
    """V2, V3 and V4: nothing that thirds find in any cycle is more, but for a unit a hop."""
    rng = random.Random(seed)
    paying = 0
    for _ in range(3):
        taken = mixed(rng, 14)
        for start in sorted(taken.tokens)[:2]:
            most = max((ternary(one, start) for one in all_cycles(taken, start, 3)), default=0)
            found = CycleSearch(Graph(taken), start, max_hops=3).best()
            paying += bool(found)
            assert found or most <= 0, (seed, most)
            for cycle in found:
                assert cycle.net >= most - 3, (seed, most)
                assert profit(cycle.path.pools, start, cycle.amounts[0]) == cycle.net
    assert paying > 0


def test_pools_that_trade_one_way_only_make_a_cycle() -> None:
    """Liquidity all on one side of the price: neither pool can be traded back."""
    flat = concentrated(random.Random(1), (TOKENS[0], TOKENS[1]), 1e18, 0.0)
    below = msgspec.structs.replace(
        flat, liquidity=0, ticks=((-6000, 10**18), (-3000, -(10**18))), tick_spacing=60
    )
    above = msgspec.structs.replace(
        below,
        id=Address("0x" + "7" * 40),
        ticks=((-(10**4) * 6, 0), (3000, 10**18), (6000, -(10**18))),
    )
    # The one sells token1 for less than the other buys it.
    cheap = msgspec.structs.replace(
        above,
        sqrt_price_x96=2**96 // 2,
        tick=-13864,
        ticks=((-12000, 10**18), (-9000, -(10**18))),
    )
    found = CycleSearch(Graph(snapshot(below, cheap)), TOKENS[0]).best()
    back = CycleSearch(Graph(snapshot(below, cheap)), TOKENS[1]).best()

    ring = [
        below,
        msgspec.structs.replace(
            below, id=name(random.Random(2)), token0=TOKENS[1], token1=TOKENS[2]
        ),
        msgspec.structs.replace(cheap, id=name(random.Random(3)), token1=TOKENS[2]),
    ]
    around = CycleSearch(Graph(snapshot(*ring)), TOKENS[0]).best()

    assert [tuple(ring)] == [one.path.pools for one in around]
    assert len(found) == len(back) == 1
    assert found[0].path.pools == back[0].path.pools[::-1]
    assert found[0].net > 10**16


def test_after_changes_the_answer_is_that_of_a_new_search(seed: int) -> None:
    """However many pools change, often the best cycle's own, and whether or not any pays."""
    rng = random.Random(seed)
    answers = set()
    for _ in range(4):
        taken, ask = small(rng, tokens=8, pools=40), Ask(each=rng.choice([0, 3]))
        graph = Graph(taken)
        search = ask.search(graph)
        for _ in range(25):
            found = search.best(rng.choice([1, 3]))
            again = ask.search(Graph(taken)).best(3)
            answers.add(tuple(cycle.rank for cycle in again))

            assert found == again[: len(found)], seed
            assert len(found) > 0 or not again
            mine = [pool.id for cycle in found[:1] for pool in cycle.path.pools]
            others = rng.sample(sorted(taken.pools), rng.choice([0, 1, 4]))
            changed = {*others, *(mine if rng.random() < 0.5 else ())}
            taken = msgspec.structs.replace(
                taken, pools=taken.pools | {one: stirred(rng, taken.pools[one]) for one in changed}
            )
            moved = graph.move(taken)
            assert moved is not None
            search.move(moved)
    assert len(answers) > 50


def stirred(rng: random.Random, pool: Pool) -> Pool:
    """A pool after trades and more liquidity, sometimes drained."""
    assert isinstance(pool, ConstantProduct)
    if rng.random() < 0.05:
        return msgspec.structs.replace(pool, reserve0=0, reserve1=0)
    return msgspec.structs.replace(
        pool,
        reserve0=max(2, int(rng.choice([30, 900]) * rng.lognormvariate(0, 0.2))),
        reserve1=max(2, int(rng.choice([30, 900]) * rng.lognormvariate(0, 0.2))),
    )


def test_pools_with_ticks_move_like_others(seed: int) -> None:
    """V2, V3 and V4, traded and shocked: after every block the answer is that of a new search."""
    rng = random.Random(seed)
    taken = mixed(rng, 24)
    start = min(taken.tokens)
    graph = Graph(taken)
    search = CycleSearch(graph, start, max_hops=3)
    for _ in range(20):
        found = search.best()

        assert CycleSearch(Graph(taken), start, max_hops=3).best() == found, seed
        traded = dict(taken.pools)
        for cycle in found if rng.random() < 0.5 else ():
            for pool, token, amount in zip(
                cycle.path.pools, cycle.path.tokens, cycle.amounts, strict=False
            ):
                traded[pool.id] = after(traded[pool.id], token, amount)
        for one in rng.sample(sorted(traded), 2):
            token = rng.choice([traded[one].token0, traded[one].token1])
            traded[one] = after(traded[one], token, int(10 ** rng.uniform(4, 18)))
        taken = msgspec.structs.replace(taken, pools=traded)
        moved = graph.move(taken)
        assert moved is not None
        search.move(moved)


def after(pool: Pool, token: Address, amount: int) -> Pool:
    """A pool after what it takes of a swap, itself where it takes none."""
    try:
        if isinstance(pool, ConstantProduct):
            return pool.swap_in(token, amount)[1]
        return pool.swap(token, amount).pool
    except PoolError:
        return pool


def test_a_token_that_pools_lead_to_again_is_searched(seed: int) -> None:
    """What was drained when prices were estimated counts once it is filled, also in two steps."""
    rng = random.Random(seed)
    near, far = TOKENS[1], TOKENS[2]
    full = [
        ConstantProduct(id=name(rng), token0=START, token1=near, reserve0=900, reserve1=900),
        ConstantProduct(id=name(rng), token0=near, token1=far, reserve0=900, reserve1=900),
        ConstantProduct(id=name(rng), token0=START, token1=far, reserve0=900, reserve1=1900),
    ]
    taken = snapshot(*(msgspec.structs.replace(one, reserve0=0, reserve1=0) for one in full))
    graph = Graph(taken)
    search = CycleSearch(graph, START)
    for pool in rng.sample(full, 3):
        assert search.best() == ()
        taken = msgspec.structs.replace(taken, pools=taken.pools | {pool.id: pool})
        moved = graph.move(taken)
        assert moved is not None
        search.move(moved)

    assert [3] == [len(cycle.path.pools) for cycle in search.best()]
    assert CycleSearch(Graph(taken), START).best() == search.best()


def test_prices_that_grow_old_are_brought_up(seed: int) -> None:
    """A market that drifts far away block by block is answered as a new search would."""
    rng = random.Random(seed)
    taken = small(rng, tokens=12, pools=50, noise=0.03)
    graph = Graph(taken)
    search = Ask().search(graph)
    drift = [rng.uniform(0.8, 1.25) for _ in TOKENS]
    for _ in range(12):
        found = search.best()

        assert Ask().search(Graph(taken)).best() == found, seed
        scaled = {
            one: msgspec.structs.replace(
                pool, reserve0=1 + int(pool.reserve0 * drift[TOKENS.index(pool.token0)])
            )
            for one, pool in taken.pools.items()
            if isinstance(pool, ConstantProduct)
        }
        taken = msgspec.structs.replace(taken, pools=scaled)
        moved = graph.move(taken)
        assert moved is not None
        search.move(moved)


def test_what_changes_is_searched_alone(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as something is left of what was known, no search of everything follows."""
    rng = random.Random(seed)
    taken = small(rng, tokens=6, pools=60, noise=0.3)
    graph = Graph(taken)
    search = Ask().search(graph)
    search.best()
    asked = []
    whole = CycleSearch._search_all

    def counted(search: CycleSearch, least: float) -> None:
        asked.append(least)
        whole(search, least)

    monkeypatch.setattr(CycleSearch, "_search_all", counted)
    for pool in sorted(taken.pools)[:20]:
        taken = msgspec.structs.replace(
            taken, pools=taken.pools | {pool: stirred(rng, taken.pools[pool])}
        )
        moved = graph.move(taken)
        assert moved is not None
        search.move(moved)
        search.best()

    assert len(asked) < 8


def answers_of(number: int) -> str:
    """What a market's searches find, to be compared between processes."""
    rng = random.Random(number)
    graphs = [Graph(small(rng, tokens=6, pools=20)), Graph(mixed(rng, 8))]
    tokens = [START, graphs[1].tokens[0]]
    found = [CycleSearch(graph, token).best(3) for graph, token in zip(graphs, tokens, strict=True)]
    return repr([[(one.rank, one.amounts) for one in cycles] for cycles in found])


def test_the_compiled_kernels_are_the_python_ones() -> None:
    """With compiling disabled the same markets give the same cycles."""
    here = "tests.routing.cycles.test_search"
    program = f"from {here} import answers_of; print(answers_of(5), end='')"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert answers_of(5) == done.stdout
    assert done.stdout.count("0x") > 4


def test_a_token_that_is_nowhere_is_in_no_cycle() -> None:
    """Neither a token of no pool nor a graph of no pools has any."""
    empty = Graph(snapshot())

    assert CycleSearch(empty, START).best() == ()
    assert CycleSearch(Graph(small(random.Random(1), tokens=3, pools=3)), TOKENS[9]).best() == ()


def test_warming_up_needs_no_market() -> None:
    """Compiling ahead works without pools of ours."""
    warm_up()
