"""The orchestrator's shell: order of effects, failures of the parts it depends on."""

import gc
from collections.abc import Mapping, Sequence

import pytest

from tests.orchestrator.recorded import Recorded, seen_blocks
from tests.orchestrator.worlds import DAI_MARKET, random_market, shipped
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head, HeadChange, Mode
from toolkit.model.decision import Fill, Plan, Reading, TradingState, VetoCause
from toolkit.model.errors import (
    ConfigError,
    JournalUnavailable,
    NodeUnavailable,
    RelayUnavailable,
)
from toolkit.model.market import FundingKind
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.breaking.hazards import BreakerLimits, Hazard
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived, perceived
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import price_readings
from toolkit.pools.snapshot import Snapshot
from toolkit.testing.decide import GivenBlock

CAPITAL = {
    DAI_MARKET.wrapped: 50 * 10**18,
    DAI_MARKET.stables[0]: 10**23,
    ZERO_ADDRESS: 10**20,
}


class World:
    """Blocks one after the other; a look fails as often as told."""

    def __init__(self, blocks: Sequence[GivenBlock]) -> None:
        self.blocks = list(blocks)
        self.failures = 0
        self.last: Snapshot | None = None
        self.balances: dict[Address, int] = dict(CAPITAL)

    async def agreed(self, blocks: Mapping[int, Hash], head: Head) -> int:  # noqa: ARG002 - seam
        """Return the newest: nothing that was known is gone."""
        return max(blocks)

    async def observe(self, change: HeadChange) -> Perceived:
        """Look, or fail."""
        if self.failures:
            self.failures -= 1
            raise NodeUnavailable("gone")
        block = next(b for b in self.blocks if b.head == change.added[-1])
        seen = perceived(
            block.snapshot,
            since=self.last,
            fee=block.fee,
            balances=dict(self.balances),
            readings=(
                *block.readings,
                pools_reading(block.snapshot),
                *price_readings(block.snapshot, DAI_MARKET.prices),
            ),
        )
        self.last = block.snapshot
        return seen


class Carrier:
    """A gateway that remembers what was durable when it was asked to send."""

    def __init__(self, backend: MemoryBackend, error: Exception | None = None) -> None:
        self.backend = backend
        self.error = error
        self.sent: list[tuple[Plan, list[str]]] = []
        self.asked = 0
        self.searched: list[bool] = []  # whether Python looked for garbage meanwhile

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Plan | Fill:
        """Take a plan."""
        if self.error is not None or fee is None:
            raise self.error or AssertionError("the fee that was decided with")
        self.searched.append(gc.isenabled())
        self.sent.append((plan, [entry.kind for entry in self.backend.rows]))
        return plan

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[Plan | Fill, ...] | None:
        """Take several."""
        return tuple([await self.submit(plan, fee=fee) for plan in plans])

    async def settle(self, in_flight: Plan, change: HeadChange) -> Fill | None:
        """Lose it, after having been unsure once."""
        self.asked += 1
        assert in_flight.target_block <= change.added[-1].number
        if self.asked == 1:
            raise NodeUnavailable("who knows")
        return Fill(
            verdict_id=in_flight.verdict_id,
            agents=in_flight.agents,
            landed=False,
            block_number=in_flight.target_block,
            missed="lost",
        )

    async def strays(self, change: HeadChange) -> tuple[Fill, ...]:  # noqa: ARG002 - seam
        """Nothing comes late."""
        return ()

    async def withdraw(self) -> tuple[str, ...]:
        """Give nothing back."""
        return ()

    async def recover(self, plans: Sequence[Plan], change: HeadChange) -> tuple[Fill, ...]:
        """Nothing was planned before."""
        raise AssertionError(f"{plans} at {change}")


class Full(MemoryBackend):
    """A disk that fills up after so many writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(self, entries: Sequence[Entry]) -> None:
        """Write, while there is room."""
        if self.left == 0:
            raise JournalUnavailable("disk full")
        self.left -= 1
        super().write(entries)


class Desk:
    """The session's part."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.journal = Journal(backend)
        self.mode = Mode.DEV

    async def advance(self) -> HeadChange | None:
        """No heads of its own."""
        return None


