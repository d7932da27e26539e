"""What a pool gives for what it gets, as pieces of floats: proposals only, no money.

A piece is (input before it, output before it, x, y): for an input u that falls into it,

    out(u) = output before + d y / (x + d),    d = (u - input before) keep

which is the constant product formula on the virtual reserves x (in) and y (out) at the start of
the piece. A last piece with y = 0 says that the liquidity has ended. All in raw units.
"""

from itertools import accumulate

import numpy as np
import numpy.typing as npt

from toolkit.model.chain import ZERO_ADDRESS
from toolkit.model.units import PPM
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, WithTicks
from toolkit.pools.ticks import MAX_SQRT_PRICE, MIN_SQRT_PRICE, sqrt_price_at_tick

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Routable = ConstantProduct | Concentrated | ConcentratedV4

_NONE: Floats = np.empty((0, 4))
_Q96 = float(2**96)


def lasting_obstacle(pool: Pool) -> str:
    """Why no route may ever go through a pool, whatever its state; "" where one may."""
    if isinstance(pool, ConcentratedV4):
        if pool.is_hooked:
            return f"hooks: {pool.hooks} is called at swaps and may change what they give"
        if pool.token0 == ZERO_ADDRESS:
            return "token0: the native currency, which routes do not pay with"
    return ""


def obstacle(pool: Pool) -> str:
    """Why no route may go through a pool as it is now; "" where one may."""
    if isinstance(pool, WithTicks) and pool.sqrt_price_x96:
        low, high = (sqrt_price_at_tick(tick) for tick in pool.known)
        if not low <= pool.sqrt_price_x96 <= high:
            price = f"its price, at tick {pool.tick},"
            return f"known: {price} is beyond the ticks {pool.known} known of it"
    return lasting_obstacle(pool)


def keep(pool: Routable, *, forward: bool) -> float:
    """Return the share of the input that is left after the fee; `forward`: token0 goes in."""
    if isinstance(pool, ConcentratedV4):
        return (PPM - pool.swap_fee_ppm(zero_for_one=forward)) / PPM
    return (PPM - pool.fee_ppm) / PPM


def pieces(pool: Routable, *, forward: bool) -> Floats:
    """Return the pieces (n, 4) of one direction; none where nothing can be traded at all."""
    if isinstance(pool, ConstantProduct):
        reserves = (float(pool.reserve0), float(pool.reserve1))
        if not all(reserves):
            return _NONE
        return np.array([(0.0, 0.0, *(reserves if forward else reserves[::-1]))])
    left = keep(pool, forward=forward)
    if obstacle(pool) or not pool.sqrt_price_x96 or left <= 0:
        return _NONE
    return _stretches(pool, left, forward=forward)


def _stretches(pool: Concentrated | ConcentratedV4, left: float, *, forward: bool) -> Floats:
    """One piece for each stretch between two ticks that has liquidity, and the end.

    Roots are of tokens out per token in, so that both directions read alike: they fall.
    """
    if forward:
        marks = [mark for mark in reversed(pool.ticks) if mark[0] <= pool.tick]
        last = max(sqrt_price_at_tick(pool.known[0]), MIN_SQRT_PRICE)
    else:
        marks = [mark for mark in pool.ticks if mark[0] > pool.tick]
        last = min(sqrt_price_at_tick(pool.known[1]), MAX_SQRT_PRICE)
    sign = -1 if forward else 1
    # Sums of integers: what is removed at one tick was added, to the unit, at others.
    liquid = np.array(
        [*accumulate((sign * net for _, net in marks), initial=pool.liquidity)], dtype=np.float64
    )
    stops = [pool.sqrt_price_x96, *(sqrt_price_at_tick(tick) for tick, _ in marks), last]
    roots = np.array(stops, dtype=np.float64)
    roots = roots / _Q96 if forward else _Q96 / roots
    used = (liquid > 0) & (roots[:-1] > roots[1:])
    if not used.any():
        return _NONE
    liquid, start, end = liquid[used], roots[:-1][used], roots[1:][used]
    found = np.zeros((len(liquid) + 1, 4))
    found[1:, 0] = np.cumsum(liquid * (1 / end - 1 / start)) / left
    found[1:, 1] = np.cumsum(liquid * (start - end))
    found[:-1, 2] = liquid / start
    found[:-1, 3] = liquid * start
    found[-1, 2] = 1.0
    return found
