"""Decisions as values: from a reading of the world to the fill of a trade.

Each carries what caused it, so the chain from a fill back to the readings is never broken.
"""

from enum import Enum

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.market import Funding, Loan, Route


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One dated observation from one source.

    `value` is an exact number as a decimal string where it is money, else a float; `observed_at`
    is chain time in seconds; `max_age_blocks` after which no decision may rest on it. `quality`
    is how far the source trusts it, 0..1: for agents to weigh and for people to read. The toolkit
    itself refuses a reading by its age alone.
    """

    key: str  # e.g. "price/ETH-USD", "pools", "head"
    value: float | str
    source: str
    block_number: int
    block_hash: Hash
    observed_at: int
    max_age_blocks: int
    quality: float = 1.0


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One wished exchange. An arbitrage leg brings its route; others leave routing to us."""

    token_in: Address
    token_out: Address
    amount_in: int
    route: Route | None = None


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's sized wish. `edge_wei` is the gain it expects, in wei of native token, before gas.

    `confidence`, 0..1, is the share of `amount_in` that is granted at most, counted in ppm and
    rounded down; a leg that is a cycle has the amounts of its route, and is done whole or not.
    `valid_for_blocks` counts from the block it was made on, and the target of its plan must lie
    within. An intent is judged in its own block only and the target is the next one, so every
    value from 1 on has the same effect. `inputs` are the keys of the readings it rests on, besides
    those the agent is seen to look up; `reason` one line for people.
    """

    agent: str
    legs: tuple[Leg, ...]
    edge_wei: int
    confidence: float = 1.0
    valid_for_blocks: int = 1
    inputs: tuple[str, ...] = ()
    reason: str = ""


class VetoCause(Enum):
    """Why an intent did not become a plan; exactly one is named first."""

    INVALID = "invalid"
    STALE = "stale"
    DEADLINE = "deadline"
    DOUBTFUL = "doubtful"  # rests on a fact that its sources dispute, or that froze
    PAUSED = "paused"
    NETTED_OUT = "netted_out"
    LOST_CONFLICT = "lost_conflict"
    NO_EDGE = "no_edge"  # the edge does not pay for gas and tip
    NO_CAPITAL = "no_capital"
    LIMIT = "limit"
    NO_ROUTE = "no_route"
    SIMULATION = "simulation"
    REDUCING = "reducing"  # only what lowers exposure may act
    HALTED = "halted"


class TradingState(Enum):
    """What may be done at all: anything, only what lowers exposure, or nothing."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one or more intents of a block, and why.

    A conflict names every intent in it: `intents` won or took part, `losers` did not.
    """

    verdict_id: str  # "<block>-<n>": unique within a journal
    block_number: int
    block_hash: Hash
    approved: bool
    intents: tuple[str, ...]  # intent ids, sorted
    agents: tuple[str, ...]
    legs: tuple[Leg, ...] = ()  # what is to be executed, after netting
    cause: VetoCause | None = None
    why: str = ""
    losers: tuple[str, ...] = ()
    weights: dict[str, float] = {}
    limits_hit: tuple[str, ...] = ()
    netted_in: int = 0  # amount of the net leg's input token that netting kept off the market
    saved_wei: int = 0  # pool fees that netting saved: each intent alone, minus the net leg
    saved_gas_wei: int = 0  # gas of a plan for each intent alone, minus the plan's, at the quote


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Capital and gas held for a verdict until post, void or the timeout block."""

    verdict_id: str
    token: Address
    amount: int
    gas_wei: int
    expires_block: int


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The executable form of a verdict, valid for one target block on one parent.

    Where the route spends what a later hop brings, `loans` is all that the funding's lender, a
    Balancer vault, lends, by rising token: the input among it unless that is own capital.
    """

    verdict_id: str
    agents: tuple[str, ...]
    route: Route
    funding: Funding
    minimum_profit: int  # in the route's last token; for an own-capital swap the minimum output
    tip_wei: int
    gas_limit: int
    target_block: int
    parent_hash: Hash
    loans: tuple[Loan, ...] = ()


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain did with a plan. Amounts are signed changes of our accounts' balances.

    Where several plans shared transactions, `together` names the verdicts of all of them, and
    everything but the hashes is this plan's part.
    """

    verdict_id: str
    agents: tuple[str, ...]
    landed: bool
    block_number: int
    block_hash: Hash | None = None
    tx_hashes: tuple[Hash, ...] = ()
    changes: dict[str, int] = {}  # token address -> change, native token as ZERO_ADDRESS
    predicted_out: int = 0
    realised_out: int = 0
    gas_fee_wei: int = 0
    tip_wei: int = 0
    impact_bps: float = 0.0
    missed: str = ""  # cause and evidence when it did not land
    together: tuple[str, ...] = ()
