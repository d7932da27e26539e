import asyncio
from typing import Any

import msgspec
import pytest

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import Anvil
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.errors import (
    AlreadyKnown,
    CallReverted,
    ConfigError,
    GasLimitTooHigh,
    InsufficientFunds,
    NodeError,
    NonceTooLow,
    RejectedByNode,
    ReplacementUnderpriced,
    RpcError,
    Underpriced,
)
from toolkit.model.tx import AccessListItem, TransactionRequest, UnsignedTransaction

SIGNER = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
OTHER = Address("0x" + "22" * 20)
RETURNS_42 = Address("0x" + "42" * 20)
REVERTS = Address("0x" + "fd" * 20)
LOGS = Address("0x" + "a1" * 20)
REASON = "08c379a0" + f"{32:064x}" + f"{2:064x}" + "6e6f" + "00" * 30
TRANSFER = UnsignedTransaction(
    type=2,
    chain_id=1,
    nonce=0,
    to=OTHER,
    value=5,
    data="0x",
    gas=100_000,
    max_fee_per_gas=10 * 10**9,
    max_priority_fee_per_gas=10**9,
)


def change(**fields: object) -> str:
    """The raw transfer with other fields."""
    return SIGNER.sign_transaction_now(msgspec.structs.replace(TRANSFER, **fields)).raw


@pytest.fixture(autouse=True)
async def contracts(node: Node) -> None:
    """Three tiny contracts: one returns 42, one reverts with Error("no"), one emits a log."""
    size = len(REASON) // 2
    # CODECOPY of the 100 bytes after the 12 of code, then REVERT.
    revert = f"60{size:02x}600c60003960{size:02x}6000fd{REASON}"
    for place, code in (
        (RETURNS_42, "602a60005260206000f3"),
        (REVERTS, revert),
        (LOGS, "60aa60006000a100"),
    ):
        await node.rpc.call("anvil_setCode", [place, "0x" + code])


async def test_heads_are_read_by_number_tag_and_hash(node: Node) -> None:
    """The three ways to name a block give the same head, linked to its parent."""
    await node.rpc.call("evm_mine")
    head = await node.head()

    assert (1, 30_000_000) == (head.number, head.gas_limit)
    assert head == await node.head(1) == await node.head(head.hash)
    assert head.parent_hash == (await node.head(0)).hash


@pytest.mark.parametrize("block", [99, "0x" + "ab" * 32])
async def test_a_block_that_does_not_exist_is_an_error(node: Node, block: int | str) -> None:
    """Unknown numbers and hashes are named in a NodeError."""
    with pytest.raises(NodeError, match=str(block)):
        await node.head(block)


async def test_state_is_read_as_of_a_block(node: Node) -> None:
    """Balance, nonce, code and storage follow the block they are asked for, by hash too."""
    before = await node.head()
    await node.send_raw(change())
    await node.rpc.call("evm_mine")
    after = await node.head()

    assert (0, 5) == (await node.balance(OTHER, before.hash), await node.balance(OTHER, 1))
    assert 0 == await node.nonce(SIGNER.address, before.hash)
    assert 1 == await node.nonce(SIGNER.address, after.hash) == await node.nonce(SIGNER.address)
    assert "0x602a60005260206000f3" == await node.code(RETURNS_42)
    assert "0x" == await node.code(OTHER)
    assert 0 == await node.storage(RETURNS_42, 3)
    assert 1 == await node.chain_id()
    assert (await node.client_version()).startswith("anvil/")


async def test_calls_return_output_and_reverts_their_reason(node: Node) -> None:
    """Output comes back as hex; a revert is CallReverted with the decoded reason and its data."""
    head = await node.head()

    assert f"0x{42:064x}" == await node.call(to=RETURNS_42, sender=OTHER, block=head.hash)
    with pytest.raises(CallReverted) as caught:
        await node.call(to=REVERTS, data="0x12345678")
    assert ("no", "0x" + REASON) == (caught.value.reason, caught.value.data)


