"""What people and breakers stop stays stopped, over restarts too, until it is taken back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

import toolkit as tk
from tests.orchestrator.recorded import Recorded, seen_blocks
from tests.orchestrator.worlds import DAI_MARKET, shipped
from toolkit.model.chain import HeadChange
from toolkit.model.decision import Fill, Plan, TradingState, VetoCause
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.breaking.breakers import BreakerChange
from toolkit.orchestrator.breaking.hazards import Hazard
from toolkit.orchestrator.records import BlockReport, Command, Vitals
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived
from toolkit.reasoning.agent import Agent


@dataclass
class Carrier:
    """Takes every plan and loses it."""

    sent: list[Plan] = field(default_factory=list)

    async def submit(
        self,
        plan: Plan,
        *,
        fee: FeeQuote | None = None,  # noqa: ARG002 - as Gateway
    ) -> Plan:
        """Take a plan."""
        self.sent.append(plan)
        return plan

    async def submit_merged(
        self,
        plans: Sequence[Plan],  # noqa: ARG002 - as Gateway
        *,
        fee: FeeQuote | None = None,  # noqa: ARG002 - as Gateway
    ) -> tuple[Plan, ...] | None:
        """Take them one by one."""
        return None

    async def settle(
        self,
        in_flight: Plan,
        change: HeadChange,  # noqa: ARG002 - as Gateway
    ) -> Fill:
        """Lose it."""
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

    async def recover(
        self,
        plans: Sequence[Plan],  # noqa: ARG002 - as Gateway
        change: HeadChange,  # noqa: ARG002 - as Gateway
    ) -> tuple[Fill, ...]:
        """Know nothing of an earlier process's plans."""
        return ()


@dataclass
class Startled:
    """Calls somebody in one block while it is asked, and wishes nothing."""

    call: Callable[[], None]
    block: int
    name: str = "startled"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Call."""
        if view.block.number == self.block:
            self.call()
        return ()


def orchestrator_of(world: Recorded, *more: Agent) -> Orchestrator:
    """The shipped agents over recorded blocks; nothing is sent."""
    return Orchestrator(world, agents=[*shipped(), *more], market=DAI_MARKET, perception=world)


async def steps(orchestrator: Orchestrator, blocks: Sequence[Perceived]) -> list[BlockReport]:
    """Decide blocks one after the other."""
    return [await orchestrator.step(HeadChange(added=(one.head,))) for one in blocks]


def causes(reports: Sequence[BlockReport]) -> set[tuple[VetoCause | None, str]]:
    """Why nothing was done, of everything that somebody wanted."""
    return {(v.cause, v.why) for report in reports for v in report.verdicts}


async def test_a_halt_vetoes_everything_from_then_on_and_replays() -> None:
    """After `halt` each intent is vetoed with the reason, and a replay halts at the same place."""
    seen = seen_blocks()
    world = Recorded(list(seen))
    orchestrator = orchestrator_of(world)
    async with orchestrator:
        before = await steps(orchestrator, seen[:15])
        orchestrator.halt("enough")
        after = await steps(orchestrator, seen[15:])
    verdicts = [verdict for report in after for verdict in report.verdicts]

    assert any(verdict.approved for report in before for verdict in report.verdicts)
    assert verdicts
    assert {(VetoCause.HALTED, "enough")} == {(v.cause, v.why) for v in verdicts}
    assert [] == [plan for report in after for plan in report.plans]
    assert replay(world.journal.entries()).identical


async def test_a_halt_outlives_its_process_until_it_is_reset() -> None:
    """The next orchestrator on the journal is halted from its first block; `reset` ends that."""
    seen = seen_blocks()
    world = Recorded(list(seen))
    async with orchestrator_of(world) as first:
        await steps(first, seen[:8])
        first.halt("enough")
        await steps(first, seen[8:10])
    async with orchestrator_of(world) as second:
        halted = await steps(second, seen[10:20])
        second.reset("halt")
        free = await steps(second, seen[20:])

    assert {(VetoCause.HALTED, "enough")} == causes(halted)
    assert [TradingState.HALTED] * 10 == [report.state for report in halted]
    assert any(verdict.approved for report in free for verdict in report.verdicts)
    assert replay(world.journal.entries()).identical


async def test_an_order_outlives_a_process_that_could_not_act_on_it() -> None:
    """What was journalled after the last block binds the next process's first."""
    seen = seen_blocks()
    world = Recorded(list(seen))
    async with orchestrator_of(world) as first:
        await steps(first, seen[:8])
        await first.order(Command(verb="halt", why="enough"))
    async with orchestrator_of(world) as second:
        waiting = second.status().waiting
        halted = await steps(second, seen[8:])
    async with orchestrator_of(world) as third:
        later = await steps(third, seen[29:])

    assert (Command(verb="halt", why="enough"),) == waiting
    assert {(VetoCause.HALTED, "enough")} == causes(halted)
    assert [TradingState.HALTED] == [report.state for report in later]
    assert replay(world.journal.entries()).identical


