"""Fresh vectors: what the genuine bytecode answers to random questions on random pools.

`vectors(family, seed, n)` is deterministic in its arguments. A vector's `amounts` are None where
the contract reverts, and so must be every quote of ours.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import msgspec

from tests.pools.oracle.bytecode import Amounts, Bytecode
from tests.pools.oracle.draws import (
    Drawn,
    Question,
    ask_pair,
    ask_ticked,
    draw_key,
    draw_reserves,
    draw_ticks,
)
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated import MAX_SPACING, Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct

_PER_POOL = 10  # questions
_UNMADE = 0.02  # of pools are not initialised
_V3_FEES = (0, 1_000, 30_000, 500_000, 999_990, *(100, 500, 3000, 10_000))
_V3_SPACINGS = (10, 60, 200, 1, 2, 3001, MAX_SPACING, MAX_SPACING - 1)
_STANDARD = {100: 1, 500: 10, 3000: 60, 10_000: 200}  # what `Venue` and the factory enable


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A question to a pool, and the contract's answer.

    Attributes:
        amounts: what the pool takes and gives; None where the contract reverts.
        after: the pool's state after the swap; None where it cannot be made.
    """

    pool: Drawn
    question: Question
    amounts: Amounts | None
    after: Drawn | None


def vectors(family: str, seed: int, n: int) -> list[Vector]:
    """Return `n` vectors of a family: "v2", "v3" or "v4"."""
    rng = random.Random(f"{family}:{seed}")
    made: list[Vector] = []
    while len(made) < n:
        made += FAMILIES[family](rng, min(_PER_POOL, n - len(made)))
    return made


def mismatch(vector: Vector) -> str:
    """Say how the plain-integer reference differs from the contract; "" if it does not."""
    amounts, after = reference(vector.pool, vector.question)
    if amounts != vector.amounts:
        return f"amounts {amounts}, the contract says {vector.amounts}: {vector}"
    if after != vector.after:
        return f"left as {after}, the contract as {vector.after}: {vector}"
    return ""


def reference(pool: Drawn, question: Question) -> tuple[Amounts | None, Drawn | None]:
    """Return the plain-integer pool's answer in the form of a vector's."""
    if isinstance(pool, ConstantProduct):
        return _of_pair(pool, question)
    into, out = _tokens(pool, question)
    try:
        if question.exact_in:
            swapped = pool.swap(into, question.amount, sqrt_price_limit_x96=question.limit)
        else:
            swapped = pool.swap_out(out, question.amount, sqrt_price_limit_x96=question.limit)
    except PoolError:
        return None, None
    return (swapped.amount_in, swapped.amount_out), swapped.pool


def _of_pair(
    pool: ConstantProduct, question: Question
) -> tuple[Amounts | None, ConstantProduct | None]:
    into, out = _tokens(pool, question)
    amount = question.amount
    try:
        if question.exact_in:
            amounts = amount, pool.quote_in(into, amount)
        else:
            amounts = pool.quote_out(out, amount), amount
    except PoolError:
        return None, None
    try:
        swap = pool.swap_in(into, amount) if question.exact_in else pool.swap_out(out, amount)
    except PoolError:
        return amounts, None
    return amounts, swap[1]


def _tokens(pool: Drawn, question: Question) -> tuple[Address, Address]:
    pair = (pool.token0, pool.token1)
    return pair if question.zero_for_one else pair[::-1]


@cache
def _bytecode() -> Bytecode:
    return Bytecode()


def _constant_product(rng: random.Random, n: int) -> Iterator[Vector]:
    code = _bytecode()
    for _ in range(n):
        pool = code.load_pair(*draw_reserves(rng))
        question = ask_pair(rng, pool)
        amounts, after = code.ask_pair(pool, question)
        yield Vector(pool=pool, question=question, amounts=amounts, after=after)


def _concentrated(rng: random.Random, n: int) -> Iterator[Vector]:
    code = _bytecode()
    which = rng.randrange(len(_V3_SPACINGS))
    # One spacing a fee, so that what a seed draws does not depend on what was drawn before.
    fee = rng.choice(_V3_FEES) + which
    spacing = _STANDARD.get(fee, _V3_SPACINGS[which])
    fields = draw_ticks(rng, spacing)
    if rng.random() < _UNMADE:
        fields |= {"sqrt_price_x96": 0, "tick": 0, "liquidity": 0, "ticks": (), "gross": ()}
    pool = msgspec.convert(
        {
            "kind": "concentrated",
            "id": code.pool3(fee, spacing),
            "token0": code.token0,
            "token1": code.token1,
            "fee_ppm": fee,
            **fields,
        },
        Concentrated,
    )
    code.load3(pool)
    for _ in range(n):
        question = ask_ticked(rng, pool)
        amounts, after = code.ask3(pool, question)
        yield Vector(pool=pool, question=question, amounts=amounts, after=after)


def _managed(rng: random.Random, n: int) -> Iterator[Vector]:
    code = _bytecode()
    fields = draw_key(rng)
    if rng.random() < _UNMADE:
        fields |= {"sqrt_price_x96": 0, "tick": 0, "liquidity": 0, "ticks": (), "gross": ()}
    pool = msgspec.convert({"kind": "concentrated_v4", **fields}, ConcentratedV4)
    code.load4(pool)
    for _ in range(n):
        question = ask_ticked(rng, pool)
        amounts, after = code.ask4(pool, question)
        yield Vector(pool=pool, question=question, amounts=amounts, after=after)


FAMILIES: dict[str, Callable[[random.Random, int], Iterator[Vector]]] = {
    "v2": _constant_product,
    "v3": _concentrated,
    "v4": _managed,
}
