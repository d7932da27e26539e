import asyncio
import socket
from typing import Any

import pytest

from toolkit.chain.rpc import HttpRpc, WsRpc, open_rpc
from toolkit.devnet.anvil import Anvil
from toolkit.model.errors import (
    ConfigError,
    NodeError,
    NodeTimeout,
    NodeUnavailable,
    RpcError,
)


def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_batch_carries_the_error_of_each_item(
    serve: Any, refuses: Any, scheme: str
) -> None:
    """One refused item of a batch is a value at its place; the others have their results."""

    def handler(method: str, params: list[Any]) -> Any:
        if params[0] % 3 == 1:
            raise refuses(-32000, f"item {params[0]} is bad", "0xdead")
        return params[0] * 10

    scripted = await serve(handler)
    url = scripted.url if scheme == "http" else scripted.ws_url
    async with open_rpc(url) as rpc:
        results = await rpc.batch([("eth_call", [n]) for n in range(2100)])

    assert 2100 == len(results)
    for number, result in enumerate(results):
        if number % 3 == 1:
            assert isinstance(result, RpcError)
            assert (-32000, f"item {number} is bad", "0xdead") == (
                result.code,
                result.message,
                result.data,
            )
        else:
            assert number * 10 == result


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_an_error_object_is_raised_by_a_single_call(
    serve: Any, refuses: Any, scheme: str
) -> None:
    """RpcError carries code, message and data."""

    def handler(method: str, params: list[Any]) -> Any:
        raise refuses(-32601, "the method does not exist", {"hint": 1})

    scripted = await serve(handler)
    async with open_rpc(scripted.url if scheme == "http" else scripted.ws_url) as rpc:
        with pytest.raises(RpcError) as caught:
            await rpc.call("eth_unheardOf")

    assert (-32601, "the method does not exist", {"hint": 1}) == (
        caught.value.code,
        caught.value.message,
        caught.value.data,
    )


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_silent_node_ends_at_the_deadline(serve: Any, scheme: str) -> None:
    """A node that never answers costs the deadline and no more."""

    async def never(method: str, params: list[Any]) -> Any:
        await asyncio.Event().wait()

    scripted = await serve(never)
    async with open_rpc(scripted.url if scheme == "http" else scripted.ws_url) as rpc:
        with pytest.raises(
            NodeTimeout, match=r"eth_chainId from \w+://127.0.0.1:\d+ within 0.05 s"
        ):
            await rpc.call("eth_chainId", timeout_s=0.05)
        with pytest.raises(NodeTimeout, match="a batch of 2"):
            await rpc.batch([("eth_chainId", ()), ("eth_chainId", ())], timeout_s=0.05)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_reads_are_repeated_after_a_lost_connection(
    serve: Any, breaks: Any, scheme: str
) -> None:
    """An idempotent call whose connection is cut twice is answered at the third try."""
    cuts = 2

    def handler(method: str, params: list[Any]) -> Any:
        nonlocal cuts
        cuts -= 1
        if cuts >= 0:
            raise breaks
        return "0x1"

    scripted = await serve(handler)
    async with open_rpc(scripted.url if scheme == "http" else scripted.ws_url) as rpc:
        answer = await rpc.call("eth_chainId")

    assert "0x1" == answer
    assert ["eth_chainId"] * 3 == scripted.asked


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_repetition_is_bounded(serve: Any, breaks: Any, scheme: str) -> None:
    """A node that cuts every connection is asked three times in all."""

    def handler(method: str, params: list[Any]) -> Any:
        raise breaks

    scripted = await serve(handler)
    async with open_rpc(scripted.url if scheme == "http" else scripted.ws_url) as rpc:
        with pytest.raises(NodeUnavailable) as caught:
            await rpc.call("eth_chainId")

    assert caught.value.sent
    assert 3 == len(scripted.asked)


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize(
    "method", ["eth_sendRawTransaction", "eth_sendTransaction", "eth_sendBundle", "evm_mine"]
)
async def test_a_send_is_never_repeated(serve: Any, breaks: Any, scheme: str, method: str) -> None:
    """A send whose answer was lost leaves once; the error says that bytes may have left."""

    def handler(asked: str, params: list[Any]) -> Any:
        raise breaks

    scripted = await serve(handler)
    async with open_rpc(scripted.url if scheme == "http" else scripted.ws_url) as rpc:
        with pytest.raises(NodeUnavailable) as caught:
            await rpc.call(method, ["0x02"])

    assert caught.value.sent
    assert [method] == scripted.asked


