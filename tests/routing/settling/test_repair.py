import math
import random
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from scripts.bench.markets import Market, published
from scripts.bench.simulator import simulate
from tests.routing.flows import draw, solve, with_pools
from tests.routing.graphs import TOKENS, snapshot
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, NoRoute
from toolkit.model.market import FLASH
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.curves import Floats
from toolkit.routing.graph import Graph
from toolkit.routing.settling.repair import Settled, settle

A, B, C, D, *_ = TOKENS
NEVER = math.inf


def constant(number: int, ends: tuple[Address, Address], *reserves: int) -> ConstantProduct:
    """A pool without a fee; the reserves are in the order of `ends`."""
    (token0, reserve0), (token1, reserve1) = sorted(zip(ends, reserves, strict=True))
    return ConstantProduct(
        id=Address(f"0x{number:040x}"),
        token0=token0,
        token1=token1,
        reserve0=reserve0,
        reserve1=reserve1,
        fee_ppm=0,
    )


def trading(graph: Graph, *ways: tuple[int, Address, float]) -> Floats:
    """Inputs of edges: (pool's number, token that goes in, how much)."""
    trades = np.zeros(len(graph.edge_in))
    for number, token, amount in ways:
        place = graph.places[Address(f"0x{number:040x}")]
        trades[2 * place + (graph.pools[place].token0 != token)] = amount
    return trades


def check(taken: Snapshot, settled: Settled) -> None:
    """No token is ever short of what is spent, and what is left is what was said."""
    ended = simulate(taken, settled.hops, settled.spent)

    assert settled.left == {token: amount for token, amount in ended.items() if amount}
    assert all(hop.amount_in > 0 and hop.amount_out > 0 for hop in settled.hops)


def optimum(market: Market) -> tuple[Graph, Floats, float, float]:
    """The flow of an arbitrage from the native token: (graph, trades, value, residual)."""
    graph = Graph(market.snapshot)
    solved = solve(graph, wanted=market.native)
    return graph, solved.trades, solved.value, solved.residual


def in_fine_units(market: Market) -> Market:
    """The same constant product pools with eighteen decimals of every token."""
    finer = {name: 10 ** (18 - token.decimals) for name, token in market.snapshot.tokens.items()}
    pools = [
        msgspec.structs.replace(
            pool,
            reserve0=pool.reserve0 * finer[pool.token0],
            reserve1=pool.reserve1 * finer[pool.token1],
        )
        for pool in market.snapshot.pools.values()
        if isinstance(pool, ConstantProduct)
    ]
    return replace(market, snapshot=with_pools(market.snapshot, pools))


def renamed(rng: random.Random, market: Market) -> tuple[Market, Mapping[Address, Address]]:
    """The same constant product market under other names, and the new name of each token."""
    names = {token: Address(f"0x{rng.getrandbits(160):040x}") for token in market.tokens}
    pools = []
    for pool in market.snapshot.pools.values():
        assert isinstance(pool, ConstantProduct)
        sides = [(names[pool.token0], pool.reserve0), (names[pool.token1], pool.reserve1)]
        (token0, reserve0), (token1, reserve1) = sorted(sides)
        pools.append(
            msgspec.structs.replace(
                pool,
                id=Address(f"0x{rng.getrandbits(160):040x}"),
                token0=token0,
                token1=token1,
                reserve0=reserve0,
                reserve1=reserve1,
            )
        )
    rng.shuffle(pools)
    moved = with_pools(market.snapshot, pools)
    return replace(market, snapshot=moved, native=names[market.native]), names


@pytest.mark.parametrize("flash_cost", [0.0, NEVER])
@pytest.mark.parametrize("number", range(6))
def test_an_arbitrage_runs_with_the_start_alone_or_is_marked(
    number: int, flash_cost: float, seed: int
) -> None:
    """Nothing but the start is spent unless FLASH says so, and every loan can be given back."""
    market = draw(random.Random(seed + number))
    graph, trades, value, _ = optimum(market)

    settled = settle(graph, trades, start=market.native, flash_cost=flash_cost)

    check(market.snapshot, settled)
    assert (FLASH in settled.flags) == bool({*settled.spent} - {market.native})
    assert all(settled.gain(token) >= 0 for token in settled.spent)
    assert not (settled.flags and flash_cost == NEVER)
    assert settled.gain(market.native) <= value * (1 + 1e-9)


