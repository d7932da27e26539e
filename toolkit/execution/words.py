"""ABI words of the calls on the hot path, written out by hand.

eth_abi encodes everything there is and checks it word by word, which for one plan takes longer than
deciding on it. What is written here is what it gives (`tests/execution/test_words.py`). Source:
Solidity's contract ABI specification, "Use of Dynamic Types".
"""

import re
from functools import lru_cache

from toolkit.model.errors import ConfigError

WORD = 32
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def number(value: int) -> str:
    """Return an unsigned integer as one word; the caller has checked that it fits."""
    return f"{value:064x}"


@lru_cache(maxsize=4096)  # the same tokens and pools, plan after plan
def account(value: str) -> str:
    """Return an address as one word.

    Raises:
        ConfigError: no address.
    """
    return _digits(value, _ADDRESS, "an address: it must be 0x and 40 digits").rjust(2 * WORD, "0")


def bytes32(value: str) -> str:
    """Return a hash as one word.

    Raises:
        ConfigError: no hash.
    """
    return _digits(value, _HASH, "a hash: it must be 0x and 64 digits")


def of_arrays(static: str, *arrays: tuple[int, str]) -> str:
    """Return the only argument of a call: a tuple of words, then of arrays of static tuples.

    Args:
        static: the tuple's first words.
        arrays: of each how many elements it has, and their words.
    """
    offset = len(static) // 2 + WORD * len(arrays)
    offsets = tails = ""
    for count, words in arrays:
        offsets += number(offset)
        tails += number(count) + words
        offset += WORD + len(words) // 2
    return f"{number(WORD)}{static}{offsets}{tails}"


def _digits(value: str, kind: re.Pattern[str], what: str) -> str:
    if kind.fullmatch(value) is None:
        raise ConfigError(f"{value!r} is not {what}")
    return value[2:].lower()
