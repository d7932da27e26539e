"""A lane over three real nodes of one chain, of which one lies, lags, refuses or dies."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from toolkit.chain.heads import HeadFollower
from toolkit.chain.node import Node
from toolkit.chain.quorum import QuorumRpc
from toolkit.chain.rpc import HttpRpc, Rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil, start_anvil
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Address, Mode
from toolkit.model.errors import NodeError, NodeTimeout, NodeUnavailable, RpcError
from toolkit.model.tx import Confirmed, TransactionRequest
from toolkit.model.units import ether
from toolkit.tx.destination import PublicNode
from toolkit.tx.scheduler import SchedulerConfig, TransactionScheduler

SIGNER = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
FRIEND = Address("0x" + "f1" * 20)
PAYMENT = TransactionRequest(to=FRIEND, value=1)
START = 1_700_000_000


class Bent:
    """One node, honest until `lies` says what a method answers instead, or which error."""

    def __init__(self, rpc: HttpRpc) -> None:
        self._rpc = rpc
        self.url = rpc.url
        self.lies: dict[str, Any] = {}
        self.asked: list[str] = []

    async def call(self, method: str, params: Any = (), *, timeout_s: float | None = None) -> Any:
        self.asked.append(method)
        lie = self.lies.get(method)
        if isinstance(lie, Exception):
            raise lie
        if lie is not None:
            return lie
        return await self._rpc.call(method, params, timeout_s=timeout_s)

    async def batch(self, calls: Any, *, timeout_s: float | None = None) -> list[Any]:
        found: list[Any] = []
        for method, params in calls:
            try:
                found.append(await self.call(method, params, timeout_s=timeout_s))
            except RpcError as error:
                found.append(error)
        return found

    async def close(self) -> None:
        await self._rpc.close()


class Three:
    """Three Anvils that mine the same blocks, and a scheduler that sees them as one node."""

    def __init__(self, anvils: list[Anvil]) -> None:
        self.anvils = anvils
        self.direct = [HttpRpc(anvil.url) for anvil in anvils]
        self.bent = [Bent(HttpRpc(anvil.url)) for anvil in anvils]
        nodes: list[Rpc] = list(self.bent)
        self.rpc = QuorumRpc(nodes, patience_s=0.1)
        self.node = Node(self.rpc)
        self.follower = HeadFollower(self.node)
        self.journal = Journal(MemoryBackend())
        self.scheduler = TransactionScheduler(
            self.node,
            signers=[SIGNER],
            journal=self.journal,
            oracle=GasOracle(self.node),
            chain_id=31337,
            mode=Mode.DEV,
            config=SchedulerConfig(max_cost_wei=ether("0.5")),
            public=PublicNode(self.node),
        )
        self.height = 0

    async def mine(self, *places: int) -> None:
        """The same next block on these nodes (0, 1, 2), and let the lane see what a quorum has."""
        await self.rpc.drain()
        self.height += 1
        for place in places:
            await self.direct[place].call("evm_setNextBlockTimestamp", [START + 12 * self.height])
            await self.direct[place].call("evm_mine")
        change = await self.follower.poll()
        if change is not None:
            await self.scheduler.on_head(change)

    async def nonce(self, place: int) -> int:
        """The account's count on one node."""
        return await Node(self.direct[place]).nonce(SIGNER.address)


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    """The three nodes and the lane, open."""
    arguments = ["--no-mining", "--timestamp", str(START)]
    async with AsyncExitStack() as stack:
        anvils = [await stack.enter_async_context(await start_anvil(arguments)) for _ in range(3)]
        three = Three(anvils)
        stack.push_async_callback(three.rpc.close)
        for rpc in three.direct:
            stack.push_async_callback(rpc.close)
        stack.push_async_callback(three.journal.close)
        await three.follower.poll()
        await three.scheduler.start()
        stack.push_async_callback(three.scheduler.close)
        yield three


async def confirmed(three: Three, count: int, *places: int) -> None:
    """Send so many payments, mine them on these nodes, and see all of them confirmed."""
    sent = [await three.scheduler.send(PAYMENT) for _ in range(count)]
    await three.mine(*places)
    for one in sent:
        assert isinstance(await one.wait(confirmations=1), Confirmed)


@pytest.mark.parametrize(
    "lies",
    [
        {},
        {"eth_getTransactionCount": "0x0"},  # F15: stale, or rather frozen
        {"eth_getTransactionCount": "0x7"},  # F14: ahead of everybody
        {"eth_getTransactionReceipt": None, "eth_getBlockByNumber": RpcError(-32000, "no")},
        {"eth_sendRawTransaction": RpcError(-32000, "tx fee exceeds the configured cap")},  # F36
        {"eth_sendRawTransaction": RpcError(-32603, "nonce too low")},
        {"eth_sendRawTransaction": NodeTimeout("no answer")},
        {"eth_sendRawTransaction": "0x" + "ee" * 32},
        {"eth_estimateGas": "0xfffffff", "eth_getBalance": "0x0", "eth_feeHistory": "0x"},
        {"eth_getTransactionReceipt": {"status": "0x0"}},
    ],
)
async def test_one_bad_node_costs_no_nonce_and_tells_no_false_end(
    three: Three, lies: dict[str, Any]
) -> None:
    """F14, F15, F36: whatever one of three says, four payments are mined on nonces 0 to 3."""
    three.bent[0].lies = lies

    await confirmed(three, 3, 0, 1, 2)
    await confirmed(three, 1, 0, 1, 2)

    assert [4, 4] == [await three.nonce(1), await three.nonce(2)]
    entries = [entry.kind for entry in three.journal.entries()]
    assert 4 == entries.count("tx.prepared")


async def test_a_node_that_dies_and_one_that_lags_are_borne_one_after_the_other(
    three: Three,
) -> None:
    """The lagging node catches up, then another dies: no repetition, no gap, nothing lost."""
    await confirmed(three, 2, 0, 1)  # the third node has none of these blocks
    three.height = 0
    await three.mine(2)  # now it has the same first block
    assert await three.nonce(2) == await three.nonce(0)
    down = NodeUnavailable("no connection", sent=False)
    methods = {method for bent in three.bent for method in bent.asked}
    three.bent[0].lies = dict.fromkeys(methods, down)

    sent = await three.scheduler.send(PAYMENT)
    await three.mine(1, 2)

    assert isinstance(await sent.wait(confirmations=1), Confirmed)
    assert [3, 3] == [await three.nonce(1), await three.nonce(2)]


async def test_two_dead_nodes_use_no_nonce_and_are_named(three: Three) -> None:
    """Without a quorum a send fails before a nonce is used; with it again the lane goes on."""
    await confirmed(three, 1, 0, 1)
    methods = {method for bent in three.bent for method in bent.asked}
    for bent in three.bent[:2]:
        bent.lies = dict.fromkeys(methods, NodeUnavailable("no connection", sent=False))

    with pytest.raises(NodeError, match=r"node 1 .*node 2"):
        await three.scheduler.send(PAYMENT)

    for bent in three.bent[:2]:
        bent.lies = {}
    await confirmed(three, 1, 0, 1)
    assert 2 == await three.nonce(0)
