"""What sizing knows besides the limits: how prices move, and what agents' claims came to."""

from collections.abc import Collection, Mapping, Sequence

from toolkit.model.chain import Address
from toolkit.model.decision import Fill, Leg, Plan, Reading
from toolkit.orchestrator.deciding.claims import Belief, Claim, Claims, ClaimsMemory
from toolkit.orchestrator.deciding.covariance import Covariance, Moments
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.market import Market


class Appraisal:
    """Folds blocks, plans and fills; what it returns is as of the last block observed."""

    def __init__(self, market: Market, limits: Limits) -> None:
        self._moments = Moments(market)
        self._claims = Claims(horizon_blocks=limits.kelly_horizon_blocks, market=market)
        self._readings: Mapping[str, Sequence[Reading]] = {}
        self.beliefs: Mapping[str, Belief] = {}

    def learned(self) -> Covariance:
        """How prices move; worked out when it is asked for, as most recalled blocks never do."""
        return self._moments.update(self._readings)

    def memory(self) -> ClaimsMemory:
        """Return what the next run has to know; how prices move is in its readings."""
        return self._claims.memory()

    def resume(self, memory: ClaimsMemory) -> None:
        """Go on from an earlier run."""
        self._claims.resume(memory)

    def planned(self, verdict_id: str, claims: Sequence[Claim]) -> None:
        """Note what is claimed for a plan that is sent."""
        self._claims.opened(verdict_id, claims)

    def settled(
        self, fill: Fill, plan: Plan | None, parts: Mapping[str, Mapping[Address, int]]
    ) -> None:
        """Note a plan's outcome; `parts` are each agent's changes, `plan` None if it is unknown."""
        if plan is None or plan.route.is_cycle:
            return
        route = plan.route
        leg = Leg(token_in=route.token_in, token_out=route.token_out, amount_in=route.amount_in)
        self._claims.landed(fill, leg, parts)

    def forget(self, undone: Collection[str]) -> None:
        """Forget what fills taught whose blocks were reverted."""
        self._claims.forget(undone)

    def observe(
        self,
        readings: Mapping[str, Sequence[Reading]],
        newest: Mapping[str, Reading],
        block: int,
    ) -> None:
        """Take in a block's prices, and judge the claims whose horizon ends with it."""
        self._readings = readings
        if self._claims.is_due(block):
            self._claims.mature(block, newest, self.learned())
        self.beliefs = self._claims.beliefs
