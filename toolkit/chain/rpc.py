"""The thin JSON-RPC clients of the hot path; web3 is the public face, this is what carries it."""

import io
import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import aiohttp

from toolkit.chain import wire
from toolkit.chain.websocket import WsRpc
from toolkit.model.errors import ConfigError, NodeError, NodeUnavailable, RpcError

__all__ = ["HttpRpc", "Rpc", "WsRpc", "open_rpc"]

_UNAVAILABLE = frozenset({429, 502, 503, 504})
_CONNECTIONS = 64
_WRITE_BYTES = 1024 * 1024
_OK = 200


class Rpc(Protocol):
    """One node endpoint."""

    @property
    def url(self) -> str:
        """Where it is; may hold an API key, so it is for connecting, not for showing."""
        ...

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> Any:
        """Ask once (reads may be repeated on a lost connection) and return the result.

        Raises:
            RpcError: the node answered with an error object.
            NodeTimeout: no answer within the deadline; it may have been carried out.
            NodeUnavailable: no connection, or it was lost; `.sent` says if bytes may have left.
        """
        ...

    async def batch(
        self, calls: Sequence[wire.Call], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        """Ask many at once; the error of one item is an RpcError at its place in the list."""
        ...

    async def close(self) -> None:
        """Close the connection; the object can be used again."""
        ...


class HttpRpc:
    """JSON-RPC over HTTP with keep-alive connections.

    Args:
        url: http or https.
        timeout_s: deadline of one call, repetitions included.
        retries: how often an idempotent call is repeated after a lost connection or HTTP 429/50x.
            Never applies to `eth_send*` or to anything whose repetition could have an effect.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, retries: int = 2) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._retries = retries
        self._numbers = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        """Name the endpoint without its credentials."""
        return f"HttpRpc({wire.public_url(self.url)})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> Any:
        """As `Rpc.call`."""
        number = next(self._numbers)
        body = wire.encode((method, params), number)
        answer = await self._exchange(
            body, what=method, repeatable=wire.is_idempotent(method), timeout_s=timeout_s
        )
        result = wire.outcome_of(number, answer)
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(
        self, calls: Sequence[wire.Call], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        """As `Rpc.batch`; more than 1,000 items or 512 KiB go out as several requests."""
        numbers = list(itertools.islice(self._numbers, len(calls)))
        encoded = [wire.encode(call, n) for call, n in zip(calls, numbers, strict=True)]
        repeatable = all(wire.is_idempotent(method) for method, _ in calls)
        results: list[Any | RpcError] = []
        for chunk in wire.chunks(encoded):
            asked = numbers[len(results) : len(results) + len(chunk)]
            answers = await self._exchange(
                b"[" + b",".join(chunk) + b"]",
                what=f"a batch of {len(chunk)}",
                repeatable=repeatable,
                timeout_s=timeout_s,
            )
            results += wire.by_number(answers, asked)
        return results

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(
        self, body: bytes, *, what: str, repeatable: bool, timeout_s: float | None
    ) -> Any:
        return await wire.within(
            lambda: self._post(body),
            attempts=1 + self._retries if repeatable else 1,
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            what=f"{what} from {wire.public_url(self.url)}",
        )

    async def _post(self, body: bytes) -> Any:
        if self._session is None:
            self._session = _open_session()
        where = wire.public_url(self.url)
        # A redirect would carry signed bytes to a host that nobody configured.
        data: bytes | io.BytesIO = body if len(body) <= _WRITE_BYTES else io.BytesIO(body)
        try:
            async with self._session.post(self.url, data=data, allow_redirects=False) as response:
                content, status = await response.read(), response.status
                wait_s = wire.retry_after(response.headers.get("Retry-After"))
        except aiohttp.InvalidURL:
            raise ConfigError(f"node address {where!r} is not a URL") from None
        except aiohttp.ClientConnectorError as error:
            raise NodeUnavailable(
                f"no connection to {where}: {error.os_error}", sent=False
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            kind = type(error).__name__
            raise NodeUnavailable(f"connection to {where} was lost ({kind})") from None
        if status in _UNAVAILABLE:
            asked = f" and asks to wait {wait_s:g} s" if wait_s else ""
            raise wire.Busy(f"{where} answered HTTP {status}{asked}", wait_s=wait_s)
        if status == _OK:
            return wire.decode(content, where)
        return _answer_in_spite_of(status, content, where)


def open_rpc(url: str, *, timeout_s: float = 10.0, what: str = "node address") -> HttpRpc | WsRpc:
    """Make the client that an address asks for; it connects on first use.

    Args:
        url: http(s) or ws(s).
        timeout_s: how long a call may take.
        what: how a refusal calls the address.

    Raises:
        ConfigError: the scheme is not http, https, ws or wss, or host or port cannot be read.
    """
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        scheme, _ = parts.scheme, parts.port
        (parts.hostname or "").encode("idna")  # as whoever looks the name up does
    except ValueError:  # its text may hold what was meant as a password
        raise ConfigError(f"{what} is no URL: its host or port cannot be read") from None
    if scheme in {"http", "https"}:
        return HttpRpc(url, timeout_s=timeout_s)
    if scheme in {"ws", "wss"}:
        return WsRpc(url, timeout_s=timeout_s)
    raise ConfigError(
        f"{what} has scheme {scheme!r}; give one that starts with http://, https://,"
        f" ws:// or wss://"
    )


def _answer_in_spite_of(status: int, content: bytes, where: str) -> Any:
    """What a node says with an HTTP error, if it says it as JSON-RPC."""
    try:
        answer = wire.decode(content, where)
    except NodeError:
        raise NodeError(f"{where} answered HTTP {status} without a JSON body") from None
    if isinstance(answer, list) or (isinstance(answer, dict) and {"result", "error"} & set(answer)):
        return answer
    raise NodeError(f"{where} answered HTTP {status} without a JSON-RPC answer")


def _open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # the deadline is ours: it spans repetitions
        headers={"Content-Type": "application/json"},
    )
