import itertools
import random
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.routing.graphs import TOKENS, concentrated, market, outcome, pair, snapshot
from toolkit.model.chain import Address
from toolkit.model.errors import NoRoute
from toolkit.model.market import PoolKind, Route
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.graph import Graph
from toolkit.routing.kernels.shares import share_pairs
from toolkit.routing.kernels.split import ceiling, lower, solve, thin, walk_paths
from toolkit.routing.swaps.mesh import mesh_between
from toolkit.routing.swaps.shares import Spender, spend
from toolkit.routing.swaps.split import Splitter, warm_up
from toolkit.routing.swaps.swap_order import MOST, Gas, Order

A, B, C, D, E, _ = TOKENS
# Kernels may have to be compiled first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
KERNELS: tuple[Any, ...] = (solve, thin, lower, ceiling, walk_paths, share_pairs)
HOP_GAS = {PoolKind.CONSTANT_PRODUCT: 75_000, PoolKind.CONCENTRATED: 110_000}


def swap(
    taken: Snapshot,
    *,
    amount_in: int | None = None,
    amount_out: int | None = None,
    max_hops: int = 2,
    max_pools: int | None = None,
    least_out: int = 0,
    most_in: int = MOST,
    gas: Gas | None = None,
) -> Route:
    order = Order(
        token_in=A,
        token_out=B,
        amount_in=amount_in,
        amount_out=amount_out,
        max_hops=max_hops,
        max_pools=max_pools,
        least_out=least_out,
        most_in=most_in,
        gas=gas,
    )
    return Splitter(Graph(taken)).swap(order)


def gas(price: int) -> Gas:
    return Gas(
        base=90_000,
        of=lambda pool: HOP_GAS[pool.kind],
        cost=lambda units: units * price,
        least=price,
    )


def check(route: Route, taken: Snapshot) -> None:
    """Assert that the hops run one after the other with what is there, and leave nothing over."""
    held = {route.token_in: route.amount_in}
    pools = dict(taken.pools)
    for hop in route.hops:
        given, pools[hop.pool] = pools[hop.pool].swap_in(hop.token_in, hop.amount_in)
        assert given == hop.amount_out > 0
        held[hop.token_in] -= hop.amount_in
        assert held[hop.token_in] >= 0
        held[hop.token_out] = held.get(hop.token_out, 0) + given
    assert held.pop(route.token_out) == route.amount_out
    assert not any(held.values())


def singles(taken: Snapshot, amount: int, hops: int) -> list[int]:
    """What every path from A to B gives for all of an amount."""
    found = []
    for count in range(1, hops + 1):
        for sequence in itertools.permutations(taken.pools.values(), count):
            tokens = [A]
            for pool in sequence:
                if tokens[-1] not in (pool.token0, pool.token1) or tokens[-1] == B:
                    break
                tokens.append(pool.token1 if tokens[-1] == pool.token0 else pool.token0)
            else:
                if tokens[-1] == B and len(set(tokens)) == len(tokens):
                    found.append(outcome(sequence, A, amount) or 0)
    return found


def side_by_side(rng: random.Random, count: int, *, v3: float, depth: float = 20) -> Snapshot:
    makes = [concentrated if rng.random() < v3 else pair for _ in range(count)]
    return snapshot(*(make(rng, (A, B), 10 ** rng.gauss(depth, 0.5), 0.004) for make in makes))


def test_a_split_runs_and_no_single_path_gives_more(seed: int) -> None:
    """On mixed markets, over one to three hops: exact, executable, and within its bound."""
    rng = random.Random(seed)
    better = 0
    for _ in range(60):
        taken = market(rng, tokens=4, pools=7, depth=(4, 22))
        amount = int(10 ** rng.uniform(2, 21))
        for hops in (1, 2, 3):
            paths = singles(taken, amount, hops)
            if not any(paths):
                continue
            route = swap(taken, amount_in=amount, max_hops=hops)
            check(route, taken)
            better += route.amount_out > max(paths)

            assert amount == route.amount_in, seed
            assert max(paths) <= route.amount_out, (seed, route)
            assert route.bound is not None
            assert route.amount_out <= route.bound, (seed, route)
    assert better > 30


