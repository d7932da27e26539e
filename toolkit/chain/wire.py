"""JSON-RPC 2.0 as bytes: what is sent, what comes back, and what may be sent twice."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from toolkit.model.errors import ConfigError, NodeError, NodeTimeout, NodeUnavailable, RpcError

Call = tuple[str, Sequence[object]]
T = TypeVar("T")

MISSING_ANSWER = -32603
_MESSAGE_CHARS = 1000
_NUMBER = re.compile("[0-9]{1,18}")
# geth answers at most 1,000 items a batch (`--rpc.batch-request-limit`); the byte bound keeps one
# write from holding the event loop.
BATCH_ITEMS = 1000
BATCH_BYTES = 512 * 1024
_BACKOFF_S = 0.05

# Asking twice changes nothing. Everything else (eth_send*, filters, evm_*, anvil_*, unknown names)
# is asked once, because a lost answer does not mean that nothing happened.
_IDEMPOTENT = frozenset(
    {
        "debug_traceCall",
        "debug_traceTransaction",
        "eth_accounts",
        "eth_baseFee",
        "eth_blobBaseFee",
        "eth_blockNumber",
        "eth_call",
        "eth_callBundle",
        "eth_chainId",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getCode",
        "eth_getHeaderByHash",
        "eth_getHeaderByNumber",
        "eth_getLogs",
        "eth_getProof",
        "eth_getRawTransactionByHash",
        "eth_getStorageAt",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_protocolVersion",
        "eth_simulateV1",
        "eth_syncing",
        "net_listening",
        "net_peerCount",
        "net_version",
        "toolkit_info",
        "txpool_content",
        "txpool_contentFrom",
        "txpool_inspect",
        "txpool_status",
        "web3_clientVersion",
        "web3_sha3",
    }
)


def is_idempotent(method: str) -> bool:
    """Whether a lost answer may be asked for again."""
    return method in _IDEMPOTENT


def public_url(url: str) -> str:
    """The part of an endpoint that may be shown: scheme, host, port; no password, no API key."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def encode(call: Call, number: int) -> bytes:
    """Write one request.

    Raises:
        ConfigError: a parameter has no JSON form (an integer above 64 bits, for instance).
    """
    method, params = call
    try:
        return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    except TypeError as error:
        raise ConfigError(f"parameters of {method} cannot be sent as JSON: {error}") from None


def chunks(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut encoded requests into batches within the item and byte bounds, in order."""
    start = size = 0
    for index, item in enumerate(items):
        full = index - start >= BATCH_ITEMS or size + len(item) > BATCH_BYTES
        if full and index > start:
            yield items[start:index]
            start, size = index, 0
        size += len(item)
    if start < len(items):
        yield items[start:]


def decode(content: bytes | str, endpoint: str) -> Any:
    """Read an answer.

    Raises:
        NodeError: not JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise NodeError(f"{endpoint} answered {len(content)} bytes that are not JSON") from None


def outcome(answer: object) -> Any | RpcError:
    """The result of one answer, or its error as a value."""
    if not isinstance(answer, dict):
        return RpcError(MISSING_ANSWER, "the node's answer is not a JSON-RPC object")
    error = answer.get("error")
    if error is not None:
        return rpc_error(error)
    if "result" not in answer:
        return RpcError(MISSING_ANSWER, "the node's answer has neither result nor error")
    return answer["result"]


def outcome_of(number: int, answer: object) -> Any | RpcError:
    """As `outcome`, of the answer to the request of this number.

    An error may come without a number, from a node that could not read or would not take the
    request; a result may not.

    Raises:
        NodeError: it answers another request.
    """
    found = outcome(answer)
    if isinstance(answer, dict):
        given = answer.get("id")
        unnumbered = given is None and isinstance(found, RpcError)
        if not unnumbered and number_of(given) != number:
            raise NodeError(f"the node answered request {str(given)[:20]!r} instead of {number}")
    return found


def number_of(given: object) -> int:
    """The request that an answer says it answers: some proxies turn its number into text.

    Raises:
        NodeError: no request of ours has such a number.
    """
    if type(given) is int:
        return given
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        return int(given)
    raise NodeError(f"the node answered request {str(given)[:20]!r}, which nobody made")


def rpc_error(error: object) -> RpcError:
    """The error object of an answer as our error; tolerates nodes that send a bare string."""
    if not isinstance(error, dict):
        return RpcError(MISSING_ANSWER, _line(error))
    code = error.get("code")
    message = error.get("message")
    return RpcError(
        code if type(code) is int else MISSING_ANSWER,
        _line(message if isinstance(message, str) else error),
        error.get("data"),
    )


def _line(text: object) -> str:
    """A stranger's words in one line of bearable length."""
    try:
        line = str(text)
    except RecursionError:  # lists within lists: JSON may be deeper than Python can write
        line = "an error too deep to be written"
    if "\n" in line or "\r" in line:
        line = " ".join(line.split())
    return line if len(line) <= _MESSAGE_CHARS else line[:_MESSAGE_CHARS] + "..."


def by_number(answers: object, numbers: Sequence[int]) -> list[Any | RpcError]:
    """Results in the order of `numbers`; an item without an answer is an RpcError in its place.

    So is one that is answered twice, and not the same.

    Raises:
        RpcError: the node refused the batch as a whole.
        NodeError: the answer is neither a list nor an error.
    """
    if isinstance(answers, dict) and answers.get("error") is not None:
        raise rpc_error(answers["error"])
    if not isinstance(answers, list):
        raise NodeError("the node's answer to a batch is not a list")
    found: dict[str, Any] = {}
    for answer in answers:
        if isinstance(answer, dict):
            name = str(answer.get("id"))
            found[name] = answer if found.get(name, answer) == answer else _CONTRADICTION
    return [
        outcome(found[str(number)])
        if str(number) in found
        else RpcError(MISSING_ANSWER, "the node left this batch item unanswered")
        for number in numbers
    ]


_CONTRADICTION = {"error": {"message": "the node answered this batch item twice, and differently"}}


class Busy(NodeUnavailable):
    """The node asks to be left alone for a while."""

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def retry_after(value: str | None) -> float:
    """The seconds of a `Retry-After` header (RFC 9110); 0 where it is missing or is a date."""
    text = (value or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else 0.0


async def within(
    once: Callable[[], Awaitable[T]], *, attempts: int, timeout_s: float, what: str
) -> T:
    """Try until it answers: at most `attempts` times, all within one deadline.

    A node that asks to be left alone is; when that takes beyond the deadline, its own error comes
    at once instead of a timeout later.

    Raises:
        NodeTimeout: the deadline passed.
        NodeUnavailable: the last attempt's.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            for attempt in itertools.count(1):
                pause_s = _BACKOFF_S * 2 ** (attempt - 1)
                try:
                    return await once()
                except NodeUnavailable as error:
                    pause_s = max(pause_s, error.wait_s if isinstance(error, Busy) else 0.0)
                    if attempt >= attempts or loop.time() + pause_s > deadline:
                        raise
                await asyncio.sleep(pause_s)
    except TimeoutError:
        raise NodeTimeout(f"no answer to {what} within {timeout_s:g} s") from None
    raise AssertionError("unreachable: the loop returns or raises")
