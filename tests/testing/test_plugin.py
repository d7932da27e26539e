from pathlib import Path

import aiohttp
import pytest

from toolkit.chain.node import Node
from toolkit.devnet.devnet import Devnet, RelayInfo
from toolkit.testing.plugin import tk_chain, tk_devnet, tk_relay

__all__ = ["tk_chain", "tk_devnet", "tk_relay"]


async def test_the_three_fixtures_are_one_market(
    tk_devnet: Devnet, tk_chain: Node, tk_relay: RelayInfo
) -> None:
    """A block sealed on tk_devnet is the head of tk_chain, and tk_relay listens."""
    head = await tk_devnet.seal()
    async with aiohttp.ClientSession() as session, session.get(tk_relay.url) as response:
        status = response.status

    assert head == await tk_chain.head()
    assert status == 405


def test_the_plugin_is_opt_in_by_one_line(pytester: pytest.Pytester) -> None:
    """`pytest_plugins` with its name is all that a bot's test suite needs."""
    root = Path(__file__).resolve().parents[2]
    pytester.syspathinsert(root)
    pytester.makeconftest('pytest_plugins = ["toolkit.testing.plugin"]')

    result = pytester.runpytest_subprocess("--fixtures", "-q")

    result.stdout.fnmatch_lines(["*tk_devnet*"])
