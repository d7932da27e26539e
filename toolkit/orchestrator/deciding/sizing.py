"""How much of a wish is granted: weight, one trade's bound, one agent's position, its way back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Leg, Reading, VetoCause
from toolkit.model.units import PPM
from toolkit.orchestrator.deciding.covariance import PPB, Covariance
from toolkit.orchestrator.deciding.limits import Limits
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
    purchase makes no room for a sale, because one may be executed without the other. `abroad`
    is what of its holdings on other chains counts, by the same key, in smallest units.
    """

    book: Mapping[Address, int]
    granted: Mapping[tuple[Address, int], int]
    abroad: Mapping[tuple[Address, int], int] = field(default_factory=dict)


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
    covariance: Covariance,
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
        covariance: of the assets' returns, for the agent's risk budget.
    """
    shares = (("weight", weight_ppm), ("discount", scale_ppm), ("confidence", confidence_ppm))
    amount = leg.amount_in
    for _, ppm in shares:
        amount = scaled(amount, ppm, PPM)
    hits = [name for name, ppm in shares if ppm < PPM]
    value = market.value_wei(leg.token_in, amount, readings)
    moved = moves(leg, market)
    unpriced = [token for token, _ in moved if market.value_wei(token, 0, readings) is None]
    if value is None or unpriced:
        return Size(amount_in=0, why=f"no price to size {(*unpriced, leg.token_in)[0]} by")
    back = way_back(moved, standing, market, readings)
    held = {move: _held(move, standing, market, readings) for move in moved}
    rooms = [max(limits.max_position_wei - already, back) for already in held.values()]
    risk = risk_room(held, back, standing, market, limits, covariance, readings)
    bounds = [
        ("max_trade_wei", limits.max_trade_wei),
        ("max_position_wei", min(rooms, default=value)),
        ("agent_risk_wei", back + risk),
    ]
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


def way_back(
    moved: Sequence[tuple[Address, int]],
    standing: Standing,
    market: Market,
    readings: Mapping[str, Reading],
) -> int:
    """Return how much of these moves, in wei, only takes their agent back towards no position.

    A trade of one base asset for another goes back only as far as it does in both.
    """
    ways: list[int] = []
    for token, sign in moved:
        held = market.value_wei(token, standing.book.get(token, 0), readings)
        done = standing.granted.get((token, sign), 0)
        ways.append(0 if held is None else max(-sign * held - done, 0))
    return min(ways, default=0)


def _held(
    move: tuple[Address, int],
    standing: Standing,
    market: Market,
    readings: Mapping[str, Reading],
) -> int:
    """Return how far an agent is already where a move takes it, in wei: negative is the other way.

    What has no price counts for nothing.
    """
    token, sign = move
    amount = standing.book.get(token, 0) + standing.abroad.get(move, 0)
    value = market.value_wei(token, amount, readings) or 0
    return sign * value + standing.granted.get(move, 0)


def risk_room(
    held: Mapping[tuple[Address, int], int],
    back: int,
    standing: Standing,
    market: Market,
    limits: Limits,
    covariance: Covariance,
    readings: Mapping[str, Reading],
) -> int:
    """Return how much more than its way back an agent's risk budget leaves for a leg, in wei.

    `held` is how far the agent is already where each of the leg's moves takes it, in wei.
    Its risk is added up over its assets, each at the larger of where purchases alone and sales
    alone would take it: an upper bound of what it is, whatever is executed.
    """
    others = {*standing.book, *(token for token, _ in standing.granted)}
    others -= {*(token for token, _ in held), *market.stables, ZERO_ADDRESS}
    risk = 0
    for token in sorted(others):
        furthest = max(_held((token, sign), standing, market, readings) for sign in (1, -1))
        risk += max(furthest, 0) * covariance.sd_ppb(token, limits.risk_horizon_blocks)
    slope = 0
    for (token, _), already in held.items():
        deviation = covariance.sd_ppb(token, limits.risk_horizon_blocks)
        risk += abs(already + back) * deviation
        slope += deviation
    return max(limits.agent_risk_wei * PPB - risk, 0) // max(slope, 1)
