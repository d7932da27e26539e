"""What a block's approved drafts may take together: plans, gas and free capital."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Leg, VetoCause
from toolkit.orchestrator.capital.elsewhere import held_elsewhere
from toolkit.orchestrator.deciding.context import Context
from toolkit.orchestrator.deciding.covariance import PPB
from toolkit.orchestrator.deciding.drafts import Draft, refused
from toolkit.orchestrator.deciding.netting import NetLeg, resized
from toolkit.orchestrator.deciding.sizing import moves, scaled
from toolkit.orchestrator.market import Side


def within_means(drafts: Sequence[Draft], context: Context) -> list[Draft]:
    """Hold approved drafts, best first, to the limits of a block and to the free capital."""
    free = {token: max(amount, 0) for token, amount in context.free.items()}
    held: dict[tuple[Address, int], int] = {}
    sent = 0
    result: list[Draft] = []
    if len(drafts) > 1:
        drafts = sorted(drafts, key=lambda one: (one.standing(context.priority), one.intents))
    for draft in drafts:
        leg = draft.leg
        if draft.cause is not None or leg is None:
            result.append(draft)
            continue
        kept = _afforded(draft, leg, free, held, sent, context)
        if kept.cause is None and kept.leg is not None:
            sent += 1
            if kept.leg.leg.token_in != kept.leg.leg.token_out:
                free[kept.leg.leg.token_in] -= kept.leg.leg.amount_in
                _hold(kept.leg.leg, held, context)
        result.append(kept)
    return result


def _hold(leg: Leg, held: dict[tuple[Address, int], int], context: Context) -> None:
    """Count a leg among what the block adds to all agents' exposure."""
    value = context.market.value_wei(leg.token_in, leg.amount_in, context.readings) or 0
    for move in moves(leg, context.market):
        held[move] = held.get(move, 0) + value


def _class_room(leg: Leg, held: Mapping[tuple[Address, int], int], context: Context) -> int | None:
    """Return what the risk budget of a leg's assets leaves for it, in wei; None where unbounded.

    The exposure is all agents' together, net; holdings on other chains count as declared.
    """
    market, limits = context.market, context.limits
    rooms: list[int] = []
    for token, sign in moves(leg, market):
        deviation = context.covariance.sd_ppb(token, limits.risk_horizon_blocks)
        if deviation == 0:
            continue
        here = sum(book.get(token, 0) for book in context.books.values())
        side = Side.BUY if sign > 0 else Side.SELL
        there = held_elsewhere(context.elsewhere, token, side, now_s=context.head.timestamp)
        net = market.value_wei(token, here + there, context.readings) or 0
        most = limits.class_risk_wei * PPB // deviation
        rooms.append(max(most - sign * net - held.get((token, sign), 0), 0))
    return min(rooms, default=None)


def _afforded(
    draft: Draft,
    leg: NetLeg,
    free: Mapping[Address, int],
    held: Mapping[tuple[Address, int], int],
    sent: int,
    context: Context,
) -> Draft:
    if blocked := _blocked(free, sent, context):
        return refused(draft, *blocked)
    if leg.leg.token_in == leg.leg.token_out:
        return draft  # a cycle may borrow; what it needs of ours is reserved with its plan
    limits, token = context.limits, leg.leg.token_in
    amount, hits = leg.leg.amount_in, list(draft.limits_hit)
    value = context.market.value_wei(token, amount, context.readings)
    room = _class_room(leg.leg, held, context)
    bounds = [("max_trade_wei", limits.max_trade_wei)]
    if room is not None:
        bounds.append(("class_risk_wei", max(room, draft.back_wei)))
    for name, most in bounds:
        if value is not None and value > most:
            amount, value = scaled(amount, most, value), most
            hits.append(name)
    if value is not None and value < limits.min_trade_wei:
        why = f"all agents' risk in it leaves {room} wei; the budget is {limits.class_risk_wei}"
        return refused(draft, VetoCause.LIMIT, why)
    if amount > free.get(token, 0):
        amount = free.get(token, 0)
        hits.append("capital")
    worth = context.market.value_wei(token, amount, context.readings)
    if amount == 0 or (worth is not None and worth < limits.min_trade_wei):
        return refused(draft, VetoCause.NO_CAPITAL, f"{free.get(token, 0)} of {token} is free")
    return replace(draft, leg=resized(leg, amount), limits_hit=tuple(sorted(set(hits))))


def _blocked(
    free: Mapping[Address, int], sent: int, context: Context
) -> tuple[VetoCause, str] | None:
    """Say why nothing more can be sent for this block, if that is so."""
    limits = context.limits
    if context.fee.max_fee_per_gas > limits.max_fee_per_gas:
        return VetoCause.LIMIT, f"gas at {context.fee.max_fee_per_gas} wei"
    if sent >= limits.max_plans:
        return VetoCause.LIMIT, f"{limits.max_plans} plans for a block are enough"
    if free.get(ZERO_ADDRESS, 0) <= 0:
        return VetoCause.NO_CAPITAL, "nothing is left to pay gas with"
    return None
