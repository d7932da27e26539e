"""What an agent's failure means for itself and for those that depend on it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from toolkit.model.checks import require_text, shown
from toolkit.model.errors import ConfigError

Fallback = Literal["stop", "alone"]

LOST_IN_A_ROW = 2
"""Blocks without an answer after which an agent is taken for dead."""


class Dependence(msgspec.Struct, frozen=True):
    """Agent `agent` relies on agent `on`: what it does when that one gave no usable answer.

    Fallback "stop": none of its intents is approved, and those that depend on it by "stop" stop
    too. Fallback "alone": it goes on, and the chain ends here. Holds for the block in which an
    answer was lost, and for good once `on` is quarantined.
    """

    agent: str
    on: str
    fallback: Fallback = "stop"

    def __post_init__(self) -> None:
        """Check names and fallback."""
        require_text("the agent of a dependence", self.agent)
        require_text(f"what {self.agent} depends on", self.on)
        if self.fallback not in ("stop", "alone"):
            raise ConfigError(
                f"dependence of {self.agent} on {self.on}: fallback {shown(self.fallback)} is "
                "neither 'stop' nor 'alone'"
            )


def check_dependences(dependences: Sequence[Dependence], agents: Collection[str]) -> None:
    """Check that they can be.

    Raises:
        ConfigError: an unknown agent, a double declaration, or a cycle, with its path.
    """
    for one in dependences:
        for name in (one.agent, one.on):
            if name not in agents:
                raise ConfigError(
                    f"a dependence names {name!r}; the agents are {', '.join(sorted(agents))}"
                )
    if len({(one.agent, one.on) for one in dependences}) != len(dependences):
        raise ConfigError("a dependence of one agent on another is declared twice")
    relies_on = {
        name: sorted(one.on for one in dependences if one.agent == name) for name in sorted(agents)
    }
    for name in relies_on:
        if path := _cycle(name, relies_on):
            raise ConfigError(f"dependences form a cycle: {' -> '.join(path)}; remove one of them")


class ContainmentMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a run."""

    silent: dict[str, int] = {}  # blocks in a row without an answer, by agent


class Containment:
    """Counts answers that were lost, and knows who has to fall back because of whom.

    Raises:
        ConfigError: dependences that cannot be; see `check_dependences`.
    """

    def __init__(self, dependences: Sequence[Dependence], agents: Collection[str]) -> None:
        check_dependences(dependences, agents)
        self._dependences = tuple(dependences)
        self._silent: dict[str, int] = {}
        self._lost: dict[str, str] = {}

    def memory(self) -> ContainmentMemory:
        """Return what the next run has to know."""
        return ContainmentMemory(silent=dict(self._silent))

    def resume(self, memory: ContainmentMemory) -> None:
        """Go on from an earlier run."""
        self._silent = dict(memory.silent)

    def heard(self, lost: Mapping[str, str]) -> dict[str, str]:
        """Take note of a block's lost answers; return who is given up now, and why."""
        self._lost = dict(lost)
        self._silent = {name: self._silent.get(name, 0) + 1 for name in sorted(lost)}
        return {
            name: f"no answer in {count} blocks in a row; at last: {lost[name]}"
            for name, count in self._silent.items()
            if count >= LOST_IN_A_ROW
        }

    def stopped(self, quarantined: Mapping[str, str]) -> dict[str, str]:
        """Name those that may not act now because others failed them, and why."""
        if not self._dependences:
            return {}
        return fallen_back(self._dependences, {**self._lost, **quarantined})

    def needs(self, names: Collection[str]) -> bool:
        """Tell whether anybody stops when one of these fails."""
        return any(one.on in names and one.fallback == "stop" for one in self._dependences)


def fallen_back(dependences: Sequence[Dependence], failed: Mapping[str, str]) -> dict[str, str]:
    """Name those that stop because what they depend on failed, and why, directly or through others.

    `failed` says how each failed agent did.
    """
    why: dict[str, str] = {}
    news = sorted(failed)
    while news:
        name = news.pop(0)
        for one in sorted(dependences, key=lambda one: (one.agent, one.on)):
            if one.on != name or one.fallback != "stop" or one.agent in {*why, *failed}:
                continue
            cause = f"failed: {failed[name]}" if name in failed else "stopped"
            why[one.agent] = f"depends on {name}, which {cause}"
            news.append(one.agent)
    return why


def _cycle(start: str, relies_on: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the path of a cycle through `start`, or nothing."""
    paths, seen = [[start]], {start}
    while paths:
        path = paths.pop(0)
        for other in relies_on[path[-1]]:
            if other == start:
                return [*path, start]
            if other not in seen:
                seen.add(other)
                paths.append([*path, other])
    return []
