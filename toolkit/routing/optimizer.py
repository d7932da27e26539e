"""Sizing a cycle in integers: every amount is the contracts' own, the float is only a start."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.snapshot import Pool

# How many neighbours are tried on each side: roundings make the profit rough at the scale of one
# unit, and below COARSE units that outweighs its curvature over a wider stretch.
_NEIGHBOURS = 8
_COARSE = 1 << 20
_COARSE_NEIGHBOURS = 256
# Roundings make a slope of steps one wei high that could be climbed for hours: what is left after
# so many rounds is dust.
_ROUNDS = 4
_PASSES = 4


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

    def least_input(self, amount_out: int, *, hops: int | None = None) -> int | None:
        """Return an input that gives at least `amount_out` after the first `hops` hops (all).

        By exact-output quotes backwards; None where that much cannot be bought.
        """
        amount = amount_out
        count = len(self.pools) if hops is None else hops
        for place in range(count, 0, -1):
            try:
                amount = self.pools[place - 1].quote_out(self.tokens[place], amount)
            except PoolError:  # safe because None says that this output cannot be bought
                return None
        return amount


def size(path: Path, start: int, *, max_input: int) -> int | None:
    """Return the input with the highest integer profit, from a start near the float optimum.

    The result is a local optimum: no input 2^k away, for any k, pays more, nor does one that
    moves the coarsest amount on the way by a few units. It spends nothing that a rounding
    swallows. Some input far away may still round more kindly, by at most one unit a hop; and
    where roundings lead on and on, the search ends after a bounded number of rounds.

    Returns:
        None where no tried input can be swapped through all pools.
    """
    profit = _profit_of(path)
    best = _climb(min(max(start, 1), max_input), profit, max_input)
    for _ in range(_ROUNDS):
        amounts = path.amounts(best)
        if amounts is None:
            return None
        nearby = [amount for amount in _nearby(path, amounts) if 0 < amount <= max_input]
        better = max(nearby, key=lambda amount: (profit(amount), -amount), default=best)
        if profit(better) <= profit(best):
            break
        best = _climb(better, profit, max_input)
    return best


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
    """Move by ±2^k, doubling while that pays more, until no k has paid since the last move."""
    best, idle = start, 0
    power = best.bit_length()
    while idle <= best.bit_length():
        before = best
        for sign in (1, -1):
            step = sign << power
            while 0 < best + step <= max_input and profit(best + step) > profit(best):
                best += step
                step *= 2
        idle = idle + 1 if best == before else 0
        power = power - 1 if power else best.bit_length()
    return best


def _nearby(path: Path, amounts: Sequence[int]) -> Iterator[int]:
    """Inputs whose coarsest amount on the way is a few units off, each the least that will do.

    All amounts of a cycle are worth about the same, so the smallest number counts the coarsest
    unit: one of it is worth many of the others, and its rounding costs most.
    """
    place = min(range(len(amounts)), key=amounts.__getitem__)
    middle = amounts[place]
    reach = _COARSE_NEIGHBOURS if middle < _COARSE else _NEIGHBOURS
    for amount in range(max(middle - reach, 1), middle + reach + 1):
        least = path.least_input(amount, hops=place)
        if least is not None:
            yield least
            yield least - 1  # an exact-output quote may be one unit above the least


def path_of(pools: Sequence[Pool], start: Address) -> Path:
    """Follow pools from a token: each takes what the one before gave."""
    tokens = [start]
    for pool in pools:
        tokens.append(pool.token1 if tokens[-1] == pool.token0 else pool.token0)
    return Path(pools=tuple(pools), tokens=tuple(tokens))
