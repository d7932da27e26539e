"""A real Anvil, and a small HTTP server that answers exactly as a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.chain.peers import Trio
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import Anvil, start_anvil

Handler = Callable[[str, list[Any]], Any]


class Breaks(Exception):
    """Raised by a handler: close the connection without an answer."""


class Refuses(Exception):
    """Raised by a handler: answer with this JSON-RPC error object."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": data}


class Status(Exception):
    """Raised by a handler: answer with this HTTP status, body and headers."""

    def __init__(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(str(status))
        self.status, self.body, self.headers = status, body, headers


class Scripted:
    """An honest JSON-RPC server over HTTP and WebSocket whose answers a handler decides."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[str] = []
        self.url = ""
        self.ws_url = ""
        self.sockets: list[web.WebSocketResponse] = []

    async def _one(self, item: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(item["method"])
        try:
            result = self.handler(item["method"], item["params"])
            if isinstance(result, Awaitable):
                result = await result
        except Refuses as refusal:
            return {"jsonrpc": "2.0", "id": item["id"], "error": refusal.error}
        return {"jsonrpc": "2.0", "id": item["id"], "result": result}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        asked = orjson.loads(await request.read())
        try:
            if isinstance(asked, list):
                body: Any = [await self._one(item) for item in reversed(asked)]
            else:
                body = await self._one(asked)
        except Breaks:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        except Status as status:
            return web.Response(status=status.status, body=status.body, headers=status.headers)
        return web.Response(body=orjson.dumps(body))

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async with asyncio.TaskGroup() as tasks:
            async for message in socket:
                tasks.create_task(self._frame(socket, orjson.loads(message.data)))
        return socket

    async def _frame(self, socket: web.WebSocketResponse, asked: Any) -> None:
        try:
            if isinstance(asked, list):
                body: Any = [await self._one(item) for item in reversed(asked)]
            else:
                body = await self._one(asked)
        except Breaks:
            await socket.close()
            return
        await socket.send_str(orjson.dumps(body).decode())


Serve = Callable[[Handler], Awaitable[Scripted]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a scripted node; it ends with the test."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> Scripted:
        scripted = Scripted(handler)
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", scripted.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        scripted.url, scripted.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        return scripted

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    """A fresh Anvil that mines when told to."""
    async with await start_anvil(["--no-mining", "--chain-id", "1"]) as process:
        yield process


@pytest.fixture
async def node(anvil: Anvil) -> AsyncIterator[Node]:
    """That Anvil over HTTP."""
    async with HttpRpc(anvil.url) as rpc:
        yield Node(rpc)


@pytest.fixture
def refuses() -> type[Refuses]:
    """For handlers: answer with an error object."""
    return Refuses


@pytest.fixture
def breaks() -> type[Breaks]:
    """For handlers: cut the connection."""
    return Breaks


@pytest.fixture
def status() -> type[Status]:
    """For handlers: answer with an HTTP status."""
    return Status


@pytest.fixture
async def trio() -> AsyncIterator[Trio]:
    """Three honest nodes."""
    trio = Trio()
    async with trio.rpc:
        yield trio
    assert all(peer.closed for peer in trio.peers)
