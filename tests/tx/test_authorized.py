"""Nonces that somebody else's transaction spends by an authorization, on models and on Anvil."""

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from toolkit.chain.node import Node
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.chain.tx_params import authorization_objects
from toolkit.devnet.anvil import start_anvil
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Address, Hash, HeadChange, Mode
from toolkit.model.errors import NodeError
from toolkit.model.tx import (
    Authorization,
    Confirmed,
    ExternalSpend,
    FeeQuote,
    Replaced,
    SignedTransaction,
    TransactionRequest,
)
from toolkit.model.units import ether
from toolkit.testing.delegations import DelegatingWorld
from toolkit.testing.fakes import FRIEND, Mempool
from toolkit.tx.authorized import authorized_in
from toolkit.tx.fees import first_attempt
from toolkit.tx.handle import Sent
from toolkit.tx.scheduler import PublicNode, SchedulerConfig, TransactionScheduler

# The first two of Anvil's public accounts: known to everybody, worth nothing.
ME = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
SPONSOR = LocalSigner("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
CHAIN = 31337
PAYMENT = TransactionRequest(to=FRIEND, value=1, gas=21_000)
FEE = FeeQuote(
    max_fee_per_gas=10**11, max_priority_fee_per_gas=10**9, base_fee_per_gas=1, for_block=1
)
CONFIG = SchedulerConfig(max_cost_wei=ether("0.5"), finality_blocks=4)


def grant_of(signer: LocalSigner = ME, *, nonce: int = 0, chain_id: int = CHAIN) -> Authorization:
    return signer.sign_authorization(chain_id=chain_id, address=FRIEND, nonce=nonce)


def sponsored(
    *grants: Authorization, nonce: int = 0, chain_id: int = CHAIN, signer: LocalSigner = SPONSOR
) -> SignedTransaction:
    request = TransactionRequest(to=FRIEND, gas=200_000, type=4, authorization_list=grants)
    return signer.sign_transaction_now(first_attempt(request, FEE, chain_id=chain_id, nonce=nonce))


def entry(
    name: str, *grants: Authorization, sender: Address = SPONSOR.address
) -> dict[str, object]:
    return {
        "hash": "0x" + name * 64,
        "from": sender.upper().replace("0X", "0x"),
        "authorizationList": authorization_objects(grants),
    }


def found(*transactions: object, count: int = 0, nonce: int = 0) -> Hash | None:
    sealed = {"transactions": transactions}
    return authorized_in(sealed, ME.address, chain_id=CHAIN, count=count, nonce=nonce)


@pytest.mark.parametrize("chain_id", [0, CHAIN])
def test_whose_authorization_spent_the_nonce_is_named(chain_id: int) -> None:
    """For this chain or for any; blocks of hashes alone name nobody."""
    theirs = entry("b", grant_of(SPONSOR), grant_of(chain_id=chain_id))

    assert "0x" + "b" * 64 == found({"hash": "0x" + "a" * 64, "from": FRIEND}, theirs)
    assert found("0x" + "b" * 64) is None
    assert found() is None


@pytest.mark.parametrize(
    "grant",
    [
        grant_of(SPONSOR),
        grant_of(chain_id=5),
        grant_of(nonce=1),
        msgspec.structs.replace(grant_of(), r=0),
        msgspec.structs.replace(grant_of(), address=ME.address),
    ],
    ids=["other account", "other chain", "other nonce", "no signature", "other content"],
)
def test_what_the_chain_skips_has_spent_nothing(grant: Authorization) -> None:
    """Another account, chain or nonce, or a signature of something else."""
    assert found(entry("b", grant)) is None


def test_what_came_before_its_turn_is_not_named() -> None:
    """The same authorization a second time, in its turn, is what spent the nonce."""
    early, late = entry("b", grant_of(nonce=1)), entry("c", grant_of(nonce=1))
    ours = entry("a", sender=ME.address)

    assert "0x" + "c" * 64 == found(early, ours, late, nonce=1)
    assert "0x" + "c" * 64 == found(early, entry("d", grant_of()), late, nonce=1)
    assert "0x" + "b" * 64 == found(early, late, count=1, nonce=1)


def test_our_own_delegation_spends_the_nonce_behind_it() -> None:
    """Its sender's nonce is counted first."""
    ours = entry("a", grant_of(nonce=1), sender=ME.address)

    assert "0x" + "a" * 64 == found(ours, nonce=1)
    assert found(ours, nonce=0) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"from": ME.address},
        {"hash": "0x12", "from": ME.address},
        {"hash": "0x" + "a" * 64},
        {**entry("a"), "authorizationList": [{"nonce": "0x0"}]},
        {**entry("a"), "authorizationList": 5},
        {**entry("a"), "authorizationList": ["0x"]},
    ],
)
def test_a_garbled_block_is_the_nodes_failure(broken: dict[str, object]) -> None:
    """It is asked for again, instead of breaking the head."""
    with pytest.raises(NodeError):
        found(broken)
    with pytest.raises(NodeError):
        authorized_in({"transactions": 5}, ME.address, chain_id=CHAIN, count=0, nonce=0)


