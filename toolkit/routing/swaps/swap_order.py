"""What is asked of a swap: amounts, limits, and what its gas costs."""

from collections.abc import Callable
from dataclasses import dataclass

from toolkit.model.chain import Address
from toolkit.model.errors import NoRoute
from toolkit.routing.curves import Routable

MOST = 2**127 - 1
"""The greatest order: V4 takes no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas:
    """What using pools costs.

    Attributes:
        base: gas units that every route uses.
        of: gas units of a swap in a pool, at least 1.
        cost: of gas units, in smallest units of the token wanted, rounded up.
        least: no number of units costs less than this times that number.
    """

    base: int
    of: Callable[[Routable], int]
    cost: Callable[[int], int]
    least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A swap that is wanted; exactly one of its two amounts is given.

    Attributes:
        amount_in: to be spent, all of it.
        amount_out: to be bought for the least input; where a unit of input buys several of
            output, a few more may come out.
        max_hops: edges on the way from token to token; ways of several orders may join.
        max_pools: the most swaps that the route may have.
        least_out: less for an exact input is no route: the limit on the average price.
        most_in: more for an exact output is no route.
        gas: None where gas does not count.

    Raises:
        NoRoute: equal tokens, or an amount or limit that is not positive or beyond 2^127.
    """

    token_in: Address
    token_out: Address
    amount_in: int | None = None
    amount_out: int | None = None
    max_hops: int = 2
    max_pools: int | None = None
    least_out: int = 0
    most_in: int = MOST
    gas: Gas | None = None

    def __post_init__(self) -> None:
        """Check what needs no pools to be told."""
        if self.token_in == self.token_out:
            raise NoRoute(f"{self.token_in} to itself is no swap; ask for an arbitrage")
        given = {"amount_in": self.amount_in, "amount_out": self.amount_out}
        amounts = {name: amount for name, amount in given.items() if amount is not None}
        if len(amounts) != 1:
            raise NoRoute("a swap has either an amount_in or an amount_out")
        limits = {"max_hops": self.max_hops, "most_in": self.most_in}
        if self.max_pools is not None:
            limits["max_pools"] = self.max_pools
        wrong = [f"{name} {value}" for name, value in (amounts | limits).items() if value < 1]
        if wrong:
            raise NoRoute(f"{' and '.join(wrong)} must be positive")
        for name, amount in amounts.items():
            if amount > MOST:
                raise NoRoute(f"{name} {amount} is more than any pool takes, {MOST}")
