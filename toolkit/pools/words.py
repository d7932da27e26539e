"""Python's integers as rows of four 64-bit limbs, the least first, and back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

_BYTES = 32
_BEYOND = b"\xff" * _BYTES


def to_words(numbers: Sequence[int]) -> Words:
    """Return (n, 4) uint64; what is negative or beyond 256 bits becomes 2^256 - 1."""
    try:
        flat = b"".join([number.to_bytes(_BYTES, "little") for number in numbers])
    except OverflowError:
        flat = b"".join(
            [
                number.to_bytes(_BYTES, "little") if 0 <= number < 2**256 else _BEYOND
                for number in numbers
            ]
        )
    return np.frombuffer(flat, dtype="<u8").reshape(-1, 4).astype(np.uint64)


def to_ints(words: Words) -> list[int]:
    """Return the rows of (n, limbs) uint64 as integers."""
    flat = np.ascontiguousarray(words, dtype="<u8").tobytes()
    size = 8 * words.shape[1]
    return [int.from_bytes(flat[at : at + size], "little") for at in range(0, len(flat), size)]
