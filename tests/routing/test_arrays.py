import random
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from tests.routing.graphs import TOKENS, concentrated, market, pair, snapshot
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import NoRoute
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import Pool
from toolkit.pools.ticks import sqrt_price_at_tick
from toolkit.routing.arrays import Arrays, build_arrays, routable, unroutable
from toolkit.routing.kernels.cycles import walk
from toolkit.routing.router import Router

A, B, C, *_ = TOKENS


def edge_of(arrays: Arrays, token: Address) -> int:
    """The only edge out of a token."""
    return int(arrays.token_start[arrays.tokens.index(token)])


def given(arrays: Arrays, token: Address, amount: float) -> float:
    path = np.array([edge_of(arrays, token)])
    return walk(path, 1, amount, arrays.keep, arrays.piece_start, arrays.pieces)[0]


def test_pools_without_an_address_are_no_edges(seed: int) -> None:
    """The executor cannot call a pool of V4's manager, so no route is proposed through one."""
    v3 = concentrated(random.Random(seed), (A, B), 1e18, 0.1)
    fields = {name: getattr(v3, name) for name in Concentrated.__struct_fields__ if name != "id"}
    v4 = ConcentratedV4(id=Hash("0x" + "44" * 32), **fields)

    assert [v3] == routable(snapshot(v4, v3))
    assert (v3,) == build_arrays(snapshot(v4, v3)).pools
    assert unroutable(snapshot(v4, v3))[v4.id].startswith(f"pool {v4.id}: kind: it has no address")


def test_a_price_beyond_what_is_known_is_no_edge(seed: int) -> None:
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
        assert [] == routable(taken)
        assert build_arrays(taken).pools == ()
        why = f"pool {pool.id}: known: its price, at tick {pool.tick}, is beyond"
        assert unroutable(taken)[pool.id].startswith(why)
        with pytest.raises(NoRoute, match=f"has token {A}; left out: {why}"):
            Router(taken).arbitrage(A)
    assert [edge] == routable(snapshot(edge))
    assert {} == unroutable(snapshot(edge))


@pytest.mark.parametrize("make", [pair, concentrated])
def test_the_float_curve_is_the_exact_quote(make: Callable[..., Pool], seed: int) -> None:
    """Across ticks, gaps and the end of liquidity the curve equals the integers to 1e-9."""
    rng = random.Random(seed)
    for _ in range(200):
        pool = make(rng, (A, B), 10 ** rng.uniform(18, 22), 0.1)
        arrays = build_arrays(snapshot(pool))
        token = rng.choice([A, B])
        amount = int(10 ** rng.uniform(12, 24))
        taken, out = pool.fill_in(token, amount)

        assert given(arrays, token, float(amount)) == pytest.approx(out, rel=1e-9, abs=1e5)
        assert taken <= amount


def test_the_marginal_rate_is_the_slope(seed: int) -> None:
    """The rate that sizing relies on is what one more unit would buy."""
    rng = random.Random(seed)
    for _ in range(200):
        depth = 10 ** rng.uniform(18, 22)
        pool: Pool = pair(rng, (A, B), depth, 0.1)
        if rng.random() < 0.5:
            pool = concentrated(rng, (A, B), depth, 0.1)
        arrays = build_arrays(snapshot(pool))
        path = np.array([edge_of(arrays, A)])
        table = (arrays.keep, arrays.piece_start, arrays.pieces)
        amount = 10 ** rng.uniform(12, 19)
        step = amount * 1e-6
        slope = (walk(path, 1, amount + step, *table)[0] - walk(path, 1, amount, *table)[0]) / step
        rates = [walk(path, 1, amount + extra, *table)[1] for extra in (0.0, step)]

        assert min(rates) * (1 - 1e-4) <= slope <= max(rates) * (1 + 1e-4)


def test_edges_are_grouped_by_token_in_address_order(seed: int) -> None:
    """Every pool has an edge each way; tables fit together and depend on addresses alone."""
    rng = random.Random(seed)
    taken = market(rng, tokens=5, pools=12, depth=(18, 22))
    arrays = build_arrays(taken)

    assert list(arrays.tokens) == sorted(taken.tokens)
    assert [pool.id for pool in arrays.pools] == sorted(taken.pools)
    assert len(arrays.edges) == len(arrays.keep) == len(arrays.piece_start) - 1 == 24
    assert arrays.token_start[-1] == 24
    assert arrays.piece_start[-1] == len(arrays.pieces)
    for token, (start, end) in enumerate(
        zip(arrays.token_start, arrays.token_start[1:], strict=False)
    ):
        for target, number in arrays.edges[start:end]:
            pool = arrays.pools[number]
            ends = {arrays.tokens[token], arrays.tokens[target]}
            assert ends == {pool.token0, pool.token1}


def test_pools_that_cannot_trade_are_left_out() -> None:
    """Empty reserves, no liquidity anywhere or no price: no edge leads through such a pool."""
    flat = concentrated(random.Random(1), (A, B), 1e18, 0.0)
    hollow = msgspec.structs.replace(flat, liquidity=0, ticks=())
    unborn = msgspec.structs.replace(flat, id=A, sqrt_price_x96=0)
    empty = msgspec.structs.replace(pair(random.Random(2), (A, B), 1e18, 0.0), reserve0=0)
    taken = snapshot(hollow, unborn, empty)
    arrays = build_arrays(taken)

    assert (arrays.tokens, arrays.pools, len(arrays.edges)) == ((), (), 0)


def test_liquidity_beyond_the_known_ticks_does_not_exist() -> None:
    """The curve of a partly read pool ends at the last tick that is known."""
    pool = Concentrated(
        id=Address("0x" + "1" * 40),
        token0=A,
        token1=B,
        fee_ppm=0,
        tick_spacing=1,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=10**18,
        ticks=(),
        known=(-1024, 1023),
    )
    arrays = build_arrays(snapshot(pool))

    most = given(arrays, A, 1e30)
    assert most == given(arrays, A, 1e25) == pytest.approx(1e18 * (1 - 1.0001 ** (-1024 / 2)))
    assert given(arrays, A, 1e15) == pytest.approx(pool.quote_in(A, 10**15))
