"""Swaps of all three families on revm, Anvil and py-evm: the same outputs, gas and logs.

Each block is simulated by the three, under Prague's rules, and then really mined.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.evm.conftest import Chain, Sender
from tests.pools.venue import ME, AnvilMachine, Venue, calldata, scatter
from tests.pools.venue_v4 import FEE_SETTER, VenueV4, native_value
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import start_anvil
from toolkit.evm.call import BlockEnv, Call, CallResult
from toolkit.evm.node import NodeSimulator
from toolkit.evm.pyevm import PyEvmSimulator
from toolkit.evm.revm import RevmSimulator
from toolkit.evm.simulator import Simulator, revm_is_installed
from toolkit.model.chain import Address, Head
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE
from toolkit.pools.snapshot import PoolSpec
from toolkit.pools.ticks import sqrt_price_at_tick

# py-evm takes some seconds for a block, more on a busy machine.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PER_BLOCK = 6
GAS = 3_000_000
NATIVE = 500  # the fee of the pool of native currency
FOREVER = 2**40


Swaps = Callable[["Market", random.Random, Sender], list[Call]]


@dataclass(frozen=True, slots=True)
class Market:
    """The contracts on one node, with a pair, V3 pools and V4 pools that hold liquidity."""

    url: str
    venue: Venue
    venue4: VenueV4
    fees3: tuple[int, ...]
    specs4: tuple[PoolSpec, ...]


@pytest.fixture(scope="module")
def market(seed: int) -> Iterator[Market]:
    """A node whose blocks are sealed by hand once everything is there."""
    flags = ["--hardfork", "prague", "--chain-id", "1", "--order", "fifo", "--auto-impersonate"]
    anvil = asyncio.run(start_anvil([*flags, "--gas-limit", "36000000"]))
    machine = AnvilMachine(anvil.port)
    try:
        rng = random.Random(seed)
        venue = Venue(machine)
        venue.make_pair(10**22, 3 * 10**20)
        fees3 = (500, 3000)
        for fee in fees3:
            tick = rng.randrange(-20_000, 20_000)
            venue.make_pool(fee, tick, rng.randrange(1000))
            scatter(venue, fee, tick, rng, 8)
        machine.rpc("anvil_setBalance", FEE_SETTER, hex(10**20))
        venue4 = VenueV4(venue)
        specs4 = _managed_pools(venue4, rng)
        machine.rpc("evm_setAutomine", False)
        yield Market(anvil.url, venue, venue4, fees3, specs4)
    finally:
        machine.connection.close()
        asyncio.run(anvil.stop())


def _managed_pools(venue4: VenueV4, rng: random.Random) -> tuple[PoolSpec, ...]:
    """A plain pool, a taxed native one, one with a dynamic fee, and one that keeps everything."""
    kinds = ((3000, 60), (500, 10), (DYNAMIC_FEE, 200), (1_000_000, 32_767))
    specs = []
    for fee, spacing in kinds:
        tick = rng.randrange(-3000, 3000)
        spec = venue4.make_pool(fee, spacing, tick, rng.randrange(1000), native=fee == NATIVE)
        usable = 887_272 // spacing * spacing
        for _ in range(4):
            lower = max((tick - rng.randrange(1, 2000)) // spacing * spacing, -usable)
            upper = min((tick + rng.randrange(1, 2000)) // spacing * spacing + spacing, usable)
            venue4.modify(spec, lower, upper, int(10 ** rng.uniform(14, 18)))
        specs.append(spec)
    venue4.charge(specs[1], 1000, 997)
    venue4.set_fee(specs[2], 12_345)
    return tuple(specs)


@pytest_asyncio.fixture(loop_scope="module")
async def chain(market: Market) -> AsyncIterator[Chain]:
    """The node; each block is the market's first, so none finds pools that another drained."""
    async with HttpRpc(market.url) as rpc:
        saved = await rpc.call("evm_snapshot")
        yield Chain(Node(rpc))
        await rpc.call("evm_revert", [saved])


def v2_swaps(market: Market, rng: random.Random, sender: Sender) -> list[Call]:
    """Exact inputs and outputs through the router, of all sizes, and some that it reverts."""
    made: list[Call] = []
    pair = [market.venue.token0, market.venue.token1]
    while len(made) < PER_BLOCK:
        path = pair[:: rng.choice((1, -1))]
        exact_in, refused = _kind(rng, made), bool(made) and rng.random() < 0.2
        name = "swapExactTokensForTokens" if exact_in else "swapTokensForExactTokens"
        fields = (_amount(rng, made), 2**250 if exact_in == refused else 0, path, ME, FOREVER)
        data = calldata(f"{name}(uint256,uint256,address[],address,uint256)", *fields)
        made.append(sender(Address(market.venue.router2), _hex(data), gas=GAS))
    return made


