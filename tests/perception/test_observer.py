"""One complete look at a block of a real node."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.pools.test_apart import REVERT, SYNC, logging_code
from tests.pools.test_sync import Counted
from tests.pools.venue import ME, AnvilMachine, Venue, calldata
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import start_anvil
from toolkit.gas.oracle import GasOracle
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Head, HeadChange
from toolkit.model.errors import ConfigError, NodeError
from toolkit.model.market import PoolKind, Token
from toolkit.perception.observer import Observer
from toolkit.perception.perceived import rebuilt
from toolkit.perception.prices import PriceSource
from toolkit.pools.snapshot import PoolSpec

KEY = "price/A-B"


class Point:
    """A recorded price."""

    timestamp = 1
    price = 2.5


class Place:
    """A node with one pair, and an observer of it."""

    def __init__(self, venue: Venue, node: Node) -> None:
        self.venue = venue
        self.node = node
        self.pair = venue.make_pair(10**20, 4 * 10**20)
        self.source = PriceSource(key=KEY, pool=self.pair, base=venue.token0, quote=venue.token1)

    def observer(self, **changes: object) -> Observer:
        """An observer of the pair."""
        venue = self.venue
        values: dict[str, object] = {
            "oracle": GasOracle(self.node),
            "pools": [
                PoolSpec(
                    id=self.pair,
                    kind=PoolKind.CONSTANT_PRODUCT,
                    token0=venue.token0,
                    token1=venue.token1,
                )
            ],
            "tokens": {
                token: Token(address=token, symbol=name, decimals=18)
                for token, name in ((venue.token0, "A"), (venue.token1, "B"))
            },
            "prices": [self.source],
            "accounts": [Address(ME.lower())],
            "history": {KEY: [Point(), Point()]},
            "lenders": [(self.pair, venue.token0)],
        }
        node = changes.pop("node", self.node)
        return Observer(node, **(values | changes))  # type: ignore[arg-type]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A fresh Anvil."""
    anvil = await start_anvil(["--auto-impersonate", "--gas-limit", "36000000"])
    machine = AnvilMachine(anvil.port)
    node = Node(HttpRpc(anvil.url))
    try:
        yield Place(await asyncio.to_thread(Venue, machine), node)
    finally:
        machine.connection.close()
        await node.rpc.close()
        await anvil.stop()


async def test_the_newest_block_that_still_stands_is_found_in_few_questions(place: Place) -> None:
    """Whatever was replaced since, all of it or nothing, the chain is asked 1 + log2 n times."""
    for _ in range(20):
        await place.node.rpc.call("evm_mine", [])
    head = await place.node.head()
    numbers = range(head.number - 19, head.number)
    there = {number: (await place.node.head(number)).hash for number in numbers}
    asked: list[object] = []

    class Counting:
        async def head(self, block: object) -> Head:
            asked.append(block)
            return await place.node.head(block)  # type: ignore[arg-type]

    found, most = [], 0
    for kept in (19, 12, 1, 0):
        other = {n: h if n < numbers[0] + kept else ZERO_HASH for n, h in there.items()}
        asked.clear()
        observer = place.observer(oracle=GasOracle(place.node))
        observer._node = Counting()  # type: ignore[assignment]
        found.append(await observer.agreed({**other, head.number + 1: ZERO_HASH}, head))
        most = max(most, len(asked))

    assert [numbers[18], numbers[11], numbers[0], -1] == found
    assert most <= 6


async def test_a_look_holds_the_chains_own_figures(place: Place) -> None:
    """Prices, balances, fees and what lenders have are the contracts', dated by the head."""
    head = await place.node.head()

    observer = place.observer()
    seen = await observer.observe(HeadChange(added=(head,)))

    by_key = {reading.key: reading for reading in seen.readings}
    assert observer.keys == set(by_key)
    assert head == seen.head
    assert 4.0 == by_key[KEY].value
    assert str(10**20) == by_key[f"flash/{place.pair}/{place.venue.token0}"].value
    held = place.venue.ask(place.venue.token0, "balanceOf(address)", ME, out="uint256")
    assert held == seen.balances[place.venue.token0]
    assert await place.node.balance(Address(ME.lower())) == seen.balances[ZERO_ADDRESS]
    assert {head.hash} == {r.block_hash for r in seen.readings if r.block_hash != ZERO_HASH}
    history = [r.value for r in seen.readings if r.key == KEY]
    assert [2.5, 2.5, 4.0] == history


