"""Plain exchanges: sized, netted within their class, and ranked for the market."""

from collections.abc import Sequence

from msgspec.structs import replace

from toolkit.model.chain import Address
from toolkit.model.decision import VetoCause
from toolkit.orchestrator.audit.naming import Names
from toolkit.orchestrator.deciding.context import Candidate, Context
from toolkit.orchestrator.deciding.drafts import Draft, Raising
from toolkit.orchestrator.deciding.grants import Grant, grants
from toolkit.orchestrator.deciding.netting import NetLeg, Wish, net
from toolkit.orchestrator.deciding.waste import Crossed
from toolkit.orchestrator.market import Side


def exchanges(candidates: Sequence[Candidate], context: Context, raising: Raising) -> list[Draft]:
    """Size plain exchanges, net those of one class, and rank what is left for the market."""
    granted, drafts = grants(candidates, context, raising)
    classes: dict[str, list[Grant]] = {}
    for grant in granted:
        name, _ = context.market.netting_class(grant.leg.token_in, grant.leg.token_out)
        classes.setdefault(name, []).append(grant)
    for name, mine in sorted(classes.items()):
        drafts += _netted(name, mine, context)
    return drafts


def _wish(grant: Grant, context: Context) -> Wish:
    _, side = context.market.netting_class(grant.leg.token_in, grant.leg.token_out)
    return Wish(
        intent=grant.candidate.intent_id,
        agent=grant.agent,
        token_in=grant.leg.token_in,
        token_out=grant.leg.token_out,
        side=side,
        amount_in=grant.size.amount_in,
    )


def _netted(name: str, granted: Sequence[Grant], context: Context) -> list[Draft]:
    """Turn one class into drafts; the first of a conflict names everybody in it."""
    wishes = [_wish(grant, context) for grant in granted]
    result = net(wishes, market=context.market, readings=context.readings)
    whole = Draft(
        intents=tuple(sorted({wish.intent for wish in wishes})),
        agents=tuple(sorted({wish.agent for wish in wishes})),
        limits_hit=_hits(granted),
    )
    if result is None:
        why = f"opposed in {name}, and there is no price to net at"
        return [replace(whole, cause=VetoCause.LOST_CONFLICT, why=why)]
    story = _conflict_story(wishes, result.crossed, context) if result.crossed else ""
    legs = [leg for leg in result.legs if _is_worth_it(leg, context)]
    if not legs:
        return [
            replace(
                whole,
                cause=VetoCause.NETTED_OUT,
                why=f"{story}; nothing is left to trade",
                transfers=result.transfers,
                inside=result.inside,
                netted_in=result.crossed,
            )
        ]
    pairs = [(leg.leg.token_in, leg.leg.token_out) for leg in legs]
    drafts: list[Draft] = []
    for index, leg in enumerate(legs):
        inside = tuple(part for part in result.inside if _settled_with(part, pairs) == index)
        draft = _of_leg(leg, granted, inside)
        if index == 0 and story:
            draft = replace(
                draft,
                intents=whole.intents,
                agents=whole.agents,
                why=story,
                limits_hit=whole.limits_hit,
                transfers=result.transfers,
            )
        rank = (1, _turn(draft.agents, context), f"{index}/{name}")
        drafts.append(replace(draft, rank=rank))
    return drafts


def _of_leg(leg: NetLeg, granted: Sequence[Grant], inside: tuple[Crossed, ...]) -> Draft:
    """Draft one leg as if nobody but those who share it had wished for anything."""
    pair = leg.leg.token_in, leg.leg.token_out
    mine = {share.intent for share in leg.shares}
    taking = [grant for grant in granted if grant.candidate.intent_id in mine]
    reasons = {grant.candidate.intent_id: grant.candidate.intent.reason for grant in taking}
    same = [grant for grant in taking if (grant.leg.token_in, grant.leg.token_out) == pair]
    return Draft(
        intents=tuple(sorted(mine)),
        agents=tuple(sorted({share.agent for share in leg.shares})),
        why="; ".join(reason for _, reason in sorted(reasons.items())),
        leg=leg,
        inside=inside,
        netted_in=leg.netted_in,
        limits_hit=_hits(taking),
        edges_ppb={grant.candidate.intent_id: grant.edge_ppb for grant in taking},
        back_wei=sum(grant.size.value_wei - grant.size.raised_wei for grant in same),
    )


def _is_worth_it(leg: NetLeg, context: Context) -> bool:
    value = context.market.value_wei(leg.leg.token_in, leg.leg.amount_in, context.readings)
    return value is None or value >= context.limits.min_trade_wei


def _hits(granted: Sequence[Grant]) -> tuple[str, ...]:
    return tuple(sorted({hit for grant in granted for hit in grant.size.limits_hit}))


def _settled_with(part: Crossed, pairs: Sequence[tuple[Address, Address]]) -> int:
    """Return the place of the leg that a trade inside is counted with: its own, else the first."""
    pair = part.token_in, part.token_out
    return pairs.index(pair) if pair in pairs else 0


def _turn(agents: Sequence[str], context: Context) -> int:
    """Whose turn it is where capital is scarce: who waits longest goes first, new ones before."""
    return min(context.served.get(agent, -1) for agent in agents)


def _conflict_story(wishes: Sequence[Wish], crossed: int, context: Context) -> str:
    buyers, sellers = (
        [wish for wish in wishes if wish.side is side] for side in (Side.BUY, Side.SELL)
    )
    inside = Names(context.market).amount(crossed, sellers[0].token_in)
    named = (", ".join(sorted({wish.intent for wish in some})) for some in (sellers, buyers))
    return f"{inside} change hands inside: from {' to '.join(named)}"
