"""The orchestrator at work: perceive, decide, make durable, send, and learn what came of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

import msgspec

from toolkit.execution.gateway import BALANCER_VAULT
from toolkit.execution.gateway import Gateway as ChainGateway
from toolkit.execution.planner import FlashSource, PlanLimits, TipPolicy
from toolkit.journal.log import Journal
from toolkit.logs import log_of
from toolkit.model.chain import Address, Hash, Head, HeadChange, Mode
from toolkit.model.checks import path_of
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import ConfigError
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.arguments import (
    agent_setup,
    as_journalled,
    by_name,
    check_keys,
    check_parts,
    given,
    known_priority,
    listed,
)
from toolkit.orchestrator.audit.milestones import Milestones
from toolkit.orchestrator.audit.recovery import resumed
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.board.intake import Intake
from toolkit.orchestrator.breaking.breakers import BreakerChange
from toolkit.orchestrator.breaking.control import Status, Withdrawn, listening, status_of
from toolkit.orchestrator.breaking.hazards import BreakerLimits
from toolkit.orchestrator.breaking.orders import Orders
from toolkit.orchestrator.capital.elsewhere import Elsewhere
from toolkit.orchestrator.capital.ledger import LedgerState
from toolkit.orchestrator.capital.position import Position
from toolkit.orchestrator.collecting import uncollected
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.policy import Policy
from toolkit.orchestrator.hosting.asking import Host
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.hosting.hosting import Budget, Hosting, Hosts
from toolkit.orchestrator.hosting.roster import roster
from toolkit.orchestrator.mainnet import MAINNET, POOLS
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.records import BlockReport, Command, Inputs, Lost, Setup, Vitals
from toolkit.orchestrator.sending.outbox import Gateway, GatewayOutbox, NoOutbox, Outbox
from toolkit.orchestrator.sending.planning import flash_lenders
from toolkit.orchestrator.understudy import Understudy
from toolkit.orchestrator.writing import BlockWriter
from toolkit.perception.observer import Observer
from toolkit.perception.perceived import Perceived
from toolkit.perception.prices import PricePoint
from toolkit.pools.snapshot import PoolSpec
from toolkit.reasoning.agent import Agent
from toolkit.session import Session as ChainSession

F = TypeVar("F")

POLL_S = 0.05


class Session(Protocol):
    """The part of a session that the orchestrator needs itself."""

    @property
    def journal(self) -> Journal:
        """Where every decision is written before it has an effect."""
        ...

    @property
    def mode(self) -> Mode:
        """Shown in every line of the log."""
        ...

    async def advance(self) -> HeadChange | None:
        """Ask for the next change of heads; None when there is none yet."""
        ...


class Perception(Protocol):
    """Looks at the world once per head (`perception.observer.Observer` on a chain).

    One that has `keys`, all that it may ever give, lets mistyped ones be refused at the start.
    """

    async def observe(self, change: HeadChange) -> Perceived:
        """Return all that decisions may depend on, as of the newest head of the change."""
        ...

    async def agreed(self, blocks: Mapping[int, Hash], head: Head) -> int:
        """Return the highest of an earlier run's blocks that `head` stands on; -1 if none is."""
        ...


