"""Opposed wishes on one asset become one trade; the rest changes hands inside, at one price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from toolkit.model.chain import Address
from toolkit.model.decision import Leg, Reading
from toolkit.model.units import split
from toolkit.orchestrator.capital.ledger import Share, Transfer
from toolkit.orchestrator.deciding.waste import Crossed
from toolkit.orchestrator.market import Market, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One leg of one intent after sizing; `amount_in` in units of its input token."""

    intent: str
    agent: str
    token_in: Address
    token_out: Address
    side: Side
    amount_in: int


class NetLeg(msgspec.Struct, frozen=True, kw_only=True):
    """What is left for the market of one class in one pair, and whose it is."""

    leg: Leg
    shares: tuple[Share, ...]
    netted_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Netted:
    """The outcome for one class: legs of one side only, and trades inside.

    `crossed` is what changed hands inside, in smallest units of the class's base asset; `inside`
    says how much of each wish that was.
    """

    legs: tuple[NetLeg, ...]
    transfers: tuple[Transfer, ...] = ()
    crossed: int = 0
    inside: tuple[Crossed, ...] = ()


def net(
    wishes: Sequence[Wish], *, market: Market, readings: Mapping[str, Reading]
) -> Netted | None:
    """Net the wishes of one class; None if they are opposed and there is no price to net at.

    The smaller side is filled inside at the reading's price, and the larger side gives it pro
    rata; only the rest of the larger side goes to the market, in one leg per pair. A seller
    gets the very stable that the buyer pays. Nothing is lost to rounding: every division is
    by largest remainder.
    """
    wishes = sorted(wishes, key=lambda wish: (wish.intent, wish.token_in, wish.token_out))
    buyers = [wish for wish in wishes if wish.side is Side.BUY]
    sellers = [wish for wish in wishes if wish.side is Side.SELL]
    if not buyers or not sellers:
        return Netted(legs=_legs(wishes, [wish.amount_in for wish in wishes]))
    base = sellers[0].token_in
    rates = {wish.token_in: market.pair_rate(base, wish.token_in, readings) for wish in buyers}
    bought = [_base_of(wish.amount_in, rates[wish.token_in]) for wish in buyers]
    if not all(bought):
        return None
    sold = [wish.amount_in for wish in sellers]
    crossed = min(sum(bought), sum(sold))
    got = split(crossed, bought)
    gave = split(crossed, sold)
    # A buyer's price is its own amount over its own base: who is filled whole pays all of it.
    paid = [
        amount * wish.amount_in // whole
        for wish, amount, whole in zip(buyers, got, bought, strict=True)
    ]
    transfers = _transfers(base, buyers, sellers, got=got, gave=gave, paid=paid)
    if sum(bought) > sum(sold):
        rest = [wish.amount_in - spent for wish, spent in zip(buyers, paid, strict=True)]
        legs = _legs(buyers, rest)
    else:
        rest = [wish.amount_in - given for wish, given in zip(sellers, gave, strict=True)]
        legs = _legs(sellers, rest)
    filled = zip((*buyers, *sellers), (*paid, *gave), strict=True)
    inside = tuple(
        Crossed(
            intent=wish.intent, token_in=wish.token_in, token_out=wish.token_out, amount_in=amount
        )
        for wish, amount in filled
        if amount
    )
    return Netted(legs=legs, transfers=transfers, crossed=crossed, inside=inside)


def resized(leg: NetLeg, amount_in: int) -> NetLeg:
    """Return the leg with another input amount, its shares in the same proportion."""
    parts = split(amount_in, [share.amount_in for share in leg.shares])
    return NetLeg(
        leg=Leg(
            token_in=leg.leg.token_in,
            token_out=leg.leg.token_out,
            amount_in=amount_in,
            route=leg.leg.route,
        ),
        shares=tuple(
            Share(agent=share.agent, intent=share.intent, amount_in=part)
            for share, part in zip(leg.shares, parts, strict=True)
        ),
        netted_in=leg.netted_in,
    )


def _base_of(amount: int, rate: Fraction | None) -> int:
    return 0 if rate is None else int(amount / rate)


def _legs(wishes: Sequence[Wish], left: Sequence[int]) -> tuple[NetLeg, ...]:
    """Merge what is left of one side into one leg per pair, largest input first."""
    pairs = sorted({(wish.token_in, wish.token_out) for wish in wishes})
    legs: list[NetLeg] = []
    for token_in, token_out in pairs:
        mine = [
            (wish, rest)
            for wish, rest in zip(wishes, left, strict=True)
            if (wish.token_in, wish.token_out) == (token_in, token_out)
        ]
        total = sum(rest for _, rest in mine)
        if total == 0:
            continue
        legs.append(
            NetLeg(
                leg=Leg(token_in=token_in, token_out=token_out, amount_in=total),
                shares=tuple(
                    Share(agent=wish.agent, intent=wish.intent, amount_in=rest)
                    for wish, rest in mine
                    if rest
                ),
                netted_in=sum(wish.amount_in for wish, _ in mine) - total,
            )
        )
    return tuple(legs)


def _transfers(
    base: Address,
    buyers: Sequence[Wish],
    sellers: Sequence[Wish],
    *,
    got: Sequence[int],
    gave: Sequence[int],
    paid: Sequence[int],
) -> tuple[Transfer, ...]:
    moves: dict[tuple[str, Address], int] = {}

    def move(agent: str, token: Address, change: int) -> None:
        moves[agent, token] = moves.get((agent, token), 0) + change

    for wish, received in zip(buyers, got, strict=True):
        move(wish.agent, base, received)
    for wish, given in zip(sellers, gave, strict=True):
        move(wish.agent, base, -given)
    for quote in sorted({wish.token_in for wish in buyers}):
        payments = [
            spent if wish.token_in == quote else 0 for wish, spent in zip(buyers, paid, strict=True)
        ]
        for wish, spent in zip(buyers, payments, strict=True):
            move(wish.agent, quote, -spent)
        for wish, income in zip(sellers, split(sum(payments), gave), strict=True):
            move(wish.agent, quote, income)
    return tuple(
        Transfer(agent=agent, token=token, change=change)
        for (agent, token), change in sorted(moves.items())
        if change
    )
