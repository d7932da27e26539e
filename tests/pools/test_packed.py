import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import ConfigError, PoolError
from toolkit.model.market import Token
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.pools.kernels.status import Status
from toolkit.pools.packed import Amounts, Packed, Quotes
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.pools.words import to_ints, to_words

A, B = (Address("0x" + digit * 40) for digit in "ab")
ROOT = Path(__file__).resolve().parents[2]
HEAD = Head(
    number=1,
    hash=Hash("0x" + "11" * 32),
    parent_hash=Hash("0x" + "10" * 32),
    timestamp=1,
    base_fee_per_gas=1,
    gas_used=0,
    gas_limit=30_000_000,
)
SMALL = ConstantProduct(
    id=Address("0x" + "1" * 40), token0=A, token1=B, reserve0=10**9, reserve1=10**9
)
EDGES = (-1, 0, 1, 2, 2**64, MAX_RESERVE, 2**112, 2**128, 2**255 - 1, 2**255, 2**256 - 1, 2**256)


def address(number: int) -> Address:
    return Address(f"0x{number:040x}")


def snapshot(pools: Sequence[Pool], *tokens: Token) -> Snapshot:
    named = {token.address: token for token in tokens}
    return Snapshot(block=HEAD, tokens=named, pools={pool.id: pool for pool in pools})


def pair(rng: random.Random, number: int) -> ConstantProduct:
    """Any reserves and any fee, extremes as often as not."""
    fees = (0, 1, 100, 2500, 3000, 999_999, rng.randrange(10**6), rng.randrange(10**6))

    def reserve() -> int:
        if rng.random() < 0.2:
            return rng.choice([0, 1, 2, MAX_RESERVE - 1, MAX_RESERVE])
        return rng.getrandbits(rng.randint(1, 112))

    return ConstantProduct(
        id=address(number),
        token0=A,
        token1=B,
        reserve0=reserve(),
        reserve1=reserve(),
        fee_ppm=rng.choice(fees),
    )


def amount_for(rng: random.Random, pool: ConstantProduct) -> int:
    reserve = rng.choice([pool.reserve0, pool.reserve1])
    near = rng.choice([reserve, MAX_RESERVE - reserve]) + rng.randint(-2, 2)
    return rng.choice([rng.choice(EDGES), near, rng.randint(1, reserve + 1), rng.randint(1, 10**6)])


def asked(
    state: Snapshot, pool: Pool, amount: int, limit: int = 0, *, forward: bool, exact_out: bool
) -> int | str:
    """The snapshot's own answer, or the words it refuses with."""
    token_in, token_out = (pool.token0, pool.token1)[:: 1 if forward else -1]
    try:
        if exact_out:
            return state.quote_out(pool.id, token_out, amount, sqrt_price_limit_x96=limit)
        return state.quote_in(pool.id, token_in, amount, sqrt_price_limit_x96=limit)
    except PoolError as error:
        return str(error)


def told(quotes: Quotes, count: int) -> list[int | str]:
    amounts = quotes.amounts()
    found: list[int | str] = []
    for query in range(count):
        amount, refusal = amounts[query], quotes.refusal(query)
        assert (amount is None) == (refusal is not None)
        found.append(str(refusal) if amount is None else amount)
    return found


@pytest.mark.parametrize("exact_out", [False, True])
def test_pairs_in_a_batch_answer_as_one_by_one(seed: int, *, exact_out: bool) -> None:
    """Any fee, any reserves, any amount: the pool's own integer, or its own words."""
    rng = random.Random(f"{seed} {exact_out}")
    pools = [pair(rng, number) for number in range(1, 400)]
    state = snapshot(pools)
    packed = Packed.of(state)
    drawn = [rng.choice(pools) for _ in range(4000)]
    forward = [rng.random() < 0.5 for _ in drawn]
    amounts = [amount_for(rng, pool) for pool in drawn]
    quote = packed.quote_out if exact_out else packed.quote_in

    quotes = quote(packed.places(pool.id for pool in drawn), np.array(forward), amounts)

    expected = [
        asked(state, pool, amount, forward=way, exact_out=exact_out)
        for pool, way, amount in zip(drawn, forward, amounts, strict=True)
    ]
    assert expected == told(quotes, len(drawn)), seed
    assert {Status.OK, Status.AMOUNT, Status.OVERFLOW, Status.ZERO_RESERVE} <= set(quotes.status)
    assert 0.2 < np.mean(quotes.status == Status.OK) < 0.95


def test_threads_share_a_large_batch_and_change_nothing(seed: int) -> None:
    """Two workers give what one gives, in the same order."""
    rng = random.Random(seed)
    pools = [pair(rng, number) for number in range(1, 50)]
    alone, shared = (Packed.of(snapshot(pools), workers=count) for count in (1, 2))
    places = np.array([rng.randrange(len(pools)) for _ in range(40_001)])
    forward = places % 2 == 0
    amounts = to_words([rng.randrange(1, 10**12) for _ in places])

    one, two = (packed.quote_in(places, forward, amounts) for packed in (alone, shared))

    assert (one.status == two.status).all()
    assert (one.words == two.words).all()


