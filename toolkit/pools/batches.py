"""Many queries at once through compiled code, with the answers that each would get by itself."""

from collections.abc import Sequence

import numpy as np

from toolkit.model.errors import PoolError
from toolkit.pools.packed import Packed
from toolkit.pools.queries import Query, alone
from toolkit.pools.snapshot import Snapshot

_WORD = 2**256


def answer_all(
    snapshot: Snapshot, packed: Packed, queries: Sequence[Query]
) -> list[int | PoolError]:
    """Return the answer to each query, or why the contract would revert.

    `packed` are the same pools; it is not asked for numbers that no contract could be given.
    """
    answers: dict[int, int | PoolError] = {}
    for exact_out in (False, True):
        places = [
            place
            for place, query in enumerate(queries)
            if query.exact_out is exact_out
            and 0 <= query.amount < _WORD
            and 0 <= query.sqrt_price_limit_x96 < _WORD
        ]
        if places:
            answers |= zip(
                places,
                _quoted(packed, [queries[place] for place in places], exact_out=exact_out),
                strict=True,
            )
    return [
        answers[place] if place in answers else alone(snapshot, query)
        for place, query in enumerate(queries)
    ]


def _quoted(packed: Packed, queries: Sequence[Query], *, exact_out: bool) -> list[int | PoolError]:
    quote = packed.quote_out if exact_out else packed.quote_in
    limits = [query.sqrt_price_limit_x96 for query in queries]
    quotes = quote(
        packed.places(query.pool for query in queries),
        # Lower-case hex of one length sorts like the numbers it writes, and tokens are sorted.
        np.array([query.token_in < query.token_out for query in queries]),
        [query.amount for query in queries],
        limits if any(limits) else None,
    )
    return [
        _settled(amount, quotes.refusal(place)) for place, amount in enumerate(quotes.amounts())
    ]


def _settled(amount: int | None, refusal: PoolError | None) -> int | PoolError:
    if amount is not None:
        return amount
    assert refusal is not None
    return refusal
