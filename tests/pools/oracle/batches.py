"""The same vectors, asked of the compiled kernels by the batch."""

import itertools
from collections.abc import Sequence

import numpy as np

from tests.pools.oracle.vectors import Vector
from toolkit.model.chain import ZERO_HASH, Head
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.packed import Packed
from toolkit.pools.snapshot import Snapshot
from toolkit.pools.words import to_ints

HEAD = Head(
    number=1,
    hash=ZERO_HASH,
    parent_hash=ZERO_HASH,
    timestamp=1,
    base_fee_per_gas=1,
    gas_limit=1,
    gas_used=0,
)


def mismatches(vectors: Sequence[Vector]) -> list[str]:
    """Say where `Packed` answers other than the contract, amounts and what is filled of them.

    One pool has one state in a batch, and many vectors share a state: a batch is a state's.
    """
    wrong: list[str] = []
    for _, group in itertools.groupby(vectors, key=lambda vector: id(vector.pool)):
        of_state = list(group)
        for exact_in in (True, False):
            asked = [vector for vector in of_state if vector.question.exact_in == exact_in]
            if asked:
                wrong += _of_batch(asked, exact_in=exact_in)
    return wrong


def _of_batch(vectors: Sequence[Vector], *, exact_in: bool) -> list[str]:
    pool, questions = vectors[0].pool, [vector.question for vector in vectors]
    packed = Packed.of(Snapshot(block=HEAD, tokens={}, pools={pool.id: pool}), workers=1)
    limits = None
    if not isinstance(pool, ConstantProduct):
        limits = [question.limit for question in questions]
    quotes = (packed.quote_in if exact_in else packed.quote_out)(
        packed.places([pool.id] * len(questions)),
        np.array([question.zero_for_one for question in questions], np.bool_),
        [question.amount for question in questions],
        limits,
    )
    wrong = []
    answers = zip(vectors, quotes.amounts(), to_ints(quotes.filled), strict=True)
    for place, (vector, amount, filled) in enumerate(answers):
        told = None
        if amount is not None:
            told = (filled, amount) if exact_in else (amount, filled)
        if told != vector.amounts:
            wrong.append(f"the kernel says {told}, the contract {vector.amounts}: {vector}")
        elif told is None and quotes.refusal(place) is None:
            wrong.append(f"the kernel refuses without a reason: {vector}")
    return wrong
