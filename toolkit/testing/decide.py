"""The real orchestrator over given blocks, without a chain: for tests of agents and of rules."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import msgspec

from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Hash, Head
from toolkit.model.checks import require_integer, shown
from toolkit.model.decision import Plan, Reading, Verdict
from toolkit.model.errors import ConfigError
from toolkit.model.market import Token
from toolkit.model.tx import FeeQuote
from toolkit.model.units import parse_units
from toolkit.orchestrator.arguments import by_name, listed
from toolkit.orchestrator.board.doubts import FactRule
from toolkit.orchestrator.breaking.hazards import BreakerLimits
from toolkit.orchestrator.capital.ledger import LedgerState
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.policy import Policy
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.hosting.hosting import Budget, Hosting
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.prices import PriceSource
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.reasoning.agent import Agent
from toolkit.testing.apart import apart
from toolkit.testing.fakes import InlineJournal
from toolkit.testing.paper import VAULT_LENDS, GivenBlock, PaperChain, PaperSession

__all__ = [
    "MAIN_POOL",
    "OFFLINE_MARKET",
    "PRICE_KEY",
    "Decided",
    "GivenBlock",
    "decide",
    "given",
    "main_pool",
    "price_series",
]

MAIN_POOL = Address("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc")
PRICE_KEY = "price/WETH-USDC"
OFFLINE_MARKET = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH),
    stables=(USDC.address,),
    prices=(PriceSource(key=PRICE_KEY, pool=MAIN_POOL, base=WETH.address, quote=USDC.address),),
)
BLOCK_S = 12
MOST_CAPITAL = 2**128 - 1


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What the orchestrator did: verdicts in order, a report a block, the journal, the ledger.

    The journal is all of it, with what earlier runs wrote there: a replay begins with them.
    """

    verdicts: tuple[Verdict, ...]
    reports: tuple[BlockReport, ...]
    journal: tuple[Entry, ...]
    ledger: LedgerState


def main_pool(price: str, *, depth: str = "5000") -> ConstantProduct:
    """Return a WETH/USDC pair at `price` whole USDC per WETH, `depth` whole WETH deep."""
    return ConstantProduct(
        id=MAIN_POOL,
        token0=USDC.address,
        token1=WETH.address,
        reserve0=parse_units(price, USDC.decimals) * parse_units(depth, 0),
        reserve1=parse_units(depth, WETH.decimals),
    )


def given(
    number: int,
    *,
    pools: Iterable[Pool],
    readings: Sequence[Reading] = (),
    base_fee_wei: int = 10**10,
    tokens: Iterable[Token] = OFFLINE_MARKET.tokens,
    fork: str = "",
    parent_fork: str = "",
    reverted: Sequence[Head] = (),
) -> GivenBlock:
    """Write down one block; `fork` makes its hash differ from another of the same number."""
    head = Head(
        number=number,
        hash=_hash(number, fork),
        parent_hash=_hash(number - 1, parent_fork),
        timestamp=1_700_000_000 + BLOCK_S * number,
        base_fee_per_gas=base_fee_wei,
        gas_limit=30_000_000,
        gas_used=15_000_000,
    )
    fee = FeeQuote(
        max_fee_per_gas=2 * base_fee_wei,
        max_priority_fee_per_gas=base_fee_wei // 10,
        base_fee_per_gas=base_fee_wei,
        for_block=number + 1,
    )
    snapshot = Snapshot(
        block=head,
        tokens={token.address: token for token in tokens},
        pools={pool.id: pool for pool in pools},
    )
    return GivenBlock(
        snapshot=snapshot, fee=fee, readings=tuple(readings), reverted=tuple(reverted)
    )


def price_series(
    prices: Sequence[float], *, before: int, source: PriceSource = OFFLINE_MARKET.prices[0]
) -> tuple[Reading, ...]:
    """Write down past prices, one a block, the last of them in block `before` - 1."""
    return tuple(
        Reading(
            key=source.key,
            value=price,
            source=source.pool,
            block_number=before - len(prices) + index,
            block_hash=ZERO_HASH,
            observed_at=1_700_000_000 + BLOCK_S * (before - len(prices) + index),
            max_age_blocks=source.max_age_blocks,
        )
        for index, price in enumerate(prices)
    )


