"""What an agent is asked, and what comes back, whatever it runs in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import msgspec

from toolkit.model.chain import Address, Head
from toolkit.model.decision import Reading
from toolkit.model.tx import FeeQuote
from toolkit.pools.snapshot import Snapshot
from toolkit.reasoning.agent import Agent, Noted, View
from toolkit.routing.router import Router

MAX_ERROR_TEXT = 200
MAX_TOUCHED = 1024
MAX_TOUCHED_TEXT = 65_536
"""Names of readings, and their characters, that one answer may rest on: they are journalled."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One agent at one block; at most `limit` + 1 intents are drawn from it.

    `key` tells two questions to one agent apart; without it the agent is asked once.
    """

    agent: Agent
    view: View
    limit: int
    key: str = ""

    @property
    def name(self) -> str:
        """What its answer is filed under."""
        return self.key or self.agent.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What became of asking one agent: its intents, or how it failed, or that nothing came.

    A failure is the agent's own and repeats itself on a replay; `lost` (late, out of memory, its
    process died) does not, and is therefore journalled as something that came from outside.
    `malformed` says what is wrong with intents that could not even leave the agent's process.
    """

    intents: tuple[object, ...] = ()
    malformed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()  # readings it looked up
    failure: str = ""
    lost: str = ""

    @property
    def said(self) -> tuple[tuple[object, str], ...]:
        """Each intent with what is already known to be wrong with it."""
        whole = tuple((intent, "") for intent in self.intents)
        return (*whole, *((None, wrong) for wrong in self.malformed))


class Host(Protocol):
    """Runs agents: inline, in a thread, in a process of their own (`hosting.Hosts`)."""

    async def start(self) -> None:
        """Make everything ready that agents run in; ConfigError where that cannot be."""
        ...

    async def ask(self, questions: Sequence[Question]) -> Mapping[str, Thought]:
        """Return each question's answer by its name."""
        ...

    async def dismiss(self, name: str) -> None:
        """End what an agent runs in: it is not asked any more."""
        ...

    async def stop(self) -> None:
        """End everything that agents run in."""
        ...


def fresh_view(
    *,
    block: Head,
    snapshot: Snapshot,
    readings: Mapping[str, tuple[Reading, ...]],
    balances: Mapping[Address, int],
    positions: Mapping[Address, int],
    fee: FeeQuote,
    wrapped: Address,
) -> View:
    """Make a view of its own for an agent: what it does to it, it does to itself."""
    own = Snapshot(
        block=snapshot.block,
        tokens=dict(snapshot.tokens),
        pools=dict(snapshot.pools),
        aside=dict(snapshot.aside),
    )
    return View(
        block=block,
        snapshot=own,
        router=Router(own, native=wrapped),
        readings=Noted(readings),
        balances=dict(balances),
        positions=dict(positions),
        fee=fee,
        wrapped=wrapped,
    )


def ask(question: Question) -> Thought:
    """Ask one agent here and now; whatever it raises is its own failure.

    Except for want of memory: another machine has more.
    """
    agent, view = question.agent, question.view
    try:
        intents = tuple(islice(agent.on_block(view), question.limit + 1))
    except KeyboardInterrupt:
        raise  # a person's, not the agent's
    except MemoryError:
        return Thought(lost="ran out of memory")
    except BaseException as error:  # noqa: BLE001 - anybody's code; named, journalled, contained
        return _answer(view, failure=told(error))
    return _answer(view, intents=intents)


def _answer(view: View, *, intents: tuple[object, ...] = (), failure: str = "") -> Thought:
    touched = tuple(sorted(view.touched))
    text = sum(map(len, touched))
    if len(touched) > MAX_TOUCHED or text > MAX_TOUCHED_TEXT:
        return Thought(
            failure=f"looked up {len(touched)} readings by {text} characters; at most "
            f"{MAX_TOUCHED} by {MAX_TOUCHED_TEXT} are journalled"
        )
    return Thought(intents=intents, touched=touched, failure=failure)


def told(error: BaseException) -> str:
    """Say what was raised, as text that can be journalled; an error may fail even at that."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is anybody's code too
        text = "no text"
    said = f"raised {type(error).__name__}: {text}"[:MAX_ERROR_TEXT]
    return said.encode(errors="replace").decode()
