import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Open for many at once, or closed for one: clients pass, a block is sealed behind it.

    While a block is sealed Anvil's pool holds private transactions, and a transaction that came in
    then would end up in the wrong place.
    """

    def __init__(self) -> None:
        self._passing = 0
        self._changed = asyncio.Condition()
        self._closed = False

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Go through once the gate is open."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._closed)
            self._passing += 1
        try:
            yield
        finally:
            async with self._changed:
                self._passing -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def closure(self) -> AsyncIterator[None]:
        """Close the gate when nobody is passing any more, and open it again at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            await self._changed.wait_for(lambda: self._passing == 0)
        try:
            yield
        finally:
            async with self._changed:
                self._closed = False
                self._changed.notify_all()
