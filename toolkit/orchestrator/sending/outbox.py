"""Plans on their way to the chain, and what became of them."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from toolkit.model.chain import HeadChange
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import JournalUnavailable, NodeError, ToolkitError
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.capital.ledger import REORG_BLOCKS

F = TypeVar("F")
KeptBack = Callable[[Plan], Fill | None]


def never(plan: Plan) -> None:
    """Keep nothing back."""


class Gateway(Protocol[F]):
    """Carries plans to the chain and tells what became of them (`execution.gateway`)."""

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> F | Fill:
        """Send a plan for its target block; a Fill or a ToolkitError if nothing was sent."""
        ...

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[F | Fill, ...] | None:
        """Send several in one transaction; what came of each, in order, as `submit` gives it.

        None if nothing was sent because they do not do together; each may do alone.
        """
        ...

    async def settle(self, in_flight: F, change: HeadChange) -> Fill | None:
        """Return the outcome as of a change that reaches its target, None while it is open."""
        ...

    async def recover(self, plans: Sequence[Plan], change: HeadChange) -> tuple[Fill, ...]:
        """Return what became of plans that an earlier process made, and may or may not have sent.

        They are of one target block, that `change` has reached.
        """
        ...

    async def strays(self, change: HeadChange) -> tuple[Fill, ...]:
        """Return what blocks hold of plans that have ended as if they did not, each block once."""
        ...

    async def withdraw(self) -> tuple[str, ...]:
        """Take back what is on its way; names the verdicts that cannot land any more."""
        ...


class Outbox(Protocol):
    """Where plans go, whatever carries them."""

    def resume(self, plans: Sequence[Plan], *, told: Sequence[Plan] = ()) -> None:
        """Take over an earlier process's plans whose outcome is not known.

        Of those that it was `told` of, the block may have been replaced since.
        """
        ...

    async def submit(
        self, plans: Sequence[Plan], fee: FeeQuote, *, kept_back: KeptBack = never
    ) -> tuple[Fill, ...]:
        """Send what goes together; a plan that was not sent has its outcome at once.

        `kept_back` gives the outcome of one that must not be sent any more.
        """
        ...

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:
        """Return the outcomes that became known with a change of heads."""
        ...

    async def withdraw(self) -> tuple[str, ...]:
        """Take back what is on its way; names the verdicts that cannot land any more."""
        ...


class GatewayOutbox(Generic[F]):
    """Plans on their way through one gateway, and those whose block may still be reverted."""

    def __init__(self, gateway: Gateway[F]) -> None:
        self._gateway = gateway
        self._in_flight: list[tuple[tuple[Plan, F], ...]] = []  # what shares its transactions
        self._earlier: list[Plan] = []
        self._told: deque[Plan] = deque()
        self._again: list[Plan] = []  # told, but of a block that is no more

    def resume(self, plans: Sequence[Plan], *, told: Sequence[Plan] = ()) -> None:
        """Take over an earlier process's plans whose outcome is not known."""
        self._earlier, self._again = list(plans), list(told)

    async def submit(
        self, plans: Sequence[Plan], fee: FeeQuote, *, kept_back: KeptBack = never
    ) -> tuple[Fill, ...]:
        """Send what goes together; a plan that was not sent has its outcome at once."""
        try:
            answers = await self._answers(plans, fee)
        except JournalUnavailable:
            raise  # nothing may leave any more: this is no plan's own misfortune
        except ToolkitError as error:
            return tuple(_not_sent(plan, error) for plan in plans)
        except BaseException:
            self._earlier += plans  # they may have left before whoever sent them was interrupted
            raise
        if answers is None:
            return await self._apart(plans, fee, kept_back)
        ended: list[Fill] = []
        flying: list[tuple[Plan, F]] = []
        for plan, answer in zip(plans, answers, strict=True):
            if isinstance(answer, Fill):
                ended.append(answer)
            else:
                flying.append((plan, answer))
        if flying:
            self._in_flight.append(tuple(flying))
        return tuple(ended)

    async def _answers(self, plans: Sequence[Plan], fee: FeeQuote) -> tuple[F | Fill, ...] | None:
        if len(plans) == 1:
            return (await self._gateway.submit(plans[0], fee=fee),)
        return await self._gateway.submit_merged(plans, fee=fee)

    async def _apart(
        self, plans: Sequence[Plan], fee: FeeQuote, kept_back: KeptBack
    ) -> tuple[Fill, ...]:
        """Send each alone, in order: one's misfortune is not the others'.

        Whether it may still be sent is asked anew: sending those before it takes its time.
        """
        ended: list[Fill] = []
        for plan in plans:
            refused = kept_back(plan)
            ended += await self.submit((plan,), fee) if refused is None else (refused,)
        return tuple(ended)

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:
        """Ask after every plan whose block is here; an unanswered question is asked again.

        Where a block is reverted its plans are asked after once more: the block in its place may
        hold them as well, or may hold what the first one lacked. Who interrupts this loses nothing.
        """
        newest = max((head.number for head in change.added), default=0)
        fills: list[Fill] = []
        still: list[tuple[tuple[Plan, F], ...]] = []
        told = list[Plan]()
        for group in self._in_flight:
            due = group[0][0].target_block <= newest
            ended = await self._ended(group, change) if due else ()
            fills += ended
            if ended:
                told += (plan for plan, _ in group)
            else:
                still.append(group)
        found, unknown = await self._found(self._earlier, change, newest)
        told += (plan for plan in self._earlier if plan not in unknown)
        undone = {head.number for head in change.reverted}
        moved = [plan for plan in (*self._told, *told) if plan.target_block in undone]
        again = [*self._again, *(plan for plan in moved if plan not in self._again)]
        mined, unasked = await self._found(again, change, newest)
        try:
            strays = await self._gateway.strays(change) if change.added else ()
        except NodeError:
            strays = ()  # safe because all of it is told the next time
        # Nothing is waited for from here on: all of it is noted, or none.
        self._in_flight, self._earlier, self._again = still, unknown, unasked
        self._told += told
        while self._told and self._told[0].target_block < newest - REORG_BLOCKS:
            self._told.popleft()
        outcomes = {fill.verdict_id: fill for fill in (*found, *fills)}
        outcomes.update((one.verdict_id, one) for one in mined if one.landed or one.tx_hashes)
        known = set(map(_place, outcomes.values()))
        return (*outcomes.values(), *(one for one in strays if _place(one) not in known))

    async def withdraw(self) -> tuple[str, ...]:
        """Take back what is on its way, of this process; its outcome follows with its block."""
        return await self._gateway.withdraw()

    async def _ended(self, group: Sequence[tuple[Plan, F]], change: HeadChange) -> tuple[Fill, ...]:
        """Ask after plans that share their transactions: all are told at once, or none yet.

        A process that dies in between must leave all of them or none to the next one, which finds
        them on the chain by what they were sent as.
        """
        fills: list[Fill] = []
        for _, flight in group:
            try:
                fill = await self._gateway.settle(flight, change)
            except NodeError:
                return ()  # safe because it is asked again, and the chain is what counts
            if fill is None:
                return ()
            fills.append(fill)
        return tuple(fills)

    async def _found(
        self, plans: Sequence[Plan], change: HeadChange, newest: int
    ) -> tuple[list[Fill], list[Plan]]:
        """Ask the chain after plans, block by block; also returns those it did not answer for."""
        fills: list[Fill] = []
        unknown: list[Plan] = []
        for target in sorted({plan.target_block for plan in plans}):
            of_block = [plan for plan in plans if plan.target_block == target]
            if target > newest:
                unknown += of_block
                continue
            try:
                fills.extend(await self._gateway.recover(of_block, change))
            except NodeError:
                unknown += of_block  # safe because it is asked again, and the chain counts
        return fills, unknown


