"""The ways in which `fuzz` asks an agent, and what each of them shows."""

import asyncio
import contextlib
import copy
import gc
import math
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial
from itertools import pairwise

import msgspec

from toolkit.model.decision import Intent
from toolkit.model.errors import ConfigError, NoRoute, ToolkitError
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.validation import Proposal, defect, malformed, worth
from toolkit.orchestrator.hosting.asking import Question, Thought, ask
from toolkit.orchestrator.hosting.processes import ProcessHost
from toolkit.orchestrator.hosting.threads import interrupt
from toolkit.orchestrator.market import Market
from toolkit.reasoning.agent import Agent
from toolkit.routing.router import Router
from toolkit.testing.apart import apart
from toolkit.testing.scenes import Facts, Scene, fingerprint

LEAK_ROUNDS = 24
"""Answers in one of the four windows that a leak has to show in."""
LEAK_WINDOWS = 5, 30
"""How many windows are looked at, and, if the last four grew, once more: caches fill up first."""
LEAK_BYTES = 48
"""What an answer may leave behind on average; an entry of a list with its number takes as much."""
DUST_WEI = 10**9
PROCESS_SCENES = 5
MEMORY_BYTES = 2**30


class Defect(Enum):
    """What can be wrong with an agent."""

    STALE_READ = "stale read"  # decides from an earlier view than the one it was given
    UNIT_ERROR = "unit error"
    NON_DETERMINISM = "non-determinism"
    UNBOUNDED_SIZE = "unbounded size"
    IGNORED_DEADLINE = "ignored deadline"  # wants to act on what will not be true any more
    MUTATED_VIEW = "mutated view"
    BLOCKING = "blocking"
    LEAK = "leak"
    NAN = "NaN"
    REORG_BLIND = "reorg-blind"  # goes on from a block that was reverted
    CRASH = "crash"
    INVALID = "invalid intent"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One defect as it showed first."""

    defect: Defect
    why: str
    where: str


class Blocked(ToolkitError):
    """An answer did not come in time; there is no use in asking on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.why)
        self.finding = finding


class Subject:
    """An agent to be asked: by copies, each answer within its time."""

    def __init__(self, agent: Agent, *, market: Market, limits: Limits, budget_s: float) -> None:
        self.agent, self.market, self.limits = agent, market, limits
        self.budget_s = budget_s
        self.asked = 0
        self._warm = False

    def fresh(self) -> Agent:
        """Return a copy that was never asked."""
        return copy.deepcopy(self.agent)

    def question(self, agent: Agent, facts: Facts) -> Question:
        """Put one block before an agent."""
        self.asked += 1
        return Question(agent=agent, view=facts.view(), limit=self.limits.max_intents)

    def answer(self, question: Question, facts: Facts) -> Thought:
        """Ask on a thread that is watched. The first who routes may load the kernels for it.

        Raises:
            Blocked: nothing came in time.
        """
        got: list[Thought] = []
        thread = threading.Thread(target=lambda: got.append(ask(question)), daemon=True)
        thread.start()
        thread.join(self.budget_s)
        if thread.is_alive() and not self._warm:
            with contextlib.suppress(NoRoute):  # safe because only what it loads is wanted
                Router(facts.snapshot, native=facts.wrapped).arbitrage(facts.wrapped)
            thread.join(self.budget_s)
        self._warm = True
        if thread.is_alive():
            interrupt(thread)
            why = f"no answer within {self.budget_s:g} s"
            raise Blocked(Finding(defect=Defect.BLOCKING, why=why, where=facts.label))
        return got[0]

    def said(self, agent: Agent, facts: Facts) -> str:
        """Ask, and return the whole answer as text that can be compared."""
        return told(self.answer(self.question(agent, facts), facts))


