"""Where one chain's orchestrator stands, and what that is in another chain's terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Reading, TradingState
from toolkit.orchestrator.elsewhere import Elsewhere, Link
from toolkit.orchestrator.ledger import Ledger
from toolkit.orchestrator.market import Market, exact
from toolkit.orchestrator.profit import account_wei

Same = Mapping[Address, Address]
"""Token there -> the same asset's here: as the author says, not as contracts call themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One chain after a block, in its own terms; `readings` are the newest of each key."""

    block_number: int
    observed_at: int  # chain time, seconds
    state: TradingState
    market: Market
    readings: Mapping[str, Reading]
    initial: Mapping[Address, int]
    books: Mapping[str, Mapping[Address, int]]
    balances: Mapping[Address, int]


def standing(
    ledger: Ledger,
    market: Market,
    readings: Mapping[str, Reading],
    *,
    state: TradingState,
    block: int,
) -> Position:
    """Say where a chain stands, also before it has decided a block of its run: by its journal."""
    return Position(
        block_number=block,
        observed_at=max((one.observed_at for one in readings.values()), default=0),
        state=state,
        market=market,
        readings=readings,
        initial=ledger.state().initial,
        books={name: ledger.book(name) for name in ledger.agents},
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
        books={
            agent: mine
            for agent, book in sorted(there.books.items())
            if (mine := _translated(book, there.market, here.market, same))
        },
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


def _converted(
    books: Mapping[str, Mapping[Address, int]], there: Position, rate: Fraction | None
) -> int:
    """Value what is there in wei of here; without a rate it counts as nothing, as elsewhere."""
    return 0 if rate is None else int(account_wei(books, there.market, there.readings) * rate)


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
