import asyncio
import itertools
import random
import secrets
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.chain.peers import OWNER, RAW, SIGNER, Trio, as_hash, quiet
from toolkit.chain import wire
from toolkit.chain.heads import HeadFollower
from toolkit.chain.modes import identify
from toolkit.chain.node import Node
from toolkit.chain.quorum import QuorumRpc
from toolkit.chain.quorum_rules import RULES, Kind
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.web3_bridge import rpc_of
from toolkit.devnet.anvil import start_anvil
from toolkit.gas.oracle import GasOracle
from toolkit.model.errors import (
    CallReverted,
    ConfigError,
    NodeError,
    NodeTimeout,
    NodeUnavailable,
    RpcError,
)
from toolkit.model.tx import TransactionRequest, UnsignedTransaction, Urgency

# --- the table


def test_every_read_that_we_know_has_a_rule_and_its_reason() -> None:
    """Each rule says why; a method without a row is a read that wants a quorum, or is refused."""
    assert all(rule.reason for rule in RULES.values())
    assert {"eth_sendRawTransaction"} == {
        name for name, rule in RULES.items() if rule.kind is Kind.BROADCAST
    }


@pytest.mark.parametrize("method", ["evm_mine", "eth_newFilter", "eth_sendTransaction", "eth_sign"])
async def test_what_acts_on_one_nodes_own_state_is_refused(trio: Trio, method: str) -> None:
    """A filter, an account or mining belong to one node: ConfigError, and nobody is asked."""
    with pytest.raises(ConfigError, match="one node's own state"):
        await trio.rpc.call(method)
    with pytest.raises(ConfigError, match="send it alone"):
        await trio.rpc.batch([("eth_sendRawTransaction", [RAW.raw])])

    assert [[], [], []] == [peer.asked for peer in trio.peers]


# --- the head


@pytest.mark.parametrize(
    ("behind", "head"),
    [((0, 0, 0), 10), ((0, 0, 1), 10), ((0, 1, 2), 9), ((3, 0, 7), 7), ((0, 5, 5), 5)],
)
async def test_the_head_is_the_highest_that_a_quorum_has(
    trio: Trio, behind: tuple[int, ...], head: int
) -> None:
    """With three nodes it is the middle one's, whoever is ahead and whoever lags."""
    for peer, late in zip(trio.peers, behind, strict=True):
        peer.behind = late

    assert quiet(head) == (await trio.node.head()).hash
    assert hex(head) == await trio.rpc.call("eth_blockNumber")


async def test_a_head_that_somebody_claims_is_not_followed(trio: Trio) -> None:
    """Neither a node far ahead, nor one at zero, nor one on its own fork moves the head."""
    for lie in (
        {"eth_getBlockByNumber": lambda block: {**block, "number": hex(10**9)}},
        {"eth_getBlockByNumber": trio.peers[0].block(0)},
        {"eth_getBlockByNumber": lambda block: {**block, "baseFeePerGas": "0x0"}},
        {"eth_getBlockByNumber": lambda _: None},
        {"eth_getBlockByNumber": "nonsense"},
        {"eth_getBlockByNumber": RpcError(-32000, "database is closed")},
    ):
        trio.peers[1].lies = lie

        head = await trio.node.head()
        assert (quiet(10), 7) == (head.hash, head.base_fee_per_gas)


@pytest.mark.parametrize("forks", [(None, 9, None), (9, None, 10), (8, 7, None)])
async def test_nodes_on_forks_agree_on_where_they_parted(
    trio: Trio, forks: tuple[int | None, ...]
) -> None:
    """Where all newest blocks differ, the head is the highest block that two still share."""
    for peer, fork in zip(trio.peers, forks, strict=True):
        peer.fork = fork
    shared = sorted((10 if fork is None else fork - 1 for fork in forks), reverse=True)[1]

    assert quiet(shared) == (await trio.node.head()).hash


