"""A verdict before it has its number."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from toolkit.model.decision import VetoCause
from toolkit.orchestrator.capital.ledger import Transfer
from toolkit.orchestrator.deciding.context import Candidate
from toolkit.orchestrator.deciding.netting import NetLeg
from toolkit.orchestrator.deciding.waste import Crossed


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict before it has its number; approved ones are ranked, best first.

    `edges_ppb` is what each intent claims to gain per unit staked; `back_wei` how much of the leg
    only takes its agents back towards having no position.
    """

    intents: tuple[str, ...]
    agents: tuple[str, ...]
    cause: VetoCause | None = None
    why: str = ""
    leg: NetLeg | None = None
    transfers: tuple[Transfer, ...] = ()
    inside: tuple[Crossed, ...] = ()
    netted_in: int = 0
    losers: tuple[str, ...] = ()
    limits_hit: tuple[str, ...] = ()
    rank: tuple[int, int, str] = (2, 0, "")
    edges_ppb: Mapping[str, int] = msgspec.field(default_factory=dict)
    back_wei: int = 0

    def standing(self, priority: Mapping[str, int]) -> tuple[bool, int, tuple[int, int, str]]:
        """Return what sorts it: approved before vetoed, the highest priority of its agents first.

        Among equals its rank counts.
        """
        first = max((priority.get(agent, 0) for agent in self.agents), default=0)
        return self.cause is not None, -first, self.rank


@dataclass(slots=True)
class Raising:
    """What may still raise exposures in this block, in wei; None where only limits bound it."""

    left: int | None

    def take(self, value_wei: int) -> None:
        """Count what was granted."""
        if self.left is not None:
            self.left -= value_wei


def vetoed(candidate: Candidate, cause: VetoCause, why: str) -> Draft:
    """Veto one intent, or one leg of it."""
    return Draft(
        intents=(candidate.intent_id,), agents=(candidate.intent.agent,), cause=cause, why=why
    )


def refused(draft: Draft, cause: VetoCause, why: str) -> Draft:
    """Veto what would have gone to the market; what changed hands inside stays."""
    told = f"{draft.why}; {why}" if draft.transfers else why
    return replace(draft, cause=cause, why=told, leg=None, rank=(2, 0, ""))
