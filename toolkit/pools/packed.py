"""A snapshot's pools as arrays, quoted by the batch in compiled code: the contract's integers.

What a pool's own `quote_in` and `quote_out` answer one by one, `Packed` answers for many queries
at once, with a status instead of an exception. The families it has kernels for are laid out as
arrays; every other pool, also one with a token that keeps a part of transfers, is asked itself.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from toolkit.model.errors import ConfigError, PoolError
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.kernels.status import Status
from toolkit.pools.pairs import Pairs
from toolkit.pools.snapshot import Pool, Snapshot, WithTicks
from toolkit.pools.tables import Tables
from toolkit.pools.words import Batch, Codes, Flags, Places, Words, to_ints, to_words

_ASKED, _PAIR, _TICKED = range(3)
_LAYOUT: tuple[Literal["C"], Literal["W"]] = ("C", "W")  # the one that kernels are compiled for
_UNLIMITED = np.zeros((0, 4), np.uint64)

Amounts = Sequence[int] | Words
"""n integers, or (n, 4) uint64 limbs, the least first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundQuery:
    """One question, bound to the state that its pool had: a pool, its tokens, an amount."""

    alone: Snapshot
    zero_for_one: bool
    amount: int
    limit: int
    exact_out: bool

    def ask(self) -> tuple[int, int]:
        """Return the pool's own answer and what it fills of the amount.

        Raises:
            PoolError: the contract would revert.
        """
        ((name, pool),) = self.alone.pools.items()
        token_in, token_out = (pool.token0, pool.token1)[:: 1 if self.zero_for_one else -1]
        ask, token = (
            (self.alone.quote_out, token_out) if self.exact_out else (self.alone.quote_in, token_in)
        )
        answer = ask(name, token, self.amount, sqrt_price_limit_x96=self.limit)
        if not isinstance(pool, WithTicks):
            return answer, self.amount
        if self.exact_out:
            swapped = pool.swap_out(token, self.amount, sqrt_price_limit_x96=self.limit)
            return answer, swapped.amount_out
        return answer, pool.swap(token, self.amount, sqrt_price_limit_x96=self.limit).amount_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """Answers to a batch, in its order.

    Attributes:
        words: (n, 4) uint64, the amount that was asked for: what comes out of an exact input, what
            goes in for an exact output; 0 where `status` is not OK.
        filled: (n, 4) uint64, how much of the given amount the pool takes or gives: all of it,
            unless its liquidity ends or a price limit is met first. What was given, where `status`
            is not OK.
        status: (n) int8, a `Status` each.
        refused: the queries that have no answer, by their places in the batch.
    """

    words: Words
    filled: Words
    status: Codes
    refused: dict[int, BoundQuery]

    def amounts(self) -> list[int | None]:
        """Return the answers as integers, None where the contract would revert."""
        answers: list[int | None] = list(to_ints(self.words))
        for place in self.refused:
            answers[place] = None
        return answers

    def refusal(self, place: int) -> PoolError | None:
        """Return why a query has no answer, in the words of the pool itself; None if it has one."""
        query = self.refused.get(place)
        if query is None:
            return None
        try:
            answer, _ = query.ask()
        except PoolError as error:
            return error
        why = Status(int(self.status[place])).name
        raise AssertionError(f"{query}: refused as {why}, yet the pool answers {answer}")


