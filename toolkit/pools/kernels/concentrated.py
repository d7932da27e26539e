"""Concentrated quotes by the batch: a search in a table of stops and one partial step.

Equal to the step loop of pools/tick_walk.py, errors included. What tables are is told in book.py;
a kernel continues the runs that it reads, so only one thread may work on a run at a time.
"""

import numpy as np
import numpy.typing as npt

from toolkit.model.units import PPM
from toolkit.pools.kernels.book import (
    AHEAD,
    ASK,
    BROKEN,
    COUNT,
    END,
    FEE_DOWN,
    FEE_UP,
    FIRST,
    GIVEN,
    HIGH,
    INSERT,
    KIND,
    LAST,
    LIQUIDITY,
    LOW,
    OPEN,
    PRICE,
    REMOVE,
    ROOM,
    ROOT,
    SPACING,
    STALE,
    START,
    TAKEN,
    TICK,
    TICKS,
    UNKNOWN,
    V3,
    V4,
    WIDTH,
    Book,
)
from toolkit.pools.kernels.jit import COMPILED, jit, part
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
    root_of,
    sqrt_price_at_tick,
    step_between,
    with_fee,
)
from toolkit.pools.kernels.u256 import ZERO, Limbs, add, is_zero, less, subtract
from toolkit.pools.tick_walk import WORD
from toolkit.pools.ticks import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK

__all__ = ["COMPILED", "edit", "quote"]

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

