"""Carries out a request the way a fault script says it goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from toolkit.chain.rpc import Rpc
from toolkit.devnet.faults import SENDS, STALE, Fault, FaultKind, FaultScript
from toolkit.devnet.public_pool import PublicPool
from toolkit.model.chain import Hash

REORDER_S = 0.05  # how long a call waits for another one to overtake it
LIMIT_EXCEEDED = -32005  # EIP-1474
# Where each read names its block.
_BLOCK_PLACE = {
    "eth_getBlockByNumber": 0,
    "eth_getTransactionCount": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_call": 1,
}
_NEWEST = frozenset({"latest", "pending", None})

CarryOut = Callable[[Mapping[str, Any]], Awaitable[bytes]]


class HungUp(Exception):
    """The connection is to be closed without an answer."""


class Silence(Exception):
    """No answer is to be given, and the connection left open."""


class TooManyRequests(Exception):
    """The client is to be told to slow down."""


class Injector:
    """Between a front and its clients; a script without faults leaves everything as it is."""

    def __init__(self, rpc: Rpc, pool: PublicPool, script: FaultScript) -> None:
        self.script = script
        self._rpc = rpc
        self._pool = pool
        self._overtaken = asyncio.Event()
        self._held_back = 0  # sends that wait to be overtaken

    @property
    def idle(self) -> bool:
        """Whether calls go through untouched."""
        return not (self.script.active or self._held_back)

    async def answers(self, request: Mapping[str, Any], carry_out: CarryOut) -> list[bytes]:
        """What a client gets: one answer, or two of which the second came of a repetition.

        Raises:
            HungUp, Silence, TooManyRequests: none.
        """
        method = str(request.get("method"))
        faults = {each.kind: each for each in self.script.draw(method)}
        if not faults:
            answer = await carry_out(request)
            if method in SENDS:
                self._overtaken.set()
            return [answer]
        return await self._struck(request, carry_out, faults)

    async def _struck(
        self,
        request: Mapping[str, Any],
        carry_out: CarryOut,
        faults: Mapping[FaultKind, Fault],
    ) -> list[bytes]:
        if FaultKind.REFUSE_BEFORE in faults:
            raise HungUp
        if FaultKind.TOO_MANY_REQUESTS in faults:
            raise TooManyRequests
        if fault := faults.get(FaultKind.ERROR):
            error = {"code": fault.code, "message": fault.message}
            answers = [_document(request, "error", error)]
        elif fault := faults.get(FaultKind.ANSWER):
            answers = [_document(request, "result", fault.result)]
        elif fault := faults.get(FaultKind.STALE_READ):
            answers = [await self._stale(request, carry_out, fault.blocks)]
        else:
            answers = await self._accepted(request, carry_out, faults)
        if fault := faults.get(FaultKind.LAG):
            await asyncio.sleep(fault.seconds)
        return answers

    async def _accepted(
        self,
        request: Mapping[str, Any],
        carry_out: CarryOut,
        faults: Mapping[FaultKind, Fault],
    ) -> list[bytes]:
        if FaultKind.REORDER in faults:
            await self._be_overtaken()
        answers = [await carry_out(request)]
        if FaultKind.TIMEOUT_AFTER_ACCEPT in faults:
            raise Silence
        if FaultKind.DUPLICATE in faults:
            answers.append(await carry_out(request))
        answer = orjson.loads(answers[-1])
        if FaultKind.DROP_AFTER_ACCEPT in faults and "result" in answer:
            self._pool.remove(Hash(answer["result"]))
        if (fault := faults.get(FaultKind.WRONG_CODE)) and "error" in answer:
            answer["error"]["code"] = fault.code
            answers = [orjson.dumps(answer)]
        self._overtaken.set()
        return answers

    async def _be_overtaken(self) -> None:
        self._overtaken.clear()
        self._held_back += 1
        try:
            async with asyncio.timeout(REORDER_S):
                await self._overtaken.wait()
        except TimeoutError:
            return  # safe because nothing came that could overtake it
        finally:
            self._held_back -= 1

    async def _stale(self, request: Mapping[str, Any], carry_out: CarryOut, blocks: int) -> bytes:
        """The answer of a node that is so many blocks behind, and has heard of nothing since."""
        method, params = str(request["method"]), list(request.get("params") or [])
        assert method in STALE
        seen = max(0, self._pool.mempool.chain.number - blocks)
        if method == "eth_blockNumber":
            return _document(request, "result", hex(seen))
        place = _BLOCK_PLACE.get(method)
        if place is not None:
            if (params[place] if place < len(params) else None) in _NEWEST:
                params[place:] = [hex(seen), *params[place + 1 :]]
            return await carry_out({**request, "params": params})
        answer = orjson.loads(await carry_out(request))
        found = answer.get("result")
        if isinstance(found, dict):
            number = found.get("blockNumber")
            if number is None or int(number, 16) > seen:
                answer["result"] = None
        return orjson.dumps(answer)


def _document(request: Mapping[str, Any], name: str, content: object) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": request.get("id"), name: content})
