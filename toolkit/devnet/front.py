"""The devnet's JSON-RPC for clients, over HTTP and WebSocket.

It is Anvil's, except that public transactions live in a pool with a real client's rules, blocks
are sealed by the market of builders, and nothing is seen of a block that is being built.

`eth_call`, `eth_estimateGas`, `eth_getBalance` and the like on "pending" see the latest state with
the next block's environment: pooled transactions are not executed beforehand.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from toolkit.chain.rpc import Rpc
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.entries import EntryError
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.injection import LIMIT_EXCEEDED, HungUp, Injector, Silence, TooManyRequests
from toolkit.devnet.mempool import PoolRefusal
from toolkit.devnet.pool_answers import PoolAnswers
from toolkit.devnet.reorgs import ChainEdits
from toolkit.devnet.subscriptions import (
    PendingFilters,
    Subscriptions,
    filter_answer,
    is_subscription,
)
from toolkit.devnet.web import MAX_BODY_BYTES, body_of, request_id
from toolkit.model.errors import RpcError, ToolkitError

MAX_BLOCKS_PER_CALL = 10_000
MAX_OPEN_REQUESTS = 1_000  # of one WebSocket; more are read once some are answered
_JSON = {"Content-Type": "application/json"}
_SEALING = frozenset({"evm_mine", "anvil_mine", "hardhat_mine"})
_TIME = "evm_setNextBlockTimestamp"
_PARSE_ERROR, _METHOD_NOT_FOUND, _INTERNAL = -32700, -32601, -32603
_REFUSED = (
    {
        method: f"{method} is off on the devnet: the market of builders seals every block"
        for method in (
            *("evm_setAutomine", "evm_setIntervalMining", "anvil_setIntervalMining"),
            *("anvil_mine_detailed", "evm_mine_detailed"),
        )
    }
    | {
        method: f"{method} is off on the devnet: nothing of the twin would be left; start another"
        for method in ("anvil_reset", "hardhat_reset")
    }
    | {
        method: f"{method} is off on the devnet: send without Sync, seal, and ask for the receipt"
        for method in ("eth_sendTransactionSync", "eth_sendRawTransactionSync")
    }
)

_RELAYS = frozenset(
    {
        *("eth_sendBundle", "eth_callBundle", "eth_cancelBundle", "eth_sendPrivateTransaction"),
        *("eth_sendPrivateRawTransaction", "eth_cancelPrivateTransaction"),
    }
)
_FILTERS = frozenset(
    {
        *("eth_newPendingTransactionFilter", "eth_getFilterChanges"),
        *("eth_getFilterLogs", "eth_uninstallFilter"),
    }
)
_OWN = frozenset({*_SEALING, *_REFUSED, *_RELAYS, *_FILTERS, "toolkit_info"})
_REQUESTS = frozenset({aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY})  # web3.py sends bytes
_HOLD_TICK_S = 0.05
_LIMIT = "rate limit exceeded"
_ANVILS = object()  # an answer that is Anvil's to give


class Front:
    """Passes requests to Anvil and answers what is the pool's, the market's or its own business.

    Args:
        rpc: straight to Anvil.
        market: seals blocks, and owns the gate and the public pool.
        seal: how a client's wish for a block is fulfilled.
        info: what `toolkit_info` answers.
        session: for what is passed on as it came.
        faults: what goes wrong on the way.
    """

    def __init__(
        self,
        rpc: Rpc,
        market: Market,
        *,
        seal: Callable[[], Awaitable[object]],
        info: Mapping[str, Any],
        session: aiohttp.ClientSession,
        faults: FaultScript,
    ) -> None:
        self._rpc = rpc
        self._gate = market.gate
        self._pool = market.pool
        self._seal = seal
        self._info = info
        self._session = session
        self._answers = PoolAnswers(rpc, market.pool)
        self._filters = PendingFilters(market.pool)
        self._injector = Injector(rpc, market.pool, faults)
        self.edits = ChainEdits(rpc, market)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request, or take over a WebSocket."""
        upgrade = web.WebSocketResponse(max_msg_size=MAX_BODY_BYTES)
        if upgrade.can_prepare(request).ok:
            await upgrade.prepare(request)
            await self._talk(upgrade, request)
            return upgrade
        try:
            answers = await self._answers_to(await body_of(request))
        except TooManyRequests:
            body = orjson.dumps(_error(None, LIMIT_EXCEEDED, _LIMIT))
            return web.Response(status=429, body=body, content_type="application/json")
        except (HungUp, Silence) as fault:
            if isinstance(fault, Silence):
                await self._hold(request)
            _hang_up(request)
            return web.Response()
        return web.Response(body=answers[-1], content_type="application/json")

    async def _answers_to(self, body: bytes) -> list[bytes]:
        """One answer; several only where a fault repeats it."""
        try:
            request = orjson.loads(body)
        except ValueError:
            return [orjson.dumps(_error(None, _PARSE_ERROR, "the body is not JSON"))]
        if not isinstance(request, list):
            return await self._one(request, body)
        if self._injector.idle and not any(self._is_own(each) for each in request):
            return [await self._forward(body)]
        # A batch is carried out item by item: what comes later sees what came before.
        answers = [(await self._one(each, orjson.dumps(each)))[-1] for each in request]
        return [b"[" + b",".join(answers) + b"]"]

    async def _one(self, request: object, body: bytes) -> list[bytes]:
        if not isinstance(request, dict) or not _method(request):
            return [await self._forward(body)]
        if self._injector.idle:
            return [await self._carry_out(request, body)]
        return await self._injector.answers(request, self._carry_out)

    async def _carry_out(self, request: Mapping[str, Any], body: bytes | None = None) -> bytes:
        if not self._is_own(request):
            return await self._forward(body or orjson.dumps(request))
        number, method = request.get("id"), _method(request)
        try:
            found = await self._own(method, _params(request))
        except (EntryError, PoolRefusal) as error:
            answer = _error(number, error.code, error.message)
        except RpcError as error:
            answer = _error(number, error.code, error.message, error.data)
        except ToolkitError as error:
            answer = _error(number, _INTERNAL, str(error))
        else:
            if found is _ANVILS:
                return await self._forward(body or orjson.dumps(request))
            answer = _result(number, found)
        return orjson.dumps(answer)

    async def _hold(self, request: web.Request) -> None:
        """Leave a request open until its client gives up, at most as long as the script says."""
        ticks = math.ceil(self._injector.script.hold_s / _HOLD_TICK_S)
        for _ in range(ticks):
            if request.transport is None or request.transport.is_closing():
                return
            await asyncio.sleep(_HOLD_TICK_S)

    async def _own(self, method: str, params: Sequence[Any]) -> Any:
        """The result of a request that is not Anvil's business, `_ANVILS` if it is after all."""
        if method in _REFUSED:
            raise EntryError(_REFUSED[method])
        if method in _RELAYS:
            raise EntryError(_elsewhere(method, self._info), code=_METHOD_NOT_FOUND)
        if method == "toolkit_info":
            return self._info
        if method in _SEALING:
            try:
                await self._mine(method, params)
            except (ValueError, TypeError):
                raise EntryError(f"{method}: parameters are no numbers: {params!r}") from None
            return "0x0" if method == "evm_mine" else None
        if method in _FILTERS:
            async with self._gate.passage():
                found = filter_answer(self._filters, method, params)
                return _ANVILS if found is None else found
        answer = self._answers.answer_to(method, params)
        if answer is None:
            return await self.edits.apply(method, params)
        async with self._gate.passage():
            return await answer(params)

    def _is_own(self, request: object) -> bool:
        method = _method(request)
        if method in _OWN or method in self._answers.methods or self.edits.concerns(method):
            return True
        if method not in self._answers.pending_methods:
            return False
        assert isinstance(request, dict)
        return self._answers.answer_to(method, request.get("params")) is not None

    async def _forward(self, body: bytes) -> bytes:
        try:
            async with (
                self._gate.passage(),
                self._session.post(self._rpc.url, data=body, headers=_JSON) as response,
            ):
                return await response.read()
        except aiohttp.ClientError as error:
            return _unanswered(body, error)

    async def _mine(self, method: str, params: Sequence[Any]) -> None:
        """`evm_mine [time | {timestamp, blocks}]`, `anvil_mine [count, seconds between]`."""
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
                await self._time(timestamp)
            elif interval is not None and index:
                block = await self._rpc.call("eth_getBlockByNumber", ("latest", False))
                await self._time(int(block["timestamp"], 16) + interval)
            await self._seal()

    async def _time(self, timestamp: int) -> None:
        async with self._gate.passage():
            await self._rpc.call(_TIME, (timestamp,))

    async def _talk(self, client: web.WebSocketResponse, request: web.Request) -> None:
        """Answer a WebSocket's requests as they come, each by itself, as nodes do."""
        line = Subscriptions(
            session=self._session, anvil_url=self._rpc.url, client=client, pool=self._pool
        )
        room = asyncio.Semaphore(MAX_OPEN_REQUESTS)
        try:
            async with asyncio.TaskGroup() as tasks:
                async for message in client:
                    if message.type in _REQUESTS:
                        await room.acquire()
                        reply = self._reply(client, line, message.data, request)
                        tasks.create_task(reply).add_done_callback(lambda _: room.release())
        finally:
            await line.close()

    async def _reply(
        self,
        client: web.WebSocketResponse,
        line: Subscriptions,
        body: str | bytes,
        origin: web.Request,
    ) -> None:
        request = _parsed(body)
        number = request_id(request)
        try:
            if isinstance(request, dict) and is_subscription(_method(request)):
                await line.handle(request)
                return
            body = body if isinstance(body, bytes) else body.encode()
            for answer in await self._answers_to(body):
                await client.send_str(answer.decode())
        except HungUp:
            _hang_up(origin)
        except Silence:
            return  # the client waits for an answer that does not come
        except TooManyRequests:
            await _send(client, _error(number, LIMIT_EXCEEDED, _LIMIT))
        except ConnectionError:
            return  # safe because the client is gone, and nobody waits for this answer
        except aiohttp.ClientError as error:
            await _send(client, _error(number, _INTERNAL, _gone(error)))


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _send(client: web.WebSocketResponse, document: Mapping[str, Any]) -> None:
    with contextlib.suppress(ConnectionError):  # safe because nobody waits for this answer then
        await client.send_str(orjson.dumps(document).decode())


