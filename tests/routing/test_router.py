import random

import msgspec
import pytest

from tests.routing.graphs import (
    HEAD,
    TOKENS,
    concentrated,
    cycles,
    market,
    outcome,
    pair,
    profit,
    snapshot,
    ternary,
)
from toolkit.model.chain import MAINNET_WETH, Address
from toolkit.model.errors import NoRoute
from toolkit.model.market import PoolKind, Route
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.pools.ticks import sqrt_price_at_tick
from toolkit.routing.gas import GAS_BASE, GAS_PER_HOP
from toolkit.routing.router import Router

A, B, C, D, E, F = TOKENS


def constant(
    number: int,
    ends: tuple[Address, Address],
    reserve0: int,
    reserve1: int,
    fee_ppm: int = 3000,
) -> ConstantProduct:
    return ConstantProduct(
        id=Address(f"0x{number:040x}"),
        token0=ends[0],
        token1=ends[1],
        reserve0=reserve0,
        reserve1=reserve1,
        fee_ppm=fee_ppm,
    )


def check(route: Route, taken: Snapshot) -> None:
    """Assert that a route is consistent and every amount the pools' own integer."""
    assert route.block_hash == taken.block.hash
    assert route.hops[0].amount_in == route.amount_in
    assert route.hops[-1].amount_out == route.amount_out
    for hop in route.hops:
        pool = taken.pools[hop.pool]
        assert hop.kind is pool.kind
        assert hop.fee_ppm == pool.fee_ppm
        assert {hop.token_in, hop.token_out} == {pool.token0, pool.token1}
        assert pool.swap_in(hop.token_in, hop.amount_in)[0] == hop.amount_out
    for hop, following in zip(route.hops, route.hops[1:], strict=False):
        assert hop.amount_out == following.amount_in
        assert hop.token_out == following.token_in


def test_no_route_goes_through_a_token_that_keeps_a_part_of_transfers() -> None:
    """Its pools are left out, however good they look, and asking for it says why."""
    plain = snapshot(
        constant(1, (A, B), 10**20, 10**20),
        constant(2, (A, C), 10**20, 10**22),
        constant(3, (B, C), 10**22, 10**20),
    )
    burning = msgspec.structs.replace(plain.tokens[C], transfer_fee_ppm=1)
    router = Router(msgspec.structs.replace(plain, tokens={**plain.tokens, C: burning}))

    assert Router(plain).arbitrage(A) is not None
    assert router.arbitrage(A) is None
    assert [1] == [int(hop.pool, 16) for hop in router.path(A, B, 10**6).hops]
    with pytest.raises(NoRoute, match=f"{C} .* keeps 1 ppm of each transfer"):
        router.path(A, C, 10**6)


def test_the_best_cycle_is_that_of_trying_everything(seed: int) -> None:
    """On small markets: every cycle at every input, and none pays a unit more."""
    rng = random.Random(seed)
    paying = 0
    for _ in range(200):
        taken = market(rng, tokens=4, pools=6, depth=(1.5, 2.8), noise=0.2, v3=0.0)
        if A not in taken.tokens:
            continue
        best = max(
            (profit(cycle, A, amount) for cycle in cycles(taken, A, 3) for amount in range(1, 700)),
            default=0,
        )
        route = Router(taken).arbitrage(A, max_hops=3)
        found = 0 if route is None else route.profit
        paying += found > 0

        assert found == max(best, 0), seed
    assert paying > 20


def test_no_cycle_of_a_mixed_market_pays_more(seed: int) -> None:
    """V2 and V3 with crossings and gaps: a ternary search over every cycle gains no more.

    Between inputs that differ a lot roundings differ by up to one unit a hop; nothing else may.
    """
    rng = random.Random(seed)
    paying = 0
    for _ in range(60):
        taken = market(rng, tokens=4, pools=7, depth=(14, 22))
        if A not in taken.tokens:
            continue
        route = Router(taken).arbitrage(A, max_hops=3)
        rivals = [ternary(cycle, A, 10**24) for cycle in cycles(taken, A, 3)]
        best = max(rivals, default=(0, 0))
        if route is None:
            assert best[0] <= 0, seed
            continue
        check(route, taken)
        paying += 1

        assert route.profit >= best[0] - 3, (seed, route, best)
    assert paying > 20


