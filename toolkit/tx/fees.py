"""What an attempt bids: the first one, a replacement, a cancellation."""

import msgspec

from toolkit.model.chain import Address
from toolkit.model.tx import (
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
    bumped,
)

CANCEL_GAS = 21_000
_DYNAMIC_FEE = 2


def first_attempt(
    request: TransactionRequest, quote: FeeQuote, *, chain_id: int, nonce: int
) -> UnsignedTransaction:
    """Fill a request with fees: its own where set, the quote's otherwise.

    Types 0 and 1 pay their price in full, so there the quoted cap is also what is paid.
    """
    cap = request.max_fee_per_gas or quote.max_fee_per_gas
    tip = quote.max_priority_fee_per_gas
    if request.max_priority_fee_per_gas is not None:
        tip = request.max_priority_fee_per_gas
    assert request.gas is not None, "gas is set before a request is accepted"
    unsigned = UnsignedTransaction(
        type=request.type,
        chain_id=chain_id,
        nonce=nonce,
        to=request.to,
        value=request.value,
        data=request.data,
        gas=request.gas,
        access_list=request.access_list,
    )
    return _with_fees(unsigned, cap=cap, tip=min(tip, cap))


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
    ceiling = max_cost_wei // old.gas
    if own_cap is not None:
        ceiling = min(ceiling, own_cap)
    least = bumped(old.fee_cap)
    if least > ceiling:
        return None
    cap = min(max(least, quote.max_fee_per_gas), ceiling)
    tip = max(bumped(_tip(old)), quote.max_priority_fee_per_gas)
    new = _with_fees(old, cap=cap, tip=min(tip, cap))
    # Both bumps survive the clamps: a tip never exceeds its cap, and bumping keeps the order.
    assert new.fee_cap >= least
    assert _tip(new) >= bumped(_tip(old))
    return new


def cancellation(
    old: UnsignedTransaction, quote: FeeQuote, *, sender: Address, max_cost_wei: int
) -> UnsignedTransaction | None:
    """Bid an empty self-transfer for the nonce of `old`; None if the bump costs too much."""
    empty = msgspec.structs.replace(
        old, to=sender, value=0, data="0x", gas=CANCEL_GAS, access_list=()
    )
    return replacement(empty, quote, max_cost_wei=max_cost_wei)


def outbids(quote: FeeQuote, old: UnsignedTransaction) -> bool:
    """Whether the market asks for more than `old` bids, on either field."""
    return quote.max_fee_per_gas > old.fee_cap or quote.max_priority_fee_per_gas > _tip(old)


def urgency_by_deadline(urgency: Urgency, *, blocks_left: int | None) -> Urgency:
    """The wished urgency, or the most relaxed one that still meets the deadline."""
    if blocks_left is None or urgency.blocks <= blocks_left:
        return urgency
    in_time = [u for u in Urgency if u.blocks <= blocks_left]
    return max(in_time, key=lambda u: u.blocks, default=Urgency.NEXT_BLOCK)


def _tip(unsigned: UnsignedTransaction) -> int:
    # Pools take the whole price of types 0 and 1 as both cap and tip.
    if unsigned.type == _DYNAMIC_FEE:
        return unsigned.max_priority_fee_per_gas
    return unsigned.gas_price


def _with_fees(unsigned: UnsignedTransaction, *, cap: int, tip: int) -> UnsignedTransaction:
    if unsigned.type == _DYNAMIC_FEE:
        return msgspec.structs.replace(unsigned, max_fee_per_gas=cap, max_priority_fee_per_gas=tip)
    return msgspec.structs.replace(unsigned, gas_price=cap)
