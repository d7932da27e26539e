"""What one block shows of the things that breakers watch, measured in integers. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from toolkit.model.chain import Address
from toolkit.model.decision import Fill, Reading
from toolkit.model.units import BPS
from toolkit.orchestrator.block import Sitting
from toolkit.orchestrator.breaking.gauges import Facts, Settled, shortfall_bps
from toolkit.orchestrator.capital.elsewhere import Elsewhere
from toolkit.orchestrator.market import Market, Ratio, ratio, towards_zero
from toolkit.orchestrator.records import Planned


def facts_of(
    now: Sitting,
    market: Market,
    opening: Mapping[Address, int],
    *,
    doubts: Mapping[str, str] | None = None,
    elsewhere: Iterable[Elsewhere] = (),
    expected: Mapping[Address, int] | None = None,
) -> Facts:
    """Measure a block that has been taken in; `opening` is what the accounts began with.

    What they hold beyond what the ledger expects is nobody's gain: a deposit is none, nor is it a
    loss when the ledger takes it over; what is missing of that is a loss at once.

    Of the doubts those count that concern the market's own prices, by which everything is valued
    and netted: what rests on any other fact in doubt is refused by itself.
    """
    head, vitals = now.seen.head, now.inputs.vitals
    readings = fresh(now.newest, block=head.number)
    held = confirmed(now.seen.balances, expected or {})
    gain, capital = worth_wei(market, readings, opening=opening, balances=held)
    return Facts(
        block_number=head.number,
        base_fee_wei=head.base_fee_per_gas,
        gain_wei=gain,
        capital_wei=capital,
        elsewhere={one.chain: (one.pnl_wei, one.capital_wei) for one in elsewhere},
        deviation=deviation(market, readings),
        doubts={key: why for key, why in (doubts or {}).items() if key in market.price_keys},
        reverted=len(now.seen.reverted),
        settled=settled(now.settled),
        messages=vitals.messages,
        dropped=vitals.dropped,
        clock_skew_s=vitals.clock_skew_s,
    )


def confirmed(
    balances: Mapping[Address, int], expected: Mapping[Address, int]
) -> Mapping[Address, int]:
    """Return what the chain shows of what is expected; all of it where nothing is."""
    if balances == expected:
        return balances  # the usual case
    return {token: min(held, expected.get(token, held)) for token, held in balances.items()}


def worth_wei(
    market: Market,
    readings: Mapping[str, Reading],
    *,
    opening: Mapping[Address, int],
    balances: Mapping[Address, int],
) -> tuple[int | None, int]:
    """Return what the accounts have gained since the opening, and what that was, both in wei.

    At these prices, and by the chain's own balances, so that also a loss which no fill explains
    is one. A token of no known price counts for nothing when there is more of it, for anybody can
    send us some; where there is less of it, or a price is missing, the gain is None.
    """
    gain, capital, is_known = 0, 0, True
    for token in {**opening, **balances}:
        began = opening.get(token, 0)
        change = balances.get(token, 0) - began
        if began == 0 and change == 0:
            continue
        worth = market.ratio_wei(token, readings)
        if worth is not None:
            gain += towards_zero(change, worth) if change else 0
            capital += towards_zero(began, worth)
        elif change < 0 or (change > 0 and _has_source(market, token)):
            is_known = False
    return (gain if is_known else None), capital


def fresh(readings: Mapping[str, Reading], *, block: int) -> Mapping[str, Reading]:
    """Leave out what is too old to decide on."""
    old = [key for key, one in readings.items() if block - one.block_number > one.max_age_blocks]
    return {key: one for key, one in readings.items() if key not in old} if old else readings


def deviation(market: Market, readings: Mapping[str, Reading]) -> tuple[int, str]:
    """Return the widest gap, in bps of the lowest, between prices of one token in stables."""
    widest = (0, "")
    for base, keys in market.told_twice:
        told = [readings[key] for key in keys if key in readings]
        if len(told) > 1:
            gap = _gap_bps([ratio(reading.value) for reading in told])
            widest = max(widest, (gap, f"the price of {base}"))
    return widest


def _gap_bps(prices: Sequence[Ratio]) -> int:
    """Return how far apart the positive ones are, in bps of the lowest, rounded down."""
    known = [price for price in prices if price[0] > 0]
    if not known:
        return 0
    lowest = highest = known[0]
    for one in known:
        if one[0] * lowest[1] < lowest[0] * one[1]:
            lowest = one
        if one[0] * highest[1] > highest[0] * one[1]:
            highest = one
    low, high = lowest[0] * highest[1], highest[0] * lowest[1]  # over the same denominator
    return (high - low) * BPS // low


def settled(fills: Iterable[tuple[Fill, Planned | None]]) -> tuple[Settled, ...]:
    """Hold fills against their plans, where those are known."""
    return tuple(
        [
            Settled(
                verdict_id=fill.verdict_id,
                landed=fill.landed,
                mined=fill.landed or bool(fill.tx_hashes),
                shortfall_bps=shortfall_bps(
                    predicted=fill.predicted_out, realised=fill.realised_out
                ),
                gas_over_wei=_gas_over_wei(fill, planned),
            )
            for fill, planned in fills
        ]
    )


def _gas_over_wei(fill: Fill, planned: Planned | None) -> int:
    """By how much gas exceeds the worst case that was reserved; unknown without a plan."""
    if planned is None:
        return 0
    return max(fill.gas_fee_wei - planned.reservation.gas_wei, 0)


def _has_source(market: Market, token: Address) -> bool:
    return token in market.stables or market.price_key(token) is not None
