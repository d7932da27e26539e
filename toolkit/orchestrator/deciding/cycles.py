"""Cycles of swaps: each pool once, the best edge first."""

from collections.abc import Sequence

from toolkit.model.decision import Leg, VetoCause
from toolkit.model.market import PoolId
from toolkit.orchestrator.capital.ledger import Share
from toolkit.orchestrator.deciding.context import Candidate, Context
from toolkit.orchestrator.deciding.drafts import Draft, Raising, vetoed
from toolkit.orchestrator.deciding.netting import NetLeg


def cycles(candidates: Sequence[Candidate], context: Context, raising: Raising) -> list[Draft]:
    """Decide cycles: the best edge first, each pool once, each whole or not at all."""
    routed = [
        (_edge_wei(candidate, leg, context), candidate, leg)
        for candidate in candidates
        for leg in candidate.intent.legs
        if leg.token_in == leg.token_out
    ]
    if len(routed) > 1:
        routed.sort(key=lambda one: (-one[0], one[1].intent_id, one[2].amount_in))
    taken: dict[PoolId, str] = {}
    losers: dict[str, list[str]] = {}
    won: list[tuple[int, Candidate, Leg]] = []
    drafts: list[Draft] = []
    for edge_wei, candidate, leg in routed:
        assert leg.route is not None
        value = context.market.value_wei(leg.token_in, leg.amount_in, context.readings)
        rivals = sorted({taken[hop.pool] for hop in leg.route.hops if hop.pool in taken})
        if value is None or value > context.limits.max_cycle_wei:
            drafts.append(vetoed(candidate, VetoCause.LIMIT, f"input worth {value} wei"))
        elif rivals:
            why = f"{', '.join(rivals)} takes a pool of its route, for a larger edge"
            drafts.append(vetoed(candidate, VetoCause.LOST_CONFLICT, why))
            for rival in rivals:
                losers.setdefault(rival, []).append(candidate.intent_id)
        elif context.trust_ppm(candidate.intent.agent) == 0:
            drafts.append(vetoed(candidate, VetoCause.LIMIT, "its agent has a weight of 0"))
        elif raising.left is not None and value > raising.left:
            why = f"input worth {value} wei; {raising.left} may raise exposures now"
            drafts.append(vetoed(candidate, VetoCause.REDUCING, why))
        else:
            raising.take(value)
            taken.update([(hop.pool, candidate.intent_id) for hop in leg.route.hops])
            won.append((edge_wei, candidate, leg))
    return drafts + [
        Draft(
            intents=(candidate.intent_id,),
            agents=(candidate.intent.agent,),
            why=candidate.intent.reason,
            leg=NetLeg(leg=leg, shares=(_share(candidate, leg),), netted_in=0),
            losers=tuple(sorted(losers.get(candidate.intent_id, ()))),
            rank=(0, -edge_wei, candidate.intent_id),
        )
        for edge_wei, candidate, leg in won
    ]


def _edge_wei(candidate: Candidate, leg: Leg, context: Context) -> int:
    """What an agent claims to gain, but no more than its checked route does: claims are free."""
    assert leg.route is not None
    gain = context.market.value_wei(leg.token_in, leg.route.profit, context.readings) or 0
    return min(candidate.intent.edge_wei, gain)


def _share(candidate: Candidate, leg: Leg) -> Share:
    return Share(agent=candidate.intent.agent, intent=candidate.intent_id, amount_in=leg.amount_in)
