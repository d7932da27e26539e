"""Random markets as snapshots, and cycles enumerated without the code under test."""

import itertools
import math
import random
from collections.abc import Iterator

from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import PoolError
from toolkit.model.market import Token
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.pools.ticks import sqrt_price_at_tick, tick_at_sqrt_price

TOKENS = tuple(Address(f"0x{digit * 40}") for digit in "abcdef")
HEAD = Head(
    number=9,
    hash=Hash("0x" + "11" * 32),
    parent_hash=Hash("0x" + "22" * 32),
    timestamp=1,
    base_fee_per_gas=1,
    gas_limit=1,
    gas_used=1,
)


def snapshot(*pools: Pool) -> Snapshot:
    tokens = {token for pool in pools for token in (pool.token0, pool.token1)}
    return Snapshot(
        block=HEAD,
        tokens={t: Token(address=t, symbol=t[-1], decimals=18) for t in sorted(tokens)},
        pools={pool.id: pool for pool in pools},
    )


def name(rng: random.Random) -> Address:
    return Address(f"0x{rng.getrandbits(160):040x}")


def pair(
    rng: random.Random, tokens: tuple[Address, Address], depth: float, noise: float
) -> ConstantProduct:
    """A V2 pool with about `depth` units each side, at a price about 1."""
    token0, token1 = sorted(tokens)
    return ConstantProduct(
        id=name(rng),
        token0=token0,
        token1=token1,
        reserve0=max(2, int(depth)),
        reserve1=max(2, int(depth * math.exp(rng.gauss(0, noise)))),
        fee_ppm=rng.choice([3000, 2500, 500]),
    )


def concentrated(
    rng: random.Random, tokens: tuple[Address, Address], depth: float, noise: float
) -> Concentrated:
    """A V3 pool with nested positions around a price about 1, sometimes with a gap beyond."""
    token0, token1 = sorted(tokens)
    fee, spacing = rng.choice([(500, 10), (3000, 60), (100, 1)])
    price = int(2**96 * math.exp(rng.gauss(0, noise) / 2))
    tick = tick_at_sqrt_price(price)
    nets: dict[int, int] = {}
    liquidity = 0
    for width in (3, 20, 150):
        lower = tick // spacing * spacing - rng.randrange(width) * spacing
        upper = tick // spacing * spacing + (1 + rng.randrange(width)) * spacing
        share = int(depth * rng.uniform(0.5, 5)) + 1
        liquidity += share
        nets[lower] = nets.get(lower, 0) + share
        nets[upper] = nets.get(upper, 0) - share
    if rng.random() < 0.5:
        beyond = max(nets) + 7 * spacing
        nets[beyond] = nets.get(beyond, 0) + int(depth) + 1
        nets[beyond + 9 * spacing] = -int(depth) - 1
    assert sqrt_price_at_tick(tick) <= price
    return Concentrated(
        id=name(rng),
        token0=token0,
        token1=token1,
        fee_ppm=fee,
        tick_spacing=spacing,
        sqrt_price_x96=price,
        tick=tick,
        liquidity=liquidity,
        ticks=tuple(sorted(nets.items())),
    )


def market(
    rng: random.Random,
    *,
    tokens: int,
    pools: int,
    depth: tuple[float, float],
    noise: float = 0.02,
    v3: float = 0.5,
) -> Snapshot:
    """Random pools over the first tokens of TOKENS; `depth` spans powers of ten.

    The first pool is between the first two, so that no draw lacks what a test asks about.
    """
    made: list[Pool] = []
    for number in range(pools):
        ends = rng.sample(TOKENS[:tokens], 2) if number else TOKENS[:2]
        make = concentrated if rng.random() < v3 else pair
        made.append(make(rng, (ends[0], ends[1]), 10 ** rng.uniform(*depth), noise))
    return snapshot(*made)


def cycles(taken: Snapshot, start: Address, max_hops: int) -> Iterator[tuple[Pool, ...]]:
    """Every cycle of distinct pools and tokens, by trying all sequences of pools."""
    pools = [pool for _, pool in sorted(taken.pools.items())]
    for hops in range(2, max_hops + 1):
        for sequence in itertools.permutations(pools, hops):
            tokens = [start]
            for pool in sequence:
                if tokens[-1] not in (pool.token0, pool.token1):
                    break
                tokens.append(pool.token1 if tokens[-1] == pool.token0 else pool.token0)
            else:
                if tokens[-1] == start and len(set(tokens)) == hops:
                    yield sequence


def outcome(sequence: tuple[Pool, ...], start: Address, amount: int) -> int | None:
    """The integer that comes out of a sequence of swaps, None if one of them is impossible."""
    token = start
    for pool in sequence:
        try:
            taken, given = pool.fill_in(token, amount)
        except PoolError:
            return None
        if taken != amount or not given:
            return None
        token = pool.token1 if token == pool.token0 else pool.token0
        amount = given
    return amount


def profit(sequence: tuple[Pool, ...], start: Address, amount: int) -> int:
    """Integer profit; a loss of everything where a swap is impossible."""
    out = outcome(sequence, start, amount)
    return -amount if out is None else out - amount


def ternary(sequence: tuple[Pool, ...], start: Address, most: int) -> tuple[int, int]:
    """(profit, input) by ternary search over integers: slow, and blind to roundings."""
    low, high = 1, most
    while high - low > 2:
        third = (high - low) // 3
        left, right = low + third, high - third
        if profit(sequence, start, left) < profit(sequence, start, right):
            low = left
        else:
            high = right
    return max((profit(sequence, start, amount), amount) for amount in range(low, high + 1))
