from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolKind
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4, pool_id
from toolkit.pools.snapshot import Pool
from toolkit.pools.ticks import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE

A, B, C, V3_POOL = (Address("0x" + digit * 40) for digit in "abc1")
POOL = Hash("0x" + "44" * 32)
L = 10**18
FEE_SETTER = Address("0x" + "7" * 36 + "2000")  # called before initialisation only


def pool(**changes: Any) -> ConcentratedV4:
    """A pool at price 1 with one position of 60 ticks each side, changed as asked."""
    fields: dict[str, Any] = {
        "id": POOL,
        "token0": A,
        "token1": B,
        "fee_ppm": 3000,
        "tick_spacing": 60,
        "sqrt_price_x96": 2**96,
        "tick": 0,
        "liquidity": L,
        "ticks": ((-60, L), (60, -L)),
    }
    return ConcentratedV4(**(fields | changes))


def test_without_a_protocol_fee_it_trades_like_v3() -> None:
    """The same state and fee give V3's amounts and V3's state afterwards."""
    shared = {name: getattr(pool(), name) for name in ConcentratedV4.__struct_fields__[1:10]}
    v3 = Concentrated(id=V3_POOL, **shared)
    for token, amount in ((A, 10**15), (B, 12345), (A, 10**20)):
        ours, theirs = pool().swap(token, amount), v3.swap(token, amount)

        assert (theirs.amount_in, theirs.amount_out) == (ours.amount_in, ours.amount_out)
        assert (theirs.pool.sqrt_price_x96, theirs.pool.tick, theirs.pool.liquidity) == (
            ours.pool.sqrt_price_x96,
            ours.pool.tick,
            ours.pool.liquidity,
        )


@pytest.mark.parametrize(
    ("lp", "protocol", "whole"),
    [
        (3000, 0, 3000),
        (3000, 1000, 3997),
        (3000, 1, 3001),
        (500, 999, 1499),  # 999 x 500 / 1e6 is below one
        (1000, 1000, 1999),
        (0, 1000, 1000),
        (999_998, 1, 999_999),
        (999_999, 1, 1_000_000),
        (999_999, 1000, 1_000_000),
        (1_000_000, 1000, 1_000_000),
    ],
)
def test_the_whole_fee_rounds_up(lp: int, protocol: int, whole: int) -> None:
    """The protocol's part comes first, the lp fee is of the rest, and the sum is rounded up."""
    state = pool(fee_ppm=lp, protocol_fee_ppm=(protocol, 0))

    assert whole == state.swap_fee_ppm(zero_for_one=True)
    assert lp == state.swap_fee_ppm(zero_for_one=False)


def test_the_protocol_fee_is_the_directions_own() -> None:
    """A protocol fee on token0 going in leaves the other direction's quotes alone."""
    taxed = pool(protocol_fee_ppm=(1000, 0))

    assert taxed.quote_in(A, 10**15) == pool(fee_ppm=3997).quote_in(A, 10**15)
    assert taxed.quote_in(A, 10**15) < pool().quote_in(A, 10**15)
    assert taxed.quote_in(B, 10**15) == pool().quote_in(B, 10**15)


@pytest.mark.parametrize("token", [A, B])
def test_a_fee_of_everything_takes_all_and_gives_nothing(token: Address) -> None:
    """At 100 % an exact input disappears in the fee, and an exact output is refused."""
    greedy = pool(fee_ppm=10**6)

    assert (10**15, 0) == greedy.fill_in(token, 10**15)
    assert greedy.sqrt_price_x96 == greedy.swap(token, 10**15).pool.sqrt_price_x96
    with pytest.raises(PoolError, match=r"fee_ppm: a fee of 100 %.*InvalidFeeForExactOut"):
        greedy.quote_out(token, 1)


def test_without_liquidity_nothing_moves_but_the_price() -> None:
    """Unlike V3's periphery the manager answers 0 for 0, and the price is at its limit."""
    hollow = pool(liquidity=0, ticks=())
    swapped = hollow.swap(A, 10**6)

    assert (0, 0) == (swapped.amount_in, swapped.amount_out)
    assert MIN_SQRT_PRICE + 1 == swapped.pool.sqrt_price_x96
    with pytest.raises(PoolError, match="amount_in: liquidity ends after 0 of 1000000"):
        hollow.swap_in(A, 10**6)
    with pytest.raises(PoolError, match="amount_out: only 0 of 5 can be bought"):
        hollow.quote_out(B, 5)


