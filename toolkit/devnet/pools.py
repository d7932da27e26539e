"""The devnet's pools at their mainnet addresses, and the liquidity the twin puts into them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from toolkit.devnet.calldata import encode_call
from toolkit.devnet.editor import Sending
from toolkit.devnet.protocols import V2_FACTORY, V2_ROUTER, V3_FACTORY, V3_OWNER, V3_POSITIONS
from toolkit.devnet.tokens import TOKENS
from toolkit.model.chain import Address
from toolkit.model.market import PoolKind
from toolkit.pools.snapshot import PoolSpec

FAR_FUTURE = 2**64  # a deadline that never comes
_SPACING = {100: 1, 500: 10, 3000: 60, 10_000: 200}
_MAX_TICK = 887_272
# Liquidity is concentrated around the first price as it is on mainnet: four nested ranges, each
# this many tick spacings to either side (None: everywhere) with a percentage of the depth.
_RANGES = ((40, 35), (120, 30), (400, 20), (None, 15))

UsdPrices = Mapping[str, Fraction]  # US dollars per whole token, by symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinPool:
    """A pool and how much the twin puts into it, in whole US dollars for both sides together."""

    address: Address
    symbols: tuple[str, str]
    fee_hundredths_bps: int | None  # None: constant product
    depth_usd: int

    @property
    def name(self) -> str:
        """For people, e.g. `V3 USDC/WETH 0.05%`."""
        pair = "/".join(self.symbols)
        if self.fee_hundredths_bps is None:
            return f"V2 {pair}"
        return f"V3 {pair} {self.fee_hundredths_bps / 10_000:g}%"

    @property
    def spec(self) -> PoolSpec:
        """What never changes about it."""
        low, high = sorted(TOKENS[symbol].address for symbol in self.symbols)
        if self.fee_hundredths_bps is None:
            return PoolSpec(
                id=self.address, kind=PoolKind.CONSTANT_PRODUCT, token0=low, token1=high
            )
        return PoolSpec(
            id=self.address,
            kind=PoolKind.CONCENTRATED,
            token0=low,
            token1=high,
            fee_ppm=self.fee_hundredths_bps,
            tick_spacing=_SPACING[self.fee_hundredths_bps],
        )


def _pool(address: str, pair: str, fee: int | None, millions: int) -> TwinPool:
    first, second = pair.split("/")
    return TwinPool(
        address=Address(address),
        symbols=(first, second),
        fee_hundredths_bps=fee,
        depth_usd=millions * 10**6,
    )


POOLS = (
    _pool("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc", "USDC/WETH", None, 45),
    _pool("0x0d4a11d5eeaac28ec3f61d100daf4d40471f1852", "WETH/USDT", None, 38),
    _pool("0xa478c2975ab1ea89e8196811f51a7b7ade33eb11", "DAI/WETH", None, 9),
    _pool("0xbb2b8038a1640196fbe3e38816f3e67cba72d940", "WBTC/WETH", None, 7),
    _pool("0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640", "USDC/WETH", 500, 150),
    _pool("0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8", "USDC/WETH", 3000, 90),
    _pool("0x11b815efb8f581194ae79006d24e0d814b7697f6", "WETH/USDT", 500, 40),
    _pool("0x4e68ccd3e89f51c3074ca5072bbac773960dfa36", "WETH/USDT", 3000, 70),
    _pool("0x4585fe77225b41b697c938b018e2ac67ac5a20c0", "WBTC/WETH", 500, 60),
    _pool("0xcbcdf9626bc03e24f779434178a73a0b4bad62ed", "WBTC/WETH", 3000, 100),
    _pool("0x3416cf6c708da44db2624d63ea0aaef7113527c6", "USDC/USDT", 100, 40),
    _pool("0x5777d92f208679db4b9778590fa3cab3ac9e2168", "DAI/USDC", 100, 50),
    _pool("0xc2e9f25be6257c210d7adf0d4cd6e3e881ba25f8", "DAI/WETH", 3000, 12),
)
MAIN_POOL = POOLS[4]  # V3 USDC/WETH 0.05 %: the one the recorded price is played into


def create_pools(owner: Address, prices: UsdPrices) -> Iterator[Sending]:
    """Transactions that create and, for V3, initialise every pool at its price."""
    yield Sending(
        sender=V3_OWNER,
        to=V3_FACTORY,
        data=encode_call("enableFeeAmount(uint24,int24)", 100, 1),
        what="enabling the 0.01 % fee",
    )
    for pool in POOLS:
        spec = pool.spec
        if spec.kind is PoolKind.CONSTANT_PRODUCT:
            to, data = (
                V2_FACTORY,
                encode_call("createPair(address,address)", spec.token0, spec.token1),
            )
        else:
            to = V3_POSITIONS
            data = encode_call(
                "createAndInitializePoolIfNecessary(address,address,uint24,uint160)",
                spec.token0,
                spec.token1,
                spec.fee_ppm,
                sqrt_price_x96(_raw_price(pool, prices)),
            )
        yield Sending(sender=owner, to=to, data=data, gas=6_000_000, what=f"creating {pool.name}")


def add_liquidity(
    owner: Address, prices: UsdPrices, *, depth_percent: int = 100
) -> Iterator[Sending]:
    """Transactions that fill every pool from `owner`, who has approved router and positions."""
    for pool in POOLS:
        spec = pool.spec
        if spec.kind is PoolKind.CONSTANT_PRODUCT:
            data = encode_call(
                "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
                spec.token0,
                spec.token1,
                *(_side(pool, side, prices, depth_percent) for side in (0, 1)),
                0,
                0,
                owner,
                FAR_FUTURE,
            )
            yield Sending(sender=owner, to=V2_ROUTER, data=data, what=f"filling {pool.name}")
            continue
        for low, high, share in _ranges(pool, prices):
            percent = Fraction(depth_percent * share, 100)
            data = encode_call(
                "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,"
                "address,uint256))",
                (
                    spec.token0,
                    spec.token1,
                    spec.fee_ppm,
                    low,
                    high,
                    *(_side(pool, side, prices, percent) for side in (0, 1)),
                    0,
                    0,
                    owner,
                    FAR_FUTURE,
                ),
            )
            yield Sending(sender=owner, to=V3_POSITIONS, data=data, what=f"filling {pool.name}")


def sqrt_price_x96(price: Fraction) -> int:
    """floor(sqrt(price) * 2**96), price in raw token1 per raw token0 (V3's Q64.96)."""
    return math.isqrt((price.numerator << 192) // price.denominator)


def _ordered(pool: TwinPool) -> tuple[str, str]:
    first, second = sorted(pool.symbols, key=lambda symbol: TOKENS[symbol].address)
    return first, second


def _raw_price(pool: TwinPool, prices: UsdPrices) -> Fraction:
    low, high = _ordered(pool)
    shift = TOKENS[high].decimals - TOKENS[low].decimals
    return prices[low] / prices[high] * Fraction(10) ** shift


def _side(pool: TwinPool, side: int, prices: UsdPrices, percent: Fraction | int) -> int:
    symbol = _ordered(pool)[side]
    whole = Fraction(pool.depth_usd) * percent / 200 / prices[symbol]
    return math.floor(whole * Fraction(10) ** TOKENS[symbol].decimals)


def _ranges(pool: TwinPool, prices: UsdPrices) -> Iterator[tuple[int, int, int]]:
    spacing = pool.spec.tick_spacing
    tick = math.floor(math.log(_raw_price(pool, prices)) / math.log(1.0001))
    lowest, highest = -(_MAX_TICK // spacing) * spacing, _MAX_TICK // spacing * spacing
    for width, share in _RANGES:
        if width is None:
            yield lowest, highest, share
            continue
        low = (tick // spacing - width) * spacing
        high = (tick // spacing + width + 1) * spacing
        yield max(low, lowest), min(high, highest), share
