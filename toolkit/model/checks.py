"""Arguments as authors give them: checked where they come in, refused with one bearable line."""

import re
from math import isfinite
from os import PathLike
from pathlib import Path

from toolkit.model.chain import ZERO_ADDRESS
from toolkit.model.errors import ConfigError

_SHOWN = 100
_LONGEST_S = 1e9
_UINT64 = 2**64

DEEPEST = 500
"""Lists and objects that are read within each other. Python's own 1,000 hold as long as nobody
lifts them: some libraries do at import (py-ecc, with web3, to 100,000), beyond what a stack holds.
"""

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_ALIKE = bytes.maketrans(b"{}", b"[]")
_WITHOUT_DEPTH = bytes(byte for byte in range(256) if byte not in b'[]{}"')


def shown(value: object) -> str:
    """Write a value into an error: as Python would, but never more than a line.

    An integer beyond 4,300 digits and lists a thousand deep cannot even be written.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too long to be written"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def shown_address(value: object) -> str:
    """Write an address as it is, and anything else as `shown` does."""
    is_address = isinstance(value, str) and len(value) == len(ZERO_ADDRESS)
    return str(value) if is_address else shown(value)


def is_deep(json: bytes | str) -> bool:
    """Whether JSON, sound or not, has more than `DEEPEST` lists and objects within each other."""
    text = json.encode(errors="replace") if isinstance(json, str) else json
    # Python finds bytes many at a time, but counts them one by one.
    opened = 2 * len(text) - len(text.replace(b"[", b"")) - len(text.replace(b"{", b""))
    if opened <= DEEPEST:
        return False
    if b"\\" in text:
        text = _ESCAPED.sub(b"", text)
    # Two quotes side by side change for nothing behind them whether it is in a string.
    left = text.translate(_ALIKE, _WITHOUT_DEPTH).replace(b'""', b"")
    if b'"' in left:
        left = _STRING.sub(b"", left)
    depth = 0
    while depth <= DEEPEST and b"[]" in left:
        left = left.replace(b"[]", b"")  # what is innermost
        depth += 1
    return depth + left.count(b"[") > DEEPEST


def require_integer(name: str, value: object, *, least: int = 0, most: int = _UINT64) -> None:
    """Check an integer between two bounds, both included; a bool is none.

    Raises:
        ConfigError: anything else.
    """
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{name} is {shown(value)}; give an integer from {least} to {most}")


def require_text(name: str, value: object) -> None:
    """Check a text with something in it.

    Raises:
        ConfigError: anything else.
    """
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} is {shown(value)}; give a text")


def is_finite(value: object) -> bool:
    """Tell whether this is a number that a float can hold: no bool, NaN or infinity."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def require_seconds(name: str, value: object, *, zero: bool = False) -> None:
    """Check a duration: finite, and above zero unless `zero` is allowed.

    Raises:
        ConfigError: anything else.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not _is_duration(value, zero=zero):
        least = "at least 0" if zero else "above 0"
        raise ConfigError(f"{name} is {shown(value)}; give a number of seconds, {least}")


def require_flag(name: str, value: object) -> None:
    """Check a yes or no: "no" in quotes would be a yes.

    Raises:
        ConfigError: neither True nor False.
    """
    if type(value) is not bool:
        raise ConfigError(f"{name} is {shown(value)}; it must be True or False")


def path_of(name: str, value: object) -> Path:
    """Read the name of a file or directory.

    Raises:
        ConfigError: none, an empty one, or one that no system can have.
    """
    if not isinstance(value, str | PathLike) or not str(value) or "\0" in str(value):
        raise ConfigError(f"{name} is {shown(value)}; give a path")
    try:
        return Path(value)
    except TypeError:
        raise ConfigError(f"{name} is {shown(value)}; give a path in text") from None


def _is_duration(value: object, *, zero: bool) -> bool:
    assert isinstance(value, int | float)
    if isinstance(value, float) and not isfinite(value):
        return False
    return (value > 0 or (zero and value == 0)) and value <= _LONGEST_S