async def test_one_node_cannot_move_an_authorization_into_another_transaction(trio: Trio) -> None:
    """What a transaction authorizes is part of what it does, and a quorum has to say it."""
    grant = dict.fromkeys(("chainId", "nonce", "yParity", "r", "s"), "0x1")
    entry = {"hash": as_hash("tx"), "authorizationList": [{**grant, "address": "0x" + "f1" * 20}]}
    for peer in trio.peers:
        peer.lies = {"eth_getBlockByNumber": lambda block: {**block, "transactions": [entry]}}
    bare = {"hash": as_hash("tx"), "authorizationList": []}
    trio.peers[0].lies = {"eth_getBlockByNumber": lambda block: {**block, "transactions": [bare]}}

    assert [entry] == (await trio.node.block(5, full=True))["transactions"]


async def test_nodes_of_different_chains_have_no_head(trio: Trio) -> None:
    """Three chains: a NodeError that says what each node says, never a guess."""
    for peer in trio.peers:
        peer.fork = 0

    with pytest.raises(NodeError, match=r"disagree about eth_getBlockByNumber: node 1 .*node 3"):
        await trio.node.head()


async def test_a_follower_sees_a_plain_chain_through_lags_and_lies(trio: Trio) -> None:
    """Over 60 blocks of changing lags and lies of one node, heads come in order, once, no reorg."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    follower = HeadFollower(trio.node)
    seen = []
    for _ in range(60):
        victim = rng.choice(trio.peers)
        for peer in trio.peers:
            peer.behind, peer.lies, peer.fork, peer.dead = 0, {}, None, False
        fault = rng.randrange(5)
        victim.behind = rng.randint(1, 5) if fault == 0 else 0
        victim.dead = fault == 1
        victim.fork = rng.randint(1, trio.chain.height) if fault == 2 else None
        victim.lies = {"eth_getBlockByNumber": None} if fault == 3 else {}
        trio.chain.mine()
        change = await follower.poll()
        assert change is not None
        assert () == change.reverted, seed
        seen += [head.number for head in change.added]

    assert list(range(11, 71)) == seen


# --- state


async def test_one_bad_node_out_of_three_changes_no_answer(trio: Trio) -> None:
    """For 300 random faults of one node, nonce, balance, code and receipt are the true ones."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    mined, unknown = as_hash("mined"), as_hash("unknown")
    trio.chain.mine(mined)
    trio.chain.mine()
    blocks: list[int | str] = ["latest", 12, quiet(12)]
    lies: list[Any] = ["0x63", None, [], "0x", RpcError(-32603, "nonce too low"), NodeError("bad")]
    for _ in range(300):
        victim = rng.choice(trio.peers)
        for peer in trio.peers:
            peer.behind, peer.lies, peer.dead, peer.silent, peer.fork = 0, {}, False, False, None
        fault = rng.randrange(6)
        victim.dead, victim.silent = fault == 0, fault == 1
        victim.behind = rng.randint(1, 3) if fault == 2 else 0
        victim.fork = 11 if fault == 3 else None
        if fault > 3:
            victim.lies = dict.fromkeys(
                ("eth_getTransactionCount", "eth_getBalance", "eth_getCode"), rng.choice(lies)
            )
            victim.lies["eth_getTransactionReceipt"] = rng.choice(
                [{}, "0x", {"status": "0x0"}, lambda answer: answer and {**answer, "status": "0x0"}]
            )
        block = rng.choice(blocks)

        assert 1 == await trio.node.nonce(OWNER, block), seed
        assert 10**18 - 12 == await trio.node.balance(OWNER, block)
        assert "0xef0100" == (await trio.node.code(OWNER, block)).lower()
        assert 0 == await trio.node.nonce(OWNER, 10)
        receipt = await trio.node.receipt(mined)
        assert receipt is not None
        assert (11, True, quiet(11)) == (
            receipt.block_number,
            receipt.succeeded,
            receipt.block_hash,
        )
        assert await trio.node.receipt(unknown) is None


