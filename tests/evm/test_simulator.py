"""Every simulator against the chain itself: what it says is what the mined receipts say."""

import sys
from collections.abc import Callable, Sequence

import msgspec
import pytest

from tests.evm.conftest import (
    ALICE,
    BOB,
    COUNTER,
    HABITS,
    INIT_CODE,
    Chain,
    Sender,
    v2_swap,
    v3_swap,
)
from toolkit.chain.hashing import keccak
from toolkit.chain.node import Node
from toolkit.devnet.protocols import V2_ROUTER, V3_ROUTER, WETH
from toolkit.evm.call import Call, CallResult
from toolkit.evm.node import NodeSimulator
from toolkit.evm.pyevm import PyEvmSimulator
from toolkit.evm.revm import RevmSimulator
from toolkit.evm.simulator import Simulator, open_simulator, revm_is_installed
from toolkit.model.chain import Address, Hash, Receipt
from toolkit.model.errors import ConfigError, NodeError
from toolkit.model.tx import AccessListItem

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Callable[[Sender, Sender], Sequence[Call]]
ETHER = 10**18
ONE_WORD = "0x" + "00" * 32


def word(value: int) -> str:
    return f"0x{value:064x}"


def calls(*names: str) -> Make:
    return lambda alice, _: [alice(HABITS[name]) for name in names]


def warmed(alice: Sender, bob: Sender) -> Sequence[Call]:
    entry = AccessListItem(address=COUNTER, storage_keys=(Hash(word(1)),))
    return [alice(COUNTER, access_list=(entry,)), alice(COUNTER, type=1, access_list=(entry,))]


def created_by(creator: Address) -> Address:
    """Where CREATE2 with salt 0 puts the one-byte contract (EIP-1014)."""
    init_hash = keccak(bytes.fromhex(INIT_CODE))
    return Address(
        "0x" + keccak(b"\xff" + bytes.fromhex(creator[2:]) + bytes(32) + init_hash)[12:].hex()
    )


CASES: dict[str, Make] = {
    "a V2 swap": lambda alice, _: [alice(V2_ROUTER, v2_swap(ETHER, ALICE))],
    "a V3 swap": lambda alice, _: [alice(V3_ROUTER, v3_swap(ETHER, ALICE))],
    "a swap that finds cold what the one before it warmed": lambda alice, bob: [
        alice(V3_ROUTER, v3_swap(ETHER, ALICE)),
        bob(V3_ROUTER, v3_swap(ETHER, BOB)),
        alice(V2_ROUTER, v2_swap(ETHER, ALICE)),
    ],
    "a revert in between": lambda alice, bob: [
        alice(COUNTER),
        bob(HABITS["reverts"], value=0),
        alice(COUNTER),
    ],
    "a revert that says why": lambda alice, _: [alice(V2_ROUTER, v2_swap(10**30, ALICE))],
    "value sent to a new account": lambda alice, _: [
        alice(Address("0x" + "ee" * 20), value=ETHER, gas=21_000)
    ],
    "a refund that is capped": lambda alice, _: [
        alice(HABITS["clears"], ONE_WORD),
        alice(HABITS["clears"], word(1)),
    ],
    "calldata above its floor": lambda alice, _: [alice(BOB, "0x" + "ff" * 2_000)],
    "calldata of zeros, and a revert": lambda alice, _: [
        alice(HABITS["reverts"], "0x" + "00" * 3_000)
    ],
    "an invalid instruction": calls("is invalid"),
    "a loop without end": lambda alice, _: [alice(HABITS["loops"], gas=100_000)],
    "the environment": calls("tells the block", "tells the gas price"),
    "the prepaid gas": calls("tells the origin's balance", "tells the origin's balance"),
    "the builder's fees": calls("tells the coinbase's balance", "tells the coinbase's balance"),
    "the base fee": calls("tells the base fee"),
    "the parent's hash": calls("tells the block hash"),
    "transient storage": calls("has transient storage", "has transient storage"),
    "a contract created, and its address taken": calls("creates", "creates"),
    "a contract created and destroyed in one transaction, twice": calls(
        "creates what destroys itself", "creates what destroys itself"
    ),
    "a call of what was just created": lambda alice, _: [
        alice(HABITS["creates another"]),
        alice(created_by(HABITS["creates another"]), gas=50_000),
    ],
    "the base fee, told in a reverted frame": calls("reverts with the base fee it was told"),
    "reads in a reverted frame": calls("reverts what it called"),
    "a contract that destroys itself": calls("destroys itself"),
    "access lists of types 1 and 2": warmed,
    "a legacy transaction": lambda alice, _: [alice(COUNTER, type=0), alice(COUNTER, type=0)],
    "WETH wrapped": lambda alice, bob: [alice(WETH, value=ETHER), bob(WETH, value=ETHER)],
}


