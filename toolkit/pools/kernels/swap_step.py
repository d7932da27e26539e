"""Steps of concentrated pools in limbs: what pools/swap_step.py and pools/ticks.py say in ints.

Prices are sqrt prices x 2^96 of three limbs, liquidity has two, amounts have four. A step that
is asked for stays within its target, so amounts are below 2^193, and below 2^213 with any fee.
"""

import numpy as np

from toolkit.model.units import PPM
from toolkit.pools.kernels.jit import inlined, part
from toolkit.pools.kernels.u256 import (
    FULL,
    ONE,
    ZERO,
    Limbs,
    add,
    apart,
    divide,
    divide_by_limb,
    divide_by_pair,
    is_zero,
    less,
    product,
    rounded_up,
    shift_left,
    subtract,
)
from toolkit.pools.ticks import FACTORS

_Q32 = np.uint64(32)
_PPM = np.uint64(PPM)
_HALVES = np.array([[factor % 2**64, factor >> 64] for factor in FACTORS], np.uint64)


@part
def sqrt_price_at_tick(tick: int) -> Limbs:
    """TickMath.sol `getSqrtRatioAtTick`, for ticks within ±887272."""
    apart()
    ratio: Limbs = (ZERO, ZERO, ONE)
    steps = abs(tick)
    place = 0
    while steps:
        if steps & 1:
            wide = product(ratio, (_HALVES[place, 0], _HALVES[place, 1]))
            ratio = (wide[2], wide[3], wide[4])
        steps >>= 1
        place += 1
    if tick > 0:
        most = (FULL, FULL, FULL, FULL, ZERO, ZERO, ZERO, ZERO, ZERO)
        quotient, _ = divide(most, (ratio[0], ratio[1], ratio[2], ZERO, ZERO))
        ratio = (quotient[0], quotient[1], quotient[2])
    # Down by 32 bits, rounded up.
    wide = shift_left((*ratio, ZERO), _Q32)
    above = (wide[1], wide[2], wide[3])
    return above if wide[0] == ZERO else add(above, (ONE,))


@part
def amount0_up(lower: Limbs, upper: Limbs, liquidity: Limbs) -> Limbs:
    """Token0 between two sqrt prices, rounded up: L (1/lower - 1/upper)."""
    return rounded_up(_amount0(lower, upper, liquidity))


@part
def amount0_down(lower: Limbs, upper: Limbs, liquidity: Limbs) -> Limbs:
    """Token0 between two sqrt prices, rounded down."""
    return _amount0(lower, upper, liquidity)[0]


@part
def _amount0(lower: Limbs, upper: Limbs, liquidity: Limbs) -> tuple[Limbs, bool]:
    """L 2^96 (upper - lower) / (upper lower): rounding twice the same way is rounding once."""
    wide = product(liquidity, subtract(upper, lower))
    scaled = shift_left((ZERO, *wide, ZERO, ZERO, ZERO), _Q32)
    return divide(scaled, product(upper, lower)[:5])


@inlined
def amount1_up(lower: Limbs, upper: Limbs, liquidity: Limbs) -> Limbs:
    """Token1 between two sqrt prices, rounded up: L (upper - lower)."""
    wide = shift_left(product(liquidity, subtract(upper, lower)), _Q32)
    amount = (wide[2], wide[3], wide[4], ZERO)
    return add(amount, (ONE,)) if wide[0] | wide[1] != ZERO else amount


@inlined
def amount1_down(lower: Limbs, upper: Limbs, liquidity: Limbs) -> Limbs:
    """Token1 between two sqrt prices, rounded down."""
    wide = shift_left(product(liquidity, subtract(upper, lower)), _Q32)
    return (wide[2], wide[3], wide[4], ZERO)


@inlined
def with_fee(amount: Limbs, fee: np.uint64) -> Limbs:
    """An input and the fee on it: amount + ceil(amount fee / (1e6 - fee)), fee < 1e6."""
    charged = divide_by_limb(product(amount, (fee,))[:4], _PPM - fee)
    return add(amount, rounded_up(charged))


@part
def less_fee(amount: Limbs, fee: np.uint64) -> Limbs:
    """What an input leaves to swap: floor(amount (1e6 - fee) / 1e6)."""
    return divide_by_limb(product(amount, (_PPM - fee,))[:4], _PPM)[0]


