"""Nodes whose answers are no answers: every one is a typed error in one line, asked for once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from toolkit.chain.answers import quantity
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc, WsRpc, open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import NodeError, NodeTimeout, NodeUnavailable, RpcError
from toolkit.model.tx import Attempt, Exposure, UnsignedTransaction
from toolkit.tx.destination import PublicNode, hand_over

OWNER = Address("0x" + "aa" * 20)
TX, OTHER = Hash("0x" + "11" * 32), Hash("0x" + "22" * 32)
SIGNED = LocalSigner("0x" + "4c" * 32).sign_transaction_now(
    UnsignedTransaction(
        type=2,
        chain_id=1,
        nonce=0,
        to=OWNER,
        value=0,
        data="0x",
        gas=21_000,
        max_fee_per_gas=9,
        max_priority_fee_per_gas=1,
    )
)
BODIES: dict[str, bytes] = {
    "html": b"<html>\n<h1>Just a moment...</h1>\n</html>",
    "empty": b"",
    "text": b"upstream connect error",
    "cut": b'{"jsonrpc":"2.0","id":1,"result":"0x',
    "number": b"5",
    "string": b'"0x1"',
    "null": b"null",
    "list": b'[{"jsonrpc":"2.0","id":1,"result":"0x1"}]',
    "nothing": b'{"jsonrpc":"2.0","id":1}',
    "another request": b'{"jsonrpc":"2.0","id":77,"result":"0x1"}',
    "no request": b'{"jsonrpc":"2.0","result":"0x1"}',
    "a truth": b'{"jsonrpc":"2.0","id":true,"result":"0x1"}',
    "a list": b'{"jsonrpc":"2.0","id":[1],"result":"0x1"}',
    "a float": b'{"jsonrpc":"2.0","id":1.0,"result":"0x1"}',
    "an error of another": b'{"jsonrpc":"2.0","id":77,"error":{"code":1,"message":"no"}}',
    "a long error": orjson.dumps({"id": 1, "error": {"code": True, "message": "x\ny" * 5000}}),
    "an odd error": b'{"id":1,"error":[1,\n2]}',
    "an error without a number": b'{"id":null,"error":{"code":-32700,"message":"parse error"}}',
}


@pytest.mark.parametrize(
    ("scheme", "body"),
    # A socket carries lists and single answers alike, and each says what it answers.
    [("http", body) for body in BODIES] + [("ws", body) for body in BODIES if body != "list"],
)
async def test_a_body_that_is_no_answer_is_one_line(
    serve: Any, status: Any, body: str, scheme: str
) -> None:
    """Not JSON, not JSON-RPC, or another request's answer: NodeError, over HTTP and WebSocket."""

    async def handler(method: str, params: list[Any]) -> Any:
        if scheme == "ws":
            await scripted.sockets[-1].send_bytes(BODIES[body])
            await asyncio.Event().wait()
        raise status(200, BODIES[body])

    # Over a socket the answer of a request that nobody waits for may just be late.
    late = scheme == "ws" and body in {"another request", "an error of another"}
    scripted = await serve(handler)
    async with open_rpc(scripted.url if scheme == "http" else scripted.ws_url) as rpc:
        with pytest.raises(NodeError) as caught:
            await rpc.call("eth_chainId", timeout_s=0.2 if late else 30)

    assert late == isinstance(caught.value, NodeTimeout)
    assert "\n" not in str(caught.value)
    assert 1100 > len(str(caught.value))


@pytest.mark.parametrize("body", [*BODIES, "HTTP 500", "HTTP 429", "HTTP 403"])
async def test_a_send_that_is_not_answered_properly_left_once_and_may_be_known(
    serve: Any, status: Any, body: str
) -> None:
    """Whatever comes back for signed bytes, they are sent once, and count as exposed."""

    def handler(method: str, params: list[Any]) -> Any:
        if body.startswith("HTTP"):
            raise status(int(body[5:]), b"<html>", {"Retry-After": "0"})
        raise status(200, BODIES[body])

    scripted = await serve(handler)
    async with HttpRpc(scripted.url) as rpc:
        attempt = Attempt(request_id="tx-1", number=0, signed=SIGNED, since_block=1)
        answer = await hand_over(PublicNode(Node(rpc)), attempt, target_block=1)

    assert ["eth_sendRawTransaction"] == scripted.asked
    assert Exposure.UNKNOWN is answer.exposure
    assert isinstance(answer.error, NodeError)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_send_over_a_connection_in_use_is_not_repeated(
    serve: Any, breaks: Any, scheme: str
) -> None:
    """A kept connection that breaks at the send is not opened again for it by anybody."""

    def handler(method: str, params: list[Any]) -> Any:
        if method == "eth_sendRawTransaction":
            raise breaks
        return "0x1"

    scripted = await serve(handler)
    async with open_rpc(scripted.url if scheme == "http" else scripted.ws_url) as rpc:
        await rpc.call("eth_chainId")
        with pytest.raises(NodeUnavailable) as caught:
            await Node(rpc).send_raw(SIGNED.raw)

    assert caught.value.sent
    assert ["eth_chainId", "eth_sendRawTransaction"] == scripted.asked


