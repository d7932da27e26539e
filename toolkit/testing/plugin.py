"""pytest fixtures for bot authors: `pytest_plugins = ["toolkit.testing.plugin"]`.

They need pytest-asyncio (auto mode, or its `asyncio` mark on the tests that use them).
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.devnet import Devnet, RelayInfo


@pytest_asyncio.fixture
async def tk_devnet() -> AsyncIterator[Devnet]:
    """A fresh devnet with seed 1; blocks come when the test steps or seals."""
    async with Devnet() as devnet:
        yield devnet


@pytest_asyncio.fixture
async def tk_chain(tk_devnet: Devnet) -> AsyncIterator[Node]:
    """A node client on the devnet's rpc."""
    async with HttpRpc(tk_devnet.rpc_url) as rpc:
        yield Node(rpc)


@pytest_asyncio.fixture
async def tk_relay(tk_devnet: Devnet) -> RelayInfo:
    """The first builder's relay."""
    return tk_devnet.relays[0]
