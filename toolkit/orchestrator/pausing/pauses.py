"""Who has to wait for whom, or for what, and what is done meanwhile.

A pause has no length of its own. One for an own trade lasts exactly while the trade still shifts
the dependent's decisions: with C(n) what is left of it in the dependent's signal (`decay`) and f
the density of the clean |signal| at its threshold, it decides otherwise than without the trade
with probability about f |C(n)|, and is paused while that exceeds the declared tolerance. An agent
without a linear signal is asked twice instead, with and without the trade in what it reads. A
pause for a feed or a breaker lasts while the feed is in doubt or the breaker is open.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from toolkit.model.checks import is_finite, require_text, shown
from toolkit.model.errors import ConfigError


class Feed(msgspec.Struct, frozen=True, tag="feed"):
    """A trigger: the reading `key` is missing, too old, or doubted by its other sources."""

    key: str

    def __post_init__(self) -> None:
        """Check the key."""
        require_text("the key of a feed", self.key)


class Breaker(msgspec.Struct, frozen=True, tag="breaker"):
    """A trigger: the breaker of that name is not closed."""

    name: str

    def __post_init__(self) -> None:
        """Check the name."""
        require_text("the name of a breaker", self.name)


Effect = Literal["pause", "discount", "subtract"]


class Pause(msgspec.Struct, frozen=True):
    """Agent `agent` waits: after trades of agent `on`, or while a feed or breaker says so.

    A trade must have moved the price that the agent reads by `impact_bps` or more; it counts
    until at most a share `tolerance` of the agent's decisions would still come out differently
    because of it. Till then, by `effect`:

    - "pause": its intents are vetoed;
    - "discount": they count with a weight such that the share decided otherwise, by weight, stays
      within the tolerance (for a feed or breaker: with weight `tolerance`);
    - "subtract": nothing is vetoed; it reads prices with what own trades left in them taken out.
      Pools stay as they are: they are what a trade meets.
    """

    agent: str
    on: str | Feed | Breaker
    impact_bps: float = 10.0
    tolerance: float = 0.05
    effect: Effect = "pause"

    def __post_init__(self) -> None:
        """Check the figures."""
        require_text("the agent of a pause", self.agent)
        if not isinstance(self.on, str | Feed | Breaker):
            raise ConfigError(
                f"pause of {self.agent}: on is {shown(self.on)}; give an agent's name, a tk.Feed "
                "or a tk.Breaker"
            )
        if not (is_finite(self.impact_bps) and self.impact_bps >= 0):
            raise ConfigError(
                f"pause of {self.agent}: impact_bps {shown(self.impact_bps)} is no size; give "
                "basis points, 0 or more"
            )
        if not (is_finite(self.tolerance) and 0 < self.tolerance < 1):
            raise ConfigError(
                f"pause of {self.agent}: tolerance {shown(self.tolerance)} is not in 0..1; give "
                "the share of decisions that may come out otherwise"
            )
        if self.effect not in ("pause", "discount", "subtract"):
            raise ConfigError(
                f"pause of {self.agent}: effect {shown(self.effect)} is not pause, discount or "
                "subtract"
            )
        if self.effect == "subtract" and not isinstance(self.on, str):
            raise ConfigError(
                f"pause of {self.agent} on {self.trigger}: only an own trade's impact is known "
                "well enough to subtract; use effect pause or discount"
            )

    @property
    def trigger(self) -> str:
        """How its trigger is written: an agent's name, `feed:KEY` or `breaker:NAME`."""
        if isinstance(self.on, Feed):
            return f"feed:{self.on.key}"
        if isinstance(self.on, Breaker):
            return f"breaker:{self.on.name}"
        return self.on


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """One dependent at one block: how far off it is, what follows, and until when.

    `because` names verdicts whose trades it waits for, and feeds and breakers as `Pause.trigger`
    writes them. `contamination` is in units of its signal; 0 where there is no linear one.
    `until_block` is the first block from which it is predicted to decide freely. `scale` is what
    its weight is multiplied with, in 0..1.
    """

    agent: str
    paused: bool
    because: tuple[str, ...]
    contamination: float
    flip_probability: float
    tolerance: float
    until_block: int
    scale: float = 1.0
    subtracted: bool = False
    why: str = ""


def compile_pauses(
    pauses: Sequence[Pause], agents: Sequence[str], *, breakers: Collection[str] | None = None
) -> dict[str, tuple[Pause, ...]]:
    """Return each dependent's pauses, by its name and in order of their triggers.

    Args:
        pauses: what was declared.
        agents: all names.
        breakers: all breakers' names; None where they are not known.

    Raises:
        ConfigError: an unknown agent or breaker, a double declaration, or a cycle, with its path.
    """
    for pause in pauses:
        others = [pause.on] if isinstance(pause.on, str) else []
        for name in (pause.agent, *others):
            if name not in agents:
                raise ConfigError(f"a pause names {name!r}; the agents are {', '.join(agents)}")
        if isinstance(pause.on, Breaker) and breakers is not None and pause.on.name not in breakers:
            raise ConfigError(
                f"a pause of {pause.agent} names breaker {pause.on.name!r}; there are "
                f"{', '.join(sorted(breakers))}"
            )
    if len({(pause.agent, pause.trigger) for pause in pauses}) != len(pauses):
        raise ConfigError("a pause of one agent on another is declared twice")
    waits_for = {
        name: sorted(p.on for p in pauses if p.agent == name and isinstance(p.on, str))
        for name in sorted(agents)
    }
    for name in waits_for:
        if path := _cycle(name, waits_for):
            raise ConfigError(f"pauses form a cycle: {' -> '.join(path)}; remove one of them")
    return {
        name: tuple(sorted((p for p in pauses if p.agent == name), key=lambda p: p.trigger))
        for name in sorted({pause.agent for pause in pauses})
    }


def _cycle(start: str, waits_for: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the path of a cycle through `start`, or nothing."""
    paths = [[start]]
    seen: set[str] = set()
    while paths:
        path = paths.pop()
        for other in waits_for[path[-1]]:
            if other == start:
                return [*path, start]
            if other not in seen:
                seen.add(other)
                paths.append([*path, other])
    return []
