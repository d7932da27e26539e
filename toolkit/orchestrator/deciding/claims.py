"""What agents claimed to gain, what came of it, and how far their next claim is believed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Fill, Leg, Reading
from toolkit.model.units import PPM
from toolkit.orchestrator.deciding.covariance import PPB, Covariance
from toolkit.orchestrator.deciding.sizing import moves
from toolkit.orchestrator.market import Market

RECORD = 128
"""Outcomes kept per agent; older ones are forgotten."""
OPEN = 512
"""Claims that still wait for their fill or their horizon."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The edge that an intent claims for its share of a leg, per unit staked; 0 if it does not."""

    agent: str
    intent: str
    edge_ppb: int
    staked_wei: int


class Maturing(msgspec.Struct, frozen=True, kw_only=True):
    """A claim whose trade landed; judged `block_number` plus the horizon later."""

    verdict_id: str
    claim: Claim
    block_number: int
    leg: Leg
    changes: dict[Address, int]  # its agent's part of the fill, gas and tip left out


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one claim taught: how much it weighs against the prior, and what it said, in ppm.

    `block_number` is where its trade landed.
    """

    verdict_id: str
    block_number: int
    weight_ppm: int
    found_ppm: int


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a plan whose outcome is not known."""

    verdict_id: str
    claims: tuple[Claim, ...]


class ClaimsMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a run."""

    opened: tuple[Opened, ...] = ()
    maturing: tuple[Maturing, ...] = ()
    outcomes: dict[str, tuple[Outcome, ...]] = {}  # by agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """How much of a claimed edge comes true: mean and variance of the share, in ppm.

    Before anything is known: all of it, give or take all of it. Claims are free, so an edge that
    nobody has checked is one standard deviation away from none.
    """

    mean_ppm: int = PPM
    variance_ppm: int = PPM

    def edge(self, edge_ppb: int, confidence_ppm: int) -> tuple[int, int]:
        """Return what is expected of a claimed edge, and the variance of that, in ppb (squared).

        Confidence is the probability that there is an edge at all.
        """
        mean = max(self.mean_ppm, 0)
        expected = edge_ppb * mean * confidence_ppm // PPM**2
        # E[(share x chance)^2] - E[share x chance]^2 of an uncertain share and an uncertain chance
        square = (mean**2 + self.variance_ppm * PPM) * confidence_ppm // PPM
        spread = square - (mean * confidence_ppm // PPM) ** 2
        return expected, edge_ppb**2 * max(spread, 1) // PPM**2


class Claims:
    """Follows every claim from its plan to its horizon. Integers only."""

    def __init__(self, *, horizon_blocks: int, market: Market) -> None:
        self._horizon = horizon_blocks
        self._market = market
        self._opened: tuple[Opened, ...] = ()
        self._maturing: tuple[Maturing, ...] = ()
        self._outcomes: dict[str, tuple[Outcome, ...]] = {}
        self._beliefs: dict[str, Belief] = {}

    def memory(self) -> ClaimsMemory:
        """Return what the next run has to know."""
        return ClaimsMemory(opened=self._opened, maturing=self._maturing, outcomes=self._outcomes)

    def resume(self, memory: ClaimsMemory) -> None:
        """Go on from an earlier run."""
        self._opened = memory.opened
        self._maturing = memory.maturing
        self._outcomes = dict(memory.outcomes)
        self._beliefs = {agent: _believed(mine) for agent, mine in self._outcomes.items()}

    def opened(self, verdict_id: str, claims: Sequence[Claim]) -> None:
        """Note what is claimed for a plan that is sent."""
        if claims:
            news = Opened(verdict_id=verdict_id, claims=tuple(claims))
            self._opened = (*self._opened, news)[-OPEN:]

    def landed(self, fill: Fill, leg: Leg, parts: Mapping[str, Mapping[Address, int]]) -> None:
        """Begin to wait for what comes of a fill's claims; `parts` are each agent's changes."""
        claims = [
            claim
            for one in self._opened
            if one.verdict_id == fill.verdict_id
            for claim in one.claims
        ]
        self._opened = tuple(one for one in self._opened if one.verdict_id != fill.verdict_id)
        if not fill.landed:
            return
        staked: dict[str, int] = {}
        for claim in claims:
            staked[claim.agent] = staked.get(claim.agent, 0) + claim.staked_wei
        news = tuple(
            Maturing(
                verdict_id=fill.verdict_id,
                claim=claim,
                block_number=fill.block_number,
                leg=leg,
                changes={
                    token: change * claim.staked_wei // max(staked[claim.agent], 1)
                    for token, change in sorted(parts.get(claim.agent, {}).items())
                    if token != ZERO_ADDRESS
                },
            )
            for claim in claims
            if claim.edge_ppb
        )
        self._maturing = (*self._maturing, *news)[-OPEN:]

    def forget(self, verdicts: Collection[str]) -> None:
        """Drop what fills taught whose blocks were reverted."""
        if not verdicts:
            return
        self._maturing = tuple(one for one in self._maturing if one.verdict_id not in verdicts)
        for agent, mine in self._outcomes.items():
            kept = tuple(one for one in mine if one.verdict_id not in verdicts)
            if kept != mine:
                self._outcomes = {**self._outcomes, agent: kept}
                self._beliefs = {**self._beliefs, agent: _believed(kept)}

    @property
    def beliefs(self) -> Mapping[str, Belief]:
        """How far each agent's claims are believed."""
        return self._beliefs

    def is_due(self, block: int) -> bool:
        """Whether the horizon of any claim is over at a block."""
        return any(one.block_number + self._horizon <= block for one in self._maturing)

    def mature(
        self, block: int, readings: Mapping[str, Reading], covariance: Covariance
    ) -> Mapping[str, Belief]:
        """Judge every claim whose horizon is over at this block's prices; return all beliefs."""
        due = [one for one in self._maturing if one.block_number + self._horizon <= block]
        for one, overlap in [(one, self._overlap(one)) for one in due]:
            noise = variance(one.leg, self._market, covariance) * self._horizon * overlap
            self._judge(one, readings, max(noise, 1))
        if due:
            self._maturing = tuple(one for one in self._maturing if one not in due)
        return self._beliefs

    def _judge(self, one: Maturing, readings: Mapping[str, Reading], noise: int) -> None:
        """Compare a claim with what its trade is worth now; not where that has no price.

        `noise` is the variance of what chance alone makes of it, in ppb squared.
        """
        values = [
            self._market.value_wei(token, change, readings)
            for token, change in sorted(one.changes.items())
        ]
        gained = sum(value for value in values if value is not None)
        if None in values or one.claim.staked_wei <= 0:
            return
        claimed, came = one.claim.edge_ppb, gained * PPB // one.claim.staked_wei
        news = Outcome(
            verdict_id=one.verdict_id,
            block_number=one.block_number,
            weight_ppm=claimed**2 * PPM // noise,
            found_ppm=claimed * came * PPM // noise,
        )
        agent = one.claim.agent
        mine = (*self._outcomes.get(agent, ()), news)[-RECORD:]
        self._outcomes = {**self._outcomes, agent: mine}
        self._beliefs = {**self._beliefs, agent: _believed(mine)}

    def _overlap(self, one: Maturing) -> int:
        """Count the agent's trades whose time overlaps this one's: one price moved them all.

        Each of them counts for as much less, so that together they are not taken for more proof
        than one.
        """
        agent, first = one.claim.agent, one.block_number - self._horizon
        judged = sum(first < done.block_number for done in self._outcomes.get(agent, ()))
        last = one.block_number + self._horizon
        waiting = sum(
            other.claim.agent == agent and other.block_number < last for other in self._maturing
        )
        return max(judged + waiting, 1)


def _believed(outcomes: Sequence[Outcome]) -> Belief:
    """Combine a normal prior of mean and variance 1 with what was found (Bayes, conjugate)."""
    precision = PPM + sum(one.weight_ppm for one in outcomes)
    mean = (PPM + sum(one.found_ppm for one in outcomes)) * PPM // precision
    return Belief(mean_ppm=mean, variance_ppm=PPM * PPM // precision)


def variance(leg: Leg, market: Market, covariance: Covariance) -> int:
    """Return the variance of what a leg's unit is worth after one block, in ppb squared."""
    sides = moves(leg, market)
    return sum(
        sign * other_sign * covariance.of(token, other)
        for token, sign in sides
        for other, other_sign in sides
    )
