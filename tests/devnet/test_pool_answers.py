"""What clients are told of the public pool, over HTTP and WebSocket, on a real Anvil."""

import asyncio
from hashlib import sha256

import pytest
import rlp
from coincurve import PrivateKey

from tests.devnet.conftest import GWEI, Sender
from toolkit.chain.encoding import uint
from toolkit.chain.hashing import checksum, keccak
from toolkit.chain.rpc import HttpRpc, Rpc
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.model.errors import RpcError


async def refused(rpc: Rpc, raw: str) -> RpcError:
    with pytest.raises(RpcError) as found:
        await rpc.call("eth_sendRawTransaction", (raw,))
    return found.value


def empty_blob(node: StrictNode) -> str:
    """A signed type 3 transaction; the polynomial 0 is committed to and proven by infinity."""
    infinity = b"\xc0" + b"\0" * 47
    account, numbers = node.accounts[0], (node.chain_id, 0, GWEI, 10 * GWEI, 21_000)
    versioned = b"\x01" + sha256(infinity).digest()[1:]
    to = bytes.fromhex(account.address[2:])
    fields = [*map(uint, numbers), to, b"", b"", [], uint(GWEI), [versioned]]
    key = PrivateKey(bytes.fromhex(account.key[2:]))
    signature = key.sign_recoverable(keccak(b"\x03" + rlp.encode(fields)), hasher=None)
    r, s = (signature[place : place + 32].lstrip(b"\0") for place in (0, 32))
    signed = [*fields, uint(signature[64]), r, s]
    wrapped = rlp.encode([signed, [b"\0" * 131_072], [infinity], [infinity]])
    return "0x03" + str(wrapped.hex())


async def test_anvil_receives_only_what_the_next_block_contains(
    rpc: Rpc, strict: StrictNode
) -> None:
    """Until it is sealed a transaction is in the pool alone, and afterwards in the block alone."""
    signed = Sender(strict).sign()
    answer = await rpc.call("eth_sendRawTransaction", (signed.raw,))
    at_anvil = await strict.node.rpc.call("txpool_status")
    sealed = await strict.seal()

    assert signed.hash == answer
    assert {"pending": "0x0", "queued": "0x0"} == at_anvil
    assert {"pending": "0x0", "queued": "0x0"} == await rpc.call("txpool_status")
    found = await rpc.call("eth_getTransactionByHash", (signed.hash,))
    assert hex(sealed.number) == found["blockNumber"]


async def test_pending_and_queued_are_counted_listed_and_summed_up(
    rpc: Rpc, strict: StrictNode
) -> None:
    """txpool_status, content, contentFrom and inspect tell executable from gapped ones."""
    sender, other = Sender(strict, 0), Sender(strict, 1)
    first, gapped, alone = sender.sign(0), sender.sign(2), other.sign(0, kind=0)
    for each in (first, gapped, alone):
        await rpc.call("eth_sendRawTransaction", (each.raw,))

    content = await rpc.call("txpool_content")
    name = checksum(sender.address)
    assert {"pending": "0x2", "queued": "0x1"} == await rpc.call("txpool_status")
    assert first.hash == content["pending"][name]["0"]["hash"]
    assert gapped.hash == content["queued"][name]["2"]["hash"]
    from_sender = await rpc.call("txpool_contentFrom", (sender.address,))
    assert from_sender == {"pending": content["pending"][name], "queued": content["queued"][name]}
    inspected = await rpc.call("txpool_inspect")
    to = checksum(strict.accounts[-1].address)
    assert f"{to}: 1 wei + 21000 gas \u00d7 {100 * GWEI} wei" == inspected["pending"][name]["0"]
    pending = await rpc.call("eth_pendingTransactions")
    assert {first.hash, alone.hash} == {each["hash"] for each in pending}


async def test_the_pending_count_stops_at_the_first_gap(rpc: Rpc, strict: StrictNode) -> None:
    """eth_getTransactionCount on pending counts the run, and all of it once the gap is filled."""
    sender = Sender(strict)
    counts = []
    for nonce in (0, 1, 3, 2):
        await rpc.call("eth_sendRawTransaction", (sender.sign(nonce).raw,))
        count = await rpc.call("eth_getTransactionCount", (sender.address, "pending"))
        counts.append(int(count, 16))

    assert [1, 2, 2, 4] == counts
    assert "0x0" == await rpc.call("eth_getTransactionCount", (sender.address, "latest"))