def assembled(
    backend: MemoryBackend,
    *,
    error: Exception | None = None,
    blocks: int = 6,
    breakers: BreakerLimits | None = None,
) -> tuple[Orchestrator, World, Carrier, Desk]:
    """An orchestrator in a market that gives it something to send in the first block."""
    world = World(random_market(3, blocks=blocks, gap=0.0, planted={0: 0.02}))
    desk, carrier = Desk(backend), Carrier(backend, error)
    orchestrator = Orchestrator(
        desk,
        agents=shipped(),
        market=DAI_MARKET,
        perception=world,
        gateway=carrier,
        lenders=(),
        breakers=breakers,
    )
    return orchestrator, world, carrier, desk


async def test_everything_is_durable_before_anything_is_sent() -> None:
    """When a plan reaches the gateway, its whole cause is on disk already."""
    backend = MemoryBackend()
    orchestrator, world, carrier, desk = assembled(backend)

    async with orchestrator:
        for block in world.blocks:
            await orchestrator.step(HeadChange(added=(block.head,)))
    await desk.journal.close()

    assert carrier.sent
    for _, durable in carrier.sent:
        assert {records.SETUP, records.PERCEIVED, records.INTENT, records.RULING} <= set(durable)
        assert records.PLAN == durable[-1] or records.PLAN in durable


async def test_no_search_for_garbage_comes_between_a_block_and_its_plans() -> None:
    """Until what was decided is sent they are put off; then they are on again."""
    orchestrator, world, carrier, desk = assembled(MemoryBackend())

    async with orchestrator:
        await orchestrator.step(HeadChange(added=(world.blocks[0].head,)))
    await desk.journal.close()

    assert {False} == set(carrier.searched)
    assert gc.isenabled()


async def test_a_full_disk_sends_nothing() -> None:
    """When the journal cannot be written, the step fails and nothing leaves the process."""
    backend = Full(writes=1)
    orchestrator, world, carrier, desk = assembled(backend)
    await orchestrator.start()

    with pytest.raises(JournalUnavailable, match="disk full"):
        await orchestrator.step(HeadChange(added=(world.blocks[0].head,)))
    await desk.journal.close()

    assert [] == carrier.sent


async def test_an_unanswered_settlement_is_asked_again() -> None:
    """A gateway that cannot say yet is asked at the next head, and the fill is told once."""
    orchestrator, world, carrier, desk = assembled(MemoryBackend())

    async with orchestrator:
        reports = [
            await orchestrator.step(HeadChange(added=(block.head,))) for block in world.blocks
        ]
    await desk.journal.close()

    fills = [fill.verdict_id for report in reports for fill in report.fills]
    assert carrier.sent[0][0].verdict_id in fills
    assert len(set(fills)) == len(fills)
    assert () == reports[1].fills


async def test_a_failed_look_loses_no_outcome() -> None:
    """When the node fails after a settlement, the next step still tells its fill."""
    orchestrator, world, carrier, desk = assembled(MemoryBackend())
    carrier.asked = 1  # sure from the start
    changes = [HeadChange(added=(block.head,)) for block in world.blocks]

    async with orchestrator:
        await orchestrator.step(changes[0])
        world.failures = 1
        with pytest.raises(NodeUnavailable):
            await orchestrator.step(changes[1])
        report = await orchestrator.step(changes[1])
    result = replay(desk.journal.entries())
    await desk.journal.close()

    assert [carrier.sent[0][0].verdict_id] == [fill.verdict_id for fill in report.fills]
    assert result.identical


async def test_a_plan_that_cannot_be_sent_is_a_fill_that_missed() -> None:
    """A relay's failure ends one plan, with its reason, and no step."""
    orchestrator, world, _, desk = assembled(MemoryBackend(), error=RelayUnavailable("no route"))

    async with orchestrator:
        reports = [
            await orchestrator.step(HeadChange(added=(block.head,))) for block in world.blocks[:3]
        ]
    await desk.journal.close()

    (fill, *_) = reports[1].fills
    assert (False, "not sent: RelayUnavailable: no route") == (fill.landed, fill.missed)