@pytest.mark.parametrize("count", [10, 30, 100])
def test_a_split_of_one_pair_is_within_half_a_basis_point_of_its_bound(
    seed: int, count: int
) -> None:
    """Mixed pools, orders of a thousandth to a tenth of what they hold; in fact, within units."""
    rng = random.Random(seed)
    for share in (0.001, 0.05, 0.1):
        taken = side_by_side(rng, count, v3=0.5)
        route = swap(taken, amount_in=int(10**20 * count * share), max_hops=1)
        check(route, taken)

        assert route.gap_bps is not None
        assert 0 <= route.gap_bps <= 0.5, seed


def test_small_amounts_are_split_as_trying_every_split_would(seed: int) -> None:
    """Two or three pools, every split in whole units: rarely a unit less, never more than one."""
    rng = random.Random(seed)
    missed = 0
    for round_ in range(40):
        count = 2 + round_ % 2
        taken = snapshot(*(pair(rng, (A, B), 10 ** rng.uniform(1.5, 3), 0.5) for _ in range(count)))
        amount = rng.randrange(2, 60)
        pools = list(taken.pools.values())
        table = [
            [0, *(pool.fill_in(A, unit)[1] for unit in range(1, amount + 1))] for pool in pools
        ]
        best = max(
            sum(row[part] for row, part in zip(table, (*parts, amount - sum(parts)), strict=True))
            for parts in itertools.product(range(amount + 1), repeat=count - 1)
            if sum(parts) <= amount
        )
        if not best:
            continue
        try:
            found = swap(taken, amount_in=amount, max_hops=1).amount_out
        except NoRoute:
            found = 0
        missed += found < best

        assert best - 1 <= found <= best, (seed, round_)
    assert missed <= 8


def test_no_grid_of_twentieths_over_seven_pools_gives_more(seed: int) -> None:
    """What most aggregators search: the best 5 % grid with at most seven routes, by dynamics."""
    rng = random.Random(seed)
    for count in (3, 12, 25):
        taken = side_by_side(rng, count, v3=0.3)
        amount = int(10**20 * count * 0.05)
        route = swap(taken, amount_in=amount, max_hops=1)

        assert grid(list(taken.pools.values()), amount) <= route.amount_out, seed


