"""Concentrated quotes by the batch: a search in a table of stops and one partial step.

Equal to the step loop of pools/tick_walk.py, errors included. What tables are is told in book.py;
a kernel continues the runs that it reads, so only one thread may work on a run at a time.
"""

import numpy as np

from toolkit.model.units import PPM
from toolkit.pools.kernels.book import (
    AHEAD,
    ASK,
    BROKEN,
    COUNT,
    END,
    FEE_DOWN,
    FEE_UP,
    GIVEN,
    KIND,
    LAST,
    OPEN,
    STALE,
    START,
    TAKEN,
    TICKS,
    UNKNOWN,
    V3,
    V4,
    Book,
)
from toolkit.pools.kernels.jit import COMPILED, inlined, jit, part
from toolkit.pools.kernels.runs import (
    HIGHEST,
    LOWEST,
    amount_at,
    edit,
    go_on,
    liquidity_at,
    liquidity_of,
    meets,
    price_at,
    price_of,
    settle,
    write,
)
from toolkit.pools.kernels.status import Status
from toolkit.pools.kernels.swap_step import (
    amount0_down,
    amount0_up,
    amount1_down,
    amount1_up,
    full_step,
    less_fee,
    price_after_in,
    price_after_out,
    with_fee,
)
from toolkit.pools.kernels.u256 import ZERO, Limbs, add, is_zero, less, subtract
from toolkit.pools.ticks import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK
from toolkit.pools.words import Codes, Flags, Places, Words

__all__ = ["COMPILED", "edit", "quote"]


