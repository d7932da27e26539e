import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.devnet.conftest import ACCOUNTS, Wallet
from toolkit.chain.hashing import keccak
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.dialects import PROFILES, BuilderProfile
from toolkit.devnet.building.failures import Failures
from toolkit.devnet.building.relay_server import serve_relay
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.tx import SignedTransaction

SIGNER = ACCOUNTS[0].signer
HEAD = Head(
    number=100,
    hash=Hash("0x" + "01" * 32),
    parent_hash=Hash("0x" + "02" * 32),
    timestamp=1_700_000_000,
    base_fee_per_gas=10**9,
    gas_limit=36_000_000,
    gas_used=18_000_000,
)
NEXT = hex(HEAD.number + 1)


def signed(nonce: int = 0, *, account: int = 1, chain_id: int = 1) -> SignedTransaction:
    """A transfer of an account of these tests."""
    return Wallet(ACCOUNTS[account]).sign(nonce=nonce, chain_id=chain_id)


def builder_of(name: str = "flashbots", **changes: Any) -> Builder:
    """A builder without a market, and without a node to ask."""
    return builder_with(msgspec.structs.replace(PROFILES[name], **changes))


def builder_with(profile: BuilderProfile) -> Builder:
    """The same for any row."""
    return Builder(
        name=profile.name,
        fee_recipient=Address("0x" + "fe" * 20),
        rpc=HttpRpc("http://127.0.0.1:9"),
        head=HEAD,
        profile=profile,
        chain_id=1,
        failures=Failures(profile.failure),
    )


def moved(builder: Builder, blocks: int = 1) -> None:
    """Let the chain go on."""
    builder.advance(msgspec.structs.replace(builder.head, number=builder.head.number + blocks))


def header(body: bytes, signer: LocalSigner = SIGNER) -> str:
    """What signs these bytes."""
    return f"{signer.address}:{signer.sign_message_now(('0x' + keccak(body).hex()).encode())}"


class Client:
    """Posts requests to a relay."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session

    async def post(self, body: bytes, **headers: str) -> tuple[int, str]:
        """Status and text, whatever they are."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.url, data=body, headers=named) as response:
            return response.status, await response.text()

    async def raw(self, body: bytes, signature: str | None) -> dict[str, Any]:
        """The JSON that answers a body."""
        headers = {"X_Flashbots_Signature": signature} if signature else {}
        _, text = await self.post(body, **headers)
        document: dict[str, Any] = json.loads(text)
        return document

    async def ask(
        self, method: str, *params: object, signer: LocalSigner = SIGNER
    ) -> dict[str, Any]:
        """The JSON that answers a signed request."""
        body = request(method, *params)
        return await self.raw(body, header(body, signer))

    async def sent(
        self, method: str, *params: object, signer: LocalSigner = SIGNER
    ) -> tuple[int, str]:
        """Status and text that answer a signed request."""
        body = request(method, *params)
        return await self.post(body, X_Flashbots_Signature=header(body, signer))


def request(method: str, *params: object) -> bytes:
    """A JSON-RPC body."""
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()


Serve = Callable[[Builder], Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve a builder's relay; a client of it."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(builder: Builder) -> Client:
            server = await serve_relay(builder)
            stack.push_async_callback(server.close)
            return Client(server.url, session)

        yield start
