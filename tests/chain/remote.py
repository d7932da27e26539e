"""An honest remote signer with a key of its own, and knobs for what can go wrong with one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import orjson
from aiohttp import web

from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import AccessListItem, Authorization, UnsignedTransaction


def number(fields: dict[str, Any], name: str) -> int:
    """A quantity of the asked transaction, 0 if it is not there."""
    return int(fields.get(name, "0x0"), 16)


def asked_for(fields: dict[str, Any]) -> UnsignedTransaction:
    """The transaction that a JSON object describes, its type told by its fields as geth does."""
    kind = 2 if "maxFeePerGas" in fields else 1 if "accessList" in fields else 0
    return UnsignedTransaction(
        type=4 if "authorizationList" in fields else kind,
        chain_id=number(fields, "chainId"),
        nonce=number(fields, "nonce"),
        to=Address(fields["to"]) if "to" in fields else None,
        value=number(fields, "value"),
        data=fields.get("data", "0x"),
        gas=number(fields, "gas"),
        gas_price=number(fields, "gasPrice"),
        max_fee_per_gas=number(fields, "maxFeePerGas"),
        max_priority_fee_per_gas=number(fields, "maxPriorityFeePerGas"),
        access_list=tuple(
            AccessListItem(
                address=Address(item["address"]),
                storage_keys=tuple(Hash(key) for key in item["storageKeys"]),
            )
            for item in fields.get("accessList", [])
        ),
        authorization_list=tuple(
            Authorization(
                chain_id=number(item, "chainId"),
                address=Address(item["address"]),
                nonce=number(item, "nonce"),
                y_parity=number(item, "yParity"),
                r=number(item, "r"),
                s=number(item, "s"),
            )
            for item in fields.get("authorizationList", [])
        ),
    )


class FakeSigner:
    """Signs what it is asked, with its key, in web3signer's, geth's and clef's words.

    `fault` makes it do something else: "silent", "cut", "500", "html", "error", "null", "garbage",
    "list", "number", "other key", or a dict of transaction fields to change before signing.
    `only` limits it to the request of that number, from 1.
    """

    def __init__(self, key: str) -> None:
        self.signer = LocalSigner(key)
        self.other = LocalSigner("0x" + "77" * 32)
        self.fault: object = None
        self.only: int | None = None
        self.wrapped = False
        self.asked: list[tuple[str, list[Any]]] = []
        self.url = ""
        self.silence = asyncio.Event()  # set to let silent answers go

    def _transaction(self, fields: dict[str, Any], fault: object) -> Any:
        unsigned = asked_for(fields)
        if isinstance(fault, dict):
            unsigned = msgspec.structs.replace(unsigned, **fault)
        signer = self.other if fault == "other key" else self.signer
        raw = signer.sign_transaction_now(unsigned).raw
        return {"raw": raw, "tx": {"hash": "0x"}} if self.wrapped else raw

    def _message(self, params: list[Any], fault: object) -> str:
        assert self.signer.address == params[-2]
        signer = self.other if fault == "other key" else self.signer
        signature = signer.sign_message_now(bytes.fromhex(params[-1][2:]))
        v = int(signature[-2:], 16) - (27 if self.wrapped else 0)
        return f"{signature[:-2]}{v:02x}"

    def result(self, method: str, params: list[Any], fault: object) -> Any:
        """What it answers when nothing breaks on the way."""
        odd = {"null": None, "garbage": "0xdeadbeef", "list": ["0x02"], "number": 5}
        if isinstance(fault, str) and fault in odd:
            return odd[fault]
        if method in {"eth_signTransaction", "account_signTransaction"}:
            return self._transaction(params[0], fault)
        assert method in {"eth_sign", "account_signData"}
        return self._message(params, fault)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request, answered or not."""
        asked = orjson.loads(await request.read())
        self.asked.append((asked["method"], asked["params"]))
        fault = self.fault if self.only in {None, len(self.asked)} else None
        match fault:
            case "silent":
                await self.silence.wait()
            case "cut":
                assert request.transport is not None
                request.transport.close()
            case "500":
                return web.Response(status=500, body=b"key store is locked")
            case "html":
                return web.Response(body=b"<html>welcome</html>")
            case "error":
                said = "Authentication needed:\n  password or unlock"
                error = {"code": -32000, "message": said}
                return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        result = self.result(asked["method"], asked["params"], fault)
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": result})


@asynccontextmanager
async def fake_signer(key: str) -> AsyncIterator[FakeSigner]:
    """Serve a fake signer on loopback."""
    fake = FakeSigner(key)
    app = web.Application()
    app.router.add_post("/{path:.*}", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        fake.silence.set()
        await runner.cleanup()
