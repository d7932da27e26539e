"""Two real devnets under one roof: what is sold on one is room that is gone on the other."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import toolkit as tk
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.model.chain import ZERO_ADDRESS, HeadChange
from toolkit.orchestrator.capital.elsewhere import Link
from toolkit.orchestrator.chains import Chains
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.session import Session
from toolkit.testing.invariants import check_run, journal_verdict

ETHER = 10**18
LIMITS = tk.Limits(max_position_wei=3 * ETHER // 2)


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """Sells one WETH in every block."""

    name: str = "seller"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the one wish."""
        view.price("price/WETH-USDC")
        leg = tk.Leg(token_in=WETH.address, token_out=USDC.address, amount_in=ETHER)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=0),)


@dataclass
class Member:
    """One chain: a market of builders, a session on it, and an orchestrator."""

    devnet: Devnet
    session: Session
    orchestrator: Orchestrator
    change: HeadChange | None
    journal: Path
    reports: list[BlockReport]


async def member(stack: AsyncExitStack, *, seed: int, journal: Path) -> Member:
    """Open a chain with an executor."""
    config = DevnetConfig(seed=seed, accounts=1, funding={"ETH": 100, "WETH": 20}, flow=False)
    devnet = await stack.enter_async_context(Devnet(config))
    signer = LocalSigner(devnet.accounts[0].key)
    session = await stack.enter_async_context(
        tk.connect(devnet.rpc_url, signer=signer, relays=devnet.relays, journal=journal)
    )
    deployed = await tk.deploy_executor(session)
    await devnet.seal()
    await session.advance()
    orchestrator = Orchestrator(
        session,
        agents=[Seller()],
        limits=LIMITS,
        executors={signer.address: await deployed.address()},
        history={"price/WETH-USDC": devnet.history},
    )
    return Member(devnet, session, orchestrator, HeadChange(added=(session.head,)), journal, [])


async def block(chains: Chains, name: str, one: Member) -> BlockReport:
    """Decide a block, and let the market seal the next."""
    assert one.change is not None
    report = await chains.step(name, one.change)
    one.reports.append(report)
    await one.devnet.step()
    one.change = await one.session.advance()
    return report


@pytest.mark.timeout(240)
async def test_two_devnets_share_one_agents_room(tmp_path: Path) -> None:
    """One WETH sold on the first leaves half a WETH to sell on the second; both replay alone."""
    link = Link(transfer_blocks=0, haircut_ppm=0, max_age_s=10**6)
    async with AsyncExitStack() as stack:
        runs = {
            name: await member(stack, seed=seed, journal=tmp_path / f"{name}.db")
            for name, seed in (("one", 5), ("two", 6))
        }
        async with Chains({n: one.orchestrator for n, one in runs.items()}, links=link) as chains:
            await block(chains, "one", runs["one"])
            second = await block(chains, "two", runs["two"])  # while the sale is underway
            chains.halt("the test is over")
            for name, one in runs.items():
                await block(chains, name, one)
            total = chains.total("two")
        invariants = [
            await check_run(
                one.session.node,
                reports=one.reports,
                statistics=one.session.scheduler.statistics(),
                live_bundles=one.session.submitter.statistics().live,
            )
            for one in runs.values()
        ]
    replayed = [journal_verdict(one.journal) for one in runs.values()]

    sold = [leg.amount_in for verdict in second.verdicts for leg in verdict.legs]
    assert [ETHER // 2] == [round(amount, -15) for amount in sold]
    held = {name: one.reports[-1].books["seller"] for name, one in runs.items()}
    assert total.held[WETH.address] == sum(
        book[WETH.address] + book[ZERO_ADDRESS] for book in held.values()
    )
    assert all(set(one.values()) == {True} for one in invariants)
    assert all(ok and again is not None and again.identical for ok, again in replayed)
