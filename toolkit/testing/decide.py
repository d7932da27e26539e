"""The real orchestrator over given blocks, without a chain: for tests of agents and of rules."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec

from toolkit.execution.gateway import BALANCER_VAULT
from toolkit.execution.planner import FlashSource
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Hash, Head, HeadChange, Mode
from toolkit.model.decision import Fill, Plan, Reading, Verdict
from toolkit.model.errors import ConfigError
from toolkit.model.market import FundingKind, Token
from toolkit.model.tx import FeeQuote
from toolkit.model.units import parse_units
from toolkit.orchestrator.doubts import FactRule
from toolkit.orchestrator.hazards import BreakerLimits
from toolkit.orchestrator.ledger import LedgerState
from toolkit.orchestrator.limits import Limits
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pauses import Pause
from toolkit.orchestrator.policy import Policy
from toolkit.orchestrator.records import BlockReport, flash_key
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.heads import fee_reading, head_reading
from toolkit.perception.perceived import Perceived, perceived
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import PriceSource, price_readings
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.reasoning.agent import Agent

MAIN_POOL = Address("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc")
PRICE_KEY = "price/WETH-USDC"
OFFLINE_MARKET = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH),
    stables=(USDC.address,),
    prices=(PriceSource(key=PRICE_KEY, pool=MAIN_POOL, base=WETH.address, quote=USDC.address),),
)
VAULT_LENDS = FlashSource(
    kind=FundingKind.BALANCER, lender=BALANCER_VAULT, token=WETH.address, available=2**112
)
"""Offline, a Balancer vault lends any amount of WETH for nothing."""
BLOCK_S = 12
GAS_MARGIN_PERCENT = 150
"""A plan's gas limit in percent of the gas that a paper fill uses."""


class GivenBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One block of a market that somebody wrote down.

    `readings` come on top of those that a chain gives (head, fee, pools, and the market's prices
    from the snapshot); a reading of the same key replaces it.
    """

    snapshot: Snapshot
    fee: FeeQuote
    readings: tuple[Reading, ...] = ()
    reverted: tuple[Head, ...] = ()

    @property
    def head(self) -> Head:
        """The block's reference."""
        return self.snapshot.block


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

    Raises:
        ConfigError: no blocks, or anything the orchestrator refuses at its start.
    """
    if not blocks:
        raise ConfigError("decide() needs at least one block")
    world = _World(blocks, {ZERO_ADDRESS: 100 * 10**18, **capital}, market, lands)

    async def run() -> Decided:
        log, mine = _opened(journal)
        try:
            return await _run(world, log, agents, market, limits, pauses, policy, breakers, facts)
        finally:
            if mine:
                await log.close()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


async def _run(
    world: "_World",
    log: Journal,
    agents: Sequence[Agent],
    market: Market,
    limits: Limits | None,
    pauses: Sequence[Pause],
    policy: Policy | None,
    breakers: BreakerLimits | None,
    facts: Sequence[FactRule],
) -> Decided:
    orchestrator = Orchestrator(
        _Offline(log, world),
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
    )
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


class _Offline:
    """The session of a world without a chain."""

    def __init__(self, journal: Journal, world: "_World") -> None:
        self.journal = journal
        self.mode = Mode.DRY  # there is no chain to send to
        self.advance = world.advance


class _World:
    """Gives one block after the other, and fills plans on paper."""

    def __init__(
        self,
        blocks: Sequence[GivenBlock],
        capital: Mapping[Address, int],
        market: Market,
        lands: Callable[[Plan], bool] | None,
    ) -> None:
        self._blocks = tuple(blocks)
        self._balances = {token.address: 0 for token in market.tokens} | dict(capital)
        self._market = market
        self._lands = lands or (lambda _: True)
        self._next = 0
        self._last: Snapshot | None = None
        self._filled: dict[Hash, list[Mapping[str, int]]] = {}

    async def advance(self) -> HeadChange | None:
        if self._next == len(self._blocks):
            return None
        block = self._blocks[self._next]
        self._next += 1
        for old in block.reverted:
            for changes in self._filled.pop(old.hash, ()):
                self._change(changes, sign=-1)
        return HeadChange(added=(block.head,), reverted=block.reverted)

    async def observe(self, change: HeadChange) -> Perceived:
        block = next(b for b in self._blocks[: self._next][::-1] if b.head == change.added[-1])
        given_keys = {reading.key for reading in block.readings if reading.block_hash != ZERO_HASH}
        usual = (
            head_reading(block.head),
            fee_reading(block.fee, block.head),
            pools_reading(block.snapshot),
            *price_readings(block.snapshot, self._market.prices),
            _lendable(block.head),
        )
        seen = perceived(
            block.snapshot,
            since=self._last,
            fee=block.fee,
            balances=dict(sorted(self._balances.items())),
            readings=(*block.readings, *(r for r in usual if r.key not in given_keys)),
            reverted=tuple(old.hash for old in block.reverted),
        )
        self._last = block.snapshot
        return seen

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> "_Paper | Fill":
        return _Paper(plan=plan, plans=(plan,), gas_wei=_gas_wei(plan, fee))

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> "tuple[_Paper | Fill, ...] | None":
        whole = tuple(plans)
        return tuple(_Paper(plan=one, plans=whole, gas_wei=_gas_wei(one, fee)) for one in whole)

    async def settle(self, in_flight: "_Paper", change: HeadChange) -> Fill:
        plan, gas_wei = in_flight.plan, in_flight.gas_wei
        head = change.added[-1]
        if not all(map(self._lands, in_flight.plans)) or head.parent_hash != plan.parent_hash:
            return Fill(
                verdict_id=plan.verdict_id,
                agents=plan.agents,
                landed=False,
                block_number=plan.target_block,
                missed="lost on paper",
            )
        changes = _changes(plan, gas_wei)
        self._change(changes, sign=1)
        self._filled.setdefault(head.hash, []).append(changes)
        return Fill(
            verdict_id=plan.verdict_id,
            agents=plan.agents,
            landed=True,
            block_number=head.number,
            block_hash=head.hash,
            changes=dict(changes),
            predicted_out=plan.minimum_profit,
            realised_out=plan.minimum_profit,
            gas_fee_wei=gas_wei,
            tip_wei=plan.tip_wei,
            together=in_flight.together,
        )

    def _change(self, changes: Mapping[str, int], *, sign: int) -> None:
        for token, change in changes.items():
            known = Address(token)
            self._balances[known] = self._balances.get(known, 0) + sign * change


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paper:
    """A plan that will be filled on paper; all of `plans` land, or none."""

    plan: Plan
    plans: tuple[Plan, ...]
    gas_wei: int

    @property
    def together(self) -> tuple[str, ...]:
        several = len(self.plans) > 1
        return tuple(plan.verdict_id for plan in self.plans) if several else ()


def _gas_wei(plan: Plan, fee: FeeQuote | None) -> int:
    """On paper, sharing a transaction saves no gas."""
    price = 0 if fee is None else fee.base_fee_per_gas + fee.max_priority_fee_per_gas
    return plan.gas_limit * 100 // GAS_MARGIN_PERCENT * price


def _lendable(head: Head) -> Reading:
    return Reading(
        key=flash_key(VAULT_LENDS),
        value=str(VAULT_LENDS.available),
        source="paper",
        block_number=head.number,
        block_hash=head.hash,
        observed_at=head.timestamp,
        max_age_blocks=0,
    )


def _changes(plan: Plan, gas_wei: int) -> dict[str, int]:
    """A cycle's minimum profit is net of flash fee and tip; a swap pays its tip in native."""
    route = plan.route
    if route.is_cycle:
        return {route.token_in: plan.minimum_profit, ZERO_ADDRESS: -gas_wei}
    return {
        route.token_in: -route.amount_in,
        route.token_out: route.amount_out,
        ZERO_ADDRESS: -gas_wei - plan.tip_wei,
    }


def _opened(journal: Journal | str | Path | None) -> tuple[Journal, bool]:
    if isinstance(journal, Journal):
        return journal, False
    if journal is None:
        return Journal(MemoryBackend()), True
    return Journal(SqliteBackend(journal)), True


def _hash(number: int, fork: str) -> Hash:
    return Hash(f"0x{blake2b(f'{number}/{fork}'.encode(), digest_size=32).hexdigest()}")
