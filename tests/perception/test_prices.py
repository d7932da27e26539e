"""Prices, pools and the difference between one block and the next."""

import msgspec
import pytest

from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Hash
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.perception.heads import fee_reading, head_reading
from toolkit.perception.perceived import Perceived, perceived, rebuilt
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import PriceSource, price_of, price_readings, seeded
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.testing.decide import MAIN_POOL, PRICE_KEY, given, main_pool

SOURCE = PriceSource(key=PRICE_KEY, pool=MAIN_POOL, base=WETH.address, quote=USDC.address)
V3 = Concentrated(
    id=Address("0x" + "33" * 20),
    token0=USDC.address,
    token1=WETH.address,
    fee_ppm=500,
    tick_spacing=10,
    sqrt_price_x96=2**96,
    tick=0,
    liquidity=10**18,
    ticks=((-10, 10**18), (10, -(10**18))),
)


class Point:
    """A recorded price."""

    timestamp = 1_700_000_000
    price = 1999.5


def test_the_price_is_the_pools_own() -> None:
    """2000 USDC per WETH in the pool is 2000.0, in whole units of both."""
    assert 2000.0 == price_of(given(1000, pools=[main_pool("2000")]).snapshot, SOURCE)
    v3 = msgspec.structs.replace(SOURCE, pool=V3.id)  # a tick of 0: one unit for one unit
    assert 10.0**12 == price_of(given(1000, pools=[V3]).snapshot, v3)


def test_an_empty_pool_gives_no_price() -> None:
    """A pool without liquidity is not read, so that its key grows old instead of wrong."""
    empty = msgspec.structs.replace(main_pool("2000"), reserve0=0)
    block = given(1000, pools=[empty])

    assert () == price_readings(block.snapshot, [SOURCE])


def test_a_price_in_an_unknown_token_is_refused() -> None:
    """A source whose token nobody described is a mistake of the configuration."""
    source = msgspec.structs.replace(SOURCE, quote=Address("0x" + "99" * 20))

    with pytest.raises(ConfigError, match="not in this market"):
        price_of(given(1000, pools=[main_pool("2000")]).snapshot, source)


def test_recorded_prices_become_readings_of_the_blocks_before() -> None:
    """History is one sample a block up to the first head, of no block hash and lower quality."""
    head = given(1000, pools=[main_pool("2000")]).head

    first, second = seeded(SOURCE, [Point(), Point()], before=head)

    assert (998, 999) == (first.block_number, second.block_number)
    assert (ZERO_HASH, 0.5, 1999.5) == (first.block_hash, first.quality, first.value)
    (live,) = price_readings(given(1000, pools=[main_pool("2000")]).snapshot, [SOURCE])
    assert live.source == first.source  # one writer per key


def test_every_reading_names_its_block() -> None:
    """Head, fee and pools are dated by block, hash and chain time."""
    block = given(1000, pools=[main_pool("2000"), V3])
    for reading in (
        head_reading(block.head),
        fee_reading(block.fee, block.head),
        pools_reading(block.snapshot),
    ):
        assert (1000, block.head.hash, block.head.timestamp) == (
            reading.block_number,
            reading.block_hash,
            reading.observed_at,
        )


def test_the_digest_of_pools_changes_with_any_of_them() -> None:
    """The pools reading is another one when any pool's state is."""
    one = pools_reading(given(1000, pools=[main_pool("2000"), V3]).snapshot)
    two = pools_reading(given(1000, pools=[main_pool("2000.01"), V3]).snapshot)
    again = pools_reading(given(1000, pools=[V3, main_pool("2000")]).snapshot)

    assert one.value != two.value
    assert one.value == again.value


def test_snapshots_are_rebuilt_from_what_changed() -> None:
    """A block carries only pools that changed, and JSON of it gives the full snapshot again."""
    managed = {name: getattr(V3, name) for name in V3.__struct_fields__ if name != "id"}
    v4 = ConcentratedV4(id=Hash("0x" + "44" * 32), **managed)
    first = given(1000, pools=[main_pool("2000"), V3, v4])
    moved = msgspec.structs.replace(v4, fee_ppm=100)
    second = given(1001, pools=[main_pool("2001"), V3, moved])
    seen = [
        perceived(
            block.snapshot,
            since=since,
            fee=block.fee,
            balances={ZERO_ADDRESS: 10**30},
            readings=(pools_reading(block.snapshot),),
        )
        for block, since in ((first, None), (second, first.snapshot))
    ]
    stored = [msgspec.json.decode(msgspec.json.encode(one), type=Perceived) for one in seen]

    assert (3, 2) == (len(seen[0].pools), len(seen[1].pools))
    assert seen == stored
    before = rebuilt(stored[0], since=None)
    assert first.snapshot == before
    assert second.snapshot == rebuilt(stored[1], since=before)
