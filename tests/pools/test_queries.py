"""Questions by name, and what stands in the way of an answer."""

import json
from typing import Any

import pytest

from toolkit.model.chain import ZERO_HASH, Address, Hash, Head
from toolkit.model.errors import DataError, PoolError
from toolkit.model.market import Token
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.queries import Query, answer, ask, read_query
from toolkit.pools.snapshot import Pool, Snapshot

A, B, C, V2, V3, TWINS = (Address("0x" + digit * 40) for digit in "abc123")
V4 = Hash("0x" + "44" * 32)
HEAD = Head(
    number=7,
    hash=ZERO_HASH,
    parent_hash=ZERO_HASH,
    timestamp=1,
    base_fee_per_gas=0,
    gas_limit=0,
    gas_used=0,
)
CURVE: dict[str, Any] = {
    "token0": A,
    "token1": B,
    "fee_ppm": 500,
    "tick_spacing": 10,
    "sqrt_price_x96": 2**96,
    "tick": 0,
    "liquidity": 10**18,
    "ticks": ((-1000, 10**18), (1000, -(10**18))),
}
POOLS: list[Pool] = [
    ConstantProduct(id=V2, token0=A, token1=B, reserve0=10**18, reserve1=10**18),
    ConstantProduct(id=TWINS, token0=B, token1=C, reserve0=10**18, reserve1=10**18),
    Concentrated(id=V3, **CURVE),
    ConcentratedV4(id=V4, **CURVE),
]
SNAPSHOT = Snapshot(
    block=HEAD,
    tokens={
        token: Token(address=token, symbol=symbol, decimals=18)
        for token, symbol in ((A, "ONE"), (B, "TWO"), (C, "TWO"))
    },
    pools={pool.id: pool for pool in POOLS},
)
QUERY = {"pool": V3, "in": "ONE", "out": "TWO", "amount": "1000000", "exact": "in"}


def line(**fields: object) -> bytes:
    """A query with fields set, or, where they are None, left out."""
    changed = {**QUERY, **fields}
    return json.dumps({k: v for k, v in changed.items() if v is not None}).encode()


def test_tokens_are_named_by_symbol_or_address() -> None:
    """Within its pool a symbol is enough; addresses and ids come in any case."""
    query = Query(pool=V3, token_in=B, token_out=A, amount=5, exact_out=True)

    assert query == ask(SNAPSHOT, V3, "TWO", "ONE", 5, exact_out=True)
    assert query == ask(SNAPSHOT, V3.upper(), B.upper(), A, 5, exact_out=True)
    assert V4 == ask(SNAPSHOT, V4.upper(), "ONE", "TWO", 5).pool


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: type(pool).__name__)
def test_an_answer_is_the_snapshots_quote(pool: Any) -> None:
    """Exact in and exact out, both ways, are what the pool itself answers."""
    for token, other in ((pool.token0, pool.token1), (pool.token1, pool.token0)):
        query = ask(SNAPSHOT, pool.id, token, other, 10**6)
        wanted = ask(SNAPSHOT, pool.id, token, other, 10**6, exact_out=True)

        assert pool.quote_in(token, 10**6) == answer(SNAPSHOT, query)
        assert pool.quote_out(other, 10**6) == answer(SNAPSHOT, wanted)


@pytest.mark.parametrize("pool", [V3, V4])
def test_a_price_limit_reaches_the_pool(pool: Address | Hash) -> None:
    """A pool stops at the limit of its query; one that has no limits says so."""
    limit = 2**96 - 2**80
    limited = ask(SNAPSHOT, pool, A, B, 10**18, sqrt_price_limit_x96=limit)
    of_v2 = ask(SNAPSHOT, V2, A, B, 10**18, sqrt_price_limit_x96=limit)

    assert 0 < answer(SNAPSHOT, limited) < answer(SNAPSHOT, ask(SNAPSHOT, pool, A, B, 10**18))
    with pytest.raises(PoolError, match=f"pool {V2}: sqrt_price_limit_x96: {limit} given, but"):
        answer(SNAPSHOT, of_v2)


def test_a_line_is_a_query() -> None:
    """All fields are read; exact is "in" and the limit none where they are left out."""
    whole = Query(
        pool=V3, token_in=A, token_out=B, amount=10**6, exact_out=True, sqrt_price_limit_x96=9
    )

    assert (whole, ()) == read_query(
        SNAPSHOT, line(exact="out", sqrt_price_limit_x96="9"), where="line 1"
    )
    assert (Query(pool=V3, token_in=A, token_out=B, amount=10**6), ("note",)) == read_query(
        SNAPSHOT, line(exact=None, amount=10**6, note=1.5), where="line 1"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (line(pool=None), "pool: is missing"),
        (line(amount=None), "amount: is missing"),
        (line(amount=1.5), "amount: is 1.5, a float; give a decimal string or an integer"),
        (line(amount="1e3"), "amount: is '1e3'; give"),
        (line(amount="9" * 79), "amount: is '9+'; give a decimal string or an integer of up to 78"),
        (line(amount=10**78), "amount: is 10+; give a decimal string or an integer of up to 78 d"),
        (line(amount=-(10**78)), "amount: is -10+; give a decimal string or an integer of up to"),
        (line(exact="both"), 'exact: is \'both\'; give "in" or "out"'),
        (line(pool="0x1"), "pool: '0x1' is not the id of one of the 4 pools"),
        (line(pool=A), f"pool: {A} is not the id"),
        (line(**{"in": "DOGE"}), rf"pool {V3}: in: 'DOGE' is neither of its tokens, {A} \(ONE\)"),
        (line(out=C), f"pool {V3}: out: {C} is neither of its tokens"),
        (line(out="ONE"), f"pool {V3}: out: 'ONE' is what goes in already"),
        (line(pool=TWINS, out="TWO", **{"in": B}), f"pool {TWINS}: out: 'TWO' is the symbol of bo"),
        (line(sqrt_price_limit_x96=None, out=7), "out: is 7; give a text"),
        (b"[]", r"is \[\]; give a JSON object"),
        (b'{"pool"', "is no JSON at column 8: unexpected end of data"),
        (b'"\xff"', "is no JSON at column 1: str is not valid UTF-8"),
        (b"[" * 100_000, "is no JSON at column 1026: depth limit exceeded"),
    ],
)
def test_what_is_no_query_names_its_line(text: bytes, said: str) -> None:
    """The line's number, the field, what stands there and what should."""
    with pytest.raises(DataError, match=f"^line 3: {said}") as caught:
        read_query(SNAPSHOT, text, where="line 3")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("amount", [0, -1, 2**128, 2**255, 2**256])
def test_an_amount_that_reverts_is_no_broken_query(amount: int) -> None:
    """What the contract would revert on is a PoolError with pool and field."""
    query = ask(SNAPSHOT, V2, A, B, amount)

    with pytest.raises(PoolError, match=f"pool {V2}: amount_in: "):
        answer(SNAPSHOT, query)
