"""Ticks and square-root prices of concentrated pools, exactly as TickMath.sol computes them.

A price is token1 per token0 in smallest units; `sqrt_price_x96` is its root times 2^96. Tick t
stands for the price 1.0001^t.
"""

import functools
import math

from toolkit.model.errors import PoolError

MIN_TICK = -887272
MAX_TICK = 887272
MIN_SQRT_PRICE = 4295128739
MAX_SQRT_PRICE = 1461446703485210103287273052203988822378723970342

# floor(2^128 / sqrt(1.0001)^(2^k)) for k = 0, 1, ...: the constants of getSqrtRatioAtTick.
FACTORS = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)
_MAX_UINT256 = 2**256 - 1
_LOG_BASE = math.log(1.0001)
_LOG_2_192 = 192 * math.log(2)


@functools.lru_cache(maxsize=65_536)
def sqrt_price_at_tick(tick: int) -> int:
    """Return sqrt(1.0001^tick) x 2^96, rounded up: TickMath.sol `getSqrtRatioAtTick`.

    Raises:
        PoolError: the tick is outside ±887272.
    """
    if not MIN_TICK <= tick <= MAX_TICK:
        raise PoolError(f"tick {tick} is outside {MIN_TICK}..{MAX_TICK}")
    ratio = 1 << 128
    steps = abs(tick)
    for factor in FACTORS:
        if steps & 1:
            ratio = ratio * factor >> 128
        steps >>= 1
    if tick > 0:
        ratio = _MAX_UINT256 // ratio
    return -(-ratio >> 32)


def tick_at_sqrt_price(sqrt_price_x96: int) -> int:
    """Return the greatest tick whose price is at most this one: TickMath `getTickAtSqrtRatio`.

    A float logarithm lands within one tick; exact comparisons settle it.

    Raises:
        PoolError: the price is outside [MIN_SQRT_PRICE, MAX_SQRT_PRICE).
    """
    if not MIN_SQRT_PRICE <= sqrt_price_x96 < MAX_SQRT_PRICE:
        raise PoolError(
            f"sqrt price {sqrt_price_x96} is outside [{MIN_SQRT_PRICE}, {MAX_SQRT_PRICE})"
        )
    tick = math.floor((2 * math.log(sqrt_price_x96) - _LOG_2_192) / _LOG_BASE)
    tick = min(max(tick, MIN_TICK), MAX_TICK)
    while sqrt_price_at_tick(tick) > sqrt_price_x96:
        tick -= 1
    while tick < MAX_TICK and sqrt_price_at_tick(tick + 1) <= sqrt_price_x96:
        tick += 1
    return tick