async def test_a_paused_agent_is_paused_alone_and_over_a_restart() -> None:
    """Others go on; `resume` lets it act again."""
    seen = seen_blocks()
    world = Recorded(list(seen))
    async with orchestrator_of(world) as first:
        first.pause("momentum", "look at it")
        await steps(first, seen[:5])
    async with orchestrator_of(world) as second:
        paused = await steps(second, seen[5:20])
        told = [one for one in second.status().agents if one.name == "momentum"]
        second.resume("momentum")
        free = await steps(second, seen[20:])

    by_agent = [(v.agents, v.cause) for report in paused for v in report.verdicts]
    assert {VetoCause.PAUSED} == {cause for agents, cause in by_agent if agents == ("momentum",)}
    assert any(cause is None for agents, cause in by_agent if "momentum" not in agents)
    assert [("paused", "look at it")] == [(one.state, one.why) for one in told]
    assert any(v.approved and "momentum" in v.agents for r in free for v in r.verdicts)
    assert replay(world.journal.entries()).identical


async def test_what_is_decided_while_somebody_halts_is_not_sent() -> None:
    """A halt that comes in the middle of a block keeps back that block's plans."""
    seen = seen_blocks()
    world, carrier = Recorded(list(seen)), Carrier()
    startled = Startled(lambda: orchestrator.halt("stop"), seen[12].head.number)
    orchestrator = Orchestrator(
        world,
        agents=[*shipped(), startled],
        market=DAI_MARKET,
        perception=world,
        gateway=carrier,
    )
    async with orchestrator:
        reports = await steps(orchestrator, seen[:15])

    plans = [plan for report in reports[:12] for plan in report.plans]
    assert plans == carrier.sent
    assert reports[12].plans
    assert {"not sent: halted by a person before it was"} == {
        fill.missed for fill in reports[13].fills
    }
    assert [TradingState.HALTED] * 2 == [report.state for report in reports[13:]]
    found = replay(world.journal.entries(), agents=[Startled(lambda: None, 0)])
    assert found.identical


async def test_a_wrong_clock_is_an_input_and_trips(caplog: pytest.LogCaptureFixture) -> None:
    """The shell holds each head against the clock it was given; a replay reads what it found."""
    seen = seen_blocks()
    world = Recorded(list(seen))
    skews = iter([0] * 5 + [61] + [0] * 24)
    times = iter([one.head.timestamp for one in seen])
    orchestrator = Orchestrator(
        world,
        agents=shipped(),
        market=DAI_MARKET,
        perception=world,
        clock=lambda: next(times) - next(skews) + 0.25,
    )
    async with orchestrator:
        reports = await steps(orchestrator, seen[:10])
    entries = list(world.journal.entries())

    assert [0] * 5 + [61] + [0] * 4 == [
        decoded(one, Vitals).clock_skew_s for one in entries if one.kind == records.VITALS
    ]
    assert [TradingState.ACTIVE] * 5 + [TradingState.HALTED] * 5 == [r.state for r in reports]
    (change,) = [decoded(one, BreakerChange) for one in entries if one.kind == records.BREAKER]
    assert (Hazard.CLOCK, seen[5].head.number, 61) == (
        change.hazard,
        change.block_number,
        change.evidence.measured,
    )
    assert replay(entries).identical
    assert [("clock", "open", "halted")] == [
        (one.msg["breaker"], one.msg["phase"], one.msg["state"])
        for one in caplog.records
        if isinstance(one.msg, dict) and one.msg["event"] == "breaker_changed"
    ]


async def test_a_deposit_before_a_restart_is_no_loss_after_it() -> None:
    """What comes in while it runs counts for nothing, and the next run takes it over quietly."""
    seen = seen_blocks()
    rich = [
        msgspec.structs.replace(one, balances={t: n + 30 * 10**18 for t, n in one.balances.items()})
        for one in seen
    ]
    world = Recorded([*seen[:5], *rich[5:]])
    async with orchestrator_of(world) as first:
        before = await steps(first, world.blocks[:10])
    async with orchestrator_of(world) as second:
        after = await steps(second, world.blocks[10:])

    assert before[9].discrepancies
    assert {TradingState.ACTIVE} == {report.state for report in (*before, *after)}
