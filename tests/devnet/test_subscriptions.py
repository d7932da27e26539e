"""Who hears of public transactions, and that nobody hears of private ones."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from eth_typing import ChecksumAddress, HexAddress, HexStr
from web3 import AsyncHTTPProvider, AsyncWeb3, WebSocketProvider
from web3.exceptions import Web3RPCError

from tests.devnet.conftest import GWEI, Sender, Wallet, submit
from toolkit.chain.hashing import checksum
from toolkit.chain.node import Node
from toolkit.chain.rpc import Rpc
from toolkit.devnet import subscriptions
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.front import Front
from toolkit.devnet.strict_node import StrictNode
from toolkit.devnet.web import listen, serve
from toolkit.model.errors import RpcError


class Socket:
    """A WebSocket client that sorts answers from notices."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.notices: list[Any] = []

    async def ask(self, method: str, *params: object) -> Any:
        await self._socket.send_json(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        )
        while True:
            document = await self._socket.receive_json()
            if "id" in document:
                return document.get("result", document.get("error"))
            self.notices.append(document["params"])

    async def notice(self) -> Any:
        if not self.notices:
            document = await asyncio.wait_for(self._socket.receive_json(), 5)
            self.notices.append(document["params"])
        return self.notices.pop(0)

    async def closed(self) -> bool:
        message = await asyncio.wait_for(self._socket.receive(), 5)
        return message.type is aiohttp.WSMsgType.CLOSE


async def connected(url: str) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        yield Socket(socket)


@pytest.fixture
async def socket(strict: StrictNode) -> AsyncIterator[Socket]:
    async for each in connected(strict.ws_url):
        yield each


async def test_hashes_come_when_they_become_executable(socket: Socket, strict: StrictNode) -> None:
    """A gapped one is not announced before its gap is filled; each one is announced once."""
    sender = Sender(strict)
    name = await socket.ask("eth_subscribe", "newPendingTransactions")
    signed = [sender.sign(nonce) for nonce in range(3)]
    for nonce in (0, 2, 1):
        await strict.public_pool.send_raw(signed[nonce].raw)
    heard = [await socket.notice() for _ in range(3)]
    await strict.seal()
    await strict.public_pool.send_raw(sender.sign(3).raw)
    heard.append(await socket.notice())

    assert {name} == {each["subscription"] for each in heard}
    assert [each.hash for each in (*signed, sender.sign(3))] == [each["result"] for each in heard]


async def test_whole_transactions_on_request(socket: Socket, strict: StrictNode) -> None:
    """With true as the second parameter each notice is the transaction itself."""
    await socket.ask("eth_subscribe", "newPendingTransactions", True)
    signed = Sender(strict).sign()
    await strict.public_pool.send_raw(signed.raw)
    heard = (await socket.notice())["result"]

    assert heard == await socket.ask("eth_getTransactionByHash", signed.hash)


async def test_a_replacement_and_a_return_are_announced(socket: Socket, strict: StrictNode) -> None:
    """What replaces another is new; what a reorg brings back is news again."""
    await socket.ask("eth_subscribe", "newPendingTransactions")
    sender = Sender(strict)
    first, better = sender.sign(0), sender.sign(0, tip=2 * GWEI, cap=200 * GWEI)
    for each in (first, better):
        await strict.public_pool.send_raw(each.raw)
    await strict.seal()
    await strict.reorg(1)
    heard = [(await socket.notice())["result"] for _ in range(3)]

    assert [first.hash, better.hash, better.hash] == heard


async def test_what_was_lost_and_comes_again_is_announced_again(
    socket: Socket, strict: StrictNode
) -> None:
    """After anvil_dropTransaction, or a node that lost its whole pool."""
    await socket.ask("eth_subscribe", "newPendingTransactions")
    signed = Sender(strict).sign()
    await strict.public_pool.send_raw(signed.raw)
    await socket.ask("anvil_dropTransaction", signed.hash)
    await strict.public_pool.send_raw(signed.raw)
    await socket.ask("anvil_dropAllTransactions")
    await strict.public_pool.send_raw(signed.raw)

    assert [signed.hash] * 3 == [(await socket.notice())["result"] for _ in range(3)]


