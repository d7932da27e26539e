"""Fixtures around the genuine contracts; `venue.py` deploys them."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.pools.venue import AnvilMachine, Revm, Venue
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import start_anvil


@pytest.fixture(scope="session")
def seed() -> int:
    """Fresh at each run and printed, or `POOLS_SEED` to repeat one."""
    value = int(os.environ.get("POOLS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"POOLS_SEED={value}")
    return value


@pytest.fixture
def revm() -> Callable[[], Venue]:
    pytest.importorskip("pyrevm", reason="pyrevm has no wheel here; the Anvil tests still run")
    return lambda: Venue(Revm())


@pytest.fixture(scope="module")
def twin() -> Iterator[tuple[str, Venue]]:
    """A real Anvil with the genuine contracts: (url, venue)."""
    anvil = asyncio.run(start_anvil(["--auto-impersonate", "--gas-limit", "36000000"]))
    machine = AnvilMachine(anvil.port)
    try:
        yield anvil.url, Venue(machine)
    finally:
        machine.connection.close()
        asyncio.run(anvil.stop())


@pytest.fixture
async def node(twin: tuple[str, Venue]) -> AsyncIterator[Node]:
    async with HttpRpc(twin[0]) as rpc:
        yield Node(rpc)
