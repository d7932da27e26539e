import random

import msgspec
import pytest

from tests.routing.graphs import TOKENS, concentrated, market, pair, snapshot
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError
from toolkit.model.market import PoolId
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.filters import PoolFilter, depths

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


def names(taken: Snapshot) -> set[PoolId]:
    return set(taken.pools)


def test_lists_decide_by_pool_and_by_both_tokens() -> None:
    """Only what is allowed and nothing that is denied; a pool needs both its tokens."""
    one, two, three = v2(1, (A, B), (5, 5)), v2(2, (B, C), (5, 5)), v2(3, (A, C), (5, 5))
    taken = snapshot(one, two, three)

    for filters, kept in (
        (PoolFilter(), {one.id, two.id, three.id}),
        (PoolFilter(only_pools=frozenset({one.id, A})), {one.id}),
        (PoolFilter(without_pools=frozenset({one.id})), {two.id, three.id}),
        (PoolFilter(only_tokens=frozenset({A, B})), {one.id}),
        (PoolFilter(without_tokens=frozenset({C})), {one.id}),
        (PoolFilter(only_pools=frozenset({one.id}), without_tokens=frozenset({A})), set()),
    ):
        assert kept == names(filters.apply(taken, A))
    assert taken is PoolFilter().apply(taken, A)


def test_a_price_with_nothing_behind_it_is_dust() -> None:
    """A pool of a millionth that says a token is worth a fortune is left out, and prices nobody."""
    deep, beyond = v2(9, (A, B), (10**20, 10**21)), v2(8, (B, C), (10**21, 10**21))
    mirage = v2(1, (A, C), (10**12, 1))  # one unit of C for a millionth of A
    lonely = v2(2, (C, D), (10**20, 10**9))
    taken = snapshot(deep, mirage, beyond, lonely)
    filters = PoolFilter(minimum_depth_wei=10**18)

    assert {deep.id, beyond.id, lonely.id} == names(filters.apply(taken, A))
    assert depths(taken, A)[beyond.id] == pytest.approx(10**20)
    assert depths(taken, A)[mirage.id] < 1


def test_depth_is_what_the_poorer_side_gives(seed: int) -> None:
    """Of a pool with ticks, all its liquidity in reach; of a pair, its reserve."""
    rng = random.Random(seed)
    v3 = concentrated(rng, (A, B), 1e20, 0.1)
    sold = [v3.swap(token, 10**40) for token in (B, A)]
    depth = depths(snapshot(v3), A)[v3.id]

    worth = (sold[0].amount_out, sold[1].amount_out * v3.mid_price(B))
    assert min(worth) == pytest.approx(depth, rel=1e-6)


def test_a_gap_at_the_price_is_no_lack_of_depth(seed: int) -> None:
    """With nothing in range, what lies on both sides of it still is depth."""
    v3 = concentrated(random.Random(seed), (A, B), 1e20, 0.1)
    ends = ((-3000, 10**20), (-2000, -(10**20)), (2000, 10**20), (3000, -(10**20)))
    ticks = tuple((v3.tick + away, net) for away, net in ends)
    spread = msgspec.structs.replace(v3, ticks=ticks, liquidity=0, tick_spacing=1)

    assert 10**18 < depths(snapshot(spread), A)[spread.id]


def test_what_has_no_way_to_the_native_token_has_no_depth() -> None:
    """Unpriced pools are left out as soon as any depth is asked for."""
    priced, apart = v2(1, (A, B), (10**20, 10**20)), v2(2, (C, D), (10**30, 10**30))
    empty = v2(3, (A, D), (0, 10**30))

    assert {priced.id} == set(depths(snapshot(priced, apart, empty), A))
    kept = PoolFilter(minimum_depth_wei=1).apply(snapshot(priced, apart, empty), A)
    assert {priced.id} == names(kept)


def test_what_may_not_be_traded_tells_prices_all_the_same() -> None:
    """A pool is as deep as it is, whoever may go through the one that prices its tokens."""
    prices, kept = v2(1, (A, B), (10**20, 10**20)), v2(2, (B, C), (10**20, 10**20))
    filters = PoolFilter(without_pools=frozenset({prices.id}), minimum_depth_wei=10**19)

    assert {kept.id} == names(filters.apply(snapshot(prices, kept), A))


def test_the_order_of_pools_changes_nothing(seed: int) -> None:
    """Prices come from what is deepest, whatever comes first."""
    rng = random.Random(seed)
    taken = market(rng, tokens=5, pools=12, depth=(15, 22))
    turned = msgspec.structs.replace(taken, pools=dict(reversed(taken.pools.items())))

    assert depths(taken, A) == depths(turned, A)


def test_a_depth_that_is_no_amount_is_refused() -> None:
    """The line names the field."""
    with pytest.raises(ConfigError, match=r"filter\.minimum_depth_wei"):
        PoolFilter(minimum_depth_wei=-1)
    assert PoolFilter(minimum_depth_wei=0).allows(pair(random.Random(1), (A, B), 1e18, 0.1))