class NoOutbox:
    """Nothing is sent: verdicts and plans only."""

    def resume(self, plans: Sequence[Plan], *, told: Sequence[Plan] = ()) -> None:
        """Leave an earlier process's plans alone; their capital times out."""

    async def submit(
        self,
        plans: Sequence[Plan],  # noqa: ARG002 - as Outbox
        fee: FeeQuote,  # noqa: ARG002 - as Outbox
        *,
        kept_back: KeptBack = never,  # noqa: ARG002 - as Outbox
    ) -> tuple[Fill, ...]:
        """Drop the plans; their capital times out."""
        return ()

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:  # noqa: ARG002 - as Outbox
        """Nothing was sent, nothing became of it."""
        return ()

    async def withdraw(self) -> tuple[str, ...]:
        """Nothing is on its way: whatever was planned cannot land."""
        return ()


def _place(fill: Fill) -> tuple[object, ...]:
    """What makes it this fill and no other."""
    return fill.verdict_id, fill.block_hash, fill.tx_hashes


def _not_sent(plan: Plan, error: ToolkitError) -> Fill:
    return Fill(
        verdict_id=plan.verdict_id,
        agents=plan.agents,
        landed=False,
        block_number=plan.target_block,
        missed=f"not sent: {type(error).__name__}: {error}",
    )
