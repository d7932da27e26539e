"""Wakes whoever waits for the next change of something."""

import asyncio


class Pulse:
    """Costs nothing as long as nobody waits, so everything may have one."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: asyncio.Event | None = None

    async def next(self) -> None:
        """Wait for the next beat."""
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()

    def beat(self) -> None:
        """Wake all who wait now."""
        event, self._event = self._event, None
        if event is not None:
            event.set()
