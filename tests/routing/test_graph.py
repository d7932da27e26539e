import random
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from tests.routing.graphs import TOKENS, concentrated, market, pair, snapshot
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.graph import Graph, routable, unroutable

A, B, C, *_ = TOKENS


def in_manager(v3: Concentrated, **changes: object) -> ConcentratedV4:
    """The same liquidity as a pool of V4, whose protocol takes more of one direction."""
    fields = {name: getattr(v3, name) for name in Concentrated.__struct_fields__ if name != "id"}
    name = Hash("0x" + v3.id[2:].rjust(64, "4"))
    return ConcentratedV4(id=name, **{**fields, "protocol_fee_ppm": (700, 200), **changes})


def v4(rng: random.Random, tokens: tuple[Address, Address], depth: float, noise: float) -> Pool:
    return in_manager(concentrated(rng, tokens, depth, noise))


def given(graph: Graph, edge: int, amount: float) -> float:
    """What a curve says, read off its pieces one by one."""
    rows = graph.pieces[graph.piece_start[edge] : graph.piece_stop[edge]]
    before, out, x, y = next(row for row in reversed(rows) if row[0] <= amount)
    paid = (amount - before) * graph.keep[edge]
    return float(out + paid * y / (x + paid))


def same(left: Graph, right: Graph) -> None:
    assert left.pools == right.pools
    for edge in range(len(right.edge_in)):
        ours, fresh = (
            one.pieces[one.piece_start[edge] : one.piece_stop[edge]] for one in (left, right)
        )
        assert np.array_equal(ours, fresh)
    assert np.array_equal(left.keep, right.keep)


def another(rng: random.Random, pool: Pool) -> Pool:
    """A pool of the same tokens, of either family."""
    make: list[Callable[..., Pool]] = [pair, concentrated, concentrated]
    return rng.choice(make)(rng, (pool.token0, pool.token1), 10 ** rng.uniform(18, 22), 0.1)


def replaced(taken: Snapshot, *pools: Pool) -> Snapshot:
    return msgspec.structs.replace(taken, pools=taken.pools | {pool.id: pool for pool in pools})


@pytest.mark.parametrize("make", [pair, concentrated, v4])
def test_the_curve_is_the_exact_quote(make: Callable[..., Pool], seed: int) -> None:
    """Across ticks, gaps and the end of liquidity the curve equals the integers to 1e-9."""
    rng = random.Random(seed)
    for _ in range(200):
        pool = make(rng, (A, B), 10 ** rng.uniform(18, 22), 0.1)
        edge = rng.randrange(2)
        amount = int(10 ** rng.uniform(12, 24))
        taken, out = pool.fill_in((pool.token0, pool.token1)[edge], amount)

        curve = given(Graph(snapshot(pool)), edge, float(amount))
        assert curve == pytest.approx(out, rel=1e-9, abs=1e5)
        assert taken <= amount


