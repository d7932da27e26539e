"""Who moves a session along its chain: a task of its own, or the caller by hand."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from toolkit.chain.heads import HeadFollower
from toolkit.model.chain import HeadChange
from toolkit.model.errors import NodeError

_TRIES = 8
_BACKOFF_S = 0.05


class HeadDriver:
    """Feeds each change of the chain to `digest`, once and in order.

    `start` makes a task do it until the driver closes. Whoever calls `advance` or `digest_now`
    takes the wheel: the task ends for good, and nothing happens between their calls. What a
    caller's cancellation or a node's error cut short is digested again first.
    """

    def __init__(
        self, follower: HeadFollower, digest: Callable[[HeadChange], Awaitable[None]]
    ) -> None:
        self._follower = follower
        self._digest = digest
        self._undigested: HeadChange | None = None
        self._by_hand = False
        self._task: asyncio.Task[None] | None = None
        self._owner: asyncio.Task[object] | None = None
        self._failure: BaseException | None = None
        self._cancels = False  # we cancelled the owner, and it has not noticed yet
        self._before = 0  # its cancellations until then: a task group of its own may leave one

    @property
    def by_hand(self) -> bool:
        """Whether a caller has taken the wheel."""
        return self._by_hand

    @asynccontextmanager
    async def owned(self) -> AsyncGenerator[None, None]:
        """Run as long as the caller's block; what ends the following ends the block, and is raised.

        Otherwise somebody in it could wait for ever for what no head will bring.
        """
        self._owner = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if not self._cancelled_by_us():
                raise
        finally:
            try:
                await self._stop()
            except asyncio.CancelledError:  # it failed just as the block came to its end
                if not self._cancelled_by_us():
                    raise
        if self._failure is not None:
            raise self._failure

    def start(self) -> None:
        """Follow from now on, unless somebody drives by hand or it follows already."""
        if self._by_hand or self._task is not None:
            return
        self._task = asyncio.create_task(self._follow(), name="follow the chain")
        self._task.add_done_callback(self._ended)

    async def advance(self) -> HeadChange | None:
        """Ask for the head once and digest what changed; None if nothing did."""
        await self._take_the_wheel()
        change = await self._follower.poll()
        if change is not None:
            await self._feed(change)
        return change

    async def digest_now(self, change: HeadChange) -> None:
        """Digest a change that the caller has found by other means."""
        await self._take_the_wheel()
        await self._feed(change)

    async def _take_the_wheel(self) -> None:
        self._by_hand = True
        await self._stop()
        if self._undigested is not None:
            await self._feed(self._undigested)

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _feed(self, change: HeadChange) -> None:
        self._undigested = change
        await self._digest(change)
        self._undigested = None

    def _cancelled_by_us(self) -> bool:
        """Whether the owner was cancelled for a failed following and for nothing else."""
        if self._owner is None or not self._cancels:
            return False
        self._cancels = False
        return self._owner.uncancel() <= self._before

    async def _follow(self) -> None:
        async for change in self._follower.changes():
            for attempt in range(1, _TRIES + 1):
                try:
                    await self._feed(change)
                    break
                except NodeError:
                    if attempt == _TRIES:
                        raise
                    await asyncio.sleep(_BACKOFF_S * 2**attempt)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        self._failure = task.exception()
        if self._owner is not None:
            self._cancels, self._before = True, self._owner.cancelling()
            self._owner.cancel()