_LIMB = 2**64
_BEHIND = 16  # initialised ticks behind the price with which a run begins
_NOTHING: Limbs = (ZERO, ZERO, ZERO, ZERO)
_SIGN = np.uint64(2**63)
_LEAST: Limbs = (np.uint64(MIN_SQRT_PRICE), ZERO, ZERO)
_LOWEST: Limbs = (np.uint64(MIN_SQRT_PRICE + 1), ZERO, ZERO)
_MOST: Limbs = tuple(np.uint64(MAX_SQRT_PRICE // _LIMB**k % _LIMB) for k in range(3))
_HIGHEST: Limbs = tuple(np.uint64((MAX_SQRT_PRICE - 1) // _LIMB**k % _LIMB) for k in range(3))
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
    exact_in: bool,  # noqa: FBT001 - numba knows no keyword-only arguments
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
            for limb in range(4):
                answers[query, limb] = answer[limb]
                filled[query, limb] = done[limb]


@jit
def edit(book: Book, pool: int, edits: Places, nets: Words) -> None:
    """Change a pool's ticks, and cut its runs at the first that changes.

    Of k edits, in rising order: `edits` (k, 3) int64: CHANGE, INSERT or REMOVE, the index that it
    is done at once those before it are, the tick; `nets` (k, 2) uint64. There must be room.
    """
    facts = book.facts[pool]
    first = facts[FIRST]
    for place in range(edits.shape[0]):
        kind, index, tick = edits[place, 0], edits[place, 1], edits[place, 2]
        at = first + index
        if kind == REMOVE:
            _move(book, at + 1, at, facts[TICKS] - index - 1)
            facts[TICKS] -= 1
            continue
        if kind == INSERT:
            _move(book, at, at + 1, facts[TICKS] - index)
            facts[TICKS] += 1
            book.tick_at[at] = tick
            root = root_of(sqrt_price_at_tick(tick))
            for column in range(ROOT):
                book.tick_root[at, column] = root[column]
        book.tick_net[at, 0] = nets[place, 0]
        book.tick_net[at, 1] = nets[place, 1]
    _cut(book, pool, edits[0, 2], edits[-1, 2])


@part
def _move(book: Book, source: int, target: int, count: int) -> None:
    """Move ticks by one place; the last go first where they move up."""
    for step in range(count):
        step = step if target < source else count - 1 - step  # noqa: PLW2901
        book.tick_at[target + step] = book.tick_at[source + step]
        book.tick_net[target + step] = book.tick_net[source + step]
        book.tick_root[target + step] = book.tick_root[source + step]


@part
def _cut(book: Book, pool: int, lowest: int, highest: int) -> None:
    """Drop the rows that a change of ticks from `lowest` to `highest` may touch.

    What changes behind a run's beginning, or at it, leaves all of its rows as they are.
    """
    for run in (2 * pool, 2 * pool + 1):
        down = run == 2 * pool
        start, count = book.run[run, START], book.run[run, COUNT]
        begin = book.stop[start]
        if count == 0 or (lowest >= begin if down else highest <= begin):
            continue
        kept = _ahead(book, run, highest if down else lowest - 1, down, 0)
        if kept < count or book.run[run, END] == UNKNOWN:
            book.run[run, END] = OPEN
        book.run[run, COUNT] = kept


@part
def _swap(
    book: Book,
    pool: int,
    down: bool,  # noqa: FBT001 - as above
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,  # noqa: FBT001
) -> tuple[int, Limbs, Limbs]:
    """(status, taken, given) of one swap."""
    run = 2 * pool + (0 if down else 1)
    code = _refused(book, pool, down, amount, limit, exact_in)
    if code != _OK:
        return code, _NOTHING, _NOTHING
    if book.run[run, STALE] and not _settle(book, pool, run, down):
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


@part
def _refused_after(kind: int, taken: Limbs, given: Limbs, short: bool) -> int:  # noqa: FBT001
    """What the contract and its periphery look at in the end."""
    if kind == V4 and (less(_INT128, taken) or not less(given, _INT128)):
        return _OVERFLOW
    if kind == V3 and is_zero(taken):
        return _NO_SWAP
    return _TOO_MUCH if short else _OK


@part
def _refused(
    book: Book,
    pool: int,
    down: bool,  # noqa: FBT001
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,  # noqa: FBT001
) -> int:
    """What the contract looks at before it begins."""
    facts = book.facts[pool]
    fee = facts[FEE_DOWN] if down else facts[FEE_UP]
    if facts[KIND] == ASK or fee == PPM:
        return _ASK
    most = facts[KIND] == V4 and exact_in and not less(_INT256, amount)
    if is_zero(amount) or (not less(amount, _INT256) and not most):
        return _AMOUNT
    price = _price(book, pool)
    if is_zero(price):
        return _UNINITIALISED
    if facts[KIND] == V3 and facts[TICKS] == 0 and is_zero(_liquidity(book, pool)):
        return _EMPTY
    bound = limit
    if is_zero(limit):
        bound = (*_LOWEST, ZERO) if down else (*_HIGHEST, ZERO)
    if down:
        fits = less(_LEAST, bound) and less(bound, price)
    else:
        fits = less(price, bound) and less(bound, _MOST)
    return _OK if fits else _LIMIT


@part
def _price(book: Book, pool: int) -> Limbs:
    return (book.state[pool, 0], book.state[pool, 1], book.state[pool, 2])


@part
def _liquidity(book: Book, pool: int) -> Limbs:
    return (book.state[pool, 3], book.state[pool, 4])


@part
def _amount(book: Book, row: int, column: int) -> Limbs:
    rows = book.row
    return (rows[row, column], rows[row, column + 1], rows[row, column + 2], rows[row, column + 3])


@part
def _row_price(book: Book, row: int) -> Limbs:
    return (book.row[row, PRICE], book.row[row, PRICE + 1], book.row[row, PRICE + 2])


@part
def _root(of: Words, row: int) -> Limbs:
    """A stop's price and its inverse."""
    return (of[row, 0], of[row, 1], of[row, 2], of[row, 3], of[row, 4], of[row, 5], of[row, 6])


@part
def _row_liquidity(book: Book, row: int) -> Limbs:
    return (book.row[row, LIQUIDITY], book.row[row, LIQUIDITY + 1])


@part
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
        return _amount(book, ahead, column)
    return add(subtract(amount, head), _amount(book, ahead, column))


@part
def _until(book: Book, run: int, row: int, column: int) -> Limbs:
    """What it takes (TAKEN) or gives (GIVEN) from the price to the stop of a row."""
    head = (
        book.head[run, column - TAKEN],
        book.head[run, column - TAKEN + 1],
        book.head[run, column - TAKEN + 2],
        book.head[run, column - TAKEN + 3],
    )
    ahead = book.run[run, START] + book.run[run, AHEAD]
    return add(head, subtract(_amount(book, row, column), _amount(book, ahead, column)))


@part
def _first(
    book: Book,
    run: int,
    down: bool,  # noqa: FBT001
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,  # noqa: FBT001
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
        if less(_amount(book, start + middle, column), needed):
            low = middle + 1
        else:
            high = middle
    if is_zero(limit):
        return low
    high, low = low, book.run[run, AHEAD]
    while low < high:
        middle = (low + high) >> 1
        if _meets(book, start + middle, down, limit):
            high = middle
        else:
            low = middle + 1
    return low


@part
def _meets(book: Book, row: int, down: bool, limit: Limbs) -> bool:  # noqa: FBT001
    """Whether the price limit lies at or before a row's stop."""
    price = _row_price(book, row)
    return not less(limit, price) if down else not less(price, limit)


@part
def _further(
    book: Book,
    pool: int,
    run: int,
    down: bool,  # noqa: FBT001
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,  # noqa: FBT001
) -> tuple[int, int]:
    """Continue a run to the row where the swap ends: (row, status)."""
    column = TAKEN if exact_in else GIVEN
    start = book.run[run, START]
    row = book.run[run, COUNT]
    while True:
        end = book.run[run, END]
        if end == LAST:
            return row - 1, _OK
        if end == UNKNOWN:
            return row, _UNKNOWN_TICKS
        if end == BROKEN:
            return row, _BROKEN_TICKS
        if row == book.run[run, ROOM]:
            return row, _ROOM
        _continue(book, pool, run, down)
        if book.run[run, COUNT] > row:
            used = not less(_amount(book, start + row, column), _needed(book, run, amount, column))
            if used or (not is_zero(limit) and _meets(book, start + row, down, limit)):
                return row, _OK
            row += 1


@part
def _finish(
    book: Book,
    pool: int,
    run: int,
    row: int,
    down: bool,  # noqa: FBT001
    amount: Limbs,
    limit: Limbs,
    exact_in: bool,  # noqa: FBT001
) -> tuple[int, Limbs, Limbs]:
    """The last step, that to the stop of `row`: (status, taken, given) of the whole swap."""
    facts = book.facts[pool]
    fee = np.uint64(facts[FEE_DOWN] if down else facts[FEE_UP])
    place = book.run[run, START] + row
    price, liquidity, taken, given = (
        _price(book, pool),
        _liquidity(book, pool),
        _NOTHING,
        _NOTHING,
    )
    if row > book.run[run, AHEAD]:
        price, liquidity = _row_price(book, place - 1), _row_liquidity(book, place - 1)
        taken, given = _until(book, run, place - 1, TAKEN), _until(book, run, place - 1, GIVEN)
    stop = _row_price(book, place)
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


@part
def _settle(book: Book, pool: int, run: int, down: bool) -> bool:  # noqa: FBT001
    """Find a run's place again after its pool changed; False if it needs more room."""
    runs, tick = book.run[run], book.facts[pool, TICK]
    start, liquidity = runs[START], _liquidity(book, pool)
    ahead = _ahead(book, run, tick, down, 0)
    is_new = ahead == 0
    if is_new:
        _anchor(book, pool, run, down)
        ahead = _ahead(book, run, tick, down, 0)
    while True:
        while ahead == runs[COUNT] and runs[END] == OPEN:
            if runs[COUNT] == runs[ROOM]:
                return False
            _continue(book, pool, run, down)
            ahead = _ahead(book, run, tick, down, ahead)
        if is_new or _fits(book, run, ahead, liquidity):
            break
        is_new = True
        _anchor(book, pool, run, down)
        ahead = _ahead(book, run, tick, down, 0)
    head = book.head[run]
    head[:] = ZERO
    if ahead < runs[COUNT]:
        facts = book.facts[pool]
        fee = np.uint64(facts[FEE_DOWN] if down else facts[FEE_UP])
        taken, given = full_step(
            _price(book, pool), _row_price(book, start + ahead), liquidity, fee
        )
        for limb in range(4):
            head[limb] = taken[limb]
            head[4 + limb] = given[limb]
    runs[AHEAD] = ahead
    runs[STALE] = 0
    return True


@part
def _fits(book: Book, run: int, ahead: int, liquidity: Limbs) -> bool:
    """Whether a run tells what is in range at the price, and ends ahead of it."""
    if ahead == book.run[run, COUNT] and book.run[run, END] != UNKNOWN:
        return False
    behind = _row_liquidity(book, book.run[run, START] + ahead - 1)
    return not less(behind, liquidity) and not less(liquidity, behind)


@part
def _ahead(book: Book, run: int, tick: int, down: bool, row: int) -> int:  # noqa: FBT001
    """The first row, from `row` on, whose stop is ahead of the price; COUNT if there is none."""
    start, count = book.run[run, START], book.run[run, COUNT]
    low, high = row, count
    while low < high:
        middle = (low + high) >> 1
        stop = book.stop[start + middle]
        if stop <= tick if down else stop > tick:
            high = middle
        else:
            low = middle + 1
    return low


@part
def _anchor(book: Book, pool: int, run: int, down: bool) -> None:  # noqa: FBT001
    """Begin a run anew behind the price, so that swaps to and fro stay ahead of its beginning.

    That is the second edge of a bitmap word, or some initialised ticks if they come before it, or
    the one from which on the liquidity cannot be right.
    """
    facts = book.facts[pool]
    tick, first, count = facts[TICK], facts[FIRST], facts[TICKS]
    spacing, word = facts[SPACING], facts[SPACING] * WORD
    liquidity = _liquidity(book, pool)
    index = _above(book, pool, tick)
    passed = 0
    if down:
        begin = min((tick // word + 2) * word, MAX_TICK)
        while index < count and book.tick_at[first + index] < begin:
            right, before = _crossed(book, first + index, liquidity, False)
            if not right or passed == _BEHIND:
                begin = book.tick_at[first + index]
                break
            liquidity = before
            passed += 1
            index += 1
    else:
        begin = max(((tick + spacing) // word - 1) * word - spacing, MIN_TICK)
        index -= 1
        while index >= 0 and book.tick_at[first + index] > begin:
            right, before = _crossed(book, first + index, liquidity, True)
            if not right or passed == _BEHIND:
                begin = book.tick_at[first + index]
                break
            liquidity = before
            passed += 1
            index -= 1
    root = root_of(sqrt_price_at_tick(begin))
    _write(book, book.run[run, START], begin, root, liquidity, _NOTHING, _NOTHING)
    book.run[run, COUNT] = 1
    book.run[run, END] = OPEN


@part
def _above(book: Book, pool: int, tick: int) -> int:
    """How many of a pool's initialised ticks are not above `tick`."""
    first = book.facts[pool, FIRST]
    low, high = 0, book.facts[pool, TICKS]
    while low < high:
        middle = (low + high) >> 1
        if book.tick_at[first + middle] > tick:
            high = middle
        else:
            low = middle + 1
    return low


@part
def _crossed(
    book: Book,
    place: int,
    liquidity: Limbs,
    down: bool,  # noqa: FBT001
) -> tuple[bool, Limbs]:
    """Liquidity behind a tick, LiquidityMath.sol `addDelta`; False where it leaves uint128."""
    net = (book.tick_net[place, 0], book.tick_net[place, 1])
    falls = net[1] >= _SIGN
    size = subtract((ZERO, ZERO), net) if falls else net
    if falls != down:
        return not less(liquidity, size), subtract(liquidity, size)
    after = add(liquidity, size)
    return not less(after, size), after


@part
def _continue(book: Book, pool: int, run: int, down: bool) -> None:  # noqa: FBT001
    """Add the next stop to an open run that has room, or say how it ends."""
    facts = book.facts[pool]
    fee = np.uint64(facts[FEE_DOWN] if down else facts[FEE_UP])
    last = book.run[run, START] + book.run[run, COUNT] - 1
    liquidity = _row_liquidity(book, last)
    tick = book.stop[last] - 1 if down else book.stop[last]
    known, stop, index = _next_stop(book, pool, tick, down, is_zero(liquidity))
    if not known:
        book.run[run, END] = UNKNOWN
        return
    end = OPEN
    if stop == (MIN_TICK if down else MAX_TICK):
        # The price limit that is always there comes one unit before the last tick.
        root = root_of(_LOWEST if down else _HIGHEST)
        end = LAST
        index = -1
    elif index >= 0:
        root = _root(book.tick_root, facts[FIRST] + index)
    else:
        root = root_of(sqrt_price_at_tick(stop))
    begin = _root(book.row, last)
    paid, got = step_between(begin[:3], begin[3:], root[:3], root[3:], liquidity, fee)
    taken, given = add(_amount(book, last, TAKEN), paid), add(_amount(book, last, GIVEN), got)
    if index >= 0:
        right, liquidity = _crossed(book, facts[FIRST] + index, liquidity, down)
        if not right:
            end = BROKEN
    _write(book, last + 1, stop, root, liquidity, taken, given)
    book.run[run, COUNT] += 1
    book.run[run, END] = end


@part
def _next_stop(
    book: Book,
    pool: int,
    tick: int,
    down: bool,  # noqa: FBT001
    empty: bool,  # noqa: FBT001
) -> tuple[bool, int, int]:
    """(whether it is known, the next stop from `tick`, its index among the ticks or -1).

    Without liquidity nothing is rounded on the way, so empty words are passed over at once: to the
    next initialised tick, or to the last edge that is known.
    """
    facts = book.facts[pool]
    low, high, count = facts[LOW], facts[HIGH], facts[TICKS]
    word = WORD * facts[SPACING]
    index = _above(book, pool, tick)
    if down:
        index -= 1
        edge = tick // word * word
        if empty and index < 0:
            edge = -(-low // word) * word if low > MIN_TICK else MIN_TICK
        edge = max(edge, MIN_TICK)
        if index >= 0 and (empty or book.tick_at[facts[FIRST] + index] >= edge):
            return True, book.tick_at[facts[FIRST] + index], index
        return low <= edge <= tick, edge, -1
    spacing = facts[SPACING]
    edge = (tick + spacing) // word * word + (WORD - 1) * spacing
    if empty and index == count:
        edge = (high + spacing) // word * word - spacing if high < MAX_TICK else MAX_TICK
    edge = min(edge, MAX_TICK)
    if index < count and (empty or book.tick_at[facts[FIRST] + index] <= edge):
        return True, book.tick_at[facts[FIRST] + index], index
    return tick < edge <= high, edge, -1


@part
def _write(
    book: Book,
    row: int,
    stop: int,
    root: Limbs,
    liquidity: Limbs,
    taken: Limbs,
    given: Limbs,
) -> None:
    book.stop[row] = stop
    whole = (*root, *liquidity, *taken, *given)
    for column in range(WIDTH):
        book.row[row, column] = whole[column]
