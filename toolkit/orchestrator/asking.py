"""What an agent is asked, and what comes back, whatever it runs in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from toolkit.reasoning.agent import Agent, View

MAX_ERROR_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One agent at one block; at most `limit` + 1 intents are drawn from it."""

    agent: Agent
    view: View
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What became of asking one agent: its intents, or how it failed, or that nothing came.

    A failure is the agent's own and repeats itself on a replay; `lost` (late, or its process
    died) does not, and is therefore journalled as something that came from outside.
    """

    intents: tuple[object, ...] = ()
    touched: tuple[str, ...] = ()  # readings it looked up
    failure: str = ""
    lost: str = ""


class Host(Protocol):
    """Runs agents: inline, in a thread, in a process of their own."""

    async def ask(self, questions: Sequence[Question]) -> Mapping[str, Thought]:
        """Return each agent's answer by its name."""
        ...


def ask(question: Question) -> Thought:
    """Ask one agent here and now; whatever it raises is its own failure."""
    agent, view = question.agent, question.view
    try:
        intents = tuple(islice(agent.on_block(view), question.limit + 1))
    except KeyboardInterrupt:
        raise  # a person's, not the agent's
    except BaseException as error:  # noqa: BLE001 - anybody's code; named, journalled, contained
        return Thought(failure=told(error), touched=tuple(sorted(view.touched)))
    return Thought(intents=intents, touched=tuple(sorted(view.touched)))


def told(error: BaseException) -> str:
    """Say what was raised, as text that can be journalled; an error may fail even at that."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is anybody's code too
        text = "no text"
    said = f"raised {type(error).__name__}: {text}"[:MAX_ERROR_TEXT]
    return said.encode(errors="replace").decode()


class Inline:
    """Asks one agent after the other, on the caller's own thread."""

    async def ask(self, questions: Sequence[Question]) -> Mapping[str, Thought]:
        """Return each agent's answer by its name."""
        return {question.agent.name: ask(question) for question in questions}
