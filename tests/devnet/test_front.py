import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from tests.devnet.conftest import Wallet
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc, WsRpc
from toolkit.devnet.anvil import Anvil
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.front import Front
from toolkit.devnet.gate import Gate
from toolkit.devnet.web import WebServer, listen, serve
from toolkit.model.errors import RpcError

INFO = {"devnet": True, "mode": "DEV", "chain_id": 1}


@pytest.fixture
async def server(node: Node, market: Market) -> AsyncIterator[WebServer]:
    async with aiohttp.ClientSession() as session:
        front = Front(
            node.rpc,
            market,
            seal=market.seal,
            session=session,
            info=INFO,
            faults=FaultScript(),
        )
        server = await serve(front.handle, listen(what="front"))
        yield server
        await server.close()


@pytest.fixture(params=["http", "ws"])
async def client(request: pytest.FixtureRequest, server: WebServer) -> AsyncIterator[Node]:
    rpc = HttpRpc(server.url) if request.param == "http" else WsRpc(server.ws_url)
    yield Node(rpc)
    await rpc.close()


async def test_it_is_anvil_with_the_market_behind_it(
    client: Node, node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Over HTTP and WebSocket: reads pass through, a mined block is the market's, info is ours."""
    signed = wallets[1].sign()
    await client.send_raw(signed.raw)
    mined = await client.rpc.call("evm_mine")

    assert mined == "0x0"
    assert INFO == await client.rpc.call("toolkit_info")
    assert await node.head() == await client.head() == market.head
    assert (signed.hash,) == market.slots[-1].public
    assert (await client.client_version()).startswith("anvil/")


async def test_mining_takes_count_interval_and_time(client: Node, market: Market) -> None:
    """anvil_mine(count, seconds) and evm_mine with a time or a count mean what they mean there."""
    first = market.head
    await client.rpc.call("anvil_mine", ("0x3", "0x64"))
    third = market.head
    await client.rpc.call("evm_mine", ({"blocks": 2},))
    fifth = market.head
    await client.rpc.call("evm_mine", (hex(fifth.timestamp + 999),))

    assert (first.number + 3, first.timestamp + 12 + 200) == (third.number, third.timestamp)
    assert fifth.number == third.number + 2
    assert market.head.timestamp == fifth.timestamp + 999
    assert len(market.slots) == 6


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("evm_setAutomine", [True], "is off on the devnet"),
        ("anvil_mine_detailed", [], "is off on the devnet"),
        ("anvil_reset", [], "nothing of the twin would be left"),
        ("eth_sendRawTransactionSync", ["0x"], "send without Sync"),
        ("evm_mine", ["soon"], "parameters are no numbers"),
        ("anvil_mine", ["0xffffffff"], "parameters are no numbers"),
    ],
)
async def test_what_would_go_round_the_market_is_refused(
    client: Node, method: str, params: list[object], words: str
) -> None:
    """Automatic mining and parameters that are no numbers are errors, and mine nothing."""
    with pytest.raises(RpcError, match=words):
        await client.rpc.call(method, params)


@pytest.mark.parametrize(
    ("relays", "where"),
    [
        ([], "there are none here: start toolkit devnet"),
        ([{"name": "titan", "url": "http://x:1"}], "ask one of titan http://x:1"),
    ],
)
@pytest.mark.parametrize("method", ["eth_sendBundle", "eth_sendPrivateTransaction"])
async def test_what_only_relays_take_is_said_to_be_theirs(
    node: Node, market: Market, method: str, relays: list[dict[str, str]], where: str
) -> None:
    """Whoever looks for a relay's method at the node is told that there is none, and where."""
    async with aiohttp.ClientSession() as session:
        front = Front(
            node.rpc,
            market,
            seal=market.seal,
            session=session,
            info=INFO | {"relays": relays},
            faults=FaultScript(),
        )
        server = await serve(front.handle, listen(what="front"))
        rpc = HttpRpc(server.url)
        with pytest.raises(RpcError, match=f"{method} is for the relay.*; {where}") as caught:
            await rpc.call(method, [{}])
        await rpc.close()
        await server.close()

    assert -32601 == caught.value.code


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("evm_mine", {"a": 1}, "not a list"),
        ("anvil_mine", {"a": 1}, "not a list"),
        ("anvil_mine", [{}], "no numbers"),
        ("evm_mine", [1], "imestamp"),
    ],
)
async def test_a_request_that_makes_no_sense_is_an_error_and_no_end(
    client: Node, market: Market, method: str, params: Any, message: str
) -> None:
    """The answer is an error, nothing is sealed, and the same connection goes on."""
    before = market.head
    with pytest.raises(RpcError, match=message):
        await client.rpc.call(method, params)

    assert before == market.head == await client.head()