def test_the_size_is_a_local_optimum(seed: int) -> None:
    """No input 2^k more or less pays more through the same pools."""
    rng = random.Random(seed)
    proven = 0
    for _ in range(20):
        taken = market(rng, tokens=4, pools=8, depth=(6, 24))
        if A not in taken.tokens:
            continue
        for route in Router(taken).arbitrages(A):
            pools = tuple(taken.pools[hop.pool] for hop in route.hops)
            for step in (1 << k for k in range(route.amount_in.bit_length() + 1)):
                for amount in (route.amount_in + step, route.amount_in - step):
                    assert amount < 1 or profit(pools, A, amount) <= route.profit, seed
            proven += 1
    assert proven > 10


def test_cycles_come_ranked_and_limited(seed: int) -> None:
    """Several cycles: distinct, exact, best first, and a smaller limit gives their beginning."""
    rng = random.Random(seed)
    several = 0
    for _ in range(20):
        taken = market(rng, tokens=3, pools=8, depth=(18, 22))
        if A not in taken.tokens:
            continue
        found = Router(taken).arbitrages(A, limit=8)
        several += len(found) > 1
        for route in found:
            check(route, taken)
        profits = [route.profit for route in found]

        assert profits == sorted(profits, reverse=True)
        assert len({tuple(hop.pool for hop in route.hops) for route in found}) == len(found)
        assert Router(taken).arbitrages(A, limit=2) == found[:2]
    assert several > 5


def test_the_order_of_pools_does_not_matter(seed: int) -> None:
    """The same pools in any order give the same routes."""
    rng = random.Random(seed)
    for _ in range(8):
        taken = market(rng, tokens=4, pools=10, depth=(18, 22))
        items = list(taken.pools.items())
        rng.shuffle(items)
        shuffled = msgspec.structs.replace(taken, pools=dict(items))
        for token in taken.tokens:
            assert Router(taken).arbitrages(token) == Router(shuffled).arbitrages(token), seed
        start, end = rng.sample(sorted(taken.tokens), 2)
        routers = Router(taken), Router(shuffled)
        try:
            first = routers[0].path(start, end, 10**17)
        except NoRoute:
            continue
        assert first == routers[1].path(start, end, 10**17)


def test_gas_is_paid_before_a_cycle_is_proposed(seed: int) -> None:
    """Whatever gas costs, what is proposed earns more than it; dearer gas never earns more."""
    rng = random.Random(seed)
    proposed = refused = 0
    for _ in range(30):
        taken = market(rng, tokens=4, pools=8, depth=(18, 22))
        router = Router(taken, native=B)
        if not {A, B} <= set(taken.tokens):
            continue
        before: int | None = None
        for gas_price in (0, 10**9, 10**11, 10**13):
            try:
                route = router.arbitrage(A, gas_price_wei=gas_price)
            except NoRoute:  # no path between A and B
                break
            net = 0 if route is None else router.net_profit(route, gas_price)
            proposed += route is not None
            refused += route is None
            assert route is None or net > 0, seed
            assert before is None or net <= before, seed
            before = net
    assert proposed > 10
    assert refused > 5


def test_gas_changes_the_choice() -> None:
    """Where a third hop earns less than its gas, the cycle of two hops is the better one."""
    near = constant(1, (A, B), 10**21, 105 * 10**19)
    direct = constant(2, (A, B), 10**24, 10**24, fee_ppm=0)
    detour = (
        constant(3, (B, C), 10**24, 10**24, fee_ppm=0),
        constant(4, (A, C), 10001 * 10**20, 10**24, fee_ppm=0),
    )
    router = Router(snapshot(near, direct, *detour), native=A)

    free = router.arbitrage(A)
    paid = router.arbitrage(A, gas_price_wei=10**11)

    assert free is not None
    assert paid is not None
    assert (len(free.hops), len(paid.hops)) == (3, 2)
    assert router.gas_units(free) == GAS_BASE + 3 * GAS_PER_HOP[PoolKind.CONSTANT_PRODUCT]
    assert router.net_profit(paid, 10**11) > router.net_profit(free, 10**11)
    assert router.arbitrage(A, gas_price_wei=10**13) is None


