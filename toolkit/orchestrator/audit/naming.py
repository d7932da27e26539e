"""Amounts, tokens and pools by the names people know them by."""

from collections.abc import Mapping

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Leg
from toolkit.model.units import format_units
from toolkit.orchestrator.market import Market


class Names:
    """Knows the tokens of a market; whatever it does not know keeps its address and units."""

    def __init__(self, market: Market | None = None) -> None:
        tokens = () if market is None else market.tokens
        self._tokens = {token.address: (token.symbol, token.decimals) for token in tokens}
        sources = () if market is None else market.prices
        self._pools = {
            source.pool: f"{self.token(source.base)}/{self.token(source.quote)} pool"
            for source in sources
        }

    @classmethod
    def of(cls, tokens: Mapping[str, tuple[str, int]]) -> "Names":
        """Know tokens by their symbols and decimals alone."""
        names = cls()
        names._tokens = {Address(address): known for address, known in tokens.items()}
        return names

    def token(self, address: str) -> str:
        """Return a token's symbol."""
        if address == ZERO_ADDRESS:
            return "ETH"
        known = self._tokens.get(Address(address))
        return address if known is None else known[0]

    def amount(self, amount: int, address: str, *, places: int = 9) -> str:
        """Write an amount in whole tokens, cut after `places` digits; exact where it is short."""
        known = self._tokens.get(Address(address))
        decimals = 18 if address == ZERO_ADDRESS else None if known is None else known[1]
        if decimals is None:
            return f"{amount} units of {address}"
        return f"{format_units(amount, decimals, places=places)} {self.token(address)}"

    def leg(self, leg: Leg) -> str:
        """Write what a leg gives for what."""
        given = self.amount(leg.amount_in, leg.token_in)
        if leg.route is not None and leg.route.is_cycle:
            gain = self.amount(leg.route.profit, leg.token_in)
            return f"{given} through {len(leg.route.hops)} pools and back, {gain} more"
        return f"{given} for {self.token(leg.token_out)}"

    def changes(self, changes: Mapping[str, int]) -> str:
        """Write signed changes of balances."""
        return ", ".join(
            f"{'+' if change > 0 else ''}{self.amount(change, token)}"
            for token, change in sorted(changes.items(), key=lambda one: (one[1] < 0, one[0]))
            if change
        )

    def source(self, source: str) -> str:
        """Name where a reading comes from."""
        known = self._pools.get(Address(source))
        return source if known is None else f"{known} {source}"


def ether(amount_wei: int) -> str:
    """Write an amount of the native token."""
    return f"{format_units(amount_wei, 18, places=9)} ETH"


def plural(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