def grid(pools: list[Pool], amount: int, steps: int = 20, routes: int = 7) -> int:
    """The best split in parts of 1 / steps over at most so many pools."""
    best = np.full((routes + 1, steps + 1), -1.0)
    exact: dict[tuple[int, int], int] = {(used, 0): 0 for used in range(routes + 1)}
    assert best.shape == (routes + 1, steps + 1)
    for pool in pools:
        gives = [0]
        for step in range(1, steps + 1):
            taken, given = pool.fill_in(A, amount * step // steps)
            gives.append(given if taken == amount * step // steps else 0)
        for used in range(routes, 0, -1):
            for step in range(steps, 0, -1):
                found = [
                    exact[used - 1, step - part] + gives[part]
                    for part in range(1, step + 1)
                    if gives[part] and (used - 1, step - part) in exact
                ]
                if found:
                    exact[used, step] = max(exact.get((used, step), 0), *found)
    return max(exact.get((used, steps), 0) for used in range(1, routes + 1))


def test_an_exact_output_costs_no_more_than_the_input_that_gave_it(seed: int) -> None:
    """What an exact input bought is bought for it, but for roundings; no path does it for less."""
    rng = random.Random(seed)
    for _ in range(12):
        taken = market(rng, tokens=4, pools=8, depth=(18, 22), v3=0.4)
        amount = int(10 ** rng.uniform(10, 20))
        if not any(singles(taken, amount, 2)):
            continue
        sold = swap(taken, amount_in=amount, max_hops=2)
        bought = swap(taken, amount_out=sold.amount_out, max_hops=2)
        check(bought, taken)
        less = bought.amount_in - 1
        paths = singles(taken, less, 2)

        assert sold.amount_out <= bought.amount_out <= sold.amount_out + 1 + 10**6, seed
        assert bought.amount_in <= amount + amount // 10**9 + 20, seed
        assert max(paths) < sold.amount_out, seed


def test_compiled_shares_are_those_of_the_plain_integers(seed: int) -> None:
    """Pools side by side, fine and coarse units: as many units out, and all of the input spent."""
    rng = random.Random(seed)
    for round_ in range(40):
        count = rng.randrange(8, 20)
        inwards, outwards = (10 ** rng.uniform(3, 24) for _ in range(2))
        pools = [
            ConstantProduct(
                id=Address(f"0x{number + 1:040x}"),
                token0=A,
                token1=B,
                reserve0=int(inwards * rng.uniform(0.5, 2)) + 1,
                reserve1=int(outwards * rng.uniform(0.5, 2)) + 1,
            )
            for number in range(count)
        ]
        amount = max(1, int(inwards * rng.uniform(0.001, 0.1)))
        graph = Graph(snapshot(*pools))
        mesh = mesh_between(graph, 0, 1, 1)
        flows = np.zeros((3, count))
        assert solve(mesh, np.ones(count, np.bool_), float(amount), True, 1, np.zeros(2), flows)
        shares = flows[0].tolist()
        found = Spender(graph).spend(mesh.edge.tolist(), amount, shares)
        plain = spend(pools, A, amount, shares)

        assert amount == sum(taken for _, taken, _ in found), (seed, round_)
        for edge, taken, given in found:
            assert pools[edge >> 1].fill_in(A, taken) == (taken, given)
        bought = sum(given for *_, given in found)
        wanted = sum(given for _, given in plain)
        assert abs(bought - wanted) <= max(count, wanted >> 40), (seed, round_)


def test_a_pair_that_would_overflow_is_not_compiled_away() -> None:
    """The kernel says so where a share does not fit a pair, and the plain integers split anew."""
    full = np.array([[2**64 - 1, 2**48 - 1, 10**9, 0, 997, 1000]] * 8, np.uint64)
    amounts, given = np.zeros((2, 8, 2), np.uint64)
    total = np.array([800, 0], np.uint64)

    assert not share_pairs(full, np.full(8, 100.0), total, amounts, given)


def test_more_than_the_pools_can_take_is_no_route_and_says_how_much_is() -> None:
    """Liquidity that ends, reserves that would overflow, an order beyond any pool."""
    rng = random.Random(5)
    ending = snapshot(*(concentrated(rng, (A, B), 10**18, 0.01) for _ in range(3)))
    full = snapshot(
        ConstantProduct(
            id=Address("0x" + "1" * 40), token0=A, token1=B, reserve0=2**112 - 10, reserve1=10**20
        )
    )

    with pytest.raises(NoRoute, match=r"about [\d.e+]+ are the most"):
        swap(ending, amount_in=10**25)
    with pytest.raises(NoRoute, match=r"about [\d.e+]+ are the most"):
        swap(ending, amount_out=10**25)
    with pytest.raises(NoRoute, match="are the most"):
        swap(full, amount_in=11)
    with pytest.raises(NoRoute, match="more than any pool takes"):
        swap(full, amount_in=2**127)


def test_what_is_no_order_is_refused() -> None:
    """Equal or unknown tokens, no amounts or two, nothing or less; each with its reason."""
    taken = snapshot(pair(random.Random(1), (A, B), 10**18, 0.01))
    wrong: tuple[tuple[Callable[[], Route], str], ...] = (
        (lambda: swap(taken), "either an amount_in or an amount_out"),
        (lambda: swap(taken, amount_in=1, amount_out=1), "either"),
        (lambda: swap(taken, amount_in=0), "amount_in 0 must be positive"),
        (lambda: swap(taken, amount_out=-1), "amount_out -1 must"),
        (lambda: swap(taken, amount_in=1, max_hops=0), "max_hops 0"),
        (lambda: swap(taken, amount_in=1, max_pools=0), "max_pools 0"),
    )
    for ask, why in wrong:
        with pytest.raises(NoRoute, match=why):
            ask()
    with pytest.raises(NoRoute, match="to itself"):
        Order(token_in=A, token_out=A, amount_in=1)
    with pytest.raises(NoRoute, match=f"has token {C}"):
        Splitter(Graph(taken)).swap(Order(token_in=A, token_out=C, amount_in=1))


def test_tokens_without_a_way_between_them_are_no_route() -> None:
    """A graph in two parts, and one whose only way is too long."""
    rng = random.Random(2)
    apart = snapshot(pair(rng, (A, C), 10**18, 0.01), pair(rng, (B, D), 10**18, 0.01))
    far = snapshot(*(pair(rng, ends, 10**18, 0.01) for ends in ((A, C), (C, D), (D, B))))

    with pytest.raises(NoRoute, match="no path of up to 2 hops"):
        swap(apart, amount_in=10**9)
    with pytest.raises(NoRoute, match="no path of up to 2 hops"):
        swap(far, amount_in=10**9)
    assert 3 == len(swap(far, amount_in=10**9, max_hops=3).hops)


def test_limits_are_kept(seed: int) -> None:
    """As many pools as allowed, the best with so many; a price beyond the limit is no route."""
    rng = random.Random(seed)
    taken = side_by_side(rng, 9, v3=0.3)
    whole = swap(taken, amount_in=10**20, max_hops=2)
    before = 0
    for most in range(1, 10):
        route = swap(taken, amount_in=10**20, max_pools=most)
        check(route, taken)

        assert len(route.hops) <= most
        assert before <= route.amount_out <= whole.amount_out + 9
        before = route.amount_out
    with pytest.raises(NoRoute, match=f"{whole.amount_out + 1} .* are the least"):
        swap(taken, amount_in=10**20, least_out=whole.amount_out + 1)
    assert whole == swap(taken, amount_in=10**20, least_out=whole.amount_out)
    with pytest.raises(NoRoute, match="are the most to be paid"):
        swap(taken, amount_out=whole.amount_out, most_in=10**19)


def test_where_there_is_one_way_it_is_the_answer_and_the_bound(seed: int) -> None:
    """All of an order goes along the only way, and nobody can prove less than what that leaves."""
    rng = random.Random(seed)
    makers: list[Callable[..., Pool]] = [pair, concentrated]
    ended = set()
    for _ in range(40):
        ends = rng.choice([[(A, B)], [(A, C), (C, B)], [(A, C), (C, B), (C, D)]])
        way = [rng.choice(makers)(rng, both, 10 ** rng.uniform(12, 22), 0.1) for both in ends]
        taken, amount = snapshot(*way), int(10 ** rng.uniform(0, 24))
        expected = outcome(tuple(way[:2]), A, amount)
        ended.add(expected is None)
        if expected is None:
            with pytest.raises(NoRoute, match=r"are the most|are too few"):
                swap(taken, amount_in=amount)
            continue

        route = swap(taken, amount_in=amount, gas=gas(rng.choice([0, 10**9])))

        check(route, taken)
        assert (amount, expected) == (route.amount_in, route.amount_out), seed
        assert route.net == route.bound, seed
    assert False in ended


def test_gas_is_paid_only_where_it_pays(seed: int) -> None:
    """The higher the price of gas, the fewer pools, and never more is left; within the bound."""
    rng = random.Random(seed)
    for _ in range(6):
        taken = market(rng, tokens=4, pools=14, depth=(20, 22), v3=0.4)
        amount = 10**20
        if not any(singles(taken, amount, 2)):
            continue
        nets = []
        for price in (0, 10**9, 10**10, 10**11, 10**12):
            route = swap(taken, amount_in=amount, gas=gas(price))
            check(route, taken)
            nets.append(route.net)

            units = 90_000 + sum(HOP_GAS[hop.kind] for hop in route.hops)
            assert (units, units * price) == (route.gas_units, route.gas_cost)
            assert route.bound is not None
            assert route.net <= route.bound, seed
            assert max(singles(taken, amount, 1), default=0) - 200_000 * price <= route.net
        slack = amount // 10**6
        assert all(low <= high + slack for high, low in itertools.pairwise(nets)), (seed, nets)


def test_names_orders_and_units_of_tokens_change_nothing(seed: int) -> None:
    """Pools in another order with other names, tokens with more digits: the same to 1e-6."""
    rng = random.Random(seed)
    for _ in range(8):
        taken = market(rng, tokens=4, pools=9, depth=(20, 22), v3=0.0)
        if not any(singles(taken, 10**19, 2)):
            continue
        route = swap(taken, amount_in=10**19)
        named = [
            msgspec.structs.replace(pool, id=Address(f"0x{rng.getrandbits(160):040x}"))
            for pool in taken.pools.values()
        ]
        rng.shuffle(named)
        digits = {A: 10**3, B: 1, C: 10**7, D: 1}
        finer = [
            msgspec.structs.replace(
                pool,
                reserve0=pool.reserve0 * digits[pool.token0],
                reserve1=pool.reserve1 * digits[pool.token1],
            )
            for pool in taken.pools.values()
            if isinstance(pool, ConstantProduct)
        ]
        other, fine = (
            swap(snapshot(*named), amount_in=10**19),
            swap(snapshot(*finer), amount_in=10**22),
        )

        assert other.amount_out == pytest.approx(route.amount_out, rel=1e-9), seed
        assert fine.amount_out == pytest.approx(route.amount_out, rel=1e-6), seed


def test_tokens_that_keep_a_part_of_transfers_are_left_out() -> None:
    """Neither sold nor bought; the graph of a router has none on the way."""
    taken = snapshot(pair(random.Random(3), (A, B), 10**18, 0.01))
    burning = msgspec.structs.replace(taken.tokens[B], transfer_fee_ppm=10)
    taxed = msgspec.structs.replace(taken, tokens={**taken.tokens, B: burning})

    with pytest.raises(NoRoute, match="keeps 10 ppm of each transfer"):
        swap(taxed, amount_in=10**9)


def test_pools_of_dust_take_no_part() -> None:
    """A pool of a few units beside a deep one gets nothing it would round away."""
    rng = random.Random(4)
    dust = [
        ConstantProduct(id=Address(f"0x{number:040x}"), token0=A, token1=B, reserve0=3, reserve1=5)
        for number in range(1, 6)
    ]
    taken = snapshot(*dust, pair(rng, (A, B), 10**18, 0.0))
    route = swap(taken, amount_in=10**15)
    check(route, taken)

    assert route.gap_bps is not None
    assert route.gap_bps < 1e-6


def test_a_splitter_follows_its_graph(seed: int) -> None:
    """After the graph has moved, its answers are those of a new one."""
    rng = random.Random(seed)
    first = side_by_side(rng, 12, v3=0.0)
    graph = Graph(first)
    splitter = Splitter(graph)
    order = Order(token_in=A, token_out=B, amount_in=10**20)
    splitter.swap(order)
    name, pool = sorted(first.pools.items())[3]
    moved = msgspec.structs.replace(first, pools={**first.pools, name: pool.swap_in(A, 10**19)[1]})
    graph.move(moved)

    assert Splitter(Graph(moved)).swap(order) == splitter.swap(order)


def test_nothing_is_compiled_after_warming_up() -> None:
    """What warming up uses are the very kernels, for the very types, that swaps use."""
    warm_up()
    known = [len(kernel.signatures) for kernel in KERNELS]
    taken = side_by_side(random.Random(1), 10, v3=0.0)
    swap(taken, amount_in=10**18, gas=gas(10**9))

    assert known == [len(kernel.signatures) for kernel in KERNELS]
