"""Where an earlier orchestrator ended, folded from its journal without deciding anything again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import msgspec

from toolkit.journal.log import Entry, Journal
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.model.market import PoolId
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.memory import CHECKPOINT, Memory
from toolkit.orchestrator.audit.milestones import Milestone, Milestones, Moved, Standing, reached
from toolkit.orchestrator.audit.replay import RecordedAgent, decoded, remade
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.arbitration import Ruling
from toolkit.orchestrator.records import AgentSetup, Command, Planned, Quarantined, Setup
from toolkit.perception.perceived import Glimpse, Perceived
from toolkit.pools.snapshot import Pool
from toolkit.reasoning.agent import Agent

KINDS = (
    records.SETUP,
    *records.INPUTS,
    records.QUARANTINE,
    records.RULING,
    records.PLAN,
)
"""Entries that a state rests on."""


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """What a run goes on with: what is known, if anything is, and the journal's milestones."""

    memory: Memory | None
    milestones: Milestones


def resumed(journal: Journal, setup: Setup, agents: Sequence[Agent]) -> Resumed:
    """Fold what orchestrators wrote into a journal since their last milestone; see `recovered`.

    Raises:
        JournalCorrupt, ConfigError: as `recovered` does.
        ConfigError: it is of a chain with another native token: its books and plans are not ours.
    """
    start = newest(journal)
    fold = Fold(_at_hand(setup, agents), start=None if start is None else start.memory).over(
        journal.entries(*KINDS, after=0 if start is None else start.seq)
    )
    found, wrapped = fold.known(), setup.market.wrapped
    if found is not None and (theirs := found.setup.market.wrapped) != wrapped:
        raise ConfigError(
            f"the journal is of another chain: its wrapped native token is {theirs}, this one's "
            f"{wrapped}; give each chain a journal of its own"
        )
    return Resumed(memory=found, milestones=Milestones(journal, start, passed=fold.blocks))


def newest(journal: Journal) -> Standing | None:
    """Return what the entries up to the newest checkpoint or milestone add up to.

    Raises:
        JournalCorrupt: one cannot be read, or does not go on from the one before.
    """
    last = journal.last_checkpoint(CHECKPOINT)
    start = None if last is None else Standing(seq=last.seq, memory=decoded(last, Memory))
    later = tuple(journal.entries(records.MILESTONE, after=0 if last is None else last.seq))
    # Of those before the last only the windows are of use.
    moves = ((one.seq, decoded(one, Milestone if one is later[-1] else Moved)) for one in later)
    try:
        return reached(start, moves)
    except (msgspec.MsgspecError, LookupError) as error:
        raise JournalCorrupt(
            f"journal entry {later[-1].seq} ({records.MILESTONE}) and those before it say of no "
            f"state what it is: {error}"
        ) from None


def recovered(
    entries: Iterable[Entry],
    setup: Setup,
    agents: Sequence[Agent],
    *,
    start: Memory | None = None,
) -> Memory | None:
    """Fold what orchestrators wrote, run after run; None if there was none.

    Args:
        entries: a journal's, oldest first, of `KINDS`.
        start: what everything before these entries adds up to.
        setup: of the run that is about to begin.
        agents: its agents; an earlier run's are made from them or from its own set-up.

    Raises:
        JournalCorrupt: an entry cannot be read, or does not follow from those before it.
        ConfigError: an earlier run paused an agent whose code is not at hand.
    """
    return Fold(_at_hand(setup, agents), start=start).over(entries).known()


def _at_hand(setup: Setup, agents: Sequence[Agent]) -> dict[str, tuple[AgentSetup, Agent]]:
    by_name = {agent.name: agent for agent in agents}
    return {one.name: (one, by_name[one.name]) for one in setup.agents}


