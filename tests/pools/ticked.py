"""Concentrated pools as bad as they can be, for holding kernels against the step loop."""

import random
from typing import Any

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import WithTicks
from toolkit.pools.ticks import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)

A, B = (Address("0x" + digit * 40) for digit in "ab")
SPACINGS = (1, 1, 2, 10, 60, 200, 16383)


def draw(rng: random.Random, number: int, *, v4: bool = False) -> WithTicks:
    """Adjacent ticks, gaps without liquidity, tiny and huge liquidity, prices at the ends."""
    while True:
        try:
            return _drawn(rng, number, v4=v4)
        except PoolError:  # liquidity beyond uint128, or a price beyond its range: draw again
            continue


def _drawn(rng: random.Random, number: int, *, v4: bool) -> WithTicks:
    spacing = rng.choice((*SPACINGS, rng.randint(1, 16383)))
    bound = MAX_TICK // spacing
    centre = rng.choice([0, rng.randint(-bound, bound), -bound + 2, bound - 2])
    reach = rng.choice([3, 10, 300, 1000, bound])
    nets: dict[int, int] = {}
    for _ in range(rng.choice([0, 1, 2, 2, 5, 5, 20, 20])):
        ends = {
            min(max(centre + rng.randint(-reach, reach), -bound), bound) * spacing for _ in "ab"
        }
        if len(ends) == 2:
            liquidity = rng.getrandbits(rng.choice([1, 10, 40, 64, 90, 120, 128])) | 1
            nets[min(ends)] = nets.get(min(ends), 0) + liquidity
            nets[max(ends)] = nets.get(max(ends), 0) - liquidity
    ticks = tuple(sorted(nets.items()))
    price, tick = _price(rng, [tick for tick, _ in ticks] or [centre * spacing])
    inside = sum(net for at, net in ticks if at <= tick)
    if rng.random() < 0.1:  # what a wrong file says: a tick takes more than there is
        inside = rng.getrandbits(rng.randint(1, 128))
    known = (MIN_TICK, MAX_TICK)
    if rng.random() < 0.4:
        low, high = (rng.randint(0, 600) * spacing for _ in "ab")
        known = (max(tick - low, MIN_TICK), min(tick + high, MAX_TICK))
    ticks = tuple((at, net) for at, net in ticks if known[0] <= at <= known[1])
    fee = rng.choice([0, 1, 100, 500, 3000, 10_000, 999_999, rng.randrange(10**6)])
    fields: dict[str, Any] = {
        "token0": A,
        "token1": B,
        "tick_spacing": spacing,
        "sqrt_price_x96": price,
        "tick": tick,
        "liquidity": inside,
        "ticks": ticks,
        "known": known,
    }
    if not v4:
        return Concentrated(id=Address(f"0x{number:040x}"), fee_ppm=fee, **fields)
    return ConcentratedV4(
        id=Hash(f"0x{number:064x}"),
        fee_ppm=10**6 if rng.random() < 0.1 else fee,
        protocol_fee_ppm=(rng.choice([0, 1, 1000]), rng.choice([0, 1, 1000])),
        **fields,
    )


def _price(rng: random.Random, ticks: list[int]) -> tuple[int, int]:
    """At an initialised tick (from either side), one unit beside it, or anywhere near."""
    near = rng.choice(ticks) + rng.choice([0, 0, rng.randint(-2000, 2000)])
    price = sqrt_price_at_tick(near) + rng.choice([0, 0, 1, -1, rng.getrandbits(32)])
    tick = tick_at_sqrt_price(price)
    if sqrt_price_at_tick(tick) == price and tick > MIN_TICK and rng.random() < 0.5:
        return price, tick - 1
    return price, tick


def limit_for(rng: random.Random, pool: WithTicks, *, forward: bool) -> int:
    """A price limit, mostly ahead, often exactly at a stop; often none."""
    if rng.random() < 0.6:
        return 0
    word = 256 * pool.tick_spacing
    edge = rng.choice([0, 255]) * pool.tick_spacing
    words = [pool.tick // word * word + edge + place * word for place in (-2, -1, 0, 1, 2)]
    stops = [tick for tick, _ in pool.ticks] + [*words, pool.tick, *pool.known]
    ahead = [tick for tick in stops if (tick <= pool.tick) == forward]
    tick = rng.choice(ahead if ahead and rng.random() < 0.9 else stops)
    tick = min(max(tick, MIN_TICK), MAX_TICK)
    extremes = (-1, 1, MIN_SQRT_PRICE, MIN_SQRT_PRICE + 1, MAX_SQRT_PRICE - 1, 2**160, 2**256)
    return rng.choice(
        [sqrt_price_at_tick(tick) + rng.choice([0, 0, 1, -1, rng.getrandbits(60)])] * 9
        + [rng.choice(extremes)]
    )


def amount_for(rng: random.Random, pool: WithTicks, *, forward: bool, exact_out: bool) -> int:
    """Any size, and what moves the price exactly to a stop, give or take one."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice([-1, 0, 1, 2**127, 2**128, 2**255 - 1, 2**255, 2**256 - 1, 2**256])
    if kind < 0.5:
        return int(2 ** rng.uniform(0, 255))
    if kind < 0.8:
        return int(2 ** rng.uniform(0, 130))
    ahead = [tick for tick, _ in pool.ticks if (tick <= pool.tick) == forward]
    if not ahead:
        return 10**9
    try:
        moved = pool.swap(
            A if forward else B,
            2**255 - 1,
            sqrt_price_limit_x96=sqrt_price_at_tick(rng.choice(ahead)),
        )
    except PoolError:
        return 10**18
    return (moved.amount_out if exact_out else moved.amount_in) + rng.choice([-1, 0, 0, 1])


def minted(rng: random.Random, pool: WithTicks) -> dict[int, int]:
    """Changes of nets by one position more: two ticks, equal and opposite."""
    spacing = pool.tick_spacing
    bound = MAX_TICK // spacing
    middle = pool.tick // spacing
    width = rng.choice([2, 20, 500])
    lower, upper = sorted(
        min(max(middle + rng.randint(-width, width), -bound), bound) * spacing for _ in "ab"
    )
    liquidity = rng.getrandbits(rng.choice([1, 40, 90])) + 1
    return {lower: liquidity, upper: -liquidity} if lower < upper else {}