_LIMB = 2**64
_NOTHING: Limbs = (ZERO, ZERO, ZERO, ZERO)
_SIGN = np.uint64(2**63)
_LEAST: Limbs = (np.uint64(MIN_SQRT_PRICE), ZERO, ZERO)
_MOST: Limbs = tuple(np.uint64(MAX_SQRT_PRICE // _LIMB**k % _LIMB) for k in range(3))
_INT128: Limbs = (ZERO, _SIGN)
_INT256: Limbs = (ZERO, ZERO, ZERO, _SIGN)

_OK = int(Status.OK)
_AMOUNT = int(Status.AMOUNT)
_OVERFLOW = int(Status.OVERFLOW)
_TOO_MUCH = int(Status.TOO_MUCH)
_UNINITIALISED = int(Status.UNINITIALISED)
_EMPTY = int(Status.EMPTY)
_LIMIT = int(Status.LIMIT)
_UNKNOWN_TICKS = int(Status.UNKNOWN_TICKS)
_BROKEN_TICKS = int(Status.BROKEN_TICKS)
_NO_SWAP = int(Status.NOTHING)
_ASK = int(Status.ASK)
_ROOM = int(Status.ROOM)


@jit
def quote(
    which: Places,
    pools: Places,
    forward: Flags,
    amounts: Words,
    limits: Words,
    exact_in: bool,
    book: Book,
    answers: Words,
    filled: Words,
    status: Codes,
) -> None:
    """Answer the queries that `which` names; those with status ROOM need longer runs first.

    Of n queries: `pools` (n) int64, rows of `book`; `forward` (n) bool, whether token0 goes in;
    `amounts` (n, 4); `limits` (n, 4), 0 for none, or no rows at all. Written: `answers` and
    `filled` (n, 4), `status` (n) int8.
    """
    for place in range(which.shape[0]):
        query = which[place]
        amount = (amounts[query, 0], amounts[query, 1], amounts[query, 2], amounts[query, 3])
        limit = _NOTHING
        if limits.shape[0]:
            limit = (limits[query, 0], limits[query, 1], limits[query, 2], limits[query, 3])
        code, taken, given = _swap(book, pools[query], forward[query], amount, limit, exact_in)
        status[query] = code
        if code == _OK:
            answer, done = (given, taken) if exact_in else (taken, given)
            write(answers, query, 0, answer)
            write(filled, query, 0, done)


@inlined
def _swap(
    book: Book,
    pool: int,
    down: bool,
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,
) -> tuple[int, Limbs, Limbs]:
    """(status, taken, given) of one swap."""
    run = 2 * pool + (0 if down else 1)
    code = _refused(book, pool, down, amount, limit, exact_in)
    if code != _OK:
        return code, _NOTHING, _NOTHING
    if book.run[run, STALE] and not settle(book, pool, run, down):
        return _ROOM, _NOTHING, _NOTHING
    row = _first(book, run, down, amount, limit[:3], exact_in)
    if row == book.run[run, COUNT]:
        row, code = _further(book, pool, run, down, amount, limit[:3], exact_in)
    taken, given = _NOTHING, _NOTHING
    if code == _OK:
        code, taken, given = _finish(book, pool, run, row, down, amount, limit[:3], exact_in)
    if code == _OK:
        short = not exact_in and is_zero(limit) and less(given, amount)
        code = _refused_after(book.facts[pool, KIND], taken, given, short)
    return code, taken, given


@inlined
def _refused_after(kind: int, taken: Limbs, given: Limbs, short: bool) -> int:
    """What the contract and its periphery look at in the end."""
    if kind == V4 and (less(_INT128, taken) or not less(given, _INT128)):
        return _OVERFLOW
    if kind == V3 and is_zero(taken):
        return _NO_SWAP
    return _TOO_MUCH if short else _OK


@inlined
def _refused(
    book: Book,
    pool: int,
    down: bool,
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,
) -> int:
    """What the contract looks at before it begins."""
    facts = book.facts[pool]
    fee = facts[FEE_DOWN] if down else facts[FEE_UP]
    if facts[KIND] == ASK or fee == PPM:
        return _ASK
    most = facts[KIND] == V4 and exact_in and not less(_INT256, amount)
    if is_zero(amount) or (not less(amount, _INT256) and not most):
        return _AMOUNT
    price = price_of(book, pool)
    if is_zero(price):
        return _UNINITIALISED
    if facts[KIND] == V3 and facts[TICKS] == 0 and is_zero(liquidity_of(book, pool)):
        return _EMPTY
    bound = limit
    if is_zero(limit):
        bound = (*LOWEST, ZERO) if down else (*HIGHEST, ZERO)
    if down:
        fits = less(_LEAST, bound) and less(bound, price)
    else:
        fits = less(price, bound) and less(bound, _MOST)
    return _OK if fits else _LIMIT


@inlined
def _needed(book: Book, run: int, amount: Limbs, column: int) -> Limbs:
    """The sum in `column` at which `amount` is used up; of no use if the head takes it all."""
    head = (
        book.head[run, column - TAKEN],
        book.head[run, column - TAKEN + 1],
        book.head[run, column - TAKEN + 2],
        book.head[run, column - TAKEN + 3],
    )
    ahead = book.run[run, START] + book.run[run, AHEAD]
    if not less(head, amount):
        return amount_at(book, ahead, column)
    return add(subtract(amount, head), amount_at(book, ahead, column))


@inlined
def _until(book: Book, run: int, row: int, column: int) -> Limbs:
    """What it takes (TAKEN) or gives (GIVEN) from the price to the stop of a row."""
    head = (
        book.head[run, column - TAKEN],
        book.head[run, column - TAKEN + 1],
        book.head[run, column - TAKEN + 2],
        book.head[run, column - TAKEN + 3],
    )
    ahead = book.run[run, START] + book.run[run, AHEAD]
    return add(head, subtract(amount_at(book, row, column), amount_at(book, ahead, column)))


@inlined
def _first(
    book: Book,
    run: int,
    down: bool,
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,
) -> int:
    """The first row ahead where the amount is used up or the limit met; COUNT if there is none."""
    start: int = book.run[run, START]
    low: int = book.run[run, AHEAD]
    high: int = book.run[run, COUNT]
    if low == high:
        return low
    column = TAKEN if exact_in else GIVEN
    needed = _needed(book, run, amount, column)
    while low < high:
        middle = (low + high) >> 1
        if less(amount_at(book, start + middle, column), needed):
            low = middle + 1
        else:
            high = middle
    if is_zero(limit):
        return low
    high, low = low, book.run[run, AHEAD]
    while low < high:
        middle = (low + high) >> 1
        if meets(price_at(book, start + middle), down, limit):
            high = middle
        else:
            low = middle + 1
    return low


@part
def _further(
    book: Book,
    pool: int,
    run: int,
    down: bool,
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,
) -> tuple[int, int]:
    """Continue a run to the row where the swap ends: (row, status)."""
    runs = book.run[run]
    if runs[END] == OPEN:
        past = MAX_TICK if down else MIN_TICK - 1  # which any stop is ahead of
        to_take, to_give = _NOTHING, _NOTHING
        if exact_in:
            to_take = _needed(book, run, amount, TAKEN)
        else:
            to_give = _needed(book, run, amount, GIVEN)
        if go_on(book, pool, run, down, past, to_take, to_give, limit):
            return runs[COUNT] - 1, _OK
    end = runs[END]
    if end == LAST:
        return runs[COUNT] - 1, _OK
    if end == OPEN:
        return runs[COUNT], _ROOM
    return runs[COUNT], _UNKNOWN_TICKS if end == UNKNOWN else _BROKEN_TICKS


@inlined
def _finish(
    book: Book,
    pool: int,
    run: int,
    row: int,
    down: bool,
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,
) -> tuple[int, Limbs, Limbs]:
    """The last step, that to the stop of `row`: (status, taken, given) of the whole swap."""
    facts = book.facts[pool]
    fee = np.uint64(facts[FEE_DOWN] if down else facts[FEE_UP])
    place = book.run[run, START] + row
    price, liquidity, taken, given = (
        price_of(book, pool),
        liquidity_of(book, pool),
        _NOTHING,
        _NOTHING,
    )
    if row > book.run[run, AHEAD]:
        price, liquidity = price_at(book, place - 1), liquidity_at(book, place - 1)
        taken, given = _until(book, run, place - 1, TAKEN), _until(book, run, place - 1, GIVEN)
    stop = price_at(book, place)
    broken = book.run[run, END] == BROKEN and row == book.run[run, COUNT] - 1
    if not is_zero(limit) and (less(stop, limit) if down else less(limit, stop)):
        broken = False
        paid, got = full_step(price, limit, liquidity, fee)
        to_take, to_give = add(taken, paid), add(given, got)
    else:
        to_take, to_give = _until(book, run, place, TAKEN), _until(book, run, place, GIVEN)
    if not less(amount, to_take if exact_in else to_give):
        return (_BROKEN_TICKS if broken else _OK), to_take, to_give
    if exact_in:
        # Short of its target a step takes all that is left: what buys no output is fee.
        usable = less_fee(subtract(amount, taken), fee)
        after = price_after_in(price, liquidity, usable, down)
        if down:
            got = amount1_down(after, price, liquidity)
        else:
            got = amount0_down(price, after, liquidity)
        return _OK, amount, add(given, got)
    after = price_after_out(price, liquidity, subtract(amount, given), down)
    paid = amount0_up(after, price, liquidity) if down else amount1_up(price, after, liquidity)
    met = not less(after, stop) and not less(stop, after)
    return (_BROKEN_TICKS if broken and met else _OK), add(taken, with_fee(paid, fee)), amount
