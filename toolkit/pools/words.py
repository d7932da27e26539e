"""Python's integers as rows of four 64-bit limbs, the least first, and back; batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """n queries as arrays, and where kernels write how they ended.

    Attributes:
        pools: (n) int64, the place of each one's pool, within `rows`.
        forward: (n) bool, whether token0 goes in.
        amounts: (n, 4) uint64; what is asked for comes out, or goes in where `exact_out`.
        limits: (n, 4) uint64, sqrt prices x 2^96, 0 for none; or no rows at all.
        rows: of each place, its pool's row among those of its family.
        answers: (n, 4) uint64, 0 where `status` is not OK.
        filled: (n, 4) uint64, how much of the amount is taken or given.
        status: (n) int8, a `Status` each: ASK until a kernel has answered.
    """

    pools: Places
    forward: Flags
    amounts: Words
    limits: Words
    exact_out: bool
    rows: Places
    answers: Words
    filled: Words
    status: Codes


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
