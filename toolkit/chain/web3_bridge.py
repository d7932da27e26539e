"""web3 as the public face: an AsyncWeb3 that speaks through our client, and the reverse.

web3 is imported on first use, because importing it takes seconds.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from toolkit.chain import wire
from toolkit.chain.quorum import QuorumRpc
from toolkit.chain.rpc import HttpRpc, Rpc, WsRpc, open_rpc
from toolkit.model.errors import ConfigError, NodeUnavailable, RpcError

if TYPE_CHECKING:
    from web3 import AsyncWeb3

_SEND_TRANSACTION = "eth_sendTransaction"
_SEND_RAW = "eth_sendRawTransaction"


class Lanes(Protocol):
    """Who sends for web3: the session's lanes."""

    async def send_params(self, params: dict[str, Any]) -> str:
        """Send `TxParams`; the hash."""
        ...

    async def send_signed(self, raw: str) -> str:
        """Send what one of our signers signed; the hash under the lane's nonce."""
        ...

    async def receipt_of(self, tx_hash: str) -> Any:
        """The receipt as the node gives it, of whichever attempt of our request was mined."""
        ...

    def accounts(self) -> list[str]:
        """Checksummed accounts that can send."""
        ...


class Bridge:
    """Answers web3's requests: sends go to the lanes, everything else to the node."""

    def __init__(self, rpc: Rpc, lanes: Lanes) -> None:
        self._rpc = rpc
        self._own: dict[str, Callable[[Sequence[Any]], Awaitable[Any]]] = {
            _SEND_TRANSACTION: lambda params: lanes.send_params(params[0]),
            _SEND_RAW: lambda params: lanes.send_signed(params[0]),
            "eth_getTransactionReceipt": lambda params: lanes.receipt_of(params[0]),
            "eth_accounts": lambda _: _ready(lanes.accounts()),
        }

    async def request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        """Answer one request in the form web3 expects; the node's errors stay web3's.

        Raises:
            ConfigError: a way to send that would go around the lane's nonces.
        """
        _refuse_side_doors(method)
        try:
            own = self._own.get(method)
            result = await (own(params) if own else self._rpc.call(method, params))
        except RpcError as error:
            return {"jsonrpc": "2.0", "id": 0, "error": _error_object(error)}
        return {"jsonrpc": "2.0", "id": 0, "result": result}

    async def batch(self, requests: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
        """Answer a batch of reads; the error of an item stays at its place.

        Raises:
            ConfigError: it contains a send.
        """
        for method, _ in requests:
            if method in {_SEND_TRANSACTION, _SEND_RAW}:
                raise ConfigError(f"{method} in a batch is refused: a lane sends one at a time")
            _refuse_side_doors(method)
        items = await self._rpc.batch(requests)
        return [
            {"jsonrpc": "2.0", "id": number, "error": _error_object(item)}
            if isinstance(item, RpcError)
            else {"jsonrpc": "2.0", "id": number, "result": item}
            for number, item in enumerate(items)
        ]


def open_web3(bridge: Bridge, *, like: "AsyncWeb3[Any] | None" = None) -> "AsyncWeb3[Any]":
    """Make an AsyncWeb3 over a bridge, with the middleware of `like` where given."""
    from web3 import AsyncWeb3  # noqa: PLC0415 - on first use
    from web3.providers.async_base import AsyncJSONBaseProvider  # noqa: PLC0415 - on first use

    class SessionProvider(AsyncJSONBaseProvider):
        async def make_request(self, method: Any, params: Any) -> Any:
            return await bridge.request(method, params)

        async def make_batch_request(self, requests: Any) -> Any:
            return await bridge.batch(requests)

    if like is None:
        return AsyncWeb3(SessionProvider())
    return AsyncWeb3(SessionProvider(), middleware=list(like.middleware_onion.middleware))


def rpc_of(endpoint: object, *, timeout_s: float) -> Rpc:
    """Our client for an address, or for where a user's AsyncWeb3 is connected to.

    Several addresses are one client of all of them (`QuorumRpc`). HTTP and WebSocket providers are
    replaced by a client of ours to the same address; any other provider, or one with request
    settings of its own (headers, a proxy), is spoken through, with its repetitions turned off.

    Raises:
        ConfigError: neither addresses nor an AsyncWeb3.
    """
    if isinstance(endpoint, str):
        return open_rpc(endpoint, timeout_s=timeout_s)
    if isinstance(endpoint, list | tuple) and all(isinstance(one, str) for one in endpoint):
        return QuorumRpc(endpoint, timeout_s=timeout_s)
    provider = getattr(endpoint, "provider", None)
    if provider is None or not getattr(provider, "is_async", False):
        raise ConfigError(
            f"connect takes node addresses or an AsyncWeb3, not {type(endpoint).__name__}"
        )
    return _client_of(provider, timeout_s=timeout_s)


def _client_of(provider: Any, *, timeout_s: float) -> Rpc:
    from web3 import AsyncHTTPProvider, WebSocketProvider  # noqa: PLC0415 - on first use

    if isinstance(provider, WebSocketProvider):
        return WsRpc(str(provider.endpoint_uri), timeout_s=timeout_s)
    if isinstance(provider, AsyncHTTPProvider):
        url = str(provider.endpoint_uri)
        settings: dict[str, Any] = dict(provider.get_request_kwargs())
        if settings == {"headers": provider.get_request_headers()}:
            return HttpRpc(url, timeout_s=timeout_s)
        once = AsyncHTTPProvider(url, request_kwargs=settings, exception_retry_configuration=None)
        return ProviderRpc(once, url=url, timeout_s=timeout_s, close=once.disconnect)
    url = str(getattr(provider, "endpoint_uri", type(provider).__name__))
    return ProviderRpc(provider, url=url, timeout_s=timeout_s)


class ProviderRpc:
    """An `Rpc` over a web3 provider that only it knows how to reach; asks each thing once."""

    def __init__(
        self,
        provider: Any,
        *,
        url: str,
        timeout_s: float,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.url = url
        self._close = close
        self._provider = provider
        self._timeout_s = timeout_s

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> Any:
        """As `Rpc.call`."""
        answer = await wire.within(
            lambda: self._once(method, params),
            attempts=1,
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            what=f"{method} from {type(self._provider).__name__}",
        )
        result = wire.outcome(answer)
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(
        self, calls: Sequence[wire.Call], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        """As `Rpc.batch`, one after the other: a provider's own batch fails as a whole."""
        results: list[Any | RpcError] = []
        for method, params in calls:
            try:
                results.append(await self.call(method, params, timeout_s=timeout_s))
            except RpcError as error:
                results.append(error)
        return results

    async def close(self) -> None:
        """Close the provider if it was made here; a user's own stays open."""
        if self._close is not None:
            await self._close()

    async def _once(self, method: str, params: Sequence[object]) -> Any:
        try:
            return await self._provider.make_request(method, params)
        except (aiohttp.ClientError, OSError) as error:
            kind = type(error).__name__
            raise NodeUnavailable(f"{wire.public_url(self.url)} was not reached ({kind})") from None


def _refuse_side_doors(method: str) -> None:
    if method.startswith("eth_send") and method not in {_SEND_TRANSACTION, _SEND_RAW}:
        raise ConfigError(f"{method} is refused: it would go around the lane; use session.send")


def _error_object(error: RpcError) -> dict[str, Any]:
    found: dict[str, Any] = {"code": error.code, "message": error.message}
    return found if error.data is None else {**found, "data": error.data}


async def _ready(value: Any) -> Any:
    return value