@part
def full_step(price: Limbs, target: Limbs, liquidity: Limbs, fee: np.uint64) -> tuple[Limbs, Limbs]:
    """What it takes, fee included, and gives to move the price all the way."""
    apart()
    if is_zero(liquidity):
        return (ZERO, ZERO, ZERO, ZERO), (ZERO, ZERO, ZERO, ZERO)
    if less(target, price):
        taken, given = (
            amount0_up(target, price, liquidity),
            amount1_down(target, price, liquidity),
        )
    else:
        taken, given = (
            amount1_up(price, target, liquidity),
            amount0_down(price, target, liquidity),
        )
    return with_fee(taken, fee), given


@part
def inverse_of(price: Limbs) -> Limbs:
    """floor(2^256 / price), what `step_between` wants to know of a stop."""
    power = (ZERO, ZERO, ZERO, ZERO, ONE, ZERO, ZERO, ZERO, ZERO)
    return divide(power, (*price, ZERO, ZERO))[0]


@part
def root_of(price: Limbs) -> Limbs:
    """A stop's price and its inverse, as tables keep them."""
    return (*price, *inverse_of(price))


@inlined
def step_between(
    price: Limbs,
    inverse: Limbs,
    target: Limbs,
    target_inverse: Limbs,
    liquidity: Limbs,
    fee: np.uint64,
) -> tuple[Limbs, Limbs]:
    """`full_step` between two stops: a product instead of a division, wherever that decides.

    Token0 is L (2^256/lower - 2^256/upper) / 2^160, and the two inverses are less than one off
    together. So unless the product lies within L of a multiple of 2^160, which chance makes rarer
    than 2^-31, it tells both roundings.
    """
    if is_zero(liquidity):
        return (ZERO, ZERO, ZERO, ZERO), (ZERO, ZERO, ZERO, ZERO)
    down = less(target, price)
    gap = subtract(target_inverse, inverse) if down else subtract(inverse, target_inverse)
    wide = shift_left(product(liquidity, gap), _Q32)
    rest = (wide[0], wide[1], wide[2])
    slack = shift_left((*liquidity, ZERO), _Q32)
    if less(rest, slack) or less(add(rest, slack), slack):
        return full_step(price, target, liquidity, fee)
    amount0 = (wide[3], wide[4], wide[5], ZERO)
    if down:
        taken, given = add(amount0, (ONE,)), amount1_down(target, price, liquidity)
    else:
        taken, given = amount1_up(price, target, liquidity), amount0
    return with_fee(taken, fee), given


@part
def price_after_in(price: Limbs, liquidity: Limbs, usable: Limbs, down: bool) -> Limbs:
    """SqrtPriceMath.sol `getNextSqrtPriceFromInput`."""
    if not down:
        return add(price, _per_liquidity(usable, liquidity)[0][:3])
    if is_zero(usable):
        return price
    numerator = shift_left((ZERO, *liquidity, ZERO), _Q32)
    wide = product(usable, price)
    depth = add(numerator, wide[:4])
    # The contract takes the precise formula only if neither product nor sum wraps.
    if is_zero(wide[4:]) and not less(depth, numerator):
        return _ratio_up(numerator, price, depth)
    whole = divide((*numerator, ZERO, ZERO, ZERO, ZERO, ZERO), (*price, ZERO, ZERO))[0]
    return _ratio_up(numerator, (ONE, ZERO, ZERO), add(whole, usable))


@part
def price_after_out(price: Limbs, liquidity: Limbs, amount: Limbs, down: bool) -> Limbs:
    """SqrtPriceMath.sol `getNextSqrtPriceFromOutput`."""
    if down:
        return subtract(price, rounded_up(_per_liquidity(amount, liquidity))[:3])
    numerator = shift_left((ZERO, *liquidity, ZERO), _Q32)
    return _ratio_up(numerator, price, subtract(numerator, product(amount, price)[:4]))


@part
def _per_liquidity(amount: Limbs, liquidity: Limbs) -> tuple[Limbs, bool]:
    """Divide amount 2^96 by a liquidity; what nearly all amounts are has a faster way."""
    shifted = shift_left((ZERO, *amount, ZERO, ZERO, ZERO, ZERO), _Q32)
    if shifted[4] | shifted[5] == ZERO:
        return divide_by_pair(shifted[:4], liquidity)
    return divide(shifted, (*liquidity, ZERO, ZERO, ZERO))


@part
def _ratio_up(numerator: Limbs, price: Limbs, depth: Limbs) -> Limbs:
    """ceil(numerator price / depth), a price."""
    wide = product(numerator, price)
    return rounded_up(divide((*wide, ZERO, ZERO), (*depth, ZERO)))[:3]
