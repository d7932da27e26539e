"""A dry run seen from outside of the process: who is connected to, and every byte that leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.test_modes import OTHER, OWN, PAY, Front, anvil, geth, serve
from toolkit.bundles.draft import DryBundle
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Missed
from toolkit.model.chain import Mode
from toolkit.model.errors import BundleRefused, ConfigError
from toolkit.model.tx import DryRun, UnsignedTransaction, Visibility
from toolkit.session import connect

__all__ = ["anvil", "geth", "serve"]  # fixtures of the tests of modes

FOREIGN = LocalSigner("0x" + "5c" * 32)


class Wire:
    """A port that counts who comes, and hands everything on to another one, if there is one."""

    def __init__(self) -> None:
        self.connections = 0
        self.sent = bytearray()  # by whoever connects
        self.url = ""
        self._to: tuple[str, int] | None = None
        self._server: asyncio.Server

    async def open(self, to: str = "") -> None:
        """Listen on loopback, in front of this address."""
        if to:
            parts = urlsplit(to)
            self._to = (str(parts.hostname), parts.port or 80)
        self._server = await asyncio.start_server(self._come, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._to is None:
            writer.close()
            return
        back, forth = await asyncio.open_connection(*self._to)
        await asyncio.gather(
            self._pass(reader, forth, self.sent), self._pass(back, writer, bytearray())
        )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                seen += data
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def wire() -> AsyncIterator[Callable[..., Any]]:
    """Open a wire: wire(to=...)."""
    opened: list[Wire] = []

    async def start(to: str = "") -> Wire:
        opened.append(Wire())
        await opened[-1].open(to)
        return opened[-1]

    yield start
    for one in opened:
        await one.close()


async def test_a_dry_run_connects_to_no_relay_and_sends_nothing(
    geth: Front, wire: Callable[..., Any]
) -> None:
    """Requests by every route and bundles of every kind: the node is asked and told nothing, no
    relay is connected to, and the rules are kept as if it were meant."""
    relays = [await wire(), await wire()]
    node: Wire = await wire(geth.url)
    foreign = FOREIGN.sign_transaction_now(
        UnsignedTransaction(type=2, chain_id=1, nonce=0, to=OTHER, value=0, data="0x", gas=60_000)
    )
    async with connect(node.url, signer=OWN, relays=[one.url for one in relays]) as session:
        ends = [
            await (await session.send(PAY, visibility=one)).wait() for one in (None, *Visibility)
        ]
        one = session.bundle().include(foreign.raw).call(PAY)
        bundles = [
            await session.submit(one, blocks=3, tip_wei=10**15),
            await session.submit(session.bundle().include(foreign.raw)),
            await session.submit(session.bundle().call(PAY).call(PAY), guards_waived=True),
        ]
        told = [await bundle.wait() for bundle in bundles]
        sandwich = session.bundle().call(PAY).include(foreign.raw).call(PAY)
        with pytest.raises(BundleRefused, match="both sides"):
            await session.submit(sandwich, guards_waived=True)
        with pytest.raises(ConfigError, match="go around the lane"):
            await session.w3.provider.make_request("eth_sendBundle", [{}])
        await session.advance()

    assert Mode.DRY is session.mode
    assert all(isinstance(end, DryRun) for end in ends)
    assert all(isinstance(bundle, DryBundle) for bundle in bundles)
    assert all(isinstance(end, Missed) for end in told)
    assert [0, 0] == [relay.connections for relay in relays]
    assert node.connections
    assert b"eth_blockNumber" in node.sent or b"eth_getBlockByNumber" in node.sent
    assert b"eth_send" not in node.sent
    assert not [raw for raw in (foreign.raw[2:],) if raw.encode() in node.sent]
    assert [] == geth.sends
