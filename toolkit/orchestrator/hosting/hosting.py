"""Where each agent runs, by configuration; what it answers is the same everywhere."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from toolkit.model.checks import require_integer, require_seconds, shown
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.arguments import by_name
from toolkit.orchestrator.hosting.asking import Question, Thought, ask
from toolkit.orchestrator.hosting.processes import ProcessHost
from toolkit.orchestrator.hosting.threads import ThreadHost
from toolkit.orchestrator.market import Market
from toolkit.reasoning.agent import Agent

MEBIBYTE = 2**20
MOST_BYTES = 2**60
"""More than any machine has; what the system can count."""


class Hosting(Enum):
    """What an agent runs in.

    INLINE is quickest and bounds nothing: an endless loop there is endless. A THREAD that is late
    is noticed, told to stop and left behind. A PROCESS is ended, has bounded memory, and cannot
    reach anything of ours: where code of strangers belongs.
    """

    INLINE = "inline"
    THREAD = "thread"
    PROCESS = "process"


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent may use for one answer.

    Seconds from the question on; an answer that comes later is recorded as lost and never acted
    on. An inline agent's answer is late only if a budget was given for it, and the others wait
    for it anyway. Memory is what its process may take on top of what it needs to be ready.
    """

    seconds: float = 5.0
    memory_bytes: int = 1024 * MEBIBYTE

    def __post_init__(self) -> None:
        """Check the bounds."""
        require_seconds("budget.seconds", self.seconds)
        require_integer("budget.memory_bytes", self.memory_bytes, least=MEBIBYTE, most=MOST_BYTES)


class _Place(Protocol):
    """One agent's own host."""

    async def start(self) -> None: ...

    async def ask(self, question: Question) -> Thought: ...

    async def stop(self) -> None: ...


class InlineHost:
    """Asks one agent on the caller's own thread."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds

    async def start(self) -> None:
        """Nothing has to be ready."""

    async def ask(self, question: Question) -> Thought:
        """Return the agent's answer; one that took too long is not used."""
        begun = time.monotonic()
        thought = ask(question)
        taken = time.monotonic() - begun
        if taken > self._seconds:
            return Thought(lost=f"late: answered after {taken:.3f} s of {self._seconds:g} s")
        return thought

    async def stop(self) -> None:
        """Nothing runs."""


class Hosts:
    """Asks every agent where it is hosted, those outside at the same time.

    Args:
        agents: all of them.
        market: what intents are checked against before they leave a process.
        hosting: where agents run, by name; inline unless told.
        budgets: what an agent may use, by name.

    Raises:
        ConfigError: a name that no agent has, or an agent that cannot run where it is told to.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        *,
        market: Market,
        hosting: Mapping[str, Hosting] | None = None,
        budgets: Mapping[str, Budget] | None = None,
    ) -> None:
        known = sorted(agent.name for agent in agents)
        places, bounds = by_name("hosting", hosting), by_name("budgets", budgets)
        _check_places(places, bounds, known)
        self._places: dict[str, _Place] = {}
        self._inline: set[str] = set()
        for agent in agents:
            where = places.get(agent.name, Hosting.INLINE)
            self._places[agent.name] = _place(agent, where, market, bounds.get(agent.name))
            if where is Hosting.INLINE:
                self._inline.add(agent.name)

    @property
    def pids(self) -> dict[str, int]:
        """The processes there are now, by agent."""
        return {
            name: place.pid
            for name, place in sorted(self._places.items())
            if isinstance(place, ProcessHost) and place.pid is not None
        }

    async def start(self) -> None:
        """Make everything ready that agents run in.

        Raises:
            ConfigError: an agent cannot be made where it is to run; nothing is left running.
        """
        done = await asyncio.gather(
            *(place.start() for place in self._places.values()), return_exceptions=True
        )
        if failed := [one for one in done if isinstance(one, BaseException)]:
            await self.stop()
            raise failed[0]

    async def ask(self, questions: Sequence[Question]) -> Mapping[str, Thought]:
        """Return each question's answer by its name. Inline agents come first: while one of them
        thinks nobody would notice that another's answer has come.
        """
        by_agent: dict[str, list[Question]] = {}
        for question in questions:
            by_agent.setdefault(question.agent.name, []).append(question)
        answers: dict[str, Thought] = {}
        for name in sorted(self._inline & by_agent.keys()):
            answers |= await self._one_by_one(by_agent.pop(name))
        for some in await asyncio.gather(*map(self._one_by_one, by_agent.values())):
            answers |= some
        return answers

    async def dismiss(self, name: str) -> None:
        """End what an agent runs in: it is not asked any more."""
        await self._places[name].stop()

    async def stop(self) -> None:
        """End everything that agents run in."""
        await asyncio.gather(*(place.stop() for place in self._places.values()))

    async def _one_by_one(self, questions: Sequence[Question]) -> dict[str, Thought]:
        return {one.name: await self._places[one.agent.name].ask(one) for one in questions}


def _check_places(
    places: Mapping[str, Hosting], bounds: Mapping[str, Budget], known: Sequence[str]
) -> None:
    for what, names in (("hosting", places), ("budgets", bounds)):
        if unknown := sorted(set(names) - set(known)):
            raise ConfigError(
                f"{what} names {', '.join(unknown)}; the agents are {', '.join(known)}"
            )
    for name, where in places.items():
        if not isinstance(where, Hosting):
            raise ConfigError(
                f"hosting of {name} is {shown(where)}; give tk.Hosting.INLINE, THREAD or PROCESS"
            )
    for name, budget in bounds.items():
        if not isinstance(budget, Budget):
            raise ConfigError(f"budget of {name} is {shown(budget)}; give a tk.Budget")


def _place(agent: Agent, where: Hosting, market: Market, budget: Budget | None) -> _Place:
    if where is Hosting.INLINE:
        return InlineHost(seconds=math.inf if budget is None else budget.seconds)
    bounds = budget or Budget()
    if where is Hosting.THREAD:
        return ThreadHost(seconds=bounds.seconds)
    return ProcessHost(
        agent, market=market, seconds=bounds.seconds, memory_bytes=bounds.memory_bytes
    )
