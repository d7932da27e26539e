"""However slowly agents think, nothing is sent after its deadline, and no late answer is used."""

import random

from tests.orchestrator.properties.stage import Clocked, Taker, blocks, play
from toolkit.journal.log import Entry
from toolkit.model.decision import Fill
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.records import Lost

BLOCKS = 8


def check(seed: int) -> None:
    """Try one seed: delays of 0.1 to 120 s against blocks of 12, 2 or 0.25 s."""
    rng = random.Random(seed)
    block_s = rng.choice([12.0, 2.0, 0.25])
    slowness = {"fast": (-2.0, -1.5), "slow": (-1.0, 2.08)}  # exponents of ten

    def delay(name: str) -> float:
        return float(10.0 ** rng.uniform(*slowness[name]))

    clock = Clocked(delay, budget_s=block_s * rng.choice([0.25, 0.9, 3.0]))
    agents = [Taker("fast"), Taker("slow", amount=700 * 10**6)]
    played = play(agents, blocks(rng, BLOCKS), clock=clock, block_s=block_s)

    late = [plan.verdict_id for plan, newest in played.sent if plan.target_block <= newest]
    assert [] == late, f"sent after their block: {late}"
    noted = [decoded(entry, Lost).agent for entry in played.entries if entry.kind == records.LOST]
    assert sorted(name for name, _ in clock.late) == sorted(noted), "a late answer left no record"
    for report in played.reports:
        busy = {name for name, block in clock.late if block == report.head.number}
        used = {one.intent.agent for one in report.intents}
        assert not busy & used, f"used a late answer at block {report.head.number}"
        assert not busy & {name for plan in report.plans for name in plan.agents}
    _released_soon(played.entries, {plan.verdict_id for plan, _ in played.sent})
    assert replay(played.entries, agents=agents).identical


def _released_soon(entries: list[Entry], sent: set[str]) -> None:
    """What was planned and not sent is given up with the next block."""
    open_: set[str] = set()
    for entry in entries:
        if entry.kind == records.PLAN:
            open_.add(decoded(entry, records.Planned).plan.verdict_id)
        elif entry.kind == records.FILL:
            open_.discard(decoded(entry, Fill).verdict_id)
        elif entry.kind == records.PERCEIVED:
            assert not open_ - sent, f"kept its capital: {sorted(open_ - sent)}"
