"""How a quote ended, as the number a kernel writes; what is not OK has no amounts."""

from enum import IntEnum


class Status(IntEnum):
    """Why there is no amount. The words for people come from the pools themselves."""

    OK = 0
    ZERO_RESERVE = 1
    AMOUNT = 2  # not positive, or more than the contract's type holds
    OVERFLOW = 3  # the reserve would leave uint112
    TOO_MUCH = 4  # more than the pool has
    HAS_NO_LIMIT = 5  # a price limit was given to a pool that has none
    UNINITIALISED = 6
    EMPTY = 7  # no liquidity at any tick
    LIMIT = 8  # the price limit is not ahead of the price
    UNKNOWN_TICKS = 9  # the swap leaves the known ticks
    BROKEN_TICKS = 10  # liquidity leaves uint128 after a tick
    NOTHING = 11  # no liquidity between the price and its limit
    REFUSED = 12  # by the pool itself, which was asked instead of a kernel
    ASK = 126  # ask the pool itself; never an answer
    ROOM = 127  # its table has to grow first; never an answer
