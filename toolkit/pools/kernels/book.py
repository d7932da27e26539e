"""The arrays that concentrated pools are quoted from, and the meaning of their columns.

A *stop* is where the contract's loop stops: an initialised tick, or the edge of a bitmap word in
the swap's direction. A *run* is a direction of a pool (2 pool + 0: token0 goes in, the price
falls; + 1: it rises): a table of consecutive stops, each with what it takes and gives to get there
from the run's first stop. What a full step costs depends on its ends and liquidity only, never on
the order, so a quote is a search in the run and one partial step. A run begins at a boundary
behind the price and is continued when a quote needs it: its rows outlive swaps, and liquidity that
comes or goes cuts it at the tick that changed.
"""

from typing import NamedTuple

from toolkit.pools.words import Places, Words


class Book(NamedTuple):
    """One row a pool, a run, a tick or a stop; p pools.

    state (p, 5): sqrt price (3 limbs), liquidity (2). facts (p, 9): the columns below.
    tick_at, tick_net (2 limbs, two's complement) and tick_root (7, as in `row`): the initialised
    ticks, each pool's together and rising. run (2 p, 6): the columns below. head (2 p, 8): what it
    takes (4 limbs) and gives (4) from the price to the stop ahead. stop: the tick of each row of a
    run; row (17): the root of its price x 2^96 (3), 2^256 over that rounded down (4), the liquidity
    behind it (2), what was taken (4) and given (4) since the run's first row.
    """

    state: Words
    facts: Places
    tick_at: Places
    tick_net: Words
    tick_root: Words
    run: Places
    head: Words
    stop: Places
    row: Words


# Columns of `facts`. KIND: V3, V4, or ASK (no kernel answers for this pool). FIRST: its first tick
# in `tick_at`, of which it has TICKS; before these is what `put` replaces.
TICK, SPACING, LOW, HIGH, FEE_DOWN, FEE_UP, KIND, FIRST, TICKS = range(9)
V3, V4, ASK = range(3)

# Columns of `run`. START: its first row in `row`, of which ROOM are its own and COUNT are made;
# AHEAD: the first stop ahead of the price; STALE: the pool changed since AHEAD and `head` were.
START, ROOM, COUNT, AHEAD, END, STALE = range(6)
# END: may go on; its last row is the least or greatest price; what follows is not known; its last
# stop's net liquidity cannot be right.
OPEN, LAST, UNKNOWN, BROKEN = range(4)

# Columns of `row`, the first two also of `tick_root`.
PRICE, INVERSE, LIQUIDITY, TAKEN, GIVEN, WIDTH = 0, 3, 7, 9, 13, 17
ROOT = LIQUIDITY  # how wide `tick_root` is

# What an edit of the ticks does at its index.
CHANGE, INSERT, REMOVE = range(3)
