"""Double entry: money is moved between accounts, never made. Integers only."""

from collections.abc import Mapping
from enum import IntEnum, auto
from types import MappingProxyType

import msgspec

from toolkit.model.chain import Address

OWNER = ""
"""Holds what is promised to nobody."""


class Bucket(IntEnum):  # an integer's hash is ready, an Enum's is worked out in Python each time
    """Where capital is. What agents' fills took out of it is posted; below 0, they put in more."""

    FREE = auto()
    RESERVED = auto()
    IN_FLIGHT = auto()
    POSTED = auto()


_NOTHING: Mapping[Address, int] = MappingProxyType({})

Account = tuple[Bucket, str]
"""A bucket and whose part of it: an agent, or the owner."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One token: where its capital is, in smallest units. The four always add up to `capital`."""

    free: int
    reserved: int
    in_flight: int
    posted: int
    capital: int

    @property
    def adds_up(self) -> bool:
        """Whether nothing was lost or made."""
        return self.free + self.reserved + self.in_flight + self.posted == self.capital


class Accounts:
    """What each holder has in each bucket, per token; what is empty is forgotten."""

    def __init__(self) -> None:
        self._capital: dict[Address, int] = {}
        self._parts: dict[Bucket, dict[str, dict[Address, int]]] = {one: {} for one in Bucket}
        self._sums: dict[Bucket, dict[Address, int]] = {one: {} for one in Bucket}

    def endow(self, token: Address, amount: int) -> None:
        """Let the owner put capital in, or take it out: the only way in and out."""
        news = {**self._capital, token: self._capital.get(token, 0) + amount}
        self._capital = dict(sorted(news.items()))
        if amount:
            self._add((Bucket.FREE, OWNER), token, amount)

    def move(self, token: Address, amount: int, *, out_of: Account, into: Account) -> None:
        """Book an amount out of one account and into another; a negative one goes back."""
        if amount:
            self._add(out_of, token, -amount)
            self._add(into, token, amount)

    def adds_up(self, token: Address) -> bool:
        """Tell whether nothing of a token was lost or made; as its `balance` does."""
        placed = sum([sums.get(token, 0) for sums in self._sums.values()])
        return placed == self._capital.get(token, 0)

    def held(self, bucket: Bucket, holder: str) -> Mapping[Address, int]:
        """Return what one holder has in a bucket: read-only, and live."""
        return self._parts[bucket].get(holder, _NOTHING)

    def balance(self, token: Address) -> Balance:
        """Return where a token's capital is."""
        return Balance(
            free=self.sum_of(Bucket.FREE, token),
            reserved=self.sum_of(Bucket.RESERVED, token),
            in_flight=self.sum_of(Bucket.IN_FLIGHT, token),
            posted=self.sum_of(Bucket.POSTED, token),
            capital=self._capital.get(token, 0),
        )

    def capital_of(self, token: Address) -> int:
        """Return what the owner put in of a token."""
        return self._capital.get(token, 0)

    def sum_of(self, bucket: Bucket, token: Address) -> int:
        """Return what all holders have in a bucket together."""
        return self._sums[bucket].get(token, 0)

    def sums(self, bucket: Bucket) -> Mapping[Address, int]:
        """Return what all holders have in a bucket together, of each token: read-only, and live."""
        return self._sums[bucket]

    def holders(self, bucket: Bucket) -> tuple[str, ...]:
        """Name who has anything in a bucket, sorted."""
        return tuple(sorted(self._parts[bucket]))

    def tokens(self, bucket: Bucket) -> set[Address]:
        """Return every token of which anybody has something in a bucket."""
        return set().union(*self._parts[bucket].values())

    @property
    def capital(self) -> Mapping[Address, int]:
        """What the owner put in, by token, sorted."""
        return self._capital

    def _add(self, account: Account, token: Address, amount: int) -> None:
        bucket, holder = account
        sums, holders = self._sums[bucket], self._parts[bucket]
        together = sums.get(token, 0) + amount
        if together:
            sums[token] = together
        else:
            del sums[token]
        parts = holders.setdefault(holder, {})
        mine = parts.get(token, 0) + amount
        if mine:
            parts[token] = mine
        else:
            del parts[token]
            if not parts:
                del holders[holder]