async def senders(chain: Chain) -> tuple[Sender, Sender]:
    return (
        Sender(ALICE, await chain.node.nonce(ALICE)),
        Sender(BOB, await chain.node.nonce(BOB)),
    )


def as_mined(receipt: Receipt) -> tuple[bool, int, list[tuple[Address, tuple[Hash, ...], str]]]:
    logs = [(log.address, log.topics, log.data) for log in receipt.logs]
    return receipt.succeeded, receipt.gas_used, logs


def as_said(result: CallResult) -> tuple[bool, int, list[tuple[Address, tuple[Hash, ...], str]]]:
    logs = [(log.address, log.topics, log.data) for log in result.logs]
    return result.succeeded, result.gas_used, logs


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present:DeprecationWarning")
@pytest.mark.parametrize("case", CASES)
async def test_every_simulator_says_what_the_chain_does(chain: Chain, case: str) -> None:
    """Success, gas and logs are the receipts' own, and all simulators give the same outputs."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    # Never the parent's own base fee, which a node would take by default.
    base_fee = env.base_fee_per_gas + 10**8 * (1 + parent.number % 5)
    env = msgspec.structs.replace(env, base_fee_per_gas=base_fee)
    transactions = CASES[case](*await senders(chain))

    by_node = await NodeSimulator(chain.node).simulate(transactions, parent=parent, env=env)
    others: list[Simulator] = [PyEvmSimulator(chain.node)]
    if revm_is_installed():
        others.append(RevmSimulator(chain.node))
    by_others = [await one.simulate(transactions, parent=parent, env=env) for one in others]
    receipts = await chain.mine(transactions, env)

    assert [as_mined(receipt) for receipt in receipts] == [as_said(one) for one in by_node]
    for results in by_others:
        assert by_node == results


# What no block can hold is said at its place, and the rest runs as if it were not there.
REFUSED: dict[str, tuple[Make, str]] = {
    "a spent nonce": (
        lambda alice, _: [alice(COUNTER, nonce=alice.nonce - 1), alice(COUNTER)],
        "is spent: the account is at",
    ),
    "a gap": (
        lambda alice, _: [alice(COUNTER, nonce=alice.nonce + 1), alice(COUNTER)],
        "leaves a gap: the account is at",
    ),
    "a cap below the base fee": (
        lambda alice, bob: [bob(COUNTER, cap=10**9, tip=1), alice(COUNTER)],
        "fee cap 1000000000 wei is below the base fee 2000000000 wei",
    ),
    "a tip above the cap": (
        lambda alice, bob: [bob(COUNTER, cap=3 * 10**9, tip=4 * 10**9), alice(COUNTER)],
        "priority fee 4000000000 wei is above the fee cap 3000000000 wei",
    ),
    "a gas limit below the calldata floor": (
        lambda alice, bob: [bob(COUNTER, "0x" + "ff" * 100, gas=24_999), alice(COUNTER)],
        "gas limit 24999 is below the intrinsic gas 25000",
    ),
    "a gas limit above the block's": (
        lambda alice, bob: [bob(COUNTER, gas=36_000_001), alice(COUNTER)],
        "gas limit 36000001 is above the block's 36000000",
    ),
    "funds for the price but not for the cap": (
        lambda alice, bob: [bob(COUNTER, gas=2_000_000, cap=10**14), alice(COUNTER)],
        "insufficient funds for gas limit x fee cap + value",
    ),
    "more value than there is": (
        lambda alice, bob: [bob(COUNTER, value=10**21), alice(COUNTER)],
        "insufficient funds for gas limit x fee cap + value",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_inadmissible_transactions_are_named_and_skipped(chain: Chain, case: str) -> None:
    """A transaction that no block can hold says why and spends nothing; the next one still runs."""
    make, reason = REFUSED[case]
    parent = await chain.node.head()
    env = await chain.env(parent)
    transactions = make(*await senders(chain))

    by_node = await NodeSimulator(chain.node).simulate(transactions, parent=parent, env=env)
    by_default = await open_simulator(chain.node).simulate(transactions, parent=parent, env=env)
    by_pyevm = await PyEvmSimulator(chain.node).simulate(transactions, parent=parent, env=env)

    assert reason in by_node[0].reason
    assert (False, 0, "0x") == (by_node[0].succeeded, by_node[0].gas_used, by_node[0].output)
    assert by_node[1].succeeded
    assert by_node == by_default == by_pyevm


async def test_funds_spent_by_an_earlier_transaction_are_gone_for_a_later_one(
    chain: Chain,
) -> None:
    """Each of several poor transactions is found, also where an earlier success made it poor."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    alice, bob = await senders(chain)
    all_but_one = await chain.node.balance(ALICE) - ETHER
    transactions = [
        bob(COUNTER, value=10**21, nonce=bob.nonce),
        alice(BOB, value=all_but_one),
        alice(COUNTER, value=2 * ETHER, nonce=alice.nonce),
        alice(COUNTER),
        bob(COUNTER),
    ]

    by_node = await NodeSimulator(chain.node).simulate(transactions, parent=parent, env=env)
    by_default = await open_simulator(chain.node).simulate(transactions, parent=parent, env=env)

    assert [False, True, False, True, True] == [result.succeeded for result in by_node]
    assert by_node == by_default


