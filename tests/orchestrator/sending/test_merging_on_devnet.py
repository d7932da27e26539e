"""Two agents on the real devnet: their swaps land in one transaction, and each learns its own."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

import toolkit as tk
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.model.chain import ZERO_ADDRESS, HeadChange
from toolkit.orchestrator.audit.audit import why
from toolkit.testing.invariants import check_run, journal_entries, journal_verdict

ETHER = 10**18


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """Sells one WETH for a token, every block."""

    name: str
    sold: tk.Address
    bought: tk.Address

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the one wish."""
        view.price("price/WETH-USDC")
        leg = tk.Leg(token_in=self.sold, token_out=self.bought, amount_in=ETHER)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=0),)


@pytest.mark.timeout(180)
async def test_two_agents_swaps_land_in_one_transaction(tmp_path: Path) -> None:
    """One approval and one call carry both verdicts through a market of builders; gas is shared to
    the wei, the books are the chain's, and the journal replays."""
    funding = {"ETH": 100, "WETH": 20}
    journal = tmp_path / "journal.db"
    async with Devnet(DevnetConfig(seed=5, accounts=1, funding=funding, flow=False)) as devnet:
        weth, usdc, usdt = (devnet.tokens[name].address for name in ("WETH", "USDC", "USDT"))
        agents = (
            Seller(name="dollars", sold=weth, bought=usdc),
            Seller(name="tethers", sold=weth, bought=usdt),
        )
        signer = LocalSigner(devnet.accounts[0].key)
        async with tk.connect(
            devnet.rpc_url, signer=signer, relays=devnet.relays, journal=journal
        ) as session:
            deployed = await tk.deploy_executor(session)
            await devnet.seal()
            await session.advance()
            executors = {signer.address: await deployed.address()}
            reports = []
            async with tk.Orchestrator(
                session,
                agents=agents,
                executors=executors,
                history={"price/WETH-USDC": devnet.history},
            ) as orchestrator:
                change: HeadChange | None = HeadChange(added=(session.head,))
                for last in (False, False, True):
                    assert change is not None
                    if last:
                        orchestrator.halt("the test is over")
                    reports.append(await orchestrator.step(change))
                    await devnet.step()
                    change = await session.advance()
            invariants = await check_run(
                session.node,
                reports=reports,
                statistics=session.scheduler.statistics(),
                live_bundles=session.submitter.statistics().live,
            )
            fills = [fill for report in reports for fill in report.fills]
            receipts = [await session.node.receipt(one) for one in fills[0].tx_hashes]
    verified, replayed = journal_verdict(journal)
    told = why(journal_entries(journal), fills[0].tx_hashes[-1])

    assert [True] * 4 == [fill.landed for fill in fills]
    assert [("dollars",), ("tethers",)] == sorted(fill.agents for fill in fills[:2])
    assert fills[0].tx_hashes == fills[1].tx_hashes
    assert 2 == len(fills[0].tx_hashes)
    assert fills[0].tx_hashes != fills[2].tx_hashes == fills[3].tx_hashes
    spent = sum(one.fee_wei for one in receipts if one)
    assert spent == sum(fill.gas_fee_wei for fill in fills[:2])
    assert spent == -sum(fill.changes[ZERO_ADDRESS] for fill in fills[:2])
    assert [-ETHER, -ETHER] == [fill.changes[weth] for fill in fills[:2]]
    assert dict.fromkeys(invariants, True) == invariants
    assert "one transaction carried 2 verdicts" in told.text
    assert [fill.verdict_id for fill in fills[:2]] == [one.text.split()[1] for one in told.because]
    assert any("in one transaction with" in fact for fact in told.because[0].facts)
    assert verified
    assert replayed is not None
    assert replayed.identical
