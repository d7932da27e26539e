"""Builders' endpoints in a process of their own: `python -m scripts.bench.relay_stub N`.

Prints the ports of N endpoints that take everything at once, and of one that never answers, as a
JSON list, and serves until its standard input ends.
"""

import asyncio
import sys

import orjson

_BODY = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"bundleHash": "0x" + "ab" * 32}})
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_LENGTH = b"content-length:"


class Endpoint(asyncio.Protocol):
    """Just enough HTTP to answer every POST with the same bytes, on a kept connection."""

    answers = True

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            fields = bytes(self._received[:head]).lower().split(b"\r\n")
            length = next((int(f[len(_LENGTH) :]) for f in fields if f.startswith(_LENGTH)), 0)
            end = head + 4 + length
            if len(self._received) < end:
                return
            del self._received[:end]
            if self.answers and self._transport is not None:
                self._transport.write(_ANSWER)


class Hanging(Endpoint):
    """Reads and never answers."""

    answers = False


async def serve(count: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    kinds: list[type[Endpoint]] = [Endpoint] * count + [Hanging]
    servers = [await loop.create_server(kind, "127.0.0.1", 0) for kind in kinds]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(orjson.dumps(ports).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for server in servers:
        server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