def _gone(error: Exception) -> str:
    return f"the devnet's anvil does not answer ({type(error).__name__}); it may have died"


def _unanswered(body: bytes, error: Exception) -> bytes:
    """An error for every request in the body, each with its own id."""
    request = _parsed(body)
    if isinstance(request, list):
        ids = [request_id(each) for each in request]
        return orjson.dumps([_error(number, _INTERNAL, _gone(error)) for number in ids])
    return orjson.dumps(_error(request_id(request), _INTERNAL, _gone(error)))


def _parsed(text: str | bytes) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _elsewhere(method: str, info: Mapping[str, Any]) -> str:
    """Where a method is taken that no node has, though many look for it there."""
    relays = ", ".join(f"{each['name']} {each['url']}" for each in info.get("relays") or ())
    where = f"ask one of {relays}" if relays else "there are none here: start toolkit devnet"
    return f"{method} is for the relay of a builder, not for a node; {where}"


def _method(request: object) -> str:
    """The method of a request; "" where it names none, or has an id that is no id."""
    if not isinstance(request, dict) or request_id(request) != request.get("id"):
        return ""  # Anvil refuses it
    method = request.get("method")
    return method if isinstance(method, str) else ""


def _params(request: Mapping[str, Any]) -> Sequence[Any]:
    params = request.get("params") or []
    if not isinstance(params, list):
        raise EntryError("params is not a list")
    return params


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


def _error(number: object, code: int, message: str, data: object = None) -> dict[str, Any]:
    error: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": number, "error": error}
