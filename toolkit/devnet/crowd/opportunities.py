"""The rivals' own small search: cycles of two and three pools from WETH, sized by exact quotes."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.devnet.protocols import WETH
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import has_contract
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.curves import Routable
from toolkit.routing.graph import routable

_SMALLEST, _LARGEST = 10**16, 2_000 * 10**18  # WETH in, wei
_STEPS = 24
_CYCLES_SIZED = 3
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """A cycle from WETH to WETH with the exact amount before and after every pool."""

    pools: tuple[Address, ...]
    tokens: tuple[Address, ...]  # one more than pools; first and last are WETH
    amounts: tuple[int, ...]

    @property
    def profit_wei(self) -> int:
        """Amount out minus amount in, before gas."""
        return self.amounts[-1] - self.amounts[0]


def find_opportunities(snapshot: Snapshot) -> tuple[Opportunity, ...]:
    """The most promising cycles at their best size, by falling profit; only profitable ones."""
    scored = []
    for pools, tokens in _cycles(snapshot):
        score = _margin(pools, tokens, snapshot)
        if score > 0:
            scored.append((score, [pool.id for pool in pools], pools, tokens))
    scored.sort(key=lambda each: (-each[0], each[1]))
    sized = (_best_size(pools, tokens) for _, _, pools, tokens in scored[:_CYCLES_SIZED])
    found = [each for each in sized if each is not None and each.profit_wei > 0]
    return tuple(sorted(found, key=lambda each: (-each.profit_wei, each.pools)))


def _cycles(snapshot: Snapshot) -> Iterator[tuple[tuple[Routable, ...], tuple[Address, ...]]]:
    pools = [pool for pool in routable(snapshot) if has_contract(pool.id)]
    with_weth = [pool for pool in pools if WETH in (pool.token0, pool.token1)]
    others = [pool for pool in pools if pool not in with_weth]
    for first, last in itertools.permutations(with_weth, 2):
        out, back = _other(first, WETH), _other(last, WETH)
        if out == back:
            yield (first, last), (WETH, out, WETH)
            continue
        for middle in others:
            if {middle.token0, middle.token1} == {out, back}:
                yield (first, middle, last), (WETH, out, back, WETH)


def _other(pool: Routable, token: Address) -> Address:
    return pool.token1 if token == pool.token0 else pool.token0


def _margin(pools: Sequence[Routable], tokens: Sequence[Address], snapshot: Snapshot) -> float:
    """Log of what comes back for an infinitely small WETH, after fees."""
    total = 0.0
    for pool, token in zip(pools, tokens, strict=False):
        try:
            total += math.log(snapshot.mid_price(pool.id, token))
        except PoolError:
            return -math.inf
        total += math.log1p(-pool.fee_ppm / 1_000_000)
    return total


def _best_size(pools: Sequence[Routable], tokens: Sequence[Address]) -> Opportunity | None:
    """Golden-section search over the logarithm of the input: profit has one peak."""
    low, high = math.log(_SMALLEST), math.log(_LARGEST)
    best: Opportunity | None = None
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = (_at(pools, tokens, int(math.exp(each))) for each in (left, right))
    for _ in range(_STEPS):
        best = max((best, at_left, at_right), key=_profit)
        if _profit(at_left) >= _profit(at_right):
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = _at(pools, tokens, int(math.exp(left)))
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = _at(pools, tokens, int(math.exp(right)))
    return best


def _profit(opportunity: Opportunity | None) -> float:
    return -math.inf if opportunity is None else opportunity.profit_wei


def _at(pools: Sequence[Routable], tokens: Sequence[Address], amount: int) -> Opportunity | None:
    amounts = [amount]
    for pool, token in zip(pools, tokens, strict=False):
        try:
            amounts.append(pool.quote_in(token, amounts[-1]))
        except PoolError:
            return None
    return Opportunity(
        pools=tuple(pool.id for pool in pools if has_contract(pool.id)),
        tokens=tuple(tokens),
        amounts=tuple(amounts),
    )