def test_edges_leave_their_token_and_arrive_at_the_other(seed: int) -> None:
    """Every pool has an edge each way; places follow addresses, not the snapshot's order."""
    rng = random.Random(seed)
    taken = market(rng, tokens=5, pools=12, depth=(18, 22))
    shuffled = dict(rng.sample(sorted(taken.pools.items()), 12))
    graph = Graph(taken)

    assert list(graph.tokens) == sorted(taken.tokens)
    assert [pool.id for pool in graph.pools] == sorted(taken.pools)
    assert graph.token_start[-1] == len(graph.edge_in) == 24
    for token, (start, stop) in enumerate(
        zip(graph.token_start, graph.token_start[1:], strict=False)
    ):
        edges = graph.out_edges[start:stop]
        assert [token] * len(edges) == graph.edge_in[edges].tolist()
        assert sorted(edges, key=lambda edge: (graph.edge_out[edge], edge)) == edges.tolist()
        for edge in edges:
            pool = graph.pools[edge // 2]
            ends = [pool.token0, pool.token1][:: 1 if edge % 2 == 0 else -1]
            assert ends == [graph.tokens[token], graph.tokens[graph.edge_out[edge]]]
    same(graph, Graph(msgspec.structs.replace(taken, pools=shuffled)))


def test_every_graph_is_laid_out_alike(seed: int) -> None:
    """Also that of one pool: kernels are compiled for arrays without gaps, and only once."""
    for pools in (0, 1, 5):
        graph = Graph(market(random.Random(seed), tokens=3, pools=pools, depth=(18, 22)))
        arrays = [graph.edge_in, graph.edge_out, graph.token_start, graph.out_edges, graph.pieces]

        assert all(array.flags.c_contiguous for array in arrays)


def test_pools_that_cannot_trade_now_have_no_pieces() -> None:
    """Empty reserves, no liquidity anywhere, no price, or one beyond what is known."""
    flat = concentrated(random.Random(1), (A, B), 1e18, 0.0)
    hollow = msgspec.structs.replace(flat, liquidity=0, ticks=())
    unborn = msgspec.structs.replace(flat, id=A, sqrt_price_x96=0)
    known = (flat.tick - 50 * flat.tick_spacing, flat.tick - 2 * flat.tick_spacing)
    beyond = msgspec.structs.replace(flat, id=B, ticks=(), known=known)
    empty = msgspec.structs.replace(pair(random.Random(2), (A, B), 1e18, 0.0), reserve0=0)
    confiscating = in_manager(flat, fee_ppm=1_000_000, ticks=flat.ticks)
    graph = Graph(snapshot(hollow, unborn, empty, beyond, confiscating))

    assert 5 == len(graph.pools)
    assert np.array_equal(graph.piece_start, graph.piece_stop)
    assert [beyond.id] == list(unroutable(graph.snapshot))


def test_hooks_and_the_native_currency_are_no_edges(seed: int) -> None:
    """What a hook may change cannot be promised; the reason names the pool."""
    v3 = concentrated(random.Random(seed), (A, B), 1e18, 0.1)
    hooked = in_manager(v3, hooks=Address("0x" + "0" * 38 + "c0"))
    native = msgspec.structs.replace(in_manager(v3), id=Hash("0x" + "9" * 64), token0=ZERO_ADDRESS)
    taken = snapshot(hooked, native, v3)

    assert [v3] == routable(taken) == Graph(taken).pools
    assert unroutable(taken)[hooked.id].startswith(f"pool {hooked.id}: hooks: {hooked.hooks} is")
    assert "native currency" in unroutable(taken)[native.id]


def test_a_moved_graph_is_a_fresh_one(seed: int) -> None:
    """After any changes every curve, in place or outgrown, is what a new graph has."""
    rng = random.Random(seed)
    taken = market(rng, tokens=5, pools=12, depth=(18, 22))
    graph = Graph(taken)
    for _ in range(20):
        chosen = rng.sample(sorted(taken.pools.values(), key=lambda pool: pool.id), 3)
        changed: list[Pool] = [
            msgspec.structs.replace(another(rng, pool), id=pool.id) for pool in chosen
        ]
        if rng.random() < 0.5:  # more ticks than there is room for
            many = Graph(replaced(taken, *changed)).pools[graph.places[chosen[0].id]]
            if isinstance(many, Concentrated):
                ticks = tuple((at * many.tick_spacing, 1) for at in range(-900, 900, 9))
                changed[0] = msgspec.structs.replace(many, ticks=ticks, liquidity=10**18)
        taken = replaced(taken, *changed)
        moved = graph.move(taken)

        assert moved is not None
        assert sorted(graph.places[pool.id] for pool in chosen) == moved.tolist()
        assert taken is graph.snapshot
        same(graph, Graph(taken))


def test_an_unchanged_state_is_no_change(seed: int) -> None:
    """A pool read again with the same values counts as the same."""
    rng = random.Random(seed)
    taken = market(rng, tokens=3, pools=4, depth=(18, 22))
    again = msgspec.structs.replace(
        taken, pools={name: msgspec.structs.replace(pool) for name, pool in taken.pools.items()}
    )
    moved = Graph(taken).move(again)

    assert moved is not None
    assert [] == moved.tolist()


def test_other_pools_take_a_new_graph(seed: int) -> None:
    """A pool that came or went is not moved over, and leaves the graph as it was."""
    rng = random.Random(seed)
    taken = market(rng, tokens=3, pools=4, depth=(18, 22))
    graph = Graph(taken)
    more = replaced(taken, pair(rng, (A, C), 1e18, 0.1))
    fewer = msgspec.structs.replace(taken, pools=dict(list(taken.pools.items())[1:]))
    swapped = msgspec.structs.replace(more, pools=dict(list(more.pools.items())[1:]))

    assert [None] * 3 == [graph.move(other) for other in (more, fewer, swapped)]
    assert taken is graph.snapshot
