"""What agents' books are worth, so that together they are worth what the account gained."""

from collections.abc import Mapping
from math import lcm

from toolkit.model.chain import Address
from toolkit.model.decision import Reading
from toolkit.orchestrator.market import Market

Books = Mapping[str, Mapping[Address, int]]


def profits_wei(books: Books, market: Market, readings: Mapping[str, Reading]) -> dict[str, int]:
    """Value each agent's book in wei; the sum is `account_wei`, to the wei.

    The account's value is divided, not the agents' added up: what rounding leaves over goes to
    the largest remainders, by name among equals. What has no price counts as nothing.
    """
    weights, wei = _weights(books, market, readings)
    values = {agent: _value(book, weights) for agent, book in sorted(books.items())}
    whole = {agent: value // wei for agent, value in values.items()}
    left = sum(values.values()) // wei - sum(whole.values())
    if left:
        by_remainder = sorted(values, key=lambda agent: (-(values[agent] % wei), agent))
        for agent in by_remainder[:left]:
            whole[agent] += 1
    return whole


def account_wei(books: Books, market: Market, readings: Mapping[str, Reading]) -> int:
    """Value all books together in wei, rounded down."""
    weights, wei = _weights(books, market, readings)
    return sum(_value(book, weights) for book in books.values()) // wei


def _weights(
    books: Books, market: Market, readings: Mapping[str, Reading]
) -> tuple[dict[Address, int], int]:
    """Return what one unit of each priced token is worth in parts of a wei, and parts a wei.

    One denominator for all of them: exact, and without a fraction for each amount.
    """
    tokens = {token for book in books.values() for token in book}
    found = {token: market.worth_wei(token, readings) for token in tokens}
    worth = {token: one for token, one in found.items() if one is not None}
    wei = lcm(*(one.denominator for one in worth.values()))
    return {t: one.numerator * (wei // one.denominator) for t, one in worth.items()}, wei


def _value(book: Mapping[Address, int], weights: Mapping[Address, int]) -> int:
    return sum(amount * weights[token] for token, amount in book.items() if token in weights)