def test_gas_is_bought_at_the_cheapest_pool() -> None:
    """The cost of gas in a token is the least that buys it, rounded up, over up to two hops."""
    dear, cheap = constant(1, (A, B), 2 * 10**20, 10**20), constant(2, (A, B), 10**20, 10**20)
    router = Router(snapshot(dear, cheap, constant(3, (A, C), 10**22, 10**22)), native=B)

    assert router.gas_cost(A, 10**15) == cheap.quote_out(B, 10**15)
    assert router.gas_cost(B, 10**15) == 10**15
    assert router.gas_cost(C, 10**15) > router.gas_cost(A, 10**15)
    assert router.gas_cost(C, 0) == 0


def test_without_a_price_for_gas_there_is_no_answer() -> None:
    """With a gas price and no path to the wrapped native token the question fails, and says so."""
    taken = snapshot(constant(1, (A, B), 10**20, 10**20), constant(2, (A, B), 10**20, 2 * 10**20))

    assert Router(taken).arbitrage(A) is not None
    with pytest.raises(NoRoute, match=MAINNET_WETH):
        Router(taken).arbitrage(A, gas_price_wei=1)


def test_the_most_that_may_go_in_is_kept() -> None:
    """A lender's limit bounds the input, and the rest of the profit is left there."""
    taken = snapshot(constant(1, (A, B), 10**20, 10**20), constant(2, (A, B), 10**20, 2 * 10**20))
    free = Router(taken).arbitrage(A)
    bound = Router(taken).arbitrage(A, max_input=10**17)
    assert free is not None
    assert bound is not None

    assert free.amount_in > 10**17
    assert 10**17 - 10 <= bound.amount_in <= 10**17
    assert 0 < bound.profit < free.profit


def test_a_pool_priced_beyond_what_is_known_is_left_out(seed: int) -> None:
    """It would be a stretch of negative width; the pool is left out, and the reason says so."""
    v3 = concentrated(random.Random(seed), (A, B), 1e18, 0.1)
    low = (v3.tick + 1) // v3.tick_spacing * v3.tick_spacing + v3.tick_spacing
    beyond = [
        msgspec.structs.replace(v3, ticks=(), gross=(), known=known)
        for known in ((low, low + 1000), (low - 5000, low - 2 * v3.tick_spacing - 1))
    ]
    edge = msgspec.structs.replace(
        v3,
        ticks=(),
        gross=(),
        known=(low, 887272),
        tick=low,
        sqrt_price_x96=sqrt_price_at_tick(low),
    )

    for pool in beyond:
        taken = snapshot(pool)
        why = f"pool {pool.id}: known: its price, at tick {pool.tick}, is beyond"
        with pytest.raises(NoRoute, match=f"has token {A}; left out: {why}"):
            Router(taken).arbitrage(A)
    assert Router(snapshot(edge)).arbitrage(A) is None


def test_nothing_is_proposed_where_nothing_pays() -> None:
    """Equal prices lose the fees, an only pool makes no cycle, dead pools are passed over."""
    even = snapshot(constant(1, (A, B), 10**20, 10**20), constant(2, (A, B), 10**21, 10**21))
    lonely = snapshot(constant(1, (A, B), 10**20, 10**20))
    dead = snapshot(constant(1, (A, B), 10**20, 10**20), constant(2, (A, B), 0, 0))
    ended = snapshot(constant(1, (A, B), 0, 0))

    for taken in (even, lonely, dead, ended):
        assert Router(taken).arbitrages(A) == ()
        assert Router(taken).arbitrage(A) is None


def test_the_best_swap_is_that_of_trying_every_path(seed: int) -> None:
    """Up to two hops over V2 and V3: no path gives a unit more."""
    rng = random.Random(seed)
    answered = 0
    for _ in range(200):
        taken = market(rng, tokens=4, pools=7, depth=(14, 22))
        start, end = rng.sample(TOKENS[:4], 2)
        amount = int(10 ** rng.uniform(3, 23))
        pools = list(taken.pools.values())
        outputs = [
            outcome(path, start, amount)
            for path in [(p,) for p in pools] + [(p, q) for p in pools for q in pools if p != q]
            if leads(path, start, end)
        ]
        best = max((out for out in outputs if out is not None), default=None)
        try:
            route = Router(taken).path(start, end, amount)
        except NoRoute:
            assert best is None, seed
            continue
        check(route, taken)
        answered += 1

        assert route.amount_out == best, seed
        assert (route.token_in, route.token_out, route.amount_in) == (start, end, amount)
    assert answered > 100


