import math
import random

import numpy as np
import pytest

from scripts.bench.simulator import simulate
from tests.routing.flows import draw, solve
from tests.routing.graphs import TOKENS
from toolkit.model.chain import Address
from toolkit.model.market import FLASH
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.graph import Graph
from toolkit.routing.repair import Settled, settle

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


def trading(
    graph: Graph, *ways: tuple[int, Address, float]
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
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


@pytest.mark.parametrize("flash_cost", [0.0, NEVER])
@pytest.mark.parametrize("number", range(8))
def test_an_arbitrage_runs_with_the_start_alone_or_is_marked(
    number: int, flash_cost: float, seed: int
) -> None:
    """Nothing but the start is spent unless FLASH says so, and every loan can be given back."""
    rng = random.Random(seed + number)
    market = draw(rng)
    graph = Graph(market.snapshot)
    solved = solve(graph, wanted=market.native)

    settled = settle(graph, solved.trades, start=market.native, flash_cost=flash_cost)

    check(market.snapshot, settled)
    assert (FLASH in settled.flags) == bool({*settled.spent} - {market.native})
    assert all(settled.gain(token) >= 0 for token in settled.spent)
    assert not (settled.flags and flash_cost == NEVER)
    assert settled.gain(market.native) <= solved.value * (1 + 1e-9)


@pytest.mark.parametrize("number", range(8))
def test_a_swap_spends_no_more_than_it_sells(number: int, seed: int) -> None:
    """All of what is sold goes in, nothing stays behind on the way, and next to nothing is lost."""
    rng = random.Random(seed + number)
    market = draw(rng)
    graph = Graph(market.snapshot)
    token = rng.choice(market.tokens[1:4])
    amount = int(
        30
        / market.prices[market.tokens.index(token)]
        * 10 ** market.snapshot.tokens[token].decimals
    )
    solved = solve(graph, wanted=market.native, sell={token: amount})

    settled = settle(graph, solved.trades, sell={token: amount}, want={market.native: 1.0})

    check(market.snapshot, settled)
    assert settled.spent[token] <= amount
    if solved.residual < 1e-9:
        assert settled.gain(market.native) >= solved.value * (1 - 1e-5)
