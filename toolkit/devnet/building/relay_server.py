"""A builder's endpoint over HTTP: who asks, in what form, and what goes wrong on the way."""

import asyncio
import math
from typing import Any

import orjson
from aiohttp import web

from toolkit.chain.hashing import keccak
from toolkit.chain.signer import recover_message
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.dialects import SignatureRule
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.building.quotas import Quotas
from toolkit.devnet.building.wire import INTERNAL, INVALID_REQUEST, OrderError
from toolkit.devnet.web import WebServer, body_of, listen, request_id, serve
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.errors import NodeError, SignerError

SIGNATURE_HEADER = "X-Flashbots-Signature"
ORIGIN_HEADER = "X-Flashbots-Origin"
MAX_ORIGIN = 255
HOLD_S = 60.0  # how long a request without an answer is held open, if its client does not give up
ANONYMOUS = ZERO_ADDRESS  # the owner of what comes without a signature
_SIGNATURE_DIGITS = 2 + 2 * 65
_PARSE_ERROR = -32700
_HOLD_TICK_S = 0.25  # many may hang at once
# What forms and editors send; no type at all and unknown ones are let through.
_NO_JSON = ("text/", "multipart/", "application/x-www-form-urlencoded", "application/xml")
_HTML = "<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>"
_BROKEN = {
    FailureMode.HTTP_500: (500, "internal server error", "text/plain"),
    FailureMode.HTTP_500_TAKEN: (500, "internal server error", "text/plain"),
    FailureMode.HTML: (200, _HTML, "text/html"),
    FailureMode.TEXT: (400, "bad request: try again later", "text/plain"),
    FailureMode.TOO_MANY_REQUESTS: (429, "too many requests", "text/plain"),
}


async def serve_relay(builder: Builder) -> WebServer:
    """Offer a builder's relay on a loopback port of its own."""
    quotas = Quotas(builder.profile.limits.per_minute)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _handle(builder, request, quotas)

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
        # A header may hold bytes that are no text: they are not repeated.
        raise OrderError(INVALID_REQUEST, "signing address mismatch: it did not sign this body")
    return signer


async def _handle(builder: Builder, request: web.Request, quotas: Quotas) -> web.StreamResponse:
    if request.method != "POST":
        return web.Response(status=405, text="use POST", headers={"Allow": "POST"})
    if request.headers.get("Content-Type", "").lower().startswith(_NO_JSON):
        return web.Response(status=415, text="use Content-Type: application/json")
    body = await body_of(request)
    asked = _parsed(body)
    method = asked.get("method") if isinstance(asked, dict) else None
    if builder.profile.latency_ms:
        await asyncio.sleep(builder.profile.latency_ms / 1000)
    named = method if isinstance(method, str) else ""
    if (unheard := _unheard(builder, named, quotas)) is not None:
        return unheard
    failure = builder.failures.draw(named)
    answer = None
    if failure.is_taken:
        answer = await _respond(builder, request, body, asked, failure)
    if failure in {FailureMode.HANG, FailureMode.LOST}:
        return await _hold(request)
    if failure in _BROKEN:
        status, text, kind = _BROKEN[failure]
        return web.Response(status=status, text=text, content_type=kind)
    assert answer is not None
    return answer


def _unheard(builder: Builder, method: str, quotas: Quotas) -> web.Response | None:
    """What is said where nobody looks at the parameters."""
    if method in builder.profile.dead_methods:
        return web.Response(status=403, text=f"{method} is no longer offered")
    now_s = asyncio.get_running_loop().time()
    wait_s = quotas.wait_s(builder.profile.methods.get(method), now_s)
    if not wait_s:
        return None
    pause = {"Retry-After": str(math.ceil(wait_s))}
    return web.Response(status=429, text="too many requests", headers=pause)


async def _respond(
    builder: Builder, request: web.Request, body: bytes, asked: object, failure: FailureMode
) -> web.Response:
    number = request_id(asked)
    try:
        owner = _owner(builder.profile.signature, request, body)
        method, params = _call(asked)
        result = await builder.handle(method, params, owner, failure=failure)
    except OrderError as error:
        if error.plain is not None:
            return _json({"error": error.plain}, status=400)
        return _json(_error(number, error.code, str(error)))
    except NodeError as error:
        why = type(error).__name__
        return _json(_error(number, INTERNAL, f"the builder's node did not answer ({why})"))
    if failure is FailureMode.NULL:
        result = None
    return _json({"jsonrpc": "2.0", "id": number, "result": result})


def _owner(rule: SignatureRule, request: web.Request, body: bytes) -> Address:
    if len(request.headers.get(ORIGIN_HEADER, "")) > MAX_ORIGIN:
        raise OrderError(INVALID_REQUEST, f"{ORIGIN_HEADER} is longer than {MAX_ORIGIN}")
    header = request.headers.get(SIGNATURE_HEADER)
    if rule is SignatureRule.REQUIRED or (rule is SignatureRule.OPTIONAL and header):
        return authenticate(header, body)
    if rule is SignatureRule.AUTHORIZATION:
        account = request.headers.get("Authorization", "")
        if not account:
            raise OrderError(INVALID_REQUEST, "an Authorization header is required")
        return Address("0x" + keccak(account.encode(errors="surrogateescape")).hex()[-40:])
    return ANONYMOUS


async def _hold(request: web.Request) -> web.Response:
    """Leave a request open until its client gives up, then close without an answer."""
    for _ in range(math.ceil(HOLD_S / _HOLD_TICK_S)):
        if request.transport is None or request.transport.is_closing():
            break
        await asyncio.sleep(_HOLD_TICK_S)
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _parsed(body: bytes) -> object:
    """What the body says; `_Unreadable` where it is no JSON."""
    try:
        return orjson.loads(body)
    except ValueError:
        return _Unreadable


class _Unreadable:
    """Stands for a body that is no JSON."""


def _call(asked: object) -> tuple[str, object]:
    if asked is _Unreadable:
        raise OrderError(_PARSE_ERROR, "the body is not JSON")
    if isinstance(asked, dict) and isinstance(asked.get("method"), str):
        return asked["method"], asked.get("params")
    raise OrderError(INVALID_REQUEST, "a request is an object with a method")


def _error(number: object, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _json(document: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
