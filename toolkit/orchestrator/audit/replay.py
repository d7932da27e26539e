"""Decides everything in a journal again, and says where the answer differs."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from toolkit.journal.log import Entry
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.memory import CHECKPOINT, Memory
from toolkit.orchestrator.audit.milestones import Standing, milestone
from toolkit.orchestrator.block import Record
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.arbitration import Candidate
from toolkit.orchestrator.deciding.policy import Policy
from toolkit.orchestrator.hosting.asking import Question, Thought, ask
from toolkit.orchestrator.records import AgentSetup, Command, Quarantined, Setup
from toolkit.reasoning.agent import Agent, View
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.reasoning.mean_reversion import MeanReversion
from toolkit.reasoning.momentum import Momentum
from toolkit.reasoning.rebalancing import Rebalancer

T = TypeVar("T")

CHECKPOINT_KIND = f"checkpoint.{CHECKPOINT}"
SHOWN = 400
"""Characters of a record that a divergence shows."""

SHIPPED: tuple[type[CyclicArbitrage | MeanReversion | Momentum | Rebalancer], ...] = (
    CyclicArbitrage,
    MeanReversion,
    Momentum,
    Rebalancer,
)
"""Agents that a journal alone can make again. Others must be handed over: a journal is data."""

OUTPUTS = (
    records.REVERTED,
    records.IMPACT,
    records.REBASED,
    records.RELEASED,
    records.DROPPED,
    records.DOUBT,
    records.BREAKER,
    records.PAUSE,
    records.QUARANTINE,
    records.INTENT,
    records.RULING,
    records.PLAN,
    records.MERGED,
)


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """The first entry that was decided otherwise; `agent` is whose decision differs first."""

    seq: int
    kind: str
    block_number: int
    agent: str
    recorded: str
    recomputed: str


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found. `taken_as_recorded` names agents whose code was not at hand."""

    blocks: int
    decisions: int  # journal entries recomputed and compared
    verdicts: int
    divergence: Divergence | None
    taken_as_recorded: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether every decision came out the same, byte for byte."""
        return self.divergence is None


@dataclass(frozen=True, slots=True)
class RecordedAgent:
    """Stands for an agent whose code is not at hand; the journal speaks for it."""

    name: str

    def on_block(self, view: View) -> tuple[()]:  # noqa: ARG002 - the seam of every agent
        """Return nothing: the replay looks up what was said."""
        return ()


def replay(
    entries: Iterable[Entry], *, agents: Sequence[Agent] = (), policy: Policy | None = None
) -> ReplayResult:
    """Recompute every decision and compare it byte for byte with the journal's.

    Args:
        entries: a journal's, oldest first; other parts' entries are passed over.
        agents: those not shipped with the toolkit, or changed ones to try on old data.
        policy: the policy of the run, if it was not the default.

    Raises:
        JournalCorrupt: an entry cannot be read.
        ConfigError: the journal holds no orchestrator.
    """
    kinds = {records.SETUP, CHECKPOINT_KIND, records.MILESTONE, *records.INPUTS, *OUTPUTS}
    run = [entry for entry in entries if entry.kind in kinds]
    # What a compacted journal has left begins anywhere; its first checkpoint stands for the rest.
    begins = (records.SETUP, CHECKPOINT_KIND)
    first = next((place for place, entry in enumerate(run) if entry.kind in begins), None)
    run = run[first:]
    if first is None:
        raise ConfigError("the journal holds no orchestrator's set-up: nothing to replay")
    return _Replayer(run, agents, policy).result()


class _Replayer:
    """One pass over a journal."""

    def __init__(
        self, entries: Sequence[Entry], agents: Sequence[Agent], policy: Policy | None
    ) -> None:
        self._entries = entries
        self._given = {agent.name: agent for agent in agents}
        self._policy = policy
        self._core: Core | None = None
        self._standing: Standing | None = None  # the checkpoint or milestone before
        self._inputs: list[msgspec.Struct] = []
        self._expected: deque[Record] = deque()
        self._recorded: set[str] = set()
        self._block = self._position = 0
        self._blocks = self._decisions = self._verdicts = 0

    def result(self) -> ReplayResult:
        """Go through the journal up to its end or the first divergence."""
        divergence: Divergence | None = None
        for index, entry in enumerate(self._entries):
            divergence = self._step(index, entry)
            if divergence is not None:
                break
        if divergence is None and self._expected:
            divergence = self._differs(None, self._expected[0])
        return ReplayResult(
            blocks=self._blocks,
            decisions=self._decisions,
            verdicts=self._verdicts,
            divergence=divergence,
            taken_as_recorded=tuple(sorted(self._recorded)),
        )

    def _step(self, index: int, entry: Entry) -> Divergence | None:
        if entry.kind in OUTPUTS:
            return self._compare(entry)
        if self._expected:
            return self._differs(None, self._expected[0])  # decided then, missing here
        if entry.kind in {CHECKPOINT_KIND, records.MILESTONE}:
            return self._remember(entry)
        if entry.kind == records.SETUP:
            self._begin(decoded(entry, Setup))
            return None
        self._inputs.append(decoded(entry, records.INPUT_TYPES[entry.kind]))
        if entry.kind == records.PERCEIVED:
            self._decide(records.gathered(self._inputs), index)
            self._inputs = []
        return None

    def _remember(self, entry: Entry) -> Divergence | None:
        """Begin from a checkpoint, or hold it against what was folded up to it."""
        if self._core is None:
            memory = decoded(entry, Memory)
            self._begin(memory.setup)
            self._ready().restore(memory)
            self._standing = Standing(seq=entry.seq, memory=memory)
            return None
        memory, before = self._core.memory(), self._standing
        known = Record(kind=entry.kind, data=memory)
        if entry.kind == records.MILESTONE:
            ordered = tuple(one for one in self._inputs if isinstance(one, Command))
            memory = msgspec.structs.replace(memory, ordered=ordered)
            known = Record(kind=entry.kind, data=milestone(memory, before))
        self._standing = Standing(seq=entry.seq, memory=memory)
        return None if encoded(known.data) == entry.data else self._differs(entry, known)

    def _begin(self, setup: Setup) -> None:
        agents = [self._agent(one) for one in setup.agents]
        recorded = {agent.name for agent in agents if isinstance(agent, RecordedAgent)}
        self._recorded |= recorded
        if waiting := sorted({pause.agent for pause in setup.pauses} & recorded):
            raise ConfigError(
                f"the code of {', '.join(waiting)} is needed to know when it was paused: "
                "replay(entries, agents=[...])"
            )
        core = Core(setup, agents, policy=self._policy)
        if self._core is not None:
            core.resume(self._core.memory())
        self._core = core
        # What a person ordered before a process died binds the next one.
        self._inputs = [one for one in self._inputs if isinstance(one, Command)]

    def _agent(self, setup: AgentSetup) -> Agent:
        if setup.name in self._given:
            return self._given[setup.name]
        return remade(setup) or RecordedAgent(setup.name)

    def _ready(self) -> Core:
        if self._core is None:
            raise JournalCorrupt("the journal goes on before it sets an orchestrator up")
        return self._core

    def _decide(self, inputs: records.Inputs, index: int) -> None:
        self._position, self._block = index, inputs.seen.head.number
        core = self._ready()
        thoughts = {one.name: self._ask(one) for one in core.begin(inputs)}
        self._expected = deque(core.decide(thoughts).records)
        self._blocks += 1

    def _ask(self, question: Question) -> Thought:
        """Ask an agent, or look up what it said where its code is not at hand."""
        agent = question.agent
        if not isinstance(agent, RecordedAgent):
            return ask(question)
        said: list[Candidate] = []
        for entry in self._entries[self._position + 1 :]:
            if entry.kind not in OUTPUTS:
                break
            if entry.kind == records.QUARANTINE:
                quarantined = decoded(entry, Quarantined)
                if quarantined.agent == agent.name:
                    return Thought(failure=quarantined.why)
            if entry.kind == records.INTENT:
                candidate = decoded(entry, Candidate)
                if candidate.intent.agent == agent.name:
                    said.append(candidate)
        touched = sorted({key for candidate in said for key in candidate.inputs})
        return Thought(intents=tuple(one.intent for one in said), touched=tuple(touched))

    def _compare(self, entry: Entry) -> Divergence | None:
        if not self._expected:
            return self._differs(entry, None)
        expected = self._expected.popleft()
        if (entry.kind, entry.data) != (expected.kind, encoded(expected.data)):
            return self._differs(entry, expected)
        self._decisions += 1
        self._verdicts += entry.kind == records.RULING
        return None

    def _differs(self, entry: Entry | None, expected: Record | None) -> Divergence:
        """Describe a difference; whoever decides earlier in the block is the one who differs."""
        sides: list[tuple[int, str]] = []
        if entry is not None:
            sides.append(_author(entry.kind, entry.data))
        if expected is not None:
            sides.append(_author(expected.kind, encoded(expected.data)))
        last = self._entries[-1].seq + 1 if entry is None else entry.seq
        return Divergence(
            seq=last,
            kind=entry.kind if entry is not None else expected.kind if expected else "",
            block_number=self._block,
            agent=min(sides)[1],
            recorded="nothing" if entry is None else _shown(entry.kind, entry.data),
            recomputed=(
                "nothing" if expected is None else _shown(expected.kind, encoded(expected.data))
            ),
        )


def remade(setup: AgentSetup) -> Agent | None:
    """Make a shipped agent again from its set-up; None for any other."""
    for cls in SHIPPED:
        if setup.kind == f"{cls.__module__}:{cls.__qualname__}":
            return msgspec.json.decode(bytes(setup.parameters), type=cls)
    return None


def encoded(data: msgspec.Struct) -> bytes:
    """Encode as the journal does."""
    return msgspec.json.encode(data, order="sorted")


def decoded(entry: Entry, type: type[T]) -> T:  # noqa: A002 - reads as msgspec's own
    """Decode an entry's data.

    Raises:
        JournalCorrupt: the data has another shape.
    """
    try:
        return msgspec.json.decode(entry.data, type=type)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(
            f"journal entry {entry.seq} ({entry.kind}) is no {type.__name__}: {error}"
        ) from None


def _author(kind: str, data: bytes) -> tuple[int, str]:
    """Return where in a block's work a record stands, and whose it is."""
    if kind in {CHECKPOINT_KIND, records.MILESTONE}:
        return len(OUTPUTS), ""
    return OUTPUTS.index(kind), _agent_in(msgspec.json.decode(data))


def _agent_in(data: object) -> str:
    """Find the first agent a record names: its own, or its intent's, verdict's or plan's."""
    if not isinstance(data, dict):
        return ""
    if isinstance(data.get("agent"), str):
        return str(data["agent"])
    agents = data.get("agents")
    if isinstance(agents, list) and agents:
        return str(agents[0])
    return next((name for name in map(_agent_in, data.values()) if name), "")


def _shown(kind: str, data: bytes) -> str:
    text = data.decode()
    return f"{kind} {text if len(text) <= SHOWN else text[:SHOWN] + '...'}"
