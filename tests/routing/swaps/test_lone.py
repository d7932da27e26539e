import random

from tests.routing.graphs import TOKENS, market, snapshot
from tests.routing.settling.test_repair import constant
from tests.routing.swaps.test_split import gas
from toolkit.model.chain import Address
from toolkit.model.errors import NoRoute
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.curves import Routable
from toolkit.routing.cycles.sizing import Path
from toolkit.routing.graph import Graph, routable
from toolkit.routing.router import Router
from toolkit.routing.swaps.lone import Lone, lone_path
from toolkit.routing.swaps.split import Splitter
from toolkit.routing.swaps.swap_order import Order

A, B, C, *_ = TOKENS
DEEP = 10**24


def ways(taken: Snapshot) -> list[Path]:
    """All from A to B of up to two swaps, by trying."""
    pools = routable(taken)
    direct = [Path(pools=(one,), tokens=(A, B)) for one in pools if {A, B} == _ends(one)]
    return direct + [
        Path(pools=(one, two), tokens=(A, middle, B))
        for one in pools
        for two in pools
        for middle in _ends(one) - {A, B}
        if {A, middle} == _ends(one) and {middle, B} == _ends(two)
    ]


def _ends(pool: Routable) -> set[Address]:
    return {pool.token0, pool.token1}


def asked(taken: Snapshot, amount: int, price: int) -> tuple[Lone | None, int]:
    """What one path answers, and what the best split leaves after gas."""
    order = Order(token_in=A, token_out=B, amount_in=amount, gas=gas(price))
    return lone_path(ways(taken), amount, gas(price)), Splitter(Graph(taken)).swap(order).net


def test_where_one_path_answers_no_split_leaves_more(seed: int) -> None:
    """Over random pools, orders and gas prices; and the path's amounts are the pools' own."""
    rng = random.Random(seed)
    answered = 0
    for _ in range(60):
        taken = market(rng, tokens=3, pools=5, depth=(20, 24))
        amount, price = int(10 ** rng.uniform(15, 22)), int(10 ** rng.uniform(9, 13))
        try:
            found, net = asked(taken, amount, price)
        except NoRoute:
            continue
        if found is not None:
            path, amounts = found
            cost = gas(price).cost(gas(price).base + sum(map(gas(price).of, path.pools)))
            assert path.amounts(amount) == amounts
            assert net <= amounts[-1] - cost
            answered += 1

    assert answered > 5


def test_where_a_split_leaves_more_no_path_answers() -> None:
    """Two equal pools share an order once it moves their prices by more than the gas of a swap."""
    taken = snapshot(constant(1, (A, B), DEEP, DEEP), constant(2, (A, B), DEEP, DEEP))
    small, _ = asked(taken, 10**18, 10**9)
    large, net = asked(taken, 10**22, 10**9)
    alone = taken.pools[min(taken.pools)].quote_in(A, 10**22)

    assert small is not None
    assert large is None
    assert alone < net


def test_a_router_answers_either_way_alike() -> None:
    """A small order has the answer, the bound and the limit of a large one."""
    pools = [constant(1, (A, B), DEEP, DEEP), constant(2, (A, B), DEEP, DEEP // 2)]
    router = Router(snapshot(*pools), native=B)
    small = router.swap(A, B, 10**18, gas_price_wei=10**9)
    large = router.swap(A, B, 6 * 10**23, gas_price_wei=10**9)

    assert 1 == len(small.hops) < len(large.hops)
    assert small.net == small.bound
    assert large.bound is not None
    assert 0 <= large.bound - large.net < 1e-9 * large.net
    assert router.gas_cost(B, router.gas_units(small) * 10**9) == small.gas_cost
