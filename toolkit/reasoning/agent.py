"""What an agent is, and all that it may see."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Protocol, runtime_checkable

from toolkit.model.chain import Address, Head
from toolkit.model.decision import Intent, Reading
from toolkit.model.errors import ConfigError
from toolkit.model.market import Route, Token
from toolkit.model.tx import FeeQuote
from toolkit.pools.snapshot import Snapshot

POOLS_KEY = "pools"


class Routes(Protocol):
    """Questions about routes that the toolkit answers in exact integers (`routing.Router`)."""

    def arbitrage(
        self,
        token: Address,
        *,
        max_hops: int = 4,
        gas_price_wei: int = 0,
        max_input: int | None = None,
        certify: bool = True,
    ) -> Route | None:
        """Return the cycle from `token` that gains most after gas, or None; see `Router`."""
        ...

    def swap(
        self,
        token_in: Address,
        token_out: Address,
        amount_in: int,
        *,
        max_hops: int = 2,
        gas_price_wei: int = 0,
    ) -> Route:
        """Return the best split of an exact input after gas; NoRoute when there is none."""
        ...


class Series(Mapping[str, tuple[Reading, ...]]):
    """Readings by key, oldest first, of which the newest can be had without the others."""

    __slots__ = ()

    def last(self, key: str, most: int) -> Sequence[Reading]:
        """Return the newest `most` of a key, oldest first; none of one that is not known."""
        return newest(self, key, most)


def newest(readings: Mapping[str, Sequence[Reading]], key: str, most: int) -> Sequence[Reading]:
    """Return the newest `most` readings of a key, oldest first, of any mapping."""
    known = readings.get(key, ())
    return known[max(len(known) - max(most, 0), 0) :]


class Noted(Series):
    """Readings, read-only, that remember which keys were looked up, whether they exist or not.

    Names alone are no look-up: iterating over them notes nothing, taking any of their values
    does. A key that is no text is refused with a TypeError or UnicodeEncodeError. A copy is the
    same readings with the same notes, and whoever pickles them has looked at all of them.
    """

    __slots__ = ("_readings", "_touched")

    def __init__(self, readings: Mapping[str, tuple[Reading, ...]]) -> None:
        self._readings = readings
        self._touched: set[str] = set()

    @property
    def touched(self) -> frozenset[str]:
        """Return the keys that were looked up so far."""
        return frozenset(self._touched)

    def __getitem__(self, key: str) -> tuple[Reading, ...]:
        """Return the readings of a key, oldest first, and note that they were asked for."""
        if type(key) is not str:
            raise TypeError(f"readings are looked up by text, not by {type(key).__name__}")
        key.encode()  # what was looked up is journalled
        self._touched.add(key)
        return self._readings[key]

    def last(self, key: str, most: int) -> Sequence[Reading]:
        """As `[key]`, of the newest alone: what nobody asked for is not put together."""
        if type(key) is not str or not isinstance(self._readings, Series):
            return newest(self, key, most)
        key.encode()
        self._touched.add(key)
        return self._readings.last(key, most)

    def __copy__(self) -> "Noted":
        """Stay what it is: nobody looks at readings behind their notes."""
        return self

    def __deepcopy__(self, memo: object) -> "Noted":
        """Stay what it is; the readings are immutable."""
        return self

    def __reduce__(self) -> tuple[type["Noted"], tuple[dict[str, tuple[Reading, ...]]]]:
        """Hand everything over, and note that everything was looked at."""
        self._touched.update(self._readings)
        return Noted, (dict(self._readings),)

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._readings)

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The shared facts as of one block; everything an agent decides from.

    `readings` are oldest first, all of canonical blocks. `balances` are the accounts' own, in
    smallest units; `positions` are what this agent's fills added up to, signed. Which readings
    an agent looks up, by whatever way, is noted by `readings` itself, so that no decision can
    forget what it rests on.
    """

    block: Head
    snapshot: Snapshot
    router: Routes
    readings: Mapping[str, tuple[Reading, ...]]
    balances: Mapping[Address, int]
    positions: Mapping[Address, int]
    fee: FeeQuote
    wrapped: Address

    def __post_init__(self) -> None:
        """Let the readings note what is looked up."""
        if not isinstance(self.readings, Noted):
            object.__setattr__(self, "readings", Noted(self.readings))

    @property
    def touched(self) -> frozenset[str]:
        """Return the keys of readings that were looked up so far."""
        return self.readings.touched if isinstance(self.readings, Noted) else frozenset()

    def reading(self, key: str) -> Reading | None:
        """Return the newest reading of `key`, or None when there was none yet."""
        series = self._last(key, 1)
        return series[-1] if series else None

    def price(self, key: str) -> float:
        """Return the newest value of `key` as a float: for signals, not for amounts.

        Raises:
            ConfigError: nobody ever wrote that key.
        """
        found = self.reading(key)
        if found is None:
            raise ConfigError(f"no reading {key!r}; there are {', '.join(sorted(self.readings))}")
        return float(found.value)

    def history(self, key: str, n: int) -> tuple[float, ...]:
        """Return the last `n` values of `key` (fewer while it is young), oldest first."""
        return tuple([float(reading.value) for reading in self._last(key, n)])

    def age(self, key: str) -> int | None:
        """Return how many blocks ago `key` was last observed; 0 is this very block."""
        found = self.reading(key)
        return None if found is None else self.block.number - found.block_number

    def token(self, address: Address) -> Token:
        """Return a token by its address.

        Raises:
            ConfigError: not a token of this market.
        """
        try:
            return self.snapshot.tokens[address]
        except KeyError:
            raise ConfigError(f"token {address} is not in this market") from None

    def convert(self, amount: int, key: str, *, base: Address, quote: Address) -> int:
        """Value `amount` of `base` in smallest units of `quote` at price `key`, rounded down.

        The price (whole quote per whole base) counts with nine decimals.
        """
        price_e9 = math.floor(self.price(key) * 10**9)
        quote_unit = int(10 ** self.token(quote).decimals)
        base_unit = int(10 ** self.token(base).decimals)
        return amount * price_e9 * quote_unit // (10**9 * base_unit)

    def _last(self, key: str, most: int) -> Sequence[Reading]:
        known = self.readings
        return known.last(key, most) if isinstance(known, Series) else newest(known, key, most)