class Packed:
    """Pools by their places in the order of their ids; `put` replaces a state.

    `workers` threads share large batches (as many as there are cores). One batch at a time: not
    for several threads of yours.
    """

    def __init__(self, snapshot: Snapshot, *, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._none = msgspec.structs.replace(snapshot, pools={})
        self.pools = [pool for _, pool in sorted(snapshot.pools.items())]
        self._places: dict[str, int] = {pool.id: place for place, pool in enumerate(self.pools)}
        self._families = np.array([self._family(pool) for pool in self.pools], np.int8)
        self._known = [int(family) for family in np.unique(self._families)]
        pairs = [pool for pool in self.pools if isinstance(pool, ConstantProduct)]
        ticked = [pool for pool in self.pools if isinstance(pool, WithTicks)]
        self._rows = np.zeros(len(self.pools), np.int64)
        for family in (pairs, ticked):
            self._rows[self.places(pool.id for pool in family)] = np.arange(len(family))
        self.pairs = Pairs(pairs)
        self.tables = Tables(ticked)

    @classmethod
    def of(cls, snapshot: Snapshot, *, workers: int | None = None) -> "Packed":
        """Lay out every pool of a snapshot."""
        return cls(snapshot, workers=workers)

    def places(self, pools: Iterable[str]) -> Places:
        """Return the places of pools, which is what queries name them by.

        Raises:
            PoolError: a pool that is not among these.
        """
        known = self._places
        try:
            return np.array([known[pool] for pool in pools], np.int64)
        except KeyError as error:
            raise PoolError(f"pool {error.args[0]}: id: not among the {len(known)} pools") from None

    def put(self, pool: Pool) -> None:
        """Replace a pool's state: after an event, or with what it was before a reorg.

        Raises:
            PoolError: a pool that is not among these.
        """
        (place,) = self.places([pool.id])
        self.pools[place] = pool
        if isinstance(pool, ConstantProduct):
            self.pairs.put(int(self._rows[place]), pool)
        elif isinstance(pool, WithTicks):
            self.tables.put(int(self._rows[place]), pool)

    def quote_in(
        self, pools: Places, zero_for_one: Flags, amounts: Amounts, limits: Amounts | None = None
    ) -> Quotes:
        """Quote exact inputs, each as `Snapshot.quote_in` does.

        Args:
            pools: (n) int64 as `places` gives them; the same pool may come often.
            zero_for_one: (n) bool, whether the pool's token0 goes in.
            amounts: what goes in, in smallest units.
            limits: sqrt prices x 2^96; 0: none.

        Raises:
            ConfigError: not one of each for every query, a place where no pool is, or an array
                that is not of limbs.
        """
        return self._quote(pools, zero_for_one, amounts, limits, exact_out=False)

    def quote_out(
        self, pools: Places, zero_for_one: Flags, amounts: Amounts, limits: Amounts | None = None
    ) -> Quotes:
        """Quote exact outputs, each as `Snapshot.quote_out` does; arguments as `quote_in`."""
        return self._quote(pools, zero_for_one, amounts, limits, exact_out=True)

    def _quote(
        self,
        pools: Places,
        forward: Flags,
        amounts: Amounts,
        limits: Amounts | None,
        *,
        exact_out: bool,
    ) -> Quotes:
        given = _words("amounts", amounts)
        bounds = None if limits is None else _words("limits", limits)
        pools = np.require(pools, np.int64, _LAYOUT)
        forward = np.require(forward, np.bool_, _LAYOUT)
        self._check(pools, zero_for_one=forward, amounts=given, limits=bounds)
        parts = self._parts(pools)
        batch = Batch(
            pools=pools,
            forward=forward,
            amounts=given,
            limits=_UNLIMITED if bounds is None else bounds,
            exact_out=exact_out,
            rows=self._rows,
            answers=np.zeros((len(pools), 4), np.uint64),
            filled=given if _TICKED not in parts else given.copy(),
            status=np.full(len(pools), Status.ASK, np.int8),
        )
        for family, which in parts.items():
            of = self.pairs if family == _PAIR else self.tables
            of.quote(which, batch, workers=self.workers)
        return self._settled(batch, amounts, limits)

    def _settled(self, batch: Batch, amounts: Amounts, limits: Amounts | None) -> Quotes:
        """Ask the pools that no kernel has answered for, and keep what was refused."""
        status, filled = batch.status, batch.filled
        refused: dict[int, BoundQuery] = {}
        told: dict[int, tuple[int, int]] = {}
        for query in map(int, np.flatnonzero(status)):
            pool = self.pools[batch.pools[query]]
            asked = BoundQuery(
                alone=msgspec.structs.replace(self._none, pools={pool.id: pool}),
                zero_for_one=bool(batch.forward[query]),
                amount=_number(amounts, query),
                limit=0 if limits is None else _number(limits, query),
                exact_out=batch.exact_out,
            )
            if status[query] != Status.ASK:
                refused[query] = asked
                continue
            try:
                told[query] = asked.ask()
            except PoolError:
                status[query], refused[query] = Status.REFUSED, asked
        if told:
            filled = filled.copy()  # it may be the caller's own
            where = list(told)
            batch.answers[where] = to_words([answer for answer, _ in told.values()])
            filled[where] = to_words([done for _, done in told.values()])
            status[where] = Status.OK
        return Quotes(words=batch.answers, filled=filled, status=status, refused=refused)

    def _parts(self, pools: Places) -> dict[int, Places]:
        """The queries of each family that has kernels."""
        if len(self._known) == 1:
            parts = {family: np.arange(len(pools)) for family in self._known}
        else:
            families = self._families[pools]
            parts = {family: np.flatnonzero(families == family) for family in self._known}
        return {family: which for family, which in parts.items() if family != _ASKED and len(which)}

    def _check(self, pools: Places, **given: Flags | Words | None) -> None:
        """Kernels do not look where their arrays end."""
        counts = {"pools": len(pools)}
        counts |= {name: len(array) for name, array in given.items() if array is not None}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise ConfigError(f"quotes: {told}; give one of each for every query")
        if len(pools) and pools.view(np.uint64).max() >= len(self.pools):
            wrong = next(place for place in pools if not 0 <= place < len(self.pools))
            raise ConfigError(
                f"quotes: {wrong} is not the place of one of the {len(self.pools)} pools; "
                "ask `places`"
            )

    def _family(self, pool: Pool) -> int:
        taxed = any(
            token in self._none.tokens and self._none.tokens[token].transfer_fee_ppm
            for token in (pool.token0, pool.token1)
        )
        if not taxed and isinstance(pool, ConstantProduct):
            return _PAIR
        return _TICKED if not taxed and isinstance(pool, WithTicks) else _ASKED


def _words(name: str, amounts: Amounts) -> Words:
    if not isinstance(amounts, np.ndarray):
        return to_words(amounts)
    if amounts.dtype != np.uint64 or amounts.shape[1:] != (4,):
        raise ConfigError(
            f"{name}: an array of {amounts.dtype} and shape {amounts.shape}; "
            "give a list of integers, or uint64 of shape (n, 4)"
        )
    return np.require(amounts, np.uint64, _LAYOUT)


def _number(amounts: Amounts, query: int) -> int:
    if isinstance(amounts, np.ndarray):
        return to_ints(amounts[query : query + 1])[0]
    return amounts[query]
