"""The router's answers over many pools, run by a simulator, beside their bound."""

import math
import random

import msgspec
import pytest

from scripts.bench.simulator import simulate
from tests.routing.graphs import TOKENS, concentrated, market, pair, snapshot
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, NoRoute
from toolkit.model.market import BEST_SO_FAR, Basket, Route, Token
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.filters import PoolFilter
from toolkit.routing.router import Router
from toolkit.routing.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
A, B, C, D, *_ = TOKENS


def v2(number: int, tokens: tuple[Address, Address], reserves: tuple[int, int]) -> ConstantProduct:
    return ConstantProduct(
        id=Address(f"0x{number:040x}"),
        token0=tokens[0],
        token1=tokens[1],
        reserve0=reserves[0],
        reserve1=reserves[1],
        fee_ppm=3000,
    )


def checked(route: Route, taken: Snapshot) -> Route:
    """Run a route hop by hop: what is at the end is what it says, and nobody is owed anything."""
    start = {route.token_in: route.amount_in}
    if not route.flags:
        left = simulate(taken, route.hops, start)
        assert route.amount_out == left.get(route.token_out, 0)
    assert () == verify(route, taken)
    if route.bound is not None:
        assert route.net <= route.bound
    return route


def test_all_pools_together_pay_no_less_than_the_best_cycle(seed: int) -> None:
    """Over seeded markets, with gas and without: executable, below the bound, above any cycle."""
    rng = random.Random(seed)
    paid = 0
    for _ in range(40):
        taken = market(rng, tokens=5, pools=10, depth=(20, 22), noise=0.01)
        router = Router(taken, native=A)
        gas_price_wei = rng.choice([0, 10**9, 10**10])
        try:
            route = checked(router.network(A, gas_price_wei=gas_price_wei), taken)
        except NoRoute:
            continue
        cycle = router.arbitrage(A, gas_price_wei=gas_price_wei)
        paid += bool(route.hops)

        assert route.net >= 0
        if cycle is not None:
            assert cycle.bound is not None
            assert cycle.net <= cycle.bound
            assert route.net >= cycle.net, seed
    assert paid > 10


def test_doing_nothing_is_an_answer() -> None:
    """Where gas eats everything there are no hops, and the bound says how little there was."""
    taken = snapshot(v2(1, (A, B), (10**21, 10**21)), v2(2, (A, B), (10**21, 11 * 10**20)))
    router = Router(taken, native=A)
    idle, paying = router.network(A, gas_price_wei=10**16), router.network(A)

    assert ((), 0, 0, 0, 0) == (
        idle.hops,
        idle.amount_in,
        idle.amount_out,
        idle.gas_units,
        idle.gas_cost,
    )
    assert 0 == idle.bound
    assert 2 == len(paying.hops)
    assert 0 < paying.net <= (paying.bound or 0)


def test_a_moved_router_answers_as_a_new_one(seed: int) -> None:
    """After each change, also of which pools there are, all its answers are a new router's."""
    rng = random.Random(seed)
    taken = market(rng, tokens=4, pools=8, depth=(20, 22), noise=0.01)
    router = Router(taken, native=A)
    for turn in range(6):
        changed = {
            pool.id: msgspec.structs.replace(
                pair(rng, (pool.token0, pool.token1), 10 ** rng.uniform(20, 22), 0.01), id=pool.id
            )
            for pool in rng.sample(sorted(taken.pools.values(), key=lambda pool: pool.id), 2)
        }
        pools = taken.pools | changed
        if turn == 3:  # one goes, but not the last that joins the two tokens asked about
            pools.pop(max(pools, key=lambda name: (pools[name].token1 != B, name)))
        taken = msgspec.structs.replace(taken, pools=pools)
        router.move(taken)
        fresh = Router(taken, native=A)

        assert fresh.arbitrages(A) == router.arbitrages(A)
        assert fresh.swap(A, B, 10**18) == router.swap(A, B, 10**18)
        assert fresh.network(A).net == pytest.approx(router.network(A).net, rel=1e-6, abs=10)


