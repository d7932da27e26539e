"""How prices move, alone and together: second moments of their returns, with what is not known."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from math import inf, isqrt

import msgspec

from toolkit.model.chain import Address
from toolkit.model.decision import Reading
from toolkit.model.units import PPM
from toolkit.orchestrator.board.blackboard import last
from toolkit.orchestrator.capital.elsewhere import SIGMA_PPM
from toolkit.orchestrator.market import Market

PPB = 10**9
WINDOW = 240
"""Returns that moments are taken over; the newest."""
PRIOR_WEIGHT = 30
"""How many returns the prior counts for: as many as a rough estimate needs."""
PRIOR_VARIANCE = (SIGMA_PPM * PPB // PPM) ** 2
PRIOR_CORRELATION_PERCENT = 50

Moment = tuple[Address, Address]


class Covariance(msgspec.Struct, frozen=True, kw_only=True):
    """Covariances of the returns of base assets over one block, in ppb squared.

    What was never observed has the prior's: `SIGMA_PPM` a block, half correlated with any other.
    """

    moments: Mapping[Moment, int] = msgspec.field(default_factory=dict)

    def of(self, one: Address, other: Address) -> int:
        """Return the covariance of two assets, of one block, in ppb squared."""
        known = self.moments.get((one, other) if one <= other else (other, one))
        if known is not None:
            return known
        alike = 100 if one == other else PRIOR_CORRELATION_PERCENT
        return PRIOR_VARIANCE * alike // 100

    def sd_ppb(self, asset: Address, blocks: int) -> int:
        """Return one standard deviation of an asset's return over some blocks, in ppb."""
        return isqrt(self.of(asset, asset) * blocks)


PRIOR = Covariance()


_Return = tuple[int, int, int, int]
"""Its block, how many blocks it took, what it was in ppb, and the square of that per block."""


class _Squares:
    """The sum of the squares of one asset's returns, and of how many: kept up as they change."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = self.total = 0

    def add(self, one: _Return | None, sign: int = 1) -> None:
        if one is not None:
            self.count += sign
            self.total += sign * one[3]


class Moments:
    """Keeps the returns of every priced base asset as readings come in.

    A function of the readings alone: after a reorg or a restart it is taken from them anew.
    """

    def __init__(self, market: Market) -> None:
        keys = {
            source.base: source.key
            for source in reversed(market.prices)
            if source.quote in market.stables
        }
        self._keys = tuple(sorted(keys.items()))
        self._returns: dict[Address, deque[_Return | None]] = {}
        self._squares: dict[Address, _Squares] = {}
        self._last: dict[Address, Reading] = {}
        self._known = Covariance()

    def update(self, readings: Mapping[str, Sequence[Reading]]) -> Covariance:
        """Take in what is new, and return the covariances as of the newest readings."""
        changed = False
        for asset, key in self._keys:
            newest, known = last(readings, key, 2), self._last.get(asset)
            if not newest or known == newest[-1]:
                continue
            # Usually one reading came after the one that is known: no copy of all the others.
            self._take(asset, newest if known == newest[0] else readings[key])
            changed = True
        if changed:
            self._known = Covariance(moments=self._moments())
        return self._known

    def _take(self, asset: Address, series: Sequence[Reading]) -> None:
        known_until = self._last.get(asset)
        fresh, least = len(series) - 1, max(len(series) - WINDOW, 0)
        while fresh > least and series[fresh - 1] != known_until:
            fresh -= 1
        if asset not in self._returns or fresh == 0 or series[fresh - 1] != known_until:
            self._returns[asset], self._squares[asset] = deque(), _Squares()
        known, squares = self._returns[asset], self._squares[asset]
        for news in _returns(series[max(fresh, 1) - 1 :]):
            known.append(news)
            squares.add(news)
        while len(known) > WINDOW:
            squares.add(known.popleft(), -1)
        self._last[asset] = series[-1]

    def _moments(self) -> dict[Moment, int]:
        found: dict[Moment, int] = {}
        for one, other in combinations_with_replacement(sorted(self._returns), 2):
            if one == other:
                count, total = self._squares[one].count, self._squares[one].total
            else:
                products = _products(self._returns[one], self._returns[other])
                count, total = len(products), sum(products)
            found[one, other] = (PRIOR_WEIGHT * PRIOR.of(one, other) + total) // (
                PRIOR_WEIGHT + count
            )
        return found


def _products(one: Iterable[_Return | None], other: Iterable[_Return | None]) -> list[int]:
    """Multiply what two assets did in the same blocks, per block."""
    at = {theirs[:2]: theirs[2] for theirs in other if theirs is not None}
    return [
        mine[2] * at[mine[:2]] // mine[1] for mine in one if mine is not None and mine[:2] in at
    ]


def _returns(series: Sequence[Reading]) -> Iterator[_Return | None]:
    """Return the change from each reading to the next; None where either is no price.

    One division and one product of floats, rounded to an integer: the same on every machine.
    """
    block, old = series[0].block_number, _price(series[0])
    for reading in series[1:]:
        before, block, new = block, reading.block_number, _price(reading)
        change = (new / old - 1.0) * PPB if old and new else inf
        if change < inf:
            blocks, ppb = max(block - before, 1), round(change)
            yield block, blocks, ppb, ppb * ppb // blocks
        else:
            yield None
        old = new


def _price(reading: Reading) -> float:
    """Return what a reading says, 0 where that is no price."""
    try:
        value = float(reading.value)
    except ValueError:
        return 0.0
    return value if 0 < value < inf else 0.0  # NaN is neither