async def test_the_latest_state_is_as_of_the_block_that_a_quorum_has(trio: Trio) -> None:
    """One node ahead, one behind, one in the middle: the middle one's block counts for all."""
    trio.chain.mine(as_hash("one"))
    trio.chain.mine(as_hash("two"))
    trio.peers[0].behind, trio.peers[2].behind = 1, 2  # at 11, 12 and 10; nonces 1, 2 and 0

    assert 1 == await trio.node.nonce(OWNER)
    assert 10**18 - 11 == await trio.node.balance(OWNER)
    assert 10**18 - 11 == await trio.node.balance(OWNER, "pending")


async def test_a_receipt_needs_a_quorum_and_its_absence_too(trio: Trio) -> None:
    """One node's word for a receipt, and one node's silence about it, are not the answer."""
    mined = as_hash("mined")
    trio.chain.mine(mined)
    trio.peers[0].behind = trio.peers[1].behind = 1
    assert await trio.node.receipt(mined) is None

    trio.peers[0].behind = 0
    assert await trio.node.receipt(mined) is not None

    trio.peers[2].dead = True
    trio.peers[0].behind, trio.peers[1].behind = 1, 0
    with pytest.raises(NodeError, match="disagree about eth_getTransactionReceipt"):
        await trio.node.receipt(mined)


async def test_a_transaction_is_mined_where_a_quorum_has_it(trio: Trio) -> None:
    """Known to all but mined for one only, it is pending; unknown to two, it is unknown."""
    tx_hash = as_hash("tx")
    for peer in trio.peers:
        peer.pool.append(tx_hash)
    trio.chain.mine(tx_hash)
    trio.peers[0].behind = trio.peers[1].behind = 1
    pending = await trio.node.transaction(tx_hash)
    trio.peers[1].behind = 0
    mined = await trio.node.transaction(tx_hash)
    trio.peers[0].dead = True
    trio.peers[2].behind = 1
    known = await trio.node.transaction(tx_hash)

    assert pending is not None
    assert (None, None) == (pending["blockHash"], pending["blockNumber"])
    assert mined is not None
    assert quiet(11) == mined["blockHash"]
    assert known is not None
    assert known["blockHash"] is None
    trio.peers[0].dead = False
    for peer in trio.peers[:2]:
        peer.behind, peer.pool = 1, []
    assert await trio.node.transaction(tx_hash) is None


@pytest.mark.parametrize(
    ("pools", "count"),
    [((0, 0, 0), 0), ((5, 5, 0), 5), ((5, 5, 99), 5), ((3, 5, 4), 4), ((0, 0, 9), 0)],
)
async def test_the_pending_count_is_what_a_quorum_has_reached(
    trio: Trio, pools: tuple[int, ...], count: int
) -> None:
    """F15, F16: a stale count gives no nonce out again, an invented one skips none."""
    for peer, size in zip(trio.peers, pools, strict=True):
        peer.pool = [as_hash(str(n)) for n in range(size)]

    assert count == await trio.node.nonce(OWNER, "pending")


async def test_estimates_are_the_middle_ones(trio: Trio) -> None:
    """Gas, prices and tips of one node alone are never taken."""
    for place, lie in itertools.product(range(3), ("0x1", hex(10**12))):
        for peer in trio.peers:
            peer.lies = {}
        trio.peers[place].lies = {
            "eth_estimateGas": lie,
            "eth_gasPrice": lie,
            "eth_feeHistory": lambda found, tip=lie: {**found, "reward": [[tip]]},
        }
        [batched] = await trio.rpc.batch([("eth_feeHistory", ["0x1", "latest", [50]])])
        gas = await trio.node.estimate_gas(TransactionRequest(to=OWNER), sender=OWNER)
        history = await trio.node.fee_history(1, "latest", [50])

        assert (21_000, "0x64") == (gas, await trio.rpc.call("eth_gasPrice"))
        assert ((50,),) == history.rewards
        assert isinstance(batched, dict)
        assert [["0x32"]] == batched["reward"]
        assert (7, 8) == history.base_fees


