"""Each kind of fault as a client meets it, over HTTP and WebSocket, on a real Anvil."""

import asyncio

import aiohttp
import pytest

from tests.devnet.conftest import Sender
from toolkit.chain.rpc import HttpRpc, Rpc, WsRpc
from toolkit.devnet import injection
from toolkit.devnet.faults import FaultRates, FaultScript
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.model.errors import NodeTimeout, NodeUnavailable, RpcError

SEND = "eth_sendRawTransaction"
COUNT = "eth_getTransactionCount"


async def test_timeout_after_accept(rpc: Rpc, strict: StrictNode) -> None:
    """The client hears nothing, the transaction is pooled, and sending it again is known."""
    signed = Sender(strict).sign()
    strict.faults.next(SEND, "timeout_after_accept")
    with pytest.raises(NodeTimeout):
        await rpc.call(SEND, (signed.raw,), timeout_s=0.2)

    assert strict.pool.get(signed.hash) is not None
    with pytest.raises(RpcError, match="already known"):
        await rpc.call(SEND, (signed.raw,))


async def test_a_held_call_ends_by_itself(strict: StrictNode) -> None:
    """With hold_s 0 the connection is lost at once instead: the same doubt, without the wait."""
    strict.faults.hold_s = 0
    strict.faults.next(SEND, "timeout_after_accept")
    async with HttpRpc(strict.rpc_url) as rpc:
        with pytest.raises(NodeUnavailable) as found:
            await rpc.call(SEND, (Sender(strict).sign().raw,))

    assert found.value.sent
    assert 1 == len(strict.pool)


async def test_drop_after_accept(rpc: Rpc, strict: StrictNode) -> None:
    """The client is told the hash, and the node has lost the transaction."""
    signed = Sender(strict).sign()
    strict.faults.next(SEND, "drop_after_accept")
    answer = await rpc.call(SEND, (signed.raw,))

    assert signed.hash == answer
    assert None is await rpc.call("eth_getTransactionByHash", (signed.hash,))
    assert signed.hash == await rpc.call(SEND, (signed.raw,))


async def test_refuse_before(strict: StrictNode) -> None:
    """The connection is closed and nothing has happened; the next call goes well."""
    signed = Sender(strict).sign()
    for client in (HttpRpc(strict.rpc_url), WsRpc(strict.ws_url)):
        strict.faults.next(SEND, "refuse_before")
        with pytest.raises(NodeUnavailable):
            await client.call(SEND, (signed.raw,))
        assert 0 == len(strict.pool)
        assert "0x0" == await client.call("eth_blockNumber")
        await client.close()


async def test_too_many_requests(strict: StrictNode) -> None:
    """HTTP 429, and an error with EIP-1474's code over WebSocket; nothing is carried out."""
    signed = Sender(strict).sign()
    strict.faults.next(SEND, "too_many_requests", count=2)
    async with HttpRpc(strict.rpc_url) as http:
        with pytest.raises(NodeUnavailable, match="429"):
            await http.call(SEND, (signed.raw,))
    async with WsRpc(strict.ws_url) as socket:
        with pytest.raises(RpcError, match="rate limit exceeded") as found:
            await socket.call(SEND, (signed.raw,))

    assert -32005 == found.value.code
    assert 0 == len(strict.pool)


async def test_wrong_code(rpc: Rpc, strict: StrictNode) -> None:
    """The text of a refusal stays, the code is another; a success stays a success."""
    signed = Sender(strict).sign()
    strict.faults.next(SEND, "wrong_code", count=2, code=-32603)
    await rpc.call(SEND, (signed.raw,))
    with pytest.raises(RpcError) as found:
        await rpc.call(SEND, (signed.raw,))

    assert (-32603, "already known") == (found.value.code, found.value.message)


async def test_a_given_error_or_answer(rpc: Rpc, strict: StrictNode) -> None:
    """An error is made up without asking the pool; so is a result, such as a pinned count."""
    sender = Sender(strict)
    strict.faults.next(SEND, "error", code=-32000, message="txpool is full")
    strict.faults.next(COUNT, "answer", result="0x63")
    with pytest.raises(RpcError, match="txpool is full"):
        await rpc.call(SEND, (sender.sign().raw,))
    counts = [await rpc.call(COUNT, (sender.address, "pending")) for _ in range(2)]

    assert ["0x63", "0x0"] == counts
    assert 0 == len(strict.pool)


async def test_duplicate_over_http(strict: StrictNode) -> None:
    """A proxy that repeats: carried out twice, and answered for the second time."""
    strict.faults.next(SEND, "duplicate")
    async with HttpRpc(strict.rpc_url) as rpc:
        with pytest.raises(RpcError, match="already known"):
            await rpc.call(SEND, (Sender(strict).sign().raw,))

    assert 1 == len(strict.pool)


