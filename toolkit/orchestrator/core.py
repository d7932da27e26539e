"""The deciding fold: what was perceived goes in, verdicts and plans come out. No I/O, no clock."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from toolkit.execution.planner import Declined, FlashSource, pair_sources, plan, worst_gas_wei
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head
from toolkit.model.decision import Fill, Plan, Reading, Reservation, VetoCause
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.model.market import FundingKind
from toolkit.orchestrator import records
from toolkit.orchestrator.arbitration import Candidate, Context, Ruling, arbitrate
from toolkit.orchestrator.blackboard import Blackboard
from toolkit.orchestrator.impact import log_moves
from toolkit.orchestrator.ledger import Ledger, Share
from toolkit.orchestrator.market import exact
from toolkit.orchestrator.pauses import Assessment, compile_pauses
from toolkit.orchestrator.policy import EqualWeights, Policy
from toolkit.orchestrator.records import BlockReport, Planned, Setup
from toolkit.orchestrator.validation import Proposal
from toolkit.orchestrator.watch import ImpactWatch, WatchMemory
from toolkit.perception.perceived import Perceived, rebuilt
from toolkit.pools.snapshot import Snapshot
from toolkit.reasoning.agent import Agent, Noted, View
from toolkit.routing.router import Router

CANONICAL_MEMORY = 256  # blocks
OPEN_MEMORY = 256  # plans whose outcome is not known
MAX_ERROR_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What became of asking one agent: its intents, or how it failed."""

    intents: tuple[object, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line for the journal. `label` names it for later lines, `cause` names an earlier one."""

    kind: str
    data: msgspec.Struct
    label: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that one block led to."""

    records: tuple[Record, ...]
    plans: tuple[Plan, ...]
    report: BlockReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A plan whose outcome is not known, and whose it is."""

    planned: Planned
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What outlives a run. Handed on, not shared: whoever gave it must not go on."""

    setup: Setup
    ledger: Ledger
    board: Blackboard
    watch: WatchMemory
    canonical: Mapping[int, Hash]
    decided: Mapping[int, int]
    underway: Mapping[str, Underway]
    quarantined: Mapping[str, str]


@dataclass(slots=True)
class _Now:
    """The block being decided; gone when it is."""

    seen: Perceived
    snapshot: Snapshot
    readings: Mapping[str, tuple[Reading, ...]]
    label: str
    log: list[Record] = field(default_factory=list)

    @property
    def newest(self) -> dict[str, Reading]:
        return {key: series[-1] for key, series in self.readings.items()}


def ask(agent: Agent, view: View, limit: int) -> Thought:
    """Ask one agent for at most `limit` + 1 intents; whatever it raises is its own failure."""
    try:
        intents = tuple(islice(agent.on_block(view), limit + 1))
    except KeyboardInterrupt:
        raise  # a person's, not the agent's
    except BaseException as error:  # noqa: BLE001 - anybody's code; named, journalled, contained
        return Thought(failure=_told(error))
    return Thought(intents=intents)


def _told(error: BaseException) -> str:
    """Say what was raised, as text that can be journalled; an error may fail even at that."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is anybody's code too
        text = "no text"
    told = f"raised {type(error).__name__}: {text}"[:MAX_ERROR_TEXT]
    return told.encode(errors="replace").decode()


class Core:
    """Decides block after block; the same inputs give the same records, byte for byte.

    Raises:
        ConfigError: two agents of one name, or a pause that cannot be.
    """

    def __init__(
        self,
        setup: Setup,
        agents: Sequence[Agent],
        *,
        policy: Policy | None = None,
        asking: Callable[[Agent, View, int], Thought] = ask,
    ) -> None:
        names = sorted(agent.name for agent in agents)
        if len(set(names)) != len(names):
            raise ConfigError(f"two agents share a name: {', '.join(names)}")
        self.setup = setup
        self.ledger = Ledger()
        self._agents = tuple(sorted(agents, key=lambda agent: agent.name))
        self._policy = policy or EqualWeights()
        self._asking = asking
        self._watch = ImpactWatch(compile_pauses(setup.pauses, names), self._agents)
        self._board = Blackboard()
        self._snapshot: Snapshot | None = None
        self._canonical: dict[int, Hash] = {}
        self._decided: dict[int, int] = {}
        self._open: dict[str, Underway] = {}
        self._quarantined: dict[str, str] = {}
        self._halted = ""
        self._resuming = False
        self._unwatched_until = -1  # the last block in which an earlier run's plan may land

    def halt(self, why: str) -> None:
        """Veto every intent from the next block on; what is on its way is still settled."""
        self._halted = why

    def memory(self) -> Memory:
        """Return what the next run has to know. A halt ends with its run."""
        return Memory(
            setup=self.setup,
            ledger=self.ledger,
            board=self._board,
            watch=self._watch.memory(),
            canonical=self._canonical,
            decided=self._decided,
            underway=self._open,
            quarantined=self._quarantined,
        )

    def resume(self, memory: Memory) -> None:
        """Go on where an earlier run ended, by this set-up's rules from the next block on.

        A quarantine holds while its agent's set-up is the same. Plans that were underway keep
        their capital until their block is past; nobody asks any more what became of them.
        """
        before, now = ({a.name: a for a in s.agents} for s in (memory.setup, self.setup))
        self.ledger = memory.ledger
        self._board = memory.board
        self._watch.resume(memory.watch)
        self._canonical = dict(memory.canonical)
        self._decided = dict(memory.decided)
        self._open = dict(memory.underway)
        self._quarantined = {
            name: why
            for name, why in memory.quarantined.items()
            if before.get(name) == now.get(name)
        }
        self._resuming = True

    def recall(
        self,
        seen: Perceived,
        fills: Sequence[Fill],
        *,
        quarantined: Sequence[records.Quarantined],
        rulings: Sequence[Ruling],
        plans: Sequence[Planned],
    ) -> None:
        """Fold in a block that was decided before, as it was decided: no agent is asked.

        Raises:
            JournalCorrupt: a plan could not have been made in this state.
        """
        self._take_in(seen, fills)
        self._quarantined.update((one.agent, one.why) for one in quarantined)
        shares = {ruling.verdict.verdict_id: ruling.shares for ruling in rulings}
        for ruling in rulings:
            self.ledger.transfer(ruling.transfers)
        for planned in plans:
            name = planned.plan.verdict_id
            if name not in shares or not self.ledger.reserve(planned.reservation):
                raise JournalCorrupt(
                    f"plan {name} does not follow from the entries before it; "
                    "`toolkit replay` tells where they differ, or begin a new journal"
                )
            self._under_way(planned, shares[name])

    def advance(self, seen: Perceived, fills: Sequence[Fill] = ()) -> Decision:
        """Fold one block in and decide what is to be done in the next.

        Args:
            seen: the newest head.
            fills: outcomes of earlier plans that became known with it.
        """
        now, paused = self._take_in(seen, fills)
        context = self._context(now, paused)
        proposals, failures = self._ask_all(now, context)
        arbitration = arbitrate(context, proposals, failures=failures)
        self._quarantine(arbitration.defects, now)
        for candidate in arbitration.candidates:
            now.log.append(
                Record(
                    kind=records.INTENT,
                    data=candidate,
                    label=f"intent/{candidate.intent_id}",
                    cause="perceived",
                )
            )
        rulings, planned = self._plan(arbitration.rulings, now)
        return Decision(
            records=tuple(now.log),
            plans=tuple(one.plan for one in planned),
            report=self._report(now, arbitration.candidates, rulings, planned, fills, paused),
        )

    def _take_in(
        self, seen: Perceived, fills: Sequence[Fill]
    ) -> tuple[_Now, tuple[Assessment, ...]]:
        """Everything of a block that comes before anybody is asked."""
        now = self._begin(seen)
        for fill in fills:
            self._settle(fill, now)
        if seen.head.number <= self._unwatched_until:
            self._rebase(now)
        released = self.ledger.expire(seen.head.number)
        if released:
            data = records.Released(verdicts=released)
            now.log.append(Record(kind=records.RELEASED, data=data, cause="perceived"))
        paused = self._watch.assess(now.readings, now.snapshot, seen.head.number, self.setup.market)
        now.log.extend(
            Record(kind=records.PAUSE, data=one, cause="perceived") for one in paused if one.because
        )
        return now, paused

    def _rebase(self, now: _Now) -> None:
        """Take over what the accounts gained or lost while nobody watched."""
        changes = self.ledger.rebase(now.seen.balances)
        if changes:
            data = records.Rebased(changes=changes)
            now.log.append(Record(kind=records.REBASED, data=data, cause="perceived"))

    def _orphans(self, head: Head) -> tuple[Hash, ...]:
        """Name an earlier run's blocks that a new run's first head shows to be reverted."""
        same = {head.number: head.hash, head.number - 1: head.parent_hash}
        return tuple(
            hash_
            for number, hash_ in sorted(self._canonical.items())
            if number > head.number or same.get(number, hash_) != hash_
        )

    def _begin(self, seen: Perceived) -> _Now:
        head, reverted = seen.head, seen.reverted
        if self._resuming:
            reverted = tuple({*reverted, *self._orphans(head)})
            targets = (one.planned.plan.target_block for one in self._open.values())
            self._unwatched_until = max((head.number, *targets))
        self._canonical = {
            number: hash_
            for number, hash_ in self._canonical.items()
            if hash_ not in reverted and head.number - CANONICAL_MEMORY < number < head.number
        }
        self._canonical[head.number] = head.hash
        self._board.retract(reverted)
        if self._resuming:
            self._board.resume(seen.readings, block=head.number)
        else:
            self._board.write(seen.readings)
        self._resuming = False
        self._snapshot = rebuilt(seen, since=self._snapshot)
        if not self.ledger.is_open:
            self.ledger.open(seen.balances)
        times = self._decided.get(head.number, 0)
        self._decided = {
            n: t for n, t in self._decided.items() if n > head.number - CANONICAL_MEMORY
        }
        self._decided[head.number] = times + 1
        now = _Now(
            seen=seen,
            snapshot=self._snapshot,
            readings=self._board.as_of(head.number),
            label=f"{head.number}.{times}" if times else str(head.number),
        )
        undone = self.ledger.revert(reverted)
        self._watch.forget(undone)
        if undone:
            data = records.Released(verdicts=undone)
            now.log.append(Record(kind=records.REVERTED, data=data, cause="perceived"))
        return now

    def _settle(self, fill: Fill, now: _Now) -> None:
        """Book an outcome. One that comes after its timeout still counts, for its agents."""
        opened = self._open.pop(fill.verdict_id, None)  # stays open through its timeout
        shares = (
            opened.shares
            if opened is not None
            else tuple(Share(agent=name, intent="", amount_in=1) for name in fill.agents)
        )
        self.ledger.post(fill, shares)
        if not fill.landed or opened is None:
            return
        for impact in self._watch.landed(fill, opened.planned.log_moves):
            now.log.append(
                Record(kind=records.IMPACT, data=impact, cause=f"fill/{fill.verdict_id}")
            )

    def _context(self, now: _Now, paused: Sequence[Assessment]) -> Context:
        head, newest = now.seen.head, now.newest
        names = [agent.name for agent in self._agents]
        return Context(
            label=now.label,
            head=head,
            fee=now.seen.fee,
            market=self.setup.market,
            limits=self.setup.limits,
            snapshot=now.snapshot,
            readings=newest,
            canonical=self._canonical,
            paused={assessment.agent: assessment for assessment in paused},
            weights=self._policy.weights(names, head=head, readings=newest),
            free={token: self._free(token, now) for token in sorted(now.seen.balances)},
            books={name: self.ledger.book(name) for name in names},
            halted=self._halted,
        )

    def _free(self, token: Address, now: _Now) -> int:
        """What may be promised: as the ledger says, and never more than the chain confirms."""
        held = now.seen.balances.get(token, 0) - self.ledger.reserved(token)
        return min(self.ledger.free(token), held)

    def _ask_all(self, now: _Now, context: Context) -> tuple[list[Proposal], dict[str, str]]:
        head = now.seen.head
        proposals: list[Proposal] = []
        failures: dict[str, str] = {}
        for agent in self._agents:
            if agent.name in self._quarantined:
                continue
            readings = Noted(now.readings)  # ours: an agent cannot make it forget
            view = self._view(agent, now, readings)
            thought = self._asking(agent, view, context.limits.max_intents)
            if thought.failure:
                failures[agent.name] = thought.failure
            proposals += [
                Proposal(
                    agent=agent.name,
                    intent=intent,
                    touched=tuple(sorted(readings.touched)),
                    block_number=head.number,
                    block_hash=head.hash,
                )
                for intent in thought.intents
            ]
        return proposals, failures

    def _view(self, agent: Agent, now: _Now, readings: Noted) -> View:
        """Make a view of its own for an agent: what it does to it, it does to itself."""
        own = msgspec.structs.replace(
            now.snapshot, tokens=dict(now.snapshot.tokens), pools=dict(now.snapshot.pools)
        )
        return View(
            block=now.seen.head,
            snapshot=own,
            router=Router(own, native=self.setup.market.wrapped),
            readings=readings,
            balances=dict(now.seen.balances),
            positions=self.ledger.book(agent.name),
            fee=now.seen.fee,
            wrapped=self.setup.market.wrapped,
        )

    def _quarantine(self, defects: Mapping[str, str], now: _Now) -> None:
        for agent, why in sorted(defects.items()):
            self._quarantined[agent] = why
            data = records.Quarantined(agent=agent, why=why)
            now.log.append(Record(kind=records.QUARANTINE, data=data, cause="perceived"))

    def _plan(
        self, rulings: Sequence[Ruling], now: _Now
    ) -> tuple[tuple[Ruling, ...], tuple[Planned, ...]]:
        """Plan approved verdicts, best first; pools that one uses are closed to the next."""
        final: list[Ruling] = []
        made: list[Planned] = []
        open_pools = now.snapshot
        for draft in rulings:
            self.ledger.transfer(draft.transfers)
            ruling, planned = draft, None
            if draft.verdict.approved:
                ruling, planned = self._planned(draft, open_pools, now)
            final.append(ruling)
            first = ruling.verdict.intents[0]
            now.log.append(
                Record(
                    kind=records.RULING,
                    data=ruling,
                    label=f"ruling/{ruling.verdict.verdict_id}",
                    cause=f"intent/{first}",
                )
            )
            if planned is None:
                continue
            made.append(planned)
            used = {hop.pool for hop in planned.plan.route.hops} | {planned.plan.funding.lender}
            open_pools = msgspec.structs.replace(
                open_pools,
                pools={key: pool for key, pool in open_pools.pools.items() if key not in used},
            )
            verdict_id = ruling.verdict.verdict_id
            self._under_way(planned, ruling.shares)
            now.log.append(
                Record(
                    kind=records.PLAN,
                    data=planned,
                    label=f"plan/{verdict_id}",
                    cause=f"ruling/{verdict_id}",
                )
            )
        return tuple(final), tuple(made)

    def _under_way(self, planned: Planned, shares: tuple[Share, ...]) -> None:
        recent = list(self._open.items())[-OPEN_MEMORY + 1 :]
        this = Underway(planned=planned, shares=shares)
        self._open = {**dict(recent), planned.plan.verdict_id: this}

    def _planned(self, ruling: Ruling, pools: Snapshot, now: _Now) -> tuple[Ruling, Planned | None]:
        fee, wrapped = now.seen.fee, self.setup.market.wrapped
        answer = plan(
            ruling.verdict,
            snapshot=pools,
            router=Router(pools, native=wrapped),
            fee=fee,
            wrapped=wrapped,
            sources=(*self._lenders(now), *pair_sources(pools, wrapped)),
            tip=self.setup.tip,
            limits=self.setup.plan_limits,
        )
        if isinstance(answer, Declined):
            return _declined(ruling, answer), None
        own = answer.funding.kind is FundingKind.OWN
        reservation = Reservation(
            verdict_id=answer.verdict_id,
            token=answer.route.token_in,
            amount=answer.route.amount_in if own else 0,
            gas_wei=worst_gas_wei(answer, fee),
            expires_block=answer.target_block,
        )
        refused = self._reserve(reservation, now)
        if refused is not None:
            return _declined(ruling, refused), None
        moves = log_moves(now.snapshot, answer.route, self.setup.market.prices)
        return ruling, Planned(plan=answer, reservation=reservation, log_moves=moves)

    def _reserve(self, reservation: Reservation, now: _Now) -> Declined | None:
        """Hold what a plan needs, within the limit on gas and what the chain confirms."""
        limit = self.setup.limits.max_gas_wei
        held = self.ledger.reserved(ZERO_ADDRESS)
        if held + reservation.gas_wei > limit:
            why = f"worst-case gas {held + reservation.gas_wei} wei, at most {limit}"
            return Declined(VetoCause.LIMIT, why)
        gas_free = self._free(ZERO_ADDRESS, now)
        token_free = self._free(reservation.token, now)
        if reservation.gas_wei > gas_free or reservation.amount > token_free:
            why = (
                f"needs {reservation.amount} of {reservation.token} and {reservation.gas_wei} wei "
                f"for gas; {token_free} and {gas_free} are free"
            )
            return Declined(VetoCause.NO_CAPITAL, why)
        reserved = self.ledger.reserve(reservation)
        assert reserved
        return None

    def _lenders(self, now: _Now) -> tuple[FlashSource, ...]:
        """The configured lenders with what they were last seen to have, if that is fresh."""
        found: list[FlashSource] = []
        for lender in self.setup.lenders:
            reading = now.newest.get(records.flash_key(lender))
            if reading is None:
                continue
            if now.seen.head.number - reading.block_number <= reading.max_age_blocks:
                available = int(exact(reading.value))
                found.append(msgspec.structs.replace(lender, available=available))
        return tuple(found)

    def _report(
        self,
        now: _Now,
        candidates: tuple[Candidate, ...],
        rulings: Sequence[Ruling],
        planned: Sequence[Planned],
        fills: Sequence[Fill],
        paused: Sequence[Assessment],
    ) -> BlockReport:
        market, newest = self.setup.market, now.newest
        prices = {
            source.key: newest[source.key] for source in market.prices if source.key in newest
        }
        names = sorted({agent.name for agent in self._agents}.union(self.ledger.agents))
        books = {name: self.ledger.book(name) for name in names}
        expected = self.ledger.expected()
        return BlockReport(
            head=now.seen.head,
            fee=now.seen.fee,
            prices={key: float(reading.value) for key, reading in prices.items()},
            intents=candidates,
            verdicts=tuple(ruling.verdict for ruling in rulings),
            plans=tuple(one.plan for one in planned),
            fills=tuple(fills),
            paused=tuple(one for one in paused if one.paused),
            quarantined=dict(self._quarantined),
            balances=dict(now.seen.balances),
            books=books,
            pnl_wei={
                name: sum(market.value_wei(t, a, newest) or 0 for t, a in sorted(book.items()))
                for name, book in books.items()
            },
            discrepancies={
                token: (expected.get(token, 0), found)
                for token, found in sorted(now.seen.balances.items())
                if expected.get(token, 0) != found
            },
            reverted_blocks=len(now.seen.reverted),
        )


def _declined(ruling: Ruling, declined: Declined) -> Ruling:
    """Veto an approved verdict that cannot be executed; what changed hands inside stays."""
    verdict = ruling.verdict
    why = f"{verdict.why}; {declined.why}" if ruling.transfers else declined.why
    return msgspec.structs.replace(
        ruling,
        verdict=msgspec.structs.replace(
            verdict, approved=False, legs=(), cause=declined.cause, why=why
        ),
        shares=(),
    )