class Fold:
    """One pass; a block is folded in when the next one, or the next run, begins.

    Of pools only the newest state is ever decoded, when somebody asks for it; in between the core
    knows them by an older one, of which nothing but the fee matters to what is folded.
    """

    def __init__(
        self, at_hand: Mapping[str, tuple[AgentSetup, Agent]], *, start: Memory | None = None
    ) -> None:
        """Say which agents' code is at hand, by name, each as it is configured now."""
        self._at_hand = at_hand
        self._core: Core | None = None
        self._fees: dict[PoolId, int] = {}  # of the pools that the core knows
        self._unread: dict[PoolId, Entry] = {}  # pools of which there is a newer state
        if start is not None:
            self._core = Core(start.setup, self._agents(start.setup))
            self._core.restore(start)
            known = () if start.market is None else start.market.pools
            self._fees = {pool.id: pool.fee_ppm for pool in known}
        self._inputs: records.Inputs | None = None  # of the block that is being read
        self._news: list[msgspec.Struct] = list(() if start is None else start.ordered)
        self._quarantined: list[Quarantined] = []
        self._rulings: list[Ruling] = []
        self._plans: list[Planned] = []
        self.blocks = 0  # that were taken

    def over(self, entries: Iterable[Entry]) -> Self:
        """Fold entries in, oldest first, of `KINDS`."""
        for entry in entries:
            self.take(entry)
        return self

    def take(self, entry: Entry) -> None:
        """Fold one entry in, of `KINDS`."""
        if entry.kind == records.SETUP:
            self._begin(decoded(entry, Setup))
        elif entry.kind == records.PERCEIVED:
            self._news.append(self._seen(entry))
            self._finish_block()
            self._inputs, self._news = records.gathered(self._news), []
            self.blocks += 1
        elif entry.kind in records.INPUT_TYPES:
            self._news.append(decoded(entry, records.INPUT_TYPES[entry.kind]))
        elif entry.kind == records.QUARANTINE:
            self._quarantined.append(decoded(entry, Quarantined))
        elif entry.kind == records.RULING:
            self._rulings.append(decoded(entry, Ruling))
        else:
            self._plans.append(decoded(entry, Planned))

    def memory(self) -> Memory | None:
        """Return what the next run has to know; None before the first set-up."""
        self._finish_block()
        if self._core is None:
            return None
        self._read_pools(self._core)
        return self._core.memory()

    def known(self) -> Memory | None:
        """Return the same with the commands that no block was decided with yet."""
        memory = self.memory()
        ordered = tuple(one for one in self._news if isinstance(one, Command))
        return None if memory is None else msgspec.structs.replace(memory, ordered=ordered)

    def before(self, perceived: Entry) -> tuple[Core, records.Inputs]:
        """Return the state a block was decided in, and all that entered its decision.

        Every entry before `perceived` was taken; the core is this fold's own no more.

        Raises:
            JournalCorrupt: nothing was set up before it.
        """
        self._finish_block()
        if self._core is None:
            raise JournalCorrupt("the journal goes on before it sets an orchestrator up")
        self._read_pools(self._core)
        return self._core, records.gathered([*self._news, decoded(perceived, Perceived)])

    def _begin(self, setup: Setup) -> None:
        earlier = self.memory()
        self._core = Core(setup, self._agents(setup))
        self._fees = {}  # its first block brings every pool along
        if earlier is not None:
            self._core.resume(earlier)

    def _seen(self, entry: Entry) -> Perceived:
        """Decode a block, without its pools if all of them are known by their fees."""
        glimpse = decoded(entry, Glimpse)
        pools = glimpse.pools
        for one in glimpse.set_aside:  # what is told of it later is not only another state
            self._fees.pop(one.spec.id, None)
            self._unread.pop(one.spec.id, None)
        if all(self._fees.get(pool.id) == pool.fee_ppm for pool in pools):
            self._unread.update((pool.id, entry) for pool in pools)
            return glimpse.without_pools()
        for pool in pools:
            self._fees[pool.id] = pool.fee_ppm
            self._unread.pop(pool.id, None)
        return decoded(entry, Perceived)

    def _read_pools(self, core: Core) -> None:
        """Tell the core the newest states of pools."""
        unread, self._unread = self._unread, {}
        newest: dict[PoolId, Pool] = {}
        for entry in {one.seq: one for one in unread.values()}.values():
            pools = decoded(entry, Perceived).pools
            newest.update((pool.id, pool) for pool in pools if unread.get(pool.id) is entry)
        if newest:
            core.correct(newest)

    def _finish_block(self) -> None:
        if self._inputs is None:
            return
        if self._core is None:
            raise JournalCorrupt("the journal goes on before it sets an orchestrator up")
        self._core.recall(
            self._inputs,
            quarantined=self._quarantined,
            rulings=self._rulings,
            plans=self._plans,
        )
        self._inputs = None
        self._quarantined, self._rulings, self._plans = [], [], []

    def _agents(self, setup: Setup) -> list[Agent]:
        agents = [self._agent(one) for one in setup.agents]
        lost = {agent.name for agent in agents if isinstance(agent, RecordedAgent)}
        if waiting := sorted({pause.agent for pause in setup.pauses} & lost):
            raise ConfigError(
                f"the journal's earlier run paused {', '.join(waiting)}, whose code is not at "
                "hand: add it to `agents`, or begin a new journal"
            )
        return agents

    def _agent(self, setup: AgentSetup) -> Agent:
        """Make an agent again as it was; where only its name is left, it is not asked anyway."""
        mine, agent = self._at_hand.get(setup.name, (None, None))
        if mine is not None and agent is not None and mine.kind == setup.kind:
            if mine == setup or not isinstance(agent, msgspec.Struct):
                return agent
            return msgspec.json.decode(bytes(setup.parameters), type=type(agent))
        return remade(setup) or RecordedAgent(setup.name)
