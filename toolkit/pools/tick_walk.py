"""A swap's way from tick to tick, which Uniswap V3 and V4 share to the last unit.

Sources: the loop of `swap` in UniswapV3Pool.sol and in V4's Pool.sol, TickBitmap.sol, Tick.sol,
LiquidityMath.sol. What differs between the two (fees, limits, what is refused) is the pool's.
"""

import copy
from bisect import bisect_right
from itertools import zip_longest
from operator import itemgetter
from typing import NamedTuple, NoReturn, Protocol, TypeVar, cast

from msgspec import Struct
from msgspec.structs import force_setattr

from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId
from toolkit.pools.swap_step import swap_step
from toolkit.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at_tick, tick_at_sqrt_price

MAX_LIQUIDITY = 2**128 - 1
WORD = 256  # ticks, counted in spacings, per word of the pool's bitmap
_MAX_NET = 2**127 - 1
_tick_of = itemgetter(0)


class Ticked(Protocol):
    """The state that a swap walks over; `ticks` and `known` as `Concentrated` has them."""

    @property
    def id(self) -> PoolId:
        """Names it in errors."""
        ...

    @property
    def tick_spacing(self) -> int:
        """Ticks between two that may be initialised."""
        ...

    @property
    def sqrt_price_x96(self) -> int:
        """Where the swap begins; 0 before there is a price."""
        ...

    @property
    def tick(self) -> int:
        """The tick that the contract stores with the price."""
        ...

    @property
    def liquidity(self) -> int:
        """What is in range."""
        ...

    @property
    def ticks(self) -> tuple[tuple[int, int], ...]:
        """The initialised ticks within `known`."""
        ...

    @property
    def known(self) -> tuple[int, int]:
        """The ticks within which all is known."""
        ...

    @property
    def gross(self) -> tuple[int, ...]:
        """What begins or ends at each of `ticks`, or ()."""
        ...


T = TypeVar("T", bound=Ticked)


class Walked(NamedTuple):
    """What a swap took and gave, and where it left price, tick and liquidity."""

    taken: int
    given: int
    sqrt_price_x96: int
    tick: int
    liquidity: int


def walk(pool: Ticked, specified: int, limit: int, fee_ppm: int, *, zero_for_one: bool) -> Walked:
    """Swap `specified` (an exact input, or minus an exact output) up to a price limit.

    Raises:
        PoolError: the swap begins beyond the known ticks or leaves them, or a tick's net liquidity
            cannot be right.
    """
    if not knows_price(pool):
        refuse(pool, "known", f"{pool.known} does not reach the price, whose tick is {pool.tick}")
    price, tick, liquidity = pool.sqrt_price_x96, pool.tick, pool.liquidity
    remaining, calculated = specified, 0
    while remaining != 0 and price != limit:
        start = price
        # Without liquidity nothing is rounded on the way: pass over empty words at once.
        reach = tick if liquidity else tick_at_sqrt_price(limit)
        index, stop = _next_stop(pool, tick, reach, zero_for_one=zero_for_one)
        stop_price = sqrt_price_at_tick(stop)
        target = max(stop_price, limit) if zero_for_one else min(stop_price, limit)
        price, paid, got, fee = swap_step(price, target, liquidity, remaining, fee_ppm)
        remaining -= paid + fee if specified > 0 else -got
        calculated += got if specified > 0 else paid + fee
        if price == stop_price:
            if index is not None:
                net = pool.ticks[index][1]
                liquidity = _crossed(pool, liquidity, -net if zero_for_one else net)
            tick = stop - 1 if zero_for_one else stop
        elif price != start:
            tick = tick_at_sqrt_price(price)
    done = abs(specified - remaining)
    taken, given = (done, calculated) if specified > 0 else (calculated, done)
    return Walked(taken, given, price, tick, liquidity)


def knows_price(pool: Ticked) -> bool:
    """Whether the price is where the ticks are known; after a swap by others it may not be.

    A price exactly at the lowest known tick may have the tick below it.
    """
    return pool.known[0] - 1 <= pool.tick <= pool.known[1]


def check_state(pool: Ticked, *, max_spacing: int) -> None:
    """Refuse what the contract's types and invariants exclude; a price of 0 is no price yet.

    Raises:
        PoolError: names pool and field.
    """
    if not 0 < pool.tick_spacing <= max_spacing:
        refuse(pool, "tick_spacing", f"{pool.tick_spacing} is not between 1 and {max_spacing}")
    _check_liquidity(pool)
    if not MIN_TICK <= pool.known[0] <= pool.known[1] <= MAX_TICK:
        refuse(pool, "known", f"{pool.known} is no range within {MIN_TICK}..{MAX_TICK}")
    if pool.sqrt_price_x96:
        _check_price(pool)
    _check_ticks(pool)


def moved(pool: T, sqrt_price_x96: int, tick: int, liquidity: int) -> T:
    """Return the pool at another price, checked; its ticks, checked already, stay as they are.

    Raises:
        PoolError: as `check_state`.
    """
    after = _with(pool, sqrt_price_x96=sqrt_price_x96, tick=tick, liquidity=liquidity)
    _check_liquidity(after)
    if sqrt_price_x96:
        _check_price(after)
    return after


