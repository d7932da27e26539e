"""Sizing a cycle in integers: every amount is the contracts' own, the float is only a start."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.model.errors import PoolError
from toolkit.pools.kernels.status import Status
from toolkit.pools.packed import Packed, Quotes
from toolkit.pools.snapshot import Snapshot
from toolkit.pools.words import Flags, Words, to_ints, to_words
from toolkit.routing.curves import Routable

# How many amounts of the coarsest token are tried on each side of the best: all that roundings
# could make the better one and a few more, or some of those if they are too many.
_FEW, _SOME, _MANY = 8, 64, 256
# How many units roundings take a hop, at most: those of prices take more than one.
_ROUNDINGS = 4
_ONE = np.array([1, 0, 0, 0], np.uint64)
_NOWHERE = Head(
    number=0,
    hash=ZERO_HASH,
    parent_hash=ZERO_HASH,
    timestamp=0,
    base_fee_per_gas=0,
    gas_limit=0,
    gas_used=0,
)


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


def size(path: Path, start: int, *, max_input: int, bend: float = 0.0) -> int | None:
    """Return the input with the highest integer profit, from a start near the float optimum.

    The amounts of the coarsest token on the way decide, each bought by the least input: all of
    them are tried that roundings elsewhere could make the best, up to some hundreds. Of what is
    found so no input 2^k away, for any k, pays more.

    Args:
        path: a cycle.
        start: an input near the best one, in smallest units.
        max_input: the most that may go in.
        bend: t away from `start` the profit is t^2 bend less; 0 where nobody knows.

    Returns:
        None where no tried input can be swapped through all pools.
    """
    trials = _Trials(path, max_input)
    best = min(max(start, 1), max_input)
    if bend <= 0.0 or path.amounts(best) is None:
        halves = [best >> times for times in range(best.bit_length())]
        powers = [1 << power for power in range(max_input.bit_length())]
        best = _climb(trials.best([*halves, *powers]), trials)
    amounts = path.amounts(best)
    if amounts is None:
        return None
    return _climb(trials.best([best, *_by_coarsest(trials, amounts, bend)]), trials)


def path_of(pools: Sequence[Routable], start: Address) -> Path:
    """Follow pools from a token: each takes what the one before gave."""
    tokens = [start]
    for pool in pools:
        tokens.append(pool.token1 if tokens[-1] == pool.token0 else pool.token0)
    return Path(pools=tuple(pools), tokens=tuple(tokens))


class _Trials:
    """What inputs of a path gain, many at once."""

    def __init__(self, path: Path, max_input: int) -> None:
        self._path = path
        pools = {pool.id: pool for pool in path.pools}
        self._packed = Packed(Snapshot(block=_NOWHERE, tokens={}, pools=pools), workers=1)
        self._places = self._packed.places(pool.id for pool in path.pools)
        self._forward = [
            token == pool.token0 for pool, token in zip(path.pools, path.tokens, strict=False)
        ]
        self._max_input = max_input
        self._gains: dict[int, int | None] = {}

    def best(self, inputs: Iterable[int]) -> int:
        """Return the first input of those that gain most; any if none is possible."""
        asked = [amount for amount in dict.fromkeys(inputs) if 0 < amount <= self._max_input]
        self._try([amount for amount in asked if amount not in self._gains])
        return max(asked, key=self.gain)

    def gain(self, amount: int) -> float:
        """Return the profit of an input that was tried, less than any other if it is impossible."""
        gain = self._gains.get(amount)
        # Integers throughout; the float only says "not possible" and compares rightly.
        return -math.inf if gain is None else gain

    def least_inputs(self, amounts: Sequence[int], hops: int) -> list[int]:
        """Return the least inputs that give these amounts after so many hops, 0 where none does."""
        words = to_words(amounts)
        wanting = np.zeros(len(amounts), np.bool_)
        for hop in range(hops - 1, -1, -1):
            quotes = self._ask(hop, words, exact_out=True)
            short = (quotes.status != Status.OK) | (quotes.filled != words).any(axis=1)
            wanting |= short
            # An exact-output quote may be one unit above the least.
            less = _one_less(quotes.words)
            given = self._ask(hop, less)
            enough = (given.filled == less).all(axis=1) & (given.status == Status.OK)
            enough &= _reaches(given.words, words)
            words = np.where(enough[:, None], less, quotes.words)
            words[wanting] = _ONE
        return [0 if none else amount for none, amount in zip(wanting, to_ints(words), strict=True)]

    def lowered(self, amount: int) -> int:
        """Return the least input that buys as much of the coarsest token as a possible one."""
        amounts = self._path.amounts(amount)
        assert amounts is not None
        place = _coarsest(amounts)
        (least,) = self.least_inputs([amounts[place]], place) if place else (amount,)
        return least or amount

    def _try(self, inputs: list[int]) -> None:
        words = to_words(inputs)
        dead = np.zeros(len(inputs), np.bool_)
        for hop in range(len(self._forward)):
            quotes = self._ask(hop, words)
            dead |= (quotes.status != Status.OK) | (quotes.filled != words).any(axis=1)
            dead |= ~quotes.words.any(axis=1)
            words = quotes.words
            words[dead] = _ONE
        for amount, none, out in zip(inputs, dead, to_ints(words), strict=True):
            self._gains[amount] = None if none else out - amount

    def _ask(self, hop: int, words: Words, *, exact_out: bool = False) -> Quotes:
        count = len(words)
        ask = self._packed.quote_out if exact_out else self._packed.quote_in
        return ask(np.full(count, self._places[hop]), np.full(count, self._forward[hop]), words)


def _climb(start: int, trials: _Trials) -> int:
    """Move by ±2^k to what gains most, as long as any of them gains more.

    What buys no more than less would is not climbed down in steps.
    """
    best = start
    while True:
        steps = [1 << power for power in range(best.bit_length() + 1)]
        found = trials.best([best, *(best + way * step for step in steps for way in (1, -1))])
        if trials.gain(found) <= trials.gain(best):
            return best
        best = trials.best([found, trials.lowered(found)])


def _by_coarsest(trials: _Trials, amounts: Sequence[int], bend: float) -> list[int]:
    """Return inputs that buy the amounts around the given ones of the coarsest token on the way.

    All amounts of a cycle are worth about the same, so the smallest number counts the coarsest
    unit: one of it is worth many of the others, and its rounding costs most. Roundings elsewhere
    cost up to a unit each; so far from the best input that costs more, nothing is tried.
    """
    place = _coarsest(amounts)
    units = [amounts[0] / amount for amount in amounts]
    others = _ROUNDINGS * (sum(units) - units[place])
    reach = math.sqrt(others / bend) / units[place] if bend > 0.0 else _MANY
    wide = math.ceil(reach) + _FEW if reach <= _MANY else _SOME
    middle = amounts[place]
    chosen = range(max(middle - wide, 1), middle + wide + 1)
    return trials.least_inputs(chosen, place) if place else list(chosen)


def _coarsest(amounts: Sequence[int]) -> int:
    return min(range(len(amounts)), key=amounts.__getitem__)


def _one_less(words: Words) -> Words:
    """Each number less one, but not less than one."""
    less = words.copy()
    borrows = np.ones(len(words), np.bool_)
    for limb in range(less.shape[1]):
        less[:, limb] -= borrows
        borrows &= words[:, limb] == 0
    less[borrows | ~less.any(axis=1)] = _ONE
    return less


def _reaches(words: Words, wanted: Words) -> Flags:
    """Whether each number is at least the one wanted."""
    found = np.ones(len(words), np.bool_)
    for limb in range(words.shape[1]):
        ours, theirs = words[:, limb], wanted[:, limb]
        found = (ours > theirs) | ((ours == theirs) & found)
    return found