async def test_a_revert_is_one_when_a_quorum_says_so(trio: Trio) -> None:
    """Reverts agree by their data whatever the words; one node's revert is outvoted."""
    reverted = "0x08c379a0" + f"{32:064x}{2:064x}6e6f" + "00" * 30
    for peer, words in zip(
        trio.peers, ("execution reverted: no", "execution reverted"), strict=False
    ):
        peer.lies["eth_estimateGas"] = RpcError(3, words, reverted)
    with pytest.raises(CallReverted, match="no"):
        await trio.node.estimate_gas(TransactionRequest(to=OWNER), sender=OWNER)

    trio.peers[0].lies.clear()
    assert 21_000 == await trio.node.estimate_gas(TransactionRequest(to=OWNER), sender=OWNER)


async def test_reverts_that_say_different_things_are_no_answer(trio: Trio) -> None:
    """Three nodes, three reasons: nobody's is told for the contract's."""
    for peer, reason in zip(trio.peers, ("one", "two", "three"), strict=True):
        peer.lies["eth_call"] = RpcError(3, f"execution reverted: {reason}")

    with pytest.raises(NodeError, match="disagree about eth_call") as caught:
        await trio.node.call(to=OWNER)
    assert not isinstance(caught.value, RpcError)


async def test_an_error_of_a_quorum_is_the_answer(trio: Trio) -> None:
    """A method that two nodes do not know is one that the node does not know."""
    for peer in trio.peers[:2]:
        peer.lies["toolkit_info"] = RpcError(-32601, "the method does not exist")
    trio.peers[2].lies["toolkit_info"] = {"accounts": [OWNER]}

    with pytest.raises(RpcError, match="does not exist"):
        await trio.rpc.call("toolkit_info")


async def test_two_dead_of_three_are_named(trio: Trio) -> None:
    """Too few answers are NodeUnavailable with each dead node's name and no credentials."""
    trio.peers[0].dead = trio.peers[2].dead = True

    for asking in (trio.node.nonce(OWNER), trio.node.head(), trio.node.receipt(as_hash("x"))):
        with pytest.raises(NodeUnavailable) as caught:
            await asking

        text = str(caught.value)
        assert "2 of 3 nodes did not answer" in text
        assert "node 1 (http://a.example)" in text
        assert "node 3 (http://c.example)" in text
        assert "node 2" not in text
        assert "secret" not in text + repr(trio.rpc)


async def test_disagreement_heals_when_the_nodes_do(trio: Trio) -> None:
    """With one node dead, two that differ are asked again; agreeing the second time is enough."""
    trio.peers[2].dead = True
    asked = 0

    def once(answer: str) -> str:
        nonlocal asked
        asked += 1
        return "0x63" if asked == 1 else answer

    trio.peers[0].lies["eth_getTransactionCount"] = once

    assert 0 == await trio.node.nonce(OWNER, 10)
    assert 2 == asked


async def test_a_silent_node_costs_patience_and_not_its_deadline(trio: Trio) -> None:
    """With two that agree nothing waits for the third; statistics tell who was outvoted."""
    trio.peers[2].silent = True
    trio.peers[1].behind = 1
    async with asyncio.timeout(5):
        for _ in range(20):
            await trio.node.nonce(OWNER, 9)
            await trio.node.head()
    trio.peers[2].silent, trio.peers[1].dead = False, True
    await trio.node.nonce(OWNER, 9)

    records = {record.name[:6]: record for record in trio.rpc.statistics()}
    assert (0, 1) == (records["node 3"].failed, records["node 2"].failed)
    assert "no connection" in records["node 2"].last_failure
    assert 20 <= records["node 2"].outvoted + records["node 1"].answered