@pytest.mark.parametrize("number", range(6))
def test_an_arbitrage_loses_a_millionth_at_most(number: int, seed: int) -> None:
    """Of the profit of its flow, where amounts are large and a loan costs nothing."""
    market = in_fine_units(published(60, 12, seed=seed + number, hubs=3))
    graph, trades, value, residual = optimum(market)

    settled = settle(graph, trades, start=market.native)

    check(market.snapshot, settled)
    if residual < 1e-9:
        assert settled.gain(market.native) >= value * (1 - 1e-6)


@pytest.mark.parametrize("number", range(6))
def test_a_swap_spends_no_more_than_it_sells(number: int, seed: int) -> None:
    """All of what is sold goes in, nothing stays behind on the way, and next to nothing is lost."""
    rng = random.Random(seed + number)
    market = draw(rng)
    graph = Graph(market.snapshot)
    token = market.tokens[rng.randrange(1, 4)]
    whole = 10 ** market.snapshot.tokens[token].decimals
    amount = int(30 / market.prices[market.tokens.index(token)] * whole)
    solved = solve(graph, wanted=market.native, sell={token: amount})

    settled = settle(graph, solved.trades, sell={token: amount}, want={market.native: 1.0})

    check(market.snapshot, settled)
    assert settled.spent[token] <= amount
    if solved.residual < 1e-9:
        assert settled.gain(market.native) >= solved.value * (1 - 1e-3)


@pytest.mark.parametrize("flash_cost", [0.0, NEVER])
def test_names_change_nothing(flash_cost: float, seed: int) -> None:
    """Another order and other names of pools and tokens leave the same to a millionth."""
    rng = random.Random(seed)
    market = published(60, 12, seed=seed, hubs=3)
    other, names = renamed(rng, market)
    graph, trades, _, _ = optimum(market)
    moved = Graph(other.snapshot)
    ends = {
        (names[graph.tokens[graph.edge_in[edge]]], pool.fee_ppm, *sorted(reserves(pool))): edge
        for edge in range(len(trades))
        if isinstance(pool := graph.pools[edge >> 1], ConstantProduct)
    }
    changed = np.zeros(len(trades))
    for edge in range(len(trades)):
        pool = moved.pools[edge >> 1]
        assert isinstance(pool, ConstantProduct)
        key = (moved.tokens[moved.edge_in[edge]], pool.fee_ppm, *sorted(reserves(pool)))
        changed[edge] = trades[ends[key]]

    first = settle(graph, trades, start=market.native, flash_cost=flash_cost)
    second = settle(moved, changed, start=other.native, flash_cost=flash_cost)

    check(other.snapshot, second)
    gain = first.gain(market.native)
    assert gain == pytest.approx(second.gain(other.native), rel=1e-6)
    assert len(first.hops) == len(second.hops)


def reserves(pool: ConstantProduct) -> tuple[int, int]:
    return pool.reserve0, pool.reserve1


@pytest.mark.parametrize("flash_cost", [0.0, NEVER])
@pytest.mark.parametrize("number", range(12))
def test_any_flow_runs_or_is_left_out(number: int, flash_cost: float, seed: int) -> None:
    """However much too much or too little floats put in somewhere: none short, nothing lost."""
    rng = random.Random(seed + number)
    market = draw(rng)
    graph, trades, _, _ = optimum(market)
    size = rng.choice([0.0, 1e-9, 0.01, 0.3, 3.0])
    noise = [math.exp(rng.gauss(0, size)) for _ in trades]
    anywhere = [rng.choice([0.0, 0.0, 1.0, 10.0 ** rng.uniform(0, 34)]) for _ in trades]
    whole = [trades, np.array(anywhere), trades + np.array(anywhere)][number % 3]

    settled = settle(graph, whole * np.array(noise), start=market.native, flash_cost=flash_cost)

    check(market.snapshot, settled)
    assert settled.gain(market.native) >= 0
    assert all(settled.gain(token) >= 0 for token in settled.spent)
    assert flash_cost == 0 or not settled.flags


