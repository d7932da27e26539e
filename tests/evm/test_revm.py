"""What is particular to simulation in this process: its cost, its limits, its way out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.evm.conftest import ALICE, BOB, COUNTER, HABITS, Chain, Sender, v2_swap, v3_swap
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc, Rpc
from toolkit.chain.wire import Call as RpcCall
from toolkit.devnet.protocols import V2_ROUTER, V3_ROUTER
from toolkit.evm import revm
from toolkit.evm.node import NodeSimulator
from toolkit.evm.revm import RevmSimulator
from toolkit.evm.simulator import revm_is_installed
from toolkit.model.chain import Address
from toolkit.model.errors import RpcError

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not revm_is_installed(), reason="pyrevm has no wheel here"),
]
ETHER = 10**18


class CountingRpc:
    """A connection that notes what goes through it."""

    def __init__(self, rpc: Rpc) -> None:
        self.url = rpc.url
        self._rpc = rpc
        self.calls: list[str] = []
        self.batches: list[int] = []

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_s: float | None = None
    ) -> Any:
        self.calls.append(method)
        return await self._rpc.call(method, params, timeout_s=timeout_s)

    async def batch(
        self, calls: Sequence[RpcCall], *, timeout_s: float | None = None
    ) -> list[Any | RpcError]:
        self.batches.append(len(calls))
        return await self._rpc.batch(calls, timeout_s=timeout_s)

    async def close(self) -> None:
        await self._rpc.close()


@pytest.fixture
def counting(chain: Chain) -> CountingRpc:
    return CountingRpc(chain.node.rpc)


async def alice(chain: Chain) -> Sender:
    return Sender(ALICE, await chain.node.nonce(ALICE))


async def test_swaps_are_simulated_here(chain: Chain, counting: CountingRpc) -> None:
    """Swaps of both kinds need the node for state alone, in batches; again, they need nothing."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    make = await alice(chain)
    transactions = [
        make(V3_ROUTER, v3_swap(ETHER, ALICE)),
        make(V2_ROUTER, v2_swap(ETHER, ALICE)),
    ]
    simulator = RevmSimulator(Node(counting))
    first = await simulator.simulate(transactions, parent=parent, env=env)
    rounds = len(counting.batches)

    again = await simulator.simulate(transactions, parent=parent, env=env)

    assert [] == counting.calls
    assert rounds == len(counting.batches) <= 30
    assert first == again


async def test_next_block_takes_one_batch(chain: Chain, counting: CountingRpc) -> None:
    """What was read on one block is asked for at once on the next, and read afresh."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    make = await alice(chain)
    simulator = RevmSimulator(Node(counting))
    swap = v3_swap(ETHER, ALICE)
    await simulator.simulate([make(V3_ROUTER, swap, nonce=make.nonce)], parent=parent, env=env)
    await chain.mine([make(V3_ROUTER, swap)], env)
    counting.batches.clear()
    parent = await chain.node.head()
    env = await chain.env(parent)
    transactions = [make(V3_ROUTER, swap)]

    results = await simulator.simulate(transactions, parent=parent, env=env)

    assert 1 == len(counting.batches)
    by_node = await NodeSimulator(chain.node).simulate(transactions, parent=parent, env=env)
    assert by_node == results


@pytest.mark.parametrize(
    "habit", ["tells the base fee", "tells the block hash", "creates what destroys itself"]
)
async def test_what_pyrevm_cannot_know_is_left_to_the_node(
    chain: Chain, counting: CountingRpc, habit: str
) -> None:
    """Code that would get a wrong answer from pyrevm is simulated by the node."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    make = await alice(chain)

    simulator = RevmSimulator(Node(counting))
    await simulator.simulate([make(HABITS[habit])], parent=parent, env=env)
    batches = len(counting.batches)
    await simulator.simulate([make(HABITS[habit], nonce=make.nonce - 1)], parent=parent, env=env)

    assert ["eth_getTransactionCount", "eth_simulateV1"] * 2 == counting.calls
    assert batches == len(counting.batches)  # it is not tried again