# --- batches


async def test_a_batch_is_agreed_item_by_item(trio: Trio) -> None:
    """Each item follows its own rule, errors stay in their places, one bad node changes none."""
    mined = as_hash("mined")
    trio.chain.mine(mined)
    calls: list[wire.Call] = [
        ("eth_getTransactionCount", [OWNER, hex(11)]),
        ("eth_getBalance", [OWNER, "latest"]),
        ("eth_getTransactionReceipt", [mined]),
        ("eth_getTransactionCount", [OWNER, hex(99)]),
        ("eth_getTransactionCount", [OWNER, "pending"]),
        ("eth_blockNumber", []),
    ]
    for fault in ("lag", "lie", "dead", "silent", "refuse"):
        victim = trio.peers[1]
        victim.behind = 3 if fault == "lag" else 0
        victim.dead, victim.silent = fault == "dead", fault == "silent"
        victim.lies = {"eth_getTransactionCount": "0x7"} if fault == "lie" else {}
        if fault == "refuse":
            victim.lies = {method: RpcError(-32005, "limit exceeded") for method, _ in calls}

        found = await trio.rpc.batch(calls)

        assert ["0x1", hex(10**18 - 11)] == found[:2], fault
        assert isinstance(found[2], dict)
        assert mined == found[2]["transactionHash"]
        assert isinstance(found[3], RpcError)
        assert "0x1" == found[4]
        assert hex(11) == found[5]
    assert [] == await trio.rpc.batch([])


async def test_a_batch_without_a_quorum_is_no_answer(trio: Trio) -> None:
    """Two dead nodes fail the batch as a whole, by name."""
    trio.peers[0].dead = trio.peers[1].dead = True

    with pytest.raises(NodeUnavailable, match=r"node 1 .* node 2"):
        await trio.rpc.batch([("eth_getBalance", [OWNER, "0x1"])])


# --- settings


@pytest.mark.parametrize(
    ("count", "quorum", "said"),
    [
        (0, None, "of 0 nodes"),
        (3, 1, "quorum of 1 of 3"),
        (4, 2, "a quorum of 3 to 4"),
        (3, 4, "4"),
    ],
)
def test_a_quorum_that_could_contradict_itself_is_refused(
    count: int, quorum: int | None, said: str
) -> None:
    """A quorum is more than half of the voters and not more than there are."""
    with pytest.raises(ConfigError, match=said):
        QuorumRpc([f"http://{n}.example" for n in range(count)], quorum=quorum)


def test_a_node_has_one_vote() -> None:
    """The same address twice is refused, send-only or not."""
    with pytest.raises(ConfigError, match="twice"):
        QuorumRpc(["http://a.example", "http://b.example", "http://a.example"])
    with pytest.raises(ConfigError, match="twice"):
        QuorumRpc(["http://a.example"], send_only=["http://a.example"])


async def test_five_nodes_bear_two_bad_ones() -> None:
    """With five nodes a lying and a dead one together change nothing; three of five must answer."""
    five = Trio(5)
    async with five.rpc:
        five.chain.mine(as_hash("one"))
        five.peers[0].lies["eth_getTransactionCount"] = "0x9"
        five.peers[3].dead = True
        assert 1 == await five.node.nonce(OWNER)
        five.peers[4].behind = 5
        with pytest.raises(NodeError, match="disagree"):
            await five.node.nonce(OWNER, 11)


# --- what is built on a node


async def test_several_addresses_are_one_client() -> None:
    """`rpc_of` takes a list of addresses, and says what it takes when given something else."""
    rpc = rpc_of(["http://a.example", "http://b.example", "http://c.example"], timeout_s=1)

    assert isinstance(rpc, QuorumRpc)
    assert 2 == rpc.quorum
    with pytest.raises(ConfigError, match="node addresses or an AsyncWeb3"):
        rpc_of(["http://a.example", 5], timeout_s=1)
    await rpc.close()


