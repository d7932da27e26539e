"""A snapshot's pools as arrays, quoted by the batch in compiled code: the contract's integers.

What a pool's own `quote_in` and `quote_out` answer one by one, `Packed` answers for many queries
at once, with a status instead of an exception. The families it has kernels for are laid out as
arrays; every other pool, also one with a token that keeps a part of transfers, is asked itself.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
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
from toolkit.pools.words import Codes, Flags, Places, Words, to_ints, to_words

_ASKED, _PAIR, _TICKED = range(3)
_LAYOUT: tuple[Literal["C"], Literal["W"]] = ("C", "W")  # the one that kernels are compiled for

Amounts = Sequence[int] | Words
"""n integers, or (n, 4) uint64 limbs, the least first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
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
            unless its liquidity ends or a price limit is met first.
        status: (n) int8, a `Status` each.
        refused: the queries that have no answer, by their places in the batch.
    """

    words: Words
    filled: Words
    status: Codes
    refused: dict[int, Query]

    def amounts(self) -> list[int | None]:
        """Return the answers as integers, None where the contract would revert."""
        answers: list[int | None] = list(to_ints(self.words))
        for place in self.refused:
            answers[place] = None
        return answers

    def filled_amounts(self) -> list[int]:
        """Return `filled` as integers."""
        return to_ints(self.filled)

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
            ConfigError: not one of each for every query, or an array that is not of limbs.
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
        pools, forward = (
            np.require(pools, np.int64, _LAYOUT),
            np.require(forward, np.bool_, _LAYOUT),
        )
        given = _words("amounts", amounts)
        bounds = None if limits is None else _words("limits", limits)
        _check_counts(pools=pools, zero_for_one=forward, amounts=given, limits=bounds)
        parts = []
        for family, among in _parts(self._families[pools]):
            if family != _ASKED:
                of = self.pairs if family == _PAIR else self.tables
                answers = of.quote(
                    self._rows[pools[among]],
                    forward[among],
                    given[among],
                    None if bounds is None else bounds[among],
                    exact_out=exact_out,
                    workers=self.workers,
                )
                parts.append((among, answers))
        words, filled, status = _joined(parts, len(pools))
        refused = {}
        for query in map(int, np.flatnonzero(status)):
            pool = self.pools[pools[query]]
            asked = Query(
                alone=msgspec.structs.replace(self._none, pools={pool.id: pool}),
                zero_for_one=bool(forward[query]),
                amount=_number(amounts, query),
                limit=0 if limits is None else _number(limits, query),
                exact_out=exact_out,
            )
            if status[query] == Status.ASK:
                try:
                    answer = asked.ask()
                except PoolError:
                    status[query] = Status.REFUSED
                else:
                    words[query], filled[query] = to_words(answer)
                    status[query] = Status.OK
                    continue
            refused[query] = asked
        return Quotes(words=words, filled=filled, status=status, refused=refused)

    def _family(self, pool: Pool) -> int:
        taxed = any(
            token in self._none.tokens and self._none.tokens[token].transfer_fee_ppm
            for token in (pool.token0, pool.token1)
        )
        if not taxed and isinstance(pool, ConstantProduct):
            return _PAIR
        return _TICKED if not taxed and isinstance(pool, WithTicks) else _ASKED


def _parts(families: Codes) -> Iterator[tuple[int, slice | Places]]:
    """(family, its queries) for each; one slice of all where there is but one."""
    if len(families) and (families == families[0]).all():
        yield int(families[0]), slice(None)
        return
    for family in np.unique(families):
        yield int(family), np.flatnonzero(families == family)


def _joined(
    parts: Sequence[tuple[slice | Places, tuple[Words, Words, Codes]]], count: int
) -> tuple[Words, Words, Codes]:
    """The parts' answers in the batch's order; what no part answers is to be asked."""
    if len(parts) == 1 and isinstance(parts[0][0], slice):
        return parts[0][1]
    words, filled = np.zeros((2, count, 4), np.uint64)
    status = np.full(count, Status.ASK, np.int8)
    for among, answers in parts:
        words[among], filled[among], status[among] = answers
    return words, filled, status


def _words(name: str, amounts: Amounts) -> Words:
    if not isinstance(amounts, np.ndarray):
        return to_words(amounts)
    if amounts.dtype != np.uint64 or amounts.shape[1:] != (4,):
        raise ConfigError(
            f"{name}: an array of {amounts.dtype} and shape {amounts.shape}; "
            "give a list of integers, or uint64 of shape (n, 4)"
        )
    return np.require(amounts, np.uint64, _LAYOUT)


def _check_counts(**given: Places | Flags | Words | None) -> None:
    """Kernels do not look where their arrays end."""
    counts = {name: len(array) for name, array in given.items() if array is not None}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ConfigError(f"quotes: {told}; give one of each for every query")


def _number(amounts: Amounts, query: int) -> int:
    if isinstance(amounts, np.ndarray):
        return to_ints(amounts[query : query + 1])[0]
    return amounts[query]
