"""What the orchestrator writes into the journal, and what it reports of a block."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from toolkit.execution.planner import FlashSource, PlanLimits, TipPolicy
from toolkit.model.chain import Address, Head
from toolkit.model.decision import Fill, Plan, Reservation, TradingState, Verdict
from toolkit.model.market import PoolId
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.breaking.breakers import Tripped
from toolkit.orchestrator.breaking.hazards import BreakerLimits
from toolkit.orchestrator.capital.elsewhere import Elsewhere
from toolkit.orchestrator.deciding.arbitration import Candidate
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.pauses import Assessment, Feed, Pause
from toolkit.perception.perceived import Perceived

SETUP = "orchestrator.setup"
PERCEIVED = "orchestrator.perceived"
FILL = "orchestrator.fill"
COMMAND = "orchestrator.command"
LOST = "orchestrator.lost"
ELSEWHERE = "orchestrator.elsewhere"
VITALS = "orchestrator.vitals"
IMPACT = "orchestrator.impact"
REVERTED = "orchestrator.reverted"
REBASED = "orchestrator.rebased"
RELEASED = "orchestrator.released"
DROPPED = "orchestrator.dropped"
DOUBT = "orchestrator.doubt"
BREAKER = "orchestrator.breaker"
PAUSE = "orchestrator.pause"
INTENT = "orchestrator.intent"
QUARANTINE = "orchestrator.quarantine"
RULING = "orchestrator.ruling"
PLAN = "orchestrator.plan"
MERGED = "orchestrator.merged"
MILESTONE = "orchestrator.milestone"


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
    priority: dict[str, int] = {}  # by agent: who is served first, the highest number; else 0
    breakers: BreakerLimits = BreakerLimits()
    facts: tuple[FactRule, ...] = ()  # prices of which none of them speaks have the default
    dependences: tuple[Dependence, ...] = ()


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with what it holds and how it would move the prices agents read."""

    plan: Plan
    reservation: Reservation
    log_moves: dict[str, float]


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that is not asked any more, and why."""

    agent: str
    why: str


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a person ordered; it takes effect with the next block that is decided."""

    verb: Literal["halt", "pause", "resume", "reset"]
    target: str = ""  # the agent that is paused or resumed, the breaker that is reset, or "all"
    why: str = ""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """An agent whose answer did not come: it was late, or what it runs in died."""

    agent: str
    why: str


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What the shell measured of itself since the block before; decisions have no clock."""

    clock_skew_s: int = 0  # the head's timestamp minus ours
    messages: int = 0  # that came in
    dropped: dict[str, int] = {}  # by class


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """All that enters one block's decision; the same inputs give the same records."""

    seen: Perceived
    fills: tuple[Fill, ...] = ()
    commands: tuple[Command, ...] = ()
    vitals: Vitals = Vitals()
    elsewhere: tuple[Elsewhere, ...] = ()  # the other chains, where they have changed
    lost: tuple[Lost, ...] = ()  # known only after the agents were asked


INPUT_TYPES: dict[str, type[msgspec.Struct]] = {
    FILL: Fill,
    COMMAND: Command,
    VITALS: Vitals,
    ELSEWHERE: Elsewhere,
    LOST: Lost,
    PERCEIVED: Perceived,
}
"""What comes from the world, in the order it is written; `Perceived` is a block's last. Every
other kind but the set-up is recomputed on replay."""

INPUTS = tuple(INPUT_TYPES)

_USUAL = Vitals()


def gathered(given: Sequence[msgspec.Struct]) -> Inputs:
    """Put what was written of a block's inputs together again; `Perceived` is the last."""
    seen = given[-1]
    assert isinstance(seen, Perceived)
    if len(given) == 1:
        return Inputs(seen=seen)
    vitals = [one for one in given if isinstance(one, Vitals)]
    return Inputs(
        seen=seen,
        fills=tuple([one for one in given if isinstance(one, Fill)]),
        commands=tuple([one for one in given if isinstance(one, Command)]),
        vitals=vitals[-1] if vitals else _USUAL,
        elsewhere=tuple([one for one in given if isinstance(one, Elsewhere)]),
        lost=tuple([one for one in given if isinstance(one, Lost)]),
    )


def written(inputs: Inputs) -> tuple[tuple[str, msgspec.Struct], ...]:
    """Name the entries of a block's inputs, in their order; what is as usual is left out."""
    vitals = () if inputs.vitals == _USUAL else ((VITALS, inputs.vitals),)
    return (
        *[(FILL, fill) for fill in inputs.fills],
        *[(COMMAND, command) for command in inputs.commands],
        *vitals,
        *[(ELSEWHERE, one) for one in inputs.elsewhere],
        *[(LOST, lost) for lost in inputs.lost],
        (PERCEIVED, inputs.seen),
    )


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts whose capital was set free, or whose fills were taken back."""

    verdicts: tuple[str, ...]


class Rebased(msgspec.Struct, frozen=True, kw_only=True):
    """What the accounts gained or lost per token while no orchestrator watched; nobody's."""

    changes: dict[Address, int]


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Readings that nobody supplies any more, with the block in which each was last read."""

    keys: dict[str, int]


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
    state: TradingState = TradingState.ACTIVE
    breakers: tuple[Tripped, ...] = ()  # those that are not closed
    stopped: dict[str, str] = {}  # agents that a person paused, and why
    aside: dict[PoolId, str] = {}  # pools that are not followed just now, and why

    @property
    def vetoes(self) -> tuple[Verdict, ...]:
        """The verdicts that were not approved, each with its cause and why."""
        return tuple(verdict for verdict in self.verdicts if not verdict.approved)

    @property
    def conflicts(self) -> tuple[Verdict, ...]:
        """The verdicts in which intents met, by netting or by losing to a better one."""
        return tuple(v for v in self.verdicts if v.netted_in or v.losers)


def expected_keys(setup: Setup) -> frozenset[str]:
    """Name the readings that a set-up says there are: they come back if they are missing."""
    facts = (key for rule in setup.facts for key in (rule.key, *rule.sources))
    feeds = (pause.on.key for pause in setup.pauses if isinstance(pause.on, Feed))
    lenders = map(flash_key, setup.lenders)
    return setup.market.price_keys.union(facts, feeds, lenders)


def flash_key(source: FlashSource) -> str:
    """Name the reading that tells how much a lender has."""
    return f"flash/{source.lender}/{source.token}"
