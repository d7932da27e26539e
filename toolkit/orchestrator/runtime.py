"""The orchestrator at work: perceive, decide, make durable, send, and learn what came of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import msgspec

from toolkit.execution.planner import FlashSource, PlanLimits, TipPolicy
from toolkit.journal.log import Journal
from toolkit.model.chain import Address, HeadChange
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import ConfigError, JournalUnavailable, NodeError, ToolkitError
from toolkit.model.market import FundingKind, PoolKind
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.core import Core, Decision
from toolkit.orchestrator.ledger import LedgerState
from toolkit.orchestrator.limits import Limits
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pauses import Pause
from toolkit.orchestrator.policy import Policy
from toolkit.orchestrator.records import AgentSetup, BlockReport, Setup
from toolkit.perception.perceived import Perceived
from toolkit.pools.snapshot import PoolSpec
from toolkit.reasoning.agent import Agent

F = TypeVar("F")

POLL_S = 0.05


class Session(Protocol):
    """The part of a session that the orchestrator needs itself."""

    @property
    def journal(self) -> Journal:
        """Where every decision is written before it has an effect."""
        ...

    async def advance(self) -> HeadChange | None:
        """Ask for the next change of heads; None when there is none yet."""
        ...


class Perception(Protocol):
    """Looks at the world once per head (`perception.observer.Observer` on a chain)."""

    async def observe(self, change: HeadChange) -> Perceived:
        """Return all that decisions may depend on, as of the newest head of the change."""
        ...


class Gateway(Protocol[F]):
    """Carries plans to the chain and tells what became of them (`execution.gateway`)."""

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> F | Fill:
        """Send a plan for its target block; a Fill or a ToolkitError if nothing was sent."""
        ...

    async def settle(self, in_flight: F, change: HeadChange) -> Fill | None:
        """Return the outcome as of a change that reaches its target, None while it is open."""
        ...


class _Outbox(Generic[F]):
    """Plans on their way through one gateway."""

    def __init__(self, gateway: Gateway[F]) -> None:
        self._gateway = gateway
        self._in_flight: list[tuple[Plan, F]] = []

    async def submit(self, plan: Plan, fee: FeeQuote) -> Fill | None:
        """Send; a plan that was not sent has its outcome at once."""
        try:
            answer = await self._gateway.submit(plan, fee=fee)
        except JournalUnavailable:
            raise  # nothing may leave any more: this is no plan's own misfortune
        except ToolkitError as error:
            return Fill(
                verdict_id=plan.verdict_id,
                agents=plan.agents,
                landed=False,
                block_number=plan.target_block,
                missed=f"not sent: {type(error).__name__}: {error}",
            )
        if isinstance(answer, Fill):
            return answer
        self._in_flight.append((plan, answer))
        return None

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:
        """Ask after every plan whose block is here; an unanswered question is asked again."""
        newest = max((head.number for head in change.added), default=0)
        still: list[tuple[Plan, F]] = []
        fills: list[Fill] = []
        for plan, flight in self._in_flight:
            fill: Fill | None = None
            if plan.target_block <= newest:
                try:
                    fill = await self._gateway.settle(flight, change)
                except NodeError:
                    fill = None  # safe because it is asked again, and the chain is what counts
            if fill is None:
                still.append((plan, flight))
            else:
                fills.append(fill)
        self._in_flight = still
        return tuple(fills)


class _NoOutbox:
    """Nothing is sent: verdicts and plans only."""

    async def submit(self, plan: Plan, fee: FeeQuote) -> Fill | None:  # noqa: ARG002 - as _Outbox
        return None

    async def settle(self, change: HeadChange) -> tuple[Fill, ...]:  # noqa: ARG002 - as _Outbox
        return ()


class Orchestrator:
    """Runs agents together on one chain.

    Each head: outcomes of the last block's plans, one look at the world, all agents, one
    arbitration; then everything is made durable, and only then anything is sent.

    Args:
        session: gives the journal, and the heads that `events` follows.
        agents: with different names.
        market: tokens, stables and prices.
        limits: bounds on agents, alone and together.
        pauses: who waits for whom; cycles and unknown agents are refused.
        perception: how a head is looked at.
        gateway: how plans are carried out; without one nothing is sent.
        lenders: who lends for arbitrage besides the market's own V2 pairs.

    Raises:
        ConfigError: from the constructor, for anything above that cannot be.
    """

    def __init__(
        self,
        session: Session,
        *,
        agents: Sequence[Agent],
        market: Market,
        perception: Perception,
        gateway: Gateway[F] | None = None,
        limits: Limits | None = None,
        pauses: Sequence[Pause] = (),
        tip: TipPolicy | None = None,
        plan_limits: PlanLimits | None = None,
        lenders: Sequence[FlashSource] = (),
        policy: Policy | None = None,
    ) -> None:
        self._session = session
        self._perception = perception
        self._outbox: _Outbox[F] | _NoOutbox = _NoOutbox() if gateway is None else _Outbox(gateway)
        self.setup = Setup(
            agents=tuple(agent_setup(agent) for agent in sorted(agents, key=lambda a: a.name)),
            limits=limits or Limits(),
            pauses=tuple(sorted(pauses, key=lambda pause: (pause.agent, pause.on))),
            market=market,
            tip=tip or TipPolicy(),
            plan_limits=plan_limits or PlanLimits(),
            lenders=tuple(lenders),
        )
        self._core = Core(self.setup, agents, policy=policy)
        self._sequence: dict[str, int] = {}
        self._known: list[Fill] = []  # outcomes not yet journalled
        self._started = False

    async def __aenter__(self) -> Self:
        """Journal the set-up."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make everything decided so far durable; the session closes the journal."""
        await self._session.journal.commit()

    async def start(self) -> None:
        """Journal the set-up, durable: with it and what follows, every decision can be redone."""
        if self._started:
            raise ConfigError("the orchestrator has been started already")
        self._started = True
        self._session.journal.append(records.SETUP, self.setup)
        await self._session.journal.commit()

    async def step(self, change: HeadChange) -> BlockReport:
        """Settle, perceive, decide, make durable, send; one call per change of heads.

        Raises:
            NodeError: the world could not be looked at; nothing was decided, call again later.
            JournalUnavailable: nothing was sent, and nothing will be.
        """
        if not self._started:
            raise ConfigError("start the orchestrator first: async with Orchestrator(...)")
        # Kept until they are journalled: an outcome is told once, even if the look then fails.
        self._known.extend(await self._outbox.settle(change))
        seen = await self._perception.observe(change)
        fills, self._known = tuple(self._known), []
        decision = self._core.advance(seen, fills)
        self._write(seen, fills, decision)
        await self._session.journal.commit()
        for plan in decision.plans:
            failed = await self._outbox.submit(plan, seen.fee)
            if failed is not None:
                self._known.append(failed)
        return decision.report

    async def events(self) -> AsyncIterator[BlockReport]:
        """Follow the session's heads, and yield what was decided at each."""
        while True:
            change = await self._session.advance()
            if change is None or not change.added:
                await asyncio.sleep(POLL_S)
                continue
            yield await self.step(change)

    def ledger(self) -> LedgerState:
        """Return a copy of the ledger."""
        return self._core.ledger.state()

    def _write(self, seen: Perceived, fills: Sequence[Fill], decision: Decision) -> None:
        """Journal a block: what came in first, then what it led to, each with its cause."""
        journal = self._session.journal
        known = {key: seq for key, seq in self._sequence.items() if key.startswith("plan/")}
        for fill in fills:
            cause = known.pop(f"plan/{fill.verdict_id}", None)
            known[f"fill/{fill.verdict_id}"] = journal.append(records.FILL, fill, cause=cause)
        known["perceived"] = journal.append(records.PERCEIVED, seen)
        for record in decision.records:
            cause = known.get(record.cause, known["perceived"])
            seq = journal.append(record.kind, record.data, cause=cause)
            if record.label:
                known[record.label] = seq
        self._sequence = known


