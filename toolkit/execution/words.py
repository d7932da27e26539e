"""ABI words of the calls on the hot path, written out by hand.

eth_abi encodes everything there is and checks it word by word, which for one plan takes longer than
deciding on it. What is written here is what it gives (`tests/execution/test_words.py`). Source:
Solidity's contract ABI specification, "Use of Dynamic Types".
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from toolkit.model.errors import ConfigError

WORD = 32
_DIGITS = frozenset("0123456789abcdefABCDEF")
_ADDRESS_TEXT = 42
_HASH_TEXT = 66


def number(value: int) -> str:
    """Return an unsigned integer as one word; the caller has checked that it fits."""
    return f"{value:064x}"


@lru_cache(maxsize=4096)  # the same tokens and pools, plan after plan
def account(value: str) -> str:
    """Return an address as one word.

    Raises:
        ConfigError: no address.
    """
    return _hexadecimal(value, _ADDRESS_TEXT, "an address")


def bytes32(value: str) -> str:
    """Return a hash as one word.

    Raises:
        ConfigError: no hash.
    """
    return _hexadecimal(value, _HASH_TEXT, "a hash")


def of_arrays(static: Sequence[str], arrays: Sequence[Sequence[str]], widths: Iterable[int]) -> str:
    """Return the only argument of a call: a tuple of words, then of arrays of static tuples.

    Args:
        static: the tuple's first words.
        arrays: the words of each array's elements, one after the other.
        widths: how many words an element of each array has.
    """
    offset = WORD * (len(static) + len(arrays))
    offsets: list[str] = []
    tails: list[str] = []
    for words, width in zip(arrays, widths, strict=True):
        offsets.append(number(offset))
        tails += (number(len(words) // width), *words)
        offset += WORD * (1 + len(words))
    return "".join((number(WORD), *static, *offsets, *tails))


def _hexadecimal(value: str, length: int, what: str) -> str:
    digits = value[2:]
    if len(value) != length or not value.startswith("0x") or not _DIGITS.issuperset(digits):
        raise ConfigError(f"{value!r} is not {what}: it must be 0x and {length - 2} digits")
    return digits.lower().rjust(2 * WORD, "0")
