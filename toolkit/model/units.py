"""Units of value: exact conversion between human decimals and integers."""

from collections.abc import Sequence
from decimal import Context, Decimal

from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError

WEI_PER_GWEI = 10**9
WEI_PER_ETHER = 10**18
BPS = 10_000
PPM = 1_000_000

# uint256 has 78 decimal digits; the default context would round after 28.
_EXACT = Context(prec=200)
_UINT256 = 2**256 - 1


def parse_units(value: str | int | Decimal, decimals: int) -> int:
    """Convert a decimal number of whole units to the smallest unit, exactly.

    Args:
        value: "0.05", 3 or Decimal; a float is refused because it is not what was typed.
        decimals: digits after the point of one whole unit (18 for ether, 6 for USDC).

    Raises:
        ConfigError: not a number, a float, or finer than the smallest unit.
    """
    if isinstance(value, float):
        raise ConfigError(f'amount {value!r} is a float; write it as a string, e.g. "{value}"')
    try:
        scaled = _EXACT.scaleb(Decimal(value), decimals)
    except (ArithmeticError, TypeError, ValueError):
        scaled = Decimal("nan")
    if not scaled.is_finite():
        raise ConfigError(f"amount {shown(value)} is not a decimal number")
    if abs(scaled) > _UINT256:
        raise ConfigError(f"amount {shown(value)} is more than any account can hold")
    if scaled != scaled.to_integral_value(context=_EXACT):
        raise ConfigError(f"amount {shown(value)} has more than {decimals} decimals")
    return int(scaled)


def ether(value: str | int | Decimal) -> int:
    """Ether to wei, exactly: `ether("0.05") == 50_000_000_000_000_000`."""
    return parse_units(value, 18)


def gwei(value: str | int | Decimal) -> int:
    """Gwei to wei, exactly: `gwei("1.5") == 1_500_000_000`."""
    return parse_units(value, 9)


def format_units(amount: int, decimals: int, *, places: int = 6) -> str:
    """Write an integer amount in whole units, cut (not rounded up) to `places` digits."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), 10**decimals)
    digits = f"{rest:0{decimals}d}"[:places].rstrip("0") if decimals else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def div_ceil(numerator: int, denominator: int) -> int:
    """Quotient rounded up, for non-negative numerators and positive denominators."""
    return -(-numerator // denominator)


def split(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide a signed amount in proportion to `weights`, without losing a unit.

    Each part is rounded towards 0; units left over go to the largest remainders, first come
    first served among equals. A sum of weights of 0 gives everything to the first.

    Raises:
        ConfigError: no weights, or a negative one.
    """
    if not weights or min(weights) < 0:
        raise ConfigError(f"cannot divide {amount} by weights {list(weights)}")
    if len(weights) == 1:
        return (amount,)
    total = sum(weights)
    if total == 0:
        return (amount, *(0 for _ in weights[1:]))
    size, sign = abs(amount), -1 if amount < 0 else 1
    parts = [size * weight // total for weight in weights]
    left = size - sum(parts)
    if left:
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % total), i))
        for index in by_remainder[:left]:
            parts[index] += 1
    assert sum(parts) == size
    return tuple(sign * part for part in parts)
