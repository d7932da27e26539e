"""What agents' books are worth, so that together they are worth what the account gained."""

from collections.abc import Mapping
from fractions import Fraction
from math import floor

from toolkit.model.chain import Address
from toolkit.model.decision import Reading
from toolkit.orchestrator.market import Market

Books = Mapping[str, Mapping[Address, int]]


def profits_wei(books: Books, market: Market, readings: Mapping[str, Reading]) -> dict[str, int]:
    """Value each agent's book in wei; the sum is `account_wei`, to the wei.

    The account's value is divided, not the agents' added up: what rounding leaves over goes to
    the largest remainders, by name among equals. What has no price counts as nothing.
    """
    worth = _worth(books, market, readings)
    parts = {agent: _value(book, worth) for agent, book in sorted(books.items())}
    whole = {agent: floor(part) for agent, part in parts.items()}
    left = floor(sum(parts.values(), Fraction(0))) - sum(whole.values())
    by_remainder = sorted(parts, key=lambda agent: (whole[agent] - parts[agent], agent))
    for agent in by_remainder[:left]:
        whole[agent] += 1
    return whole


def account_wei(books: Books, market: Market, readings: Mapping[str, Reading]) -> int:
    """Value all books together in wei, rounded down."""
    changes: dict[Address, int] = {}
    for book in books.values():
        for token, change in book.items():
            changes[token] = changes.get(token, 0) + change
    return floor(_value(changes, _worth(books, market, readings)))


def _worth(
    books: Books, market: Market, readings: Mapping[str, Reading]
) -> dict[Address, Fraction]:
    tokens = sorted({token for book in books.values() for token in book})
    found = {token: market.worth_wei(token, readings) for token in tokens}
    return {token: worth for token, worth in found.items() if worth is not None}


def _value(book: Mapping[Address, int], worth: Mapping[Address, Fraction]) -> Fraction:
    priced = [(amount, worth[token]) for token, amount in sorted(book.items()) if token in worth]
    return sum((amount * one for amount, one in priced), Fraction(0))
