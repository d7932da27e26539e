"""What is granted of the exchanges of a block: each within its agent's room, all within Kelly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Leg, VetoCause
from toolkit.model.units import PPM
from toolkit.orchestrator.capital.elsewhere import capital_elsewhere, held_elsewhere
from toolkit.orchestrator.deciding.claims import Belief
from toolkit.orchestrator.deciding.context import Candidate, Context
from toolkit.orchestrator.deciding.covariance import PPB
from toolkit.orchestrator.deciding.drafts import Draft, Raising, vetoed
from toolkit.orchestrator.deciding.kelly import Bet, budget, stakes
from toolkit.orchestrator.deciding.sizing import Size, Standing, moves, scaled, sized
from toolkit.orchestrator.market import Side

UNKNOWN = Belief()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One leg of one intent, with what is granted of it."""

    candidate: Candidate
    leg: Leg
    size: Size
    edge_ppb: int  # what its intent claims to gain per unit staked; 0 if it claims nothing

    @property
    def agent(self) -> str:
        """Whose it is."""
        return self.candidate.intent.agent


def grants(
    candidates: Sequence[Candidate], context: Context, raising: Raising
) -> tuple[list[Grant], list[Draft]]:
    """Size every exchange, and veto those of which too little is left."""
    made: list[Grant] = []
    drafts: list[Draft] = []
    granted: dict[str, dict[tuple[Address, int], int]] = {}
    for candidate in candidates:
        legs = [leg for leg in candidate.intent.legs if leg.token_in != leg.token_out]
        if not legs:
            continue
        mine = granted.setdefault(candidate.intent.agent, {})
        edge_ppb = _claimed(candidate, context)
        for leg in legs:
            size = _size(candidate, leg, mine, context, raising)
            if size.amount_in == 0:
                drafts.append(vetoed(candidate, size.cause, size.why))
                continue
            raising.take(size.raised_wei)
            for move in moves(leg, context.market):
                mine[move] = mine.get(move, 0) + size.value_wei
            made.append(Grant(candidate=candidate, leg=leg, size=size, edge_ppb=edge_ppb))
    if not made:
        return made, drafts
    kept, cut = _within_kelly(made, context)
    return kept, drafts + cut


def _size(
    candidate: Candidate,
    leg: Leg,
    granted: Mapping[tuple[Address, int], int],
    context: Context,
    raising: Raising,
) -> Size:
    agent = candidate.intent.agent
    abroad = {
        (token, sign): held_elsewhere(
            context.elsewhere,
            token,
            Side.BUY if sign > 0 else Side.SELL,
            now_s=context.head.timestamp,
            agent=agent,
        )
        for token, _ in moves(leg, context.market)
        for sign in (1, -1)
        if context.elsewhere
    }
    return sized(
        leg,
        standing=Standing(book=context.books.get(agent, {}), granted=granted, abroad=abroad),
        weight_ppm=round(context.weights.get(agent, 1.0) * PPM),
        scale_ppm=round(context.scales.get(agent, 1.0) * PPM),
        confidence_ppm=round(candidate.intent.confidence * PPM),
        raise_wei=raising.left,
        market=context.market,
        limits=context.limits,
        readings=context.readings,
        covariance=context.covariance,
    )


def _claimed(candidate: Candidate, context: Context) -> int:
    """Return the edge that an intent claims per unit that its exchanges put in, at most all."""
    values = (
        context.market.value_wei(leg.token_in, leg.amount_in, context.readings) or 0
        for leg in candidate.intent.legs
        if leg.token_in != leg.token_out
    )
    staked = sum(values)
    return min(max(candidate.intent.edge_wei, 0) * PPB // max(staked, 1), PPB)


def _within_kelly(made: Sequence[Grant], context: Context) -> tuple[list[Grant], list[Draft]]:
    """Hold all claims of an edge to what they earn together.

    A wish that claims no edge is no bet that growth could size, a rebalancing for one: other
    limits bound it, and here it counts as a holding.
    """
    betting = [grant for grant in made if grant.edge_ppb]
    if not betting:
        return list(made), []
    bets = [_bet(grant, context) for grant in betting]
    held = _held_wei(context)
    for grant in made:
        if not grant.edge_ppb:
            for token, sign in moves(grant.leg, context.market):
                held[token] = held.get(token, 0) + sign * grant.size.value_wei
    staked = stakes(
        bets,
        held_wei=held,
        covariance=context.covariance,
        horizon_blocks=context.limits.kelly_horizon_blocks,
        budget_wei=budget(_wealth_wei(context), context.limits.kelly_ppm),
    )
    kept = [grant for grant in made if not grant.edge_ppb]
    drafts: list[Draft] = []
    for grant, bet, stake in zip(betting, bets, staked, strict=True):
        size = _cut(grant.size, stake, context)
        if size.amount_in:
            kept.append(replace(grant, size=size))
        else:
            cause = VetoCause.LIMIT if bet.edge_ppb else VetoCause.NO_EDGE
            drafts.append(vetoed(grant.candidate, cause, _kelly_why(grant, bet, stake, context)))
    return kept, drafts


def _bet(grant: Grant, context: Context) -> Bet:
    belief = context.beliefs.get(grant.agent, UNKNOWN)
    confidence_ppm = round(grant.candidate.intent.confidence * PPM)
    edge_ppb, error_ppb2 = belief.edge(grant.edge_ppb, confidence_ppm)
    return Bet(
        moves=moves(grant.leg, context.market),
        least_wei=grant.size.value_wei - grant.size.raised_wei,
        most_wei=grant.size.value_wei,
        edge_ppb=edge_ppb,
        error_ppb2=error_ppb2,
    )


def _cut(size: Size, stake_wei: int, context: Context) -> Size:
    if stake_wei >= size.value_wei:
        return size
    amount = scaled(size.amount_in, stake_wei, size.value_wei)
    if stake_wei < context.limits.min_trade_wei:
        amount = 0
    return replace(
        size,
        amount_in=amount,
        value_wei=stake_wei,
        limits_hit=(*size.limits_hit, "kelly"),
    )


def _kelly_why(grant: Grant, bet: Bet, stake_wei: int, context: Context) -> str:
    belief = context.beliefs.get(grant.agent, UNKNOWN)
    return (
        f"claims {grant.edge_ppb} ppb, of which {bet.edge_ppb} are believed "
        f"({belief.mean_ppm} ppm of its claims came true): kelly stakes {stake_wei} of "
        f"{grant.size.value_wei} wei; the smallest trade is {context.limits.min_trade_wei}"
    )


def _held_wei(context: Context) -> dict[Address, int]:
    """Return all agents' signed exposure to each base asset, in wei, other chains' included."""
    tokens = {token for book in context.books.values() for token in book}
    tokens |= {token for other in context.elsewhere for b in other.books.values() for token in b}
    held: dict[Address, int] = {}
    for token in sorted(tokens - {*context.market.stables, ZERO_ADDRESS}):
        here = sum(book.get(token, 0) for book in context.books.values())
        side = Side.BUY if here >= 0 else Side.SELL
        now_s = context.head.timestamp
        there = held_elsewhere(context.elsewhere, token, side, now_s=now_s)
        held[token] = context.market.value_wei(token, here + there, context.readings) or 0
    return held


def _wealth_wei(context: Context) -> int:
    """Return what is free, in wei, and what could be brought from other chains."""
    wealth = 0
    for token, free in sorted(context.free.items()):
        there = capital_elsewhere(context.elsewhere, token, now_s=context.head.timestamp)
        worth = context.market.value_wei(token, max(free, 0) + there, context.readings)
        wealth += worth or 0
    return wealth
