"""F34: a lane whose key is elsewhere, on a real node, with a signer that goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.chain.remote import FakeSigner, fake_signer
from toolkit.chain.heads import HeadFollower
from toolkit.chain.node import Node
from toolkit.chain.remote_signer import RemoteSigner
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import start_anvil
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Address, Mode
from toolkit.model.errors import RemoteSignerMismatch, SignerError
from toolkit.model.tx import Confirmed, TransactionRequest
from toolkit.model.units import ether
from toolkit.tx.destination import PublicNode
from toolkit.tx.scheduler import SchedulerConfig, TransactionScheduler

# The first of Anvil's public accounts: known to everybody, worth nothing.
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWNER = LocalSigner(KEY).address
PAYMENT = TransactionRequest(to=Address("0x" + "f1" * 20), value=1)


class Lane:
    """A scheduler on a real node whose only key is behind a remote signer."""

    def __init__(self, node: Node, remote: FakeSigner, signer: RemoteSigner) -> None:
        self.node, self.remote = node, remote
        self.follower = HeadFollower(node)
        self.journal = Journal(MemoryBackend())
        self.scheduler = TransactionScheduler(
            node,
            signers=[signer],
            journal=self.journal,
            oracle=GasOracle(node),
            chain_id=31337,
            mode=Mode.DEV,
            config=SchedulerConfig(max_cost_wei=ether("0.5")),
            public=PublicNode(node),
        )

    async def mine(self) -> None:
        await self.node.rpc.call("evm_mine")
        change = await self.follower.poll()
        assert change is not None
        await self.scheduler.on_head(change)

    def prepared(self) -> int:
        """Attempts that were ever journalled."""
        return sum(entry.kind == "tx.prepared" for entry in self.journal.entries())


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    """The lane, open; a signature may take two seconds."""
    async with (
        await start_anvil(["--no-mining"]) as anvil,
        HttpRpc(anvil.url) as rpc,
        fake_signer(KEY) as remote,
        RemoteSigner(remote.url, OWNER, timeout_s=2) as signer,
    ):
        lane = Lane(Node(rpc), remote, signer)
        await lane.follower.poll()
        await lane.scheduler.start()
        yield lane
        await lane.scheduler.close()
        await lane.journal.close()


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("silent", SignerError, "within 2 s"),
        ("cut", SignerError, "was lost"),
        ("500", SignerError, "HTTP 500"),
        ("error", SignerError, "refused"),
        ("html", SignerError, "not JSON"),
        ("null", RemoteSignerMismatch, "no transaction"),
        ("garbage", RemoteSignerMismatch, "no signed transaction"),
        ("other key", RemoteSignerMismatch, "the signature of 0x"),
        ({"nonce": 1}, RemoteSignerMismatch, "differs in nonce"),
        ({"value": 2}, RemoteSignerMismatch, "differs in value"),
        ({"chain_id": 1}, RemoteSignerMismatch, "differs in chain_id"),
    ],
)
async def test_a_signer_that_goes_wrong_costs_no_nonce(
    lane: Lane, fault: Any, kind: type[Exception], said: str
) -> None:
    """The caller hears why, nothing is journalled or sent, and the next request has the nonce."""
    lane.remote.fault = fault
    with pytest.raises(kind, match=said):
        await lane.scheduler.send(PAYMENT)
    assert 0 == lane.prepared()
    assert 0 == await lane.node.nonce(OWNER, "pending")

    lane.remote.fault = None
    sent = await lane.scheduler.send(PAYMENT)
    await lane.mine()
    outcome = await sent.wait(confirmations=1)

    assert isinstance(outcome, Confirmed)
    assert (1, 1) == (lane.prepared(), await lane.node.nonce(OWNER))


async def test_one_signature_too_late_leaves_no_gap_among_many(lane: Lane) -> None:
    """Of nine sends at once, the one whose signature times out fails; eight are mined in a row."""
    lane.remote.fault, lane.remote.only = "silent", 5
    results = await asyncio.gather(
        *(lane.scheduler.send(PAYMENT) for _ in range(9)), return_exceptions=True
    )
    failed = [result for result in results if isinstance(result, BaseException)]
    await lane.mine()

    assert [SignerError] == [type(error) for error in failed]
    assert 8 == await lane.node.nonce(OWNER)


async def test_a_replacement_that_is_not_signed_comes_when_the_signer_is_back(lane: Lane) -> None:
    """With the signer gone the first attempt stands; the nonce is mined once it can sign again."""
    sent = await lane.scheduler.send(PAYMENT)
    lane.remote.fault = "500"
    for _ in range(3):
        await lane.node.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(10**12)])
        await lane.mine()
    assert 1 < len(lane.remote.asked)
    assert 1 == lane.prepared()

    lane.remote.fault = None
    for _ in range(3):
        await lane.node.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
        await lane.mine()
    outcome = await sent.wait(confirmations=1)

    assert isinstance(outcome, Confirmed)
    assert 1 == await lane.node.nonce(OWNER)
