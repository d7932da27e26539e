"""Units convert exactly or not at all."""

import random
from decimal import Decimal

import pytest

from toolkit.model.errors import ConfigError
from toolkit.model.units import div_ceil, ether, format_units, gwei, parse_units


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("0.05", 18, 5 * 10**16),
        ("1", 0, 1),
        (3, 6, 3_000_000),
        (Decimal("1e-18"), 18, 1),
        (
            "123456789012345678901234567890.123456789012345678",
            18,
            123456789012345678901234567890123456789012345678,
        ),
        ("-1.5", 6, -1_500_000),
    ],
)
def test_parse_units_is_exact(text: str | int | Decimal, decimals: int, expected: int) -> None:
    """Whole units become the smallest unit with no digit lost."""
    assert expected == parse_units(text, decimals)


@pytest.mark.parametrize("value", [0.05, "abc", "", "nan", "inf", "1e-19", "0.0000000000000000001"])
def test_parse_units_refuses_what_is_not_exact(value: object) -> None:
    """Floats, words, and digits finer than the unit are refused with the value named."""
    with pytest.raises(ConfigError, match="amount"):
        parse_units(value, 18)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["nan", "sNaN", "-inf", "1e999999999", None, (), b"1"])
def test_what_is_no_number_is_called_that(value: object) -> None:
    """It has not "more than 18 decimals", it has none."""
    with pytest.raises(ConfigError, match="is not a decimal number"):
        ether(value)  # type: ignore[arg-type]


def test_ether_and_gwei_name_their_scale() -> None:
    """Ether has 18 digits, gwei 9."""
    assert 50_000_000_000_000_000 == ether("0.05")
    assert 1_500_000_000 == gwei("1.5")


def test_format_units_cuts_and_never_rounds_up() -> None:
    """Displayed amounts are cut towards zero."""
    assert "0.999999" == format_units(999_999_999, 9)
    assert "-1.5" == format_units(-1_500_000, 6)
    assert "7" == format_units(7, 0)


def test_parse_and_format_round_trip() -> None:
    """Formatting with all digits and parsing again gives the same integer (200 fresh cases)."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        amount, decimals = chance.randrange(-(2**256), 2**256), chance.randrange(19)

        assert amount == parse_units(format_units(amount, decimals, places=decimals), decimals)


def test_div_ceil_rounds_up() -> None:
    """The quotient is the smallest integer not below the ratio."""
    assert [0, 1, 1, 1, 2] == [div_ceil(n, 3) for n in (0, 1, 2, 3, 4)]
