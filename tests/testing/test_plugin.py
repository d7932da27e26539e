import os
import subprocess
import sys
from pathlib import Path

import aiohttp

from toolkit.chain.node import Node
from toolkit.devnet.devnet import Devnet, RelayInfo
from toolkit.devnet.strict_node import StrictNode
from toolkit.model.tx import Confirmed, TransactionRequest
from toolkit.session import Session
from toolkit.testing.plugin import tk_chain, tk_devnet, tk_relay, tk_session, tk_strict_node

__all__ = ["tk_chain", "tk_devnet", "tk_relay", "tk_session", "tk_strict_node"]


async def test_the_three_fixtures_are_one_market(
    tk_devnet: Devnet, tk_chain: Node, tk_relay: RelayInfo
) -> None:
    """A block sealed on tk_devnet is the head of tk_chain, and tk_relay listens."""
    head = await tk_devnet.seal()
    async with aiohttp.ClientSession() as session, session.get(tk_relay.url) as response:
        status = response.status

    assert head == await tk_chain.head()
    assert status == 405


async def test_the_session_sends_on_the_same_market(tk_devnet: Devnet, tk_session: Session) -> None:
    """What tk_session sends goes to the builders, and tk_devnet mines it."""
    sent = await tk_session.send(TransactionRequest(to=tk_devnet.accounts[1].address, value=1))
    await tk_devnet.seal()

    assert isinstance(await sent.wait(), Confirmed)


async def test_the_strict_node_refuses_what_real_nodes_refuse(tk_strict_node: StrictNode) -> None:
    """It is a chain of its own with geth's pool."""
    before = tk_strict_node.head
    sealed = await tk_strict_node.seal()

    assert "geth" == tk_strict_node.pool.rules.name
    assert before.number + 1 == sealed.number


def test_the_plugin_is_opt_in_by_one_line(tmp_path: Path) -> None:
    """`pytest_plugins` with its name is all that a bot's test suite needs."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["toolkit.testing.plugin"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-q", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=False,
    )

    names = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("tk_")}
    assert names >= {"tk_devnet", "tk_chain", "tk_relay", "tk_session", "tk_strict_node"}
