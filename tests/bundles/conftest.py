"""An honest relay: checks signatures with eth-account, names bundles itself, fails as told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from tests.bundles.rig import Rig
from toolkit.chain.node import Node
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import start_anvil
from toolkit.model.bundle import Bundle, GuardKind
from toolkit.model.chain import Address, HeadChange
from toolkit.model.tx import SignedTransaction, UnsignedTransaction

KEY = "0x" + "11" * 32
OTHER_KEY = "0x" + "22" * 32


class FakeRelay:
    """Answers as a relay does; `reply` overrides with (status, text), None hangs."""

    def __init__(self) -> None:
        self.url = ""
        self.reply: tuple[int, str] | Callable[[dict[str, Any]], tuple[int, str]] | None = (0, "")
        self.location = ""  # a redirect's target
        self.more_headers: dict[str, str] = {}  # of a reply that was told
        self.bundles: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.headers: list[str] = []
        self.authorizations: list[str] = []
        self.never = asyncio.Event()

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        asked = json.loads(body)
        header = request.headers.get("X-Flashbots-Signature", "")
        self.bodies.append(body)
        self.headers.append(header)
        self.authorizations.append(request.headers.get("Authorization", ""))
        self.requests.append(asked)
        if self.reply is None:
            await self.never.wait()
            return web.Response(text="{}")
        status, text = self.reply(asked) if callable(self.reply) else self.reply
        if text:
            where = {"Location": self.location} if self.location else {}
            return web.Response(status=status, text=text, headers=where | self.more_headers)
        if not _signed(header, body):
            return _json(error={"code": -32600, "message": "signature is required"})
        return _json(result=self._result(asked["method"], asked["params"][0]))

    def _result(self, method: str, params: dict[str, Any]) -> object:
        if method == "eth_sendBundle":
            self.bundles.append(params)
            hashes = b"".join(keccak(bytes.fromhex(raw[2:])) for raw in params["txs"])
            return {"bundleHash": "0x" + keccak(hashes).hex()}
        if method == "eth_sendPrivateTransaction":
            return "0x" + keccak(bytes.fromhex(params["tx"][2:])).hex()
        return {"method": method}


def _json(**fields: object) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": 1, **fields})


def _signed(header: str, body: bytes) -> bool:
    if ":" not in header:
        return False
    claimed, signature = header.split(":", 1)
    message = encode_defunct(text="0x" + keccak(body).hex())
    return bool(Account.recover_message(message, signature=signature).lower() == claimed.lower())


@pytest.fixture
async def relay_server() -> AsyncIterator[Callable[[], Awaitable[FakeRelay]]]:
    """Start an honest relay on loopback; call it for as many as needed."""
    runners: list[tuple[web.AppRunner, FakeRelay]] = []

    async def start() -> FakeRelay:
        relay = FakeRelay()
        app = web.Application(client_max_size=1 << 22)
        app.router.add_post("/", relay.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        relay.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        runners.append((runner, relay))
        return relay

    yield start
    for runner, relay in runners:
        relay.never.set()
        await runner.cleanup()


@pytest.fixture
def signer() -> LocalSigner:
    return LocalSigner(KEY)


@pytest.fixture
def other_signer() -> LocalSigner:
    return LocalSigner(OTHER_KEY)


@pytest.fixture
def transfer() -> Callable[..., SignedTransaction]:
    """Sign a plain transfer: transfer(signer, nonce=0, to=..., ...)."""

    def sign(signer: LocalSigner, **fields: Any) -> SignedTransaction:
        filled: dict[str, Any] = {
            "type": 2,
            "chain_id": 1,
            "nonce": 0,
            "to": Address("0x" + "aa" * 20),
            "value": 1,
            "data": "0x",
            "gas": 21_000,
            "max_fee_per_gas": 30 * 10**9,
            "max_priority_fee_per_gas": 10**9,
        }
        return signer.sign_transaction_now(UnsignedTransaction(**(filled | fields)))

    return sign


@pytest.fixture
def bundle_of() -> Callable[..., Bundle]:
    """Bundle signed transactions: bundle_of(tx, tx, target_block=1, ...), guarded by block."""

    def make(*transactions: SignedTransaction, **fields: Any) -> Bundle:
        filled: dict[str, Any] = {
            "transactions": tuple(one.raw for one in transactions),
            "hashes": tuple(one.hash for one in transactions),
            "target_block": 1,
            "guards": (GuardKind.BLOCK,),
        }
        return Bundle(**(filled | fields))

    return make


class Chain:
    """Anvil that mines exactly what a test puts into a block."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def seal(self, *raws: str) -> HeadChange:
        """Mine these and nothing else, in this order."""
        for raw in raws:
            await self.node.send_raw(raw)
        await self.node.rpc.call("evm_mine", [])
        head = await self.node.head()
        receipts = await self.node.receipts(head.hash)
        assert len(raws) == len(receipts), "anvil left a transaction out"
        return HeadChange(added=(head,))

    async def fund(self, *accounts: Address) -> None:
        for account in accounts:
            await self.node.rpc.call("anvil_setBalance", [account, hex(10**20)])


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    """A chain of its own, with chain id 1 and blocks on demand in exact order."""
    async with await start_anvil(["--no-mining", "--order", "fifo", "--chain-id", "1"]) as anvil:
        node = Node(open_rpc(anvil.url))
        yield Chain(node)
        await node.rpc.close()


@pytest.fixture
async def rig(
    chain: Chain, relay_server: Callable[[], Awaitable[FakeRelay]], signer: LocalSigner
) -> Any:
    """Build a rig: rig(relays=2, ...); everything is closed after the test."""
    built: list[Rig] = []

    async def build(*, relays: int = 2, **fields: Any) -> Rig:
        servers = [await relay_server() for _ in range(relays)]
        await chain.fund(signer.address)
        built.append(Rig(chain, servers, signer, **fields))
        return built[-1]

    yield build
    for one in built:
        await one.close()
