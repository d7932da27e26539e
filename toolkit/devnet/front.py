"""The devnet's JSON-RPC for clients, over HTTP and WebSocket: Anvil's, except that blocks are
sealed by the market of builders and nothing is seen of a block that is being built.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from toolkit.devnet.gate import Gate
from toolkit.devnet.web import MAX_BODY_BYTES
from toolkit.model.errors import DevnetError, ToolkitError

MAX_BLOCKS_PER_CALL = 10_000
_JSON = {"Content-Type": "application/json"}
_SEALING = frozenset({"evm_mine", "anvil_mine", "hardhat_mine"})
_TIME = "evm_setNextBlockTimestamp"
_PARSE_ERROR, _INVALID_PARAMS, _INTERNAL = -32700, -32602, -32603
_REFUSED = {
    method: f"{method} is off on the devnet: the market of builders seals every block"
    for method in ("evm_setAutomine", "evm_setIntervalMining", "anvil_setIntervalMining")
} | {
    method: f"{method} is off on the devnet: nothing of the twin would be left; start another"
    for method in ("anvil_reset", "hardhat_reset")
}


@dataclass(slots=True, kw_only=True, eq=False)
class Front:
    """Passes requests to Anvil and answers a few itself."""

    anvil_url: str
    seal: Callable[[], Awaitable[object]] = field(repr=False)
    info: Mapping[str, object]
    gate: Gate = field(repr=False)  # closed while a block is being sealed
    session: aiohttp.ClientSession = field(repr=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request, or take over a WebSocket."""
        upgrade = web.WebSocketResponse(max_msg_size=MAX_BODY_BYTES)
        if upgrade.can_prepare(request).ok:
            await upgrade.prepare(request)
            await self._talk(upgrade)
            return upgrade
        answer = await self._answer(await request.read())
        return web.Response(body=answer, content_type="application/json")

    async def _answer(self, body: bytes) -> bytes:
        try:
            request = orjson.loads(body)
        except ValueError:
            return orjson.dumps(_error(None, _PARSE_ERROR, "the body is not JSON"))
        if not isinstance(request, list):
            own = await self._own(request)
            return await self._forward(body) if own is None else orjson.dumps(own)
        if not any(_is_own(each) for each in request):
            return await self._forward(body)
        # A batch that seals is carried out item by item: what comes later sees the new block.
        answers = [orjson.loads(await self._answer(orjson.dumps(each))) for each in request]
        return orjson.dumps(answers)

    async def _forward(self, body: bytes) -> bytes:
        try:
            async with (
                self.gate.passage(),
                self.session.post(self.anvil_url, data=body, headers=_JSON) as response,
            ):
                return await response.read()
        except aiohttp.ClientError as error:
            return _unanswered(body, error)

    async def _own(self, request: object) -> dict[str, Any] | None:
        """Answer a request that is not Anvil's business; None if it is."""
        if not isinstance(request, dict) or not _is_own(request):
            return None
        number, method = request.get("id"), _method(request)
        try:
            if method in _REFUSED:
                return _error(number, _INVALID_PARAMS, _REFUSED[method])
            if method == "toolkit_info":
                return _result(number, self.info)
            await self._mine(method, request.get("params") or [])
        except ToolkitError as error:
            return _error(number, _INTERNAL, str(error))
        except (ValueError, TypeError):
            text = f"{method}: parameters are no numbers: {request.get('params')!r}"
            return _error(number, _INVALID_PARAMS, text)
        return _result(number, "0x0" if method == "evm_mine" else None)

    async def _mine(self, method: str, params: object) -> None:
        """`evm_mine [time | {timestamp, blocks}]`, `anvil_mine [count, seconds between]`."""
        if not isinstance(params, list):
            raise TypeError(params)
        count, interval, timestamp = 1, None, None
        if method == "evm_mine":
            first = params[0] if params else None
            options = first if isinstance(first, dict) else {"timestamp": first}
            timestamp = _number(options.get("timestamp"))
            count = _number(options.get("blocks")) or 1
        else:
            count = 1 if not params else _number(params[0]) or 0
            interval = _number(params[1]) if len(params) > 1 else None
        if not 0 <= count <= MAX_BLOCKS_PER_CALL:
            raise ValueError(count)
        for index in range(count):
            if timestamp is not None and index == 0:
                await self._call(_TIME, timestamp)
            elif interval is not None and index:
                block = await self._call("eth_getBlockByNumber", "latest", False)
                await self._call(_TIME, int(block["timestamp"], 16) + interval)
            await self.seal()

    async def _call(self, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = orjson.loads(await self._forward(orjson.dumps(body)))
        if "error" in answer:
            raise DevnetError(f"{method} {list(params)}: {answer['error'].get('message')}")
        return answer.get("result")

    async def _talk(self, client: web.WebSocketResponse) -> None:
        """Answer a WebSocket's requests; subscriptions get a connection to Anvil of their own."""
        line = _Subscriptions(session=self.session, anvil_url=self.anvil_url, client=client)
        try:
            async for message in client:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                request = _parsed(message.data)
                if _is_subscription(request):
                    await line.pass_on(message.data, request)
                else:
                    await client.send_str((await self._answer(message.data.encode())).decode())
        finally:
            await line.close()


@dataclass(slots=True, kw_only=True, eq=False)
class _Subscriptions:
    """A client's subscriptions at Anvil, over one connection that is opened on first use."""

    session: aiohttp.ClientSession
    anvil_url: str
    client: web.WebSocketResponse
    anvil: aiohttp.ClientWebSocketResponse | None = None
    pump: asyncio.Task[None] | None = None

    async def pass_on(self, text: str, request: object) -> None:
        try:
            if self.anvil is None:
                url = self.anvil_url.replace("http", "ws", 1)
                self.anvil = await self.session.ws_connect(url, max_msg_size=MAX_BODY_BYTES)
                self.pump = asyncio.create_task(_pump(self.anvil, self.client))
            await self.anvil.send_str(text)
        except (aiohttp.ClientError, ConnectionError) as error:
            number = request.get("id") if isinstance(request, dict) else None
            answer = _error(number, _INTERNAL, _gone(error))
            await self.client.send_str(orjson.dumps(answer).decode())

    async def close(self) -> None:
        if self.pump is not None:
            self.pump.cancel()
            await asyncio.gather(self.pump, return_exceptions=True)
        if self.anvil is not None:
            await self.anvil.close()


async def _pump(anvil: aiohttp.ClientWebSocketResponse, client: web.WebSocketResponse) -> None:
    async for message in anvil:
        if message.type is aiohttp.WSMsgType.TEXT:
            await client.send_str(message.data)
    await client.close()


def _gone(error: Exception) -> str:
    return f"the devnet's anvil does not answer ({type(error).__name__}); it may have died"


def _unanswered(body: bytes, error: Exception) -> bytes:
    """An error for every request in the body, each with its own id."""
    request = _parsed(body)
    if isinstance(request, list):
        ids = [each.get("id") if isinstance(each, dict) else None for each in request]
        return orjson.dumps([_error(number, _INTERNAL, _gone(error)) for number in ids])
    number = request.get("id") if isinstance(request, dict) else None
    return orjson.dumps(_error(number, _INTERNAL, _gone(error)))


def _parsed(text: str | bytes) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _method(request: object) -> str:
    """The method of a request; "" where it names none."""
    method = request.get("method") if isinstance(request, dict) else None
    return method if isinstance(method, str) else ""


def _is_own(request: object) -> bool:
    method = _method(request)
    return method in _SEALING or method in _REFUSED or method == "toolkit_info"


def _is_subscription(request: object) -> bool:
    return _method(request) in {"eth_subscribe", "eth_unsubscribe"}


def _number(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        return int(value, 0)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(value)


def _result(number: object, result: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _error(number: object, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