async def test_capital_that_the_chain_does_not_confirm_is_not_spent() -> None:
    """When the accounts hold less than the ledger says, that is told, and no more is promised."""
    unbroken = BreakerLimits(off=(Hazard.DRAWDOWN,))  # which such a loss is as well
    orchestrator, world, carrier, desk = assembled(MemoryBackend(), blocks=30, breakers=unbroken)
    changes = [HeadChange(added=(block.head,)) for block in world.blocks]

    async with orchestrator:
        await orchestrator.step(changes[0])
        world.balances = {ZERO_ADDRESS: 10**20, DAI_MARKET.wrapped: 0, DAI_MARKET.stables[0]: 0}
        reports = [await orchestrator.step(change) for change in changes[1:]]
    await desk.journal.close()

    assert (50 * 10**18, 0) == reports[0].discrepancies[DAI_MARKET.wrapped]
    wanted = [v for report in reports for v in report.verdicts if "momentum" in v.agents]
    assert wanted
    assert {VetoCause.NO_CAPITAL} == {verdict.cause for verdict in wanted}
    assert all(plan.funding.kind is not FundingKind.OWN for plan, _ in carrier.sent[1:])


async def test_a_halt_stops_approvals_and_is_replayed() -> None:
    """After a halt every intent is vetoed, and the journal replays with the halt in it."""
    orchestrator, world, _, desk = assembled(MemoryBackend())

    async with orchestrator:
        orchestrator.halt("enough")
        reports = [
            await orchestrator.step(HeadChange(added=(block.head,))) for block in world.blocks
        ]
    result = replay(desk.journal.entries())
    await desk.journal.close()

    vetoes = [verdict for report in reports for verdict in report.verdicts]
    assert vetoes
    assert {(VetoCause.HALTED, "enough")} == {(v.cause, v.why) for v in vetoes}
    assert result.identical, result.divergence


async def test_a_step_before_the_start_is_refused() -> None:
    """Nothing can be decided that a replay could not redo: the set-up comes first."""
    orchestrator, world, _, desk = assembled(MemoryBackend())

    with pytest.raises(ConfigError, match="start the orchestrator first"):
        await orchestrator.step(HeadChange(added=(world.blocks[0].head,)))
    await desk.journal.close()


def test_without_a_chain_perception_must_be_given() -> None:
    """A session without a node is refused at once, with what to give instead."""
    with pytest.raises(ConfigError, match="give `perception`"):
        Orchestrator(Desk(MemoryBackend()), agents=shipped(), market=DAI_MARKET)


class Moody:
    """Gives weights that are none in one block."""

    def weights(
        self,
        agents: Sequence[str],
        *,
        head: Head,
        readings: Mapping[str, Reading],  # noqa: ARG002 - as Policy
    ) -> dict[str, float]:
        """Return 1 for every agent, and once no number."""
        return dict.fromkeys(agents, float("nan") if head.number == 1012 else 1.0)


async def test_nothing_is_decided_on_top_of_what_the_journal_does_not_hold() -> None:
    """After a step that broke off only another orchestrator goes on, from the journal: it obeys
    what had been ordered, and the whole replays."""
    seen = seen_blocks()
    world = Recorded(list(seen))
    changes = [HeadChange(added=(one.head,)) for one in seen]
    broken = Orchestrator(
        world, agents=shipped(), market=DAI_MARKET, perception=world, policy=Moody()
    )
    async with broken:
        for change in changes[:12]:
            await broken.step(change)
        with pytest.raises(ConfigError, match="a weight of nan"):
            await broken.step(changes[12])
        with pytest.raises(ConfigError, match="start another one on the journal"):
            await broken.step(changes[13])
        broken.halt("enough")

    after = Orchestrator(world, agents=shipped(), market=DAI_MARKET, perception=world)
    async with after:
        report = await after.step(changes[13])

    assert TradingState.HALTED is report.state
    assert replay(world.journal.entries()).identical