async def test_a_batch_with_a_send_in_it_is_never_repeated(serve: Any, breaks: Any) -> None:
    """One send among reads makes the whole batch unrepeatable."""

    def handler(method: str, params: list[Any]) -> Any:
        raise breaks

    scripted = await serve(handler)
    async with HttpRpc(scripted.url) as rpc:
        with pytest.raises(NodeUnavailable):
            await rpc.batch([("eth_sendRawTransaction", ["0x02"]), ("eth_chainId", ())])

    assert 1 == len(scripted.asked)


@pytest.mark.parametrize(("code", "asked"), [(429, 3), (502, 3), (503, 3), (504, 3)])
async def test_an_overloaded_node_is_asked_again(
    serve: Any, status: Any, code: int, asked: int
) -> None:
    """HTTP 429 and 50x count as unavailable: reads are repeated, then the status is named."""

    def handler(method: str, params: list[Any]) -> Any:
        raise status(code)

    scripted = await serve(handler)
    async with HttpRpc(scripted.url) as rpc:
        with pytest.raises(NodeUnavailable, match=f"HTTP {code}"):
            await rpc.call("eth_chainId")

    assert asked == len(scripted.asked)


async def test_an_error_object_in_an_http_error_is_still_read(serve: Any, status: Any) -> None:
    """A JSON-RPC error with HTTP 400 is understood; without one the status is told."""
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"bad params"}}'

    def handler(method: str, params: list[Any]) -> Any:
        raise status(400, body if method == "eth_chainId" else b"<html>")

    scripted = await serve(handler)
    async with HttpRpc(scripted.url) as rpc:
        with pytest.raises(RpcError, match="bad params"):
            await rpc.call("eth_chainId")
        with pytest.raises(NodeError, match="HTTP 400 without a JSON body"):
            await rpc.call("eth_blockNumber")


