"""How a window that slides becomes another: what it keeps, and what is new."""

from collections.abc import Callable, Sequence
from operator import is_
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

Same = Callable[[object, object], bool]
"""Whether two items of a window are one."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Splice(msgspec.Struct, Generic[T], frozen=True, array_like=True):
    """What a window becomes: what it was, from `start` to `stop`, and `added` behind that."""

    start: int
    stop: int
    added: tuple[T, ...]

    def of(self, window: Sequence[T]) -> list[T]:
        """Return the window that it makes of another."""
        return [*window[self.start : self.stop], *self.added]


def spliced(old: Sequence[T], new: Sequence[T], *, same: Same | None = None) -> Splice[T] | None:
    """Say what one window becomes in another; None where they are the same.

    Items are the same where their JSON is, unless told otherwise: 1 and 1.0 are not.
    """
    alike = same or alike_json
    start = len(old)
    if new:
        start = next((at for at, one in enumerate(old) if alike(one, new[0])), start)
    count = most = min(len(old) - start, len(new))
    if not all(map(is_, old[start : start + most], new)):  # nearly always they are
        pairs = zip(old[start:], new, strict=False)
        count = next((at for at, (one, two) in enumerate(pairs) if not alike(one, two)), most)
    if start == 0 and count == len(old) == len(new):
        return None
    return Splice(start, start + count, tuple(new[count:]))


def alike_json(one: object, other: object) -> bool:
    """Whether two values are written alike."""
    return one is other or _encode(one) == _encode(other)
