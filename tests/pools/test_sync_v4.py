"""Pools of the genuine PoolManager on a real node: loaded, followed, checked."""

import random

import msgspec
import pytest

from tests.pools.test_sync import Counted
from tests.pools.venue import AnvilMachine, Refused, Venue
from tests.pools.venue_v4 import FEE_SETTER, VenueV4
from toolkit.chain.node import Node
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.errors import PoolError
from toolkit.pools.checking import Difference, check
from toolkit.pools.concentrated_v4 import DYNAMIC_FEE, ConcentratedV4, pool_id
from toolkit.pools.history import Followed
from toolkit.pools.snapshot import PoolSpec, Snapshot
from toolkit.pools.sync import follow, load, refresh, specs_of

STATIC, NARROW, DYNAMIC = (3000, 60), (100, 1), (DYNAMIC_FEE, 10)


class Market:
    """Three pools of one manager: static, known in part, and with a dynamic fee."""

    def __init__(self, venue: Venue, rng: random.Random) -> None:
        self.v4, self.rng = VenueV4(venue), rng
        self.specs = [self.v4.make_pool(fee, gap, 777) for fee, gap in (STATIC, NARROW, DYNAMIC)]
        self.ticks: dict[str, set[int]] = {spec.id: set() for spec in self.specs}
        for spec in self.specs:
            bound = 887272 // spec.tick_spacing * spec.tick_spacing
            self.modify(spec, -bound, bound, 10**20)

    def modify(self, spec: PoolSpec, lower: int, upper: int, delta: int) -> None:
        self.v4.modify(spec, lower, upper, delta)
        self.ticks[spec.id] |= {lower, upper}

    def set_fee(self, ppm: int) -> None:
        """As the hook, which tells nobody."""
        machine = self.v4.machine
        assert isinstance(machine, AnvilMachine)
        machine.rpc("anvil_setBalance", FEE_SETTER, hex(10**20))
        self.v4.set_fee(self.specs[2], ppm)

    def act(self) -> None:
        """One random transaction of one random pool."""
        spec, kind = self.rng.choice(self.specs), self.rng.randrange(4)
        if kind == 0:
            self.v4.charge(spec, self.rng.randint(0, 1000), self.rng.randint(0, 1000))
        elif kind == 1:
            low, high = sorted(self.rng.sample(range(-6, 30), 2))
            self.modify(spec, low * spec.tick_spacing, high * spec.tick_spacing, 10**18)
        else:
            amount = int(10 ** self.rng.uniform(3, 19)) * self.rng.choice([1, -1])
            try:
                self.v4.swap(spec, amount, zero_for_one=self.rng.random() < 0.5)
            except Refused:  # more output than there is
                return


@pytest.fixture(scope="module")
def market(twin: tuple[str, Venue], seed: int) -> Market:
    return Market(twin[1], random.Random(seed))


def v4_of(snapshot: Snapshot, spec: PoolSpec) -> ConcentratedV4:
    pool = snapshot.pools[spec.id]
    assert isinstance(pool, ConcentratedV4)
    return pool


async def test_pools_of_a_manager_are_read_by_their_slots(market: Market, node: Node) -> None:
    """Price, fees, liquidity and every tick, as slot by slot, in a handful of calls."""
    for _ in range(12):
        market.act()
    counted, head = Counted(node.rpc), await node.head()

    taken = await load(Node(counted), market.specs, head=head)

    for spec in market.specs:
        read = v4_of(taken, spec)
        inside = {t for t in market.ticks[spec.id] if read.known[0] <= t <= read.known[1]}
        expected = market.v4.read_pool(spec, inside)
        assert read == msgspec.structs.replace(expected, known=read.known)
    calls = [call for asked in counted.batches for call in asked if call == market.v4.manager]
    assert len(calls) <= 8  # all words of the three bitmaps are about 1,800
    assert specs_of(taken)[0].manager == market.v4.manager


async def test_following_equals_loading_anew(market: Market, node: Node) -> None:
    """After any blocks of swaps, positions, fees of the protocol and of the hook."""
    followed = Followed(snapshot=await load(node, market.specs, head=await node.head()))
    for turn in range(20):
        market.act()
        if turn % 4 == 0:
            market.set_fee(market.rng.randint(0, 10**6))
        head = await node.head()
        followed = await follow(node, followed, head=head)

        assert followed.snapshot == await load(node, market.specs, head=head)