@pytest.mark.parametrize(("scheme", "said"), [("http", "HTTP 307"), ("ws", "Redirected")])
async def test_a_redirect_is_not_followed(serve: Any, scheme: str, said: str) -> None:
    """Signed bytes go to the host that was configured and to no other."""
    from aiohttp import web

    reached: list[str] = []
    other = await serve(lambda method, _: reached.append(method))

    async def away(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": other.url})

    app = web.Application()
    app.router.add_route("*", "/", away)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with open_rpc(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}") as rpc:
            with pytest.raises(NodeError, match=said):
                await rpc.call("eth_sendRawTransaction", ["0x02"])
    finally:
        await runner.cleanup()

    assert [] == reached


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_nothing_left_when_the_connection_is_refused(scheme: str) -> None:
    """A refused connection is NodeUnavailable with `sent` False, without the URL's secrets."""
    url = f"{scheme}://user:secret@127.0.0.1:{unused_port()}/apikey"
    async with open_rpc(url) as rpc:
        with pytest.raises(NodeUnavailable) as caught:
            await rpc.call("eth_sendRawTransaction", ["0x02"])

    assert not caught.value.sent
    assert "secret" not in str(caught.value)
    assert "apikey" not in str(caught.value)
    assert "secret" not in repr(rpc)


@pytest.mark.parametrize("url", ["", "localhost:8545", "ipc:///tmp/geth.ipc", "ftp://x", "8545"])
def test_other_schemes_are_refused(url: str) -> None:
    """Only http, https, ws and wss are addresses of nodes."""
    with pytest.raises(ConfigError, match="http://"):
        open_rpc(url)


@pytest.mark.parametrize(
    "url", ["http://[::1", "ws://h:99999", "http://user:secret", "wss://h:x", "ws://a..b"]
)
def test_what_cannot_be_an_address_is_one_line_without_its_parts(url: str) -> None:
    """A host or port that cannot be read is a bad setting, and nothing of it is shown."""
    with pytest.raises(ConfigError, match="host or port cannot be read") as caught:
        open_rpc(url)

    assert "secret" not in str(caught.value)


async def test_a_large_request_goes_out_whole(serve: Any) -> None:
    """A single call of several MiB is one request."""
    scripted = await serve(lambda _, params: len(params[0]))
    async with HttpRpc(scripted.url) as rpc:
        size = await rpc.call("eth_call", ["0x" + "ab" * 1_500_000])

    assert 3_000_002 == size


async def test_requests_over_one_socket_do_not_wait_for_each_other(serve: Any) -> None:
    """A slow request and a fast one share the socket; each gets its own answer."""
    release = asyncio.Event()

    async def handler(method: str, params: list[Any]) -> Any:
        if method == "eth_call":
            await release.wait()
        return method

    scripted = await serve(handler)
    async with WsRpc(scripted.ws_url) as rpc:
        slow = asyncio.create_task(rpc.call("eth_call"))
        fast = await rpc.call("eth_chainId")
        release.set()

        assert ("eth_chainId", "eth_call") == (fast, await slow)
    assert 1 == len(scripted.sockets)


async def test_a_subscription_ends_loudly_when_the_connection_is_lost(serve: Any) -> None:
    """What was received is read, then NodeUnavailable; the next call connects again."""
    scripted = await serve(lambda method, _: "0x5" if method == "eth_subscribe" else "0x1")
    event = '{"jsonrpc":"2.0","method":"eth_subscription","params":%s}'
    async with WsRpc(scripted.ws_url) as rpc:
        subscription = await rpc.subscribe("newHeads")
        await scripted.sockets[0].send_str(event % '{"subscription":"0x5","result":{"n":1}}')
        await scripted.sockets[0].send_str(event % '{"subscription":"0x9","result":{"n":2}}')
        await scripted.sockets[0].close()

        assert {"n": 1} == await anext(subscription)
        with pytest.raises(NodeUnavailable):
            await anext(subscription)
        with pytest.raises(NodeUnavailable):
            await anext(subscription)
        await subscription.close()
        assert "0x1" == await rpc.call("eth_chainId")
    assert 2 == len(scripted.sockets)
    assert "eth_unsubscribe" not in scripted.asked


@pytest.mark.parametrize(
    "frame",
    ["not json", "[1]", '{"method":"eth_subscription"}', '{"id":null,"error":{"message":"what?"}}'],
)
async def test_a_frame_that_makes_no_sense_fails_who_waits(serve: Any, frame: str) -> None:
    """After an unreadable frame no answer can be trusted, so everyone in flight is told."""

    async def handler(method: str, params: list[Any]) -> Any:
        await scripted.sockets[0].send_str(frame)
        await asyncio.Event().wait()

    scripted = await serve(handler)
    async with WsRpc(scripted.ws_url, retries=0) as rpc:
        with pytest.raises(NodeError):
            await rpc.call("eth_chainId")


async def test_heads_arrive_by_subscription(anvil: Anvil) -> None:
    """A real node's newHeads come in order, and stop after unsubscribing."""
    async with WsRpc(anvil.ws_url) as rpc:
        heads = await rpc.subscribe("newHeads")
        for _ in range(3):
            await rpc.call("evm_mine")
        numbers = [int((await anext(heads))["number"], 16) for _ in range(3)]
        await heads.close()

        assert [1, 2, 3] == numbers
        with pytest.raises(StopAsyncIteration):
            await anext(heads)
