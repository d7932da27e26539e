"""A small market, and blocks in which things happen."""

import math
import random
from collections.abc import Mapping, Sequence

from toolkit.execution.planner import Ways, expected_gas_price
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Intent, Leg
from toolkit.orchestrator.deciding.arbitration import Context
from toolkit.orchestrator.deciding.covariance import PRIOR, Covariance
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.validation import Proposal
from toolkit.orchestrator.mainnet import DAI, USDC, USDT, WETH
from toolkit.orchestrator.market import Market
from toolkit.perception.prices import PriceSource
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool
from toolkit.reasoning.agent import Agent
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.reasoning.momentum import Momentum
from toolkit.reasoning.rebalancing import Rebalancer
from toolkit.routing.router import Router
from toolkit.testing.decide import (
    MAIN_POOL,
    OFFLINE_MARKET,
    Decided,
    GivenBlock,
    given,
    main_pool,
    price_series,
)

SIDE_POOL = Address("0x" + "11" * 20)
THIRD_POOL = Address("0x" + "22" * 20)
TETHER_MARKET = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH, USDT),
    stables=(USDC.address, USDT.address),
    prices=OFFLINE_MARKET.prices,
)
# A quote currency with 18 decimals: cycles through it are sized in an instant.
DAI_PRICE = PriceSource(key="price/WETH-DAI", pool=MAIN_POOL, base=WETH.address, quote=DAI.address)
DAI_MARKET = Market(
    wrapped=WETH.address, tokens=(DAI, WETH), stables=(DAI.address,), prices=(DAI_PRICE,)
)
DAI_CAPITAL = {WETH.address: 50 * 10**18, DAI.address: 100_000 * 10**18}


def shipped() -> list[Agent]:
    """The three agents of the main job, for the DAI market."""
    return [
        CyclicArbitrage(),
        Momentum(base=WETH.address, quote=DAI.address, signal_key=DAI_PRICE.key),
        Rebalancer(base=WETH.address, quote=DAI.address, price_key=DAI_PRICE.key),
    ]


def pair(pool: Address, price: float, depth: int) -> ConstantProduct:
    """A WETH/USDC pair, `depth` whole WETH deep."""
    return ConstantProduct(
        id=pool,
        token0=USDC.address,
        token1=WETH.address,
        reserve0=int(price * depth * 10**6),
        reserve1=depth * 10**18,
    )


def dai_pair(pool: Address, price: float, depth: int) -> ConstantProduct:
    """A WETH/DAI pair, `depth` whole WETH deep."""
    return ConstantProduct(
        id=pool,
        token0=DAI.address,
        token1=WETH.address,
        reserve0=int(price * depth * 10**6) * 10**12,
        reserve1=depth * 10**18,
    )


def random_market(
    seed: int,
    *,
    blocks: int,
    gap: float = 6e-3,
    planted: Mapping[int, float] | None = None,
    past: int = 150,
) -> list[GivenBlock]:
    """Blocks with a trending price and a second pool that strays from it, or as planted.

    The first brings `past` recorded prices along.
    """
    rng = random.Random(seed)
    price = 2000.0
    history: list[float] = []
    for _ in range(past):
        price *= math.exp(rng.gauss(0, 5e-4))
        history.append(price)
    recorded = price_series(history, before=1000, source=DAI_PRICE)
    made: list[GivenBlock] = []
    for index in range(blocks):
        price *= math.exp(rng.gauss(2e-4, 1e-3))
        stray = (planted or {}).get(index, rng.gauss(0, gap))
        pools: Sequence[Pool] = (
            dai_pair(MAIN_POOL, price, 5000),
            dai_pair(SIDE_POOL, price * math.exp(stray), 1000),
            dai_pair(THIRD_POOL, price, 900),
        )
        made.append(
            given(
                1000 + index,
                pools=pools,
                readings=recorded if index == 0 else (),
                tokens=DAI_MARKET.tokens,
            )
        )
    return made


def context_of(
    block: GivenBlock,
    *,
    market: Market = TETHER_MARKET,
    limits: Limits | None = None,
    free: dict[Address, int] | None = None,
    books: dict[str, dict[Address, int]] | None = None,
    covariance: Covariance = PRIOR,
    **changes: object,
) -> Context:
    """Everything a decision at `block` may depend on, with plenty of capital."""
    plenty = {token.address: 10**30 for token in market.tokens} | {ZERO_ADDRESS: 10**30}
    price = 2000.0
    readings = {
        reading.key: reading
        for reading in (*price_series([price] * 3, before=block.head.number + 1), *block.readings)
    }
    values: dict[str, object] = {
        "label": str(block.head.number),
        "head": block.head,
        "fee": block.fee,
        "market": market,
        "limits": limits or Limits(),
        "snapshot": block.snapshot,
        "ways": Ways(
            router=Router(block.snapshot, native=market.wrapped),
            gas_price_wei=expected_gas_price(block.fee),
        ),
        "readings": readings,
        "canonical": {block.head.number: block.head.hash},
        "paused": {},
        "stopped": {},
        "halted": "",
        "weights": {},
        "free": plenty if free is None else free,
        "books": books or {},
        "learned": lambda: covariance,
    }
    return Context(**(values | changes))  # type: ignore[arg-type]


def buys(
    agent: str, quote_amount: int, quote: Address = USDC.address, *, confidence: float = 1.0
) -> Intent:
    """A wish for WETH."""
    leg = Leg(token_in=quote, token_out=WETH.address, amount_in=quote_amount)
    return _wish(agent, leg, confidence)


def sells(
    agent: str, base_amount: int, quote: Address = USDC.address, *, confidence: float = 1.0
) -> Intent:
    """A wish to be rid of WETH."""
    leg = Leg(token_in=WETH.address, token_out=quote, amount_in=base_amount)
    return _wish(agent, leg, confidence)


def _wish(agent: str, leg: Leg, confidence: float) -> Intent:
    return Intent(
        agent=agent,
        legs=(leg,),
        edge_wei=10**15,
        confidence=confidence,
        inputs=("price/WETH-USDC",),
    )


def proposed(block: GivenBlock, *intents: object) -> list[Proposal]:
    """What agents hand over at a block."""
    return [
        Proposal(
            agent=getattr(intent, "agent", "odd"),
            intent=intent,
            touched=(),
            block_number=block.head.number,
            block_hash=block.head.hash,
        )
        for intent in intents
    ]


def quiet_block(number: int = 1000) -> GivenBlock:
    """One quiet block at 2000 USDC."""
    return given(number, pools=[main_pool("2000")])


def held(decided: Decided) -> dict[Address, int]:
    """What the accounts hold after a run."""
    total = dict(decided.ledger.initial)
    for book in decided.ledger.books.values():
        for token, change in book.items():
            total[token] = total.get(token, 0) + change
    return total


def fresh_seeds(count: int) -> range:
    """Seeds nobody chose; pytest shows the first of them with a failure."""
    first = random.SystemRandom().randrange(10**9)
    print(f"seeds {first}..{first + count - 1}")
    return range(first, first + count)
