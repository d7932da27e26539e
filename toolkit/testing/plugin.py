"""pytest fixtures for bot authors: `pytest_plugins = ["toolkit.testing.plugin"]`.

They need pytest-asyncio (auto mode, or its `asyncio` mark on the tests that use them).
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.devnet import Devnet, RelayInfo
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.session import Session, connect


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


@pytest_asyncio.fixture
async def tk_session(tk_devnet: Devnet) -> AsyncIterator[Session]:
    """A session of the devnet's first account, with every builder's relay."""
    signer = LocalSigner(tk_devnet.accounts[0].key)
    async with connect(tk_devnet.rpc_url, signer=signer, relays=tk_devnet.relays) as session:
        yield session


@pytest_asyncio.fixture
async def tk_strict_node() -> AsyncIterator[StrictNode]:
    """An empty chain behind geth's pool rules, whose rpc can be told to fail (`faults`)."""
    async with open_strict_node() as node:
        yield node
