"""The main job: five agents trade under the orchestrator on the embedded devnet."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from toolkit.chain.signer import LocalSigner
from toolkit.dashboard.record import BlockRow, RunRecord
from toolkit.dashboard.rows import Wording, agent_figures, block_row, counted, routes, stories
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.execution.executor import deploy_executor
from toolkit.model.chain import Address, HeadChange
from toolkit.model.errors import DevnetError, ToolkitError
from toolkit.orchestrator.breaking.control import has_room, socket_path
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.reasoning.agent import Agent
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.reasoning.momentum import Momentum
from toolkit.reasoning.rebalancing import Rebalancer
from toolkit.session import Session, connect
from toolkit.testing.invariants import check_run, journal_verdict

PRICE_KEY = "price/WETH-USDC"
FUNDING: Mapping[str, int] = {
    "ETH": 100,
    "WETH": 20,
    "USDC": 34_000,
    "USDT": 34_000,
    "DAI": 34_000,
}
"""Whole units of each of our two accounts: one trades own capital, one races for arbitrage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """What to run; `journal` is the file of the append-only log."""

    journal: Path
    blocks: int = 60
    seed: int = 1
    pauses: bool = True


Watch = Callable[[Session, Mapping[Address, Address], BlockReport], Awaitable[None]]
"""Looks at a block that was just decided, on a chain that still stands there."""


async def trade(
    config: DemoConfig, show: Callable[[BlockRow], None], *, watch: Watch | None = None
) -> RunRecord:
    """Run the agents for so many blocks, show each, and check everything at the end.

    Args:
        config: what to run.
        show: given every block's row.
        watch: awaited with the session, the executors and the report of every block.
    """
    started = time.perf_counter()
    devnet_config = DevnetConfig(seed=config.seed, accounts=2, funding=FUNDING)
    async with Devnet(devnet_config) as devnet, _alive(devnet):
        signers = [LocalSigner(account.key) for account in devnet.accounts]
        async with connect(
            devnet.rpc_url, signer=signers, relays=devnet.relays, journal=config.journal
        ) as session:
            executors = await _deploy(devnet, session)
            orchestrator = _orchestrator(devnet, session, executors, config)
            wording = Wording({token.address: token for token in devnet.tokens.values()})
            reports: list[BlockReport] = []
            async with orchestrator:
                change = HeadChange(added=(session.head,))
                for _ in range(config.blocks):
                    reports.append(await orchestrator.step(change))
                    if watch is not None:
                        await watch(session, executors, reports[-1])
                    show(block_row(reports[-1], wording, price_key=PRICE_KEY))
                    change = await _next(devnet, session)
                orchestrator.halt("the run is over")
                reports.append(await orchestrator.step(change))
            invariants = await check_run(
                session.node,
                reports=reports,
                statistics=session.scheduler.statistics(),
                live_bundles=session.submitter.statistics().live,
            )
            mode = session.mode.value
        market = devnet.market_source
    verified, replayed = journal_verdict(config.journal)
    invariants["journal_verifies"] = verified
    invariants["journal_replays"] = replayed is not None and replayed.identical
    return RunRecord(
        mode=mode,
        seed=config.seed,
        market=market,
        rows=tuple(block_row(report, wording, price_key=PRICE_KEY) for report in reports[:-1]),
        invariants=invariants,
        counts=counted(reports),
        agents=agent_figures(reports, price_key=PRICE_KEY),
        stories=stories(reports, wording),
        routes=routes(reports),
        tokens=tuple(devnet.tokens.values()),
        seconds=time.perf_counter() - started,
    )


@asynccontextmanager
async def _alive(devnet: Devnet) -> AsyncGenerator[None, None]:
    """Name a dead Anvil as the cause of whatever went wrong for want of it."""
    try:
        yield
    except ToolkitError:
        await devnet.check_alive()
        raise


async def _next(devnet: Devnet, session: Session) -> HeadChange:
    """Let the market act and the slot be sealed; then see what became of it."""
    sealed = await devnet.step()
    change = await session.advance()
    if change is None or change.added[-1].hash != sealed.hash:
        raise DevnetError(f"block {sealed.number} was sealed, but the session did not see it")
    return change


async def _deploy(devnet: Devnet, session: Session) -> dict[Address, Address]:
    """Give each signer an executor of its own, sealed in one block."""
    pending = [await deploy_executor(session, signer=signer.address) for signer in session.signers]
    await devnet.seal()
    await session.advance()
    return {
        signer.address: await deployment.address()
        for signer, deployment in zip(session.signers, pending, strict=True)
    }


def _orchestrator(
    devnet: Devnet,
    session: Session,
    executors: Mapping[Address, Address],
    config: DemoConfig,
) -> Orchestrator:
    weth, usdc, usdt, dai = (
        devnet.tokens[name].address for name in ("WETH", "USDC", "USDT", "DAI")
    )
    agents: tuple[Agent, ...] = (
        CyclicArbitrage(),
        Momentum(base=weth, quote=usdc, max_position_wei=6 * 10**18, clip_wei=15 * 10**17),
        Rebalancer(base=weth, quote=usdc, band_bps=30),
        Rebalancer(name="treasury", base=weth, quote=usdt, band_bps=30),
        Rebalancer(name="reserve", base=weth, quote=dai, band_bps=30),
    )
    door = socket_path(config.journal)
    declared = (Pause("momentum", on="arbitrage", impact_bps=1.0, tolerance=0.02),)
    return Orchestrator(
        session,
        agents=agents,
        executors=executors,
        history={PRICE_KEY: devnet.history},
        pauses=declared if config.pauses else (),
        # A folder deep in the tree leaves no room for a socket's name; the demo runs all the same.
        control=door if has_room(door) else None,
    )
