"""What is asked of V3 and V4 alike; the amounts themselves are held against the contracts."""

import pytest
from msgspec.structs import replace

from tests.pools.positions import TOKEN0, TOKEN1
from tests.pools.test_events import POOL, V4
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.swaps import Swapped
from toolkit.pools.ticks import sqrt_price_at_tick

POOLS = [POOL, V4]


def deep(pool: Concentrated | ConcentratedV4) -> Concentrated | ConcentratedV4:
    """The pool with more in it."""
    return replace(pool, liquidity=10**15, ticks=((-60, 10**15), (120, -(10**15))), gross=())


@pytest.mark.parametrize("given", POOLS)
@pytest.mark.parametrize("token", [TOKEN0, TOKEN1])
def test_all_ways_of_asking_agree(given: Concentrated | ConcentratedV4, token: Address) -> None:
    """Quote, fill and swap are one walk; the pool afterwards stands where it ended."""
    pool = deep(given)
    other = TOKEN1 if token == TOKEN0 else TOKEN0
    amount = 10**9
    swapped = pool.swap(token, amount)

    assert isinstance(swapped, Swapped)
    assert pool.quote_in(token, amount) == swapped.amount_out
    assert pool.fill_in(token, amount) == (amount, swapped.amount_out)
    assert pool.swap_in(token, amount) == (swapped.amount_out, swapped.pool)
    bought = pool.swap_out(other, swapped.amount_out)
    assert pool.quote_out(other, swapped.amount_out) == bought.amount_in <= amount
    assert bought.amount_out == swapped.amount_out


@pytest.mark.parametrize("given", POOLS)
def test_what_the_liquidity_does_not_reach_for(given: Concentrated | ConcentratedV4) -> None:
    """An input may be taken in part, an output only with a limit, and a whole swap is whole."""
    pool = deep(given)
    taken, paid_out = pool.fill_in(TOKEN0, 10**20)
    limit = sqrt_price_at_tick(-30)

    assert 0 < taken < 10**20
    assert pool.quote_in(TOKEN0, 10**20) == paid_out
    with pytest.raises(PoolError, match=f"pool {pool.id}: amount_in: liquidity ends after {taken}"):
        pool.swap_in(TOKEN0, 10**20)
    with pytest.raises(PoolError, match=f"pool {pool.id}: amount_out: only {paid_out} of"):
        pool.quote_out(TOKEN1, 10**20)
    short = pool.swap_out(TOKEN1, 10**20, sqrt_price_limit_x96=limit)
    assert 0 < short.amount_out < paid_out
    assert short.pool.sqrt_price_x96 == limit
    with pytest.raises(PoolError, match=f"pool {pool.id}: token_out: 0xcc.* is neither"):
        pool.quote_out(Address("0x" + "c" * 40), 1)
