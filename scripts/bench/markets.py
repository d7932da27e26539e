"""Seeded markets that routes are measured on: one as published, two of other depth and noise.

Amounts are integers and the same seed gives the same pools. Token 0 counts as the wrapped native
token, in which all prices are; the first tokens are hubs that most pools have on one side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.model.market import Token
from toolkit.model.units import PPM
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.pools.ticks import tick_at_sqrt_price

USUAL_FEES = (3000, 2500)
FEES = (*USUAL_FEES, 2000, 1000, 500, 10_000)
SPACINGS = {100: 1, 500: 10, 3000: 60, 10_000: 200}
LEAST = 1000
"""The smallest reserve that is drawn."""
_USUAL = 0.9  # of the pools have a usual fee
_ANY_FIRST = 0.97  # have any token on their first side, the others a hub
_HUB_SECOND = 0.6  # have a hub on their second
HEAD = Head(
    number=1,
    hash=ZERO_HASH,
    parent_hash=ZERO_HASH,
    timestamp=1,
    base_fee_per_gas=1,
    gas_limit=1,
    gas_used=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A snapshot, the token to earn, and the prices that its pools scatter around.

    `prices` are of whole tokens, in whole ones of `native`, in the order of `tokens`.
    """

    snapshot: Snapshot
    native: Address
    tokens: tuple[Address, ...]
    prices: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Two tokens by number, and the reserves (as if constant product) of each."""

    first: int
    second: int
    reserve_first: int
    reserve_second: int


def published(
    pools: int = 1000,
    tokens: int = 200,
    *,
    seed: int = 1,
    noise: float = 0.004,
    planted: int = 10,
    hubs: int = 5,
) -> Market:
    """Constant product pools with heavy-tailed depth (median 33 native) and 40 bps of noise.

    The last `planted` pools are 1 % to 5 % off. Draws are those of the generator that the target
    figures were set on, one by one, so that its pools come out to the unit.
    """
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    decimals = [18] + [rng.choice([6, 8, 18, 18, 18]) for _ in range(tokens - 1)]
    prices = [1.0] + [math.exp(rng.gauss(-5, 2.5)) for _ in range(tokens - 1)]
    made: list[Pool] = []
    for number in range(pools):
        ends = _ends(rng, number, tokens, hubs)
        depth = math.exp(rng.gauss(3.5, 1.8))
        off = rng.gauss(0, noise)
        if number >= pools - planted:
            off += rng.choice([-1, 1]) * rng.uniform(0.01, 0.05)
        pair = _pair(ends, depth, off, prices, decimals)
        fee = rng.choice(USUAL_FEES if rng.random() < _USUAL else FEES)
        made.append(_constant_product(number, pair, fee))
    return _market(made, prices, decimals)


def mixed(
    pools: int = 1000, tokens: int = 200, *, seed: int = 1, hubs: int = 3, ticked: float = 0.3
) -> Market:
    """Shallower pools with a heavier tail (median 7 native), a share of them with ticks.

    Most prices are within 15 bps of what they scatter around, one in eight is 120 bps off.
    """
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    decimals = [18] + [rng.choice([6, 8, 9, 18, 18]) for _ in range(tokens - 1)]
    prices = [1.0] + [math.exp(rng.gauss(-3, 3)) for _ in range(tokens - 1)]
    made: list[Pool] = []
    for number in range(pools):
        ends = _ends(rng, number, tokens, hubs)
        depth = math.exp(rng.gauss(2, 2.4))
        off = rng.gauss(0, 0.012 if rng.random() < 1 / 8 else 0.0015)
        pair = _pair(ends, depth, off, prices, decimals)
        if rng.random() < ticked:
            made.append(_concentrated(rng, number, pair))
        else:
            made.append(_constant_product(number, pair, rng.choice(FEES)))
    return _market(made, prices, decimals)


def moved(
    pools: int = 1000, tokens: int = 200, *, seed: int = 1, hubs: int = 5, ticked: float = 0.4
) -> Market:
    """A market just after all prices moved, which its pools have followed more or less.

    Such moments are what pays: while nothing moves a market is within its fees, as in `mixed`.
    Each token has moved by 2 % (one standard deviation) against the native one, and each pool
    lags by a share of its tokens' moves of its own, drawn evenly, with 10 bps of noise. So prices
    are off not here and there, but everywhere and together, and cycles overlap. Every other
    pool is of a pair that an earlier one has (the same two tokens at other fees, and the busy
    pairs the more), two in five have ticks, and depths scatter less than elsewhere (median 12
    native, by a factor of 4.5).
    """
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    decimals = [18] + [rng.choice([6, 8, 18, 18, 18]) for _ in range(tokens - 1)]
    prices = [1.0] + [math.exp(rng.gauss(-4, 2.5)) for _ in range(tokens - 1)]
    moves = [0.0] + [rng.gauss(0, 0.02) for _ in range(tokens - 1)]
    made: list[Pool] = []
    pairs: list[tuple[int, int]] = []
    for number in range(pools):
        again = number >= tokens - 1 and rng.random() < 1 / 2
        ends = rng.choice(pairs) if again else _ends(rng, number, tokens, hubs)
        pairs.append(ends)
        lag = rng.random() * (moves[ends[0]] - moves[ends[1]])
        depth = math.exp(rng.gauss(2.5, 1.5))
        pair = _pair(ends, depth, lag + rng.gauss(0, 0.001), prices, decimals)
        if rng.random() < ticked:
            made.append(_concentrated(rng, number, pair))
        else:
            made.append(_constant_product(number, pair, rng.choice(USUAL_FEES)))
    return _market(made, prices, decimals)


def parallel(pools: int = 10, *, seed: int = 2) -> Market:
    """Constant product pools of one pair, of different fee, depth and price: to split between."""
    rng = Random(seed)  # noqa: S311 - nothing here is secret
    made: list[Pool] = []
    for number in range(pools):
        depth = math.exp(rng.gauss(5, 1.2))
        off = rng.gauss(0, 0.002)
        pair = _Pair(
            first=0,
            second=1,
            reserve_first=int(depth * 1e18),
            reserve_second=int(depth * 3000 * math.exp(off) * 1e6),
        )
        made.append(_constant_product(number, pair, rng.choice(FEES[:5])))
    return _market(made, [1.0, 1 / 3000], [18, 6])


def token_address(number: int) -> Address:
    """Name a token by its number, so that addresses rise with numbers."""
    return Address(f"0x{number + 1:040x}")


def _ends(rng: Random, number: int, tokens: int, hubs: int) -> tuple[int, int]:
    """The first pools connect every token with a hub; of the others most have one on a side."""
    if number < tokens - 1:
        first = number + 1
        return first, rng.randrange(hubs) if first >= hubs else 0
    first = rng.randrange(tokens) if rng.random() < _ANY_FIRST else rng.randrange(hubs)
    second = rng.randrange(hubs) if rng.random() < _HUB_SECOND else rng.randrange(tokens)
    while second == first:
        second = rng.randrange(tokens)
    return first, second


def _pair(
    ends: tuple[int, int],
    depth: float,
    off: float,
    prices: Sequence[float],
    decimals: Sequence[int],
) -> _Pair:
    first, second = ends
    half = math.exp(off / 2)
    return _Pair(
        first=first,
        second=second,
        reserve_first=max(LEAST, int(depth / prices[first] * half * 10 ** decimals[first])),
        reserve_second=max(
            LEAST, int(depth / prices[second] * math.exp(-off / 2) * 10 ** decimals[second])
        ),
    )


def _sorted(pair: _Pair) -> tuple[Address, Address, int, int]:
    sides = [(pair.first, pair.reserve_first), (pair.second, pair.reserve_second)]
    (token0, reserve0), (token1, reserve1) = sorted(sides)
    return token_address(token0), token_address(token1), reserve0, reserve1


def _pool_address(number: int) -> Address:
    return Address(f"0x{(1 << 80) + number:040x}")


def _constant_product(number: int, pair: _Pair, fee_ppm: int) -> ConstantProduct:
    token0, token1, reserve0, reserve1 = _sorted(pair)
    return ConstantProduct(
        id=_pool_address(number),
        token0=token0,
        token1=token1,
        reserve0=reserve0,
        reserve1=reserve1,
        fee_ppm=fee_ppm,
    )


def _concentrated(rng: Random, number: int, pair: _Pair) -> Concentrated:
    """Four nested positions around the price; the inner ones many times as deep as a pair is."""
    token0, token1, reserve0, reserve1 = _sorted(pair)
    fee = rng.choice(list(SPACINGS))
    spacing = SPACINGS[fee]
    price = math.isqrt((reserve1 << 192) // reserve0)
    tick = tick_at_sqrt_price(price)
    whole = math.isqrt(reserve0 * reserve1)
    nets: dict[int, int] = {}
    liquidity = 0
    for width, share in ((8000, 1.0), (1500, 2.0), (300, 6.0), (80, 15.0)):
        lower = (tick - rng.randint(width // 4, width)) // spacing * spacing
        upper = ((tick + rng.randint(width // 4, width)) // spacing + 1) * spacing
        added = max(LEAST, int(whole * share * rng.uniform(0.3, 1.0)))
        liquidity += added
        nets[lower] = nets.get(lower, 0) + added
        nets[upper] = nets.get(upper, 0) - added
    return Concentrated(
        id=_pool_address(number),
        token0=token0,
        token1=token1,
        fee_ppm=fee,
        tick_spacing=spacing,
        sqrt_price_x96=price,
        tick=tick,
        liquidity=liquidity,
        ticks=tuple(sorted(nets.items())),
    )


def _market(pools: Sequence[Pool], prices: Sequence[float], decimals: Sequence[int]) -> Market:
    tokens = tuple(token_address(number) for number in range(len(prices)))
    assert all(pool.fee_ppm < PPM for pool in pools)
    named = {
        token: Token(address=token, symbol=f"T{number}", decimals=decimals[number])
        for number, token in enumerate(tokens)
    }
    return Market(
        snapshot=Snapshot(block=HEAD, tokens=named, pools={pool.id: pool for pool in pools}),
        native=tokens[0],
        tokens=tokens,
        prices=tuple(prices),
    )
