"""What ordinary traders do in one block: pure, from a snapshot and a seeded random source."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from toolkit.devnet.calldata import encode_call
from toolkit.devnet.pools import FAR_FUTURE, MAIN_POOL, POOLS, TwinPool, sqrt_price_x96
from toolkit.devnet.protocols import V2_ROUTER, V3_ROUTER
from toolkit.devnet.tokens import TOKENS
from toolkit.model.chain import Address
from toolkit.model.market import PoolKind
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot

_STABLES = frozenset({"USDC", "USDT", "DAI"})
_BPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowConfig:
    """Knobs of the market's ordinary traders.

    The reference trader closes `reference_bps` of the main pool's gap to the recorded price each
    block, and `follower_bps` of each other WETH/dollar pool's. `noise_trades` on average swap a
    lognormal size with median `noise_median_bps` of the pool's depth in a random pool, and lean
    back towards the fair price by `lean`. `reference_noise_bps` wobbles bitcoin's fair price.
    """

    reference_bps: int = 10_000
    follower_bps: int = 1_500
    noise_trades: float = 3.0
    noise_median_bps: float = 8.0
    noise_sigma: float = 1.0
    lean: float = 0.2
    reference_noise_bps: float = 2.0
    minimum_gap_bps: float = 0.5
    tip_wei: int = 2 * 10**9  # median of the traders' tips, above most of the crowd's
    crowd: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A swap of an exact input through the genuine router, stopping at a price if V3 has one."""

    pool: TwinPool
    token_in: Address
    amount_in: int
    sqrt_price_limit_x96: int = 0


def block_trades(
    random: Random,
    snapshot: Snapshot,
    usd: Mapping[str, float],
    config: FlowConfig,
    *,
    depth_percent: int = 100,
) -> Iterator[Trade]:
    """The trades of one block, given fair prices in dollars by symbol."""
    for pool in POOLS:
        if "WETH" in pool.symbols and _STABLES & set(pool.symbols):
            share = config.reference_bps if pool is MAIN_POOL else config.follower_bps
            yield from _towards(snapshot, pool, usd, share=share / _BPS, config=config)
    for _ in range(_poisson(random, config.noise_trades)):
        yield _noise(random, snapshot, usd, config, depth_percent=depth_percent)


def gap_log(snapshot: Snapshot, pool: TwinPool, usd: Mapping[str, float]) -> float:
    """log(price in the pool / fair price), in token1 for a token0."""
    low, high = _ordered(pool)
    return math.log(snapshot.mid_price(pool.address, TOKENS[low].address) / _fair(low, high, usd))


def swap_call(trade: Trade, recipient: Address, *, minimum_out: int = 0) -> tuple[Address, str]:
    """Router and calldata of a swap."""
    spec = trade.pool.spec
    token_out = spec.token1 if trade.token_in == spec.token0 else spec.token0
    if spec.kind is PoolKind.CONSTANT_PRODUCT:
        return V2_ROUTER, encode_call(
            "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
            trade.amount_in,
            minimum_out,
            (trade.token_in, token_out),
            recipient,
            FAR_FUTURE,
        )
    return V3_ROUTER, encode_call(
        "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
        (
            trade.token_in,
            token_out,
            spec.fee_ppm,
            recipient,
            FAR_FUTURE,
            trade.amount_in,
            minimum_out,
            trade.sqrt_price_limit_x96,
        ),
    )


def _ordered(pool: TwinPool) -> tuple[str, str]:
    first, second = sorted(pool.symbols, key=lambda symbol: TOKENS[symbol].address)
    return first, second


def _fair(low: str, high: str, usd: Mapping[str, float]) -> float:
    return usd[low] / usd[high] * 10.0 ** (TOKENS[high].decimals - TOKENS[low].decimals)


def _towards(
    snapshot: Snapshot,
    pool: TwinPool,
    usd: Mapping[str, float],
    *,
    share: float,
    config: FlowConfig,
) -> Iterator[Trade]:
    gap = gap_log(snapshot, pool, usd)
    if abs(gap) * _BPS < config.minimum_gap_bps or share <= 0:
        return
    low, high = _ordered(pool)
    # A pool that is too dear in token0 gets token0 until the gap is closed by the share.
    symbol = low if gap > 0 else high
    token_in = TOKENS[symbol].address
    target = _fair(low, high, usd) * math.exp(gap * (1 - share))
    state = snapshot.pool(pool.address)
    if isinstance(state, ConstantProduct):
        reserve = state.reserve0 if symbol == low else state.reserve1
        amount = int(reserve * math.expm1(abs(gap) * share / 2))
        limit = 0
    else:
        amount = int(pool.depth_usd / usd[symbol] * 10 ** TOKENS[symbol].decimals)
        limit = sqrt_price_x96(Fraction(target))
    if amount > 0:
        yield Trade(pool=pool, token_in=token_in, amount_in=amount, sqrt_price_limit_x96=limit)


def _noise(
    random: Random,
    snapshot: Snapshot,
    usd: Mapping[str, float],
    config: FlowConfig,
    *,
    depth_percent: int,
) -> Trade:
    pool = random.choices(POOLS, weights=[math.sqrt(each.depth_usd) for each in POOLS])[0]
    low, high = _ordered(pool)
    lean = config.lean * math.tanh(gap_log(snapshot, pool, usd) * _BPS / 30)
    symbol = low if random.random() < 0.5 + lean / 2 else high
    share = random.lognormvariate(math.log(config.noise_median_bps), config.noise_sigma) / _BPS
    dollars = pool.depth_usd * depth_percent / 100 * min(share, 0.02)
    amount = int(dollars / usd[symbol] * 10 ** TOKENS[symbol].decimals)
    return Trade(pool=pool, token_in=TOKENS[symbol].address, amount_in=max(1, amount))


def _poisson(random: Random, mean: float) -> int:
    """Knuth's method: how many uniform factors keep the product above exp(-mean)."""
    count, product, limit = 0, random.random(), math.exp(-mean)
    while product > limit:
        count += 1
        product *= random.random()
    return count
