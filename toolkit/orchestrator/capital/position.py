"""Where one chain's orchestrator stands, and what that is in another chain's terms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Plan, Reading, TradingState
from toolkit.model.units import split
from toolkit.orchestrator.capital.elsewhere import Elsewhere, Link
from toolkit.orchestrator.capital.ledger import Ledger, Share, weights_of
from toolkit.orchestrator.capital.profit import Books, account_wei
from toolkit.orchestrator.market import Market, exact

Same = Mapping[Address, Address]
"""Token there -> the same asset's here: as the author says, not as contracts call themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One chain after a block, in its own terms; `readings` are the newest of each key.

    `rising` and `falling` are what plans underway may still add to agents' books and take away.
    """

    block_number: int
    observed_at: int  # chain time, seconds
    state: TradingState
    market: Market
    readings: Mapping[str, Reading]
    initial: Mapping[Address, int]
    books: Mapping[str, Mapping[Address, int]]
    rising: Mapping[str, Mapping[Address, int]]
    falling: Mapping[str, Mapping[Address, int]]
    balances: Mapping[Address, int]


def standing(
    ledger: Ledger,
    market: Market,
    readings: Mapping[str, Reading],
    *,
    state: TradingState,
    block: int,
    underway: Iterable[tuple[Plan, Sequence[Share]]] = (),
) -> Position:
    """Say where a chain stands, also before it has decided a block of its run: by its journal.

    Plans of `underway` count as long as capital is held for them.
    """
    rising, falling = _pending([one for one in underway if ledger.holds(one[0].verdict_id)])
    return Position(
        block_number=block,
        observed_at=max((one.observed_at for one in readings.values()), default=0),
        state=state,
        market=market,
        readings=readings,
        initial=ledger.state().initial,
        books={name: ledger.book(name) for name in ledger.agents},
        rising=rising,
        falling=falling,
        balances=ledger.expected(),
    )


def seen_from(there: Position, here: Position, *, chain: str, same: Same, link: Link) -> Elsewhere:
    """Say what a chain holds in the terms of another. What has no token there is left out.

    Amounts are rounded towards 0 where a token has fewer decimals here.
    """
    rate = native_rate(there, here, same)
    return Elsewhere(
        chain=chain,
        block_number=there.block_number,
        observed_at=there.observed_at,
        state=there.state,
        pnl_wei=_converted(there.books, there, rate),
        capital_wei=_converted({"": there.initial}, there, rate),
        books=_named(there.books, there, here, same),
        rising=_named(there.rising, there, here, same),
        falling=_named(there.falling, there, here, same),
        balances=_translated(there.balances, there.market, here.market, same),
        link=link,
    )


def native_rate(there: Position, here: Position, same: Same) -> Fraction | None:
    """Return wei here per wei there: 1 where both are the same asset, else through stables."""
    if same.get(there.market.wrapped) == here.market.wrapped:
        return Fraction(1)
    prices = [_native_price(one) for one in (there, here)]
    return prices[0] / prices[1] if all(prices) else None


def _native_price(position: Position) -> Fraction:
    key = position.market.price_key(position.market.wrapped)
    reading = position.readings.get(key) if key else None
    return exact(reading.value) if reading is not None else Fraction(0)


def _converted(books: Books, there: Position, rate: Fraction | None) -> int:
    """Value what is there in wei of here; without a rate it counts as nothing, as elsewhere."""
    return 0 if rate is None else int(account_wei(books, there.market, there.readings) * rate)


def _pending(
    underway: Sequence[tuple[Plan, Sequence[Share]]],
) -> tuple[Books, Books]:
    """Divide what exchanges underway would change among whose they are, by its sign."""
    found: dict[bool, dict[str, dict[Address, int]]] = {True: {}, False: {}}
    for plan, shares in underway:
        route, weights = plan.route, weights_of(shares)
        if route.is_cycle or not weights:
            continue
        for token, amount in (
            (route.token_in, -route.amount_in),
            (route.token_out, route.amount_out),
        ):
            parts = split(amount, tuple(weights.values()))
            for agent, part in zip(weights, parts, strict=True):
                book = found[part > 0].setdefault(agent, {})
                book[token] = book.get(token, 0) + part
    return found[True], found[False]


def _named(
    books: Books, there: Position, here: Position, same: Same
) -> dict[str, dict[Address, int]]:
    return {
        agent: mine
        for agent, book in sorted(books.items())
        if (mine := _translated(book, there.market, here.market, same))
    }


def _translated(
    amounts: Mapping[Address, int], there: Market, here: Market, same: Same
) -> dict[Address, int]:
    found: dict[Address, int] = {}
    for token, amount in sorted(amounts.items()):
        known = there.wrapped if token == ZERO_ADDRESS else token
        name = same.get(known)
        if name is None:
            continue
        scale = Fraction(10) ** (here.decimals(name) - there.decimals(known))
        found[name] = found.get(name, 0) + int(amount * scale)
    return {token: amount for token, amount in sorted(found.items()) if amount}
