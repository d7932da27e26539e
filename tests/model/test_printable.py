"""Text of others is one inert line of a bounded length."""

import sys
import unicodedata

import pytest

from toolkit.model.errors import ConfigError, NodeTimeout
from toolkit.model.printable import LONGEST, printable

ESCAPES = "\x1b[2J\x1b]0;title\x07 \x9b31m \x00 \x7f"
BIDI = "\u202egnp.exe\u202c \u2066x\u2069 \u200b \ufeff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with spaces  and a point.", "plain, with spaces  and a point."),
        ("µ └─ 0.5 % ± …", "µ └─ 0.5 % ± …"),
        ("", ""),
        ("one\r\n  two\tthree\u2028four\x85five", "one two three four five"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("ring\x07", "ring\\x07"),
        ("over\rwritten", "over written"),
        ("\u202eevil", "\\u202eevil"),
        ("half \udcff of it", "half \\udcff of it"),
        ("at its end\n", "at its end"),
    ],
)
def test_what_does_not_print_is_written(text: str, shown: str) -> None:
    """Breaks become a space, other controls their escape; what prints stays as it is."""
    assert shown == printable(text)


@pytest.mark.parametrize("text", ["x" * 3_000_000, "\x1b" * 3_000_000, "\n" * 3_000_000, ESCAPES])
def test_a_long_text_is_cut_and_says_so(text: str) -> None:
    """No more characters than asked for, also where each is written by several."""
    shown = printable(text, most=60)

    assert 60 >= len(shown)
    assert shown.isprintable()
    assert (len(text) > 60) == shown.endswith("… (3000000 characters)")


@pytest.mark.parametrize("text", [ESCAPES, BIDI, "x" * 5_000, "\x1b" * 500, "a\n\nb"])
def test_twice_is_once(text: str) -> None:
    """What may be shown is left alone, so every place may make sure of it."""
    once = printable(text)

    assert once == printable(once)
    assert LONGEST >= len(once)


def test_an_error_is_shown_as_one_inert_line() -> None:
    """Whatever a message repeats of others, writing an error down shows nothing else."""
    error = ConfigError(f"the agent said {ESCAPES}\nand {BIDI}{'x' * 10**6}")

    assert str(error).isprintable()
    assert LONGEST == len(str(error))
    assert "too late" == str(NodeTimeout("too late"))


def test_every_control_and_format_character_is_written() -> None:
    """The list has every character of the categories Cc, Cf and Cs that this Python knows."""
    active = [
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(letter) in {"Cc", "Cf", "Cs"}
    ]

    assert [] == [letter for letter in active if not printable(f"a{letter}b").isascii()]