@pytest.mark.parametrize("number", range(4))
def test_limits_are_kept(number: int, seed: int) -> None:
    """No more of the start is out than may go in, and no more pools are gone through than may."""
    rng = random.Random(seed + number)
    market = draw(rng)
    graph, trades, value, _ = optimum(market)
    most = int(value * rng.choice([0.01, 1.0, 5.0])) + 1
    pools = rng.choice([1, 3, 10, 30])

    small = settle(graph, trades, start=market.native, max_input=most)
    few = settle(graph, trades, start=market.native, max_pools=pools)

    check(market.snapshot, small)
    check(market.snapshot, few)
    assert small.spent.get(market.native, 0) <= most
    assert len({hop.pool for hop in few.hops}) <= pools
    assert min(small.gain(market.native), few.gain(market.native)) >= 0


def test_a_cycle_takes_what_it_is_told_and_passes_all_of_it_on() -> None:
    """The amounts are the pools' own, and what goes in is all that is spent."""
    taken = snapshot(constant(1, (A, B), 10**24, 10**24), constant(2, (A, B), 2 * 10**24, 10**24))
    graph = Graph(taken)
    trades = trading(graph, (1, A, 1e22), (2, B, 9.9e21))

    settled = settle(graph, trades, start=A)

    check(taken, settled)
    first, last = settled.hops
    assert (10**22, {A: 10**22}, ()) == (first.amount_in, settled.spent, settled.flags)
    assert first.amount_out == last.amount_in
    assert {A: last.amount_out} == settled.left


def test_one_cycle_pays_for_the_next() -> None:
    """Of two that have only the start in common the greater one says what is needed."""
    taken = snapshot(
        constant(1, (A, B), 10**24, 10**24),
        constant(2, (A, B), 2 * 10**24, 10**24),
        constant(3, (A, C), 10**24, 10**24),
        constant(4, (A, C), 2 * 10**24, 10**24),
    )
    graph = Graph(taken)
    trades = trading(graph, (1, A, 1e22), (2, B, 1e22), (3, A, 3e22), (4, C, 3e22))

    settled = settle(graph, trades, start=A)

    check(taken, settled)
    assert 4 == len(settled.hops)
    assert 3 * 10**22 - settled.gain(A) < settled.spent[A] <= 3 * 10**22


def circle(entry: float) -> tuple[Snapshot, Graph, Floats]:
    """A flow of 1e22 round B, C and D, of which the start pays for `entry`."""
    taken = snapshot(
        constant(1, (B, C), 10**25, 10**25),
        constant(2, (C, D), 10**25, 10**25),
        constant(3, (D, B), 10**25, 11 * 10**24),
        constant(4, (B, A), 10**25, 10**25),
        constant(5, (A, B), 10**25, 10**25 + 10**23),
    )
    graph = Graph(taken)
    ways = [(1, B, 1e22), (2, C, 9.99e21), (3, D, 9.98e21), (4, B, 9.4e20 + entry)]
    return taken, graph, trading(graph, *ways, *([(5, A, entry)] if entry else []))


def test_a_circle_that_the_start_opens_a_little_runs_in_parts() -> None:
    """Without loans a hop is run with what is at hand, and the rest with what that brings."""
    taken, graph, trades = circle(4e21)

    parts = settle(graph, trades, start=A, flash_cost=NEVER)
    whole = settle(graph, trades, start=A, hop_cost=1e16)

    check(taken, parts)
    check(taken, whole)
    assert (5, (FLASH,)) == (len(whole.hops), whole.flags)
    assert {A} == {*parts.spent}
    assert all(amount < 100 for token, amount in parts.left.items() if token != A)
    assert 5 < len(parts.hops) < 15
    assert parts.gain(A) == pytest.approx(whole.gain(A), rel=1e-3)


