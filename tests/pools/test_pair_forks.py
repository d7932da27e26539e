"""A fork of V2 with a fee of its own: what its genuine pair gives decides what a quote must be."""

import json
import secrets
from random import Random

import msgspec
import pytest

from tests.pools.oracle.bytecode import Bytecode
from tests.pools.oracle.draws import Question, ask_pair, draw_reserves
from tests.pools.venue import UNISWAP
from toolkit.model.errors import PoolError
from toolkit.pools.constant_product import ConstantProduct

PANCAKE = UNISWAP.parent / "@pancakeswap-libs/pancake-swap-core/build/PancakePair.json"
FEE_PPM = 2000  # PancakePair.sol of this package: balances less two thousandths of what came in
QUESTIONS = 400


@pytest.fixture(scope="module")
def code() -> Bytecode:
    return Bytecode(bytes.fromhex(json.loads(PANCAKE.read_text())["bytecode"]))


def quoted(pool: ConstantProduct, question: Question) -> tuple[int, int] | None:
    """What goes in and comes out by our arithmetic, None where it refuses or gives nothing."""
    into, out = pool.token0, pool.token1
    if not question.zero_for_one:
        into, out = out, into
    try:
        if question.exact_in:
            amounts = question.amount, pool.quote_in(into, question.amount)
        else:
            amounts = pool.quote_out(out, question.amount), question.amount
    except PoolError:  # safe because None is a claim that the pair is then asked about
        return None
    return amounts if amounts[1] else None


def test_the_pair_gives_what_is_quoted_and_no_more(code: Bytecode) -> None:
    """It accepts every quote, one more for as much never, nor two less for what must come out.

    Two, for the routers' own formula asks for one more than the least. What is not quoted, it
    does not give either.
    """
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    answered = 0
    for _ in range(QUESTIONS):
        loaded = code.load_pair(*draw_reserves(rng))
        pool = msgspec.structs.replace(loaded, fee_ppm=FEE_PPM)
        question = ask_pair(rng, pool)
        amounts = quoted(pool, question)
        if amounts is None:
            least = 1 if question.exact_in else question.amount
            assert not code.accepts(pool, question, question.amount, least), (pool, question)
            continue
        taken, given = amounts
        answered += 1
        assert code.accepts(pool, question, taken, given), (pool, question)
        if question.exact_in:
            assert not code.accepts(pool, question, taken, given + 1), (pool, question)
        elif taken > 2:
            assert not code.accepts(pool, question, taken - 2, given), (pool, question)

    assert answered > QUESTIONS // 4


def test_uniswap_s_fee_is_not_the_fork_s(code: Bytecode) -> None:
    """With Uniswap's three thousandths a quote is less than the pair gives."""
    pool = code.load_pair(10**18, 10**18)
    question = Question(zero_for_one=True, exact_in=True, amount=10**15)
    given = pool.quote_in(pool.token0, question.amount)

    assert code.accepts(pool, question, question.amount, given + 1)
