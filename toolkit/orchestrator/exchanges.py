"""Plain exchanges: sized, netted within their class, and ranked for the market."""

from collections.abc import Mapping, Sequence

from toolkit.model.chain import Address
from toolkit.model.decision import Leg, VetoCause
from toolkit.model.units import PPM
from toolkit.orchestrator.context import Candidate, Context
from toolkit.orchestrator.drafts import Draft, Raising, vetoed
from toolkit.orchestrator.market import Side
from toolkit.orchestrator.netting import Wish, net
from toolkit.orchestrator.sizing import Size, Standing, moves, sized


def exchanges(candidates: Sequence[Candidate], context: Context, raising: Raising) -> list[Draft]:
    """Size plain exchanges, net those of one class, and rank what is left for the market."""
    drafts: list[Draft] = []
    classes: dict[str, list[Wish]] = {}
    reasons = {candidate.intent_id: candidate.intent.reason for candidate in candidates}
    hits: dict[str, set[str]] = {}
    granted: dict[str, dict[tuple[Address, int], int]] = {}
    for candidate in candidates:
        mine = granted.setdefault(candidate.intent.agent, {})
        for leg in candidate.intent.legs:
            if leg.token_in == leg.token_out:
                continue
            size = _granted(candidate, leg, mine, context, raising)
            if size.amount_in == 0:
                drafts.append(vetoed(candidate, size.cause, size.why))
                continue
            raising.take(size.raised_wei)
            for move in moves(leg, context.market):
                mine[move] = mine.get(move, 0) + size.value_wei
            hits.setdefault(candidate.intent_id, set()).update(size.limits_hit)
            name, side = context.market.netting_class(leg.token_in, leg.token_out)
            classes.setdefault(name, []).append(
                Wish(
                    intent=candidate.intent_id,
                    agent=candidate.intent.agent,
                    token_in=leg.token_in,
                    token_out=leg.token_out,
                    side=side,
                    amount_in=size.amount_in,
                )
            )
    for name, wishes in sorted(classes.items()):
        drafts += _netted(name, wishes, hits, reasons, context)
    return drafts


def _granted(
    candidate: Candidate,
    leg: Leg,
    granted: Mapping[tuple[Address, int], int],
    context: Context,
    raising: Raising,
) -> Size:
    agent = candidate.intent.agent
    return sized(
        leg,
        standing=Standing(book=context.books.get(agent, {}), granted=granted),
        weight_ppm=round(context.weights.get(agent, 1.0) * PPM),
        scale_ppm=round(context.scales.get(agent, 1.0) * PPM),
        confidence_ppm=round(candidate.intent.confidence * PPM),
        raise_wei=raising.left,
        market=context.market,
        limits=context.limits,
        readings=context.readings,
    )


def _netted(
    name: str,
    wishes: Sequence[Wish],
    hits: Mapping[str, set[str]],
    reasons: Mapping[str, str],
    context: Context,
) -> list[Draft]:
    """Turn one class into drafts; the first of a conflict names everybody in it."""
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
    if not legs:
        return [
            Draft(
                intents=everybody,
                agents=agents,
                cause=VetoCause.NETTED_OUT,
                why=f"{story}; nothing is left to trade",
                transfers=result.transfers,
                netted_in=result.crossed,
            )
        ]
    drafts: list[Draft] = []
    for index, leg in enumerate(legs):
        first = index == 0
        intents = tuple(sorted({share.intent for share in leg.shares}))
        drafts.append(
            Draft(
                intents=everybody if first else intents,
                agents=agents if first else tuple(sorted({s.agent for s in leg.shares})),
                why=story if first and story else "; ".join(reasons[name] for name in intents),
                leg=leg,
                transfers=result.transfers if first else (),
                netted_in=leg.netted_in,
                limits_hit=tuple(sorted({hit for i in intents for hit in hits[i]})),
                rank=(1, _turn(agents, context), f"{index}/{name}"),
            )
        )
    return drafts


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
