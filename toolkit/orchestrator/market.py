"""Which tokens are traded, what they are priced by, and which trades oppose each other."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache
from math import isfinite

import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.checks import require_integer, require_text, shown
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.model.market import Token
from toolkit.perception.prices import PriceSource

MOST_DECIMALS = 77
"""10^77 is the last power of ten that a token contract can count to."""

Ratio = tuple[int, int]
"""Numerator and denominator, which is positive; not always reduced."""


class Side(Enum):
    """Which way a trade moves its netting class."""

    BUY = "buy"
    SELL = "sell"


class Market(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The tokens of one chain that agents may touch.

    `stables` count as one quote currency: buys and sells of a base against any of them oppose
    each other, and are valued at par. `prices` must hold the wrapped native token's.
    """

    wrapped: Address
    tokens: tuple[Token, ...]
    stables: tuple[Address, ...]
    prices: tuple[PriceSource, ...]

    def __post_init__(self) -> None:
        """Check that everything named is known."""
        _check_fields(self)
        known = {token.address for token in self.tokens}
        named = {self.wrapped, *self.stables}
        named.update(token for source in self.prices for token in (source.base, source.quote))
        if missing := sorted(named - known):
            raise ConfigError(f"the market names tokens it does not list: {', '.join(missing)}")
        if self.price_key(self.wrapped) is None:
            raise ConfigError(f"no price of the wrapped token {self.wrapped} in a stable is listed")

    def decimals(self, token: Address) -> int:
        """Return the digits after the point of one whole token.

        Raises:
            ConfigError: not a token of this market.
        """
        digits = self._digits.get(token)
        if digits is None:
            raise ConfigError(f"token {token} is not in this market")
        return digits

    def lists(self, token: str) -> bool:
        """Tell whether it is a token of this market."""
        return token in self._digits

    def netting_class(self, token_in: Address, token_out: Address) -> tuple[str, Side]:
        """Return what a trade moves: its base asset against stables, else its own pair."""
        bought, sold = token_out not in self.stables, token_in not in self.stables
        if bought and not sold:
            return token_out, Side.BUY
        if sold and not bought:
            return token_in, Side.SELL
        low, high = sorted((token_in, token_out))
        return f"{low}/{high}", Side.BUY if token_out == low else Side.SELL

    def price_key(self, base: Address) -> str | None:
        """Return the key of the reading that prices `base` in a stable, or None."""
        return self._keys.get(base)

    # Looked up many times a decision.
    @cached_property
    def price_keys(self) -> frozenset[str]:
        """The keys of all prices."""
        return frozenset(source.key for source in self.prices)

    @cached_property
    def _digits(self) -> dict[Address, int]:
        return {token.address: token.decimals for token in reversed(self.tokens)}

    @cached_property
    def _valued(self) -> dict[Address, tuple[str | None, int, int]]:
        """The key of each token's price, None for a stable, and how to shift it and the native's.

        A shift is how many digits the stable that a price is in has more than what it is of.
        """
        found: dict[Address, tuple[str | None, int, int]] = {}
        for token in self.tokens:
            is_stable = token.address in self.stables
            if not is_stable and token.address not in self._keys:
                continue
            stable = token.address if is_stable else self.stables[0]
            shift = self.decimals(stable) - token.decimals
            native_shift = self.decimals(stable) - self.decimals(self.wrapped)
            key = None if is_stable else self._keys[token.address]
            found[token.address] = key, shift, native_shift
        return found

    @cached_property
    def _keys(self) -> dict[Address, str]:
        """The first source that prices each base in a stable."""
        sources = (source for source in reversed(self.prices) if source.quote in self.stables)
        return {source.base: source.key for source in sources}

    @cached_property
    def told_twice(self) -> tuple[tuple[Address, tuple[str, ...]], ...]:
        """Each base that several sources price in stables, with their keys."""
        keys: dict[Address, tuple[str, ...]] = {}
        for source in self.prices:
            if source.quote in self.stables:
                keys[source.base] = (*keys.get(source.base, ()), source.key)
        return tuple((base, mine) for base, mine in sorted(keys.items()) if len(mine) > 1)

    def rate(
        self, base: Address, quote: Address, readings: Mapping[str, Reading]
    ) -> Fraction | None:
        """Return smallest units of the stable `quote` per smallest unit of `base`, exactly.

        The reading's decimal digits are taken at their word, so that every party to a netted
        trade, and every replay, computes with the same rational number.
        """
        key = self.price_key(base)
        reading = readings.get(key) if key else None
        if reading is None:
            return None
        return _rate(reading.value, self.decimals(quote) - self.decimals(base))

    def pair_rate(
        self, token: Address, other: Address, readings: Mapping[str, Reading]
    ) -> Fraction | None:
        """Return smallest units of `other` per smallest unit of `token`, through stables."""
        if other in self.stables:
            return self.rate(token, other, readings)
        stable = self.stables[0]
        per_token = self.rate(token, stable, readings)
        per_other = self.rate(other, stable, readings)
        return None if per_token is None or per_other is None else per_token / per_other

    def worth_wei(self, token: Address, readings: Mapping[str, Reading]) -> Fraction | None:
        """Return what one smallest unit of a token is worth in wei, exactly; None if unpriced."""
        worth = self.ratio_wei(token, readings)
        return None if worth is None else Fraction(*worth)

    def value_wei(self, token: Address, amount: int, readings: Mapping[str, Reading]) -> int | None:
        """Return what a signed amount is worth in wei, rounded towards 0; None where unpriced."""
        if token in (self.wrapped, ZERO_ADDRESS):
            return amount
        worth = self.ratio_wei(token, readings)
        if worth is None:
            return None
        return towards_zero(amount, worth)

    def ratio_wei(self, token: Address, readings: Mapping[str, Reading]) -> Ratio | None:
        """As `worth_wei`, in two integers: most of what is valued needs no fraction."""
        if token in (self.wrapped, ZERO_ADDRESS):
            return 1, 1
        key, digits, native_digits = self._valued.get(token, ("", 0, 0))
        native = readings.get(self._keys[self.wrapped])
        priced = readings.get(key) if key else None
        if native is None or (priced is None and key is not None):
            return None
        return _quotient(
            None if priced is None else priced.value, digits, native.value, native_digits
        )


