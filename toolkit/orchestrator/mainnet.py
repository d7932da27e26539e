"""The default market: the deep pools of Ethereum mainnet, at their addresses."""

from toolkit.model.chain import MAINNET_WETH, Address
from toolkit.model.market import PoolKind, Token
from toolkit.orchestrator.market import Market
from toolkit.perception.prices import PriceSource
from toolkit.pools.snapshot import PoolSpec

WETH = Token(address=MAINNET_WETH, symbol="WETH", decimals=18)
USDC = Token(
    address=Address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"), symbol="USDC", decimals=6
)
USDT = Token(
    address=Address("0xdac17f958d2ee523a2206206994597c13d831ec7"), symbol="USDT", decimals=6
)
DAI = Token(
    address=Address("0x6b175474e89094c44da98b954eedeac495271d0f"), symbol="DAI", decimals=18
)
WBTC = Token(
    address=Address("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599"), symbol="WBTC", decimals=8
)
MAIN_POOL = Address("0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640")
_SPACING = {100: 1, 500: 10, 3000: 60}  # UniswapV3Factory.sol: tick spacing by fee


def _v2(address: str, one: Token, other: Token) -> PoolSpec:
    low, high = sorted((one.address, other.address))
    return PoolSpec(id=Address(address), kind=PoolKind.CONSTANT_PRODUCT, token0=low, token1=high)


def _v3(address: str, one: Token, other: Token, fee_ppm: int) -> PoolSpec:
    low, high = sorted((one.address, other.address))
    return PoolSpec(
        id=Address(address),
        kind=PoolKind.CONCENTRATED,
        token0=low,
        token1=high,
        fee_ppm=fee_ppm,
        tick_spacing=_SPACING[fee_ppm],
    )


POOLS = (
    _v2("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc", USDC, WETH),
    _v2("0x0d4a11d5eeaac28ec3f61d100daf4d40471f1852", WETH, USDT),
    _v2("0xa478c2975ab1ea89e8196811f51a7b7ade33eb11", DAI, WETH),
    _v2("0xbb2b8038a1640196fbe3e38816f3e67cba72d940", WBTC, WETH),
    _v3(MAIN_POOL, USDC, WETH, 500),
    _v3("0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8", USDC, WETH, 3000),
    _v3("0x11b815efb8f581194ae79006d24e0d814b7697f6", WETH, USDT, 500),
    _v3("0x4e68ccd3e89f51c3074ca5072bbac773960dfa36", WETH, USDT, 3000),
    _v3("0x4585fe77225b41b697c938b018e2ac67ac5a20c0", WBTC, WETH, 500),
    _v3("0xcbcdf9626bc03e24f779434178a73a0b4bad62ed", WBTC, WETH, 3000),
    _v3("0xc2e9f25be6257c210d7adf0d4cd6e3e881ba25f8", DAI, WETH, 3000),
    _v3("0x3416cf6c708da44db2624d63ea0aaef7113527c6", USDC, USDT, 100),
    _v3("0x5777d92f208679db4b9778590fa3cab3ac9e2168", DAI, USDC, 100),
)
"""Pools that the orchestrator follows unless told otherwise."""

MAINNET = Market(
    wrapped=WETH.address,
    tokens=(WBTC, DAI, USDC, WETH, USDT),
    stables=(USDC.address, USDT.address, DAI.address),
    prices=(
        PriceSource(key="price/WETH-USDC", pool=MAIN_POOL, base=WETH.address, quote=USDC.address),
    ),
)
"""Prices WETH by the deepest pool; a token without a price is traded in cycles only."""