async def test_sender_with_little_to_spare_is_left_to_the_node(
    chain: Chain, counting: CountingRpc
) -> None:
    """Funds below twice the gas are enough for the chain, and are shown as the chain shows them."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    make = await alice(chain)
    balance = await chain.node.balance(ALICE)
    gas, price = 30_000_000, 21 * 10**8
    value = balance - gas * price
    transactions = [make(HABITS["tells the origin's balance"], gas=gas, value=value, cap=price)]

    results = await RevmSimulator(Node(counting)).simulate(transactions, parent=parent, env=env)

    assert "eth_simulateV1" in counting.calls
    assert results[0].succeeded
    assert 0 == int(results[0].output, 16)


@pytest.mark.parametrize("marker", ["_JOURNAL", "_DATABASE", "_BLOCK_HASHES"])
async def test_unreadable_state_text_is_left_to_the_node(
    chain: Chain, counting: CountingRpc, monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    """A pyrevm that writes its state in another way makes simulation slower, not wrong."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    transactions = [(await alice(chain))(COUNTER)]
    expected = await NodeSimulator(chain.node).simulate(transactions, parent=parent, env=env)
    monkeypatch.setattr(revm, marker, ("as it once was: {", "}"))

    results = await RevmSimulator(Node(counting)).simulate(transactions, parent=parent, env=env)

    assert "eth_simulateV1" in counting.calls
    assert expected == results


@pytest.mark.parametrize("marker", ["_TOUCHED", "_READ"])
async def test_accounts_missing_from_the_text_are_noticed(
    chain: Chain, counting: CountingRpc, monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    """Accounts that are counted but not found in the text are not taken for untouched."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    transactions = [(await alice(chain))(COUNTER)]
    monkeypatch.setattr(revm, marker, ": Something { else: ")

    await RevmSimulator(Node(counting)).simulate(transactions, parent=parent, env=env)

    assert "eth_simulateV1" in counting.calls


@pytest_asyncio.fixture(loop_scope="module")
async def served_here(chain: Chain) -> AsyncIterator[str]:
    """A node's URL that this very process and event loop serves."""

    async def forward(request: web.Request) -> web.Response:
        body = await request.json()
        if isinstance(body, list):
            items = await chain.node.rpc.batch([(one["method"], one["params"]) for one in body])
            answers = [
                {"jsonrpc": "2.0", "id": one["id"], "result": item}
                for one, item in zip(body, items, strict=True)
            ]
            return web.json_response(answers)
        result = await chain.node.rpc.call(body["method"], body["params"])
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": result})

    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_node_in_this_process_is_no_deadlock(chain: Chain, served_here: str) -> None:
    """State is read by our own client, so a node that this event loop serves can answer."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    transactions = [(await alice(chain))(V3_ROUTER, v3_swap(ETHER, ALICE))]

    async with HttpRpc(served_here) as rpc, asyncio.timeout(30):
        simulator = RevmSimulator(Node(rpc))
        results = await simulator.simulate(transactions, parent=parent, env=env)

    assert results[0].succeeded


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", False),
        ("48", True),
        ("44", True),
        ("4a", True),
        ("6048", False),  # pushed data
        ("7f" + "48" * 32, False),
        ("0048", False),  # never reached
        ("005b48", True),  # reached by a jump
        ("5b00484848", False),
        ("5b48" + "a165" + "00" * 3 + "0005", True),
        ("5b5b" + "a148484848" + "0005", False),  # solc's metadata
        ("5b5b" + "b148484848" + "0005", True),  # nothing that solc would write
        ("ef0100" + "11" * 20, True),  # a delegation (EIP-7702)
    ],
)
async def test_code_is_searched_for_what_pyrevm_does_not_know(code: str, *, expected: bool) -> None:
    """Only instructions that can run count, not data, unreachable bytes or metadata."""
    assert expected is revm._has_unknown_opcode(bytes.fromhex(code))


async def test_state_of_two_blocks_is_kept(chain: Chain) -> None:
    """However many blocks are simulated on, memory holds the state of the last two."""
    simulator = RevmSimulator(chain.node)
    bob = Sender(BOB, await chain.node.nonce(BOB))
    for _ in range(4):
        parent = await chain.node.head()
        env = await chain.env(parent)
        await simulator.simulate([bob(Address(COUNTER), nonce=bob.nonce)], parent=parent, env=env)
        await chain.mine([bob(COUNTER)], env)

    assert 2 == len(simulator._prestates)
