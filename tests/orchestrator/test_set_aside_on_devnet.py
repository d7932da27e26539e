"""A pool that nobody can read any more, under an orchestrator on a real devnet."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

import toolkit as tk
from tests.pools.test_apart import REVERT, SYNC, logging_code
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.journal.sqlite import read_entries
from toolkit.model.decision import VetoCause
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.board.doubts import Doubted
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.records import BlockReport
from toolkit.orchestrator.runtime import Orchestrator

PAIR = tk.address("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc")
ETHER = 10**18


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """Sells a little WETH in every block, at the price of another pool."""

    name: str = "seller"

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        """Return the one wish."""
        view.price("price/WETH-USDC")
        leg = tk.Leg(token_in=WETH.address, token_out=USDC.address, amount_in=ETHER // 10)
        return (tk.Intent(agent=self.name, legs=(leg,), edge_wei=0),)


@pytest.mark.timeout(120)
async def test_events_go_on_without_a_pool_that_cannot_be_read(tmp_path: Path) -> None:
    """Every block is decided, what rests on others is approved, and the reason is told once."""
    config = DevnetConfig(accounts=1, funding={"ETH": 100, "WETH": 20}, flow=False)
    journal, reports = tmp_path / "journal.db", list[BlockReport]()
    async with Devnet(config) as devnet:
        signer = LocalSigner(devnet.accounts[0].key)
        async with (
            tk.connect(devnet.rpc_url, signer=signer, relays=devnet.relays, journal=journal) as s,
            Orchestrator(
                s, agents=[Seller()], history={"price/WETH-USDC": devnet.history}
            ) as orchestrator,
        ):
            await devnet.seal()
            async for report in orchestrator.events():
                reports.append(report)
                if len(reports) == 1:
                    code = logging_code(SYNC, REVERT)
                    await devnet.node.rpc.call("anvil_setCode", [PAIR, code])
                    await s.send(tk.TransactionRequest(to=PAIR), visibility=tk.Visibility.PUBLIC)
                if len(reports) == 4:
                    break
                await devnet.seal()

    assert [{}, {PAIR}] == [set(one.aside) or {} for one in (reports[0], reports[-1])]
    assert f"pool {PAIR}: token0: " in reports[-1].aside[PAIR]
    assert [] == [v for one in reports for v in one.vetoes if v.cause is not VetoCause.SIMULATION]
    told = [
        decoded(entry, Doubted).doubts
        for entry in read_entries(journal)
        if entry.kind == records.DOUBT
    ]
    assert [{f"pool/{PAIR}"}] == [set(one) for one in told]
    assert replay(read_entries(journal), agents=[Seller()]).identical