@pytest.mark.parametrize(
    ("code", "body", "said"),
    [
        (200, b'{"message":"Invalid API key"}', "neither result nor error"),
        (401, b'{"message":"Invalid API key"}', "HTTP 401 without a JSON-RPC answer"),
        (403, b"<html>", "HTTP 403 without a JSON body"),
        (404, b"404 page not found", "HTTP 404 without a JSON body"),
        (500, b'{"id":1,"error":{"code":-32000,"message":"boom"}}', "boom"),
        (500, b"5", "HTTP 500 without a JSON-RPC answer"),
    ],
)
async def test_an_http_error_is_named(
    serve: Any, status: Any, code: int, body: bytes, said: str
) -> None:
    """The status is told unless the node says more in JSON-RPC."""

    def handler(method: str, params: list[Any]) -> Any:
        raise status(code, body)

    scripted = await serve(handler)
    async with HttpRpc(scripted.url) as rpc:
        with pytest.raises(NodeError, match=said):
            await rpc.call("eth_chainId")

    assert 1 == len(scripted.asked)


@pytest.mark.parametrize(
    ("header", "asked", "said"),
    [
        ("0", 3, "HTTP 429$"),
        (None, 3, "HTTP 429$"),
        ("soon", 3, "HTTP 429$"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 3, "HTTP 429$"),
        ("-5", 3, "HTTP 429$"),
        ("99999999999999999999999", 3, "HTTP 429$"),
        ("3600", 1, "HTTP 429 and asks to wait 3600 s"),
    ],
)
async def test_a_node_that_asks_to_wait_is_left_alone(
    serve: Any, status: Any, header: str | None, asked: int, said: str
) -> None:
    """Retry-After in seconds is kept; beyond the deadline the caller is told at once."""

    def handler(method: str, params: list[Any]) -> Any:
        raise status(429, b"", {} if header is None else {"Retry-After": header})

    scripted = await serve(handler)
    async with HttpRpc(scripted.url, timeout_s=30) as rpc, asyncio.timeout(20):
        with pytest.raises(NodeUnavailable, match=said):
            await rpc.call("eth_chainId")

    assert asked == len(scripted.asked)


async def test_a_pause_that_fits_is_waited_out(
    serve: Any, status: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the pause that the node asked for, a read is asked again, and answered."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def short(delay: float) -> None:
        slept.append(delay)
        await sleep(0)

    def handler(method: str, params: list[Any]) -> Any:
        if len(scripted.asked) < 2:
            raise status(429, b"", {"Retry-After": "7"})
        return "0x1"

    scripted = await serve(handler)
    monkeypatch.setattr("toolkit.chain.wire.asyncio.sleep", short)
    async with HttpRpc(scripted.url, timeout_s=30) as rpc:
        assert "0x1" == await rpc.call("eth_chainId")

    assert 7.0 in slept


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{"id": 1, "result": "a"}, {"id": 2, "result": "b"}], ["a", "b"]),
        ([{"id": "2", "result": "b"}, {"id": "1", "result": "a"}], ["a", "b"]),
        ([{"id": 1, "result": "a"}, {"id": 1, "result": "a"}], ["a", "unanswered"]),
        ([{"id": 1, "result": "a"}, {"id": 1, "result": "b"}], ["twice", "unanswered"]),
        (
            [{"id": 1, "result": "a"}, {"id": 1, "result": "b"}, {"id": 1, "result": "b"}],
            ["twice", "unanswered"],
        ),
        ([{"id": [1], "result": "a"}, {"id": {}, "result": "b"}], ["unanswered", "unanswered"]),
        ([{"id": True, "result": "a"}, {"id": None}], ["unanswered", "unanswered"]),
        ([5, None, "x", {"id": 2}], ["unanswered", "neither result nor error"]),
        ([], ["unanswered", "unanswered"]),
    ],
)
async def test_a_batch_is_matched_by_number_and_never_guessed(
    serve: Any, status: Any, answers: list[Any], expected: list[str]
) -> None:
    """Missing, doubled, misnumbered and misshapen answers are errors at their own places."""

    def handler(method: str, params: list[Any]) -> Any:
        raise status(200, orjson.dumps(answers))

    scripted = await serve(handler)
    async with HttpRpc(scripted.url) as rpc:
        found = await rpc.batch([("eth_chainId", ()), ("eth_blockNumber", ())])

    for result, wanted in zip(found, expected, strict=True):
        if isinstance(result, RpcError):
            assert wanted in result.message
        else:
            assert wanted == result