@pytest.mark.parametrize("kind", [0, 1, 2, 4])
async def test_a_pooled_transaction_reads_like_a_mined_one(
    rpc: Rpc, strict: StrictNode, kind: int
) -> None:
    """eth_getTransactionByHash gives the same before and after, but for block and price."""
    sender = Sender(strict)
    delegate = strict.accounts[1].address if kind == 4 else None
    signed = sender.sign(kind=kind, delegate=delegate, gas=100_000)
    await rpc.call("eth_sendRawTransaction", (signed.raw,))
    pooled = await rpc.call("eth_getTransactionByHash", (signed.hash,))
    raw = await rpc.call("eth_getRawTransactionByHash", (signed.hash,))
    by_nonce = await rpc.call("eth_getTransactionBySenderAndNonce", (sender.address, "0x0"))
    await strict.seal()
    mined = await rpc.call("eth_getTransactionByHash", (signed.hash,))

    place = ("blockHash", "blockNumber", "transactionIndex")
    assert signed.raw == raw
    assert pooled == by_nonce
    assert [None] * 3 == [pooled[name] for name in place]
    differing = {name for name in mined if mined[name] != pooled.get(name)}
    assert differing <= {*place, "gasPrice", "blockTimestamp"}


@pytest.mark.slow
@pytest.mark.timeout(120)  # Anvil prepares itself for several seconds before its first proof
async def test_a_blob_transaction_is_pooled_and_mined_with_its_sidecar(
    strict: StrictNode,
) -> None:
    """Type 3: pooled with its blob hash, and mined by Anvil, which checks the blob's proof."""
    async with HttpRpc(strict.rpc_url) as rpc:
        raw = empty_blob(strict)
        answer = await rpc.call("eth_sendRawTransaction", (raw,))
        pooled = await rpc.call("eth_getTransactionByHash", (answer,))
        await strict.seal()
        receipt = await rpc.call("eth_getTransactionReceipt", (answer,))
        await strict.reorg(1)
        returned = strict.pool.get(answer)

    # A block has no blobs; Anvil still does, and so what comes back has them, as at geth.
    assert returned is not None
    assert raw == returned.raw
    assert ("0x3", 1) == (pooled["type"], len(pooled["blobVersionedHashes"]))
    assert "0x1" == receipt["status"]


async def test_refusals_are_the_clients_own(rpc: Rpc, strict: StrictNode) -> None:
    """A known one, a replacement by less than 10 %, a spent nonce: geth's texts, code -32000."""
    sender = Sender(strict)
    first = sender.sign(0, tip=GWEI, cap=10 * GWEI)
    await rpc.call("eth_sendRawTransaction", (first.raw,))

    known = await refused(rpc, first.raw)
    cheap = await refused(rpc, sender.sign(0, tip=GWEI, cap=20 * GWEI).raw)
    better = sender.sign(0, tip=1_100_000_001, cap=11_000_000_001)
    await rpc.call("eth_sendRawTransaction", (better.raw,))
    await strict.seal()
    spent = await refused(rpc, sender.sign(0, value=2).raw)
    assert [-32000] * 3 == [each.code for each in (known, cheap, spent)]
    assert "already known" == known.message
    assert "replacement transaction underpriced" == cheap.message
    assert "nonce too low: next nonce 1, tx nonce 0" == spent.message
    assert None is await rpc.call("eth_getTransactionByHash", (first.hash,))
    assert await rpc.call("eth_getTransactionReceipt", (better.hash,))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ([], "missing value"),
        (["12"], "without 0x"),
        (["0x02ff"], "failed to decode"),
        (["0x"], "failed to decode"),
        ([5], "without 0x"),
    ],
)
async def test_what_is_no_transaction_is_told_so(
    rpc: Rpc, strict: StrictNode, params: list[object], words: str
) -> None:
    """Missing, unprefixed or undecodable bytes are refused as bad input, and not repeated."""
    with pytest.raises(RpcError, match=words) as found:
        await rpc.call("eth_sendRawTransaction", params)

    assert -32602 == found.value.code
    assert "0x02ff" not in str(found.value)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getTransactionByHash", ["0x12"]),
        ("eth_getTransactionByHash", []),
        ("txpool_contentFrom", ["nobody"]),
        ("eth_sendTransaction", ["0x"]),
        ("eth_getTransactionBySenderAndNonce", ["0x" + "11" * 20, "x"]),
        ("eth_getTransactionByBlockNumberAndIndex", ["pending"]),
    ],
)
async def test_malformed_questions_are_refused(
    rpc: Rpc, strict: StrictNode, method: str, params: list[object]
) -> None:
    """A question that names no hash, account or number gets an error, and the connection lives."""
    with pytest.raises(RpcError):
        await rpc.call(method, params)

    assert "0x0" == await rpc.call("eth_blockNumber")


