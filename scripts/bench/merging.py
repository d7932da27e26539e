"""Gas of what the orchestrator sends, beside one transaction for every intent it grants.

A demo run freezes its intents block by block. On the very state that they were made on, each intent
that was granted or netted is executed alone, and what the orchestrator made of all of them as it
was sent: netted, and swaps with own capital merged. Arbitrage borrows its input and stays apart on
both sides; approvals count on both sides. Everything is simulated with the contract's own calls.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.figures import Figure, Measured
from toolkit.cli.demo_run import DemoConfig, trade
from toolkit.execution.gateway import Gateway
from toolkit.execution.planner import Declined, PlanLimits, plan
from toolkit.model.chain import Address
from toolkit.model.decision import Intent, Leg, Plan, Verdict, VetoCause
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.mainnet import MAINNET, POOLS
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.sending.merging import sendings
from toolkit.pools.snapshot import Snapshot
from toolkit.pools.sync import load, refresh
from toolkit.routing.router import Router
from toolkit.session import Session

SEEDS = 3
BLOCKS = 60
TARGET = 80.0
TIMEOUT_S = 900


@dataclass(slots=True)
class Gas:
    """Gas units of one seed: each intent alone, and as it was sent; cycles, and own capital."""

    alone: dict[str, int] = field(default_factory=lambda: {"own": 0, "cycle": 0})
    sent: dict[str, int] = field(default_factory=lambda: {"own": 0, "cycle": 0})
    intents: dict[str, int] = field(default_factory=lambda: {"own": 0, "cycle": 0})
    merged: int = 0

    def percent(self, *kinds: str) -> float:
        """Return what was sent in percent of each alone."""
        return 100 * sum(self.sent[k] for k in kinds) / sum(self.alone[k] for k in kinds)


async def measured(seed: int) -> Gas:
    """Run the demo of one seed, and execute both forms of every block's intents.

    Raises:
        RuntimeError: a form could not be executed, or the run broke an invariant.
    """
    gas = Gas()
    seen: list[Snapshot] = []

    async def watch(
        session: Session, executors: Mapping[Address, Address], report: BlockReport
    ) -> None:
        seen[:] = [
            await refresh(session.node, seen[0], head=report.head)
            if seen
            else await load(session.node, POOLS, MAINNET.tokens, head=report.head)
        ]
        await _compare(gas, Gateway(session, executors), seen[0], report)

    with tempfile.TemporaryDirectory() as folder:
        config = DemoConfig(journal=Path(folder) / "journal.db", blocks=BLOCKS, seed=seed)
        record = await trade(config, lambda _: None, watch=watch)
    if broken := [name for name, held in record.invariants.items() if not held]:
        raise RuntimeError(f"demo seed {seed} broke {', '.join(broken)}")
    return gas


async def measure(seed: int) -> Measured:
    """Measure three demo seeds from `seed` on, and all of them together.

    Raises:
        RuntimeError: a form could not be executed, or a run broke an invariant.
    """
    found = {one: await measured(one) for one in range(seed, seed + SEEDS)}
    whole = Gas()
    for gas in found.values():
        for mine, theirs in ((whole.alone, gas.alone), (whole.sent, gas.sent)):
            mine.update({kind: mine[kind] + theirs[kind] for kind in mine})
    rows = tuple(
        _figure(
            f"gas of merged execution, demo seed {one} ({gas.intents['own']} swaps, "
            f"{gas.merged} shared transactions)",
            gas.percent("own"),
        )
        for one, gas in found.items()
    )
    return Measured(
        figures=(
            *rows,
            _figure("gas of merged execution, all seeds", whole.percent("own")),
            _figure("gas of everything sent, flash loans alone", whole.percent("own", "cycle")),
        ),
        not_covered=(
            "intents that were vetoed: they cost nothing on either side",
            "what a bundle that is not included costs: nothing on either side",
        ),
    )


def _figure(name: str, percent: float) -> Figure:
    return Figure(name=name, unit="%", target=TARGET, ours=round(percent, 1))


async def _compare(gas: Gas, gateway: Gateway, snapshot: Snapshot, report: BlockReport) -> None:
    for plans in sendings(report.plans, fee=report.fee, limits=PlanLimits()):
        kind = "cycle" if plans[0].route.is_cycle else "own"
        gas.sent[kind] += await _used(gateway, plans, report.fee)
        gas.merged += len(plans) > 1
    for intent in granted(report):
        for leg in intent.legs:
            kind = "cycle" if leg.token_in == leg.token_out else "own"
            wish = await _alone(gateway, snapshot, report, leg)
            gas.alone[kind] += await _used(gateway, (wish,), report.fee)
            gas.intents[kind] += 1


def granted(report: BlockReport) -> list[Intent]:
    """Return the intents that had an effect: on the market, or on each other."""
    by_id = {one.intent_id: one.intent for one in report.intents}
    names = {
        name
        for verdict in report.verdicts
        if verdict.approved or verdict.cause is VetoCause.NETTED_OUT
        for name in verdict.intents
    }
    return [by_id[name] for name in sorted(names)]


async def _alone(gateway: Gateway, snapshot: Snapshot, report: BlockReport, leg: Leg) -> Plan:
    """Plan a wish as if there were no other."""
    verdict = Verdict(
        verdict_id=f"{report.head.number}-alone",
        block_number=report.head.number,
        block_hash=report.head.hash,
        approved=True,
        intents=("alone",),
        agents=("alone",),
        legs=(leg,),
    )
    answer = plan(
        verdict,
        snapshot=snapshot,
        router=Router(snapshot, native=MAINNET.wrapped),
        fee=report.fee,
        wrapped=MAINNET.wrapped,
        sources=await gateway.flash_sources(snapshot),
    )
    if isinstance(answer, Declined):
        raise RuntimeError(f"block {report.head.number}: {answer.why}")  # noqa: TRY004 - no type
    return answer


async def _used(gateway: Gateway, plans: tuple[Plan, ...], fee: FeeQuote) -> int:
    results = await gateway.rehearse(plans, fee=fee)
    if failed := [one.reason or one.output for one in results if not one.succeeded]:
        raise RuntimeError(f"plan {plans[0].verdict_id} fails in simulation: {failed[0]}")
    return sum(one.gas_used for one in results)
