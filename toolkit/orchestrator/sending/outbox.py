"""Plans on their way to the chain, and what became of them."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from toolkit.model.chain import HeadChange
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import JournalUnavailable, NodeError, ToolkitError
from toolkit.model.tx import FeeQuote

F = TypeVar("F")


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


class Outbox(Protocol):
    """Where plans go, whatever carries them."""

    def resume(self, plans: Sequence[Plan]) -> None:
        """Take over an earlier process's plans whose outcome is not known."""
        ...

    async def submit(self, plans: Sequence[Plan], fee: FeeQuote) -> tuple[Fill, ...]:
        """Send what goes together; a plan that was not sent has its outcome at once."""
        ...

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:
        """Return the outcomes that became known with a change of heads."""
        ...


class GatewayOutbox(Generic[F]):
    """Plans on their way through one gateway."""

    def __init__(self, gateway: Gateway[F]) -> None:
        self._gateway = gateway
        self._in_flight: list[tuple[tuple[Plan, F], ...]] = []  # what shares its transactions
        self._earlier: list[Plan] = []

    def resume(self, plans: Sequence[Plan]) -> None:
        """Take over an earlier process's plans whose outcome is not known."""
        self._earlier = list(plans)

    async def submit(self, plans: Sequence[Plan], fee: FeeQuote) -> tuple[Fill, ...]:
        """Send what goes together; a plan that was not sent has its outcome at once."""
        answers: tuple[F | Fill, ...]
        try:
            if len(plans) == 1:
                answers = (await self._gateway.submit(plans[0], fee=fee),)
            elif (merged := await self._gateway.submit_merged(plans, fee=fee)) is not None:
                answers = merged
            else:
                return await self._apart(plans, fee)
        except JournalUnavailable:
            raise  # nothing may leave any more: this is no plan's own misfortune
        except ToolkitError as error:
            return tuple(_not_sent(plan, error) for plan in plans)
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

    async def _apart(self, plans: Sequence[Plan], fee: FeeQuote) -> tuple[Fill, ...]:
        """Send each alone, in order: one's misfortune is not the others'."""
        ended = [fill for plan in plans for fill in await self.submit((plan,), fee)]
        return tuple(ended)

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:
        """Ask after every plan whose block is here; an unanswered question is asked again."""
        newest = max((head.number for head in change.added), default=0)
        still: list[tuple[tuple[Plan, F], ...]] = []
        fills: list[Fill] = []
        for group in self._in_flight:
            due = group[0][0].target_block <= newest
            ended = await self._ended(group, change) if due else ()
            if ended:
                fills.extend(ended)
            else:
                still.append(group)
        self._in_flight = still
        return (*await self._recovered(change, newest), *fills)

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

    async def _recovered(self, change: HeadChange, newest: int) -> tuple[Fill, ...]:
        """Ask after an earlier process's plans, block by block."""
        fills: list[Fill] = []
        for target in sorted({plan.target_block for plan in self._earlier}):
            plans = [plan for plan in self._earlier if plan.target_block == target]
            if target > newest:
                continue
            try:
                fills.extend(await self._gateway.recover(plans, change))
            except NodeError:
                continue  # safe because it is asked again, and the chain is what counts
            self._earlier = [plan for plan in self._earlier if plan.target_block != target]
        return tuple(fills)


class NoOutbox:
    """Nothing is sent: verdicts and plans only."""

    def resume(self, plans: Sequence[Plan]) -> None:
        """Leave an earlier process's plans alone; their capital times out."""

    async def submit(
        self,
        plans: Sequence[Plan],  # noqa: ARG002 - as Outbox
        fee: FeeQuote,  # noqa: ARG002 - as Outbox
    ) -> tuple[Fill, ...]:
        """Drop the plans; their capital times out."""
        return ()

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:  # noqa: ARG002 - as Outbox
        """Nothing was sent, nothing became of it."""
        return ()


def _not_sent(plan: Plan, error: ToolkitError) -> Fill:
    return Fill(
        verdict_id=plan.verdict_id,
        agents=plan.agents,
        landed=False,
        block_number=plan.target_block,
        missed=f"not sent: {type(error).__name__}: {error}",
    )
