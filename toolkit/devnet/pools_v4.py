"""Uniswap V4 on a devnet: the genuine PoolManager at its mainnet address, and pools with liquidity.

A twin has none of it unless it is asked for, so that what a demo finds stays as it is. Positions
are kept by the router of v4-core's own tests, since v4-core has no other; it takes no USDT, whose
transfers answer nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from toolkit.chain.hashing import keccak
from toolkit.devnet.calldata import encode_call
from toolkit.devnet.editor import ChainEditor, Sending
from toolkit.devnet.pools import UsdPrices, sqrt_price_x96
from toolkit.devnet.protocols import Deployment
from toolkit.devnet.tokens import TOKENS
from toolkit.devnet.twin import PROVIDER, Funding, construct, fund
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.market import PoolKind
from toolkit.pools.concentrated_v4 import POOL_MANAGER, pool_id
from toolkit.pools.snapshot import PoolSpec
from toolkit.pools.ticks import MAX_TICK, sqrt_price_at_tick, tick_at_sqrt_price

_KEY = "(address,address,uint24,int24,address)"
_Q96 = 2**96
_ROUTER = Address("0x" + keccak(b"toolkit devnet v4 positions")[12:].hex())
# Nested ranges around the price: spacings to either side (None: everywhere), percent of the depth.
_RANGES = ((2, 3), (8, 12), (40, 30), (120, 25), (400, 15), (None, 15))

DEPLOYMENTS = (
    Deployment(
        name="PoolManager",
        address=POOL_MANAGER,
        artefact="@uniswap/v4-core/out/PoolManager.sol/PoolManager.json",
        creation_hash="0x2aa0ab6866fc2e2b2a0a9128e66982a049eb04516c012690426ab110f92966f8",
        runtime_hash=None,  # holds its own address, and no record of mainnet's code was found
        types=("address",),
        values=(PROVIDER,),
    ),
    Deployment(
        name="PoolModifyLiquidityTest",
        address=_ROUTER,
        artefact="@uniswap/v4-core/out/PoolModifyLiquidityTest.sol/PoolModifyLiquidityTest.json",
        creation_hash="0xad94f64bf182adc48b2ffdfb95891357f5ffe495377e77f8ffed2c7b02e5dc72",
        runtime_hash=None,  # mainnet has none
        types=("address",),
        values=(POOL_MANAGER,),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolV4:
    """A pool of the manager, and what is put into it in whole US dollars, both sides together."""

    symbols: tuple[str, str]
    fee_ppm: int
    spacing: int
    depth_usd: int

    @property
    def spec(self) -> PoolSpec:
        """What never changes about it."""
        low, high = sorted(TOKENS[symbol].address for symbol in self.symbols)
        return PoolSpec(
            id=pool_id(low, high, self.fee_ppm, self.spacing),
            kind=PoolKind.CONCENTRATED,
            token0=low,
            token1=high,
            fee_ppm=self.fee_ppm,
            tick_spacing=self.spacing,
        )


POOLS_V4 = (
    PoolV4(symbols=("USDC", "WETH"), fee_ppm=500, spacing=10, depth_usd=60_000_000),
    PoolV4(symbols=("WBTC", "WETH"), fee_ppm=3000, spacing=60, depth_usd=25_000_000),
    PoolV4(symbols=("DAI", "USDC"), fee_ppm=10, spacing=1, depth_usd=30_000_000),
)


async def add_pools_v4(editor: ChainEditor, prices: UsdPrices) -> tuple[PoolSpec, ...]:
    """Deploy the manager on a twin, or a fork of one, and fill its pools; return what they are.

    Args:
        editor: of an Anvil that mines on demand and lets any account send.
        prices: US dollars per whole token, by symbol.

    Raises:
        DevnetError: protocol bytecode that is missing or not genuine, a failed step.
    """
    await editor.apply([("anvil_setBalance", (PROVIDER, hex(10**27)))])
    await construct(editor, DEPLOYMENTS, [each.creation_code() for each in DEPLOYMENTS])
    amounts = tuple(
        (symbol, int(sum(pool.depth_usd for pool in POOLS_V4) / prices[symbol] * 10**of.decimals))
        for symbol, of in TOKENS.items()
    )
    await fund(editor, [Funding(account=PROVIDER, amounts=amounts, spenders=(_ROUTER,))])
    await editor.transact(list(_fill(prices)))
    return tuple(pool.spec for pool in POOLS_V4)


def _fill(prices: UsdPrices) -> Iterator[Sending]:
    for pool in POOLS_V4:
        spec, name = pool.spec, f"V4 {'/'.join(pool.symbols)}"
        key = (spec.token0, spec.token1, spec.fee_ppm, spec.tick_spacing, ZERO_ADDRESS)
        low, high = sorted(pool.symbols, key=lambda symbol: TOKENS[symbol].address)
        shift = Fraction(10) ** (TOKENS[high].decimals - TOKENS[low].decimals)
        price = sqrt_price_x96(prices[low] / prices[high] * shift)
        data = encode_call(f"initialize({_KEY},uint160)", key, price)
        yield Sending(sender=PROVIDER, to=POOL_MANAGER, data=data, what=f"creating {name}")
        whole = Fraction(pool.depth_usd, 2) / prices[low] * 10 ** TOKENS[low].decimals
        for first, last, percent in _ranges(tick_at_sqrt_price(price), pool.spacing):
            amount = math.floor(whole * percent / 100)
            data = encode_call(
                f"modifyLiquidity({_KEY},(int24,int24,int256,bytes32),bytes)",
                key,
                (first, last, _liquidity(amount, price, last), bytes(32)),
                b"",
            )
            yield Sending(sender=PROVIDER, to=_ROUTER, data=data, what=f"filling {name}")


def _liquidity(amount0: int, price: int, upper: int) -> int:
    """Return the liquidity for which a position up to a tick takes an amount of token0.

    L = amount pa pb / (pb - pa) with price roots pa, pb (v3-periphery, LiquidityAmounts.sol).
    """
    top = sqrt_price_at_tick(upper)
    return amount0 * price // _Q96 * top // (top - price)


def _ranges(tick: int, spacing: int) -> Iterator[tuple[int, int, int]]:
    most = MAX_TICK // spacing * spacing
    middle = tick // spacing
    for width, percent in _RANGES:
        if width is None:
            yield -most, most, percent
        else:
            yield (middle - width) * spacing, (middle + width + 1) * spacing, percent
