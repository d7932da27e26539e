"""One tolerant reading of what relays answer, whichever of the forms in use it has; pure."""

import re

import orjson

from toolkit.model.chain import Hash
from toolkit.model.errors import RelayError, RelayRejected, RelayUnavailable

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
# Longer than a hash: calldata or a signed transaction, which may be private.
_LONG_HEX = re.compile(r"(0x)?[0-9a-fA-F]{65,}")
_EXCERPT = 160
_TAKEN = frozenset({b"ok", b"accepted", b"received", b"success"})
_INTERNAL = -32603
_HTTP_OK = 200
_HTTP_REDIRECT = 300
_HTTP_CLIENT_ERROR = 400
_HTTP_TIMEOUT = 408
HTTP_TOO_MANY = 429
_HTTP_SERVER_ERROR = 500


def read_answer(status: int, body: bytes, *, relay: str) -> object:
    """Read the `result` of a relay's answer.

    A result may be an object, a string, a number or null: several builders answer null or 200 and
    include the bundle all the same. A few answer with a word outside of JSON.

    Raises:
        RelayRejected: an error object or text, HTTP 4xx: it does not have the request.
        RelayUnavailable: HTTP 5xx or 408 or an internal error without a reason, or no answer at all
            (HTML, cut off): whether the relay took the request is unknown.
    """
    try:
        answer: object = orjson.loads(body)
        is_json = True
    except orjson.JSONDecodeError:
        answer, is_json = None, False
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(answer, dict) and error is not None and (error or "result" not in answer):
        raise _failure(status, error, relay=relay)
    if not _HTTP_OK <= status < _HTTP_REDIRECT:
        raise _without_reason(status, body, relay=relay)
    if not is_json and body.strip().rstrip(b".!").lower() in _TAKEN:
        return body.decode().strip()
    if not is_json or isinstance(answer, list):
        raise RelayUnavailable(
            f"{relay} answered HTTP {status} with something that is no JSON-RPC: {excerpt(body)}",
            relay=relay,
        )
    if not isinstance(answer, dict):
        return answer
    if "result" not in answer and "error" not in answer:
        raise RelayUnavailable(
            f"{relay} answered with neither result nor error: {excerpt(body)}", relay=relay
        )
    return answer.get("result")


def hash_in(result: object, *, field: str = "bundleHash") -> Hash | None:
    """Find the hash in a result: in its field, or the bare string; None if there is none."""
    value = result.get(field) if isinstance(result, dict) else result
    if isinstance(value, str) and _HASH.fullmatch(value):
        return Hash(value.lower())
    return None


def excerpt(text: bytes | str) -> str:
    """One short line of a relay's text that cannot contain a transaction it may be echoing."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    hidden = _LONG_HEX.sub(lambda m: f"<{len(m.group()) // 2} bytes>", " ".join(words.split()))
    printable = "".join(c if c.isprintable() else "?" for c in hidden)
    return printable[:_EXCERPT] or "nothing"


def _failure(status: int, error: object, *, relay: str) -> RelayError:
    text = f"{relay}: {_error_text(error)}"
    code = error.get("code") if isinstance(error, dict) else None
    unexplained = status >= _HTTP_SERVER_ERROR and not isinstance(code, int)
    kind = RelayUnavailable if code == _INTERNAL or unexplained else RelayRejected
    return kind(text, relay=relay)


def _without_reason(status: int, body: bytes, *, relay: str) -> RelayError:
    if status == HTTP_TOO_MANY:
        return RelayRejected(f"{relay} is rate limiting (HTTP 429): send less often", relay=relay)
    text = f"{relay} answered HTTP {status}: {excerpt(body)}"
    refused = _HTTP_CLIENT_ERROR <= status < _HTTP_SERVER_ERROR and status != _HTTP_TIMEOUT
    kind = RelayRejected if refused else RelayUnavailable
    return kind(text, relay=relay)


def _error_text(error: object) -> str:
    if not isinstance(error, dict):
        return excerpt(_written(error))
    code = error.get("code")
    message = excerpt(_written(error.get("message") or error))
    return f"{message} (code {code})" if isinstance(code, int) else message


def _written(error: object) -> str:
    try:
        return str(error)
    except RecursionError:  # lists within lists: JSON may be deeper than Python can write
        return "an error too deep to be written"
