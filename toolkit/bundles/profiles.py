"""Builders and their dialects, as rows of data, with one tolerant reading of their answers."""

import re
from urllib.parse import urlsplit

import msgspec
import orjson

from toolkit.model.bundle import Bundle
from toolkit.model.chain import Hash
from toolkit.model.errors import RelayRejected, RelayUnavailable

_REVERTING = "revertingTxHashes"
_MIN_TIMESTAMP = "minTimestamp"
_MAX_TIMESTAMP = "maxTimestamp"
_UUID = "replacementUuid"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
# Longer than a hash: calldata or a signed transaction, which may be private.
_LONG_HEX = re.compile(r"(0x)?[0-9a-fA-F]{65,}")
_EXCERPT = 160
_HTTP_OK = 200
_HTTP_CLIENT_ERROR = 400
_HTTP_TOO_MANY = 429
_HTTP_SERVER_ERROR = 500


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a request body is written. Equal dialects share one body and one signature."""

    optional_fields: tuple[str, ...] = (_REVERTING, _MIN_TIMESTAMP, _MAX_TIMESTAMP, _UUID)
    uuid_field: str = _UUID
    cancel_method: str | None = "eth_cancelBundle"
    private_method: str | None = "eth_sendPrivateTransaction"
    simulate_method: str | None = "eth_callBundle"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A builder or relay: its name, public endpoint, dialect, and whether it wants a signature."""

    name: str
    host: str  # of the public endpoint; empty when it has none
    signed: bool = True
    dialect: Dialect = Dialect()

    @property
    def url(self) -> str:
        """The public endpoint, or an empty string."""
        return f"https://{self.host}" if self.host else ""


# Sources: the builders' own documentation pages. Rows without a method answer "method not found".
PROFILES = {
    row.name: row
    for row in (
        Profile(name="flashbots", host="relay.flashbots.net"),
        Profile(name="buildernet", host="rpc.buildernet.org"),
        Profile(
            name="titan",
            host="rpc.titanbuilder.xyz",
            signed=False,
            dialect=Dialect(simulate_method=None),
        ),
        Profile(
            name="rsync",
            host="rsync-builder.xyz",
            signed=False,
            dialect=Dialect(simulate_method=None),
        ),
        Profile(name="devnet", host=""),
    )
}


def profile_for(url: str) -> Profile:
    """Recognise a builder by its host; loopback is the devnet, unknown hosts speak as Flashbots."""
    host = urlsplit(url).hostname or ""
    if host in _LOOPBACK:
        return PROFILES["devnet"]
    known = (row for row in PROFILES.values() if row.host == host)
    return next(known, msgspec.structs.replace(PROFILES["flashbots"], name=host, host=host))


def is_loopback(url: str) -> bool:
    """Whether the endpoint is on this machine, so that nothing leaves it."""
    return urlsplit(url).hostname in _LOOPBACK


def bundle_params(bundle: Bundle, profile: Profile) -> dict[str, object]:
    """Write a bundle as `eth_sendBundle` parameters; fields that are not set are left out.

    Raises:
        RelayRejected: the bundle needs a field that this dialect does not know. Leaving it out
            would send something else than was asked for.
    """
    asked: dict[str, object] = {}
    if bundle.reverting_hashes:
        asked[_REVERTING] = list(bundle.reverting_hashes)
    if bundle.min_timestamp is not None:
        asked[_MIN_TIMESTAMP] = bundle.min_timestamp
    if bundle.max_timestamp is not None:
        asked[_MAX_TIMESTAMP] = bundle.max_timestamp
    if bundle.replacement_uuid is not None:
        asked[_UUID] = bundle.replacement_uuid
    for field in asked:
        if field not in profile.dialect.optional_fields:
            raise RelayRejected(
                f"{profile.name} does not know {field}: leave it unset or leave out this relay",
                relay=profile.name,
            )
    if _UUID in asked:
        asked[profile.dialect.uuid_field] = asked.pop(_UUID)
    return {
        "txs": list(bundle.transactions),
        "blockNumber": hex(bundle.target_block),
        **asked,
    }


def read_answer(status: int, body: bytes, *, relay: str) -> object:
    """Read the `result` of a relay's answer, whichever of the forms in use it has.

    A result may be an object, a string, a number or null: several builders answer null or 200 and
    include the bundle all the same.

    Raises:
        RelayRejected: an error object or text, HTTP 4xx.
        RelayUnavailable: HTTP 5xx without an error object, or not an answer at all (HTML, cut
            off): whether the relay took the request is unknown.
    """
    try:
        answer: object = orjson.loads(body)
        is_json = True
    except orjson.JSONDecodeError:
        answer, is_json = None, False
    if isinstance(answer, dict) and answer.get("error") is not None:
        raise RelayRejected(f"{relay}: {_error_text(answer['error'])}", relay=relay)
    if status == _HTTP_TOO_MANY:
        raise RelayRejected(f"{relay} is rate limiting (HTTP 429): send less often", relay=relay)
    if status >= _HTTP_SERVER_ERROR:
        raise RelayUnavailable(f"{relay} answered HTTP {status}: {excerpt(body)}", relay=relay)
    if status >= _HTTP_CLIENT_ERROR:
        raise RelayRejected(f"{relay} answered HTTP {status}: {excerpt(body)}", relay=relay)
    if status != _HTTP_OK or not is_json or isinstance(answer, list):
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


def _error_text(error: object) -> str:
    if not isinstance(error, dict):
        return excerpt(str(error))
    code = error.get("code")
    message = excerpt(str(error.get("message") or error))
    return f"{message} (code {code})" if isinstance(code, int) else message