async def test_what_a_session_asks_first_is_answered(trio: Trio) -> None:
    """Identity, oracle and preflight work over several nodes as over one."""
    for peer in trio.peers:
        peer.lies["toolkit_info"] = RpcError(-32601, "unknown")

    identity = await identify(trio.node)
    quote = await GasOracle(trio.node).quote(Urgency.SOON, head=await trio.node.head())

    assert (1, False, False) == (identity.chain_id, identity.development, identity.forked)
    assert quote.max_fee_per_gas >= quote.base_fee_per_gas


@pytest.mark.parametrize("chain_id", ["0x01", "nonsense", NodeTimeout("no answer")])
async def test_a_node_that_does_not_say_its_chain_well_is_outvoted(
    trio: Trio, chain_id: object
) -> None:
    """Leading zeros, garbage and silence of one node do not hinder the others."""
    for peer in trio.peers:
        peer.lies["toolkit_info"] = RpcError(-32601, "unknown")
    trio.peers[1].lies["eth_chainId"] = chain_id

    assert 1 == (await identify(trio.node)).chain_id


@pytest.mark.parametrize(
    ("lies", "said"),
    [
        ({"eth_chainId": "0x5"}, "node 2 .* is on chain 5, the others on chain 1:"),
        ({"web3_clientVersion": "anvil/v1.7.1"}, "node 2 .* is a development node"),
    ],
)
async def test_nodes_that_are_not_alike_are_refused(
    trio: Trio, lies: dict[str, Any], said: str
) -> None:
    """Another chain, or a development node among others, is refused before anything is sent."""
    for peer in trio.peers:
        peer.lies["toolkit_info"] = RpcError(-32601, "unknown")
    trio.peers[1].lies.update(lies)

    with pytest.raises(ConfigError, match=said):
        await identify(trio.node)


# --- real nodes


async def test_a_stale_anvil_changes_nothing_for_two_that_go_on() -> None:
    """Three real nodes, one of which stopped: head, nonce and receipt are those of the two."""
    arguments = ["--no-mining", "--timestamp", "1700000000"]
    async with AsyncExitStack() as stack:
        anvils = [await stack.enter_async_context(await start_anvil(arguments)) for _ in range(3)]
        each = [await stack.enter_async_context(HttpRpc(anvil.url)) for anvil in anvils]
        rpc = await stack.enter_async_context(QuorumRpc([anvil.url for anvil in anvils]))
        node = Node(rpc)
        tx_hash = await node.send_raw(RAW.raw)
        await rpc.drain()
        assert [tx_hash] * 3 == [
            (await Node(one).transaction(tx_hash) or {})["hash"] for one in each
        ]
        for one in each[:2]:
            await one.call("evm_setNextBlockTimestamp", [1700000100])
            await one.call("evm_mine")

        head = await node.head()
        receipt = await node.receipt(tx_hash)

        assert 1 == head.number
        assert head == await Node(each[0]).head()
        assert (1, 0) == (await node.nonce(SIGNER.address), await node.nonce(SIGNER.address, 0))
        assert receipt is not None
        assert head.hash == receipt.block_hash
        assert (await identify(node)).development
        other = await node.send_raw(other_raw())  # the stale one takes it
        await rpc.drain()
        third = [said for name, said in rpc.verdicts(other).items() if name.startswith("node 3 ")]
        assert ["accepted"] == third
        looked = await node.rpc.batch([("eth_getTransactionCount", [SIGNER.address, "0x1"])])
        assert ["0x1"] == looked


def other_raw() -> str:
    """Another transaction of the nonce that is spent."""
    unsigned = RAW.unsigned
    other = UnsignedTransaction(
        type=0,
        chain_id=31337,
        nonce=0,
        to=unsigned.to,
        value=2,
        data="0x",
        gas=21_000,
        gas_price=5 * 10**9,
    )
    return SIGNER.sign_transaction_now(other).raw