def flash_lenders(
    pools: Sequence[PoolSpec], token: Address, *, vault: Address | None = None
) -> tuple[FlashSource, ...]:
    """Return who may lend `token`: V3 pools that hold it, and a Balancer vault if one is named.

    V2 pairs need not be listed: what they have is in every snapshot.
    """
    found = [
        FlashSource(
            kind=FundingKind.V3_FLASH,
            lender=spec.id,
            token=token,
            available=0,
            fee_ppm=spec.fee_ppm,
        )
        for spec in sorted(pools, key=lambda spec: spec.id)
        if spec.kind is PoolKind.CONCENTRATED and token in {spec.token0, spec.token1}
    ]
    if vault is not None:
        balancer = FundingKind.BALANCER
        found.append(FlashSource(kind=balancer, lender=vault, token=token, available=0))
    return tuple(found)


def agent_setup(agent: Agent) -> AgentSetup:
    """Describe an agent so that it can be made again; one without fields is only named."""
    cls = type(agent)
    is_value = isinstance(agent, msgspec.Struct)
    parameters = msgspec.json.encode(agent, order="sorted") if is_value else b"null"
    return AgentSetup(
        name=agent.name,
        kind=f"{cls.__module__}:{cls.__qualname__}",
        parameters=msgspec.Raw(parameters),
    )
