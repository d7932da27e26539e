import contextlib
import random
from collections.abc import Sequence

import msgspec
import pytest

from tests.pools.venue import ME, SPACINGS, AnvilMachine, Refused, Venue, calldata, scatter
from toolkit.chain.node import Node
from toolkit.chain.rpc import Rpc
from toolkit.chain.wire import Call
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolKind, Token
from toolkit.pools.checking import check
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.history import Followed
from toolkit.pools.snapshot import PoolSpec
from toolkit.pools.sync import follow, load, read_tokens, refresh, specs_of
from toolkit.pools.ticks import MAX_TICK, MIN_TICK
from toolkit.pools.windows import MAX_WORDS, known_range


class Counted:
    """The node's own client, counting the contracts read through it."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self.batches: list[list[str]] = []
        self.methods: list[str] = []
        self.filters: list[object] = []

    @property
    def url(self) -> str:
        return self.rpc.url

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> object:
        self.methods.append(method)
        self.filters += params if method == "eth_getLogs" else ()
        return await self.rpc.call(method, params, timeout_s=timeout_s)

    async def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[object]:
        asked = [params[0] for _, params in calls]
        self.batches.append([str(call["to"]) for call in asked if isinstance(call, dict)])
        return await self.rpc.batch(calls, timeout_s=timeout_s)

    async def close(self) -> None:
        await self.rpc.close()


class Market:
    """A V2 pair and one V3 pool of each fee, with the ticks they may use."""

    def __init__(self, venue: Venue, rng: random.Random) -> None:
        self.venue = venue
        self.rng = rng
        self.pair = venue.make_pair(10**21, 3 * 10**20)
        self.specs = [self.spec(self.pair, PoolKind.CONSTANT_PRODUCT, 3000, 0)]
        self.ticks: dict[Address, set[int]] = {}
        self.pools = {fee: venue.make_pool(fee, 777) for fee in SPACINGS}
        for fee, spacing in SPACINGS.items():
            pool = self.pools[fee]
            self.specs.append(self.spec(pool, PoolKind.CONCENTRATED, fee, spacing))
            # Liquidity at every price, so that no random swap drains a pool for the next test.
            bound = MAX_TICK // spacing * spacing
            venue.mint(fee, -bound, bound, 10**20)
            self.ticks[pool] = {-bound, bound}
        for fee in SPACINGS:
            self.ticks[self.pool(fee)] |= scatter(venue, fee, 777, rng, 6)

    def spec(self, pool: Address, kind: PoolKind, fee: int, spacing: int) -> PoolSpec:
        return PoolSpec(
            id=pool,
            kind=kind,
            token0=self.venue.token0,
            token1=self.venue.token1,
            fee_ppm=fee,
            tick_spacing=spacing,
        )

    def pool(self, fee: int) -> Address:
        return self.pools[fee]

    @property
    def whole(self) -> list[PoolSpec]:
        """The pools of which every tick is known, so that no window moves."""
        return [spec for spec in self.specs if spec.tick_spacing != 1]

    def act(self) -> None:
        """One random transaction: a swap in V2 or V3, a mint, or a burn of a whole position."""
        venue, rng = self.venue, self.rng
        kind = rng.randrange(6)
        fee = rng.choice(list(SPACINGS))
        if kind == 0:
            path = [venue.token0, venue.token1][:: rng.choice([1, -1])]
            signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
            to = "0x" + "77" * 20
            venue.machine.send(venue.router2, calldata(signature, 10**17, 0, path, to, 2**64))
        elif kind == 1:
            used = scatter(venue, fee, 777 + rng.randrange(-300, 300), rng, 1)
            self.ticks[self.pool(fee)] |= used
        elif kind == 2:
            self.burn_newest()
        else:
            token = rng.choice([venue.token0, venue.token1])
            with contextlib.suppress(Refused):  # a drained pool reverts, which is an event too
                venue.swap3(fee, token, int(10 ** rng.uniform(6, 20)), exact_in=True)

    def burn_newest(self) -> None:
        """Remove all liquidity of the newest position that still has some."""
        venue = self.venue
        shape = "uint96,address,address,address,uint24,int24,int24,uint128" + ",uint256" * 4
        count = venue.ask(venue.manager, "totalSupply()", out="uint256")
        for token_id in range(count, 0, -1):
            liquidity = venue.ask(venue.manager, "positions(uint256)", token_id, out=shape)[7]
            if liquidity:
                signature = "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))"
                fields = (token_id, liquidity, 0, 0, 2**40)
                venue.machine.send(venue.manager, calldata(signature, fields))
                return


@pytest.fixture(scope="module")
def market(twin: tuple[str, Venue], seed: int) -> Market:
    return Market(twin[1], random.Random(seed))


def rpc_of(market: Market) -> AnvilMachine:
    machine = market.venue.machine
    assert isinstance(machine, AnvilMachine)
    return machine


async def test_a_snapshot_holds_what_the_contracts_hold(market: Market, node: Node) -> None:
    """Reserves, price, liquidity and every initialised tick, in four batches for all pools."""
    counted = Counted(node.rpc)
    head = await node.head()

    taken = await load(Node(counted), market.specs, head=head)

    assert taken.block == head
    assert taken.pools[market.pair] == market.venue.read_pair(market.pair)
    for fee in SPACINGS:
        pool = market.pool(fee)
        read = taken.pools[pool]
        assert isinstance(read, Concentrated)
        inside = {t for t in market.ticks[pool] if read.known[0] <= t <= read.known[1]}
        expected = market.venue.read_pool(pool, fee, inside)
        assert read == msgspec.structs.replace(expected, known=read.known)
    assert len(counted.batches) == 4
    assert {token.decimals for token in taken.tokens.values()} == {18}


async def test_refreshing_equals_loading_anew(market: Market, node: Node) -> None:
    """After any blocks of swaps, mints and burns a refresh gives what a load gives."""
    taken = await load(node, market.specs, head=await node.head())
    for _ in range(25):
        for _ in range(market.rng.randrange(4)):
            market.act()
        head = await node.head()
        taken = await refresh(node, taken, head=head)

        assert taken == await load(node, market.specs, taken.tokens.values(), head=head)


async def test_a_block_costs_one_request(market: Market, node: Node) -> None:
    """Whatever happens in a block, its logs are all that is asked for: no contract is read."""
    followed = Followed(snapshot=await load(node, market.whole, head=await node.head()))
    for _ in range(8):
        market.act()
        market.venue.swap3(3000, market.venue.token0, 10**12, exact_in=True)
        head, counted = await node.head(), Counted(node.rpc)
        added = [await node.head(n) for n in range(followed.snapshot.block.number + 1, head.number)]

        followed = await follow(Node(counted), followed, head=head, between=added)

        assert counted.methods == ["eth_getLogs"] * (len(added) + 1)
        assert [asked for asked in counted.batches if asked] == []
    assert followed.snapshot == await load(node, market.whole, head=head)


async def test_only_the_headers_between_are_asked_for_besides(market: Market, node: Node) -> None:
    """Following several blocks at once costs their headers and their logs."""
    before = await load(node, market.specs, head=await node.head())
    for _ in range(3):
        market.venue.swap3(500, market.venue.token1, 10**12, exact_in=True)
    counted = Counted(node.rpc)

    after = await refresh(Node(counted), before, head=await node.head())

    assert [pool.id for pool in after.changed(before)] == [market.pool(500)]
    assert sorted(counted.methods) == ["eth_getBlockByHash"] * 2 + ["eth_getLogs"] * 3


async def test_many_pools_are_not_named_in_the_request(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more pools than a filter should hold, all logs are asked for, and ours picked out."""
    monkeypatch.setattr("toolkit.pools.sync.MAX_FILTER", 2)
    before = await load(node, market.specs, head=await node.head())
    market.venue.machine.send(market.venue.token0, calldata("approve(address,uint256)", ME, 1))
    market.venue.swap3(500, market.venue.token1, 10**12, exact_in=True)
    head, counted = await node.head(), Counted(node.rpc)

    after = await refresh(Node(counted), before, head=head)

    assert after == await load(node, market.specs, head=head)
    assert not any("address" in str(asked) for asked in counted.filters)


