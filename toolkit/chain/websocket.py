"""JSON-RPC over one WebSocket: many requests in flight, and subscriptions."""

import asyncio
import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from toolkit.chain import wire
from toolkit.model.errors import BusOverflow, NodeError, NodeUnavailable, RpcError, ToolkitError

_MESSAGE_BYTES = 64 * 1024 * 1024
_PING_S = 20.0
_QUEUED = 4096
_CLOSING = aiohttp.ClientWSTimeout(ws_close=1.0)


class _Redirected(aiohttp.ClientError):
    """The node's host names another one."""


def _staying() -> aiohttp.TraceConfig:
    """Refuse what the client would follow: signed bytes go to the host that was configured."""

    async def refuse(
        _session: aiohttp.ClientSession,
        _context: object,
        redirect: aiohttp.TraceRequestRedirectParams,
    ) -> None:
        redirect.response.close()
        raise _Redirected

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config


class Subscription:
    """Events of one `eth_subscribe`, in order.

    Iteration ends only by `close`. A lost connection is not healed silently, because events were
    missed: it raises NodeUnavailable, and the reader subscribes again and fills its gap. A reader
    that falls 4,096 events behind gets BusOverflow.
    """

    def __init__(self, rpc: "WsRpc") -> None:
        self._rpc = rpc
        self._events: asyncio.Queue[Any] = asyncio.Queue(_QUEUED)
        self._ended: ToolkitError | StopAsyncIteration | None = None
        self._wake = asyncio.Event()
        self.number = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while self._events.empty():
            if self._ended is not None:
                raise self._ended
            self._wake.clear()
            await self._wake.wait()
        return self._events.get_nowait()

    async def close(self) -> None:
        """Unsubscribe; waiting readers stop."""
        if self._ended is None:
            self.end(StopAsyncIteration())
            await self._rpc.drop(self)

    def put(self, event: object) -> None:
        """Take an event from the connection's reader."""
        if self._ended is not None:
            return
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self.end(BusOverflow(f"a subscription fell {_QUEUED} events behind"))
        self._wake.set()

    def end(self, reason: ToolkitError | StopAsyncIteration) -> None:
        """Let the reader see `reason` after what it has not read yet."""
        self._ended = self._ended or reason
        self._wake.set()


