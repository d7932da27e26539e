"""Sizing a cycle in integers: every amount is the contracts' own, the float is only a start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.routing.arrays import Routable

# How many neighbours are tried on each side: roundings make the profit rough at the scale of one
# unit, and below COARSE units that outweighs its curvature over a wider stretch.
_NEIGHBOURS = 8
_COARSE = 1 << 20
_COARSE_NEIGHBOURS = 256
# A climb over roundings can gain single units for hours: what is left after this is dust.
_ROUNDS = 4
_MOVES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Pools in order, and the token that goes into each; `tokens` has the final one as well."""

    pools: tuple[Routable, ...]
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

    Climbs in units of the coarsest amount on the way, spending nothing that a rounding there
    swallows, then in units of the input: unless roundings lead on past a bound, no input 2^k
    away pays more, for any k. One far away may round more kindly, by at most a unit a hop.

    Returns:
        None where no tried input can be swapped through all pools.
    """
    profit = _profit_of(path, max_input)
    best = min(max(start, 1), max_input)
    if path.amounts(best) is None:  # more than the pools can take: halve until it is not
        halves = (best >> times for times in range(1, best.bit_length()))
        best = next((half for half in halves if path.amounts(half) is not None), best)
    if path.amounts(best) is None:  # so little that nothing comes out
        best = _climb(best, profit)
    for _ in range(_ROUNDS):
        amounts = path.amounts(best)
        if amounts is None:
            return None
        chosen = max(best, _by_coarsest(path, amounts, profit), key=profit)
        best = _climb(chosen, profit)
        if best == chosen:
            break
    return best


def _profit_of(path: Path, max_input: int) -> Callable[[int], float]:
    seen: dict[int, float] = {}

    def profit(amount: int) -> float:
        if amount not in seen:
            amounts = path.amounts(amount) if 0 < amount <= max_input else None
            # Integers throughout; the float -inf only says "not possible" and compares rightly.
            seen[amount] = float("-inf") if amounts is None else amounts[-1] - amount
        return seen[amount]

    return profit


def _climb(start: int, value: Callable[[int], float]) -> int:
    """Move by ±2^k, doubling while that is worth more, until no k was since the last move."""
    best, idle, moves = start, 0, 0
    power = best.bit_length()
    while idle <= best.bit_length() and moves < _MOVES:
        before = best
        for sign in (1, -1):
            step = sign << power
            while value(best + step) > value(best):
                best += step
                step *= 2
        moves, idle = (moves, idle + 1) if best == before else (moves + 1, 0)
        power = power - 1 if power else best.bit_length()
    return best


def _by_coarsest(path: Path, amounts: Sequence[int], profit: Callable[[int], float]) -> int:
    """Return the input that pays most when the coarsest amount on the way is what is chosen.

    All amounts of a cycle are worth about the same, so the smallest number counts the coarsest
    unit: one of it is worth many of the others, and its rounding costs most.
    """
    place = min(range(len(amounts)), key=amounts.__getitem__)

    def least(amount: int) -> int:
        found = path.least_input(amount, hops=place) if amount > 0 else None
        # An exact-output quote may be one unit above the least.
        return 0 if found is None else max((found, found - 1), key=profit)

    middle = _climb(amounts[place], lambda amount: profit(least(amount)))
    reach = _COARSE_NEIGHBOURS if middle < _COARSE else _NEIGHBOURS
    return max(map(least, range(max(middle - reach, 1), middle + reach + 1)), key=profit)


def path_of(pools: Sequence[Routable], start: Address) -> Path:
    """Follow pools from a token: each takes what the one before gave."""
    tokens = [start]
    for pool in pools:
        tokens.append(pool.token1 if tokens[-1] == pool.token0 else pool.token0)
    return Path(pools=tuple(pools), tokens=tuple(tokens))
