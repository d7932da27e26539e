"""Runs of stops in `Book`: begun behind the price, continued as far as quotes go, cut by events.

Stops and liquidity are those of pools/tick_walk.py, so are the ends of what is known.
"""

import numpy as np

from toolkit.pools.kernels.book import (
    AHEAD,
    BROKEN,
    COUNT,
    END,
    FEE_DOWN,
    FEE_UP,
    FIRST,
    GIVEN,
    HIGH,
    INSERT,
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
    Book,
)
from toolkit.pools.kernels.jit import inlined, jit, part
from toolkit.pools.kernels.swap_step import (
    full_step,
    root_of,
    sqrt_price_at_tick,
    step_between,
)
from toolkit.pools.kernels.u256 import ZERO, Limbs, add, apart, is_zero, less, subtract
from toolkit.pools.tick_walk import WORD
from toolkit.pools.ticks import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK
from toolkit.pools.words import Places, Words

_LIMB = 2**64
_BEHIND = 16  # initialised ticks behind the price with which a run begins
_SIGN = np.uint64(2**63)
_NOTHING: Limbs = (ZERO, ZERO, ZERO, ZERO)
LOWEST: Limbs = (np.uint64(MIN_SQRT_PRICE + 1), ZERO, ZERO)
HIGHEST: Limbs = tuple(np.uint64((MAX_SQRT_PRICE - 1) // _LIMB**k % _LIMB) for k in range(3))


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


@inlined
def price_of(book: Book, pool: int) -> Limbs:
    """The price of a pool."""
    return (book.state[pool, 0], book.state[pool, 1], book.state[pool, 2])


@inlined
def liquidity_of(book: Book, pool: int) -> Limbs:
    """The liquidity in range at the price of a pool."""
    return (book.state[pool, 3], book.state[pool, 4])


@inlined
def amount_at(book: Book, row: int, column: int) -> Limbs:
    """A sum in a row, by its column."""
    rows = book.row
    return (rows[row, column], rows[row, column + 1], rows[row, column + 2], rows[row, column + 3])


@inlined
def price_at(book: Book, row: int) -> Limbs:
    """The price of a row's stop."""
    return (book.row[row, PRICE], book.row[row, PRICE + 1], book.row[row, PRICE + 2])


@inlined
def _root(of: Words, row: int) -> Limbs:
    """A stop's price and its inverse."""
    return (of[row, 0], of[row, 1], of[row, 2], of[row, 3], of[row, 4], of[row, 5], of[row, 6])


@inlined
def liquidity_at(book: Book, row: int) -> Limbs:
    """The liquidity behind a row's stop."""
    return (book.row[row, LIQUIDITY], book.row[row, LIQUIDITY + 1])


@part
def settle(book: Book, pool: int, run: int, down: bool) -> bool:
    """Find a run's place again after its pool changed; False if it needs more room."""
    apart()
    runs, tick = book.run[run], book.facts[pool, TICK]
    start, liquidity = runs[START], liquidity_of(book, pool)
    ahead = _ahead(book, run, tick, down, 0)
    is_new = ahead == 0
    if is_new:
        _anchor(book, pool, run, down)
        ahead = _ahead(book, run, tick, down, 0)
    while True:
        if ahead == runs[COUNT] and runs[END] == OPEN:
            if not go_on(book, pool, run, down, tick, _NOTHING, _NOTHING, _NOTHING[:3]) and (
                runs[END] == OPEN
            ):
                return False
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
            price_of(book, pool), price_at(book, start + ahead), liquidity, fee
        )
        write(book.head, run, TAKEN - TAKEN, taken)
        write(book.head, run, GIVEN - TAKEN, given)
    runs[AHEAD] = ahead
    runs[STALE] = 0
    return True


@part
def _fits(book: Book, run: int, ahead: int, liquidity: Limbs) -> bool:
    """Whether a run tells what is in range at the price, and ends ahead of it."""
    if ahead == book.run[run, COUNT] and book.run[run, END] != UNKNOWN:
        return False
    behind = liquidity_at(book, book.run[run, START] + ahead - 1)
    return not less(behind, liquidity) and not less(liquidity, behind)


@part
def _ahead(book: Book, run: int, tick: int, down: bool, row: int) -> int:
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
def _anchor(book: Book, pool: int, run: int, down: bool) -> None:
    """Begin a run anew behind the price, so that swaps to and fro stay ahead of its beginning.

    That is the second edge of a bitmap word, or some initialised ticks if they come before it, or
    the one from which on the liquidity cannot be right.
    """
    apart()
    facts = book.facts[pool]
    tick, first, count = facts[TICK], facts[FIRST], facts[TICKS]
    spacing, word = facts[SPACING], facts[SPACING] * WORD
    liquidity = liquidity_of(book, pool)
    index = _above(book, pool, tick)
    passed = 0
    if down:
        begin = min((tick // word + 2) * word, MAX_TICK)
        while index < count and book.tick_at[first + index] < begin:
            right, before = _crossed(book.tick_net, first + index, liquidity, False)
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
            right, before = _crossed(book.tick_net, first + index, liquidity, True)
            if not right or passed == _BEHIND:
                begin = book.tick_at[first + index]
                break
            liquidity = before
            passed += 1
            index -= 1
    root = root_of(sqrt_price_at_tick(begin))
    _write(book.stop, book.row, book.run[run, START], begin, root, liquidity, _NOTHING, _NOTHING)
    book.run[run, COUNT] = 1
    book.run[run, END] = OPEN


@inlined
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


@inlined
def _crossed(
    nets: Words,
    place: int,
    liquidity: Limbs,
    down: bool,
) -> tuple[bool, Limbs]:
    """Liquidity behind a tick, LiquidityMath.sol `addDelta`; False where it leaves uint128."""
    net = (nets[place, 0], nets[place, 1])
    falls = net[1] >= _SIGN
    size = subtract((ZERO, ZERO), net) if falls else net
    if falls != down:
        return not less(liquidity, size), subtract(liquidity, size)
    after = add(liquidity, size)
    return not less(after, size), after


@part
def go_on(
    book: Book,
    pool: int,
    run: int,
    down: bool,
    past: int,
    to_take: Limbs,
    to_give: Limbs,
    limit: Limbs,
) -> bool:
    """Add stops to an open run, until one is ahead of the tick `past` and all is met there.

    That is when so much was taken and so much given, or the price limit (0: none) was met. False
    if the run ends before, or has no more room. Stops are made in a loop in here because a call
    that hands on the book counts the references to all of its arrays.
    """
    apart()
    facts, runs = book.facts[pool], book.run[run]
    ticks, nets, roots, stops, rows = (
        book.tick_at,
        book.tick_net,
        book.tick_root,
        book.stop,
        book.row,
    )
    fee, first = np.uint64(facts[FEE_DOWN] if down else facts[FEE_UP]), facts[FIRST]
    count, room, end = runs[COUNT], runs[ROOM], OPEN
    row = runs[START] + count - 1
    root, liquidity = _root(rows, row), liquidity_at(book, row)
    taken, given = amount_at(book, row, TAKEN), amount_at(book, row, GIVEN)
    tick = stops[row] - 1 if down else stops[row]
    index = _above(book, pool, tick) - down
    reached = False
    while not reached and end == OPEN and count < room:
        known, stop, is_tick = _next_stop(ticks, facts, tick, index, down, is_zero(liquidity))
        if not known:
            end = UNKNOWN
            break
        begin = root
        if stop == (MIN_TICK if down else MAX_TICK):
            # The price limit that is always there comes one unit before the last tick.
            root = root_of(LOWEST if down else HIGHEST)
            end = LAST
        elif is_tick:
            root = _root(roots, first + index)
        else:
            root = root_of(sqrt_price_at_tick(stop))
        paid, got = step_between(begin[:3], begin[3:], root[:3], root[3:], liquidity, fee)
        taken, given = add(taken, paid), add(given, got)
        if is_tick and end == OPEN:
            right, liquidity = _crossed(nets, first + index, liquidity, down)
            if not right:
                end = BROKEN
            index += -1 if down else 1
        row += 1
        count += 1
        _write(stops, rows, row, stop, root, liquidity, taken, given)
        tick = stop - 1 if down else stop
        is_ahead = stop <= past if down else stop > past
        is_done = not less(taken, to_take) and not less(given, to_give)
        reached = is_ahead and (is_done or (not is_zero(limit) and meets(root[:3], down, limit)))
    runs[COUNT], runs[END] = count, end
    return reached


@inlined
def meets(price: Limbs, down: bool, limit: Limbs) -> bool:
    """Whether the price limit lies at or before a stop's price."""
    return not less(limit, price) if down else not less(price, limit)


@inlined
def _next_stop(
    ticks: Places,
    facts: Places,
    tick: int,
    index: int,
    down: bool,
    empty: bool,
) -> tuple[bool, int, bool]:
    """(whether it is known, the next stop from `tick`, whether it is the tick at `index`).

    Without liquidity nothing is rounded on the way, so empty words are passed over at once: to the
    next initialised tick, or to the last edge that is known.
    """
    low, high, count = facts[LOW], facts[HIGH], facts[TICKS]
    spacing = facts[SPACING]
    word = WORD * spacing
    if down:
        edge = tick // word * word
        if empty and index < 0:
            edge = -(-low // word) * word if low > MIN_TICK else MIN_TICK
        edge = max(edge, MIN_TICK)
        if index >= 0 and (empty or ticks[facts[FIRST] + index] >= edge):
            return True, ticks[facts[FIRST] + index], True
        return low <= edge <= tick, edge, False
    edge = (tick + spacing) // word * word + (WORD - 1) * spacing
    if empty and index == count:
        edge = (high + spacing) // word * word - spacing if high < MAX_TICK else MAX_TICK
    edge = min(edge, MAX_TICK)
    if index < count and (empty or ticks[facts[FIRST] + index] <= edge):
        return True, ticks[facts[FIRST] + index], True
    return tick < edge <= high, edge, False


@inlined
def _write(
    stops: Places,
    rows: Words,
    row: int,
    stop: int,
    root: Limbs,
    liquidity: Limbs,
    taken: Limbs,
    given: Limbs,
) -> None:
    """Limb by limb: a tuple that is indexed in a loop becomes a table of jumps."""
    stops[row] = stop
    write(rows, row, PRICE, (root[0], root[1], root[2], root[3]))
    write(rows, row, PRICE + 4, (root[4], root[5], root[6], liquidity[0]))
    rows[row, LIQUIDITY + 1] = liquidity[1]
    write(rows, row, TAKEN, taken)
    write(rows, row, GIVEN, given)


@inlined
def write(rows: Words, row: int, column: int, amount: Limbs) -> None:
    """Write four limbs into a row, from a column on."""
    rows[row, column] = amount[0]
    rows[row, column + 1] = amount[1]
    rows[row, column + 2] = amount[2]
    rows[row, column + 3] = amount[3]
