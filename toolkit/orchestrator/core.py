"""The deciding fold: what was perceived goes in, verdicts and plans come out. No I/O, no clock."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from toolkit.execution.planner import Ways, expected_gas_price
from toolkit.model.chain import Address, Hash
from toolkit.model.decision import Fill, Plan, Reading
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.model.market import PoolId
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.memory import Market, Memory, Underway, forget_oldest, gone, unsure
from toolkit.orchestrator.block import Decision, Sitting
from toolkit.orchestrator.board.blackboard import Blackboard
from toolkit.orchestrator.board.doubts import DoubtWatch, with_defaults
from toolkit.orchestrator.breaking.breakers import BreakerChange, Breakers
from toolkit.orchestrator.breaking.facts import facts_of
from toolkit.orchestrator.breaking.hazards import Hazard
from toolkit.orchestrator.capital.elsewhere import Elsewhere
from toolkit.orchestrator.capital.ledger import Ledger, Share
from toolkit.orchestrator.capital.position import Position, standing
from toolkit.orchestrator.deciding.appraisal import Appraisal
from toolkit.orchestrator.deciding.arbitration import Candidate, Context, Ruling, arbitrate, unsent
from toolkit.orchestrator.deciding.policy import EqualWeights, Policy, checked
from toolkit.orchestrator.deciding.validation import Proposal
from toolkit.orchestrator.hosting.asking import Question, Thought, ask, fresh_view
from toolkit.orchestrator.hosting.containment import Containment
from toolkit.orchestrator.hosting.roster import roster
from toolkit.orchestrator.pausing.pauses import Assessment, compile_pauses
from toolkit.orchestrator.pausing.reasons import asked_agent, without
from toolkit.orchestrator.pausing.watch import ImpactWatch, World
from toolkit.orchestrator.records import BlockReport, Command, Inputs, Planned, Setup
from toolkit.orchestrator.sending.merging import grouped
from toolkit.orchestrator.sending.planning import Planner
from toolkit.orchestrator.telling import block_report
from toolkit.perception.perceived import corrected, rebuilt
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.reasoning.agent import Agent, View
from toolkit.routing.router import Router

CANONICAL_MEMORY = 256  # blocks
OPEN_MEMORY = 256  # plans whose outcome is not known
ENDED_MEMORY = 256  # plans whose outcome a reorg may still change


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
    ) -> None:
        self._agents = roster(agents)
        names = self._names = tuple(agent.name for agent in self._agents)
        self.setup = setup
        self.ledger = Ledger()
        self._policy = policy or EqualWeights()
        self._watch = ImpactWatch(
            compile_pauses(setup.pauses, names, breakers=[one.value for one in Hazard]),
            self._agents,
        )
        self._board = Blackboard()
        self._expected = records.expected_keys(setup)
        self._appraisal = Appraisal(setup.market, setup.limits)
        priced = [source.key for source in setup.market.prices]
        self._doubts = DoubtWatch(with_defaults(setup.facts, priced), setup.market.prices)
        self._snapshot: Snapshot | None = None
        self._canonical: dict[int, Hash] = {}
        self._decided: dict[int, int] = {}
        self._open: dict[str, Underway] = {}
        self._ended: dict[str, Underway] = {}
        self._quarantined: dict[str, str] = {}
        self._stopped: dict[str, str] = {}  # by a person
        self._contained = Containment(setup.dependences, names)
        self.breakers = Breakers(setup.breakers, names, min_trade_wei=setup.limits.min_trade_wei)
        self._elsewhere: dict[str, Elsewhere] = {}  # this run's: each run is told anew
        self._now: Sitting | None = None
        self._untold: Decision | None = None
        self._resuming = False
        self._unwatched_until = -1  # the last block in which an earlier run's plan may land

    @property
    def plans_underway(self) -> tuple[Plan, ...]:
        """Plans whose outcome is not known."""
        return tuple(one.planned.plan for one in self._open.values())

    def plans_ended(self, agreed: int) -> tuple[Plan, ...]:
        """Plans whose outcome is known, of the last blocks and those beyond `agreed`.

        By now it may be another one.
        """
        newest = max(self._canonical, default=0)
        return unsure(self._ended.values(), newest, agreed=agreed)

    @property
    def known_blocks(self) -> Mapping[int, Hash]:
        """The blocks that this state rests on, as far back as one may be reverted."""
        return self._canonical | self.ledger.blocks

    def beyond(self, agreed: int) -> tuple[Hash, ...]:
        """Name the blocks with a higher number that this state rests on, oldest first."""
        known = {*self._canonical.items(), *self.ledger.blocks.items()}
        return tuple(hash_ for number, hash_ in sorted(known) if number > agreed)

    @property
    def stopped(self) -> Mapping[str, str]:
        """Agents that a person paused, and why."""
        return self._stopped

    @property
    def quarantined(self) -> Mapping[str, str]:
        """Agents that are not asked any more, and why."""
        return self._quarantined

    def memory(self) -> Memory:
        """Return what the next run has to know."""
        return Memory(
            setup=self.setup,
            ledger=self.ledger.memory(),
            board=self._board.memory(),
            market=None if self._snapshot is None else Market.of(self._snapshot),
            watch=self._watch.memory(),
            claims=self._appraisal.memory(),
            canonical=tuple(self._canonical.items()),
            decided=tuple(self._decided.items()),
            underway=tuple(self._open.items()),
            ended=tuple(self._ended.items()),
            quarantined=self._quarantined,
            stopped=self._stopped,
            breakers=self.breakers.memory(),
            doubts=self._doubts.memory(),
            contained=self._contained.memory(),
            elsewhere=self._elsewhere,
            unwatched_until=self._unwatched_until,
        )

    def restore(self, memory: Memory) -> None:
        """Become what a core of this set-up was, in the middle of its run."""
        self.resume(memory)
        self._quarantined = dict(memory.quarantined)
        self._snapshot = None if memory.market is None else memory.market.snapshot()
        self._elsewhere = dict(memory.elsewhere)
        self._unwatched_until = memory.unwatched_until
        self._resuming = False

    def resume(self, memory: Memory) -> None:
        """Go on where an earlier run ended, by this set-up's rules from the next block on.

        A quarantine holds while its agent's set-up is the same; what a person or a breaker
        stopped stays so until it is taken back. Plans that were underway keep
        their capital until their block is past; nobody asks any more what became of them.
        """
        before, now = ({a.name: a for a in s.agents} for s in (memory.setup, self.setup))
        self.ledger = Ledger()
        self.ledger.resume(memory.ledger)
        self._board = Blackboard.remembered(memory.board)
        self._watch.resume(memory.watch)
        self._appraisal.resume(memory.claims)
        self._canonical = dict(memory.canonical)
        self._decided = dict(memory.decided)
        self._open = dict(memory.underway)
        self._ended = dict(memory.ended)
        self._quarantined = {
            name: why
            for name, why in memory.quarantined.items()
            if before.get(name) == now.get(name)
        }
        self._stopped = dict(memory.stopped)
        self.breakers.resume(memory.breakers)
        self._doubts.resume(memory.doubts)
        self._contained.resume(memory.contained)
        self._resuming = True

    def recall(
        self,
        inputs: Inputs,
        *,
        quarantined: Sequence[records.Quarantined],
        rulings: Sequence[Ruling],
        plans: Sequence[Planned],
    ) -> None:
        """Fold in a block that was decided before, as it was decided: no agent is asked.

        Of a pool that is known with the same fee the state may be left out until `correct`.

        Raises:
            JournalCorrupt: a plan could not have been made in this state.
        """
        self._watch.follow(self._world(self._take_in(inputs)))
        self._quarantined.update((one.agent, one.why) for one in quarantined)
        self._contained.heard({asked_agent(one.agent): one.why for one in inputs.lost})
        self.breakers.bury(self._quarantined, [asked_agent(one.agent) for one in inputs.lost])
        shares = {ruling.verdict.verdict_id: ruling.shares for ruling in rulings}
        claims = {ruling.verdict.verdict_id: ruling.claims for ruling in rulings}
        for ruling in rulings:
            self.ledger.transfer(ruling.transfers)
            self.ledger.take_turn(ruling.tried)
        for planned in plans:
            name = planned.plan.verdict_id
            held = name in shares and self.ledger.reserve(planned.reservation, shares[name])
            if not held:
                raise JournalCorrupt(
                    f"plan {name} does not follow from the entries before it; "
                    "`toolkit replay` tells where they differ, or begin a new journal"
                )
            self._under_way(planned, shares[name])
            self._appraisal.planned(name, claims[name])
        self._probe(plans)

    def correct(self, pools: Mapping[PoolId, Pool]) -> None:
        """Put the true states of pools in place of those that a recalled block left out."""
        if self._snapshot is not None:
            self._snapshot = corrected(self._snapshot, pools)

    def begin(self, inputs: Inputs) -> tuple[Question, ...]:
        """Fold one block in, and return what agents are to be asked; then `decide`."""
        now = self._take_in(inputs)
        self._assessed(self._watch.assess(self._world(now)), now)
        lost = {one.agent for one in inputs.lost}
        asked = (one for one in self._agents if one.name not in self._quarantined)
        now.questions = tuple(
            question
            for agent in asked
            for question in self._questions(agent, now)
            if question.name not in lost
        )
        self._now = now
        return now.questions

    def decide(self, thoughts: Mapping[str, Thought]) -> Decision:
        """Decide what is to be done in the next block, from what the agents answered.

        Raises:
            ConfigError: no block was begun.
        """
        now, self._now = self._now, None
        if now is None:
            raise ConfigError("begin a block before it is decided")
        self._compare(now, thoughts)
        proposals, failures = self._heard(now, thoughts)
        arbitration = arbitrate(self._context(now), proposals, failures=failures)
        self._quarantine(arbitration.defects, now)
        changed = self._bury(thoughts, now) or self._contained.needs(arbitration.defects)
        if changed:  # what has just been learned binds this block already
            arbitration = arbitrate(self._context(now), proposals, failures=failures)
        for candidate in arbitration.candidates:
            now.note(records.INTENT, candidate, label=f"intent/{candidate.intent_id}")
        rulings, planned = self._plan(arbitration.rulings, now)
        sent = grouped(planned, now, self.setup.plan_limits)
        told = partial(
            self._tell,
            now,
            candidates=arbitration.candidates,
            rulings=rulings,
            planned=planned,
        )
        plans = tuple([one.plan for one in planned])
        self._untold = Decision(records=tuple(now.log), plans=plans, sendings=sent, told_by=told)
        return self._untold

    def _tell(
        self,
        now: Sitting,
        *,
        candidates: tuple[Candidate, ...],
        rulings: Sequence[Ruling],
        planned: Sequence[Planned],
    ) -> BlockReport:
        """Report a block, and learn from its prices what it had no need of: nothing waits now."""
        self._appraisal.learned()
        return block_report(
            now,
            candidates=candidates,
            rulings=rulings,
            planned=planned,
            market=self.setup.market,
            agents=self._names,
            ledger=self.ledger,
            breakers=self.breakers,
            quarantined=self._quarantined,
            stopped=self._stopped,
        )

    def position(self) -> Position:
        """Return where this chain stands after its last block, for those run beside it."""
        block = max(self._canonical, default=0)
        newest = self._board.as_of(block).newest
        return standing(
            self.ledger,
            self.setup.market,
            newest,
            state=self.breakers.state,
            block=block,
            underway=[(one.planned.plan, one.shares) for one in self._open.values()],
        )

    def advance(self, inputs: Inputs) -> Decision:
        """Begin a block, ask every agent here and now, and decide."""
        return self.decide({one.name: ask(one) for one in self.begin(inputs)})

    def _take_in(self, inputs: Inputs) -> Sitting:
        """Everything of a block that comes before anybody is asked."""
        if self._untold is not None:
            self._untold.report  # noqa: B018 - as things still are
        self.ledger.dispatch()  # what was planned before has gone out since
        now = self._begin(inputs)
        block = now.seen.head.number
        for fill in inputs.fills:
            self._settle(fill, now)
        # An outcome may have waited, while nobody could look, until its own block was gone.
        self._undo(now.seen.reverted, now)
        # What was taken over before its outcome was told would count twice with it.
        late = any(fill.block_number <= self._unwatched_until for fill in inputs.fills)
        if late or block <= self._unwatched_until:
            self._rebase(now)
        released = self.ledger.expire(block)
        if released:
            now.note(records.RELEASED, records.Released(verdicts=released))
        for command in inputs.commands:
            self._noted(self._obey(command, block), now)
        self._elsewhere.update((one.chain, one) for one in inputs.elsewhere)
        if changed := self._doubts.judge(now.readings, block, aside=now.snapshot.aside):
            now.note(records.DOUBT, changed)
        facts = facts_of(
            now,
            self.setup.market,
            self.ledger.opening,
            doubts=self._doubts.doubts,
            elsewhere=self._elsewhere.values(),
            expected=self.ledger.expected(),
        )
        self._noted(self.breakers.observe(facts), now)
        self._appraisal.observe(now.readings, now.newest, block)
        return now

    def _world(self, now: Sitting) -> World:
        return World(
            block=now.seen.head.number,
            readings=now.readings,
            snapshot=now.snapshot,
            market=self.setup.market,
            doubts=self._doubts.doubts,
            tripped={one.hazard.value: one.evidence.why for one in self.breakers.tripped},
        )

    def _assessed(self, found: Sequence[Assessment], now: Sitting) -> None:
        now.assessments = (*now.assessments, *found)
        for one in found:
            now.note(records.PAUSE, one)

    def _questions(self, agent: Agent, now: Sitting) -> Iterator[Question]:
        """Ask one that own trades concern, and that has no linear signal, without them too."""
        limit, twice = self.setup.limits.max_intents, self._watch.asked_twice()
        given = self._watch.as_given(agent.name, now.readings)
        yield Question(agent=agent, view=self._view(agent, now, given), limit=limit)
        if agent.name in twice:
            other = self._view(agent, now, self._watch.without(agent.name, now.readings))
            yield Question(agent=agent, view=other, limit=limit, key=without(agent.name))

    def _compare(self, now: Sitting, thoughts: Mapping[str, Thought]) -> None:
        """Assess those that were asked twice by what they answered."""
        twice = self._watch.asked_twice()
        if not twice:
            return
        world = self._world(now)
        for name in twice:
            first, second = thoughts.get(name), thoughts.get(without(name))
            if first is None or first.lost or first.failure:
                continue  # there is nothing of it that could be paused
            came = second is not None and not second.lost and not second.failure
            other = second.intents if second is not None and came else None
            self._assessed(self._watch.compared(name, first.intents, other, world), now)

    def _obey(self, command: Command, block: int) -> tuple[BreakerChange, ...]:
        """Do what a person ordered; the shell has refused what makes no sense."""
        if command.verb == "halt":
            return self.breakers.halt(command.why, block=block)
        if command.verb == "reset":
            return self.breakers.reset(command.target, block=block)
        if command.verb == "pause":
            self._stopped = {**self._stopped, command.target: command.why}
        else:
            self._stopped = {k: why for k, why in self._stopped.items() if k != command.target}
        return ()

    def _noted(self, changes: Sequence[BreakerChange], now: Sitting) -> bool:
        for one in changes:
            now.note(records.BREAKER, one)
        return bool(changes)

    def _bury(self, thoughts: Mapping[str, Thought], now: Sitting) -> bool:
        """Let the breakers count who is dead now; whether that changed anything."""
        silent = {asked_agent(one.agent) for one in now.inputs.lost}
        silent.update([asked_agent(name) for name, one in thoughts.items() if one.lost])
        return self._noted(self.breakers.bury(self._quarantined, silent), now)

    def _probe(self, plans: Sequence[Planned]) -> None:
        self.breakers.probe({one.plan.verdict_id: one.plan.target_block for one in plans})

    def _rebase(self, now: Sitting) -> None:
        """Take over what the accounts gained or lost while nobody watched."""
        changes = self.ledger.rebase(now.seen.balances)
        if changes:
            now.note(records.REBASED, records.Rebased(changes=changes))

    def _begin(self, inputs: Inputs) -> Sitting:
        seen = inputs.seen
        head, reverted = seen.head, seen.reverted
        if self._resuming:
            reverted = tuple(sorted({*reverted, *gone(self._canonical, head)}))
            targets = (one.planned.plan.target_block for one in self._open.values())
            self._unwatched_until = max((head.number, *targets))
        if reverted or head.number <= next(reversed(self._canonical), -1):
            self._canonical = {
                number: hash_
                for number, hash_ in self._canonical.items()
                if number < head.number and hash_ not in reverted
            }
        forget_oldest(self._canonical, CANONICAL_MEMORY - 1)
        self._canonical[head.number] = head.hash
        self._board.retract(reverted)
        if self._resuming:
            self._board.resume(seen.readings, block=head.number)
        else:
            self._board.write(seen.readings, canonical=head.hash)
        self._resuming = False
        dropped = self._board.drop(head.number, expected=self._expected)
        self._snapshot = rebuilt(seen, since=self._snapshot)
        if not self.ledger.is_open:
            self.ledger.open(seen.balances)
        times = self._decided.get(head.number, 0)
        forget_oldest(self._decided, CANONICAL_MEMORY - 1)
        self._decided[head.number] = times + 1
        now = Sitting(
            inputs=inputs,
            snapshot=self._snapshot,
            ways=Ways(
                router=Router(self._snapshot, native=self.setup.market.wrapped),
                gas_price_wei=expected_gas_price(seen.fee),
                limits=self.setup.plan_limits,
            ),
            readings=self._board.as_of(head.number),
            label=f"{head.number}.{times}" if times else str(head.number),
        )
        if dropped:
            now.note(records.DROPPED, records.Dropped(keys=dropped))
        self._undo(reverted, now)
        return now

    def _undo(self, reverted: Collection[Hash], now: Sitting) -> None:
        """Take back what landed in blocks that are no longer canonical."""
        if reverted:
            self._take_back(self.ledger.revert(reverted), now)

    def _take_back(self, undone: Collection[str], now: Sitting) -> None:
        self._watch.forget(undone)
        self._appraisal.forget(undone)
        if undone:
            now.note(records.REVERTED, records.Released(verdicts=tuple(undone)))

    def _settle(self, fill: Fill, now: Sitting) -> None:
        """Book an outcome, in place of what was told of it before: its block may be another now.

        One that comes after its timeout still counts, for its agents.
        """
        name = fill.verdict_id
        self._take_back(self.ledger.supersede(fill), now)
        opened = self._open.pop(name, None) or self._ended.pop(name, None)
        if opened is None:
            shares = tuple(Share(agent=agent, intent="", amount_in=1) for agent in fill.agents)
        else:
            shares = opened.shares
            self._ended[name] = opened
            forget_oldest(self._ended, ENDED_MEMORY)
        parts = self.ledger.post(fill, shares)
        if not parts:
            return  # it has been told before
        now.settled.append((fill, None if opened is None else opened.planned))
        self._appraisal.settled(fill, None if opened is None else opened.planned.plan, parts)
        if not fill.landed or opened is None:
            return
        for impact in self._watch.landed(fill, opened.planned.log_moves, self._world(now)):
            now.note(records.IMPACT, impact, cause=f"fill/{fill.verdict_id}")

    def _context(self, now: Sitting) -> Context:
        head, newest, names = now.seen.head, now.newest, self._names
        return Context(
            label=now.label,
            head=head,
            fee=now.seen.fee,
            market=self.setup.market,
            limits=self.setup.limits,
            snapshot=now.snapshot,
            ways=now.ways,
            readings=newest,
            canonical=self._canonical,
            paused={one.agent: one for one in now.assessments},
            scales={one.agent: one.scale for one in now.assessments if one.scale < 1.0},
            stopped={**self._contained.stopped(self._quarantined), **self._stopped},
            priority=self.setup.priority,
            weights=checked(self._policy.weights(names, head=head, readings=newest), names),
            learned=self._appraisal.learned,
            beliefs=self._appraisal.beliefs,
            free={t: self.ledger.available(t, held) for t, held in now.seen.balances.items()},
            books={n: self.ledger.book(n) for n in sorted({*names, *self.ledger.agents})},
            state=self.breakers.state,
            state_why=self.breakers.why,
            probe_wei=self.breakers.probe_wei,
            elsewhere=tuple([one for _, one in sorted(self._elsewhere.items())]),
            served=self.ledger.served,
            doubtful=self._doubts.doubts,
        )

    def _free(self, token: Address, now: Sitting) -> int:
        """What may be promised: as the ledger says, and never more than the chain confirms."""
        return self.ledger.available(token, now.seen.balances.get(token, 0))

    def _heard(
        self, now: Sitting, thoughts: Mapping[str, Thought]
    ) -> tuple[list[Proposal], dict[str, str]]:
        """Turn answers into proposals; an agent whose answer was lost proposes nothing."""
        head, ordered = now.seen.head, sorted(thoughts.items())
        lost = {asked_agent(one.agent): one.why for one in now.inputs.lost}
        lost.update([(asked_agent(name), one.lost) for name, one in ordered if one.lost])
        ordered = [(name, one) for name, one in ordered if name == asked_agent(name)]
        failures = {name: one.failure for name, one in ordered if one.failure}
        failures.update(self._contained.heard(lost))
        proposals = [
            Proposal(
                agent=name,
                intent=intent,
                malformed=wrong,
                touched=thought.touched,
                block_number=head.number,
                block_hash=head.hash,
            )
            for name, thought in ordered
            if not thought.lost
            for intent, wrong in thought.said
        ]
        return proposals, failures

    def _view(
        self, agent: Agent, now: Sitting, readings: Mapping[str, tuple[Reading, ...]]
    ) -> View:
        return fresh_view(
            block=now.seen.head,
            snapshot=now.snapshot,
            readings=readings,
            balances=now.seen.balances,
            positions=self.ledger.book(agent.name),
            fee=now.seen.fee,
            wrapped=self.setup.market.wrapped,
        )

    def _quarantine(self, defects: Mapping[str, str], now: Sitting) -> None:
        for agent, why in sorted(defects.items()):
            self._quarantined[agent] = why
            now.note(records.QUARANTINE, records.Quarantined(agent=agent, why=why))

    def _plan(
        self, rulings: Sequence[Ruling], now: Sitting
    ) -> tuple[tuple[Ruling, ...], tuple[Planned, ...]]:
        """Plan approved verdicts, best first, and journal every ruling with its plan."""
        final: list[Ruling] = []
        made: list[Planned] = []
        planner = Planner(self.setup, self.ledger, now, lambda token: self._free(token, now))
        for draft in rulings:
            self.ledger.transfer(draft.transfers)
            ruling, planned = planner.plan(draft) if draft.verdict.approved else (draft, None)
            if planned is None and draft.verdict.approved:
                ruling = unsent(
                    ruling, ways=now.ways, market=self.setup.market, readings=now.newest
                )
            ruling = planner.saving(ruling, planned)
            self.ledger.take_turn(ruling.tried)
            final.append(ruling)
            verdict_id, first = ruling.verdict.verdict_id, ruling.verdict.intents[0]
            label = f"ruling/{verdict_id}"
            now.note(records.RULING, ruling, label=label, cause=f"intent/{first}")
            if planned is None:
                continue
            made.append(planned)
            self._under_way(planned, ruling.shares)
            self._appraisal.planned(verdict_id, ruling.claims)
            now.note(records.PLAN, planned, label=f"plan/{verdict_id}", cause=label)
        self._probe(made)
        return tuple(final), tuple(made)

    def _under_way(self, planned: Planned, shares: tuple[Share, ...]) -> None:
        forget_oldest(self._open, OPEN_MEMORY - 1)
        self._open[planned.plan.verdict_id] = Underway(planned=planned, shares=shares)