async def test_unknown_gross_is_read_when_it_matters(market: Market, node: Node) -> None:
    """A pool from a file is read whole once its ticks change, and followed from then on."""
    head = await node.head()
    taken = await load(node, market.specs, head=head)
    pool = taken.pools[market.pool(3000)]
    plain = msgspec.structs.replace(pool, gross=())
    states = msgspec.structs.replace(taken, pools=taken.pools | {pool.id: plain})
    filed = Followed(snapshot=states)
    market.venue.swap3(3000, market.venue.token1, 10**12, exact_in=True)
    swapped = await follow(node, filed, head=await node.head())
    market.venue.mint(3000, 0, 60, 10**15)
    newest = await node.head()

    after = await follow(node, swapped, head=newest)

    still = swapped.snapshot.pools[pool.id]
    assert isinstance(still, Concentrated)
    assert still.gross == ()
    assert after.snapshot == await load(node, market.specs, head=newest)
    assert swapped.snapshot == (await follow(node, after, head=swapped.snapshot.block)).snapshot


async def test_the_same_head_needs_no_request(market: Market, node: Node) -> None:
    """Refreshing to the block at hand is free and gives the same value."""
    taken = await load(node, market.specs, head=await node.head())

    assert await refresh(Node(Counted(node.rpc)), taken, head=taken.block) is taken