async def test_the_pending_block_is_what_a_miner_would_take(rpc: Rpc, strict: StrictNode) -> None:
    """By tip, in nonce order, without what is capped below the base fee; hashes or in full."""
    low = Sender(strict, 0).sign(cap=10, tip=1)
    cheap, dear = Sender(strict, 1).sign(tip=GWEI), Sender(strict, 2).sign(tip=9 * GWEI)
    for each in (low, cheap, dear):
        await rpc.call("eth_sendRawTransaction", (each.raw,))

    hashes = await rpc.call("eth_getBlockByNumber", ("pending", False))
    full = await rpc.call("eth_getBlockByNumber", ("pending", True))
    count = await rpc.call("eth_getBlockTransactionCountByNumber", ("pending",))
    second = await rpc.call("eth_getTransactionByBlockNumberAndIndex", ("pending", "0x1"))
    beyond = await rpc.call("eth_getTransactionByBlockNumberAndIndex", ("pending", "0x2"))
    await strict.seal()
    mined = await rpc.call("eth_getBlockByNumber", ("latest", False))
    assert [dear.hash, cheap.hash] == hashes["transactions"] == mined["transactions"]
    assert ["0x0", "0x1"] == [each["transactionIndex"] for each in full["transactions"]]
    assert ("0x2", cheap.hash, None) == (count, second["hash"], beyond)
    assert {"pending": "0x1", "queued": "0x0"} == await rpc.call("txpool_status")


async def test_what_is_capped_below_the_base_fee_is_kept_until_the_fee_falls(
    rpc: Rpc, strict: StrictNode
) -> None:
    """Anvil would refuse it at once; geth keeps it, and it is mined when the fee allows."""
    signed = Sender(strict).sign(cap=900_000_000, tip=1)
    await rpc.call("eth_sendRawTransaction", (signed.raw,))
    before = strict.head.base_fee_per_gas
    while not await rpc.call("eth_getTransactionReceipt", (signed.hash,)):
        await strict.seal()
        assert strict.head.number < 20

    assert 10**9 == before
    assert strict.head.base_fee_per_gas < 900_000_000


async def test_transactions_can_be_dropped(rpc: Rpc, strict: StrictNode) -> None:
    """anvil_dropTransaction, removePoolTransactions and dropAllTransactions empty the pool."""
    senders = [Sender(strict, index) for index in range(3)]
    raws = [sender.sign(nonce) for sender in senders for nonce in (0, 1)]
    for each in raws:
        await rpc.call("eth_sendRawTransaction", (each.raw,))

    dropped = await rpc.call("anvil_dropTransaction", (raws[0].hash,))
    again = await rpc.call("anvil_dropTransaction", (raws[0].hash,))
    after_one = await rpc.call("txpool_status")
    await rpc.call("anvil_removePoolTransactions", (senders[1].address,))
    after_account = await rpc.call("txpool_status")
    await rpc.call("anvil_dropAllTransactions")
    assert (raws[0].hash, None) == (dropped, again)
    assert {"pending": "0x4", "queued": "0x1"} == after_one
    assert {"pending": "0x2", "queued": "0x1"} == after_account
    assert {"pending": "0x0", "queued": "0x0"} == await rpc.call("txpool_status")


