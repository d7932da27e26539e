"""The devnet's servers among clients that speak no HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from toolkit.devnet.web import WebServer, body_of, listen, serve

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    async def answer(request: web.Request) -> web.Response:
        body = await body_of(request)
        return web.Response(text=str(1 // len(body)))

    one = await serve(answer, listen(what="test"))
    yield one
    await one.close()


async def _said(server: WebServer, line: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(line)
    said = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return said


@pytest.mark.parametrize(
    "line",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"hello\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"X-Flashbots-Signature: 0x" + b"a" * 9_000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}",
    ],
    ids=["tls", "words", "length", "header", "gzip"],
)
async def test_who_speaks_no_http_is_told_so_without_a_traceback(
    server: WebServer, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """HTTP 400 for the client, and not a word on the terminal of whoever runs the devnet."""
    said = await _said(server, line)

    assert b" 400 " in said
    assert [] == [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


async def test_a_failure_of_ours_is_not_hidden(
    server: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What a handler does not foresee is HTTP 500 with its traceback in the log."""
    said = await _said(server, HEAD + b"Content-Length: 0\r\n\r\n")

    assert b" 500 " in said
    assert any(one.exc_info and one.exc_info[0] is ZeroDivisionError for one in caplog.records)