class Agent(Protocol):
    """Decides, without I/O, clock or client: the same view gives the same intents.

    `on_block` runs inline on the event loop unless it is hosted elsewhere, one agent after the
    other, so a slow one delays all of them and whatever else the loop does. Where agents run, on
    a thread or in a process of their own with a budget, is configuration (`orchestrator.hosting`).

    `reads` may name the keys it depends on; without it an agent depends on all of them.
    """

    @property
    def name(self) -> str:
        """How verdicts, limits and pauses call it."""
        ...

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return what it wants done in the next block."""
        ...


@runtime_checkable
class LinearSignal(Protocol):
    """An agent whose signal is a linear filter of the log of one price.

    signal(t) = sum_j kernel[j] ln price(t - j); it acts where |signal| passes `threshold_sds`
    standard deviations of the signal. That makes its contamination by an own trade computable.
    """

    @property
    def signal_key(self) -> str:
        """The price reading that the signal filters."""
        ...

    @property
    def threshold_sds(self) -> float:
        """Where the decision flips, in standard deviations of the signal."""
        ...

    def kernel(self) -> tuple[float, ...]:
        """Return the filter's weights, newest sample first."""
        ...


def filtered(kernel: tuple[float, ...], log_prices: tuple[float, ...]) -> tuple[float, ...]:
    """Apply a linear filter wherever all its samples exist; oldest value first.

    An exactly rounded sum, not a vector product: every machine and every Python must agree on it.
    """
    width, newest_first = len(kernel), log_prices[::-1]
    return tuple(
        [
            math.fsum(map(mul, kernel, newest_first[first : first + width]))
            for first in range(len(log_prices) - width, -1, -1)
        ]
    )