def v3_swaps(market: Market, rng: random.Random, sender: Sender) -> list[Call]:
    """Exact inputs and outputs through SwapRouter, within a tick and far beyond, with limits."""
    made: list[Call] = []
    pair = (market.venue.token0, market.venue.token1)
    types = "((address,address,uint24,address,uint256,uint256,uint256,uint160))"
    while len(made) < PER_BLOCK:
        tokens = pair[:: rng.choice((1, -1))]
        exact_in, limited = _kind(rng, made), bool(made) and rng.random() < 0.4
        limit = sqrt_price_at_tick(rng.randrange(-25_000, 25_000)) if limited else 0
        name = "exactInputSingle" if exact_in else "exactOutputSingle"
        rest = (ME, FOREVER, _amount(rng, made), 0 if exact_in else 2**250, limit)
        data = calldata(name + types, (*tokens, rng.choice(market.fees3), *rest))
        made.append(sender(Address(market.venue.router3), _hex(data), gas=GAS))
    return made


def v4_swaps(market: Market, rng: random.Random, sender: Sender) -> list[Call]:
    """Exact inputs and outputs through PoolSwapTest in every pool, also with native currency."""
    made: list[Call] = []
    while len(made) < PER_BLOCK:
        spec, down = market.specs4[len(made) % len(market.specs4)], rng.random() < 0.5
        sign, limited = -1 if _kind(rng, made) else 1, bool(made) and rng.random() < 0.4
        limit = sqrt_price_at_tick(rng.randrange(-5000, 5000)) if limited else 0
        specified = sign * _amount(rng, made)
        data = market.venue4.swap_data(spec, specified, zero_for_one=down, limit=limit)
        value = native_value(spec)
        made.append(sender(Address(market.venue4.swapper), _hex(data), value=value, gas=GAS))
    return made


def _kind(rng: random.Random, made: list[Call]) -> bool:
    """Whether the next is an exact input; a block's first always is, so that something happens."""
    return not made or rng.random() < 0.5


def _amount(rng: random.Random, made: list[Call]) -> int:
    return int(10 ** rng.uniform(0, 23)) if made else rng.randrange(10**6, 10**12)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


class Unwilling:
    """What must not be asked: revm has to run every swap itself."""

    async def simulate(
        self, transactions: Sequence[Call], *, parent: Head, env: BlockEnv
    ) -> tuple[CallResult, ...]:
        raise AssertionError(f"{len(transactions)} swaps on {parent} in {env} left to the node")


@pytest.mark.parametrize("swaps", [v2_swaps, v3_swaps, v4_swaps])
@pytest.mark.parametrize("block", range(2))
async def test_three_evms_agree(
    market: Market, chain: Chain, swaps: Swaps, block: int, seed: int
) -> None:
    """Outputs, gas and logs of a block of swaps are alike, and the mined receipts say the same."""
    rng = random.Random(f"{seed}:{block}")
    parent = await chain.node.head()
    env = await chain.env(parent)
    me = Address(ME)
    transactions = swaps(market, rng, Sender(me, await chain.node.nonce(me)))

    by_node = await NodeSimulator(chain.node).simulate(transactions, parent=parent, env=env)
    others: list[Simulator] = [PyEvmSimulator(chain.node)]
    if revm_is_installed():
        revm = RevmSimulator(chain.node)
        revm._fallback = Unwilling()  # type: ignore[assignment]
        others.append(revm)
    by_others = [await one.simulate(transactions, parent=parent, env=env) for one in others]
    receipts = await chain.mine(transactions, env)

    assert PER_BLOCK == len(receipts)
    assert by_node[0].succeeded
    assert by_node[0].logs
    for results in by_others:
        assert by_node == results
    for receipt, result in zip(receipts, by_node, strict=True):
        logs = [(log.address, log.topics, log.data) for log in receipt.logs]
        assert (receipt.succeeded, receipt.gas_used) == (result.succeeded, result.gas_used)
        assert logs == [(log.address, log.topics, log.data) for log in result.logs]