async def test_duplicate_over_websocket(strict: StrictNode) -> None:
    """Both answers arrive, under one id."""
    signed = Sender(strict).sign()
    strict.faults.next(SEND, "duplicate")
    async with aiohttp.ClientSession() as session, session.ws_connect(strict.ws_url) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 7, "method": SEND, "params": [signed.raw]})
        answers = [await socket.receive_json() for _ in range(2)]

    assert [7, 7] == [each["id"] for each in answers]
    assert (signed.hash, "already known") == (answers[0]["result"], answers[1]["error"]["message"])


async def test_reorder(rpc: Rpc, strict: StrictNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two replacements of one nonce the earlier arrives last, and is refused as too cheap.

    Reads in between overtake nothing.
    """
    monkeypatch.setattr(injection, "REORDER_S", 10)
    sender = Sender(strict)
    low, high = sender.sign(0), sender.sign(0, tip=5 * 10**9, cap=500 * 10**9)
    strict.faults.next(SEND, "reorder")
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(refusal(rpc, low.raw))
        for _ in range(5):
            await rpc.call("eth_chainId")
        answer = await rpc.call(SEND, (high.raw,))

    assert high.hash == answer
    assert "replacement transaction underpriced" == first.result()


async def refusal(rpc: Rpc, raw: str) -> str:
    with pytest.raises(RpcError) as found:
        await rpc.call(SEND, (raw,))
    return found.value.message


async def test_reorder_without_another_only_takes_its_time(rpc: Rpc, strict: StrictNode) -> None:
    """If nothing comes that could overtake it, it is carried out after a moment."""
    signed = Sender(strict).sign()
    strict.faults.next(SEND, "reorder")

    assert signed.hash == await rpc.call(SEND, (signed.raw,))


async def test_stale_reads(rpc: Rpc, strict: StrictNode) -> None:
    """Each read answers as a node two blocks behind does, which has heard of nothing since."""
    sender = Sender(strict)
    early, late, pooled = (sender.sign(nonce) for nonce in range(3))
    for each in (early, late):
        await rpc.call(SEND, (each.raw,))
        await strict.seal(2)
    await rpc.call(SEND, (pooled.raw,))
    questions = [
        ("eth_blockNumber", (), "0x2"),
        (COUNT, (sender.address, "latest"), "0x1"),
        (COUNT, (sender.address, "pending"), "0x1"),
        ("eth_getTransactionReceipt", (late.hash,), None),
        ("eth_getTransactionByHash", (late.hash,), None),
        ("eth_getTransactionByHash", (pooled.hash,), None),
    ]
    found = []
    for method, params, _ in questions:
        strict.faults.next(method, "stale_read", blocks=2)
        found.append(await rpc.call(method, params))
    strict.faults.next("eth_getBlockByNumber", "stale_read", blocks=2)
    block = await rpc.call("eth_getBlockByNumber", ("latest", False))
    strict.faults.next("eth_getTransactionReceipt", "stale_read", blocks=2)
    receipt = await rpc.call("eth_getTransactionReceipt", (early.hash,))
    fresh = await rpc.call(COUNT, (sender.address, "pending"))

    assert [answer for _, _, answer in questions] == found
    assert ("0x2", "0x1") == (block["number"], receipt["blockNumber"])
    assert "0x3" == fresh


async def test_lag(rpc: Rpc, strict: StrictNode) -> None:
    """A late answer comes after one that was asked for later."""
    order = []

    async def ask(name: str) -> None:
        await rpc.call("eth_chainId" if name == "late" else "eth_blockNumber")
        order.append(name)

    strict.faults.next("eth_chainId", "lag", seconds=0.2)
    await asyncio.gather(ask("late"), ask("soon"))

    assert ["soon", "late"] == order


async def test_a_batch_is_struck_item_by_item(strict: StrictNode) -> None:
    """One item's error is that item's; one that hangs up takes the whole batch with it."""
    calls = [("eth_chainId", ()), ("eth_blockNumber", ())]
    async with HttpRpc(strict.rpc_url, retries=0) as rpc:
        strict.faults.next("eth_blockNumber", "error", message="no")
        first = await rpc.batch(calls)
        strict.faults.next("eth_blockNumber", "refuse_before")
        with pytest.raises(NodeUnavailable):
            await rpc.batch(calls)

    assert hex(strict.chain_id) == first[0]
    assert isinstance(first[1], RpcError)


async def test_what_a_script_of_rates_does_to_sends_is_repeatable() -> None:
    """The same seed gives the same pool twice, and every send is told one way or the other."""
    rates = FaultRates(drop_after_accept=0.3, refuse_before=0.2, too_many_requests=0.2)
    pools = []
    for _ in range(2):
        script = FaultScript(seed=9, rates=rates)
        async with (
            open_strict_node(faults=script, accounts=2) as node,
            HttpRpc(node.rpc_url) as rpc,
        ):
            sender, told = Sender(node), []
            for nonce in range(30):
                try:
                    told.append(await rpc.call(SEND, (sender.sign(nonce).raw,)))
                except NodeUnavailable as error:
                    told.append(type(error).__name__)
            pools.append((told, sorted(each.nonce for each in node.pool.pending())))

    assert pools[0] == pools[1]
    assert 3 < pools[0][0].count("NodeUnavailable") < 27
