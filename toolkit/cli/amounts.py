"""Amounts as people type them."""

import argparse

_MOST_DIGITS = 78  # of 2^256


def whole(text: str) -> int:
    """Read a whole number of smallest units, for argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is no whole number of smallest units of up to {_MOST_DIGITS} digits"
        )
    return int(text)