async def test_simulation_is_pinned_to_the_parent_it_was_given(chain: Chain) -> None:
    """A parent below the head is simulated on as it was, by hash, whatever was mined since."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    alice, bob = await senders(chain)
    transactions = [alice(COUNTER)]
    before = await open_simulator(chain.node).simulate(transactions, parent=parent, env=env)
    await chain.mine([bob(COUNTER), bob(COUNTER)], env)

    after = await open_simulator(chain.node).simulate(transactions, parent=parent, env=env)
    by_node = await NodeSimulator(chain.node).simulate(transactions, parent=parent, env=env)

    assert before == after == by_node


async def test_simulation_leaves_nothing_behind(chain: Chain) -> None:
    """Head, nonce and storage of the node are the same after any number of simulations."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    alice, _ = await senders(chain)
    state = (parent, alice.nonce, await chain.node.storage(COUNTER, 1))

    for simulator in (NodeSimulator(chain.node), open_simulator(chain.node)):
        await simulator.simulate([alice(COUNTER)], parent=parent, env=env)

    nonce = await chain.node.nonce(ALICE)
    assert state == (await chain.node.head(), nonce, await chain.node.storage(COUNTER, 1))


async def test_without_pyrevm_the_node_simulates_with_the_same_results(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hiding pyrevm changes who computes a V3 swap, a V2 swap and a revert, and nothing else."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    alice, bob = await senders(chain)
    transactions = [
        alice(V3_ROUTER, v3_swap(ETHER, ALICE)),
        alice(V2_ROUTER, v2_swap(ETHER, ALICE)),
        bob(V2_ROUTER, v2_swap(10**30, BOB)),
    ]
    with_it = await open_simulator(chain.node).simulate(transactions, parent=parent, env=env)
    monkeypatch.setitem(sys.modules, "pyrevm", None)

    hidden = open_simulator(chain.node)
    without_it = await hidden.simulate(transactions, parent=parent, env=env)

    assert isinstance(hidden, NodeSimulator)
    assert [True, True, False] == [result.succeeded for result in without_it]
    assert "TransferHelper: TRANSFER_FROM_FAILED" == without_it[2].reason
    assert with_it == without_it


@pytest.mark.parametrize("simulator", [NodeSimulator, RevmSimulator, PyEvmSimulator])
async def test_creations_are_refused(chain: Chain, simulator: Callable[[Node], Simulator]) -> None:
    """A contract creation is refused by its position, alike by all simulators."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    alice, _ = await senders(chain)

    with pytest.raises(ConfigError, match="transaction 1 creates a contract"):
        await simulator(chain.node).simulate(
            [alice(COUNTER), alice(None, "0x00")], parent=parent, env=env
        )


@pytest.mark.parametrize("simulator", [NodeSimulator, RevmSimulator, PyEvmSimulator])
async def test_no_transactions_have_no_results(
    chain: Chain, simulator: Callable[[Node], Simulator]
) -> None:
    """Nothing simulated is nothing, not an error."""
    parent = await chain.node.head()

    results = await simulator(chain.node).simulate([], parent=parent, env=await chain.env(parent))

    assert () == results


@pytest.mark.parametrize("simulator", [NodeSimulator, RevmSimulator, PyEvmSimulator])
async def test_unknown_parent_is_the_nodes_error(
    chain: Chain, simulator: Callable[[Node], Simulator]
) -> None:
    """A block that the node does not have is reported, not simulated on another one."""
    parent = await chain.node.head()
    env = await chain.env(parent)
    alice, _ = await senders(chain)
    unknown = msgspec.structs.replace(parent, hash=Hash("0x" + "12" * 32))

    with pytest.raises(NodeError):
        await simulator(chain.node).simulate([alice(COUNTER)], parent=unknown, env=env)
