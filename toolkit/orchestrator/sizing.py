"""How much of a wish is granted: weight, one trade's bound, one agent's position, its way back."""

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.model.chain import Address
from toolkit.model.decision import Leg, Reading, VetoCause
from toolkit.model.units import PPM
from toolkit.orchestrator.limits import Limits
from toolkit.orchestrator.market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A granted input amount, 0 with the reason if nothing is; names the limits that cut it.

    `value_wei` is what it is worth, `raised_wei` the part of that which takes its agent further
    from having no position.
    """

    amount_in: int
    limits_hit: tuple[str, ...] = ()
    why: str = ""
    cause: VetoCause = VetoCause.LIMIT
    value_wei: int = 0
    raised_wei: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One agent in one block: its positions, and what was granted to it so far.

    `book` is signed, in smallest units. `granted` is worth in wei by (base asset, +1 or -1): a
    purchase makes no room for a sale, because one may be executed without the other.
    """

    book: Mapping[Address, int]
    granted: Mapping[tuple[Address, int], int]


def scaled(amount: int, part: int, whole: int) -> int:
    """Return amount x part / whole, rounded down."""
    return amount * part // whole


def sized(
    leg: Leg,
    *,
    standing: Standing,
    weight_ppm: int,
    confidence_ppm: int = PPM,
    scale_ppm: int = PPM,
    raise_wei: int | None = None,
    market: Market,
    limits: Limits,
    readings: Mapping[str, Reading],
) -> Size:
    """Cut a leg's input to its agent's weight and confidence, to one trade, and to its room.

    The room is that of the agent's position: its signed book in the base asset, valued in wei. A
    trade towards 0 has the room of the way back as well, so an agent can always leave.

    Args:
        leg: the wish.
        standing: the agent's positions, and what it was granted in this block.
        weight_ppm: the policy's trust in the agent.
        confidence_ppm: the agent's own in its wish.
        scale_ppm: what a discounting pause leaves of the weight.
        raise_wei: the most that may take its agent further from having no position; None
            leaves that to the limits.
        market: prices and classes.
        limits: of one trade and of one agent.
        readings: that prices are taken from.
    """
    shares = (("weight", weight_ppm), ("discount", scale_ppm), ("confidence", confidence_ppm))
    amount = leg.amount_in
    for _, ppm in shares:
        amount = scaled(amount, ppm, PPM)
    hits = [name for name, ppm in shares if ppm < PPM]
    value = market.value_wei(leg.token_in, amount, readings)
    if value is None:
        return Size(amount_in=0, why=f"no price to size {leg.token_in} by")
    back = way_back(leg, standing, market, readings)
    bounds = [("max_trade_wei", limits.max_trade_wei)]
    if (room := _room(leg, standing, market, limits, readings)) is not None:
        bounds.append(("max_position_wei", room))
    if raise_wei is not None:
        bounds.append(("exposure", back + raise_wei))
    for name, most in bounds:
        if value > most:
            amount, value = scaled(amount, most, value), most
            hits.append(name)
    if value < limits.min_trade_wei or amount == 0:
        cut = f", cut by {', '.join(hits)}" if hits else ""
        why = f"worth {value} wei{cut}; the smallest trade is {limits.min_trade_wei}"
        cause = VetoCause.REDUCING if "exposure" in hits else VetoCause.LIMIT
        return Size(amount_in=0, why=why, cause=cause)
    return Size(
        amount_in=amount,
        limits_hit=tuple(hits),
        value_wei=value,
        raised_wei=max(value - back, 0),
    )


def moves(leg: Leg, market: Market) -> tuple[tuple[Address, int], ...]:
    """Return which base assets a leg buys (+1) and sells (-1); stables are none."""
    sides = ((leg.token_in, -1), (leg.token_out, 1))
    return tuple((token, sign) for token, sign in sides if token not in market.stables)


def way_back(leg: Leg, standing: Standing, market: Market, readings: Mapping[str, Reading]) -> int:
    """Return how much of a leg, in wei, only takes its agent back towards having no position.

    A trade of one base asset for another goes back only as far as it does in both.
    """
    ways: list[int] = []
    for token, sign in moves(leg, market):
        held = market.value_wei(token, standing.book.get(token, 0), readings)
        done = standing.granted.get((token, sign), 0)
        ways.append(0 if held is None else max(-sign * held - done, 0))
    return min(ways, default=0)


def _room(
    leg: Leg, standing: Standing, market: Market, limits: Limits, readings: Mapping[str, Reading]
) -> int | None:
    """Return what the agent's position leaves for a leg, in wei; None where it has no price."""
    rooms: list[int] = []
    for token, sign in moves(leg, market):
        held = market.value_wei(token, standing.book.get(token, 0), readings)
        done = standing.granted.get((token, sign), 0)
        if held is not None:
            rooms.append(max(limits.max_position_wei - sign * held - done, 0))
    return min(rooms, default=None)