async def test_a_subscriber_that_does_not_read_is_hung_up_on(
    socket: Socket, strict: StrictNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once more waits for it than is kept, its connection is closed, as at geth."""
    monkeypatch.setattr(subscriptions, "MAX_UNHEARD", 1)
    await socket.ask("eth_subscribe", "newPendingTransactions")
    sender = Sender(strict)
    await strict.public_pool.send_all([sender.sign(nonce) for nonce in range(4)])
    first = await socket.notice()

    assert sender.sign(0).hash == first["result"]
    assert await socket.closed()


async def test_the_oldest_filter_makes_room(
    rpc: Rpc, strict: StrictNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the least recently opened filter is closed, and hears nothing more."""
    monkeypatch.setattr(subscriptions, "MAX_FILTERS", 2)
    names = [await rpc.call("eth_newPendingTransactionFilter") for _ in range(3)]

    assert 2 == len(strict.public_pool._listeners)
    with pytest.raises(RpcError, match="filter not found"):
        await rpc.call("eth_getFilterChanges", (names[0],))
    assert [] == await rpc.call("eth_getFilterChanges", (names[2],))


async def test_unsubscribing_ends_it(socket: Socket, strict: StrictNode) -> None:
    """True for one of its own, after which nothing is heard; an unknown one is Anvil's business."""
    name = await socket.ask("eth_subscribe", "newPendingTransactions")
    ended = await socket.ask("eth_unsubscribe", name)
    await strict.public_pool.send_raw(Sender(strict).sign().raw)
    again = await socket.ask("eth_unsubscribe", name)
    refused = await socket.ask("eth_unsubscribe", ["no", "name"])
    await socket.ask("eth_chainId")

    assert (True, False) == (ended, again)
    assert -32602 == refused["code"]
    assert [] == socket.notices


async def test_heads_and_logs_are_still_anvils(socket: Socket, strict: StrictNode) -> None:
    """newHeads comes for each sealed block and each block of a reorg."""
    await socket.ask("eth_subscribe", "newHeads")
    await strict.seal(2)
    await strict.reorg(1)
    numbers = [int((await socket.notice())["result"]["number"], 16) for _ in range(3)]

    assert [1, 2, 2] == numbers


async def test_a_subscriber_that_leaves_is_forgotten(strict: StrictNode) -> None:
    """A closed connection leaves no listener behind."""
    async for each in connected(strict.ws_url):
        await each.ask("eth_subscribe", "newPendingTransactions")
        before = len(strict.public_pool._listeners)
    async with asyncio.timeout(5):
        while strict.public_pool._listeners:
            await strict.seal()

    assert 1 == before


async def test_nobody_hears_of_a_bundle_before_it_is_mined(
    node: Node, market: Market, wallets: list[Wallet]
) -> None:
    """Neither subscribers nor filters, nor the pool itself, tell a private transaction's hash."""
    async with aiohttp.ClientSession() as session:
        front = Front(
            node.rpc, market, seal=market.seal, info={}, session=session, faults=FaultScript()
        )
        server = await serve(front.handle, listen(what="front"))
        async for socket in connected(server.ws_url):
            await socket.ask("eth_subscribe", "newPendingTransactions")
            poll = await socket.ask("eth_newPendingTransactionFilter")
            private, public = wallets[1].sign(tip=9 * GWEI), wallets[2].sign()
            await submit(market, private)
            await market.pool.send_raw(public.raw)
            await market.seal()
            filtered = await socket.ask("eth_getFilterChanges", poll)
            await socket.ask("eth_chainId")
            heard = [each["result"] for each in socket.notices]
        await server.close()

    assert [private.hash, public.hash] == (await node.block())["transactions"]
    assert [public.hash] == heard == filtered


async def test_filters_are_polled(rpc: Rpc, strict: StrictNode) -> None:
    """Each poll gives what came since the last one; a closed filter is not found."""
    sender = Sender(strict)
    hashes = await rpc.call("eth_newPendingTransactionFilter")
    whole = await rpc.call("eth_newPendingTransactionFilter", (True,))
    blocks = await rpc.call("eth_newBlockFilter")
    signed = sender.sign(0)
    await rpc.call("eth_sendRawTransaction", (signed.raw,))
    first = await rpc.call("eth_getFilterChanges", (hashes,))
    second = await rpc.call("eth_getFilterChanges", (hashes,))
    full = await rpc.call("eth_getFilterChanges", (whole,))
    head = await strict.seal()
    new_blocks = await rpc.call("eth_getFilterChanges", (blocks,))
    closed = [await rpc.call("eth_uninstallFilter", (hashes,)) for _ in range(2)]

    assert ([signed.hash], []) == (first, second)
    assert signed.hash == full[0]["hash"]
    assert [head.hash] == new_blocks
    assert [True, False] == closed
    with pytest.raises(RpcError, match="filter not found"):
        await rpc.call("eth_getFilterChanges", (hashes,))


async def test_web3_sends_counts_and_polls(strict: StrictNode) -> None:
    """web3.py over HTTP: raw sends, pending counts, filters, pool and refusals in its own terms."""
    w3 = AsyncWeb3(AsyncHTTPProvider(strict.rpc_url))
    sender = Sender(strict)
    account = ChecksumAddress(HexAddress(HexStr(checksum(sender.address))))
    try:
        poll = await w3.eth.filter("pending")
        sent = await w3.eth.send_raw_transaction(HexStr(sender.sign(0).raw))
        count = await w3.eth.get_transaction_count(account, "pending")
        pending = await w3.eth.get_transaction(sent)
        block = await w3.eth.get_block("pending", full_transactions=True)
        entries = await poll.get_new_entries()
        status = await w3.geth.txpool.status()
        with pytest.raises(Web3RPCError, match="already known"):
            await w3.eth.send_raw_transaction(HexStr(sender.sign(0).raw))
        await strict.seal()
        receipt = await w3.eth.wait_for_transaction_receipt(sent, timeout=5)
    finally:
        await w3.provider.disconnect()

    assert (1, 1) == (count, receipt["blockNumber"])
    found: list[Any] = [pending, *block["transactions"]]
    assert [sent] * 2 == [each["hash"] for each in found]
    polled: list[Any] = list(entries)
    assert [sent] == polled
    assert (account, "0x1") == (pending["from"], hex(int(str(status["pending"]), 0)))


async def test_web3_subscribes(strict: StrictNode) -> None:
    """web3.py over WebSocket: a subscription to pending hashes, and its sends beside it."""
    async with AsyncWeb3(WebSocketProvider(strict.ws_url)) as w3:
        await w3.eth.subscribe("newPendingTransactions")
        sent = await w3.eth.send_raw_transaction(HexStr(Sender(strict).sign(0).raw))
        async for message in w3.socket.process_subscriptions():
            heard = message["result"]
            break

    assert sent == heard
