"""How much of a wish is granted: weight, one trade's bound, one agent's position."""

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.model.chain import Address
from toolkit.model.decision import Leg, Reading
from toolkit.model.units import PPM
from toolkit.orchestrator.limits import Limits
from toolkit.orchestrator.market import Market, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A granted input amount, 0 with the reason if nothing is; names the limits that cut it."""

    amount_in: int
    limits_hit: tuple[str, ...] = ()
    why: str = ""


def scaled(amount: int, part: int, whole: int) -> int:
    """Return amount x part / whole, rounded down."""
    return amount * part // whole


def sized(
    leg: Leg,
    *,
    book: Mapping[Address, int],
    weight_ppm: int,
    confidence_ppm: int = PPM,
    market: Market,
    limits: Limits,
    readings: Mapping[str, Reading],
) -> Size:
    """Cut a leg's input to its agent's weight and confidence, to one trade, and to its room.

    The room is that of the agent's position: its signed book in the base asset, valued in wei. A
    trade towards 0 has the room of the way back as well, so an agent can always leave.
    """
    amount = scaled(scaled(leg.amount_in, weight_ppm, PPM), confidence_ppm, PPM)
    hits = [
        name for name, ppm in (("weight", weight_ppm), ("confidence", confidence_ppm)) if ppm < PPM
    ]
    value = market.value_wei(leg.token_in, amount, readings)
    if value is None:
        return Size(amount_in=0, why=f"no price to size {leg.token_in} by")
    if value > limits.max_trade_wei:
        amount, value = scaled(amount, limits.max_trade_wei, value), limits.max_trade_wei
        hits.append("max_trade_wei")
    base, side = _exposure(leg, market)
    held = market.value_wei(base, book.get(base, 0), readings)
    if held is not None:
        room = limits.max_position_wei - (held if side is Side.BUY else -held)
        if value > max(room, 0):
            amount, value = scaled(amount, max(room, 0), value), max(room, 0)
            hits.append("max_position_wei")
    if value < limits.min_trade_wei or amount == 0:
        cut = f", cut by {', '.join(hits)}" if hits else ""
        why = f"worth {value} wei{cut}; the smallest trade is {limits.min_trade_wei}"
        return Size(amount_in=0, why=why)
    return Size(amount_in=amount, limits_hit=tuple(hits))


def _exposure(leg: Leg, market: Market) -> tuple[Address, Side]:
    name, side = market.netting_class(leg.token_in, leg.token_out)
    if name in {leg.token_in, leg.token_out}:
        return Address(name), side
    return leg.token_out, Side.BUY
