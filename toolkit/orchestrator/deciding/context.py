"""What a decision depends on besides the intents, and an intent that may be decided on."""

from collections.abc import Callable, Mapping

import msgspec

from toolkit.execution.planner import Ways
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.decision import Intent, Reading, TradingState
from toolkit.model.provenance import Provenance
from toolkit.model.tx import FeeQuote
from toolkit.model.units import PPM
from toolkit.orchestrator.capital.elsewhere import Elsewhere
from toolkit.orchestrator.deciding.claims import Belief
from toolkit.orchestrator.deciding.covariance import Covariance
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.pauses import Assessment
from toolkit.pools.snapshot import Snapshot


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a decision may depend on besides the intents."""

    label: str  # the block's number; made unique where a reorg brings a number back
    head: Head
    fee: FeeQuote
    market: Market
    limits: Limits
    snapshot: Snapshot
    ways: Ways  # over that snapshot
    readings: Mapping[str, Reading]  # the newest of each key
    canonical: Mapping[int, Hash]  # recent blocks
    paused: Mapping[str, Assessment]
    weights: Mapping[str, float]
    free: Mapping[Address, int]
    books: Mapping[str, Mapping[Address, int]]
    stopped: Mapping[str, str]  # agents that a person paused, and why
    halted: str = ""  # why nothing may be approved any more
    state: TradingState = TradingState.ACTIVE
    state_why: str = ""
    probe_wei: int | None = None
    """The most that may raise exposures while a half-open probe lasts; ways back are free."""
    scales: Mapping[str, float] = msgspec.field(default_factory=dict)
    """What a discounting pause leaves of an agent's weight, 0..1."""
    elsewhere: tuple[Elsewhere, ...] = ()  # the chains this one is run together with
    priority: Mapping[str, int] = msgspec.field(default_factory=dict)  # agent -> the highest first
    learned: Callable[[], Covariance] = Covariance
    """How base assets move in one block: asked where an exchange is sized, a cycle needs none."""
    beliefs: Mapping[str, Belief] = msgspec.field(default_factory=dict)  # in what an agent claims
    served: Mapping[str, int] = msgspec.field(default_factory=dict)  # agent -> its last turn
    doubtful: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Readings that their sources dispute or that froze, and why: nothing may rest on them."""

    def trust_ppm(self, agent: str) -> int:
        """Return an agent's weight times what a discount leaves of it."""
        weight, scale = self.weights.get(agent, 1.0), self.scales.get(agent, 1.0)
        return round(weight * PPM) * round(scale * PPM) // PPM

    @property
    def covariance(self) -> Covariance:
        """How base assets move in one block."""
        return self.learned()

    @property
    def raise_wei(self) -> int | None:
        """How much may raise exposures in this block; None where nothing but limits bounds it."""
        if self.probe_wei is not None:
            return self.probe_wei
        return 0 if self.state is TradingState.REDUCING else None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An intent that is well formed, under its name, with all that it rests on.

    `inputs` is what the agent declared and what it looked at: it cannot leave anything out.
    `priced_by` names the prices by which an exchange is measured, looked up or not. What it
    inherits from both is its `provenance`, deadline included.
    """

    intent_id: str  # "<block>/<agent>/<n>"
    intent: Intent
    inputs: tuple[str, ...]
    block_number: int
    block_hash: Hash
    provenance: Provenance
    priced_by: tuple[str, ...] = ()
