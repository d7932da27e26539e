"""Shows every head to every lane that has something under way."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec

from toolkit.model.chain import Address, Head
from toolkit.model.errors import NodeError
from toolkit.tx.events import Observed
from toolkit.tx.hand_overs import HandOvers
from toolkit.tx.observer import ChainQueries, observe, runs_code
from toolkit.tx.pulse import Pulse
from toolkit.tx.quotes import HeadQuotes
from toolkit.tx.runner import LaneRunner
from toolkit.tx.stages import Stage
from toolkit.tx.tasks import together

_CODE_EVERY_BLOCKS = 32
_SET_CODE = 4


class Watch:
    """Asks for each lane what a head brought, and lets the lane act on it.

    Heads pass idle lanes by: they look once they are to act. `heads` beats after each head.
    """

    def __init__(
        self,
        node: ChainQueries,
        quotes: HeadQuotes,
        runners: Mapping[Address, LaneRunner],
        *,
        reached: Callable[[Stage], None],
        hand_overs: HandOvers,
        dry: bool,
    ) -> None:
        self.quotes = quotes
        self.heads = Pulse()
        self.head: Head | None = None
        self._node = node
        self._runners = runners
        self._reached = reached
        self._hand_overs = hand_overs
        self._dry = dry
        self._showing = asyncio.Lock()

    async def show(
        self,
        head: Head,
        *,
        reorged: bool,
        after: Callable[[], Awaitable[list[asyncio.Task[None]]]],
        patience_s: float | None,
    ) -> None:
        """Let every busy lane look and act, then do what is to be done `after` each head.

        Then waits for the answers to what was sent for it, up to the next head or `patience_s`:
        a destination that is silent must not hide the chain.

        Raises:
            NodeError: for some lane the node could not be asked; the same head may be shown again.
        """
        self._hand_overs.newer_head()
        sent: list[asyncio.Task[None]] = []
        async with self._showing:
            self.head = head
            self._reached(Stage.HEAD)
            for runner in self._runners.values():
                runner.reorg_unseen |= reorged
            busy = [runner for runner in self._runners.values() if not runner.idle]
            # Fees and lanes are asked about at the same time; each lane then takes the fees.
            fees = [partial(self._prefetch, head)] if busy else []
            looks = [partial(self._observe, runner, head, sent) for runner in busy]
            failures = await together(_failure_of(one) for one in (*fees, *looks))
            sent += await after()
        failure = next((one for one in failures if one is not None), None)
        if failure is None:
            self.heads.beat()
        await self._hand_overs.answered(sent, patience_s=patience_s)
        if failure is not None:
            raise failure

    async def refresh(self, runner: LaneRunner) -> None:
        """Look at the chain before an idle lane acts, under its lock.

        Raises:
            NodeError: the node could not be asked.
        """
        head = self.head
        if head is not None and runner.idle and runner.seen != head.hash and not self._dry:
            await runner.advance(await self._look(runner, head))
            self._saw(runner, head)

    async def _prefetch(self, head: Head) -> None:
        await self.quotes.at(head)

    async def _observe(
        self, runner: LaneRunner, head: Head, sent: list[asyncio.Task[None]]
    ) -> None:
        observed = await self._look(runner, head)
        self._reached(Stage.LOOKED)
        async with runner.lock:
            sends = await runner.advance(observed)
            self._saw(runner, head)
        self._reached(Stage.OBSERVED)
        sent += await runner.launch(sends)

    async def _look(self, runner: LaneRunner, head: Head) -> Observed:
        state = runner.state
        delegates = any(job.request.type == _SET_CODE for job in state.in_flight())
        if runner.code_unknown or delegates or head.number % _CODE_EVERY_BLOCKS == 0:
            runner.delegated = await runs_code(self._node, state.lane, head)
            runner.code_unknown = False
        observed = await observe(
            self._node,
            state,
            head=head,
            quotes={},
            reorged=runner.reorg_unseen,
            delegated=runner.delegated,
        )
        return msgspec.structs.replace(observed, quotes=await self.quotes.at(head))

    def _saw(self, runner: LaneRunner, head: Head) -> None:
        runner.seen = head.hash
        if head is self.head:  # else a reorg may have come meanwhile
            runner.reorg_unseen = False


async def _failure_of(look: Callable[[], Awaitable[None]]) -> NodeError | None:
    """Let one lane's node fail without cutting off what other lanes are just sending."""
    try:
        await look()
    except NodeError as error:
        return error
    return None