async def test_without_dynamic_fees_a_block_costs_one_request(market: Market, node: Node) -> None:
    """The manager's logs tell all of a static pool; a dynamic fee costs one read more."""
    spec = market.specs[0]
    for specs, reads in (([spec], []), ([spec, market.specs[2]], [[market.v4.manager]])):
        before = await load(node, specs, head=await node.head())
        market.v4.swap(spec, -(10**9), zero_for_one=True)
        counted, head = Counted(node.rpc), await node.head()

        after = await refresh(Node(counted), before, head=head)

        assert counted.methods == ["eth_getLogs"]
        assert [asked for asked in counted.batches if asked] == reads
        assert after == await load(node, specs, head=head)


async def test_a_dynamic_fee_is_gone_back_to(market: Market, node: Node) -> None:
    """No event undoes it, so it is read again at the block that is gone back to."""
    market.set_fee(1000)
    first = await node.head()
    followed = Followed(snapshot=await load(node, market.specs, head=first))
    market.set_fee(2000)
    followed = await follow(node, followed, head=await node.head())
    assert v4_of(followed.snapshot, market.specs[2]).fee_ppm == 2000

    back = await follow(node, followed, head=first)

    assert v4_of(back.snapshot, market.specs[2]).fee_ppm == 1000
    assert back.snapshot == await load(node, market.specs, head=first)


async def test_the_check_names_what_differs(market: Market, node: Node) -> None:
    """Nothing where all is equal; otherwise pool, field, our value and the node's."""
    taken = await load(node, market.specs, head=await node.head())
    pool = v4_of(taken, market.specs[0])
    (tick, net), gross = pool.ticks[0], pool.gross[0]
    wrong = msgspec.structs.replace(
        pool,
        liquidity=pool.liquidity + 1,
        protocol_fee_ppm=(1, 2),
        ticks=pool.ticks[1:],
        gross=pool.gross[1:],
    )
    changed = msgspec.structs.replace(taken, pools=taken.pools | {wrong.id: wrong})
    fields = {found.field: found for found in await check(node, changed)}

    assert await check(node, taken) == ()
    assert set(fields) <= {"liquidity", "protocol_fee_ppm", f"ticks[{tick}]"}
    assert fields["liquidity"] == Difference(
        pool=pool.id,
        field="liquidity",
        ours=str(pool.liquidity + 1),
        nodes=str(pool.liquidity),
    )
    missing = fields[f"ticks[{tick}]"]
    assert ("not initialised", f"net {net} gross {gross}") == (missing.ours, missing.nodes)


async def test_an_uninitialised_pool_is_followed_into_life(market: Market, node: Node) -> None:
    """A pool that does not exist yet is no obstacle, and its Initialize makes it one."""
    spec = market.v4.spec(500, 10)
    followed = Followed(snapshot=await load(node, [spec], head=await node.head()))
    assert v4_of(followed.snapshot, spec).sqrt_price_x96 == 0
    market.v4.make_pool(500, 10, -5)
    market.v4.modify(spec, -100, 100, 10**15)
    head = await node.head()

    after = await follow(node, followed, head=head)

    assert after.snapshot == await load(node, [spec], head=head)
    assert v4_of(after.snapshot, spec).liquidity == 10**15


async def test_native_currency_needs_no_contract(market: Market, node: Node) -> None:
    """The zero address trades like a token, and is not asked what it is called."""
    token = market.v4.venue.token1
    spec = msgspec.structs.replace(
        market.specs[0],
        id=pool_id(ZERO_ADDRESS, token, 3000, 60),
        token0=ZERO_ADDRESS,
        token1=token,
    )

    taken = await load(node, [spec], head=await node.head())

    assert taken.tokens[ZERO_ADDRESS].decimals == 18


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"fee_ppm": 500}, "id: tokens, fee, spacing and hooks are those of"),
        ({"tick_spacing": 10}, "id: tokens, fee, spacing and hooks are those of"),
        ({"id": Hash("0x" + "9" * 64)}, "id: tokens, fee, spacing and hooks are those of"),
    ],
)
async def test_an_id_that_is_not_of_its_key_is_refused(
    changes: dict[str, object], field: str, market: Market, node: Node
) -> None:
    """The manager does not tell a pool's key, but the id is its hash."""
    wrong = msgspec.structs.replace(market.specs[0], **changes)

    with pytest.raises(PoolError, match=f"pool {wrong.id}: {field}"):
        await load(node, [wrong], head=await node.head())


async def test_a_manager_that_is_none_is_refused(market: Market, node: Node) -> None:
    """Another contract does not answer `extsload`."""
    nobody = Address("0x" + "99" * 20)
    wrong = msgspec.structs.replace(market.specs[0], manager=nobody)

    with pytest.raises(PoolError, match=f"manager {nobody}: extsload"):
        await load(node, [wrong], head=await node.head())