def test_orders_are_split_with_their_gas(seed: int) -> None:
    """A swap spends all of its input, an exact output gets its amount, and limits are kept."""
    rng = random.Random(seed)
    for _ in range(20):
        taken = market(rng, tokens=3, pools=8, depth=(20, 22), noise=0.01)
        router = Router(taken, native=A)
        try:
            sold = checked(router.swap(A, B, 10**19, gas_price_wei=10**9), taken)
            bought = checked(router.swap_exact_out(A, B, sold.amount_out), taken)
        except NoRoute:
            continue

        assert sold.gas_units * 10**9 <= sold.gas_cost * 3
        assert bought.amount_out >= sold.amount_out
        assert bought.amount_in <= 10**19 * (1 + 1e-6)
        assert router.path(A, B, 10**19).amount_out <= router.swap(A, B, 10**19).amount_out
        with pytest.raises(NoRoute, match="is the best price"):
            router.swap(A, B, 10**19, least_out=2 * sold.amount_out)


def test_one_coarse_unit_that_pays_for_all_gas_is_counted_once() -> None:
    """Gas by parts would cost one for each: nothing that pays is missed, and bounds are bounds."""
    taken = snapshot(
        v2(1, (A, B), (10**24, 10**24)),
        v2(2, (A, B), (10**24, 10**24 + 9 * 10**21)),
        v2(3, (A, B), (10**24, 10**24 + 8 * 10**21)),
        v2(4, (A, C), (10**24, 10**6)),
        v2(5, (C, D), (10**6, 10**24)),
    )
    router = Router(taken, native=D)
    cycle = router.arbitrage(A, gas_price_wei=10**9)
    network = router.network(A, gas_price_wei=10**9)
    order = router.swap(B, A, 10**22, gas_price_wei=10**9)

    assert 10**18 < router.gas_cost(A, 1) == router.gas_cost(A, 300_000 * 10**9) < 2 * 10**18
    assert cycle is not None
    assert 0 < cycle.net < router.gas_cost(A, 1)
    assert 0 < cycle.net <= (cycle.bound or 0)
    assert cycle.net <= network.net <= (network.bound or 0)
    assert 1 < len(order.hops)
    assert order.net <= (order.bound or 0)


def kept(basket: Basket, taken: Snapshot, sell: dict[Address, int]) -> dict[Address, int]:
    return simulate(taken, basket.hops, dict(sell))


def test_holdings_become_the_mixture_that_is_wanted() -> None:
    """Of one deep pool: half is traded, both tokens are there in proportion, near the bound."""
    taken = snapshot(
        v2(1, (A, B), (10**24, 10**24)), v2(2, (B, C), (10**24, 2 * 10**24)), v2(3, (A, D), (9, 9))
    )
    sell = {A: 10**20, C: 10**19}
    basket = Router(taken, native=A).rebalance(sell, {A: 1, B: 1}, gas_price_wei=1000)
    left = kept(basket, taken, sell)

    assert basket.got == {token: left[token] for token in (A, B)}
    assert basket.got[A] == pytest.approx(basket.got[B], rel=1e-4)
    assert 52 * 10**18 < basket.net <= basket.bound < 53 * 10**18
    assert basket.net >= 0.9999 * basket.bound
    assert 10**19 == basket.sold[C]
    assert 0 < basket.gas_cost < 10**9


def test_what_no_pool_takes_is_not_sold(seed: int) -> None:
    """Where the liquidity ends nothing holds a token's price, and the rest of it stays at hand."""
    pool = concentrated(random.Random(seed), (A, B), 1e18, 0.1)
    all_of_it, _ = pool.fill_in(A, 10**30)
    basket = Router(snapshot(pool), native=A).rebalance({A: 10**30}, {B: 1})

    assert {A} == set(basket.sold)
    assert 0.999 * all_of_it < basket.sold[A] <= all_of_it
    assert kept(basket, snapshot(pool), {A: 10**30})[B] == basket.got[B]
    assert basket.net <= basket.bound


