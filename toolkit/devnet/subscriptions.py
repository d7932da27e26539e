"""Who hears of public transactions: WebSocket subscriptions, and filters to poll.

Subscriptions to heads and logs are Anvil's own; those to pending transactions are served from the
pool, so that nobody hears of a bundle's transactions while a block is being sealed.
"""

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from toolkit.devnet.mempool import PooledTransaction
from toolkit.devnet.pool_answers import described
from toolkit.devnet.public_pool import PublicPool
from toolkit.devnet.web import MAX_BODY_BYTES

MAX_FILTERS = 1_000
MAX_UNHEARD = 100_000  # what is kept for a listener that does not read; the oldest goes first
_OURS = 0x706F6F6C  # "pool": tells our ids from Anvil's random ones


class PendingFilters:
    """`eth_newPendingTransactionFilter` and what polls it."""

    def __init__(self, pool: PublicPool) -> None:
        self._pool = pool
        self._numbers = itertools.count(1)
        self._filters: OrderedDict[str, _Filter] = OrderedDict()

    def open(self, *, full: bool) -> str:
        """Start a filter; its id. The least recently opened one beyond 1,000 is closed."""
        name = _name(next(self._numbers))
        self._filters[name] = _Filter(self._pool, full=full)
        if len(self._filters) > MAX_FILTERS:
            self.close(next(iter(self._filters)))
        return name

    def changes(self, name: object) -> list[object] | None:
        """What became executable since the last time; None for a filter that is not ours."""
        found = self._filters.get(str(name))
        return None if found is None else found.take()

    def close(self, name: object) -> bool:
        """End a filter; whether it was ours."""
        found = self._filters.pop(str(name), None)
        if found is not None:
            found.end()
        return found is not None


class _Filter:
    def __init__(self, pool: PublicPool, *, full: bool) -> None:
        self._full = full
        self._found: deque[PooledTransaction] = deque(maxlen=MAX_UNHEARD)
        self.end = pool.listen(self._found.append)

    def take(self) -> list[object]:
        found = [_shown(each, full=self._full) for each in self._found]
        self._found.clear()
        return found


@dataclass(slots=True, kw_only=True, eq=False)
class Subscriptions:
    """One WebSocket client's subscriptions.

    Those that Anvil serves go over one connection to it, opened on first use.
    """

    session: aiohttp.ClientSession
    anvil_url: str
    client: web.WebSocketResponse
    pool: PublicPool
    _anvil: aiohttp.ClientWebSocketResponse | None = None
    _pumps: list[asyncio.Task[None]] = field(default_factory=list)
    _own: dict[str, Callable[[], None]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def handle(self, request: dict[str, Any]) -> None:
        """Answer `eth_subscribe` or `eth_unsubscribe`.

        Raises:
            ClientError, ConnectionError: Anvil cannot be reached.
        """
        params = request.get("params")
        wanted = params[0] if isinstance(params, list) and params else None
        if request.get("method") == "eth_subscribe" and wanted == "newPendingTransactions":
            assert isinstance(params, list)
            await self._subscribe(request.get("id"), full=params[1:2] == [True])
        elif request.get("method") == "eth_unsubscribe" and str(wanted) in self._own:
            self._own.pop(str(wanted))()
            await self._send({"jsonrpc": "2.0", "id": request.get("id"), "result": True})
        else:
            await self._pass_on(request)

    async def close(self) -> None:
        """End all of them."""
        for end in self._own.values():
            end()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        if self._anvil is not None:
            await self._anvil.close()

    async def _subscribe(self, number: object, *, full: bool) -> None:
        name = _name(next(self._numbers))
        heard: asyncio.Queue[PooledTransaction] = asyncio.Queue()
        unlisten = self.pool.listen(heard.put_nowait)
        await self._send({"jsonrpc": "2.0", "id": number, "result": name})
        pump = asyncio.create_task(self._tell(name, heard, full=full))
        self._pumps.append(pump)

        def end() -> None:
            unlisten()
            pump.cancel()

        self._own[name] = end

    async def _tell(
        self, name: str, heard: "asyncio.Queue[PooledTransaction]", *, full: bool
    ) -> None:
        while heard.qsize() <= MAX_UNHEARD:
            result = _shown(await heard.get(), full=full)
            params = {"subscription": name, "result": result}
            await self._send({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})
        await self.client.close()  # it does not read what it asked for; geth hangs up too

    async def _pass_on(self, request: dict[str, Any]) -> None:
        if self._anvil is None:
            url = self.anvil_url.replace("http", "ws", 1)
            self._anvil = await self.session.ws_connect(url, max_msg_size=MAX_BODY_BYTES)
            self._pumps.append(asyncio.create_task(_pump(self._anvil, self.client)))
        await self._anvil.send_str(orjson.dumps(request).decode())

    async def _send(self, document: dict[str, Any]) -> None:
        await self.client.send_str(orjson.dumps(document).decode())


async def _pump(anvil: aiohttp.ClientWebSocketResponse, client: web.WebSocketResponse) -> None:
    async for message in anvil:
        if message.type is aiohttp.WSMsgType.TEXT:
            await client.send_str(message.data)
    await client.close()


def _shown(tx: PooledTransaction, *, full: bool) -> object:
    return described(tx) if full else tx.hash


def _name(number: int) -> str:
    return f"0x{_OURS:08x}{number:024x}"


def is_subscription(method: str) -> bool:
    """Whether a request opens or ends a subscription, which takes a WebSocket."""
    return method in {"eth_subscribe", "eth_unsubscribe"}


def filter_answer(filters: PendingFilters, method: str, params: Sequence[Any]) -> object | None:
    """Answer a filter's request; None where the filter is Anvil's."""
    if method == "eth_newPendingTransactionFilter":
        return filters.open(full=list(params[:1]) == [True])
    name = params[0] if params else None
    if method in {"eth_getFilterChanges", "eth_getFilterLogs"}:
        return filters.changes(name)
    if method == "eth_uninstallFilter":
        return filters.close(name) or None
    return None
