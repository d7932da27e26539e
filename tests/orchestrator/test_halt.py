"""A halted orchestrator settles what is on its way and begins nothing new; replays agree."""

from dataclasses import dataclass, field

from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import HeadChange, Mode
from toolkit.model.decision import VetoCause
from toolkit.orchestrator import records
from toolkit.orchestrator.replay import decoded, replay
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived
from toolkit.testing.decide import decide


@dataclass
class Recorded:
    """Session and perception in one: blocks that were perceived once are perceived again."""

    blocks: list[Perceived]
    journal: Journal = field(default_factory=lambda: Journal(MemoryBackend()))
    mode: Mode = Mode.DEV

    async def advance(self) -> HeadChange | None:
        """Give the next block's head."""
        return HeadChange(added=(self.blocks[0].head,)) if self.blocks else None

    async def observe(self, change: HeadChange) -> Perceived:
        """Look at the block of the change."""
        return next(one for one in self.blocks if one.head == change.added[-1])


async def test_a_halt_vetoes_everything_from_then_on_and_replays() -> None:
    """After `halt` each intent is vetoed with the reason, and a replay halts at the same place."""
    first = decide(
        shipped(), random_market(3, blocks=30, gap=8e-3), capital=DAI_CAPITAL, market=DAI_MARKET
    )
    seen = [decoded(entry, Perceived) for entry in first.journal if entry.kind == records.PERCEIVED]
    world = Recorded(seen)
    orchestrator = Orchestrator(world, agents=shipped(), market=DAI_MARKET, perception=world)
    async with orchestrator:
        before = [await orchestrator.step(HeadChange(added=(one.head,))) for one in seen[:15]]
        orchestrator.halt("enough")
        after = [await orchestrator.step(HeadChange(added=(one.head,))) for one in seen[15:]]
    verdicts = [verdict for report in after for verdict in report.verdicts]

    assert any(verdict.approved for report in before for verdict in report.verdicts)
    assert verdicts
    assert {(VetoCause.HALTED, "enough")} == {(v.cause, v.why) for v in verdicts}
    assert [] == [plan for report in after for plan in report.plans]
    assert replay(world.journal.entries()).identical