class Orchestrator:
    """Runs agents together on one chain.

    Each head: outcomes of the last block's plans, one look at the world, all agents, one
    arbitration; then everything is made durable, and only then anything is sent.

    Args:
        session: gives the journal, and the heads that `events` follows.
        agents: with different names.
        limits: bounds on agents, alone and together.
        pauses: who waits for whom; cycles and unknown agents are refused.
        market: tokens, stables and prices; mainnet's unless given.
        pools: what is followed on the chain; mainnet's unless given.
        executors: executor contract by signer. Without any, plans are made but not sent.
        history: recorded prices per key, one sample a block, up to the first head.
        tip: what builders are offered.
        plan_limits: bounds of one plan.
        policy: weights of agents; equal unless given.
        priority: who is served first where capital, pools, gas or places for plans are scarce, the
            highest number first; 0 for who is not named. Equals take turns.
        perception: how a head is looked at, instead of on the session's chain.
        gateway: how plans are carried out, instead of through `executors`.
        lenders: who lends for arbitrage; V3 pools and the Balancer vault unless given.
        breakers: from where on trading is reduced or halted.
        facts: which readings tell the same, and how far they may differ. A price of which none
            of them speaks is held to its own past.
        hosting: where agents run, by name: inline unless told. Decisions are the same everywhere.
        budgets: what an agent may use for one answer, by name.
        dependences: who relies on whom, and what it does when that one fails.
        host: what asks the agents, instead of `hosting` and `budgets`.
        clock: seconds since 1970, to hold heads against; the system's on a real chain. None
            elsewhere: the time of a development node is its own.
        control: where `toolkit ctl` finds this orchestrator; nowhere unless given.

    Raises:
        ConfigError: from the constructor, for anything above that cannot be.
    """

    def __init__(
        self,
        session: Session,
        *,
        agents: Sequence[Agent],
        limits: Limits | None = None,
        pauses: Sequence[Pause] = (),
        market: Market = MAINNET,
        pools: Sequence[PoolSpec] = POOLS,
        executors: Mapping[Address, Address] | None = None,
        history: Mapping[str, Sequence[PricePoint]] | None = None,
        tip: TipPolicy | None = None,
        plan_limits: PlanLimits | None = None,
        policy: Policy | None = None,
        priority: Mapping[str, int] | None = None,
        perception: Perception | None = None,
        gateway: Gateway[F] | None = None,
        lenders: Sequence[FlashSource] | None = None,
        breakers: BreakerLimits | None = None,
        facts: Sequence[FactRule] = (),
        hosting: Mapping[str, Hosting] | None = None,
        budgets: Mapping[str, Budget] | None = None,
        dependences: Sequence[Dependence] = (),
        host: Host | None = None,
        clock: Callable[[], float] | None = None,
        control: Path | str | None = None,
    ) -> None:
        agents = roster(agents)
        check_parts(session, market, perception, gateway, policy, host, clock)
        pools = listed("pools", pools, PoolSpec)
        executors, history = by_name("executors", executors), by_name("history", history)
        if lenders is None:
            lenders = flash_lenders(pools, market.wrapped, vault=BALANCER_VAULT)
        setup = Setup(
            agents=tuple(agent_setup(agent) for agent in agents),
            limits=given("limits", limits, Limits),
            pauses=listed("pauses", pauses, Pause, lambda one: (one.agent, one.trigger)),
            market=market,
            tip=given("tip", tip, TipPolicy),
            plan_limits=given("plan_limits", plan_limits, PlanLimits),
            lenders=listed("lenders", lenders, FlashSource),
            priority=known_priority(priority, agents),
            breakers=given("breakers", breakers, BreakerLimits),
            facts=listed("facts", facts, FactRule, lambda one: (one.key,)),
            dependences=listed(
                "dependences", dependences, Dependence, lambda one: (one.agent, one.on)
            ),
        )
        self.setup = as_journalled(setup)
        self._session = session
        self._log = log_of(__name__, session.mode)
        self._perception = perception or _observer(
            session, self.setup, pools=pools, executors=executors, history=history
        )
        check_keys(self._perception, self.setup, agents)
        self._outbox: Outbox = NoOutbox()
        if gateway is not None:
            self._outbox = GatewayOutbox(gateway)
        elif executors:
            carrier = ChainGateway(_on_chain(session), executors, wrapped=market.wrapped)
            self._outbox = GatewayOutbox(carrier)
        self._agents = tuple(agents)
        self._core = Core(self.setup, agents, policy=policy)
        # On a chain it is the node that is waited for: time enough to go over the last block.
        # A policy is somebody's code: who gives one has it asked once a block, and no rehearsals.
        waits = isinstance(session, ChainSession) and policy is None
        self._understudy = Understudy(Core(self.setup, agents)) if waits else None
        self._writer = BlockWriter(session.journal)
        self._milestones = Milestones(session.journal)
        self._intake = Intake()
        self._orders = Orders(self._core, session.journal.append, self._intake.commands)
        self._clock = clock or _chain_clock(session)
        self._control = None if control is None else path_of("control", control)
        self._doors = AsyncExitStack()
        self._last: BlockReport | None = None
        self._host = host or Hosts(agents, market=market, hosting=hosting, budgets=budgets)
        self._news: Callable[[], tuple[Elsewhere, ...]] = tuple
        self._turn = asyncio.Lock()
        self._started = False
        self._is_torn = False  # a block is begun that is not in the journal
        self._goes_on = False  # an earlier run's blocks are not held against the chain yet
        self._orphans: tuple[Hash, ...] = ()  # those of them that are gone

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
        await self._doors.aclose()
        await self._session.journal.commit()

    async def start(self) -> None:
        """Go on where the journal ends, and journal the set-up, durable.

        What an earlier orchestrator wrote is folded in: books, readings, impacts, quarantines and
        plans underway. This set-up rules from then on. What the accounts gained or lost in
        between is journalled with the first block, as nobody's. Blocks for as long as the
        journal takes to read.

        Raises:
            ConfigError: started already; an agent cannot be made where it is to run; or an earlier
                run paused an agent whose code is missing.
            JournalCorrupt: an earlier run's entry cannot be read.
        """
        if self._started:
            raise ConfigError("the orchestrator has been started already")
        found = resumed(self._session.journal, self.setup, self._agents)
        earlier, self._milestones = found.memory, found.milestones
        if earlier is not None:
            self._core.resume(earlier)
            if self._understudy is not None:
                self._understudy.resume(earlier)
            self._goes_on = True
            self._orders.again(earlier.ordered)
        await self._host.start()
        self._doors.push_async_callback(self._host.stop)
        try:
            await self._begin()
        except BaseException:
            await self._doors.aclose()  # who cannot start leaves nothing running
            raise

    async def _begin(self) -> None:
        for name in self._core.quarantined:
            await self._host.dismiss(name)
        self._started = True
        self._session.journal.append(records.SETUP, self.setup)
        self._orders.reopen()
        await self._session.journal.commit()
        if self._control is not None:
            await self._doors.enter_async_context(listening(self._control, self))

    def halt(self, why: str) -> None:
        """Send nothing more: every intent from the next step on is vetoed, with this reason.

        What is decided and not sent yet is kept back; plans on their way are still settled. Holds
        until `reset("halt")`, also over a restart. As every command it is journalled at once,
        durable with the next commit (`order` waits for it), and a replay halts at the same place.
        """
        self._orders.give(Command(verb="halt", why=why))

    def pause(self, agent: str, why: str = "") -> None:
        """Veto what an agent wants from the next step on, until `resume`.

        Raises:
            ConfigError: no such agent, or it is paused by a person already.
        """
        self._orders.give(Command(verb="pause", target=agent, why=why or "paused by a person"))

    def resume(self, agent: str) -> None:
        """Take a `pause` back.

        Raises:
            ConfigError: no such agent, or no person paused it.
        """
        self._orders.give(Command(verb="resume", target=agent))

    def reset(self, breaker: str) -> None:
        """Close a breaker by its name ("all": every one), from the next step on.

        It measures from there on, and opens again where its evidence lasts.

        Raises:
            ConfigError: no such breaker, or it is not open.
        """
        self._orders.give(Command(verb="reset", target=breaker))

    def give(self, command: Command) -> None:
        """Take a command as the methods above do.

        Raises:
            ConfigError: as they do.
        """
        self._orders.give(command)

    async def order(self, command: Command) -> None:
        """Take a command as the methods above do, and wait until it is durable.

        Raises:
            ConfigError: as they do.
            JournalUnavailable: it could not be written.
        """
        self.give(command)
        await self._session.journal.commit()

    def status(self) -> Status:
        """Tell what may be done, by whom, and why not, as of the last block."""
        return status_of(
            self._core,
            mode=self._session.mode.value,
            waiting=self._orders.waiting,
            report=self._last,
        )

    async def withdraw(self) -> Withdrawn:
        """Ask that nothing of what is open happen, and count what may happen all the same.

        A plan on its way is a bundle for one block: it lands there or never. Its relays are asked
        to forget it; it counts as long as one of them has not confirmed.
        """
        back = set(await self._outbox.withdraw())
        requests = 0
        if isinstance(self._session, ChainSession):
            scheduler = self._session.scheduler
            for lane in scheduler.statistics().lanes:
                jobs = scheduler.runner(lane.sender).state.jobs
                jobs_open = [name for name, job in jobs.items() if not job.landed]
                for name in jobs_open:
                    await scheduler.cancel_request(name, lane.sender)
                requests += len(jobs_open)
        newest = -1 if self._last is None else self._last.head.number
        open_now = [one for one in self._core.plans_underway if one.target_block > newest]
        at_large = sum(plan.verdict_id not in back for plan in open_now)
        return Withdrawn(requests=requests, plans=len(open_now) - at_large, at_large=at_large)

    def hear(self, change: HeadChange) -> None:
        """Note a change of heads, to be decided on with the next `step`.

        However many come before it, the step decides once, on the newest, and forgets none.

        Raises:
            BusOverflow: thousands came and no step was taken.
        """
        self._intake.heads.publish(change)

    async def step(self, change: HeadChange | None = None) -> BlockReport:
        """Settle, perceive, decide, make durable, send; for a change, and what was heard before.

        Raises:
            NodeError: the world could not be looked at; nothing was decided, call again later.
            JournalUnavailable: nothing was sent, and nothing will be.
            ConfigError: no new head has been heard of, this was not started, the policy's weights
                are none, or an earlier step broke off while it decided.
        """
        if not self._started:
            raise ConfigError("start the orchestrator first: async with Orchestrator(...)")
        if self._is_torn:
            raise ConfigError(
                "an earlier step broke off while it decided, and what it had taken in is not in "
                "the journal: leave this orchestrator, and start another one on the journal"
            )
        if change is not None:
            self.hear(change)
        seen = await self._look()
        with uncollected():
            return await self._act(seen)

    async def _act(self, seen: Perceived) -> BlockReport:
        """Decide on what was seen, make it durable, send."""
        try:
            decision = await self._decide(seen)
        except BaseException:
            self._orders.reopen()  # what is ordered from here on binds the next run
            raise
        finally:
            self._turn.release()
        self._milestones.decided(self._core)
        self._orders.reopen()
        await self._session.journal.commit()
        try:
            await self._send(decision, seen.fee)
        finally:
            self._last = decision.report
            self._tell(decision)
        if not self._is_torn:  # nothing waits for it any more, and no next block is begun
            self._milestones.sent(self._core, self._orders.waiting)
        return decision.report

    async def _send(self, decision: Decision, fee: FeeQuote) -> None:
        """Let go of who is not asked any more, and send what was decided."""
        for name in decision.quarantined:
            await self._host.dismiss(name)
        for group in decision.sendings:
            back = tuple(fill for plan in group if (fill := self._kept_back(plan)) is not None)
            self._learn(back or await self._outbox.submit(group, fee, kept_back=self._kept_back))

    async def _decide(self, seen: Perceived) -> Decision:
        """Decide with all that has come in, and journal it."""
        self._is_torn = True
        inputs = Inputs(
            seen=seen,
            fills=self._intake.outcomes(),
            commands=self._orders.take(),
            vitals=self._vitals(seen),
            elsewhere=self._news(),
        )
        thoughts = await self._host.ask(self._core.begin(inputs))
        lost = tuple(
            Lost(agent=name, why=one.lost) for name, one in sorted(thoughts.items()) if one.lost
        )
        decision = self._core.decide(thoughts)
        whole = msgspec.structs.replace(inputs, lost=lost)
        self._writer.write(whole, decision)
        self._is_torn = False
        if self._understudy is not None:
            self._understudy.watch(whole, thoughts, decision)
        return decision

    def _kept_back(self, plan: Plan) -> Fill | None:
        """Return the outcome of a plan that must not be sent any more; None if it may."""
        newest = _newest_block(self._session)
        if not self._orders.halts and plan.target_block > newest:
            return None
        why = "halted by a person" if self._orders.halts else f"block {newest} was there"
        return Fill(
            verdict_id=plan.verdict_id,
            agents=plan.agents,
            landed=False,
            block_number=plan.target_block,
            predicted_out=plan.minimum_profit,
            missed=f"not sent: {why} before it was",
        )

    async def _look(self) -> Perceived:
        """Settle and perceive, then wait for the turn to decide, which is the caller's to end.

        What fails leaves everything to be looked at again.
        """
        if not self._intake.has_head:
            raise ConfigError("no new head has been heard of: there is no block to decide on")
        change = self._intake.change()
        try:
            if self._goes_on:
                await self._go_on(change.added[-1])
            # Queued until they are journalled: an outcome is told once, if the look fails too.
            self._learn(await self._outbox.settle(change))
            looking = self._perception.observe(change)
            seen = await (looking if self._understudy is None else self._understudy.beside(looking))
            await self._turn.acquire()
        except BaseException:
            self._intake.again(change)
            raise
        orphans, self._orphans = self._orphans, ()
        reverted = tuple(dict.fromkeys((*seen.reverted, *orphans)))
        return msgspec.structs.replace(seen, reverted=reverted) if orphans else seen

    async def _go_on(self, head: Head) -> None:
        """Hold what an earlier run knew against the chain: nobody told of reorgs since."""
        known = self._core.known_blocks
        agreed = await self._perception.agreed(known, head) if known else -1
        self._orphans = self._core.beyond(agreed)
        told = self._core.plans_ended(agreed)
        self._outbox.resume(self._core.plans_underway, told=told)
        self._goes_on = False

    def _learn(self, fills: Sequence[Fill]) -> None:
        for fill in fills:
            self._intake.fills.publish(fill)

    async def events(self) -> AsyncIterator[BlockReport]:
        """Follow the session's heads, and yield what was decided at each."""
        while True:
            change = await self._session.advance()
            if change is not None:
                self.hear(change)
            if self._intake.has_head:
                yield await self.step()
            else:
                await asyncio.sleep(POLL_S)

    def beside(self, news: Callable[[], tuple[Elsewhere, ...]], turn: asyncio.Lock) -> None:
        """Ask before each block what has changed on the chains that are run beside this one.

        Who has the `turn` decides; the others wait, and know of it before they do.
        """
        self._news, self._turn = news, turn

    @property
    def journal(self) -> Journal:
        """Where every decision is written before it has an effect."""
        return self._session.journal

    def position(self) -> Position:
        """Return where this chain stands after its last block."""
        return self._core.position()

    def ledger(self) -> LedgerState:
        """Return a copy of the ledger."""
        return self._core.ledger.state()

    def _vitals(self, seen: Perceived) -> Vitals:
        came = self._intake.traffic()
        skew = 0 if self._clock is None else seen.head.timestamp - int(self._clock())
        return Vitals(clock_skew_s=skew, messages=came.messages, dropped=came.conflated)

    def _tell(self, decision: Decision) -> None:
        report = decision.report
        self._log.info(
            "block_decided",
            block=report.head.number,
            intents=len(report.intents),
            approved=len(report.verdicts) - len(report.vetoes),
            vetoed=len(report.vetoes),
            plans=len(decision.plans),
        )
        for name, why in decision.quarantined.items():
            self._log.warning("agent_quarantined", agent=name, why=why)
        for record in decision.records:
            if isinstance(record.data, BreakerChange):
                one = record.data
                self._log.warning(
                    "breaker_changed",
                    breaker=one.hazard.value,
                    phase=one.phase.value,
                    state=one.state.value,
                    why=one.evidence.why,
                )