class WsRpc:
    """JSON-RPC over one WebSocket connection, opened on first use and again after a loss.

    Requests share the connection. When it is lost, every request in flight fails with
    NodeUnavailable (idempotent ones are repeated, at most `retries` times), and every subscription
    ends with that error.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, retries: int = 2) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._retries = retries
        self._numbers = itertools.count(1)
        self._pending: dict[int, tuple[asyncio.Future[Any], Subscription | None]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    def __repr__(self) -> str:
        """Name the endpoint without its credentials."""
        return f"WsRpc({wire.public_url(self.url)})"

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
        """As `toolkit.chain.rpc.Rpc.call`."""
        [result] = await self._ask([(method, params)], timeout_s=timeout_s)
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(
        self, calls: Sequence[wire.Call], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        """As `toolkit.chain.rpc.Rpc.batch`."""
        return await self._ask(calls, timeout_s=timeout_s)

    async def subscribe(self, kind: str, *params: object) -> Subscription:
        """Subscribe to `newHeads`, `logs`, `newPendingTransactions` and their like.

        Raises:
            RpcError: the node does not know this kind.
        """
        subscription = Subscription(self)
        [result] = await self._ask([("eth_subscribe", [kind, *params])], subscription=subscription)
        if isinstance(result, RpcError):
            raise result
        return subscription

    async def drop(self, subscription: Subscription) -> None:
        """Unsubscribe at the node, if the connection that knows the subscription still lives."""
        if self._subscriptions.pop(subscription.number, None) is not None:
            await self.call("eth_unsubscribe", [subscription.number])

    async def close(self) -> None:
        """Close the connection; requests in flight fail, subscriptions end."""
        # Closing the socket ends its reader; a cancelled one would leave the connection open.
        socket, reader = self._socket, self._reader
        if socket is not None:
            await socket.close()
        if reader is not None:
            await asyncio.wait([reader])
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(
        self,
        calls: Sequence[wire.Call],
        *,
        timeout_s: float | None = None,
        subscription: Subscription | None = None,
    ) -> list[Any | RpcError]:
        repeatable = all(wire.is_idempotent(method) for method, _ in calls)
        what = calls[0][0] if len(calls) == 1 else f"a batch of {len(calls)}"
        return await wire.within(
            lambda: self._exchange(calls, subscription),
            attempts=1 + self._retries if repeatable else 1,
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            what=f"{what} from {wire.public_url(self.url)}",
        )

    async def _exchange(
        self, calls: Sequence[wire.Call], subscription: Subscription | None
    ) -> list[Any | RpcError]:
        numbers = list(itertools.islice(self._numbers, len(calls)))
        encoded = [wire.encode(call, n) for call, n in zip(calls, numbers, strict=True)]
        socket = await self._connected()
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in numbers]
        for number, future in zip(numbers, futures, strict=True):
            self._pending[number] = (future, subscription)
        try:
            for chunk in wire.chunks(encoded):
                frame = chunk[0] if len(calls) == 1 else b"[" + b",".join(chunk) + b"]"
                await socket.send_str(frame.decode())
            await asyncio.wait(futures) if futures else None
            return [future.result() for future in futures]
        except (aiohttp.ClientError, OSError) as error:
            kind = type(error).__name__
            where = wire.public_url(self.url)
            raise NodeUnavailable(f"connection to {where} was lost ({kind})") from None
        finally:
            for number, future in zip(numbers, futures, strict=True):
                self._pending.pop(number, None)
                if future.done() and not future.cancelled():
                    future.exception()  # seen: one lost connection fails many futures at once

    async def _connected(self) -> aiohttp.ClientWebSocketResponse:
        async with self._connecting:
            if self._socket is not None and not self._socket.closed:
                return self._socket
            if self._session is None:
                self._session = aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=None), trace_configs=[_staying()]
                )
            where = wire.public_url(self.url)
            try:
                socket = await self._session.ws_connect(
                    self.url,
                    max_msg_size=_MESSAGE_BYTES,
                    heartbeat=_PING_S,
                    timeout=_CLOSING,
                )
            except (aiohttp.ClientError, OSError) as error:
                kind = type(error).__name__
                raise NodeUnavailable(f"no connection to {where} ({kind})", sent=False) from None
            self._socket = socket
            self._reader = asyncio.create_task(self._read(socket), name=f"reader of {where}")
            return socket

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        where = wire.public_url(self.url)
        reason: ToolkitError = NodeUnavailable(f"connection to {where} was lost")
        try:
            async for message in socket:
                if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                    self._dispatch(wire.decode(message.data, where))
        except NodeError as error:
            reason = error
        finally:
            if self._socket is socket:
                self._socket = None
            self._fail(reason)
            await socket.close()

    def _dispatch(self, message: object) -> None:
        for item in message if isinstance(message, list) else [message]:
            if not isinstance(item, dict):
                raise NodeError("the node sent a frame that is no JSON-RPC object")
            if item.get("method") == "eth_subscription":
                self._notify(item.get("params"))
            elif item.get("id") is None:
                # The node could not read a frame, so nobody's answer can be told apart any more.
                said = "an answer without a number" if item.get("error") is None else item["error"]
                raise wire.rpc_error(said)
            else:
                self._answer(item)

    def _notify(self, params: object) -> None:
        if not isinstance(params, dict) or "result" not in params:
            raise NodeError("the node sent a subscription event without a result")
        # An unknown number is an event that was under way when we unsubscribed.
        known = self._subscriptions.get(str(params.get("subscription")))
        if known is not None:
            known.put(params["result"])

    def _answer(self, item: dict[str, Any]) -> None:
        # An unknown number is an answer that came after its deadline: nobody waits for it.
        future, subscription = self._pending.pop(wire.number_of(item["id"]), (None, None))
        result = wire.outcome(item)
        if subscription is not None and not isinstance(result, RpcError):
            # Registered here, not by the caller: its first event may be the next frame.
            subscription.number = str(result)
            self._subscriptions[subscription.number] = subscription
        if future is not None and not future.done():
            future.set_result(result)

    def _fail(self, reason: ToolkitError) -> None:
        pending, self._pending = self._pending, {}
        for future, _ in pending.values():
            if not future.done():
                future.set_exception(reason)
        subscriptions, self._subscriptions = self._subscriptions, {}
        for subscription in subscriptions.values():
            subscription.end(reason)