async def test_the_next_look_carries_only_what_changed(place: Place) -> None:
    """A block in which the pair moved carries the pair and no history; a still one no pool."""
    observer = place.observer()
    first = await observer.observe(HeadChange(added=(await place.node.head(),)))
    path = [place.venue.token0, place.venue.token1]
    swap = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
    data = calldata(swap, 10**17, 0, path, "0x" + "77" * 20, 2**64)
    place.venue.machine.send(place.venue.router2, data)
    moved = await observer.observe(HeadChange(added=(await place.node.head(),)))
    place.venue.machine.send(place.venue.token0, calldata("transfer(address,uint256)", ME, 1))
    still = await observer.observe(HeadChange(added=(await place.node.head(),)))

    assert (1, 1, 0) == (len(first.pools), len(moved.pools), len(still.pools))
    assert () == moved.tokens
    assert 1 == len([r for r in moved.readings if r.key == KEY])
    again = rebuilt(still, since=rebuilt(moved, since=rebuilt(first, since=None)))
    assert place.venue.read_pair(place.pair) == again.pools[place.pair]


async def test_pools_cost_one_request_a_look(place: Place) -> None:
    """After the first look the pools of a block are told by its logs, whatever happened in it."""
    counted = Counted(place.node.rpc)
    node = Node(counted)
    observer = place.observer(node=node)
    await observer.observe(HeadChange(added=(await node.head(),)))
    place.venue.machine.send(place.pair, calldata("sync()"))
    place.venue.machine.send(place.pair, calldata("skim(address)", ME))
    head = await place.node.head()
    added = (await place.node.head(head.number - 1), head)
    counted.methods.clear()
    counted.batches.clear()

    await observer.observe(HeadChange(added=added))

    assert counted.methods.count("eth_getLogs") == len(added)
    assert "eth_getBlockByHash" not in counted.methods
    assert [] == [asked for asked in counted.batches if place.pair in asked]


async def test_a_pool_that_cannot_be_read_is_told_once_and_has_no_price(place: Place) -> None:
    """The look goes on without it: no state, no price, the reason once; and again when mended."""
    observer, machine = place.observer(), place.venue.machine
    assert isinstance(machine, AnvilMachine)
    first = await observer.observe(HeadChange(added=(await place.node.head(),)))
    code = machine.rpc("eth_getCode", place.pair, "latest")
    machine.rpc("anvil_setCode", place.pair, logging_code(SYNC, REVERT))
    machine.send(place.pair, b"")
    broken = await observer.observe(HeadChange(added=(await place.node.head(),)))
    machine.send(place.pair, b"")
    still = await observer.observe(HeadChange(added=(await place.node.head(),)))
    machine.rpc("anvil_setCode", place.pair, code)
    machine.rpc("evm_mine")
    mended = await observer.observe(HeadChange(added=(await place.node.head(),)))

    assert [place.pair] == [one.spec.id for one in broken.set_aside]
    assert () == first.set_aside == still.set_aside == mended.set_aside
    assert [1, 0, 0, 1] == [len(one.pools) for one in (first, broken, still, mended)]
    told = [KEY in {r.key for r in one.readings} for one in (first, broken, still, mended)]
    assert [True, False, False, True] == told
    known = rebuilt(still, since=rebuilt(broken, since=rebuilt(first, since=None)))
    assert {} == known.pools
    assert [place.pair] == list(known.aside)
    assert {} == rebuilt(mended, since=known).aside
    assert place.venue.read_pair(place.pair) == rebuilt(mended, since=known).pools[place.pair]


async def test_what_cannot_be_observed_is_refused(place: Place) -> None:
    """A price from a pool that is not followed, a past of none, no head, a token of no balance."""
    head = await place.node.head()
    elsewhere = PriceSource(
        key=KEY, pool=Address("0x" + "55" * 20), base=ZERO_ADDRESS, quote=ZERO_ADDRESS
    )
    no_token = Address("0x" + "66" * 20)

    with pytest.raises(ConfigError, match="not synced"):
        place.observer(prices=[elsewhere])
    with pytest.raises(ConfigError, match=r"history names price/A-C; the prices are price/A-B"):
        place.observer(history={"price/A-C": [Point()]})
    with pytest.raises(ConfigError, match="without a new head"):
        await place.observer().observe(HeadChange(added=()))
    with pytest.raises(NodeError, match="does not tell the balance"):
        await place.observer(lenders=[(place.pair, no_token)]).observe(HeadChange(added=(head,)))