def _newest_block(session: Session) -> int:
    """Return the newest head there is by now; where nobody follows a chain, none is newer."""
    head = getattr(session, "head", None)
    return head.number if isinstance(head, Head) else -1


def _chain_clock(session: Session) -> Callable[[], float] | None:
    """The system's clock where heads come from a real chain, whose time it shares."""
    real = isinstance(session, ChainSession) and session.mode in {Mode.DRY, Mode.LIVE}
    return time.time if real else None


def _on_chain(session: Session) -> ChainSession:
    if not isinstance(session, ChainSession):
        raise ConfigError("without a session on a chain, give `perception` and `gateway`")
    return session


def _observer(
    session: Session,
    setup: Setup,
    *,
    pools: Sequence[PoolSpec],
    executors: Mapping[Address, Address],
    history: Mapping[str, Sequence[PricePoint]] | None,
) -> Observer:
    chain = _on_chain(session)
    accounts = {signer.address for signer in chain.signers} | set(executors.values())
    return Observer(
        chain.node,
        oracle=chain.oracle,
        pools=pools,
        tokens={token.address: token for token in setup.market.tokens},
        prices=setup.market.prices,
        accounts=sorted(accounts),
        history=history,
        lenders=[(lender.lender, lender.token) for lender in setup.lenders],
    )