async def test_a_reorg_is_followed_by_a_fresh_load(market: Market, node: Node) -> None:
    """A snapshot of a block that was replaced is not built upon."""
    machine = rpc_of(market)
    mark = machine.rpc("evm_snapshot")
    market.venue.swap3(500, market.venue.token0, 10**18, exact_in=True)
    orphan = await load(node, market.specs, head=await node.head())
    machine.rpc("evm_revert", mark)
    market.venue.swap3(3000, market.venue.token1, 10**17, exact_in=True)
    market.venue.swap3(3000, market.venue.token1, 10**17, exact_in=True)
    head = await node.head()

    refreshed = await refresh(node, orphan, head=head)

    assert refreshed == await load(node, market.specs, head=head)
    assert refreshed.pools[market.pool(500)] != orphan.pools[market.pool(500)]


async def test_a_reorg_is_undone_without_reading_a_contract(market: Market, node: Node) -> None:
    """Back over the blocks that are gone, forward over the new ones, by their logs alone."""
    machine = rpc_of(market)
    followed = Followed(snapshot=await load(node, market.whole, head=await node.head()))
    market.venue.swap3(3000, market.venue.token0, 10**16, exact_in=True)
    common = await node.head()
    followed = await follow(node, followed, head=common)
    mark = machine.rpc("evm_snapshot")
    for _ in range(3):
        market.act()
        market.venue.swap3(500, market.venue.token0, 10**18, exact_in=True)
        followed = await follow(node, followed, head=await node.head())
    machine.rpc("evm_revert", mark)
    for _ in range(2):
        market.venue.swap3(3000, market.venue.token1, 10**17, exact_in=True)
    head, counted = await node.head(), Counted(node.rpc)

    after = await follow(Node(counted), followed, head=head)

    assert after.snapshot == await load(node, market.whole, head=head)
    assert counted.methods == ["eth_getBlockByHash", "eth_getLogs", "eth_getLogs"]
    assert [asked for asked in counted.batches if asked] == []
    assert (await follow(node, after, head=common)).snapshot.block == common