def towards_zero(amount: int, worth: Ratio) -> int:
    """Return what a signed amount is worth, rounded towards 0."""
    above, below = worth
    return amount * above // below if amount >= 0 else -(-amount * above // below)


def _shifted(price: Ratio, shift: int) -> Ratio:
    """Move a number's point."""
    above, below = price
    return (above * 10**shift, below) if shift >= 0 else (above, below * 10**-shift)


def _check_fields(market: Market) -> None:
    """Check what is in a market, each thing by itself."""
    for name, kind in (("tokens", Token), ("stables", str), ("prices", PriceSource)):
        values = getattr(market, name)
        if not isinstance(values, tuple | list) or not all(isinstance(v, kind) for v in values):
            raise ConfigError(f"market.{name} is {shown(values)}; give a tuple of {kind.__name__}")
    require_text("market.wrapped", market.wrapped)
    tokens = Counter(str(token.address) for token in market.tokens)
    prices = Counter(source.key for source in market.prices)
    for what, counted in (("token", tokens), ("price", prices)):
        if twice := sorted(name for name, count in counted.items() if count > 1):
            raise ConfigError(f"the market lists a {what} twice: {', '.join(twice)}")
    for token in market.tokens:
        require_integer(f"decimals of {token.symbol}", token.decimals, most=MOST_DECIMALS)
    for source in market.prices:
        require_text("the key of a price", source.key)
        require_integer(f"max_age_blocks of {source.key}", source.max_age_blocks)


# Every decision asks for the same few prices many times.
@lru_cache(maxsize=1024, typed=True)
def _rate(value: float | str, shift: int) -> Fraction | None:
    price = ratio(value)
    return Fraction(*_shifted(price, shift)) if price[0] > 0 else None


@lru_cache(maxsize=1024, typed=True)
def _quotient(
    value: float | str | None, shift: int, other: float | str, other_shift: int
) -> Ratio | None:
    """Divide one price by another, 1 where there is none; None where either is no price."""
    above, below = (1, 1) if value is None else _shifted(ratio(value), shift)
    native_above, native_below = _shifted(ratio(other), other_shift)
    if above <= 0 or native_above <= 0:
        return None
    return above * native_below, below * native_above


def exact(value: float | str) -> Fraction:
    """Read a reading's value as the rational number that its decimal digits write; 0 if none."""
    return Fraction(*ratio(value))


def whole(value: float | str) -> int:
    """As `exact`, rounded towards 0."""
    above, below = ratio(value)
    return above // below if above >= 0 else -(-above // below)


def ratio(value: float | str) -> Ratio:
    """As `exact`, in two integers."""
    if type(value) is float and isfinite(value):  # most readings: without parsing a fraction
        digits = repr(value)
        if "e" in digits:
            return Decimal(digits).as_integer_ratio()
        above, _, below = digits.partition(".")
        return int(above + below), 10 ** len(below)
    text = str(value)
    try:
        if text.isdecimal() and text.isascii():
            return int(text), 1
        return Fraction(text).as_integer_ratio()
    except (ValueError, ZeroDivisionError):
        return 0, 1
