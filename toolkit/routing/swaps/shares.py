"""Spending an amount exactly in pools side by side, in their own integers."""

from collections.abc import Sequence

import numpy as np

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.pairs import Pairs
from toolkit.pools.words import Words, to_ints, to_words
from toolkit.routing.curves import Routable
from toolkit.routing.graph import Graph

Filled = tuple[int, int, int]
"""An edge of the graph, what it takes and what it gives."""

# Beyond so many units of output a further one is not worth the pools' quotes.
_FINE = 1 << 30
_COARSE = 4  # units of output a unit of input, beyond which no input can be saved
_FEW = 20  # bits of a share, of which a unit matters
_MANY = 8  # V2 pools side by side; from there on compiled code pays
_OTHER_WAY = [2, 3, 0, 1, 4, 5]
_TIMES = 4  # further units bought for what outputs can do without, per pool


def spend(
    pools: Sequence[Routable], token: Address, amount: int, shares: Sequence[float]
) -> list[tuple[int, int]]:
    """Return what each pool takes and gives when `amount` goes in, about as `shares` say.

    All of it is spent, unless the pools cannot take as much. A pool that is not used has zeros.
    Where a unit of output costs many of input, what an output can do without is collected and
    spent where it buys a further unit.
    """
    rest, amounts = amount, []
    for share in shares:
        amounts.append(min(int(share), rest))
        rest -= amounts[-1]
    if rest <= len(pools) and amount < len(pools) << _FEW:
        parts = sorted(range(len(pools)), key=lambda at: amounts[at] - shares[at])
        for at in parts[:rest]:
            amounts[at] += 1
        rest = 0
    order = sorted(range(len(pools)), key=lambda at: -shares[at])
    given = [0] * len(pools)
    for at in reversed(order):
        more = rest if at == order[0] else 0
        amounts[at], given[at], left = _fill(pools[at], token, amounts[at] + more)
        rest += left - more
    for at in order if rest else ():
        taken, out, left = _fill(pools[at], token, amounts[at] + rest)
        if out > given[at]:
            amounts[at], given[at], rest = taken, out, left
    if not rest and len(pools) > 1 and sum(given) < min(_FINE, _COARSE * amount):
        amounts, given = _refined(pools, token, amounts, given)
    return _whole(pools, token, amounts, given, order)


def _fill(pool: Routable, token: Address, amount: int) -> tuple[int, int, int]:
    """(what a pool takes of an amount, what it gives, what it leaves)."""
    if amount < 1:
        return 0, 0, amount
    try:
        taken, given = pool.fill_in(token, amount)
    except PoolError:  # safe because nothing is sent to a pool that refuses
        return 0, 0, amount
    return taken, given, amount - taken


def _refined(
    pools: Sequence[Routable], token: Address, amounts: list[int], given: list[int]
) -> tuple[list[int], list[int]]:
    """Reduce amounts to what outputs need, and buy further units where they cost least."""
    needs = [
        min(_need(pool, token, out) or amount, amount) if out else 0
        for pool, amount, out in zip(pools, amounts, given, strict=True)
    ]
    spare = sum(amounts) - sum(needs)
    outs = list(given)
    costs = [_step(pool, token, *at) for pool, *at in zip(pools, needs, outs, strict=True)]
    for _ in range(_TIMES * len(pools)):
        best = min(range(len(pools)), key=lambda at: (costs[at] is None, costs[at] or 0))
        cost = costs[best]
        if cost is None or cost > spare:
            break
        spare -= cost
        needs[best] += cost
        outs[best] += 1
        costs[best] = _step(pools[best], token, needs[best], outs[best])
    best = max(range(len(pools)), key=lambda at: outs[at])
    needs[best] += spare
    filled = [_fill(pool, token, need) for pool, need in zip(pools, needs, strict=True)]
    outs = [out for _, out, _ in filled]
    if any(left for _, _, left in filled) or sum(outs) < sum(given):
        return amounts, given
    return needs, outs


def _need(pool: Routable, token: Address, output: int) -> int | None:
    """The contract's input for an output; None where that much cannot be bought."""
    try:
        return pool.quote_out(pool.token1 if token == pool.token0 else pool.token0, output)
    except PoolError:  # safe because None says so
        return None


def _step(pool: Routable, token: Address, amount: int, output: int) -> int | None:
    """What one unit more of output costs in a pool."""
    need = _need(pool, token, output + 1)
    return None if need is None else max(need - amount, 0)


def _whole(
    pools: Sequence[Routable],
    token: Address,
    amounts: list[int],
    given: list[int],
    order: Sequence[int],
) -> list[tuple[int, int]]:
    """Move what buys nothing to where the most goes, because a contract would refuse it."""
    idle = sum(amount for amount, out in zip(amounts, given, strict=True) if not out)
    amounts = [amount if out else 0 for amount, out in zip(amounts, given, strict=True)]
    for at in order if idle else ():
        taken, out, left = _fill(pools[at], token, amounts[at] + idle)
        if out > given[at]:
            amounts[at], given[at], idle = taken, out, left
    return list(zip(amounts, given, strict=True))


class Spender:
    """Spends amounts in the pools of a graph, and stays good when that moves."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._rows: Words = np.zeros((len(graph.pools), 6), np.uint64)
        self._laid: list[Routable | None] = [None] * len(graph.pools)

    def spend(self, edges: Sequence[int], amount: int, shares: Sequence[float]) -> list[Filled]:
        """Spend `amount` in the pools of edges side by side, or what of it they can take."""
        graph = self._graph
        pools = [graph.pools[edge >> 1] for edge in edges]
        if len(pools) >= _MANY and all(isinstance(pool, ConstantProduct) for pool in pools):
            found = self._spend_pairs(edges, amount, shares)
        else:
            found = None
        if found is None:
            found = spend(pools, graph.tokens[graph.edge_in[edges[0]]], amount, shares)
        filled = zip(edges, found, strict=True)
        return [(edge, taken, given) for edge, (taken, given) in filled if given]

    def _spend_pairs(
        self, edges: Sequence[int], amount: int, shares: Sequence[float]
    ) -> list[tuple[int, int]] | None:
        """`spend`, compiled; None where a pool cannot take its share."""
        from toolkit.routing.kernels.shares import share_pairs  # noqa: PLC0415 - numba

        taken, given = np.zeros((2, len(edges), 2), np.uint64)
        total = to_words([amount])[0, :2].copy()
        if not share_pairs(self._pairs(edges), np.array(shares), total, taken, given):
            return None
        return list(zip(to_ints(taken), to_ints(given), strict=True))

    def _pairs(self, edges: Sequence[int]) -> Words:
        """Reserves and fees of V2 pools, the token that goes in first."""
        pools, laid = self._graph.pools, self._laid
        places = [edge >> 1 for edge in edges]
        new = [place for place in places if laid[place] is not pools[place]]
        if new:
            found = [(place, pools[place]) for place in new]
            pairs = [pool for _, pool in found if isinstance(pool, ConstantProduct)]
            self._rows[new] = Pairs(pairs).pairs
            for place, pool in found:
                laid[place] = pool
        rows = self._rows[places]
        back = np.array(edges) % 2 == 1
        rows[back] = rows[back][:, _OTHER_WAY]
        return rows
