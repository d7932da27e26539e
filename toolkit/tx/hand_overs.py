"""Hand-overs that outlast the head that led to them, and who waits for their answers."""

import asyncio
from collections.abc import Coroutine, Sequence

from toolkit.tx.pulse import Pulse


class HandOvers:
    """Every hand-over that a head led to runs here: a silent destination holds up no later head.

    What one of them raises is raised to whoever waits for answers next.
    """

    def __init__(self) -> None:
        self._underway: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._newer = Pulse()

    def start(self, handing: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Let one go its way."""
        task = asyncio.create_task(handing)
        self._underway.add(task)
        task.add_done_callback(self._ended)
        return task

    def newer_head(self) -> None:
        """Nobody waits any longer for what an older head led to."""
        self._newer.beat()

    async def answered(
        self, tasks: Sequence[asyncio.Task[None]], *, patience_s: float | None
    ) -> None:
        """Wait until all of these are answered, a newer head comes, or patience ends.

        Raises:
            ToolkitError: what one of those that have ended raised.
        """
        if not all(task.done() for task in tasks):
            newer = asyncio.ensure_future(self._newer.next())
            everything = asyncio.ensure_future(asyncio.wait(tasks))
            try:
                await asyncio.wait(
                    (everything, newer),
                    timeout=patience_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                everything.cancel()
                newer.cancel()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise the first failure that nobody was told of."""
        failures, self._failures = self._failures, []
        if failures:
            raise failures[0]

    async def cancel(self) -> None:
        """Cut off all; each tells its lane that its answer is unknown."""
        underway = tuple(self._underway)
        for task in underway:
            task.cancel()
        if underway:
            await asyncio.wait(underway)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._underway.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)
