"""RLP as it is written here, held against pyrlp."""

import random

import pytest
from rlp.codec import encode_raw

from tests.orchestrator.worlds import fresh_seeds
from toolkit.chain.encoding import Item, encoded, number, uint

BOUNDS = (0, 1, 2, 54, 55, 56, 255, 256, 65_535, 65_536)


@pytest.mark.parametrize("seed", [1, *fresh_seeds(2)], ids=lambda _: "seed")
def test_bytes_and_lists_are_what_pyrlp_writes(seed: int) -> None:
    """Around every length at which the prefix changes, in lists within lists too."""
    rng = random.Random(seed)
    for size in BOUNDS:
        blob = rng.randbytes(size)

        items: list[Item] = [blob, [blob], [blob, [], [blob, [blob]]]]
        for item in items:
            assert bytes(encode_raw(item)) == encoded(item), seed


def test_every_single_byte_is_what_pyrlp_writes() -> None:
    """The lower half of all bytes has no prefix, the upper half has."""
    for value in range(256):
        assert bytes(encode_raw(bytes((value,)))) == encoded(bytes((value,)))


def test_integers_are_what_pyrlp_writes() -> None:
    """Zero is no bytes at all, and each width up to a word has its own prefix."""
    for value in (0, 1, 127, 128, *(1 << bits for bits in range(257)), 2**256 - 1):
        assert bytes(encode_raw(uint(value))) == number(value)


def test_a_negative_integer_is_none() -> None:
    """RLP knows no sign."""
    with pytest.raises(OverflowError):
        number(-1)