def test_a_state_that_was_put_is_what_is_quoted() -> None:
    """After `put` the batch answers for the new state, after putting the old one as before."""
    old = ConstantProduct(id=address(1), token0=A, token1=B, reserve0=10**9, reserve1=10**9)
    new = ConstantProduct(
        id=address(1), token0=A, token1=B, reserve0=10**9, reserve1=10**12, fee_ppm=100
    )
    packed = Packed.of(snapshot([old, pair(random.Random(1), 2)]))
    first = packed.places([old.id])
    found = []
    for state in (old, new, old):
        packed.put(state)
        found += packed.quote_in(first, np.array([True]), [10**6]).amounts()

    assert [one.quote_in(A, 10**6) for one in (old, new, old)] == found


def test_unknown_pools_are_refused_by_name() -> None:
    """A pool that is not there is no query but an error that names it."""
    packed = Packed.of(snapshot([pair(random.Random(1), 1)]))

    with pytest.raises(PoolError, match=f"pool {address(2)}: id: not among the 1 pools"):
        packed.places([address(2)])


@pytest.mark.parametrize(
    ("forward", "amounts", "limits", "why"),
    [
        ([True], [5, 6], None, "2 pools, 1 zero_for_one, 2 amounts; give one of each"),
        ([True, False], [5], None, "2 pools, 2 zero_for_one, 1 amounts; give one of each"),
        ([True, False], [5, 6], [0], "2 amounts, 1 limits; give one of each"),
        ([True, False], np.ones((2, 4)), None, r"amounts: an array of float64 and shape \(2, 4\)"),
        ([True, False], np.ones(2, np.uint64), None, r"amounts: an array of uint64 and shape \(2,"),
    ],
)
def test_a_batch_that_is_not_one_of_each_is_refused(
    forward: list[bool], amounts: Amounts, limits: Amounts | None, why: str
) -> None:
    """Compiled code would read beyond an array's end, and a float would lose its fraction."""
    packed = Packed.of(snapshot([SMALL]))
    pools = packed.places([SMALL.id] * 2)

    for quote in (packed.quote_in, packed.quote_out):
        with pytest.raises(ConfigError, match=why):
            quote(pools, np.array(forward), amounts, limits)


@pytest.mark.parametrize("place", [-1, 1, 2**40])
def test_a_place_where_no_pool_is_is_refused(place: int) -> None:
    """Compiled code would read beyond the pools, and a negative one would be another pool's."""
    packed = Packed.of(snapshot([SMALL]))

    with pytest.raises(ConfigError, match=f"{place} is not the place of one of the 1 pools"):
        packed.quote_in(np.array([0, place]), np.array([True, True]), [5, 5])


def test_an_answer_leaves_what_was_given_alone() -> None:
    """The caller's own amounts are not written to, whoever answers."""
    taxed = Token(address=A, symbol="TAX", decimals=18, transfer_fee_ppm=20_000)
    for state in (snapshot([SMALL]), snapshot([SMALL], taxed)):
        amounts = to_words([1000, 0])

        quotes = Packed.of(state).quote_out(np.zeros(2, np.int64), np.array([True, False]), amounts)

        assert [1000, 0] == to_ints(amounts) == to_ints(quotes.filled)


def test_what_has_no_kernel_is_asked_itself() -> None:
    """A pair whose token keeps a part of transfers answers in the same batch as the snapshot."""
    taxed = Token(address=A, symbol="TAX", decimals=18, transfer_fee_ppm=20_000)
    pools = [
        ConstantProduct(id=address(1), token0=A, token1=B, reserve0=10**9, reserve1=10**9),
        ConstantProduct(
            id=address(2), token0=B, token1=address(0xC << 156), reserve0=10**9, reserve1=10**9
        ),
    ]
    state = snapshot(pools, taxed)
    packed = Packed.of(state)
    places = packed.places(pool.id for pool in pools)
    for exact_out in (False, True):
        quote = packed.quote_out if exact_out else packed.quote_in
        for amount in (0, 1000, 10**8, 2**113):
            for limit in (0, 2**96):
                quotes = quote(places, np.array([True, True]), [amount] * 2, [limit] * 2)

                assert [
                    asked(state, pool, amount, limit, forward=True, exact_out=exact_out)
                    for pool in pools
                ] == told(quotes, 2)


def test_an_empty_batch_has_no_answers() -> None:
    """Nothing asked, nothing answered, whatever pools there are."""
    for pools in ([], [pair(random.Random(1), 1)]):
        packed = Packed.of(snapshot(pools))
        nothing = np.zeros(0, np.int64)

        assert [] == packed.quote_in(nothing, nothing.astype(bool), []).amounts()


def test_without_compiling_the_pools_answer_themselves() -> None:
    """NUMBA_DISABLE_JIT=1 puts the plain integers in place of the kernels."""
    program = """
from tests.pools.test_packed import *
pools = [ConstantProduct(id=address(1), token0=A, token1=B, reserve0=10**9, reserve1=10**9)]
packed = Packed.of(snapshot(pools))
quotes = packed.quote_in(np.zeros(2, np.int64), np.array([True, False]), [10**6, 0])
print(quotes.amounts(), quotes.refusal(1))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert f"[996006, None] pool {address(1)}: amount_in: 0 is not positive" == done.stdout.strip()
