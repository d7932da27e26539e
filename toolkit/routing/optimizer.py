"""Sizing a cycle in integers: every amount is the contracts' own, the float is only a start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.snapshot import Pool

# Up to this input the roundings of the hops outweigh the curvature of the profit, and every
# neighbour within SCAN units is tried as well.
_COARSE = 1 << 20
_SCAN = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Pools in order, and the token that goes into each; `tokens` has the final one as well."""

    pools: tuple[Pool, ...]
    tokens: tuple[Address, ...]

    def amounts(self, amount_in: int) -> tuple[int, ...] | None:
        """Return the amounts before, between and after the hops, in smallest units.

        None where a pool would revert, give nothing, or not take the whole amount.
        """
        amounts = [amount_in]
        for pool, token in zip(self.pools, self.tokens, strict=False):
            try:
                taken, given = pool.fill_in(token, amounts[-1])
            except PoolError:  # safe because None says that this amount cannot be swapped
                return None
            if taken != amounts[-1] or given == 0:
                return None
            amounts.append(given)
        return tuple(amounts)

    def least_input(self, amount_out: int) -> int | None:
        """Return an input that gives at least `amount_out`, by exact-output quotes backwards."""
        amount = amount_out
        for pool, token in zip(self.pools[::-1], self.tokens[:0:-1], strict=True):
            try:
                amount = pool.quote_out(token, amount)
            except PoolError:  # safe because None says that this output cannot be bought
                return None
        return amount


def size(path: Path, start: int, *, max_input: int) -> int | None:
    """Return the input with the highest integer profit, from a start near the float optimum.

    The result is a local optimum: no input 2^k away, for any k, pays more. It spends nothing
    that a rounding swallows: an input that buys the same output for less is preferred.

    Returns:
        None where no tried input can be swapped through all pools.
    """
    profit = _profit_of(path)
    best = _climb(min(max(start, 1), max_input), profit, max_input)
    while True:
        amounts = path.amounts(best)
        if amounts is None:
            return None
        least = path.least_input(amounts[-1])
        candidates = _around(best, max_input) if best < _COARSE else []
        if least is not None and least < best:
            candidates.append(least)
        better = max(candidates, key=lambda amount: (profit(amount), -amount), default=best)
        if profit(better) <= profit(best):
            return best
        best = _climb(better, profit, max_input)


def _profit_of(path: Path) -> Callable[[int], float]:
    seen: dict[int, float] = {}

    def profit(amount: int) -> float:
        if amount not in seen:
            amounts = path.amounts(amount)
            # Integers throughout; the float -inf only says "not possible" and compares rightly.
            seen[amount] = float("-inf") if amounts is None else amounts[-1] - amount
        return seen[amount]

    return profit


def _climb(start: int, profit: Callable[[int], float], max_input: int) -> int:
    """Move by ±2^k while that pays more, for k from large to small, until no k does."""
    best = start
    while True:
        before = best
        for power in range(best.bit_length(), -1, -1):
            for step in (1 << power, -(1 << power)):
                while 0 < best + step <= max_input and profit(best + step) > profit(best):
                    best += step
        if best == before:
            return best


def _around(amount: int, max_input: int) -> list[int]:
    return list(range(max(amount - _SCAN, 1), min(amount + _SCAN, max_input) + 1))


def path_of(pools: Sequence[Pool], start: Address) -> Path:
    """Follow pools from a token: each takes what the one before gave."""
    tokens = [start]
    for pool in pools:
        tokens.append(pool.token1 if tokens[-1] == pool.token0 else pool.token0)
    return Path(pools=tuple(pools), tokens=tuple(tokens))
