"""What a block's approved drafts may take together: plans, gas and free capital."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import VetoCause
from toolkit.orchestrator.context import Context
from toolkit.orchestrator.drafts import Draft, refused
from toolkit.orchestrator.netting import NetLeg, resized
from toolkit.orchestrator.sizing import scaled


def within_means(drafts: Sequence[Draft], context: Context) -> list[Draft]:
    """Hold approved drafts, best first, to the limits of a block and to the free capital."""
    free = {token: max(amount, 0) for token, amount in context.free.items()}
    sent = 0
    result: list[Draft] = []
    for draft in sorted(drafts, key=lambda one: (one.standing(context.priority), one.intents)):
        leg = draft.leg
        if draft.cause is not None or leg is None:
            result.append(draft)
            continue
        kept = _afforded(draft, leg, free, sent, context)
        if kept.cause is None and kept.leg is not None:
            sent += 1
            if kept.leg.leg.token_in != kept.leg.leg.token_out:
                free[kept.leg.leg.token_in] -= kept.leg.leg.amount_in
        result.append(kept)
    return result


def _afforded(
    draft: Draft, leg: NetLeg, free: Mapping[Address, int], sent: int, context: Context
) -> Draft:
    limits, token = context.limits, leg.leg.token_in
    if context.fee.max_fee_per_gas > limits.max_fee_per_gas:
        return refused(draft, VetoCause.LIMIT, f"gas at {context.fee.max_fee_per_gas} wei")
    if sent >= limits.max_plans:
        return refused(draft, VetoCause.LIMIT, f"{limits.max_plans} plans for a block are enough")
    if free.get(ZERO_ADDRESS, 0) <= 0:
        return refused(draft, VetoCause.NO_CAPITAL, "nothing is left to pay gas with")
    if leg.leg.token_in == leg.leg.token_out:
        return draft  # a cycle may borrow; what it needs of ours is reserved with its plan
    amount, hits = leg.leg.amount_in, list(draft.limits_hit)
    value = context.market.value_wei(token, amount, context.readings)
    if value is not None and value > limits.max_trade_wei:
        amount = scaled(amount, limits.max_trade_wei, value)
        hits.append("max_trade_wei")
    if amount > free.get(token, 0):
        amount = free.get(token, 0)
        hits.append("capital")
    worth = context.market.value_wei(token, amount, context.readings)
    if amount == 0 or (worth is not None and worth < limits.min_trade_wei):
        return refused(draft, VetoCause.NO_CAPITAL, f"{free.get(token, 0)} of {token} is free")
    return replace(draft, leg=resized(leg, amount), limits_hit=tuple(sorted(set(hits))))