async def test_gas_is_estimated_with_access_lists(node: Node) -> None:
    """The estimate counts an access list; a failing transaction is CallReverted."""
    plain = TransactionRequest(to=RETURNS_42)
    key = Hash("0x" + "00" * 32)
    listed = TransactionRequest(
        to=RETURNS_42, access_list=(AccessListItem(address=OTHER, storage_keys=(key,)),)
    )

    difference = await node.estimate_gas(listed, sender=SIGNER.address) - await node.estimate_gas(
        plain, sender=SIGNER.address
    )
    assert 2400 + 1900 == difference
    with pytest.raises(CallReverted, match="no"):
        await node.estimate_gas(TransactionRequest(to=REVERTS), sender=SIGNER.address)


async def test_a_set_code_transaction_delegates_its_authorities(node: Node) -> None:
    """Anvil takes our type 4 bytes; its estimate counts the authorization; the code is set."""
    authority = LocalSigner("0x" + "4c" * 32)
    grant = authority.sign_authorization(chain_id=1, address=RETURNS_42, nonce=0)
    request = TransactionRequest(to=OTHER, type=4, authorization_list=(grant,))

    plain = await node.estimate_gas(TransactionRequest(to=OTHER), sender=SIGNER.address)
    gas = await node.estimate_gas(request, sender=SIGNER.address)
    tx_hash = await node.send_raw(change(type=4, gas=gas, value=0, authorization_list=(grant,)))
    await node.rpc.call("evm_mine")
    receipt = await node.receipt(tx_hash)

    assert 25_000 <= gas - plain
    assert receipt is not None
    assert receipt.succeeded
    assert "0xef0100" + RETURNS_42[2:] == await node.code(authority.address)


async def test_receipts_and_logs_are_values(node: Node) -> None:
    """A mined transaction's receipt, its block's receipts and its logs agree."""
    tx_hash = await node.send_raw(change(to=LOGS, value=0))
    assert await node.receipt(tx_hash) is None
    await node.rpc.call("evm_mine")
    receipt = await node.receipt(tx_hash)
    assert receipt is not None

    assert (True, SIGNER.address, LOGS) == (receipt.succeeded, receipt.sender, receipt.to)
    assert (receipt,) == await node.receipts(receipt.block_hash) == await node.receipts(1)
    assert receipt.logs == await node.logs(block_hash=receipt.block_hash)
    topic = Hash(f"0x{0xAA:064x}")
    assert receipt.logs == await node.logs(
        from_block=0, to_block="latest", addresses=[LOGS], topics=[topic]
    )
    assert () == await node.logs(from_block=0, to_block=1, addresses=[OTHER])
    assert topic == receipt.logs[0].topics[0]
    found = await node.transaction(tx_hash)
    assert found is not None
    assert "0x0" == found["nonce"]
    assert await node.transaction(Hash("0x" + "00" * 32)) is None
    history = await node.fee_history(1, "latest", [50])
    assert (2, ((10**9,),)) == (len(history.base_fees), history.rewards)


@pytest.mark.parametrize("where", [{}, {"from_block": 1}, {"block_hash": "0x", "to_block": 1}])
async def test_logs_need_one_way_to_say_where(node: Node, where: dict[str, Any]) -> None:
    """A hash, or a whole range: anything else is a ConfigError before the node is asked."""
    if "block_hash" in where:
        where = {**where, "from_block": 1}
    with pytest.raises(ConfigError, match="either block_hash"):
        await node.logs(**where)


async def test_what_anvil_refuses_is_named(node: Node) -> None:
    """Each refusal of a real node becomes its own class, and a success returns the hash."""
    first = change(nonce=1)

    assert SIGNER.sign_transaction_now(
        msgspec.structs.replace(TRANSFER, nonce=1)
    ).hash == await node.send_raw(first)
    with pytest.raises(AlreadyKnown):
        await node.send_raw(first)
    with pytest.raises(ReplacementUnderpriced):
        await node.send_raw(change(nonce=1, value=6))
    with pytest.raises(Underpriced):
        await node.send_raw(change(max_fee_per_gas=1, max_priority_fee_per_gas=1))
    with pytest.raises(InsufficientFunds):
        await node.send_raw(change(value=10**30))
    with pytest.raises(GasLimitTooHigh):
        await node.send_raw(change(gas=31_000_000))
    with pytest.raises(RejectedByNode):
        await node.send_raw(change(gas=20_000))
    with pytest.raises(RejectedByNode):
        await node.send_raw(change(chain_id=5))
    await node.send_raw(change())
    await node.rpc.call("evm_mine")
    with pytest.raises(NonceTooLow):
        await node.send_raw(change(value=9))


