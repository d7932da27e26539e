"""A relay endpoint that notes what clients send, byte by byte, and passes it on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import orjson
from aiohttp import web

from toolkit.bundles.auth import HEADER


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came: its body, the signature header and the kind of content."""

    body: str
    header: str
    content_type: str

    @property
    def asked(self) -> dict[str, Any]:
        """The body as the JSON that it is."""
        return dict(orjson.loads(self.body))


# Reads as an answer to any method; clients take a simulation apart.
_WEI = ("bundleGasPrice", "coinbaseDiff", "ethSentToCoinbase", "gasFees")
_NOTHING = {"bundleHash": "0x" + "00" * 32, "results": [], **dict.fromkeys(_WEI, "0")}


class Recorder:
    """Notes requests; answers itself, with nothing of interest, where there is no relay behind."""

    def __init__(self, upstream: str | None) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self._upstream = upstream

    async def handle(self, request: web.Request) -> web.Response:
        """Note one request and answer it."""
        body, header = await request.read(), request.headers.get(HEADER, "")
        kind = request.content_type
        self.requests.append(Request(body=body.decode(), header=header, content_type=kind))
        if self._upstream is None:
            answer = {"jsonrpc": "2.0", "id": orjson.loads(body)["id"], "result": _NOTHING}
            return web.json_response(answer)
        headers = {HEADER: header, "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self._upstream, data=body, headers=headers) as said,
        ):
            return web.Response(
                status=said.status, body=await said.read(), content_type="application/json"
            )


@asynccontextmanager
async def recorder(upstream: str | None = None) -> AsyncIterator[Recorder]:
    """Open a recorder on a loopback port, in front of a relay or of none."""
    found = Recorder(upstream)
    app = web.Application()
    app.router.add_post("/", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield found
    finally:
        await runner.cleanup()
