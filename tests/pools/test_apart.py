"""A pool that cannot be told any more, among others that can, on a real node."""

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.pools.test_sync import Counted
from tests.pools.venue import SPACINGS, AnvilMachine, Venue, calldata
from toolkit.chain.node import Node
from toolkit.model.errors import NodeError, PoolError, RpcError
from toolkit.model.market import PoolKind
from toolkit.pools import sync
from toolkit.pools.abi import SELECTORS, TOPICS
from toolkit.pools.history import Followed
from toolkit.pools.snapshot import PoolSpec
from toolkit.pools.sync import follow, load

SYNC = TOPICS["Sync(uint112,uint112)"]
REVERT, INVALID = "60006000fd", "fe"


def logging_code(topic: str, ending: str) -> str:
    """Code that logs a topic without data where it gets no calldata, and ends so otherwise."""
    return f"0x36602b577f{topic[2:]}60006000a1005b{ending}"


def answering(selector: str, otherwise: str) -> str:
    """Code that answers 1 to a selector, and whatever else as other code does on its storage."""
    asked = f"60003560e01c63{selector[2:]}1460"
    passed_on = f"3660006000376000600036600073{otherwise[2:]}5af4503d600060003e3d6000f3"
    place = len(bytes.fromhex(asked)) + 2 + len(bytes.fromhex(passed_on))
    return f"0x{asked}{place:02x}57{passed_on}5b600160005260206000f3"


class Place:
    """A V2 pair and two V3 pools on a real node, and the code that the pair was deployed with."""

    def __init__(self, venue: Venue) -> None:
        assert isinstance(venue.machine, AnvilMachine)
        self.machine: AnvilMachine = venue.machine
        self.venue = venue
        self.pair = venue.make_pair(10**21, 3 * 10**20)
        self.code = self.machine.rpc("eth_getCode", self.pair, "latest")
        self.pools = {fee: venue.make_pool(fee, 777) for fee in (500, 3000)}
        for fee in self.pools:
            venue.mint(fee, -6000, 6000, 10**20)
        self.spec = PoolSpec(
            id=self.pair,
            kind=PoolKind.CONSTANT_PRODUCT,
            token0=venue.token0,
            token1=venue.token1,
        )
        self.others = [
            PoolSpec(
                id=pool,
                kind=PoolKind.CONCENTRATED,
                fee_ppm=fee,
                tick_spacing=SPACINGS[fee],
                token0=venue.token0,
                token1=venue.token1,
            )
            for fee, pool in self.pools.items()
        ]
        self.specs = [self.spec, *self.others]

    def break_pair(self, ending: str, topic: str = SYNC) -> None:
        """Let the pair log what no pair writes, and end every other call so."""
        self.machine.rpc("anvil_setCode", self.pair, logging_code(topic, ending))
        self.machine.send(self.pair, b"")

    def mend_pair(self) -> None:
        self.machine.rpc("anvil_setCode", self.pair, self.code)

    def trade(self, fee: int = 500) -> None:
        self.venue.swap3(fee, self.venue.token1, 10**15, exact_in=True)

    def swap2(self, amount: int = 10**17) -> None:
        path = [self.venue.token0, self.venue.token1]
        signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
        data = calldata(signature, amount, 0, path, "0x" + "77" * 20, 2**64)
        self.machine.send(self.venue.router2, data)


@pytest.fixture(scope="module")
def made(twin: tuple[str, Venue]) -> Place:
    return Place(twin[1])


@pytest.fixture
def place(made: Place) -> Iterator[Place]:
    mark = made.machine.rpc("evm_snapshot")
    yield made
    made.machine.rpc("evm_revert", mark)


async def started(place: Place, node: Node) -> Followed:
    return Followed(snapshot=await load(node, place.specs, head=await node.head()))


