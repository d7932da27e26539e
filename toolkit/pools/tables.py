"""Concentrated pools as arrays with tables of their stops, and their quotes by the batch.

A quote costs a search in a table however many ticks it crosses, and equals the step loop always.
What a table is made of, and why events leave most of it alone, is told in kernels/book.py.
"""

from collections.abc import Iterator, Sequence
from itertools import compress, count
from operator import ne
from typing import Any

import numpy as np

from toolkit.pools.concentrated import Concentrated
from toolkit.pools.kernels import book as columns
from toolkit.pools.kernels.book import Book
from toolkit.pools.kernels.status import Status
from toolkit.pools.sharing import share_out
from toolkit.pools.snapshot import WithTicks
from toolkit.pools.tick_walk import knows_price
from toolkit.pools.words import Batch, Places

Ticks = tuple[tuple[int, int], ...]

_SHARE = 4096
_FIRST_ROOM = 32  # rows a run begins with
_PIECE = 64  # ticks
_WORD = 2**64


class Tables:
    """Concentrated pools, a row each; `put` replaces a state and spares the tables."""

    def __init__(self, pools: Sequence[WithTicks]) -> None:
        self._pools = list(pools)
        size = len(pools)
        room = [_roomy(len(pool.ticks)) for pool in pools]
        first = np.cumsum([0, *room])
        ticks, runs = int(first[-1]), 2 * size
        self._tick_room = np.array(room, np.int64)
        self._tick_end = ticks
        self._row_end = runs * _FIRST_ROOM
        self.book = Book(
            state=np.zeros((size, 5), np.uint64),
            facts=np.zeros((size, 9), np.int64),
            tick_at=np.zeros(ticks, np.int64),
            tick_net=np.zeros((ticks, 2), np.uint64),
            tick_root=np.zeros((ticks, columns.ROOT), np.uint64),
            run=np.zeros((runs, 6), np.int64),
            head=np.zeros((runs, 8), np.uint64),
            stop=np.zeros(self._row_end, np.int64),
            row=np.zeros((self._row_end, columns.WIDTH), np.uint64),
        )
        self.book.run[:, columns.START] = np.arange(runs) * _FIRST_ROOM
        self.book.run[:, columns.ROOM] = _FIRST_ROOM
        self.book.facts[:, columns.FIRST] = first[:-1]
        self._is_filled = False  # once there is a quote to answer

    def put(self, row: int, pool: WithTicks) -> None:
        """Replace a pool's state.

        A swap touches no table but the place in it; liquidity that comes or goes cuts its pool's
        two tables at the first tick that changed, and they are continued when next needed.
        """
        old = self._pools[row]
        self._pools[row] = pool
        if not self._is_filled:
            return
        if pool.ticks is not old.ticks:
            self._edit(row, old.ticks, pool.ticks)
        if _shape(pool) != _shape(old):
            self.book.run[2 * row : 2 * row + 2, columns.COUNT] = 0
        self._set_state(row, pool)

    def quote(self, which: Places, batch: Batch, *, workers: int) -> None:
        """Answer the queries of a batch that `which` names."""
        from toolkit.pools.kernels import concentrated as kernels  # noqa: PLC0415

        if not kernels.COMPILED:
            return
        if not self._is_filled:
            self._fill()
        rows, forward, status = batch.rows[batch.pools], batch.forward, batch.status

        def work(part: Places) -> None:
            kernels.quote(
                part,
                rows,
                forward,
                batch.amounts,
                batch.limits,
                not batch.exact_out,
                self.book,
                batch.answers,
                batch.filled,
                status,
            )

        # A run is continued by whoever reads it, so a thread has all the queries of its runs.
        shares = max(1, min(workers, len(which) // _SHARE))
        owner = (rows + forward)[which] % shares
        parts = [which[owner == share] for share in range(shares)]
        while parts:
            share_out(work, parts)
            parts = [
                few for few in (part[status[part] == Status.ROOM] for part in parts) if len(few)
            ]
            for part in parts:
                self._lengthen(np.unique(2 * rows[part] + ~forward[part]))

    def _set_state(self, row: int, pool: WithTicks) -> None:
        book = self.book
        book.state[row] = _limbs(pool.sqrt_price_x96, pool.liquidity)
        told = (pool.tick, pool.tick_spacing, *pool.known, *_fees(pool), _kind(pool))
        book.facts[row, : columns.FIRST] = told
        book.run[2 * row : 2 * row + 2, columns.STALE] = 1

    def _fill(self) -> None:
        for row, pool in enumerate(self._pools):
            self._edit(row, (), pool.ticks)
            self._set_state(row, pool)
        self._is_filled = True

    def _edit(self, row: int, old: Ticks, new: Ticks) -> None:
        from toolkit.pools.kernels import concentrated as kernels  # noqa: PLC0415

        edits = list(_edits(old, new))
        if not edits:
            return
        if len(new) > self._tick_room[row]:
            self._move_ticks(row, len(old), _roomy(len(new)))
        nets = np.array([(net % _WORD, net // _WORD % _WORD) for *_, net in edits], np.uint64)
        kernels.edit(self.book, row, np.array([edit[:3] for edit in edits], np.int64), nets)

    def _move_ticks(self, row: int, size: int, room: int) -> None:
        """Give a pool's ticks a new place with more room, at the end."""
        book = self.book
        begin, self._tick_end = self._tick_end, self._tick_end + room
        first = book.facts[row, columns.FIRST]
        grown = [
            _grown(array, self._tick_end) for array in (book.tick_at, book.tick_net, book.tick_root)
        ]
        for column in grown:
            column[begin : begin + size] = column[first : first + size]
        at, net, root = grown
        self.book = book._replace(tick_at=at, tick_net=net, tick_root=root)
        self.book.facts[row, columns.FIRST] = begin
        self._tick_room[row] = room

    def _lengthen(self, runs: Places) -> None:
        """Give runs new places with twice the room."""
        old_start, old_room = (
            self.book.run[runs, columns.START],
            self.book.run[runs, columns.ROOM],
        )
        begin = self._row_end + np.concatenate([[0], np.cumsum(2 * old_room)])
        self._row_end = int(begin[-1])
        stop, row = (_grown(array, self._row_end) for array in (self.book.stop, self.book.row))
        self.book = self.book._replace(stop=stop, row=row)
        for source, size, target in zip(old_start, old_room, begin, strict=False):
            for column in (stop, row):
                column[target : target + size] = column[source : source + size]
        self.book.run[runs, columns.START] = begin[:-1]
        self.book.run[runs, columns.ROOM] = 2 * old_room


def _roomy(ticks: int) -> int:
    return ticks + ticks // 4 + 8


def _grown(array: Any, size: int) -> Any:
    """An array of at least `size` rows that begins as `array` does."""
    if size <= len(array):
        return array
    longer = np.zeros((2 * size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _limbs(price: int, liquidity: int) -> tuple[int, ...]:
    return (
        price % _WORD,
        price // _WORD % _WORD,
        price // _WORD**2,
        liquidity % _WORD,
        liquidity // _WORD,
    )


def _fees(pool: WithTicks) -> tuple[int, int]:
    """The fee on token0 going in, and on token1."""
    if isinstance(pool, Concentrated):
        return pool.fee_ppm, pool.fee_ppm
    return pool.swap_fee_ppm(zero_for_one=True), pool.swap_fee_ppm(zero_for_one=False)


def _kind(pool: WithTicks) -> int:
    if not knows_price(pool):
        return columns.ASK
    if isinstance(pool, Concentrated):
        return columns.V3
    return columns.ASK if pool.is_hooked else columns.V4


def _shape(pool: WithTicks) -> tuple[object, ...]:
    """What every row of a table depends on."""
    return pool.tick_spacing, pool.known, _fees(pool)


def _edits(old: Ticks, new: Ticks) -> Iterator[tuple[int, int, int, int]]:
    """(what to do, at which index, tick, net) to turn one into the other, from the lowest on."""
    left, right = 0, 0
    while True:
        same = _alike(old, new, left, right)
        left, right = left + same, right + same
        gone = left < len(old) and (right == len(new) or old[left][0] < new[right][0])
        if gone:
            yield columns.REMOVE, right, old[left][0], 0
            left += 1
        elif right < len(new):
            is_new = left == len(old) or new[right][0] < old[left][0]
            yield columns.INSERT if is_new else columns.CHANGE, right, *new[right]
            left, right = left + (not is_new), right + 1
        else:
            return


def _alike(old: Ticks, new: Ticks, left: int, right: int) -> int:
    """How many ticks are equal from there on: compared by the piece, as tuples are quick at."""
    end = min(len(old) - left, len(new) - right)
    for first in range(0, end, _PIECE):
        one = old[left + first : left + first + _PIECE]
        other = new[right + first : right + first + _PIECE]
        if one != other:
            return min(end, next(compress(count(first), map(ne, one, other)), end))
    return end