def probe(
    subject: Subject, scenes: Sequence[Scene], *, processes: bool
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Look in every way; what one probe explains the next does not tell again.

    Raises:
        Blocked: an answer did not come in time.
    """
    notes: list[str] = []
    found = [*_answers(subject, scenes), *_repeated(subject, scenes)]
    if processes and not _has(found, Defect.NON_DETERMINISM):
        found += _elsewhere(subject, scenes, notes)
    if not _has(found, Defect.NON_DETERMINISM):
        found += _remembered(subject, scenes)
        if not _has(found, Defect.STALE_READ):
            found += _reorganised(subject, scenes)
    found += _leaks(subject, scenes[0])
    return tuple(found), tuple(notes)


def told(thought: Thought) -> str:
    """Return an answer as text: what can be encoded as such, the rest by its type."""
    parts = [f"failure {thought.failure}", f"lost {thought.lost}", *thought.malformed]
    for intent in thought.intents:
        try:
            parts.append(msgspec.json.encode(intent, order="sorted").decode())
        except (TypeError, ValueError):
            parts.append(type(intent).__name__)
    return "\n".join(parts)


def _has(found: Iterable[Finding], defect_: Defect) -> bool:
    return any(one.defect is defect_ for one in found)


def _answers(subject: Subject, scenes: Sequence[Scene]) -> list[Finding]:
    """Look at every answer by itself, and at what became of the view it was given."""
    found: list[Finding] = []
    sizes: list[tuple[int, str]] = []
    for facts in _all(scenes):
        before = fingerprint(facts.view())
        question = subject.question(subject.fresh(), facts)
        thought = subject.answer(question, facts)
        if fingerprint(question.view) != before:
            why = "the view is not as it was given: another agent may hold the same"
            found.append(Finding(defect=Defect.MUTATED_VIEW, why=why, where=facts.label))
        if thought.failure or thought.lost:
            why = thought.failure or thought.lost
            found.append(Finding(defect=Defect.CRASH, why=why, where=facts.label))
        if len(thought.intents) > subject.limits.max_intents:
            why = f"more than {subject.limits.max_intents} intents in a block"
            found.append(Finding(defect=Defect.UNBOUNDED_SIZE, why=why, where=facts.label))
        for intent in thought.intents[: subject.limits.max_intents]:
            found += _judged(subject, intent, thought, facts)
            sizes += ((wei, facts.label) for wei in _sizes(subject, intent, facts))
    return found + _sized(subject, sizes)


def _judged(subject: Subject, intent: object, thought: Thought, facts: Facts) -> Iterator[Finding]:
    """Say what is wrong with one intent, its size left aside."""
    why = malformed(intent, agent=subject.agent.name, market=subject.market)
    if isinstance(intent, Intent) and _is_nan(intent):
        yield Finding(defect=Defect.NAN, why=why, where=facts.label)
    elif "more than" in why or "at most" in why:
        yield Finding(defect=Defect.UNBOUNDED_SIZE, why=why, where=facts.label)
    elif why:
        yield Finding(defect=Defect.INVALID, why=why, where=facts.label)
    elif isinstance(intent, Intent) and (late := _outlives(intent, thought, facts)):
        yield Finding(defect=Defect.IGNORED_DEADLINE, why=late, where=facts.label)


def _is_nan(intent: Intent) -> bool:
    amounts = [leg.amount_in for leg in intent.legs] if isinstance(intent.legs, tuple) else []
    fields: list[object] = [intent.edge_wei, intent.confidence, intent.valid_for_blocks, *amounts]
    return any(isinstance(value, float) and not math.isfinite(value) for value in fields)


def _outlives(intent: Intent, thought: Thought, facts: Facts) -> str:
    """Say which reading is too old long before the intent is; the next block is always allowed."""
    for key in sorted({*intent.inputs, *thought.touched}):
        series = facts.readings.get(key)
        if not series:
            continue
        good_for = series[-1].block_number + series[-1].max_age_blocks - facts.head.number
        if intent.valid_for_blocks > max(good_for, 1):
            return (
                f"valid for {intent.valid_for_blocks} blocks, but rests on {key!r}, which is good "
                f"for {max(good_for, 1)}"
            )
    return ""


def _sizes(subject: Subject, intent: object, facts: Facts) -> Iterator[int]:
    """Return what each leg that is an exchange puts in, in wei; -1 where it is absurd."""
    if malformed(intent, agent=subject.agent.name, market=subject.market):
        return
    assert isinstance(intent, Intent)
    newest = {key: series[-1] for key, series in facts.readings.items()}
    proposal = Proposal(
        agent=subject.agent.name,
        intent=intent,
        touched=(),
        block_number=facts.head.number,
        block_hash=facts.head.hash,
    )
    absurd = defect(proposal, market=subject.market, limits=subject.limits, readings=newest)
    for leg in intent.legs:
        value = worth(leg, subject.market, newest)
        if value is not None and leg.token_in != leg.token_out:
            yield -1 if absurd else value


def _sized(subject: Subject, sizes: Sequence[tuple[int, str]]) -> list[Finding]:
    """An agent that is always far off has the wrong unit; one that sometimes is has no bound."""
    odd = [(wei, where) for wei, where in sizes if wei < DUST_WEI]
    if not odd:
        return []
    wei, where = odd[0]
    limits = subject.limits
    absurd = f"{limits.absurd_factor} times max_trade_wei {limits.max_trade_wei}"
    size = f"worth more than {absurd}" if wei < 0 else f"worth {wei} wei, which is dust"
    always = len(odd) == len(sizes)
    which = Defect.UNIT_ERROR if always or wei >= 0 else Defect.UNBOUNDED_SIZE
    how = "every amount is" if always else f"{len(odd)} of {len(sizes)} amounts are beyond reason:"
    return [Finding(defect=which, why=f"{how} {size}", where=where)]


def _repeated(subject: Subject, scenes: Sequence[Scene]) -> Iterator[Finding]:
    """Ask two equal agents the same."""
    for facts in _all(scenes):
        if subject.said(subject.fresh(), facts) != subject.said(subject.fresh(), facts):
            why = "two equal agents gave different answers to one view"
            yield Finding(defect=Defect.NON_DETERMINISM, why=why, where=facts.label)
            return


def _elsewhere(subject: Subject, scenes: Sequence[Scene], notes: list[str]) -> list[Finding]:
    """Ask in two processes whose sets and hashes are ordered differently."""
    places = [one.blocks[-1] for one in scenes[:PROCESS_SCENES]]
    try:
        one, two = apart(lambda: asyncio.run(_processes(subject, places)))
    except ConfigError as error:
        notes.append(f"not asked in another process: {error}")
        return []
    return [
        Finding(
            defect=Defect.NON_DETERMINISM,
            why="two processes of different hash seeds gave different answers",
            where=facts.label,
        )
        for facts, first, second in zip(places, one, two, strict=True)
        if first != second
    ][:1]


async def _processes(subject: Subject, places: Sequence[Facts]) -> list[list[str]]:
    hosts = [
        ProcessHost(
            subject.agent,
            market=subject.market,
            seconds=10 * subject.budget_s,  # a process that is just started loads what it needs
            memory_bytes=MEMORY_BYTES,
            environment={"PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]
    try:
        begun = await asyncio.gather(*(host.start() for host in hosts), return_exceptions=True)
        if failed := [one for one in begun if isinstance(one, BaseException)]:
            raise failed[0]  # who cannot live there says so, instead of giving no answer twice
        return await asyncio.gather(*(_in_turn(host, subject, places) for host in hosts))
    finally:
        for host in hosts:
            await host.stop()


async def _in_turn(host: ProcessHost, subject: Subject, places: Sequence[Facts]) -> list[str]:
    return [told(await host.ask(subject.question(subject.agent, facts))) for facts in places]


def _remembered(subject: Subject, scenes: Sequence[Scene]) -> Iterator[Finding]:
    """Ask one that has seen the blocks before, and one that has not."""
    for one in scenes:
        warm = subject.fresh()
        for facts in one.blocks:
            if subject.said(warm, facts) != subject.said(subject.fresh(), facts):
                why = "decides otherwise than an equal agent that has not seen earlier blocks"
                yield Finding(defect=Defect.STALE_READ, why=why, where=facts.label)
                return


def _reorganised(subject: Subject, scenes: Sequence[Scene]) -> Iterator[Finding]:
    """Ask one that has seen blocks which were reverted then, and one that has not."""
    for one in scenes:
        warm = subject.fresh()
        for facts in one.blocks:
            subject.said(warm, facts)
        for facts in one.instead:
            if subject.said(warm, facts) != subject.said(subject.fresh(), facts):
                why = "decides otherwise than an equal agent that has not seen the reverted blocks"
                yield Finding(defect=Defect.REORG_BLIND, why=why, where=facts.label)
                return


def _leaks(subject: Subject, one: Scene) -> list[Finding]:
    """Ask over and over, and see whether memory grows each time.

    What only fills up at first, as caches of libraries do, is asked on until it would have.
    """
    agent = subject.fresh()
    rounds = LEAK_ROUNDS // len(one.blocks)

    def window() -> int:
        for facts in one.blocks * rounds:
            subject.said(agent, facts)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def measured(windows: int) -> list[int]:
        return [window() for _ in range(windows)]

    least = 0
    for windows in LEAK_WINDOWS:
        grown = _traced(partial(measured, windows))
        steps = [after - before for before, after in pairwise(grown[-4:])]
        least = min(steps) // (rounds * len(one.blocks))
        if least < LEAK_BYTES:
            return []
    why = f"keeps {least} bytes or more of every answer, and never gives them back"
    return [Finding(defect=Defect.LEAK, why=why, where=one.blocks[0].label)]


def _traced(measure: Callable[[], list[int]]) -> list[int]:
    mine = not tracemalloc.is_tracing()
    if mine:
        tracemalloc.start()
    try:
        return measure()
    finally:
        if mine:
            tracemalloc.stop()


def _all(scenes: Sequence[Scene]) -> Iterator[Facts]:
    for one in scenes:
        yield from one.blocks