def leads(path: tuple[object, ...], start: Address, end: Address) -> bool:
    """Whether pools one after another lead from a token to another, not through it."""
    token, seen = start, [start]
    for pool in path:
        assert hasattr(pool, "token0")
        assert hasattr(pool, "token1")
        if token not in (pool.token0, pool.token1):
            return False
        token = pool.token1 if token == pool.token0 else pool.token0
        seen.append(token)
    return token == end and len(set(seen)) == len(seen)


def test_an_amount_that_buys_nothing_has_no_route() -> None:
    """Dust that rounds to zero is refused: the pair would revert, a pool would keep it."""
    taken = snapshot(constant(1, (A, B), 10**21, 10**9))

    assert Router(taken).path(A, B, 2 * 10**12).amount_out == 1
    with pytest.raises(NoRoute, match="no path of up to 2 hops takes 1000 "):
        Router(taken).path(A, B, 1000)


def test_one_hop_is_preferred_when_two_give_the_same() -> None:
    """Equal outputs are settled by fewer hops, then by address."""
    direct = constant(9, (A, B), 10**20, 10**20)
    taken = snapshot(direct, constant(8, (A, B), 10**20, 10**20))

    assert Router(taken).path(A, B, 10**10).hops[0].pool == f"0x{8:040x}"


@pytest.mark.parametrize(
    ("ends", "amount", "message"),
    [
        ((A, F), 1, f"no pool of block {HEAD.number} has token {F}"),
        ((F, A), 1, f"has token {F}"),
        ((A, A), 1, "to itself is no swap"),
        ((A, B), 0, "must be positive"),
        ((A, B), -1, "must be positive"),
        ((A, D), 10**10, "no path of up to 2 hops"),
        ((A, B), 2**120, "no path of up to 2 hops"),
    ],
)
def test_swaps_without_a_route_are_refused(
    ends: tuple[Address, Address], amount: int, message: str
) -> None:
    """Unknown tokens, equal tokens, no amount, too far apart, too much: NoRoute says which."""
    pools = [constant(n, (x, y), 10**20, 10**20) for n, x, y in ((1, A, B), (2, B, C), (3, C, D))]

    with pytest.raises(NoRoute, match=message):
        Router(snapshot(*pools)).path(*ends, amount)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"token": F}, f"has token {F}"),
        ({"token": A, "max_hops": 1}, "max_hops >= 2"),
        ({"token": A, "limit": 0}, "limit >= 1"),
        ({"token": A, "max_input": 0}, "nothing can go in"),
    ],
)
def test_impossible_arbitrage_questions_are_refused(
    question: dict[str, object], message: str
) -> None:
    """An unknown token or a bound that allows nothing is NoRoute, not an empty answer."""
    taken = snapshot(constant(1, (A, B), 10**20, 10**20))

    with pytest.raises(NoRoute, match=message):
        Router(taken).arbitrages(**question)  # type: ignore[arg-type] # one wrong argument each


def test_a_longer_cycle_needs_the_hops() -> None:
    """A mispricing around four tokens is found with four hops and not with three."""
    ring = [
        constant(1, (A, B), 10**20, 10**20),
        constant(2, (B, C), 10**20, 10**20),
        constant(3, (C, D), 10**20, 10**20),
        constant(4, (A, D), 11 * 10**19, 10**20),
    ]
    taken = snapshot(*ring)

    assert Router(taken).arbitrage(A, max_hops=3) is None
    four = Router(taken).arbitrage(A)
    assert four is not None
    assert [hop.pool for hop in four.hops] == [pool.id for pool in ring]


def test_routes_name_fees_and_kinds(seed: int) -> None:
    """A hop carries what an executor needs to know about its pool."""
    pool = pair(random.Random(seed), (A, B), 1e20, 0.0)
    hop = Router(snapshot(pool)).path(A, B, 10**15).hops[0]

    assert (hop.kind, hop.fee_ppm, hop.zero_for_one) == (
        PoolKind.CONSTANT_PRODUCT,
        pool.fee_ppm,
        True,
    )
