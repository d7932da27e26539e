"""What one block shows of the things that breakers watch, measured in integers. Pure."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Fill, Reading
from toolkit.model.units import BPS
from toolkit.orchestrator.block import Sitting
from toolkit.orchestrator.elsewhere import Elsewhere
from toolkit.orchestrator.gauges import Facts, Settled, shortfall_bps
from toolkit.orchestrator.market import Market, exact
from toolkit.orchestrator.records import Planned


def facts_of(
    now: Sitting,
    market: Market,
    opening: Mapping[Address, int],
    *,
    doubts: Mapping[str, str] | None = None,
    elsewhere: Iterable[Elsewhere] = (),
) -> Facts:
    """Measure a block that has been taken in; `opening` is what the accounts began with.

    Of the doubts those count that concern the market's own prices, by which everything is valued
    and netted: what rests on any other fact in doubt is refused by itself.
    """
    head, vitals = now.seen.head, now.inputs.vitals
    priced = {source.key for source in market.prices}
    readings = fresh(now.newest, block=head.number)
    return Facts(
        block_number=head.number,
        base_fee_wei=head.base_fee_per_gas,
        gain_wei=gain_wei(market, readings, opening=opening, balances=now.seen.balances),
        capital_wei=capital_wei(market, readings, opening),
        elsewhere={one.chain: (one.pnl_wei, one.capital_wei) for one in elsewhere},
        deviation=deviation(market, readings),
        doubts={key: why for key, why in (doubts or {}).items() if key in priced},
        reverted=len(now.seen.reverted),
        settled=settled(now.settled),
        messages=vitals.messages,
        dropped=vitals.dropped,
        clock_skew_s=vitals.clock_skew_s,
    )


def gain_wei(
    market: Market,
    readings: Mapping[str, Reading],
    *,
    opening: Mapping[Address, int],
    balances: Mapping[Address, int],
) -> int | None:
    """Return what the accounts hold more than at the opening, worth in wei; None if unknown.

    By the chain's own balances, so that also a loss which no fill explains is one. A token of no
    known price counts for nothing when there is more of it, for anybody can send us some; that
    there is less of it cannot be valued.
    """
    total = 0
    for token in sorted(set(opening) | set(balances)):
        change = balances.get(token, 0) - opening.get(token, 0)
        if change == 0 or (change > 0 and not _has_source(market, token)):
            continue
        worth = market.value_wei(token, change, readings)
        if worth is None:
            return None
        total += worth
    return total


def capital_wei(
    market: Market, readings: Mapping[str, Reading], opening: Mapping[Address, int]
) -> int:
    """Return the opening balances' worth in wei at these prices; without a price, nothing."""
    return sum(market.value_wei(t, n, readings) or 0 for t, n in sorted(opening.items()))


def fresh(readings: Mapping[str, Reading], *, block: int) -> dict[str, Reading]:
    """Leave out what is too old to decide on."""
    return {
        key: one for key, one in readings.items() if block - one.block_number <= one.max_age_blocks
    }


def deviation(market: Market, readings: Mapping[str, Reading]) -> tuple[int, str]:
    """Return the widest gap, in bps of the lowest, between prices of one token in stables."""
    by_base: dict[Address, list[Fraction]] = {}
    for source in market.prices:
        reading = readings.get(source.key)
        price = Fraction(0) if reading is None else exact(reading.value)
        if source.quote in market.stables and price > 0:
            by_base.setdefault(source.base, []).append(price)
    gaps = [
        (int((max(prices) - min(prices)) * BPS / min(prices)), f"the price of {base}")
        for base, prices in sorted(by_base.items())
        if len(prices) > 1
    ]
    return max(gaps, default=(0, ""))


def settled(fills: Iterable[tuple[Fill, Planned | None]]) -> tuple[Settled, ...]:
    """Hold fills against their plans, where those are known."""
    return tuple(
        Settled(
            verdict_id=fill.verdict_id,
            landed=fill.landed,
            mined=fill.landed or bool(fill.tx_hashes),
            shortfall_bps=shortfall_bps(predicted=fill.predicted_out, realised=fill.realised_out),
            gas_over_wei=_gas_over_wei(fill, planned),
        )
        for fill, planned in fills
    )


def _gas_over_wei(fill: Fill, planned: Planned | None) -> int:
    """By how much gas exceeds the worst case that was reserved; unknown without a plan."""
    if planned is None:
        return 0
    return max(fill.gas_fee_wei - planned.reservation.gas_wei, 0)


def _has_source(market: Market, token: Address) -> bool:
    own = {market.wrapped, ZERO_ADDRESS, *market.stables}
    return token in own or market.price_key(token) is not None
