import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc, Rpc, WsRpc
from toolkit.devnet.accounts import DevAccount
from toolkit.devnet.anvil import Anvil
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.participants import user_accounts, user_funding
from toolkit.devnet.protocols import V2_ROUTER, V3_ROUTER
from toolkit.devnet.public_pool import open_pool, rules_of
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.devnet.twin import Funding, Twin, TwinConfig, build_twin, fork_twin
from toolkit.model.chain import Address, Mode
from toolkit.model.tx import SignedTransaction, UnsignedTransaction

SEED = 7
ACCOUNTS = user_accounts(SEED, 6)
OWNER = ACCOUNTS[0].address
GWEI = 10**9


@pytest.fixture(scope="session")
def twin() -> Iterator[Twin]:
    """One twin with stand-in tokens for all tests here; each forks it for itself."""
    before = os.environ.get("TOOLKIT_DATA")
    os.environ["TOOLKIT_DATA"] = "/nonexistent"
    funded = tuple(
        Funding(account=each.account, amounts=each.amounts, spenders=(V2_ROUTER, V3_ROUTER))
        for each in user_funding(SEED, len(ACCOUNTS))
    )
    try:
        built = asyncio.run(build_twin(TwinConfig(seed=SEED, funded=funded)))
    finally:
        del os.environ["TOOLKIT_DATA"]
        if before is not None:
            os.environ["TOOLKIT_DATA"] = before
    yield built
    asyncio.run(built.anvil.stop())


@pytest.fixture
async def fork(twin: Twin) -> AsyncIterator[Anvil]:
    """A fresh fork of the twin."""
    async with await fork_twin(twin) as anvil:
        yield anvil


@pytest.fixture
async def node(fork: Anvil) -> AsyncIterator[Node]:
    """A client of the fork, with the chain's usual 12 seconds between blocks."""
    async with HttpRpc(fork.url) as rpc:
        await rpc.call("anvil_setBlockTimestampInterval", (12,))
        yield Node(rpc)


@pytest.fixture
async def market(node: Node, twin: Twin) -> Market:
    """Two builders without web servers."""
    builders = [
        Builder(
            name=f"builder-{index}",
            fee_recipient=Address(f"0x{0xFEE0 + index:040x}"),
            rpc=node.rpc,
            head=twin.head,
        )
        for index in (1, 2)
    ]
    return Market(
        node.rpc,
        builders,
        pool=await open_pool(node.rpc, rules_of("geth")),
        seed=SEED,
        chain_id=1,
        mode=Mode.DEV,
        head=twin.head,
    )


class Wallet:
    """Signs transactions of one account with rising nonces."""

    def __init__(self, account: DevAccount) -> None:
        self.account = account
        self._nonces = itertools.count()

    def sign(
        self,
        to: Address = OWNER,
        *,
        nonce: int | None = None,
        value: int = 0,
        data: str = "0x",
        gas: int = 400_000,
        tip: int = GWEI,
        cap: int = 100 * GWEI,
        chain_id: int = 1,
    ) -> SignedTransaction:
        return self.account.signer.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=chain_id,
                nonce=next(self._nonces) if nonce is None else nonce,
                to=to,
                value=value,
                data=data,
                gas=gas,
                max_fee_per_gas=cap,
                max_priority_fee_per_gas=tip,
            )
        )


@pytest.fixture
def wallets() -> list[Wallet]:
    """One wallet for each funded account, at nonce 10: 5 tokens x 2 routers were approved."""
    found = [Wallet(account) for account in ACCOUNTS]
    for wallet in found:
        wallet._nonces = itertools.count(10)
    return found


async def submit(
    market: Market, *transactions: SignedTransaction, number: int | None = None, **fields: object
) -> None:
    """Give a bundle to every builder, as a submitter that fans out does."""
    target = market.head.number + 1 if number is None else number
    bundle = {"txs": [each.raw for each in transactions], "blockNumber": hex(target), **fields}
    for builder in market.builders:
        await builder.handle("eth_sendBundle", [bundle], OWNER)


class Sender:
    """Signs for one account of a strict node."""

    def __init__(self, node: StrictNode, index: int = 0) -> None:
        self._node = node
        self.account = node.accounts[index]
        self.address = self.account.address

    def sign(
        self,
        nonce: int = 0,
        *,
        tip: int = GWEI,
        cap: int = 100 * GWEI,
        value: int = 1,
        gas: int = 21_000,
        data: str = "0x",
        kind: int = 2,
        delegate: Address | None = None,
    ) -> SignedTransaction:
        unsigned = UnsignedTransaction(
            type=kind,
            chain_id=self._node.chain_id,
            nonce=nonce,
            to=self._node.accounts[-1].address,
            value=value,
            data=data,
            gas=gas,
        )
        if kind in {2, 4}:
            unsigned = replace(unsigned, max_fee_per_gas=cap, max_priority_fee_per_gas=tip)
        else:
            unsigned = replace(unsigned, gas_price=cap)
        signer = self.account.signer
        if delegate is not None:
            grant = signer.sign_authorization(chain_id=0, address=delegate, nonce=nonce + 1)
            unsigned = replace(unsigned, authorization_list=(grant,))
        return signer.sign_transaction_now(unsigned)


@pytest.fixture
async def strict() -> AsyncIterator[StrictNode]:
    """A node with geth's pool rules and an empty chain."""
    async with open_strict_node(seed=SEED, accounts=4) as node:
        yield node


@pytest.fixture(params=["http", "ws"])
async def rpc(request: pytest.FixtureRequest, strict: StrictNode) -> AsyncIterator[Rpc]:
    """A client of the strict node, over each transport."""
    client = HttpRpc(strict.rpc_url) if request.param == "http" else WsRpc(strict.ws_url)
    yield client
    await client.close()
