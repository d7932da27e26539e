from typing import Any

import orjson
from aiohttp import web

from toolkit.chain.hashing import keccak
from toolkit.chain.signer import recover_message
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.orders import INVALID_REQUEST, OrderError
from toolkit.devnet.web import WebServer, listen, serve
from toolkit.model.chain import Address
from toolkit.model.errors import SignerError

SIGNATURE_HEADER = "X-Flashbots-Signature"
_SIGNATURE_DIGITS = 2 + 2 * 65
_PARSE_ERROR = -32700


async def serve_relay(builder: Builder) -> WebServer:
    """Offer a builder's relay on a loopback port of its own; every request must be signed."""

    async def handle(request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405, text="use POST")
        body = await request.read()
        return _answer(await _respond(builder, body, request.headers.get(SIGNATURE_HEADER)))

    return await serve(handle, listen(what=f"relay of {builder.name}"))


def authenticate(header: str | None, body: bytes) -> Address:
    """Who signed exactly these bytes.

    The header is `<address>:<signature>`, the signature EIP-191 over the text of the body's
    keccak256 as 0x hex. Key order and spaces count.

    Raises:
        OrderError: missing, malformed, or by another address than the one it claims.
    """
    if not header:
        raise OrderError(INVALID_REQUEST, f"signature is required in {SIGNATURE_HEADER}")
    claimed, _, signature = header.partition(":")
    if len(signature) != _SIGNATURE_DIGITS or not signature.startswith("0x"):
        raise OrderError(INVALID_REQUEST, "signature is not 0x and 65 bytes of hex")
    try:
        signer = recover_message(("0x" + keccak(body).hex()).encode(), signature)
    except SignerError as error:
        raise OrderError(INVALID_REQUEST, f"invalid signature: {error}") from None
    if signer != claimed.lower():
        raise OrderError(INVALID_REQUEST, f"signing address mismatch: {claimed} did not sign this")
    return signer


async def _respond(builder: Builder, body: bytes, header: str | None) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except ValueError:
        return _error(None, OrderError(_PARSE_ERROR, "the body is not JSON"))
    number = request.get("id") if isinstance(request, dict) else None
    try:
        owner = authenticate(header, body)
        result = await builder.handle(_method(request), request.get("params"), owner)
    except OrderError as error:
        return _error(number, error)
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _method(request: object) -> str:
    if isinstance(request, dict) and isinstance(request.get("method"), str):
        return str(request["method"])
    raise OrderError(INVALID_REQUEST, "a request is an object with a method")


def _error(number: object, error: OrderError) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": number,
        "error": {"code": error.code, "message": str(error)},
    }


def _answer(document: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")