def test_parts_are_run_where_a_loan_costs_more() -> None:
    """And hops are lent to where parts of them cost more."""
    _, graph, trades = circle(4e21)
    parts = settle(graph, trades, start=A, flash_cost=NEVER)

    dear = settle(graph, trades, start=A, hop_cost=1.0, flash_cost=1e20)
    cheap = settle(graph, trades, start=A, hop_cost=1e18, flash_cost=1e18)

    assert parts.hops == dear.hops
    assert ((FLASH,), 5) == (cheap.flags, len(cheap.hops))


def test_a_circle_that_nothing_opens_takes_a_loan() -> None:
    """Of no more than is given back; without loans there is nothing to do."""
    taken, graph, trades = circle(0.0)

    settled = settle(graph, trades, start=A)

    check(taken, settled)
    (token,) = settled.spent
    assert (FLASH,) == settled.flags
    assert token in {B, C, D}
    assert 0 <= settled.gain(token) <= 2
    assert settled.gain(A) > 5 * 10**20
    assert Settled() == settle(graph, trades, start=A, flash_cost=NEVER)


def test_a_part_that_does_not_pay_for_its_hops_is_left_out() -> None:
    """What only the start joins is judged by itself."""
    taken = snapshot(
        constant(1, (A, B), 10**24, 10**24),
        constant(2, (A, B), 2 * 10**24, 10**24),
        constant(3, (A, C), 10**24, 10**24),
        constant(4, (A, C), 10**24 + 10**20, 10**24),
    )
    graph = Graph(taken)
    trades = trading(graph, (1, A, 1e22), (2, B, 1e22), (3, A, 2e19), (4, C, 2e19))

    everything = settle(graph, trades, start=A)
    worthwhile = settle(graph, trades, start=A, hop_cost=1e18)

    assert 4 == len(everything.hops)
    assert [1, 2] == [int(hop.pool, 16) for hop in worthwhile.hops]
    assert Settled() == settle(graph, trades, start=A, hop_cost=1e24)


def test_hops_that_round_to_nothing_are_dropped() -> None:
    """With what leads to them, and what they would have led to."""
    taken = snapshot(
        constant(1, (A, B), 10**24, 10**24),
        constant(2, (A, B), 2 * 10**24, 10**24),
        constant(3, (A, C), 10**24, 10**6),
        constant(4, (C, A), 10**6, 2 * 10**24),
    )
    graph = Graph(taken)
    trades = trading(graph, (1, A, 1e22), (2, B, 1e22), (3, A, 1e17), (4, C, 0.1))

    settled = settle(graph, trades, start=A)

    check(taken, settled)
    assert [1, 2] == [int(hop.pool, 16) for hop in settled.hops]


def test_what_a_coarse_unit_does_not_need_is_not_spent() -> None:
    """Of a token of few decimals no more is paid for than comes."""
    taken = snapshot(constant(1, (A, B), 10**24, 10**9), constant(2, (B, A), 10**9, 2 * 10**24))
    graph = Graph(taken)
    trades = trading(graph, (1, A, 1.5e15 * 7), (2, B, 10.0))

    settled = settle(graph, trades, start=A)

    check(taken, settled)
    first, _ = settled.hops
    pool = taken.pools[first.pool]
    assert first.amount_out > pool.quote_in(A, first.amount_in - 1)


def test_what_a_coarse_unit_does_not_need_is_not_bought_either() -> None:
    """Also not the token that it is paid with: what is spent less of is the start."""
    taken = snapshot(
        constant(1, (A, C), 10**24, 10**24),
        constant(2, (C, B), 10**24, 10**9),
        constant(3, (B, A), 10**9, 2 * 10**24),
    )
    graph = Graph(taken)
    trades = trading(graph, (1, A, 1.05e16), (2, C, 1.05e16), (3, B, 10.5))

    settled = settle(graph, trades, start=A)

    check(taken, settled)
    first, second, _ = settled.hops
    assert (10, first.amount_out) == (second.amount_out, second.amount_in)
    assert second.amount_out > taken.pools[second.pool].quote_in(C, second.amount_in - 1)
    assert {A: first.amount_in} == settled.spent