async def test_too_long_a_gap_is_loaded_anew(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the gap that is followed a load is cheaper, and gives the same."""
    monkeypatch.setattr("toolkit.pools.sync.MAX_GAP_BLOCKS", 2)
    followed = Followed(snapshot=await load(node, market.specs, head=await node.head()))
    for _ in range(3):
        market.venue.swap3(500, market.venue.token0, 10**15, exact_in=True)
    head, counted = await node.head(), Counted(node.rpc)

    after = await follow(Node(counted), followed, head=head)

    assert after == Followed(snapshot=await load(node, market.specs, head=head))
    assert "eth_getLogs" not in counted.methods


async def test_a_wrong_state_is_read_once_an_event_contradicts_it(
    market: Market, node: Node
) -> None:
    """A state that a file has wrong does not stop the other pools from being followed."""
    taken = await load(node, market.specs, head=await node.head())
    pool = taken.pools[market.pool(3000)]
    market.venue.mint(3000, -60, 0, 10**15)
    before = await load(node, market.specs, head=await node.head())
    wrong = msgspec.structs.replace(
        before, pools=before.pools | {pool.id: msgspec.structs.replace(pool, ticks=(), gross=())}
    )
    market.burn_newest()
    head = await node.head()

    after = await refresh(node, wrong, head=head)

    assert after == await load(node, market.specs, head=head)


async def test_the_check_names_what_differs(market: Market, node: Node) -> None:
    """Nothing where all is equal; otherwise pool, field, our value and the node's."""
    taken = await load(node, market.specs, head=await node.head())
    pair, pool = taken.pools[market.pair], taken.pools[market.pool(500)]
    assert isinstance(pair, ConstantProduct)
    assert isinstance(pool, Concentrated)
    (tick, net), gross = pool.ticks[0], pool.gross[0]
    off = ((tick, net + 1), *pool.ticks[1:])
    changed = {
        pair.id: msgspec.structs.replace(pair, reserve1=5),
        pool.id: msgspec.structs.replace(pool, ticks=off, gross=(gross + 3, *pool.gross[1:])),
    }
    wrong = msgspec.structs.replace(taken, pools=taken.pools | changed)
    plain = msgspec.structs.replace(pool, gross=())
    filed = msgspec.structs.replace(taken, pools=taken.pools | {pool.id: plain})

    found = await check(node, wrong)

    expected = [
        (pair.id, "reserve1", "5", str(pair.reserve1)),
        (pool.id, f"ticks[{tick}]", f"net {net + 1} gross {gross + 3}", f"net {net} gross {gross}"),
    ]
    assert sorted(expected) == [(d.pool, d.field, d.ours, d.nodes) for d in found]
    assert await check(node, taken) == ()
    assert await check(node, filed) == ()


async def test_an_older_head_is_loaded_anew(market: Market, node: Node) -> None:
    """Going back in time gives that block's state, not a mixture."""
    old = await node.head()
    expected = await load(node, market.specs, head=old)
    market.venue.swap3(500, market.venue.token0, 10**17, exact_in=True)
    newer = await load(node, market.specs, head=await node.head())

    assert await refresh(node, newer, head=old) == expected


async def test_reads_are_pinned_to_the_block(market: Market, node: Node) -> None:
    """What happens after the head is not in its snapshot."""
    head = await node.head()
    before = await load(node, market.specs, head=head)
    market.venue.swap3(10000, market.venue.token0, 10**17, exact_in=True)

    assert await load(node, market.specs, head=head) == before


async def test_a_moved_window_is_read_again(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the price leaves its bitmap word, the known range moves as a load would put it."""
    monkeypatch.setattr("toolkit.pools.windows.MAX_WORDS", 8)
    head = await node.head()
    before = await load(node, market.specs, head=head)
    market.venue.swap3(500, market.venue.token0, 10**24, exact_in=True)

    head = await node.head()
    after = await refresh(node, before, head=head)

    pools = [snapshot.pools[market.pool(500)] for snapshot in (before, after)]
    ranges = [pool.known for pool in pools if isinstance(pool, Concentrated)]
    assert ranges[0] != ranges[1]
    assert after == await load(node, market.specs, head=head)


async def test_specs_are_read_off_a_snapshot(market: Market, node: Node) -> None:
    """A snapshot knows what to load again."""
    taken = await load(node, market.specs, head=await node.head())

    assert specs_of(taken) == tuple(sorted(market.specs, key=lambda spec: spec.id))


async def test_known_tokens_are_not_asked_for(market: Market, node: Node) -> None:
    """Tokens that are given, by a mapping or plainly, are taken as they are."""
    given = {
        name: Token(address=token, symbol=name, decimals=3)
        for name, token in (("ONE", market.venue.token0), ("TWO", market.venue.token1))
    }
    taken = await load(node, market.specs, given, head=await node.head())

    assert sorted(token.symbol for token in taken.tokens.values()) == ["ONE", "TWO"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": Address("0x" + "99" * 20)}, "token0"),
        ({"token1": Address("0x" + "ff" * 20)}, "token1"),
        ({"fee_ppm": 499}, "fee_ppm"),
        ({"tick_spacing": 60}, "tick_spacing"),
        ({"kind": PoolKind.CONSTANT_PRODUCT}, "getReserves"),
    ],
)
async def test_a_contract_unlike_its_spec_is_refused(
    change: dict[str, object], field: str, market: Market, node: Node
) -> None:
    """No code, other tokens, another fee or another kind: pool and field are named."""
    spec = next(spec for spec in market.specs if spec.fee_ppm == 500)
    wrong = msgspec.structs.replace(spec, **change)
    tokens = [Token(address=t, symbol="?", decimals=18) for t in (wrong.token0, wrong.token1)]

    with pytest.raises(PoolError, match=f"pool {wrong.id}: {field}: "):
        await load(node, [wrong], tokens, head=await node.head())


async def test_a_pool_given_twice_is_refused(market: Market, node: Node) -> None:
    """Two specs of one pool could contradict each other."""
    with pytest.raises(PoolError, match=f"pool {market.pair}: id: given twice"):
        await load(node, [market.specs[0]] * 2, head=await node.head())


async def test_an_address_that_is_no_token_is_refused(market: Market, node: Node) -> None:
    """Without decimals() amounts would mean nothing."""
    nobody = Address("0x" + "99" * 20)

    with pytest.raises(PoolError, match=f"token {nobody}: decimals"):
        await read_tokens(node, [nobody], head=await node.head())


async def test_an_uninitialised_pool_loads_and_refuses_to_quote(market: Market, node: Node) -> None:
    """A pool that was created but never initialised is no obstacle for the others."""
    venue = market.venue
    venue.machine.send(venue.factory3, calldata("enableFeeAmount(uint24,int24)", 250, 5))
    create = calldata("createPool(address,address,uint24)", venue.token0, venue.token1, 250)
    venue.machine.send(venue.factory3, create)
    find = "getPool(address,address,uint24)"
    address = Address(
        venue.ask(venue.factory3, find, venue.token0, venue.token1, 250, out="address")
    )
    spec = market.spec(address, PoolKind.CONCENTRATED, 250, 5)

    taken = await load(node, [spec], head=await node.head())

    with pytest.raises(PoolError, match="sqrt_price_x96: is 0, the pool is not initialised"):
        taken.quote_in(address, venue.token0, 1)


@pytest.mark.parametrize("spacing", [1, 2, 7, 10, 60, 200, 16383])
@pytest.mark.parametrize("tick", [MIN_TICK, -5, 0, 300_000, MAX_TICK])
def test_the_known_range_is_whole_words_around_the_price(spacing: int, tick: int) -> None:
    """At most MAX_WORDS words, the price's own among them; the whole range where it fits."""
    low, high = known_range(tick, spacing)
    words = high // spacing // 256 - low // spacing // 256 + 1

    assert words <= MAX_WORDS
    assert low <= tick <= high
    assert low == MIN_TICK or low % (256 * spacing) == 0
    assert high == MAX_TICK or (high // spacing) % 256 == 255
    assert ((low, high) == (MIN_TICK, MAX_TICK)) is (spacing >= 7)
