"""Many queries at once through compiled code, with the answers that each would get by itself."""

from collections.abc import Sequence

import numpy as np

from toolkit.model.errors import PoolError
from toolkit.pools.packed import Packed
from toolkit.pools.queries import Query


def answer_all(packed: Packed, queries: Sequence[Query]) -> list[int | PoolError]:
    """Return the answer to each query of these pools, or why the contract would revert."""
    answers: dict[int, int | PoolError] = {}
    for exact_out in (False, True):
        places = [at for at, query in enumerate(queries) if query.exact_out is exact_out]
        if places:
            found = _quoted(packed, [queries[at] for at in places], exact_out=exact_out)
            answers |= zip(places, found, strict=True)
    return [answers[at] for at in range(len(queries))]


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