def test_a_pool_is_not_traded_both_ways() -> None:
    """What one way undoes of the other is not traded at all."""
    taken = snapshot(constant(1, (A, B), 10**24, 10**24), constant(2, (A, B), 2 * 10**24, 10**24))
    graph = Graph(taken)
    trades = trading(graph, (1, A, 3e22), (1, B, 1e22), (2, B, 2e22))

    settled = settle(graph, trades, start=A)

    check(taken, settled)
    assert [(1, A), (2, B)] == [(int(hop.pool, 16), hop.token_in) for hop in settled.hops]
    assert 1.9e22 < settled.spent[A] < 2.1e22


def test_a_basket_is_sold_for_a_basket() -> None:
    """Of what is wanted all is kept, of what is sold no more is spent than there is."""
    taken = snapshot(
        constant(1, (A, C), 10**24, 10**24),
        constant(2, (B, C), 10**24, 10**24),
        constant(3, (C, D), 10**24, 10**24),
    )
    graph = Graph(taken)
    trades = trading(graph, (1, A, 1e21), (2, B, 1e21), (3, C, 1e21))

    settled = settle(graph, trades, sell={A: 10**21, B: 10**22}, want={C: 1.0, D: 1.0})

    check(taken, settled)
    assert {A: 10**21, B: 10**21} == settled.spent
    assert {C, D} == {*settled.left}
    assert settled.left[D] == taken.pools[Address(f"0x{3:040x}")].quote_in(C, 10**21)


@pytest.mark.parametrize("amount", [math.nan, math.inf, -1.0])
def test_what_is_no_amount_is_refused(amount: float) -> None:
    """The error names it and the pool."""
    graph = Graph(snapshot(constant(1, (A, B), 10**24, 10**24)))

    with pytest.raises(ConfigError, match=f"trades: {amount} into pool 0x0*1 is no amount"):
        settle(graph, np.array([amount, 0.0]), start=A)


def test_what_cannot_be_asked_is_refused() -> None:
    """Each in a line that says what to give."""
    graph = Graph(snapshot(constant(1, (A, B), 10**24, 10**24)))
    nothing = np.zeros(2)

    with pytest.raises(ConfigError, match="trades: 3 amounts, but 2 edges"):
        settle(graph, np.zeros(3), start=A)
    with pytest.raises(ConfigError, match="nothing is wanted"):
        settle(graph, nothing)
    with pytest.raises(ConfigError, match=r"want: nan of .* is no weight"):
        settle(graph, nothing, want={A: math.nan})
    with pytest.raises(ConfigError, match=r"sell: -1 of .* is negative"):
        settle(graph, nothing, sell={A: -1}, want={B: 1.0})
    with pytest.raises(ConfigError, match="max_input: 0 leaves nothing"):
        settle(graph, nothing, start=A, max_input=0)
    with pytest.raises(NoRoute, match=f"no pool has token {C}"):
        settle(graph, nothing, start=C)
    assert Settled() == settle(graph, nothing, start=A)


def test_amounts_up_to_what_a_pair_can_hold_are_settled() -> None:
    """More than fits its reserves is never put in."""
    half = MAX_RESERVE // 2
    taken = snapshot(constant(1, (A, B), half, half), constant(2, (A, B), half, half // 2))
    graph = Graph(taken)
    trades = trading(graph, (2, B, float(2**112)), (1, A, float(2**112)))

    settled = settle(graph, trades, sell={B: MAX_RESERVE, A: MAX_RESERVE}, want={A: 1.0, B: 1.0})

    check(taken, settled)
    assert settled.hops
