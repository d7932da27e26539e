"""Many requests to Anvil in one order, without waiting for each answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from toolkit.chain import wire
from toolkit.model.errors import NodeUnavailable, RpcError

_HEADER_BYTES = 64 * 1024
_REQUEST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


async def in_order(port: int, calls: Sequence[wire.Call]) -> list[Any | RpcError]:
    """Ask a node on loopback, HTTP-pipelined over one connection; results in their order.

    Unlike the items of a batch, which Anvil carries out side by side, these are carried out one
    after the other: the order in its pool is theirs.

    Raises:
        NodeUnavailable: the connection could not be made or was lost.
    """
    if not calls:
        return []
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_HEADER_BYTES)
    except OSError as error:
        raise NodeUnavailable(f"no connection to port {port}: {error}", sent=False) from None
    sending = asyncio.ensure_future(_send(writer, calls))
    try:
        answers = [await _answer(reader) for _ in calls]
        await sending
        return [wire.outcome(each) for each in answers]
    except (OSError, EOFError, ValueError) as error:
        kind = type(error).__name__
        raise NodeUnavailable(f"connection to port {port} was lost ({kind})") from None
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, calls: Sequence[wire.Call]) -> None:
    for number, call in enumerate(calls):
        body = wire.encode(call, number)
        writer.write(_REQUEST % len(body) + body)
        await writer.drain()


async def _answer(reader: asyncio.StreamReader) -> Any:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return orjson.loads(await reader.readexactly(int(value)))
    raise ValueError("no content-length")