def test_a_pool_at_the_lowest_price_sells_no_token1() -> None:
    """The manager lets a pool start at the very lowest price; from there only up."""
    lowest = pool(sqrt_price_x96=MIN_SQRT_PRICE, tick=-MAX_TICK, liquidity=0, ticks=())

    with pytest.raises(PoolError, match="PriceLimitAlreadyExceeded"):
        lowest.quote_in(A, 1)
    assert lowest.quote_in(B, 1) == 0


def test_the_id_is_the_hash_of_the_key() -> None:
    """keccak256(abi.encode(PoolKey)): mainnet's native/USDC pool of 0.05 %, for one."""
    usdc = Address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
    known = Hash("0x21c67e77068de97969ba93d4aab21826d33ca12bb9f565d8496e8fda8a82ca27")

    assert known == pool_id(ZERO_ADDRESS, usdc, 500, 10)
    state = pool(id=known, token0=ZERO_ADDRESS, token1=usdc, fee_ppm=500, tick_spacing=10)
    state.check_id()
    with pytest.raises(PoolError, match=f"pool {known}: id: "):
        msgspec.structs.replace(state, fee_ppm=501).check_id()


def test_a_dynamic_fee_is_no_part_of_the_id() -> None:
    """The key of a pool whose hook sets the fee says so instead of the fee."""
    fields = {"hooks": FEE_SETTER, "dynamic_fee": True}
    number = pool_id(A, B, DYNAMIC_FEE, 60, FEE_SETTER)

    for fee in (0, 3000, 10**6):
        pool(id=number, fee_ppm=fee, **fields).check_id()
    assert pool(**fields).quote_in(A, 10**15) == pool().quote_in(A, 10**15)


@pytest.mark.parametrize(("fee", "spacing"), [(2**24, 1), (-1, 1), (0, 2**23), (0, -1)])
def test_a_key_without_room_for_a_number_has_no_id(fee: int, spacing: int) -> None:
    """Numbers beyond uint24 and int24 are refused by name, not cut."""
    with pytest.raises(PoolError, match=r"fee|tick_spacing"):
        pool_id(A, B, fee, spacing)


@pytest.mark.parametrize("bits", ["0080", "0040", "00c0", "3fff"])
def test_a_pool_whose_hook_sees_swaps_is_not_quoted(bits: str) -> None:
    """Such a hook may take or give anything, so every question is refused, the state is not."""
    hooked = pool(hooks=Address("0x" + "7" * 36 + bits))

    with pytest.raises(PoolError, match=f"pool {POOL}: hooks: .* is called at swaps"):
        hooked.quote_in(A, 1)
    with pytest.raises(PoolError, match=f"pool {POOL}: hooks: .* is called at swaps"):
        hooked.quote_out(B, 1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": V3_POOL}, "id"),
        ({"token0": B, "token1": A}, "token0"),
        ({"token1": A}, "token0"),
        ({"token1": ZERO_ADDRESS}, "token0"),
        ({"fee_ppm": 10**6 + 1}, "fee_ppm"),
        ({"fee_ppm": -1}, "fee_ppm"),
        ({"protocol_fee_ppm": (1001, 0)}, "protocol_fee_ppm"),
        ({"protocol_fee_ppm": (0, 1001)}, "protocol_fee_ppm"),
        ({"protocol_fee_ppm": (-1, 0)}, "protocol_fee_ppm"),
        ({"dynamic_fee": True}, "dynamic_fee"),
        ({"hooks": Address("0x" + "7" * 36 + "4000")}, "hooks"),
        ({"hooks": Address("0x" + "7" * 36 + "0008")}, "hooks"),
        ({"hooks": Address("0x" + "7" * 36 + "0004")}, "hooks"),
        ({"hooks": Address("0x" + "7" * 36 + "0002")}, "hooks"),
        ({"hooks": Address("0x" + "7" * 36 + "0001")}, "hooks"),
        ({"tick_spacing": 0}, "tick_spacing"),
        ({"tick_spacing": 32_768}, "tick_spacing"),
        ({"liquidity": 2**128}, "liquidity"),
        ({"sqrt_price_x96": MIN_SQRT_PRICE - 1}, "sqrt_price_x96"),
        ({"sqrt_price_x96": MAX_SQRT_PRICE}, "sqrt_price_x96"),
        ({"tick": 1}, "tick"),
        ({"ticks": ((60, -L), (-60, L))}, "ticks"),
        ({"ticks": ((887_280, 1),)}, "ticks"),
        ({"known": (10, -10)}, "known"),
        ({"gross": (L,)}, "gross"),
        ({"gross": (L - 1, L)}, "gross"),
        ({"gross": (L, 2**128)}, "gross"),
    ],
)
def test_impossible_states_are_refused(changes: dict[str, Any], field: str) -> None:
    """A state that the manager could not hold names the pool and the field."""
    name = changes.get("id", POOL)
    with pytest.raises(PoolError, match=f"pool {name}: {field}: "):
        pool(**changes)


