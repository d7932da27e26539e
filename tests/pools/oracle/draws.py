"""Random pools and questions, with the corners where integers round, wrap or end."""

import math
import random
from collections import defaultdict
from dataclasses import dataclass

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4, pool_id
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.pools.snapshot import WithTicks
from toolkit.pools.tick_walk import MAX_LIQUIDITY
from toolkit.pools.ticks import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
)

Drawn = ConstantProduct | Concentrated | ConcentratedV4

FEES = (1, 100, 500, 3000, 10_000, 54_321)
EXTREME_FEES = (0, 123_456, 500_000, 999_998, 999_999, 1_000_000)
SPACINGS = (1, 2, 10, 60, 200, 3001)
_WIDE = 3000  # ticks
_EDGES = (2**112, 2**127 - 1, 2**127, 2**127 + 1, 2**128, 2**255 - 1, 2**255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a pool is asked; a limit of 0 is none."""

    zero_for_one: bool
    exact_in: bool
    amount: int
    limit: int = 0


def draw_reserves(rng: random.Random) -> tuple[int, int]:
    """Draw two reserves: any size, now and then empty or full."""
    extremes = (0, 1, 2, MAX_RESERVE - 1, MAX_RESERVE)
    reserve0, reserve1 = (
        rng.choice(extremes) if rng.random() < 0.1 else int(2 ** rng.uniform(0, 112)) - 1
        for _ in range(2)
    )
    return reserve0, reserve1


def ask_pair(rng: random.Random, pool: ConstantProduct) -> Question:
    """Draw a question to a pair: any size, and the last that fits uint112 or is still there."""
    zero_for_one, exact_in = rng.random() < 0.5, rng.random() < 0.5
    into, out = pool.reserve0, pool.reserve1
    if not zero_for_one:
        into, out = out, into
    near = MAX_RESERVE - into if exact_in else out
    amount = rng.choice(
        (
            rng.randrange(1, 4),
            int(2 ** rng.uniform(0, 112)),
            int(near * rng.random()),
            near + rng.randrange(-1, 2),
            rng.choice(_EDGES),
        )
    )
    return Question(zero_for_one=zero_for_one, exact_in=exact_in, amount=max(amount, 1))


def draw_ticks(rng: random.Random, spacing: int) -> dict[str, object]:
    """Draw the fields of a concentrated pool that say where its liquidity is."""
    shape = rng.choice(("nested", "adjacent", "gaps", "edges", "bare", "broken"))
    tick, bits = _centre(rng), rng.choice((8, 60, 100, 120, 127))
    if spacing >= _WIDE and rng.random() < 0.7:
        # One bitmap word spans so many prices that products of a single step wrap.
        top = rng.randrange(800_000, MAX_TICK)
        shape, tick, bits = "wide", rng.choice((-1, rng.randrange(MAX_TICK), top, top)), 121
    nets, gross = defaultdict[int, int](int), defaultdict[int, int](int)
    total = 0
    for lower, upper in _positions(rng, shape, tick, spacing):
        amount = int(2 ** rng.uniform(105 if shape == "wide" else 0, bits))
        if total + amount > MAX_LIQUIDITY // 2:
            continue
        total += amount
        for place, net in ((lower, amount), (upper, -amount)):
            nets[place] += net
            gross[place] += amount
    price, stored = _price_in(rng, tick)
    liquidity = sum(net for place, net in nets.items() if place <= stored)
    if shape == "broken":
        some = min(int(2 ** rng.uniform(0, 128)), MAX_LIQUIDITY)
        liquidity = rng.choice((some, MAX_LIQUIDITY - some))
    return {
        "tick_spacing": spacing,
        "sqrt_price_x96": price,
        "tick": stored,
        "liquidity": liquidity,
        "ticks": tuple(sorted(nets.items())),
        "gross": tuple(gross[place] for place in sorted(gross)),
    }


def draw_key(rng: random.Random) -> dict[str, object]:
    """Draw what is V4's own: tokens, fees, hooks."""
    low, high = sorted(f"0x{rng.getrandbits(160):040x}" for _ in range(2))
    token0 = ZERO_ADDRESS if rng.random() < 0.3 else Address(low)
    fee = rng.choice(FEES if rng.random() < 0.7 else EXTREME_FEES)
    spacing = rng.choice((*SPACINGS, 32_767, rng.randrange(1, 32_768)))
    dynamic = rng.random() < 0.2
    hooks = ZERO_ADDRESS
    if dynamic or rng.random() < 0.2:
        # Called when liquidity changes or at donations, not at swaps; without a dynamic fee a
        # hook needs at least one such bit.
        bits = rng.choice((0x2000, 0x0800, 0x0030, 0x1000, *((0,) if dynamic else ())))
        hooks = Address(f"0x{rng.getrandbits(146) << 14 | bits:040x}")
    protocol = tuple(rng.choice((0, 0, 1, 999, 1000, rng.randrange(1001))) for _ in range(2))
    key_fee = DYNAMIC_FEE if dynamic else fee
    return {
        "id": pool_id(token0, Address(high), key_fee, spacing, hooks),
        "token0": token0,
        "token1": Address(high),
        "fee_ppm": fee,
        "protocol_fee_ppm": protocol,
        "hooks": hooks,
        "dynamic_fee": dynamic,
        **draw_ticks(rng, spacing),
    }


def ask_ticked(rng: random.Random, pool: WithTicks) -> Question:
    """Draw a question to a concentrated pool: any size, to the unit at ticks, any limit."""
    zero_for_one, exact_in = rng.random() < 0.5, rng.random() < 0.5
    limit = 0 if rng.random() < 0.55 else _limit(rng, pool, zero_for_one=zero_for_one)
    drawn = rng.random()
    if drawn < 0.35:
        amount = _to_a_tick(rng, pool, zero_for_one=zero_for_one, exact_in=exact_in)
    elif drawn < 0.45:
        amount = rng.randrange(1, 4)
    elif drawn < 0.5:
        amount = rng.choice(_EDGES)
    elif drawn < 0.65:
        amount = int(2 ** rng.uniform(92, 118))
    else:
        amount = int(10 ** rng.uniform(0, rng.choice((6, 14, 22, 45))))
    return Question(
        zero_for_one=zero_for_one, exact_in=exact_in, amount=max(amount, 1), limit=limit
    )


def _centre(rng: random.Random) -> int:
    drawn = rng.random()
    if drawn < 0.1:
        return rng.choice((MIN_TICK, MIN_TICK + 1, MAX_TICK - 1, -1, 0, 1))
    if drawn < 0.7:
        return int(rng.gauss(0, 30_000))
    return rng.randrange(MIN_TICK, MAX_TICK)


def _positions(rng: random.Random, shape: str, tick: int, spacing: int) -> list[tuple[int, int]]:
    """Draw ranges of ticks that the spacing allows, lowest below highest."""
    usable = MAX_TICK // spacing
    at = tick // spacing
    found = []
    if shape == "wide":
        found.append((-usable, usable))
    elif shape == "edges":
        found += [(-usable, usable), (-usable, at), (at, usable)][: rng.randrange(1, 4)]
    elif shape == "adjacent":
        first = at - rng.randrange(20)
        found += [(first + n, first + n + 1) for n in range(rng.randrange(1, 40))]
    elif shape == "gaps":
        place = at - rng.randrange(600)
        for _ in range(rng.randrange(1, 12)):
            width = rng.choice((1, 2, 30))
            found.append((place, place + width))
            place += width + rng.choice((1, 5, 255, 256, 700))
    elif shape != "bare":
        for _ in range(rng.randrange(1, 20)):
            width = rng.choice((1, 3, 20, 200))
            middle = at + rng.randrange(-2 * width, 2 * width + 1)
            found.append((middle - width, middle + width))
    clipped = [(max(low, -usable), min(high, usable)) for low, high in found]
    return [(low * spacing, high * spacing) for low, high in clipped if low < high]


def _price_in(rng: random.Random, tick: int) -> tuple[int, int]:
    """Draw a price of `tick` and what the contract stores with it."""
    price, above = sqrt_price_at_tick(tick), sqrt_price_at_tick(tick + 1)
    drawn = rng.random()
    if drawn < 0.15 and tick > MIN_TICK:
        return price, tick - 1  # as after crossing it downwards
    if drawn < 0.3:
        return price, tick
    return (above - 1 if drawn < 0.4 else rng.randrange(price, above)), tick


def _limit(rng: random.Random, pool: WithTicks, *, zero_for_one: bool) -> int:
    price = pool.sqrt_price_x96 or MIN_SQRT_PRICE
    drawn = rng.random()
    if drawn < 0.2:
        corners = (1, price, price - 1, price + 1, MIN_SQRT_PRICE, MIN_SQRT_PRICE + 1)
        return rng.choice((*corners, MAX_SQRT_PRICE - 1, MAX_SQRT_PRICE, 2**160 - 1))
    if drawn < 0.5 and pool.ticks:
        return sqrt_price_at_tick(rng.choice(pool.ticks)[0]) + rng.randrange(-1, 2)
    lowest, highest = (MIN_SQRT_PRICE, price) if zero_for_one else (price, MAX_SQRT_PRICE)
    if drawn < 0.6:
        lowest, highest = MIN_SQRT_PRICE, MAX_SQRT_PRICE
    near = rng.choice((1.0, 0.01))
    base = highest if zero_for_one else lowest
    span = math.log(highest / lowest) * near * rng.random()
    return min(int(base * math.exp(-span if zero_for_one else span)), 2**160 - 1)


def _to_a_tick(rng: random.Random, pool: WithTicks, *, zero_for_one: bool, exact_in: bool) -> int:
    """Return what it takes to reach a tick, give or take one unit."""
    ticks = [
        tick
        for tick, _ in pool.ticks
        if (sqrt_price_at_tick(tick) < pool.sqrt_price_x96) == zero_for_one
    ]
    if not ticks:
        return rng.randrange(1, 10**6)
    nearest = ticks[-5:] if zero_for_one else ticks[:5]
    limit = sqrt_price_at_tick(rng.choice(nearest))
    token = pool.token0 if zero_for_one else pool.token1
    try:
        swapped = pool.swap(token, 2**255 - 1, sqrt_price_limit_x96=limit)
    except PoolError:
        return rng.randrange(1, 10**6)
    amount = swapped.amount_in if exact_in else swapped.amount_out
    return amount + rng.randrange(-1, 2)
