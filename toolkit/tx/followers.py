"""Which requests wait for which others to be confirmed, and which of them may go on."""

import asyncio
from collections import deque
from collections.abc import Mapping

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import ToolkitError
from toolkit.model.tx import Confirmed, Outcome
from toolkit.tx.events import Released, Send
from toolkit.tx.runner import LaneRunner
from toolkit.tx.tasks import together


class _Follower(msgspec.Struct, frozen=True):
    lane: Address
    request_id: str


class Followers:
    """Requests by the one they follow, of whichever lane. `due` has who is to be told, in order."""

    def __init__(self) -> None:
        self.due: deque[Released] = deque()
        self._waiting: dict[str, list[_Follower]] = {}

    def wait(self, lane: Address, request_id: str, *, after: str) -> None:
        """Let a request wait until `ended` is called for the one before it."""
        self._waiting.setdefault(after, []).append(_Follower(lane, request_id))

    def ended(self, name: str, end: Outcome | ToolkitError) -> None:
        """Make whoever follows `name` due: to be sent after a success, to be cancelled without.

        A follower that was let go is not called back when a reorg undoes that success.
        """
        succeeded = isinstance(end, Confirmed)
        how = type(end).__name__ if isinstance(end, Outcome) else str(end)
        for follower in self._waiting.pop(name, ()):
            self.due.append(
                Released(
                    lane=follower.lane,
                    request_id=follower.request_id,
                    succeeded=succeeded,
                    reason="" if succeeded else f"{name}, which it follows, ended: {how}",
                )
            )


class Releases:
    """Lets go of whoever is due, lane by lane, one call at a time."""

    def __init__(self, followers: Followers, runners: Mapping[Address, LaneRunner]) -> None:
        self._followers = followers
        self._runners = runners
        self._releasing = asyncio.Lock()

    async def all(self) -> list[asyncio.Task[None]]:
        """Let go, or cancel, every request whose predecessor has ended; what hands them over."""
        sent: list[asyncio.Task[None]] = []
        while self._followers.due:
            async with self._releasing:
                sent += await self._due()
        return sent

    async def _due(self) -> list[asyncio.Task[None]]:
        due, out = self._followers.due, list[tuple[LaneRunner, list[Send]]]()

        async def launch(what: tuple[LaneRunner, list[Send]]) -> list[asyncio.Task[None]]:
            out.remove(what)  # from here on the runner answers for them
            return await what[0].launch(what[1])

        try:
            while due:
                runner = self._runners.get(due[0].lane)
                if runner is not None and due[0].request_id in runner.state.jobs:
                    async with runner.lock:
                        out.append((runner, await runner.advance(due[0])))
                due.popleft()
            launched = await together([launch(what) for what in out])
            return [task for tasks in launched for task in tasks]
        finally:
            for runner, sends in out:  # cut off before
                runner.abandon(sends)