def decide(
    agents: Sequence[Agent],
    blocks: Sequence[GivenBlock],
    *,
    capital: Mapping[Address, int],
    pauses: Sequence[Pause] = (),
    limits: Limits | None = None,
    journal: Journal | str | Path | None = None,
    market: Market = OFFLINE_MARKET,
    policy: Policy | None = None,
    lands: Callable[[Plan], bool] | None = None,
    breakers: BreakerLimits | None = None,
    facts: Sequence[FactRule] = (),
    hosting: Mapping[str, Hosting] | None = None,
    budgets: Mapping[str, Budget] | None = None,
    dependences: Sequence[Dependence] = (),
) -> Decided:
    """Run the orchestrator over given blocks and return all that it decided.

    Plans are filled in the next given block, exactly as predicted, unless `lands` says that one
    is lost. The given blocks are the market: fills do not move it. Needs no event loop, and may
    be called inside one.

    Args:
        agents: as for the orchestrator.
        blocks: rising numbers, except after `reverted`.
        capital: smallest units per token; native under ZERO_ADDRESS, 100 ether unless given. In a
            journal that holds an earlier run: what the accounts hold when this one begins.
        pauses: as for the orchestrator.
        limits: as for the orchestrator.
        journal: an open journal, the path of one, or None for one in memory. What an earlier
            run wrote there is gone on from; plans that it had underway do not land.
        market: which tokens and prices there are.
        policy: weights of agents; equal unless given.
        lands: whether a plan makes it into the chain.
        breakers: as for the orchestrator.
        facts: as for the orchestrator.
        hosting: as for the orchestrator; what is decided is the same.
        budgets: as for the orchestrator.
        dependences: as for the orchestrator.

    Raises:
        ConfigError: no blocks, or none that follow each other; capital in what is no token of the
            market, or anything the orchestrator refuses at its start.
    """
    world = PaperChain(
        _checked(blocks),
        {ZERO_ADDRESS: 100 * 10**18} | _amounts(capital, market),
        market=market,
        lands=lands,
    )

    done: list[Decided] = []

    async def run() -> None:
        log, mine = _opened(journal)
        try:
            orchestrator = Orchestrator(
                PaperSession(log, world),
                agents=agents,
                market=market,
                perception=world,
                gateway=world,
                limits=limits,
                pauses=pauses,
                lenders=(VAULT_LENDS,),
                policy=policy,
                breakers=breakers,
                facts=facts,
                hosting=hosting,
                budgets=budgets,
                dependences=dependences,
            )
            done.append(await _run(orchestrator, world, log))
        finally:
            if mine:
                await log.close()

    apart(lambda: asyncio.run(run()))  # which would print what a task returns, to itself
    return done[0]


def _checked(blocks: Sequence[GivenBlock]) -> tuple[GivenBlock, ...]:
    """Return blocks that can follow each other."""
    found = listed("blocks", blocks, GivenBlock)
    if not found:
        raise ConfigError("decide() needs at least one block")
    for before, after in pairwise(found):
        if after.head.number <= before.head.number and not after.reverted:
            raise ConfigError(
                f"block {after.head.number} is given after {before.head.number}: give rising "
                "numbers, or say which blocks it reverts"
            )
    return found


def _amounts(capital: Mapping[Address, int], market: Market) -> dict[Address, int]:
    """Return what the accounts hold, if they can."""
    if not isinstance(market, Market):
        raise ConfigError(f"market is {shown(market)}; give a Market")
    found = by_name("capital", capital)
    for token, amount in found.items():
        if token != ZERO_ADDRESS:
            market.decimals(token)
        require_integer(f"capital in {token}", amount, most=MOST_CAPITAL)
    return dict(found)


async def _run(orchestrator: Orchestrator, world: PaperChain, log: Journal) -> Decided:
    reports: list[BlockReport] = []
    async with orchestrator:
        while (change := await world.advance()) is not None:
            reports.append(await orchestrator.step(change))
    return Decided(
        verdicts=tuple(verdict for report in reports for verdict in report.verdicts),
        reports=tuple(reports),
        journal=tuple(log.entries()),
        ledger=orchestrator.ledger(),
    )


def _opened(journal: Journal | str | Path | None) -> tuple[Journal, bool]:
    if isinstance(journal, Journal):
        return journal, False
    if journal is None:
        return InlineJournal(MemoryBackend()), True  # a write that never waits needs no thread
    return Journal(SqliteBackend(journal)), True


def _hash(number: int, fork: str) -> Hash:
    return Hash(f"0x{blake2b(f'{number}/{fork}'.encode(), digest_size=32).hexdigest()}")