def test_an_id_with_capitals_is_refused() -> None:
    """Logs name a pool in lower case: one of another name would never hear of its own."""
    with pytest.raises(PoolError, match=r"id: 0xaB.* has capitals; write it in lower case"):
        pool(id="0x" + "aB" * 32)
    with pytest.raises(PoolError, match=r"manager: 0xaB.* has capitals; write it in lower case"):
        pool(manager="0x" + "aB" * 20)


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda p: p.quote_in(C, 1), "token_in"),
        (lambda p: p.quote_out(C, 1), "token_out"),
        (lambda p: p.mid_price(C), "token_in"),
        (lambda p: p.quote_in(A, 0), "amount_in"),
        (lambda p: p.quote_in(A, -1), "amount_in"),
        (lambda p: p.quote_in(A, 2**255 + 1), "amount_in"),
        (lambda p: p.quote_out(A, 0), "amount_out"),
        (lambda p: p.quote_out(A, 2**255), "amount_out"),
        (lambda p: p.quote_out(B, 10**18), "amount_out"),
        (lambda p: p.quote_in(A, 1, sqrt_price_limit_x96=2**96), "sqrt_price_limit_x96"),
        (lambda p: p.quote_in(B, 1, sqrt_price_limit_x96=2**96), "sqrt_price_limit_x96"),
        (lambda p: p.quote_in(A, 1, sqrt_price_limit_x96=MIN_SQRT_PRICE), "sqrt_price_limit_x96"),
        (lambda p: p.quote_in(B, 1, sqrt_price_limit_x96=MAX_SQRT_PRICE), "sqrt_price_limit_x96"),
    ],
)
def test_impossible_questions_are_refused(
    ask: Callable[[ConcentratedV4], object], field: str
) -> None:
    """A question that the manager would revert on names the pool and the argument."""
    with pytest.raises(PoolError, match=f"pool {POOL}: {field}: "):
        ask(pool())


def test_amounts_beyond_int128_are_refused() -> None:
    """The manager accounts in int128: 2^127 may be taken, one more may not."""
    deep = pool(
        fee_ppm=0, liquidity=2**127 - 1, ticks=((-887_220, 2**127 - 1), (887_220, 1 - 2**127))
    )

    assert 2**127 == deep.fill_in(A, 2**127)[0]
    with pytest.raises(PoolError, match=r"amount_in: .* does not fit int128 \(SafeCastOverflow\)"):
        deep.quote_in(A, 2**127 + 1)


def test_outputs_beyond_int128_are_refused() -> None:
    """Of what is given 2^127 is one too many: deltas towards the trader are positive."""
    most = 2**127 - 1
    dear = pool(
        fee_ppm=0,
        sqrt_price_x96=2**97,
        tick=13_863,
        liquidity=most,
        ticks=((-887_220, most), (887_220, -most)),
    )

    assert most == dear.swap_out(B, most).amount_out
    with pytest.raises(PoolError, match=r"amount_out: .* does not fit int128 \(SafeCastOverflow\)"):
        dear.quote_out(B, most + 1)


def test_a_pool_not_initialised_is_refused() -> None:
    """A price of 0 is no price."""
    with pytest.raises(PoolError, match="sqrt_price_x96: is 0, the pool is not initialised"):
        pool(sqrt_price_x96=0).quote_in(A, 1)
    with pytest.raises(PoolError, match="sqrt_price_x96: is 0, the pool is not initialised"):
        pool(sqrt_price_x96=0).mid_price(A)


def test_a_pool_survives_encoding_among_others() -> None:
    """States are plain values, told apart by their tag; tables know the family."""
    text = msgspec.json.encode(pool(gross=(L, L)))

    assert msgspec.json.decode(text, type=Pool) == pool(gross=(L, L))
    assert pool().kind is PoolKind.CONCENTRATED
    assert (1.0, 1.0) == (pool().mid_price(A), pool().mid_price(B))