@pytest.mark.parametrize("ending", [REVERT, INVALID])
async def test_a_pool_that_cannot_be_read_is_set_aside_and_the_others_are_followed(
    ending: str, place: Place, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no state and says why, once; the others equal a load; mended it is followed again."""
    caplog.set_level(logging.INFO)
    before = await started(place, node)
    place.break_pair(ending)
    place.trade()
    broken = await follow(node, before, head=await node.head())
    place.trade(3000)
    still = await follow(node, broken, head=await node.head())
    place.mend_pair()
    place.swap2()
    mended = await follow(node, still, head=await node.head())

    for one in (broken, still):
        head = one.snapshot.block
        assert one.snapshot.pools == (await load(node, place.others, head=head)).pools
        assert [place.pair] == list(one.snapshot.aside)
        with pytest.raises(PoolError, match=f"pool {place.pair}: .*set aside since block"):
            one.snapshot.quote_in(place.pair, place.venue.token0, 1000)
    assert broken.snapshot.aside == still.snapshot.aside
    assert mended.snapshot == await load(node, place.specs, head=mended.snapshot.block)
    told: list[Any] = [one.msg for one in caplog.records if one.name == sync.__name__]
    assert ["pool_set_aside", "pool_regained"] == [one["event"] for one in told]
    assert f"pool {place.pair}: " in told[0]["why"]


async def test_what_was_set_aside_does_not_come_back_with_a_reorg(place: Place, node: Node) -> None:
    """Its states of earlier blocks, which its log contradicted, are gone with it."""
    before = await started(place, node)
    place.swap2()
    kept = await follow(node, before, head=await node.head())
    place.break_pair(REVERT)
    broken = await follow(node, kept, head=await node.head())

    back = broken.back(before.snapshot.block.hash)

    assert back is not None
    assert [place.pair] == [held for undo in kept.undos for held in undo.pools]
    assert before.snapshot.block == back.snapshot.block
    assert place.pair not in back.snapshot.pools
    assert place.pair in back.snapshot.aside
    assert len(place.pools) == len(back.snapshot.pools)


async def test_a_pool_read_again_is_not_gone_back_behind(place: Place, node: Node) -> None:
    """What it was before its reading nobody knows: a reorg there loads all anew."""
    before = await started(place, node)
    place.break_pair(REVERT)
    broken = await follow(node, before, head=await node.head())
    place.mend_pair()
    place.trade()
    mended = await follow(node, broken, head=await node.head())

    after = await follow(node, mended, head=before.snapshot.block)

    assert mended.back(broken.snapshot.block.hash) is None
    for pool in place.pools.values():
        assert before.snapshot.pools[pool] == after.snapshot.pools[pool]


async def test_it_is_tried_again_ever_more_rarely(place: Place, node: Node) -> None:
    """At the next block, and then after 1, 2, 4 and at most 64 blocks more."""
    followed = await started(place, node)
    place.break_pair(REVERT)
    first = (await node.head()).number
    counted = Counted(node.rpc)
    tried = []
    for _ in range(20):
        counted.batches.clear()
        followed = await follow(Node(counted), followed, head=await node.head())
        if any(place.pair in asked for asked in counted.batches):
            tried.append(followed.snapshot.block.number - first)
        place.machine.rpc("evm_mine")

    assert [0, 1, 2, 4, 8, 16] == tried
    far = msgspec.structs.replace(followed, again={place.pair: 0})
    aside = msgspec.structs.replace(followed.snapshot.aside[place.pair], block_number=0)
    old = msgspec.structs.replace(followed.snapshot, aside={place.pair: aside})
    late = await follow(node, msgspec.structs.replace(far, snapshot=old), head=await node.head())
    assert (
        late.snapshot.block.number + min(late.snapshot.block.number, 64) == late.again[place.pair]
    )


async def test_a_fresh_load_sets_it_aside_too(
    place: Place, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all is read anew, what cannot be read is told from what can."""
    monkeypatch.setattr(sync, "MAX_GAP_BLOCKS", 1)
    before = await started(place, node)
    place.break_pair(REVERT)
    place.trade()
    broken = await follow(node, before, head=await node.head())
    place.trade()
    place.trade()
    again = await follow(node, broken, head=await node.head())
    place.mend_pair()
    place.trade()
    place.trade()
    mended = await follow(node, again, head=await node.head())

    for one in (broken, again):
        assert one.snapshot.pools == (await load(node, place.others, head=one.snapshot.block)).pools
        assert broken.snapshot.aside == one.snapshot.aside != {}
    assert mended.snapshot == await load(node, place.specs, head=mended.snapshot.block)
    assert {} == mended.again


async def test_what_is_wrong_with_the_node_is_no_pools_fault(place: Place, node: Node) -> None:
    """A node that lost the block's state, or mixes up its logs, is asked again by the caller."""

    class Forgetful(Counted):
        async def batch(self, calls: Any, *, timeout_s: float | None = None) -> list[object]:
            del timeout_s
            return [RpcError(-32000, "missing trie node") for _ in calls]

        async def call(
            self, method: str, params: Any = (), *, timeout_s: float | None = None
        ) -> object:
            if method == "eth_call":
                raise RpcError(-32000, "missing trie node")
            return await super().call(method, params, timeout_s=timeout_s)

    class Doubling(Counted):
        async def call(
            self, method: str, params: Any = (), *, timeout_s: float | None = None
        ) -> object:
            found: Any = await super().call(method, params, timeout_s=timeout_s)
            return found * 2 if method == "eth_getLogs" else found

    before = await started(place, node)
    place.trade()
    head = await node.head()
    with pytest.raises(NodeError, match=f"logs of block {head.number}: .*given twice"):
        await follow(Node(Doubling(node.rpc)), before, head=head)
    place.break_pair(REVERT)
    with pytest.raises(NodeError, match="missing trie node"):
        await follow(Node(Forgetful(node.rpc)), before, head=await node.head())


async def test_a_pair_of_solidlys_is_refused_at_load(place: Place, node: Node) -> None:
    """It answers stable(), which no V2 pair does: one line says what it is and what to do."""
    pair = "0x" + "5a" * 20
    place.machine.rpc("anvil_setCode", pair, place.code)
    place.machine.rpc("anvil_setCode", place.pair, answering(SELECTORS["stable()"], pair))

    with pytest.raises(PoolError, match=f"pool {place.pair}: kind: it answers stable"):
        await load(node, place.specs, head=await node.head())


async def test_a_pair_that_logs_the_other_sync_is_set_aside_for_good(
    place: Place, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reserves would never be heard of; the reason says so, and nothing is read again."""
    before = await started(place, node)
    place.break_pair(REVERT, topic=TOPICS["Sync(uint256,uint256)"])
    place.trade()
    after = await follow(node, before, head=await node.head())
    place.mend_pair()
    place.trade()
    later = await follow(node, after, head=await node.head())
    monkeypatch.setattr(sync, "MAX_GAP_BLOCKS", 1)
    place.trade()
    place.trade()
    loaded = await follow(node, later, head=await node.head())

    assert later.snapshot.aside == loaded.snapshot.aside
    aside = later.snapshot.aside[place.pair]
    assert aside.lasting
    assert (
        f"pool {place.pair}: kind: it logs Sync(uint256,uint256), so it is of Solidly" in aside.why
    )
    assert later.snapshot.pools == (await load(node, place.others, head=later.snapshot.block)).pools


async def test_a_fee_that_a_swap_disproves_sets_its_pool_aside(place: Place, node: Node) -> None:
    """The pair's true fee passes; a higher one is named with what the pair takes at most."""
    true = await started(place, node)
    specs = [msgspec.structs.replace(place.spec, fee_ppm=fee) for fee in (3001, 2500)]
    head = await node.head()
    high, low = [Followed(snapshot=await load(node, [spec], head=head)) for spec in specs]
    place.swap2(10**19)
    head = await node.head()
    true, high, low = [await follow(node, one, head=head) for one in (true, high, low)]

    assert {} == true.snapshot.aside == low.snapshot.aside
    why = high.snapshot.aside[place.pair].why
    assert (
        f"pool {place.pair}: fee_ppm: is 3001 in the spec, but the pair takes 3000 at most" in why
    )