async def test_a_doubled_answer_over_a_socket_is_the_first(serve: Any) -> None:
    """What comes again under a number that is done belongs to nobody, and disturbs nobody."""

    async def handler(method: str, params: list[Any]) -> Any:
        if method == "eth_chainId":
            frame = b'{"jsonrpc":"2.0","id":1,"result":"0x%d"}'
            for number in (1, 2, 2):
                await scripted.sockets[0].send_bytes(frame % number)
            await asyncio.Event().wait()
        return "0x5"

    scripted = await serve(handler)
    async with WsRpc(scripted.ws_url) as rpc:
        first = await rpc.call("eth_chainId")
        second = await rpc.call("eth_blockNumber")

    assert ("0x1", "0x5") == (first, second)


@pytest.mark.parametrize("result", [["0x1"], {"id": 1}, 7, None])
async def test_a_subscription_by_an_odd_name_disturbs_nobody(serve: Any, result: Any) -> None:
    """A node may name a subscription as it likes, and events of odd names are nobody's."""
    event = {"jsonrpc": "2.0", "method": "eth_subscription"}
    params = {"subscription": {"a": 1}, "result": 1}

    scripted = await serve(lambda method, _: result if method == "eth_subscribe" else "0x1")
    async with WsRpc(scripted.ws_url) as rpc:
        subscription = await rpc.subscribe("newHeads")
        await scripted.sockets[0].send_bytes(orjson.dumps({**event, "params": params}))
        assert "0x1" == await rpc.call("eth_chainId")
        await subscription.close()
    assert 1 == len(scripted.sockets)