class Chain:
    """An Anvil that mines when told, and a lane of ME."""

    def __init__(self, url: str) -> None:
        self.rpc = open_rpc(url)
        self.node = Node(self.rpc)
        self.journal = Journal(MemoryBackend())
        self.scheduler = TransactionScheduler(
            self.node,
            signers=[ME],
            journal=self.journal,
            oracle=Prices(),
            chain_id=CHAIN,
            mode=Mode.DEV,
            config=CONFIG,
            public=PublicNode(self.node),
        )

    async def follow(self) -> None:
        await self.scheduler.on_head(HeadChange(added=(await self.node.head(),)))

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.rpc.call("evm_mine")
            await self.follow()

    async def sponsor(self, sent: Sent) -> Hash:
        """Instead of what was sent, a sponsor's delegation of the account is mined."""
        await self.rpc.call("anvil_dropTransaction", [sent.tx_hash])
        signed = sponsored(grant_of())
        await self.node.send_raw(signed.raw)
        await self.rpc.call("evm_mine")
        return signed.hash


class Prices:
    """The same price at any time."""

    async def quote(self, *_: object, **__: object) -> FeeQuote:
        return FEE


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with await start_anvil(["--no-mining"]) as anvil:
        chain = Chain(anvil.url)
        await chain.scheduler.start()
        yield chain
        await chain.scheduler.close()
        await chain.journal.close()
        await chain.rpc.close()


async def test_on_a_real_chain_the_sponsor_is_named(chain: Chain) -> None:
    """The account has no transaction of that nonce: the request is replaced, and not executed."""
    sent = await chain.scheduler.send(PAYMENT)
    by = await chain.sponsor(sent)
    await chain.follow()

    end = await asyncio.wait_for(sent.wait(), 10)
    assert Replaced(by=by, nonce=0) == end
    assert (1, 0) == (await chain.node.nonce(ME.address), await chain.node.balance(FRIEND))


async def test_who_wants_to_goes_on_behind_a_sponsor(chain: Chain) -> None:
    """At a new nonce, once the sponsor's block is final."""
    sent = await chain.scheduler.send(PAYMENT, on_external_spend=ExternalSpend.REQUEUE)
    await chain.sponsor(sent)
    await chain.follow()
    waiting = sent.status().nonce
    await chain.mine(CONFIG.finality_blocks + 1)

    end = await asyncio.wait_for(sent.wait(), 10)
    assert (Confirmed, 0, 1) == (type(end), waiting, sent.status().nonce)
    assert (2, 1) == (await chain.node.nonce(ME.address), await chain.node.balance(FRIEND))


async def test_a_reorg_that_puts_a_sponsor_in_its_turn_replaces_what_was_told(
    chain: Chain,
) -> None:
    """A confirmed request whose nonce another branch gives to an authorization is reopened."""
    await chain.mine()
    sent = await chain.scheduler.send(PAYMENT)
    snapshot = await chain.rpc.call("evm_snapshot")
    await chain.mine()
    reverted = await chain.node.head()
    first = await asyncio.wait_for(sent.wait(), 10)
    await chain.rpc.call("evm_revert", [snapshot])
    by = await chain.sponsor(sent)
    await chain.rpc.call("evm_mine")
    added = (await chain.node.head(reverted.number), await chain.node.head())
    await chain.scheduler.on_head(HeadChange(added=added, reverted=(reverted,)))

    second = await asyncio.wait_for(sent.wait(), 10)
    assert (Confirmed, Replaced(by=by, nonce=0)) == (type(first), second)


async def test_a_sponsor_that_a_reorg_takes_back_reopens_the_question() -> None:
    """Replaced by an authorization, and confirmed after all on the branch that stays."""
    rng = random.Random(1)
    world, journal = DelegatingWorld(rng), Journal(MemoryBackend())
    me = LocalSigner("0x" + "0a" * 32)
    scheduler = TransactionScheduler(
        world,
        signers=[me],
        journal=journal,
        oracle=world,
        chain_id=1,
        mode=Mode.DEV,
        config=CONFIG,
        public=Mempool(world),
    )
    await scheduler.start()
    sent = await scheduler.send(PAYMENT)
    signed = sponsored(grant_of(me, chain_id=1), chain_id=1)
    await scheduler.on_head(HeadChange(added=(world.mine(only=[signed]),)))
    first = await sent.wait()
    change = world.reorg(1)
    if not world.spent:
        change = HeadChange(
            added=(*change.added, world.mine(only=world.known[0])), reverted=change.reverted
        )
    await scheduler.on_head(change)

    second = await sent.wait()
    assert (Replaced(by=signed.hash, nonce=0), Confirmed) == (first, type(second))
    await scheduler.close()
    await journal.close()
