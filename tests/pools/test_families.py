"""Every family of pools has its place everywhere: what a new one lacks is named here."""

from typing import Any, get_args

import msgspec
import pytest

from tests.orchestrator.odd_agents import Teller
from toolkit.model.chain import Address, Hash
from toolkit.model.market import PoolKind
from toolkit.orchestrator.audit.memory import Market
from toolkit.orchestrator.hosting.asking import Question, fresh_view
from toolkit.orchestrator.hosting.wire import Asked, Differences, Views
from toolkit.orchestrator.mainnet import DAI, WETH
from toolkit.perception.perceived import Glimpse, Perceived, perceived, rebuilt
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.file import decode, encode
from toolkit.pools.formats import FORMATS
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.testing.decide import given

PAIR: dict[str, Any] = {"token0": DAI.address, "token1": WETH.address, "fee_ppm": 500}
TICKED: dict[str, Any] = {
    **PAIR,
    "tick_spacing": 10,
    "sqrt_price_x96": 2**96,
    "tick": 0,
    "liquidity": 10**18,
    "ticks": ((-1000, 10**18), (1000, -(10**18))),
    "gross": (10**18, 10**18),
}
ID = Address("0x" + "33" * 20)
SAMPLES: list[Pool] = [
    ConstantProduct(id=ID, reserve0=10**18, reserve1=10**18, **PAIR),
    Concentrated(id=ID, **TICKED),
    ConcentratedV4(id=Hash("0x" + "44" * 32), **TICKED),
]
GIVEN = given(100, pools=[])


@pytest.fixture(params=SAMPLES, ids=lambda pool: type(pool).__name__)
def snapshot(request: pytest.FixtureRequest) -> Snapshot:
    """A snapshot of one pool."""
    pool: Pool = request.param
    tokens = {token.address: token for token in (DAI, WETH)}
    return Snapshot(block=GIVEN.head, tokens=tokens, pools={pool.id: pool})


def test_every_family_has_a_sample_and_every_kind_a_format() -> None:
    """The union of pools, the samples here and the formats of pools files name the same."""
    assert set(get_args(Pool)) == {type(pool) for pool in SAMPLES}
    assert {kind.value for kind in PoolKind} == set(FORMATS)


def test_families_are_told_apart_by_their_tags() -> None:
    """Each has a tag of its own in the field "kind", so that a union of them can be decoded."""
    configs = [type(pool).__struct_config__ for pool in SAMPLES]

    assert {"kind"} == {config.tag_field for config in configs}
    assert len(configs) == len({config.tag for config in configs})


def test_every_family_is_quoted_both_ways(snapshot: Snapshot) -> None:
    """Through a snapshot, what an exact output costs buys it, and a price is there."""
    ((pool, state),) = snapshot.pools.items()
    for token, other in ((state.token0, state.token1), (state.token1, state.token0)):
        cost = snapshot.quote_out(pool, other, 10**9)

        assert snapshot.quote_in(pool, token, cost) >= 10**9
        assert (cost, snapshot.quote_in(pool, token, cost)) == state.fill_in(token, cost)
        assert snapshot.mid_price(pool, token) > 0


def test_every_family_survives_a_pools_file(snapshot: Snapshot) -> None:
    """Written and read again it is equal."""
    assert snapshot.pools == decode(encode(snapshot), name="pools.json").snapshot.pools


def test_every_family_survives_journals(snapshot: Snapshot) -> None:
    """What checkpoints and blocks hold, written down, is the same snapshot; glimpses name it."""
    market = msgspec.json.decode(msgspec.json.encode(Market.of(snapshot)), type=Market)
    written = msgspec.json.encode(
        perceived(snapshot, since=None, fee=GIVEN.fee, balances={}, readings=())
    )

    assert snapshot == market.snapshot()
    assert snapshot == rebuilt(msgspec.json.decode(written, type=Perceived), since=None)
    assert [*snapshot.pools] == [
        pool.id for pool in msgspec.json.decode(written, type=Glimpse).pools
    ]


def test_every_family_reaches_workers(snapshot: Snapshot) -> None:
    """An agent in another process sees the pool as it is."""
    view = fresh_view(
        block=GIVEN.head,
        snapshot=snapshot,
        readings={},
        balances={},
        positions={},
        fee=GIVEN.fee,
        wrapped=WETH.address,
    )
    asked = Differences().asked(Question(agent=Teller(), view=view, limit=3))
    there = Views().view(msgspec.json.decode(msgspec.json.encode(asked), type=Asked))

    assert snapshot.pools == there.snapshot.pools
