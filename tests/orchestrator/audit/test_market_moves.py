"""A market is told by what is new in it, pools of every kind and what is gone."""

import random

from msgspec import json, structs

from tests.orchestrator.worlds import SIDE_POOL, THIRD_POOL, dai_pair, fresh_seeds
from toolkit.model.chain import Address, Hash
from toolkit.orchestrator.audit.market_moves import MarketMoved, Written, market_moved
from toolkit.orchestrator.audit.memory import Market
from toolkit.orchestrator.mainnet import DAI, USDC, USDT, WETH
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import Pool, SetAside
from toolkit.pools.states import spec_of
from toolkit.testing.decide import given

TOKENS = (DAI, USDC, USDT, WETH)


def _pools(rng: random.Random) -> list[Pool]:
    v3 = Concentrated(
        id=Address("0x" + "33" * 20),
        token0=USDC.address,
        token1=WETH.address,
        fee_ppm=500,
        tick_spacing=10,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=rng.randrange(2),
        ticks=(),
    )
    shared = {name: getattr(v3, name) for name in v3.__struct_fields__ if name != "id"}
    v4 = ConcentratedV4(id=Hash("0x" + "44" * 32), **shared)
    every = (v3, v4, dai_pair(SIDE_POOL, 2000.0 + rng.randrange(2), 9), dai_pair(THIRD_POOL, 1, 9))
    return [pool for pool in every if rng.random() < 0.7]


def _market(rng: random.Random, number: int) -> Market | None:
    if rng.random() < 0.1:
        return None
    tokens = [structs.replace(one, symbol=rng.choice("AB")) for one in TOKENS if rng.random() < 0.7]
    every = {pool.id: pool for pool in _pools(rng)}
    aside = {
        name: SetAside(spec=spec_of(every.pop(name)), why="it is gone", block_number=number)
        for name in sorted(every)
        if rng.random() < 0.2
    }
    snapshot = given(number, pools=every.values(), tokens=tokens).snapshot
    return Market.of(structs.replace(snapshot, aside=aside))


def test_what_a_market_became_step_by_step_is_what_it_is() -> None:
    """Pools and tokens come, change and go; their JSON in between, the market is the same."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        market = _market(rng, 1000)
        written = None if market is None else Written(market)
        for number in range(1001, 1005):
            before, market = market, _market(rng, number)
            moved = json.decode(json.encode(market_moved(before, market)), type=MarketMoved | None)
            if moved is None:
                written = None
            else:
                written = written or Written()
                written.move(moved)

        assert market == (None if written is None else written.read()), seed


def test_what_stayed_is_not_said_again() -> None:
    """Of a market that is as it was nothing is left but its block."""
    market = Market.of(given(1000, pools=_pools(random.Random(1)), tokens=TOKENS).snapshot)

    moved = market_moved(market, market)

    assert moved == MarketMoved(
        block=market.block, tokens={}, constant_product={}, concentrated={}, concentrated_v4={}
    )
