"""Looks for what makes an agent dangerous: asks it in many small markets, in every awkward way.

    report = fuzz(MyAgent())
    assert report.clean, report

What the orchestrator would refuse, and what it could never notice: an answer that depends on more
than its view, on a block that was reverted, on the time, on the order of a set; a size without
bound or in the wrong unit; memory that is never given back.
"""

import copy
import random
from collections.abc import Sequence

import msgspec

from toolkit.model.errors import ConfigError
from toolkit.model.printable import printable
from toolkit.orchestrator.audit.naming import plural
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.hosting.inside import refuse_inside
from toolkit.orchestrator.hosting.roster import roster
from toolkit.orchestrator.market import Market
from toolkit.reasoning.agent import Agent
from toolkit.testing.decide import OFFLINE_MARKET
from toolkit.testing.probes import Blocked, Defect, Finding, Subject, probe
from toolkit.testing.scenes import scenes

MARKETS = 3
"""Seeds; each is a market of every mood."""


class FuzzReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: at most one finding a kind, the first of it. `seed` makes it happen again.

    `notes` say what could not be looked at, and why.
    """

    agent: str
    seed: int
    asked: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def defects(self) -> frozenset[Defect]:
        """The kinds of what was found."""
        return frozenset(one.defect for one in self.findings)

    def __str__(self) -> str:
        """Say it in lines: one, or one a finding."""
        found_so, asked = plural(len(self.findings), "defect"), plural(self.asked, "answer")
        head = f"{self.agent}: {found_so} in {asked}, seed {self.seed}"
        found = [f"  {one.defect.value}: {one.why} ({one.where})" for one in self.findings]
        lines = [head, *found, *(f"  note: {note}" for note in self.notes)]
        return "\n".join(map(printable, lines))


def fuzz(
    agent: Agent,
    *,
    seed: int | None = None,
    markets: int = MARKETS,
    market: Market = OFFLINE_MARKET,
    limits: Limits | None = None,
    budget_s: float = 2.0,
    processes: bool = True,
) -> FuzzReport:
    """Ask an agent in seeded markets, and report every kind of defect that shows.

    The agent itself is not asked: copies of it are. Needs no event loop, and may be called inside
    one. A second or two. Two processes import the agent's file as well: call it in a function, or
    under `if __name__ == "__main__":`.

    Args:
        agent: whose `market` has its tokens and prices.
        seed: of the markets; a fresh one unless given, and it is in the report.
        markets: how many seeds; five short markets each.
        market: what there is to trade; WETH and USDC unless given.
        limits: of whom it will work for.
        budget_s: what an answer may take.
        processes: also ask in two processes of different hash seeds, which finds answers that
            depend on the order of a set; needs an agent that can be pickled.

    Raises:
        ConfigError: no agent, one that cannot be copied, nothing to look at, or this is called
            by the agent's own file while a process of it imports that.
    """
    refuse_inside("fuzz()")
    roster([agent])
    if markets < 1:
        raise ConfigError(f"markets is {markets}; there must be one at least")
    try:
        copy.deepcopy(agent)
    except Exception as error:  # noqa: BLE001 - its own code says how it is copied
        raise ConfigError(
            f"{agent.name} cannot be copied ({type(error).__name__}: {error}): keep no files, "
            "locks or connections in an agent"
        ) from None
    first = random.SystemRandom().randrange(10**9) if seed is None else seed
    made = tuple(scenes(market, range(first, first + markets)))
    subject = Subject(agent, market=market, limits=limits or Limits(), budget_s=budget_s)
    try:
        found, notes = probe(subject, made, processes=processes)
    except Blocked as blocked:
        found, notes = (blocked.finding,), ("nothing else was looked at",)
    return FuzzReport(
        agent=agent.name,
        seed=first,
        asked=subject.asked,
        findings=_first_of_each(found),
        notes=tuple(notes),
    )


def _first_of_each(found: Sequence[Finding]) -> tuple[Finding, ...]:
    first: dict[Defect, Finding] = {}
    for one in found:
        first.setdefault(one.defect, one)
    return tuple(first[defect] for defect in Defect if defect in first)
