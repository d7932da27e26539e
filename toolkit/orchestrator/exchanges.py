"""Plain exchanges: sized, netted within their class, and ranked for the market."""

from collections.abc import Sequence

from toolkit.model.chain import Address
from toolkit.model.decision import VetoCause
from toolkit.orchestrator.context import Candidate, Context
from toolkit.orchestrator.drafts import Draft, Raising
from toolkit.orchestrator.grants import Grant, grants
from toolkit.orchestrator.market import Side
from toolkit.orchestrator.netting import Wish, net


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
    hits = _hits(granted)
    reasons = {grant.candidate.intent_id: grant.candidate.intent.reason for grant in granted}
    everybody = tuple(sorted({wish.intent for wish in wishes}))
    agents = tuple(sorted({wish.agent for wish in wishes}))
    result = net(wishes, market=context.market, readings=context.readings)
    if result is None:
        why = f"opposed in {name}, and there is no price to net at"
        return [Draft(intents=everybody, agents=agents, cause=VetoCause.LOST_CONFLICT, why=why)]
    least = context.limits.min_trade_wei
    worth = [
        context.market.value_wei(leg.leg.token_in, leg.leg.amount_in, context.readings)
        for leg in result.legs
    ]
    legs = [
        leg
        for leg, value in zip(result.legs, worth, strict=True)
        if value is None or value >= least
    ]
    story = _conflict_story(wishes, result.crossed) if result.crossed else ""
    told = tuple(sorted({hit for wish in wishes for hit in hits[wish.intent]}))
    if not legs:
        return [
            Draft(
                intents=everybody,
                agents=agents,
                cause=VetoCause.NETTED_OUT,
                why=f"{story}; nothing is left to trade",
                transfers=result.transfers,
                inside=result.inside,
                netted_in=result.crossed,
                limits_hit=told,
            )
        ]
    drafts: list[Draft] = []
    pairs = [(leg.leg.token_in, leg.leg.token_out) for leg in legs]
    for index, leg in enumerate(legs):
        names_all = index == 0 and bool(story)
        mine = everybody if names_all else tuple(sorted({share.intent for share in leg.shares}))
        owners = agents if names_all else tuple(sorted({share.agent for share in leg.shares}))
        drafts.append(
            Draft(
                intents=mine,
                agents=owners,
                why=story if names_all else "; ".join(reasons[intent] for intent in mine),
                leg=leg,
                transfers=result.transfers if index == 0 else (),
                inside=tuple(
                    part
                    for part in result.inside
                    if _settled_with((part.token_in, part.token_out), pairs) == index
                ),
                netted_in=leg.netted_in,
                edges_ppb={grant.candidate.intent_id: grant.edge_ppb for grant in granted},
                back_wei=sum(
                    grant.size.value_wei - grant.size.raised_wei
                    for grant in granted
                    if (grant.leg.token_in, grant.leg.token_out) == pairs[index]
                ),
                limits_hit=told
                if names_all
                else tuple(sorted({hit for intent in mine for hit in hits[intent]})),
                rank=(1, _turn(owners, context), f"{index}/{name}"),
            )
        )
    return drafts


def _hits(granted: Sequence[Grant]) -> dict[str, set[str]]:
    hits: dict[str, set[str]] = {}
    for grant in granted:
        hits.setdefault(grant.candidate.intent_id, set()).update(grant.size.limits_hit)
    return hits


def _settled_with(pair: tuple[Address, Address], pairs: Sequence[tuple[Address, Address]]) -> int:
    """Return the place of the leg that a trade inside is counted with: its own, else the first."""
    return pairs.index(pair) if pair in pairs else 0


def _turn(agents: Sequence[str], context: Context) -> int:
    """Whose turn it is where capital is scarce: who waits longest goes first, new ones before."""
    return min(context.served.get(agent, -1) for agent in agents)


def _conflict_story(wishes: Sequence[Wish], crossed: int) -> str:
    sides = {
        side: ", ".join(sorted({wish.intent for wish in wishes if wish.side is side}))
        for side in Side
    }
    return (
        f"{sides[Side.BUY]} buys what {sides[Side.SELL]} sells: {crossed} units change hands inside"
    )
