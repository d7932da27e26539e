"""What a run of vectors looked at, so that an easy draw cannot pass for a thorough one."""

from collections import Counter
from collections.abc import Iterable

from tests.pools.oracle.vectors import Vector
from toolkit.pools.constant_product import ConstantProduct


def counted(vectors: Iterable[Vector]) -> Counter[str]:
    """Count vectors by direction, kind, end, and what they went through."""
    found: Counter[str] = Counter()
    for vector in vectors:
        question = vector.question
        found["token0 in" if question.zero_for_one else "token1 in"] += 1
        found["exact in" if question.exact_in else "exact out"] += 1
        if vector.amounts is None:
            found["reverts"] += 1
            continue
        found["answers"] += 1
        found["gives nothing"] += vector.amounts[1] == 0
        found["beyond 2^127"] += max(vector.amounts) >= 2**127
        if isinstance(vector.pool, ConstantProduct) or isinstance(vector.after, ConstantProduct):
            continue
        assert vector.after is not None
        low, high = sorted((vector.pool.tick, vector.after.tick))
        crossed = sum(low < tick <= high for tick, _ in vector.pool.ticks)
        found["under a price limit"] += question.limit > 0
        found["filled in part"] += question.amount not in vector.amounts
        found["cross ticks"] += crossed > 0
        found["cross ten ticks"] += crossed >= 10
        found["pass a gap"] += crossed > 0 and vector.pool.liquidity == 0
    return found
