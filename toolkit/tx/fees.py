"""What an attempt bids: the first one, a replacement, a cancellation.

Types 2 and 4 bid a cap and a tip, and pay at most the cap. Types 0 and 1 bid one price and pay all
of it, so there the quoted cap, which has room for blocks of rising base fees, would be overpaid
each time: they bid the base fee after one more full block, and the tip. If the market outruns
that, a replacement follows it like any other.
"""

import msgspec

from toolkit.model.chain import Address
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
    bumped,
)
from toolkit.model.units import div_ceil

CANCEL_GAS = 21_000
SET_CODE_TYPE = 4
DYNAMIC_FEE_TYPE = 2


def first_attempt(
    request: TransactionRequest, quote: FeeQuote, *, chain_id: int, nonce: int
) -> UnsignedTransaction:
    """Fill a request with fees: its own where set, the quote's otherwise."""
    cap, tip = _wished(request, quote)
    return _unsigned(request, chain_id=chain_id, nonce=nonce, cap=cap, tip=min(tip, cap))


def replacement(
    old: UnsignedTransaction, quote: FeeQuote, *, max_cost_wei: int, own_cap: int | None = None
) -> UnsignedTransaction | None:
    """Bid for the same transaction again, at the quote or the smallest bump, on both fields.

    Args:
        old: the attempt that is replaced.
        quote: fees that the market asks for now.
        max_cost_wei: bounds gas limit x fee cap.
        own_cap: the request's own fee cap, which is never exceeded.

    Returns:
        None if even the smallest bump costs too much.
    """
    return _outbidding(old, old, market(quote, old.type), max_cost_wei=max_cost_wei, most=own_cap)


def revision(
    old: UnsignedTransaction, request: TransactionRequest, quote: FeeQuote, *, max_cost_wei: int
) -> UnsignedTransaction | None:
    """Bid another payload for the nonce of `old`; None if outbidding it costs too much.

    The request's own fees count like a quote; its fee cap is never exceeded.
    """
    new = _unsigned(request, chain_id=old.chain_id, nonce=old.nonce, cap=0, tip=0)
    wished = _wished(request, quote)
    return _outbidding(old, new, wished, max_cost_wei=max_cost_wei, most=request.max_fee_per_gas)


def cancellation(
    old: UnsignedTransaction, quote: FeeQuote, *, sender: Address, max_cost_wei: int
) -> UnsignedTransaction | None:
    """Bid an empty self-transfer for the nonce of `old`; None if the bump costs too much.

    A delegation (type 4) is outbid by a transaction without one.
    """
    empty = msgspec.structs.replace(
        old,
        type=DYNAMIC_FEE_TYPE if old.type == SET_CODE_TYPE else old.type,
        to=sender,
        value=0,
        data="0x",
        gas=CANCEL_GAS,
        access_list=(),
        authorization_list=(),
    )
    return _outbidding(old, empty, market(quote, old.type), max_cost_wei=max_cost_wei, most=None)


def market(quote: FeeQuote, kind: int) -> tuple[int, int]:
    """The fee cap and tip that a transaction of this type bids for the quoted inclusion."""
    cap, tip = quote.max_fee_per_gas, quote.max_priority_fee_per_gas
    if kind in DYNAMIC_FEE_TYPES:
        return cap, tip
    price = min(cap, div_ceil(quote.base_fee_per_gas * 9, 8) + tip)
    return price, price


def outbids(quote: FeeQuote, old: UnsignedTransaction) -> bool:
    """Whether the market asks for more than `old` bids, on either field."""
    cap, tip = market(quote, old.type)
    return cap > old.fee_cap or tip > _tip(old)


def at_least(quote: FeeQuote, floor: FeeQuote, *, most: int) -> FeeQuote:
    """The quote, raised to the floor on each field, but by the floor no higher than `most`."""
    fields = ("max_fee_per_gas", "max_priority_fee_per_gas", "base_fee_per_gas")
    raised = {
        field: max(getattr(quote, field), min(getattr(floor, field), most)) for field in fields
    }
    return msgspec.structs.replace(quote, **raised)


def urgency_by_deadline(urgency: Urgency, *, blocks_left: int | None) -> Urgency:
    """The wished urgency, or the most relaxed one that still meets the deadline."""
    if blocks_left is None or urgency.blocks <= blocks_left:
        return urgency
    in_time = [u for u in Urgency if u.blocks <= blocks_left]
    return max(in_time, key=lambda u: u.blocks, default=Urgency.NEXT_BLOCK)


def _wished(request: TransactionRequest, quote: FeeQuote) -> tuple[int, int]:
    cap, tip = market(quote, request.type)
    if request.max_fee_per_gas is not None:
        cap = request.max_fee_per_gas
    if request.max_priority_fee_per_gas is not None:
        tip = request.max_priority_fee_per_gas
    return cap, tip


def _outbidding(
    old: UnsignedTransaction,
    new: UnsignedTransaction,
    wished: tuple[int, int],
    *,
    max_cost_wei: int,
    most: int | None,
) -> UnsignedTransaction | None:
    """`new` with the wished fees, but enough to take the place of `old` in every pool."""
    ceiling = max_cost_wei // new.gas
    if most is not None:
        ceiling = min(ceiling, most)
    least_cap, least_tip = bumped(old.fee_cap), bumped(_tip(old))
    if new.type not in DYNAMIC_FEE_TYPES:
        least_cap = max(least_cap, least_tip)
    if least_cap > ceiling:
        return None
    cap = min(max(least_cap, wished[0]), ceiling)
    tip = min(max(least_tip, wished[1]), cap)
    bid = _with_fees(new, cap=cap, tip=tip)
    # Both bumps survive the clamps: a tip never exceeds its cap, and bumping keeps the order.
    assert bid.fee_cap >= least_cap
    assert _tip(bid) >= least_tip
    return bid


def _unsigned(
    request: TransactionRequest, *, chain_id: int, nonce: int, cap: int, tip: int
) -> UnsignedTransaction:
    assert request.gas is not None, "gas is set before a request is accepted"
    dynamic = request.type in DYNAMIC_FEE_TYPES
    return UnsignedTransaction(
        type=request.type,
        chain_id=chain_id,
        nonce=nonce,
        to=request.to,
        value=request.value,
        data=request.data,
        gas=request.gas,
        max_fee_per_gas=cap if dynamic else 0,
        max_priority_fee_per_gas=tip if dynamic else 0,
        gas_price=0 if dynamic else cap,
        access_list=request.access_list,
        authorization_list=request.authorization_list,
    )


def _tip(unsigned: UnsignedTransaction) -> int:
    # Pools take the whole price of types 0 and 1 as both cap and tip.
    if unsigned.type in DYNAMIC_FEE_TYPES:
        return unsigned.max_priority_fee_per_gas
    return unsigned.gas_price


def _with_fees(unsigned: UnsignedTransaction, *, cap: int, tip: int) -> UnsignedTransaction:
    if unsigned.type in DYNAMIC_FEE_TYPES:
        return msgspec.structs.replace(unsigned, max_fee_per_gas=cap, max_priority_fee_per_gas=tip)
    return msgspec.structs.replace(unsigned, gas_price=cap)