async def test_many_reads_are_pinned_to_one_block(node: Node) -> None:
    """aggregate answers in order as of the given hash; reverts are None, other errors raise."""
    head = await node.head()
    await node.rpc.call("anvil_setCode", [OTHER, "0x602b60005260206000f3"])
    await node.rpc.call("evm_mine")
    later = await node.head()
    calls = [(RETURNS_42, "0x"), (REVERTS, "0x"), (OTHER, "0x")] * 400

    outputs = await aggregate(node, calls, block=later.hash)
    assert [f"0x{42:064x}", None, f"0x{43:064x}"] * 400 == outputs
    assert [f"0x{42:064x}"] == await aggregate(node, calls[:1], block=head.hash)
    with pytest.raises(RpcError):
        await aggregate(node, calls[:1], block=Hash("0x" + "ab" * 32))


GOOD_HEAD = {
    "number": "0x1",
    "hash": "0x" + "AB" * 32,
    "parentHash": "0x" + "cd" * 32,
    "timestamp": "0x2",
    "gasLimit": "0x3",
    "gasUsed": "0x4",
}


async def test_a_head_before_london_has_no_base_fee(serve: Any) -> None:
    """Missing baseFeePerGas reads as zero; hashes become lower case."""
    scripted = await serve(lambda *_: GOOD_HEAD)
    async with HttpRpc(scripted.url) as rpc:
        head = await Node(rpc).head()

    assert (
        Head(
            number=1,
            hash=Hash("0x" + "ab" * 32),
            parent_hash=Hash("0x" + "cd" * 32),
            timestamp=2,
            base_fee_per_gas=0,
            gas_limit=3,
            gas_used=4,
        )
        == head
    )


@pytest.mark.parametrize(
    "answer",
    [
        *({**GOOD_HEAD, field: None} for field in GOOD_HEAD),
        *({**GOOD_HEAD, field: "nonsense"} for field in GOOD_HEAD),
        *({k: v for k, v in GOOD_HEAD.items() if k != field} for field in GOOD_HEAD),
        {**GOOD_HEAD, "number": 1},
        {**GOOD_HEAD, "baseFeePerGas": "zero"},
        [],
        "0x1",
        None,
    ],
)
async def test_a_garbled_head_is_a_node_error(serve: Any, answer: object) -> None:
    """A header that lacks or garbles a field is an error, never a guess."""
    scripted = await serve(lambda *_: answer)
    async with HttpRpc(scripted.url) as rpc:
        with pytest.raises(NodeError):
            await Node(rpc).head()


@pytest.mark.parametrize("answer", [None, 5, "5", "", "0xzz", [], {}, True])
async def test_a_garbled_quantity_is_a_node_error(serve: Any, answer: object) -> None:
    """Only 0x hex is a quantity."""
    scripted = await serve(lambda *_: answer)
    async with HttpRpc(scripted.url) as rpc:
        with pytest.raises(NodeError):
            await Node(rpc).chain_id()


async def test_the_hash_of_a_sent_transaction_is_its_own(serve: Any) -> None:
    """Whatever a node answers to a send, the hash is that of the bytes."""
    scripted = await serve(lambda *_: "0x" + "ee" * 32)
    signed = SIGNER.sign_transaction_now(TRANSFER)
    async with HttpRpc(scripted.url) as rpc:
        assert signed.hash == await Node(rpc).send_raw(signed.raw)


async def test_many_questions_share_a_client(anvil: Anvil, node: Node) -> None:
    """A hundred concurrent questions over one client all get their own answers."""
    accounts = [Address(f"0x{n:040x}") for n in range(1, 101)]
    for n, account in enumerate(accounts):
        await node.rpc.call("anvil_setBalance", [account, hex(n)])

    balances = await asyncio.gather(*(node.balance(account) for account in accounts))

    assert list(range(100)) == list(balances)
