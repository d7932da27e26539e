"""Loopback HTTP servers of the devnet, on a system-chosen port unless one is asked for."""

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from toolkit.model.errors import DevnetError

MAX_BODY_BYTES = 4 * 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CLIENTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about more than a client that speaks no HTTP, packs badly or went away.

    That client was answered with HTTP 400, if it is still there; a traceback would blame us.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, _CLIENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServer:
    """A listening server; `close()` ends it and its connections."""

    port: int
    runner: web.AppRunner

    @property
    def url(self) -> str:
        """Its address for HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Its address for WebSocket, where the handler upgrades."""
        return f"ws://127.0.0.1:{self.port}"

    async def close(self) -> None:
        """Stop listening and drop the connections."""
        await self.runner.cleanup()


def listen(*, port: int = 0, what: str) -> socket.socket:
    """Take a port on 127.0.0.1, so that a taken one is known before anything is built.

    Raises:
        DevnetError: the port is taken or forbidden.
    """
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise DevnetError(
            f"port {port} for the {what} {why}; choose another, or 0 for any free one"
        ) from None


async def body_of(request: web.Request) -> bytes:
    """Read a request's body.

    Raises:
        web.HTTPBadRequest: it is not packed as its headers say.
        web.HTTPRequestEntityTooLarge: it has more than `MAX_BODY_BYTES`.
    """
    try:
        return await request.read()
    except web.RequestPayloadError:
        why = "the body is not what its Content-Encoding says"
        # The connection ends: where the body ends is not known.
        raise web.HTTPBadRequest(text=why, headers={"Connection": "close"}) from None


def request_id(request: object) -> str | int | float | None:
    """A JSON-RPC request's id; None for what is none, which may be deeper than can be written."""
    number = request.get("id") if isinstance(request, dict) else None
    return number if isinstance(number, str | int | float) else None


async def serve(handler: Handler, listener: socket.socket) -> WebServer:
    """Serve `handler` for every method and path; the server owns the listener from here on."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", handler)
    logger = logging.getLogger("aiohttp.server.devnet")
    logger.addFilter(_is_ours)  # the same one again is kept once
    runner = web.AppRunner(app, access_log=None, logger=logger, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return WebServer(port=listener.getsockname()[1], runner=runner)