async def test_a_batch_is_carried_out_in_order_around_a_seal(client: Node, market: Market) -> None:
    """What stands before a seal in a batch sees the old head, what stands after it the new."""
    number = market.head.number
    answers = await client.rpc.batch(
        [("eth_blockNumber", ()), ("evm_mine", ()), ("eth_blockNumber", ()), ("nonsense", ())]
    )

    assert [hex(number), "0x0", hex(number + 1)] == answers[:3]
    assert isinstance(answers[3], RpcError)


async def test_subscribers_hear_of_each_block_once(server: WebServer, market: Market) -> None:
    """newHeads comes through the WebSocket: one notice a block, none for what was simulated."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.ws_url) as socket,
    ):
        await socket.send_json(
            {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
        )
        await socket.receive_json()
        heads = [await market.seal() for _ in range(3)]
        heard = [(await socket.receive_json())["params"]["result"]["hash"] for _ in heads]

    assert [head.hash for head in heads] == heard


@pytest.mark.parametrize("method", [["evm_mine"], {}, None, 5])
async def test_a_method_that_is_no_text_is_an_error(server: WebServer, method: object) -> None:
    """Alone, in a batch, and over a WebSocket, which stays open."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method}
    async with aiohttp.ClientSession() as session, session.ws_connect(server.ws_url) as socket:
        async with session.post(server.url, json=request) as response:
            alone = await response.json()
        async with session.post(server.url, json=[request]) as response:
            batch = await response.json()
        await socket.send_json(request)
        over_socket = await socket.receive_json()

    assert [-32600] * 2 == [each["error"]["code"] for each in (alone, over_socket)]
    assert "error" in (batch[0] if isinstance(batch, list) else batch)


async def test_what_is_not_json_is_told_so(server: WebServer) -> None:
    """A body that is not JSON is -32700, as for any node."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=b"{") as response,
    ):
        document: dict[str, Any] = orjson.loads(await response.read())

    assert document["error"]["code"] == -32700


@pytest.mark.parametrize("method", ["toolkit_info", "eth_sendRawTransaction", "eth_blockNumber"])
async def test_an_id_that_is_none_is_refused(server: WebServer, method: str) -> None:
    """An id may be read that is too deep to be written again: an error, and not a broken server."""
    body = b'{"jsonrpc":"2.0","method":"%b","params":[],"id":%b}' % (
        method.encode(),
        b"[" * 500 + b"]" * 500,
    )
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data=body) as response,
    ):
        document: dict[str, Any] = orjson.loads(await response.read())

    assert response.status == 200
    assert "error" in document


async def test_a_body_that_is_not_packed_as_it_says_is_refused(server: WebServer) -> None:
    """HTTP 400, and the server goes on."""
    body, packed = b'{"id":1,"method":"toolkit_info"}', {"Content-Encoding": "gzip"}
    async with aiohttp.ClientSession() as session:
        async with session.post(server.url, data=body, headers=packed) as refused:
            status = refused.status
        async with session.post(server.url, data=body) as served:
            await served.read()

    assert (400, 200) == (status, served.status)


async def test_a_dead_anvil_is_named(client: Node, fork: Anvil) -> None:
    """When Anvil is gone the front answers one line instead of hanging."""
    await fork.stop()

    with pytest.raises(RpcError, match="may have died"):
        await client.rpc.call("eth_blockNumber")


async def test_the_gate_lets_nobody_in_while_it_is_closed() -> None:
    """A closure waits for those inside, keeps newcomers out, and lets them in afterwards."""
    gate, log = Gate(), []
    inside = asyncio.Event()

    async def pass_through(name: str) -> None:
        async with gate.passage():
            log.append(f"{name} in")
            if name == "first":
                await inside.wait()
            log.append(f"{name} out")

    async def close() -> None:
        async with gate.closure():
            log.append("closed")
            await asyncio.sleep(0)
            log.append("opened")

    first = asyncio.create_task(pass_through("first"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(close())
    await asyncio.sleep(0)
    second = asyncio.create_task(pass_through("second"))
    await asyncio.sleep(0)
    inside.set()
    await asyncio.gather(first, closing, second)

    assert ["first in", "first out", "closed", "opened", "second in", "second out"] == log
