"""What the orchestrator writes into the journal, and what it reports of a block."""

import msgspec

from toolkit.execution.planner import FlashSource, PlanLimits, TipPolicy
from toolkit.model.chain import Address, Head
from toolkit.model.decision import Fill, Plan, Reservation, Verdict
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.arbitration import Candidate
from toolkit.orchestrator.limits import Limits
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pauses import Assessment, Pause

SETUP = "orchestrator.setup"
PERCEIVED = "orchestrator.perceived"
FILL = "orchestrator.fill"
HALT = "orchestrator.halt"
IMPACT = "orchestrator.impact"
REVERTED = "orchestrator.reverted"
REBASED = "orchestrator.rebased"
RELEASED = "orchestrator.released"
PAUSE = "orchestrator.pause"
INTENT = "orchestrator.intent"
QUARANTINE = "orchestrator.quarantine"
RULING = "orchestrator.ruling"
PLAN = "orchestrator.plan"

INPUTS = (PERCEIVED, FILL, HALT)
"""Kinds that come from the world; every other kind but the set-up is recomputed on replay."""


class AgentSetup(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as it was configured; `kind` is "module:Class", `parameters` its own JSON."""

    name: str
    kind: str
    parameters: msgspec.Raw


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """All that decisions depend on besides what was perceived."""

    agents: tuple[AgentSetup, ...]
    limits: Limits
    pauses: tuple[Pause, ...]
    market: Market
    tip: TipPolicy = TipPolicy()
    plan_limits: PlanLimits = PlanLimits()
    lenders: tuple[FlashSource, ...] = ()  # `available` comes from the reading flash_key names


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with what it holds and how it would move the prices agents read."""

    plan: Plan
    reservation: Reservation
    log_moves: dict[str, float]


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that is not asked any more, and why."""

    agent: str
    why: str


class Halted(msgspec.Struct, frozen=True, kw_only=True):
    """From here on every intent is vetoed, and why."""

    why: str


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts whose capital was set free, or whose fills were taken back."""

    verdicts: tuple[str, ...]


class Rebased(msgspec.Struct, frozen=True, kw_only=True):
    """What the accounts gained or lost per token while no orchestrator watched; nobody's."""

    changes: dict[Address, int]


class BlockReport(msgspec.Struct, frozen=True, kw_only=True):
    """One block of the orchestrator. Amounts in smallest units, native token as ZERO_ADDRESS.

    `fills` are the outcomes that became known with this head; `plans` those sent for the next.
    `discrepancies` are tokens whose chain balance is not what the ledger says:
    (expected, found). `pnl_wei` values each agent's book at this block's prices.
    """

    head: Head
    fee: FeeQuote
    prices: dict[str, float]
    intents: tuple[Candidate, ...]
    verdicts: tuple[Verdict, ...]
    plans: tuple[Plan, ...]
    fills: tuple[Fill, ...]
    paused: tuple[Assessment, ...]
    quarantined: dict[str, str]
    balances: dict[Address, int]
    books: dict[str, dict[Address, int]]
    pnl_wei: dict[str, int]
    discrepancies: dict[Address, tuple[int, int]]
    reverted_blocks: int = 0

    @property
    def vetoes(self) -> tuple[Verdict, ...]:
        """The verdicts that were not approved, each with its cause and why."""
        return tuple(verdict for verdict in self.verdicts if not verdict.approved)

    @property
    def conflicts(self) -> tuple[Verdict, ...]:
        """The verdicts in which intents met, by netting or by losing to a better one."""
        return tuple(v for v in self.verdicts if v.netted_in or v.losers)


def flash_key(source: FlashSource) -> str:
    """Name the reading that tells how much a lender has."""
    return f"flash/{source.lender}/{source.token}"
