from fractions import Fraction

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.editor import ChainEditor
from toolkit.devnet.pools_v4 import POOLS_V4, add_pools_v4
from toolkit.devnet.tokens import TOKENS
from toolkit.devnet.twin import TwinConfig, build_twin
from toolkit.pools.concentrated_v4 import POOL_MANAGER, ConcentratedV4
from toolkit.pools.sync import load


async def test_a_twin_gets_v4_pools_that_trade_at_its_prices() -> None:
    """The manager stands at its mainnet address; every pool has the price and depth it is said to
    have, and a twin that is not asked has none."""
    config = TwinConfig()
    prices = {symbol: Fraction(1) for symbol in TOKENS}
    prices |= {"WETH": config.weth_usd, "WBTC": config.wbtc_usd}
    twin = await build_twin(config)
    async with twin.anvil, HttpRpc(twin.anvil.url) as rpc:
        node = Node(rpc)
        before = await node.code(POOL_MANAGER)
        specs = await add_pools_v4(ChainEditor(rpc), prices)
        snapshot = await load(node, specs, tuple(TOKENS.values()), head=await node.head())

    assert "0x" == before
    assert {spec.id for spec in specs} == set(snapshot.pools)
    for pool in POOLS_V4:
        state = snapshot.pool(pool.spec.id)
        sold, bought = (TOKENS[symbol] for symbol in pool.symbols)
        dollar = int(10**sold.decimals / prices[sold.symbol])
        part = pool.depth_usd // 1000
        back = state.quote_in(sold.address, part * dollar) * prices[bought.symbol]
        assert isinstance(state, ConcentratedV4)
        assert 0.99 < back / 10**bought.decimals / part < 1
