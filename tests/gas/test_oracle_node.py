"""The oracle on a real node, and on the fork of one whose fee history is not what it says."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import start_anvil
from toolkit.gas.oracle import GasOracle
from toolkit.gas.rules import next_base_fee
from toolkit.model.tx import Urgency

GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Chain:
    node: Node
    url: str

    async def mine(self, *tips: int) -> None:
        """Mine one block with a transaction for each tip."""
        call = self.node.rpc.call
        (sender, *_) = await call("eth_accounts")
        fields = {"from": sender, "to": sender, "maxFeePerGas": hex(100 * GWEI)}
        for tip in tips:
            await call("eth_sendTransaction", [{**fields, "maxPriorityFeePerGas": hex(tip)}])
        await call("evm_mine")


@pytest_asyncio.fixture
async def chain() -> AsyncIterator[Chain]:
    options = ("--no-mining", "--order", "fifo", "--hardfork", "prague")
    async with await start_anvil(options) as anvil, HttpRpc(anvil.url) as rpc:
        yield Chain(Node(rpc), anvil.url)


async def test_genesis_has_a_quote(chain: Chain) -> None:
    """A chain of one block gets the bound on its base fee and the smallest tip."""
    quote = await GasOracle(chain.node).quote(Urgency.NEXT_BLOCK)

    assert 1 == quote.for_block
    assert 1 == quote.max_priority_fee_per_gas
    assert quote.max_fee_per_gas >= GWEI  # Anvil keeps its first base fee for block 1


async def test_next_base_fee_is_the_nodes_own(chain: Chain) -> None:
    """The base fee quoted for the next block is the one that the node then gives it."""
    oracle = GasOracle(chain.node)
    for tips in ((), (GWEI,), (2 * GWEI, GWEI), ()):
        await chain.mine(*tips)
        quote = await oracle.quote(Urgency.NEXT_BLOCK)
        expected = next_base_fee(await chain.node.head())
        await chain.mine()

        assert expected == quote.base_fee_per_gas
        assert expected == (await chain.node.head()).base_fee_per_gas


async def test_quote_is_admitted_by_the_node(chain: Chain) -> None:
    """A transaction with exactly the quoted fees is mined in the block they are meant for."""
    for _ in range(3):
        await chain.mine(GWEI)
    quote = await GasOracle(chain.node).quote(Urgency.NEXT_BLOCK)
    call = chain.node.rpc.call
    (sender, *_) = await call("eth_accounts")
    fees = {
        "maxFeePerGas": hex(quote.max_fee_per_gas),
        "maxPriorityFeePerGas": hex(quote.max_priority_fee_per_gas),
    }
    tx_hash = await call("eth_sendTransaction", [{"from": sender, "to": sender, **fees}])
    await chain.mine()

    receipt = await chain.node.receipt(tx_hash)

    assert receipt is not None
    assert quote.for_block == receipt.block_number


async def test_tips_are_those_that_blocks_admitted(chain: Chain) -> None:
    """Empty blocks tell nothing; the others' lowest tips set the bid."""
    for tips in ((3 * GWEI, 5 * GWEI), (), (4 * GWEI,), ()):
        await chain.mine(*tips)

    quote = await GasOracle(chain.node).quote(Urgency.NEXT_BLOCK)

    assert 4 * GWEI == quote.max_priority_fee_per_gas


async def test_fork_that_forgets_its_past_is_read_from_its_newest_block(chain: Chain) -> None:
    """After k own blocks a fork delivers k, under wrong numbers; each still counts as itself."""
    for _ in range(12):
        await chain.mine(7 * GWEI)
    options = ("--fork-url", chain.url, "--no-storage-caching", "--no-mining", "--order", "fifo")
    async with await start_anvil(options) as anvil, HttpRpc(anvil.url) as rpc:
        fork = Chain(Node(rpc), anvil.url)
        oracle = GasOracle(fork.node)
        await oracle.quote()
        before = oracle.statistics().blocks
        for _ in range(3):
            await fork.mine(9 * GWEI)
        history = await fork.node.fee_history(10, await fork_head(fork), (10.0,))

        quote = await oracle.quote(Urgency.NEXT_BLOCK)

    assert 4 == len(history.base_fees)  # the lie: three blocks of the ten it names
    assert 6 == history.oldest_block
    assert before + 3 == oracle.statistics().blocks
    assert 9 * GWEI == quote.max_priority_fee_per_gas


async def fork_head(fork: Chain) -> int:
    return (await fork.node.head()).number
