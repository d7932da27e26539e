import msgspec
import pytest

from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import PoolError
from toolkit.model.market import Hop, PoolKey, PoolKind, Token
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, POOL_MANAGER, ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot, hop_through, mid_price

A, B, X, Y = (Address("0x" + digit * 40) for digit in "ab12")


def pair(pool: Address, reserve: int) -> ConstantProduct:
    return ConstantProduct(id=pool, token0=A, token1=B, reserve0=reserve, reserve1=10**18)


def swapped(of: Snapshot, pool: Address, token_in: Address, amount: int) -> Hop:
    return Hop(
        pool=pool,
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=token_in,
        token_out=B if token_in == A else A,
        amount_in=amount,
        amount_out=of.quote_in(pool, token_in, amount),
        fee_ppm=3000,
    )


def snapshot(*pools: ConstantProduct) -> Snapshot:
    head = Head(
        number=7,
        hash=Hash("0x" + "11" * 32),
        parent_hash=Hash("0x" + "22" * 32),
        timestamp=1,
        base_fee_per_gas=1,
        gas_limit=1,
        gas_used=1,
    )
    tokens = {t: Token(address=t, symbol=t[-1], decimals=18) for t in (A, B)}
    return Snapshot(block=head, tokens=tokens, pools={pool.id: pool for pool in pools})


def test_quotes_are_the_pools_own() -> None:
    """A snapshot quotes by pool address, in and out, and names the price."""
    pool = pair(X, 10**18)
    taken = snapshot(pool)

    assert taken.quote_in(X, A, 10**6) == pool.quote_in(A, 10**6)
    assert taken.quote_out(X, B, 10**6) == pool.quote_out(B, 10**6)
    assert taken.mid_price(X, A) == mid_price(pool, A) == 1.0


def test_what_no_contract_answers_is_the_least_that_does() -> None:
    """With a fee on transfers an exact output has not the unit that getAmountIn adds in vain."""
    pool = ConstantProduct(id=X, token0=A, token1=B, reserve0=1000, reserve1=1000, fee_ppm=0)
    plain = snapshot(pool)
    taxed = msgspec.structs.replace(
        plain,
        tokens={
            **plain.tokens,
            A: Token(address=A, symbol="a", decimals=18, transfer_fee_ppm=10_000),
        },
    )

    assert 1001 == plain.quote_out(X, B, 500)
    assert 1010 == taxed.quote_out(X, B, 500)  # of which 1000 arrive
    assert (500, 499) == (taxed.quote_in(X, A, 1010), taxed.quote_in(X, A, 1009))


def test_a_snapshot_tells_which_pools_have_changed() -> None:
    """What is told to have changed is exactly what differs."""
    before = snapshot(pair(X, 10**18), pair(Y, 10**18))
    after = msgspec.structs.replace(before, pools=before.pools | {Y: pair(Y, 2 * 10**18)})

    assert before.quote_in(Y, A, 10**6) != after.quote_in(Y, A, 10**6)
    assert after.changed(before) == (pair(Y, 2 * 10**18),)
    assert after.changed(after) == ()
    assert before.changed(snapshot(pair(X, 10**18))) == (pair(Y, 10**18),)


def test_an_unknown_pool_is_refused() -> None:
    """Asking for a pool that is not in the snapshot names it and the block."""
    taken = snapshot(pair(X, 10**18))

    with pytest.raises(PoolError, match=f"pool {Y}: id: not among the 1 pools of block 7"):
        taken.quote_in(Y, A, 1)


def test_a_snapshot_survives_encoding() -> None:
    """A journal can hold a snapshot: decoded it is equal to what was encoded."""
    taken = snapshot(pair(X, 10**18))

    assert msgspec.json.decode(msgspec.json.encode(taken), type=Snapshot) == taken


def test_hops_are_told_from_those_that_give_something_else() -> None:
    """gives is true of the pools' own amounts only, of each pool once, and raises nothing."""
    taken = snapshot(pair(X, 10**18), pair(Y, 2 * 10**18))
    first = swapped(taken, X, A, 10**6)
    back = swapped(taken, Y, B, first.amount_out)
    tiny = swapped(taken, Y, A, 1)
    wrong = [
        (first, msgspec.structs.replace(back, amount_out=back.amount_out - 1)),
        (first, msgspec.structs.replace(back, amount_in=back.amount_in + 10**9)),
        (first, msgspec.structs.replace(back, token_in=X)),
        (first, msgspec.structs.replace(back, pool=A)),
        (first, first),
        (tiny,),
    ]

    assert taken.gives((first, back))
    assert tiny.amount_out == 0
    assert [False] * len(wrong) == [taken.gives(hops) for hops in wrong]


def test_a_hop_names_its_pool_as_the_executor_calls_it() -> None:
    """A pair by its address; a V4 pool by its key, with the flag where a hook sets the fee."""
    hook = Address("0x" + "c" * 36 + "0000")
    number = Hash("0x" + "44" * 32)
    dynamic = ConcentratedV4(
        id=number,
        token0=A,
        token1=B,
        fee_ppm=77,
        tick_spacing=10,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=0,
        ticks=(),
        hooks=hook,
        dynamic_fee=True,
    )
    taken = snapshot(pair(X, 10**18))

    assert swapped(taken, X, B, 5) == hop_through(taken.pools[X], B, 5, taken.quote_in(X, B, 5))
    through = hop_through(dynamic, B, 5, 4)
    assert (number, B, A, 5, 4, 77) == (
        through.pool,
        through.token_in,
        through.token_out,
        through.amount_in,
        through.amount_out,
        through.fee_ppm,
    )
    assert through.key == PoolKey(
        fee=DYNAMIC_FEE, tick_spacing=10, hooks=hook, manager=POOL_MANAGER
    )