def reticked(
    pool: T, liquidity: int, ticks: tuple[tuple[int, int], ...], gross: tuple[int, ...]
) -> T:
    """Return the pool with other ticks in order within `known`, which the caller has checked.

    Raises:
        PoolError: the liquidity does not fit.
    """
    after = _with(pool, liquidity=liquidity, ticks=ticks, gross=gross)
    _check_liquidity(after)
    return after


def check_tick(pool: Ticked, tick: int, net: int, gross: int | None) -> None:
    """Refuse what no tick of the contract can hold; a gross of None is not known.

    Raises:
        PoolError: names pool and field.
    """
    if tick % pool.tick_spacing:
        refuse(pool, "ticks", f"{tick} is no multiple of the spacing {pool.tick_spacing}")
    if not -_MAX_NET <= net <= _MAX_NET:
        refuse(pool, "ticks", f"the net liquidity {net} at {tick} does not fit int128")
    if gross is not None and not max(abs(net), 1) <= gross <= MAX_LIQUIDITY:
        refuse(pool, "gross", f"{gross} at {tick} is below |{net}|, 0, or beyond uint128")


def mid_price(pool: Ticked, *, zero_for_one: bool) -> float:
    """Marginal price before fees, raw units out per raw unit in."""
    check_initialised(pool)
    root = pool.sqrt_price_x96 / 2**96
    return root * root if zero_for_one else 1 / (root * root)


def check_initialised(pool: Ticked) -> None:
    """Refuse a pool without a price."""
    if not pool.sqrt_price_x96:
        refuse(pool, "sqrt_price_x96", "is 0, the pool is not initialised")


def refuse(pool: Ticked, field: str, why: str) -> NoReturn:
    """Raise the PoolError that names pool and field."""
    raise PoolError(f"pool {pool.id}: {field}: {why}")


def _next_stop(
    pool: Ticked, tick: int, reach: int, *, zero_for_one: bool
) -> tuple[int | None, int]:
    """Return (index in `ticks` or None, tick) of the next stop from `tick`.

    TickBitmap.sol `nextInitializedTickWithinOneWord`: the pool also stops at the edge of each
    bitmap word, initialised or not, at word x 256 going down, at word x 256 + 255 going up
    (in spacings), and at ±887272. The word is that of `reach`, `tick` itself or beyond it.
    """
    spacing, ticks = pool.tick_spacing, pool.ticks
    index = bisect_right(ticks, tick, key=_tick_of)
    if zero_for_one:
        index -= 1
        edge = max(min(tick, reach) // spacing // WORD * WORD * spacing, MIN_TICK)
        if index >= 0 and ticks[index][0] >= edge:
            return index, ticks[index][0]
        if edge < pool.known[0]:
            refuse(pool, "ticks", f"the swap leaves the known ticks from {pool.known[0]}")
        return None, edge
    word = max(tick // spacing + 1, reach // spacing) // WORD
    edge = min((word * WORD + WORD - 1) * spacing, MAX_TICK)
    if index < len(ticks) and ticks[index][0] <= edge:
        return index, ticks[index][0]
    if edge > pool.known[1]:
        refuse(pool, "ticks", f"the swap leaves the known ticks up to {pool.known[1]}")
    return None, edge


def _crossed(pool: Ticked, liquidity: int, net: int) -> int:
    """Add signed net liquidity, LiquidityMath.sol `addDelta`."""
    after = liquidity + net
    if not 0 <= after <= MAX_LIQUIDITY:
        refuse(pool, "ticks", f"liquidity {after} after a tick leaves uint128 (LS/LA)")
    return after


def _check_liquidity(pool: Ticked) -> None:
    if not 0 <= pool.liquidity <= MAX_LIQUIDITY:
        refuse(pool, "liquidity", f"{pool.liquidity} does not fit uint128")


def _check_price(pool: Ticked) -> None:
    try:
        tick = tick_at_sqrt_price(pool.sqrt_price_x96)
    except PoolError as error:
        raise PoolError(f"pool {pool.id}: sqrt_price_x96: {error}") from None
    # Having crossed a tick downwards exactly, the contract stores the tick below it.
    crossed = pool.tick == tick - 1 and sqrt_price_at_tick(tick) == pool.sqrt_price_x96
    if pool.tick != tick and not crossed:
        refuse(pool, "tick", f"{pool.tick} does not belong to the price, whose tick is {tick}")


def _check_ticks(pool: Ticked) -> None:
    if pool.gross and len(pool.gross) != len(pool.ticks):
        refuse(pool, "gross", f"{len(pool.gross)} values for {len(pool.ticks)} ticks")
    before = pool.known[0] - 1
    for (tick, net), gross in zip_longest(pool.ticks, pool.gross):
        if not before < tick <= pool.known[1]:
            refuse(pool, "ticks", f"{tick} is out of order or outside {pool.known}")
        check_tick(pool, tick, net, gross)
        before = tick


def _with(pool: T, **fields: object) -> T:
    """Replace fields without checking the others again: a pool's ticks may be thousands."""
    after = copy.copy(pool)
    for field, value in fields.items():
        force_setattr(cast("Struct", after), field, value)  # `after` is nobody else's yet
    return after
