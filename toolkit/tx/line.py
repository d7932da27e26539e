"""Lets callers act in the order in which they came, whatever each has to do first."""

import asyncio
from types import TracebackType
from typing import Self


class Line:
    """A line for each priority: who is more urgent does not wait for who is less.

    Checks of several requests overlap, and each may take as long as its node takes; their nonces
    still follow the order of the calls.
    """

    def __init__(self) -> None:
        self._last: dict[int, asyncio.Future[None]] = {}

    def enter(self, priority: int) -> "Place":
        """Join at the end."""
        place = Place(self._last.get(priority))
        self._last[priority] = place.left
        place.left.add_done_callback(lambda left: self._shorten(priority, left))
        return place

    def _shorten(self, priority: int, left: asyncio.Future[None]) -> None:
        if self._last.get(priority) is left:
            del self._last[priority]


class Place:
    """One caller's place. Leaving early does not let those behind overtake those before."""

    def __init__(self, before: asyncio.Future[None] | None) -> None:
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._before = before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is None or self._before.done():
            self.left.set_result(None)
        else:
            self._before.add_done_callback(lambda _: self.left.set_result(None))

    async def first(self) -> None:
        """Wait until everybody before has left."""
        if self._before is not None and not self._before.done():
            # Not awaited itself: giving up one's own place must not end another's.
            await asyncio.wait([self._before])