async def test_an_impersonated_account_sends_through_the_pool(rpc: Rpc, strict: StrictNode) -> None:
    """Its nonces come from the pool, its hash is what Anvil mines, and a stranger is refused."""
    sender, stranger = Sender(strict, 0), Sender(strict, 1)
    await rpc.call("anvil_impersonateAccount", (sender.address,))
    request = {"from": sender.address, "to": stranger.address, "value": "0x1"}
    hashes = [await rpc.call("eth_sendTransaction", (request,)) for _ in range(2)]
    legacy = {**request, "gasPrice": hex(10 * GWEI)}
    hashes.append(await rpc.call("eth_sendTransaction", (legacy,)))
    filled = await rpc.call("eth_fillTransaction", (request,))
    with pytest.raises(RpcError, match="No Signer available"):
        await rpc.call("eth_sendTransaction", ({**request, "from": stranger.address},))
    await strict.seal()

    block = await rpc.call("eth_getBlockByNumber", ("latest", True))
    assert {"pending": "0x0", "queued": "0x0"} == await rpc.call("txpool_status")
    assert hashes == [each["hash"] for each in block["transactions"]]
    assert "0x3" == filled["tx"]["nonce"]


async def test_calls_at_once_get_nonces_of_their_own(rpc: Rpc, strict: StrictNode) -> None:
    """Five eth_sendTransaction of one account at once are five transactions."""
    sender = Sender(strict)
    await rpc.call("anvil_impersonateAccount", (sender.address,))
    request = {"from": sender.address, "to": sender.address}
    sent = await asyncio.gather(*(rpc.call("eth_sendTransaction", (request,)) for _ in range(5)))

    assert 5 == len(set(sent)) == len(strict.pool.pending(sender.address))


async def test_an_account_of_which_anvil_has_the_key_sends_through_the_pool() -> None:
    """What Anvil signs for its own account is pooled as signed bytes; so is auto-impersonation."""
    async with open_strict_node(accounts=1) as node:
        rpc = node.node.rpc
        await node.public_pool.renew()
        node.public_pool.auto_impersonate = True
        request = {"from": node.accounts[0].address, "to": node.accounts[0].address}
        await rpc.call("anvil_autoImpersonateAccount", (True,))
        sent = await node.public_pool.send_call(request)
        await node.seal()

        assert sent.hash in (await node.node.block())["transactions"]


async def test_a_batch_sends_and_reads_in_order(rpc: Rpc, strict: StrictNode) -> None:
    """Within one batch a read sees what the send before it did, and Anvil answers the rest."""
    sender = Sender(strict)
    answers = await rpc.batch(
        [
            ("eth_getTransactionCount", (sender.address, "pending")),
            ("eth_sendRawTransaction", (sender.sign(0).raw,)),
            ("eth_getTransactionCount", (sender.address, "pending")),
            ("eth_chainId", ()),
        ]
    )

    assert ["0x0", "0x1", hex(strict.chain_id)] == [answers[0], answers[2], answers[3]]


async def test_concurrent_sends_keep_their_order(rpc: Rpc, strict: StrictNode) -> None:
    """100 sends at once of one account all get in, none of them ahead of its turn."""
    sender = Sender(strict)
    signed = [sender.sign(nonce) for nonce in range(100)]
    await asyncio.gather(*(rpc.call("eth_sendRawTransaction", (each.raw,)) for each in signed))
    await strict.seal()

    block = await rpc.call("eth_getBlockByNumber", ("latest", False))
    assert [each.hash for each in signed] == block["transactions"]


async def test_the_pool_waits_while_a_block_is_sealed(rpc: Rpc, strict: StrictNode) -> None:
    """What comes in then is admitted on the new head, not on a state in between."""
    signed = Sender(strict).sign()
    async with asyncio.TaskGroup() as tasks, strict.market.gate.closure():
        sending = tasks.create_task(rpc.call("eth_sendRawTransaction", (signed.raw,)))
        for _ in range(20):
            await rpc.call("toolkit_info")
        admitted = len(strict.pool)

    assert 0 == admitted
    assert signed.hash == sending.result()


async def test_each_profile_has_its_own_rules() -> None:
    """reth takes 16 of an account, geth more; none any replacement."""
    taken = {}
    for profile in ("geth", "reth", "none"):
        async with open_strict_node(profile=profile, accounts=2) as node:
            sender = Sender(node)
            signed = [sender.sign(nonce) for nonce in range(20)]
            taken[profile] = await node.public_pool.send_all(signed)
            taken[profile] += await node.public_pool.send_all([sender.sign(0, value=2)])

    assert {"geth": 20, "reth": 16, "none": 21} == taken