BLOCK = {
    "number": "0x5",
    "hash": TX,
    "parentHash": OTHER,
    "timestamp": "0x1",
    "gasLimit": "0x1",
    "gasUsed": "0x1",
}
RECEIPT: dict[str, Any] = {
    "transactionHash": TX,
    "blockNumber": "0x5",
    "blockHash": OTHER,
    "transactionIndex": "0x0",
    "from": OWNER,
    "to": None,
    "status": "0x1",
    "gasUsed": "0x1",
    "effectiveGasPrice": "0x1",
    "logs": [],
}
LOG = {
    "address": OWNER,
    "topics": [],
    "data": "0x",
    "blockNumber": "0x1",
    "blockHash": TX,
    "transactionHash": TX,
    "logIndex": "0x0",
}
Question = Callable[[Node], Coroutine[Any, Any, Any]]
LIES: list[tuple[str, Question, object]] = [
    ("another block's number", lambda node: node.head(6), BLOCK),
    ("another block's hash", lambda node: node.head(OTHER), BLOCK),
    ("a negative number", lambda node: node.head(5), {**BLOCK, "number": "-0x5"}),
    ("a number above 64 bits", lambda node: node.head(), {**BLOCK, "number": hex(2**64)}),
    ("a time above 64 bits", lambda node: node.head(), {**BLOCK, "timestamp": hex(2**64)}),
    ("a hash that is none", lambda node: node.head(), {**BLOCK, "hash": "0x" + "zz" * 32}),
    ("a fee above 256 bits", lambda node: node.head(), {**BLOCK, "baseFeePerGas": hex(2**256)}),
    ("a block that is a list", lambda node: node.head(), [BLOCK]),
    ("another's receipt", lambda node: node.receipt(OTHER), RECEIPT),
    ("a receipt that is a list", lambda node: node.receipt(TX), [RECEIPT]),
    ("a status of two", lambda node: node.receipt(TX), {**RECEIPT, "status": "0x2"}),
    ("a sender that is none", lambda node: node.receipt(TX), {**RECEIPT, "from": "0x12"}),
    ("no logs", lambda node: node.receipt(TX), {**RECEIPT, "logs": None}),
    ("a log that is none", lambda node: node.receipt(TX), {**RECEIPT, "logs": [{}]}),
    ("receipts of another block", lambda node: node.receipts(6), [RECEIPT]),
    ("receipts of another hash", lambda node: node.receipts(TX), [RECEIPT]),
    ("receipts that are none", lambda node: node.receipts(5), {"a": 1}),
    ("another transaction", lambda node: node.transaction(OTHER), {"hash": TX}),
    ("a transaction that is text", lambda node: node.transaction(TX), "0x02"),
    ("a count above 64 bits", lambda node: node.nonce(OWNER), hex(2**64)),
    ("a count with a blank", lambda node: node.nonce(OWNER), "0x5 "),
    ("a count with a line", lambda node: node.nonce(OWNER), "0x_5"),
    ("a count without digits", lambda node: node.nonce(OWNER), "0x"),
    ("a balance above 256 bits", lambda node: node.balance(OWNER), hex(2**256)),
    ("code that is no hex", lambda node: node.code(OWNER), "0xzz"),
    ("half a byte of output", lambda node: node.call(to=OWNER), "0x123"),
    ("output that is no text", lambda node: node.call(to=OWNER), 5),
    ("a log's data", lambda node: node.logs(block_hash=TX), [{**LOG, "data": "zz"}]),
    ("a log's address", lambda node: node.logs(block_hash=TX), [{**LOG, "address": "0x"}]),
    ("logs that are none", lambda node: node.logs(block_hash=TX), 5),
    ("no fee history", lambda node: node.fee_history(1), None),
    ("a fee history of text", lambda node: node.fee_history(1), {"oldestBlock": "0x1"}),
    ("an odd look", lambda node: node.look(OWNER, 1, [TX]), "0x5"),
]


@pytest.mark.parametrize(("ask", "lie"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
async def test_an_answer_of_the_wrong_shape_is_a_node_error(
    serve: Any, ask: Question, lie: object
) -> None:
    """Another thing than was asked for, or one that cannot be: NodeError in one line, no guess."""
    scripted = await serve(lambda *_: lie)
    async with HttpRpc(scripted.url) as rpc:
        with pytest.raises(NodeError) as caught:
            await ask(Node(rpc))

    assert "\n" not in str(caught.value)
    assert 300 > len(str(caught.value))


async def test_honest_answers_pass_the_same_checks(serve: Any) -> None:
    """What the lies above were made from is accepted as it is."""
    answers: dict[str, Any] = {
        "eth_getBlockByNumber": BLOCK,
        "eth_getBlockByHash": BLOCK,
        "eth_getTransactionReceipt": RECEIPT,
        "eth_getBlockReceipts": [RECEIPT],
        "eth_getTransactionByHash": {"hash": TX},
        "eth_getLogs": [LOG],
        "eth_getTransactionCount": "0x5",
        "eth_getBalance": hex(2**256 - 1),
    }
    scripted = await serve(lambda method, _: answers[method])
    async with HttpRpc(scripted.url) as rpc:
        node = Node(rpc)

        assert await node.head(5) == await node.head(TX) == await node.head()
        receipt = await node.receipt(TX)
        assert (receipt,) == await node.receipts(5) == await node.receipts(OTHER)
        assert {"hash": TX} == await node.transaction(TX)
        assert 1 == len(await node.logs(block_hash=TX))
        look = await node.look(OWNER, 5, [TX])
        assert (5, 2**256 - 1, (receipt,)) == (look.nonce, look.balance_wei, look.receipts)


@pytest.mark.parametrize("answer", ["0x0", "0x00", "0xFf", "0x" + "f" * 64])
def test_quantities_are_read_as_they_are_written(answer: str) -> None:
    """Leading zeros and capitals are tolerated: several clients write them."""
    assert int(answer, 16) == quantity(answer)
