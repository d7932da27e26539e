"""The chain that fork tests run on: the offline twin, or mainnet where MAINNET_RPC_URL is set."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from toolkit.devnet.twin import TwinConfig, build_twin


@pytest.fixture(scope="session")
def fork_url() -> Iterator[str]:
    """The endpoint to fork; it is only read from."""
    if url := os.environ.get("MAINNET_RPC_URL"):
        yield url
        return
    twin = asyncio.run(build_twin(TwinConfig()))
    yield twin.anvil.url
    asyncio.run(twin.anvil.stop())