def test_what_is_already_as_wanted_is_left_alone() -> None:
    """Holdings in the mixture's proportion need no hop."""
    taken = snapshot(v2(1, (A, B), (10**24, 10**24)))
    basket = Router(taken).rebalance({A: 10**20, B: 10**20}, {A: 1, B: 1})

    assert ((), 0) == (basket.hops, basket.gas_units)
    assert 10**20 == basket.count == pytest.approx(basket.bound)


@pytest.mark.parametrize(
    ("sell", "want"),
    [({}, {A: 1}), ({A: 1}, {}), ({A: 0}, {B: 1}), ({A: 1}, {B: -1}), ({A: 1}, {D: 1})],
)
def test_a_rebalancing_of_nothing_is_refused(
    sell: dict[Address, int], want: dict[Address, int]
) -> None:
    """The line has the amounts, or the token that no pool has."""
    with pytest.raises(NoRoute, match=r"positive amounts|has token"):
        Router(snapshot(v2(1, (A, B), (10**18, 10**18)))).rebalance(sell, want)


def test_filters_and_transfer_fees_keep_pools_out() -> None:
    """What is denied, dust, or keeps a part of transfers is not gone through."""
    deep = v2(1, (A, B), (10**21, 10**21))
    dust = v2(2, (A, B), (10**6, 10**9))
    apart = v2(3, (A, B), (10**21, 12 * 10**20))
    taken = snapshot(deep, dust, apart)
    dusty = Router(taken, native=A, filters=PoolFilter(minimum_depth_wei=10**18))
    denied = Router(taken, native=A, filters=PoolFilter(without_pools=frozenset({apart.id})))
    taxed = msgspec.structs.replace(
        taken,
        tokens=taken.tokens
        | {B: Token(address=B, symbol="B", decimals=18, transfer_fee_ppm=10_000)},
    )

    assert {deep.id, apart.id} == {hop.pool for hop in dusty.network(A).hops}
    assert apart.id not in {hop.pool for hop in denied.network(A).hops}
    with pytest.raises(NoRoute, match="no pool of block 9 has token"):
        Router(taxed, native=A).network(A)


def test_time_that_runs_out_leaves_the_best_so_far(seed: int) -> None:
    """Late from the start: flagged, executable, never a loss; a budget needs a clock."""
    taken = market(random.Random(seed), tokens=5, pools=12, depth=(20, 22), noise=0.02)
    ticks = iter(range(10**6))
    late = Router(taken, native=A, clock=lambda: float(next(ticks)))
    route = checked(late.network(A, time_budget_s=0.5), taken)

    assert BEST_SO_FAR in route.flags
    assert route.net >= 0
    with pytest.raises(ConfigError, match="time_budget_s"):
        Router(taken, native=A).network(A, time_budget_s=1.0)
    assert BEST_SO_FAR not in Router(taken, native=A).network(A).flags


def test_what_may_go_in_and_how_many_pools_are_limits(seed: int) -> None:
    """No more of the start token is out than allowed, and no more pools are used."""
    rng = random.Random(seed)
    for _ in range(10):
        taken = market(rng, tokens=4, pools=12, depth=(20, 22), noise=0.02)
        free = Router(taken, native=A).network(A)
        bounded = checked(Router(taken, native=A).network(A, max_input=10**17), taken)
        few = checked(Router(taken, native=A).network(A, max_pools=2), taken)

        assert bounded.amount_in <= 10**17
        assert len({hop.pool for hop in few.hops}) <= max(2, 4)
        assert bounded.net <= free.net + abs(free.net) * 1e-6 + 10
        assert math.isfinite(free.gap_bps or 0.0)
