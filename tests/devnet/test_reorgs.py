"""The chain changes behind the pool's back: reorgs, rollbacks, snapshots, edited accounts."""

import random
from typing import Any

import pytest

from tests.devnet.conftest import GWEI, Sender, submit
from toolkit.chain.rpc import HttpRpc, Rpc
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction


async def status(rpc: Rpc) -> tuple[int, int]:
    answer = await rpc.call("txpool_status")
    return int(answer["pending"], 16), int(answer["queued"], 16)


@pytest.mark.parametrize(("depth", "returned"), [(1, 1), (2, 2), (3, 3)])
async def test_a_reorg_puts_the_removed_transactions_back(
    rpc: Rpc, strict: StrictNode, depth: int, returned: int
) -> None:
    """As nodes do: what the new blocks lack is pending again, and the next block takes it."""
    sender = Sender(strict)
    signed = [sender.sign(nonce) for nonce in range(3)]
    for each in signed:
        await rpc.call("eth_sendRawTransaction", (each.raw,))
        await strict.seal()

    await rpc.call("anvil_reorg", (depth, []))
    after = await status(rpc)
    number = await rpc.call("eth_blockNumber")
    await strict.seal()
    block = await rpc.call("eth_getBlockByNumber", ("latest", False))
    assert (returned, 0) == after
    assert "0x3" == number
    assert [each.hash for each in signed[3 - depth :]] == block["transactions"]
    assert "0x3" == await rpc.call("eth_getTransactionCount", (sender.address, "latest"))


async def test_what_the_new_branch_mines_does_not_come_back(rpc: Rpc, strict: StrictNode) -> None:
    """An older attempt that the new branch holds takes the nonce; the removed one is stale."""
    sender = Sender(strict)
    older, newer = sender.sign(0), sender.sign(0, tip=2 * GWEI, cap=200 * GWEI)
    await rpc.call("eth_sendRawTransaction", (newer.raw,))
    await strict.seal(2)
    await strict.reorg(2, [older.raw])

    receipt = await rpc.call("eth_getTransactionReceipt", (older.hash,))
    assert "0x1" == receipt["status"]
    assert None is await rpc.call("eth_getTransactionReceipt", (newer.hash,))
    assert (0, 0) == await status(rpc)
    assert "0x1" == await rpc.call("eth_getTransactionCount", (sender.address, "pending"))


async def test_a_reorg_leaves_a_gap_executable_again(rpc: Rpc, strict: StrictNode) -> None:
    """What waited behind the removed transaction follows it again, without being sent anew."""
    sender = Sender(strict)
    await rpc.call("eth_sendRawTransaction", (sender.sign(0).raw,))
    await strict.seal()
    await rpc.call("eth_sendRawTransaction", (sender.sign(1).raw,))
    before = await status(rpc)
    await strict.reorg(1)

    assert (1, 0) == before
    assert (2, 0) == await status(rpc)


async def test_a_rollback_puts_them_back_too(rpc: Rpc, strict: StrictNode) -> None:
    """anvil_rollback shortens the chain; head, nonces and pool follow."""
    sender = Sender(strict)
    await rpc.call("eth_sendRawTransaction", (sender.sign(0).raw,))
    await strict.seal(2)
    await rpc.call("anvil_rollback", (2,))

    assert ("0x0", 0) == (await rpc.call("eth_blockNumber"), strict.head.number)
    assert (1, 0) == await status(rpc)


async def test_an_impersonated_one_comes_back_as_well(rpc: Rpc, strict: StrictNode) -> None:
    """Nobody signed it, so it goes back as the call it was, under the same hash."""
    sender = Sender(strict)
    await rpc.call("anvil_impersonateAccount", (sender.address,))
    request = {"from": sender.address, "to": sender.address}
    sent = await rpc.call("eth_sendTransaction", (request,))
    await strict.seal()
    await strict.reorg(1)
    await strict.seal()

    assert "0x2" == (await rpc.call("eth_getTransactionReceipt", (sent,)))["blockNumber"]


async def test_a_bundle_that_a_reorg_removes_is_public_then(rpc: Rpc, strict: StrictNode) -> None:
    """Nobody had sent it to the pool; it was in a block, so every node knows it."""
    private = Sender(strict).sign(0)
    await submit(strict.market, private)
    await strict.seal()
    before = await status(rpc)
    await strict.reorg(1)

    assert (0, 0) == before
    assert private.raw == await rpc.call("eth_getRawTransactionByHash", (private.hash,))
    assert (1, 0) == await status(rpc)


async def test_impersonation_of_everybody_is_remembered(rpc: Rpc, strict: StrictNode) -> None:
    """After anvil_autoImpersonateAccount any account sends through the pool, until it ends."""
    sender = Sender(strict)
    request = {"from": sender.address, "to": sender.address}
    await rpc.call("anvil_autoImpersonateAccount", (True,))
    sent = await rpc.call("eth_sendTransaction", (request,))
    await strict.seal()
    await rpc.call("anvil_autoImpersonateAccount", (False,))

    assert "0x1" == (await rpc.call("eth_getTransactionReceipt", (sent,)))["status"]
    with pytest.raises(RpcError, match="No Signer available"):
        await rpc.call("eth_sendTransaction", (request,))


async def test_another_chain_id_counts_at_once(rpc: Rpc, strict: StrictNode) -> None:
    """After anvil_setChainId what was signed for the chain before is refused."""
    await rpc.call("anvil_setChainId", (77,))

    with pytest.raises(RpcError, match="have 31337 want 77"):
        await rpc.call("eth_sendRawTransaction", (Sender(strict).sign(0).raw,))


async def test_a_queued_one_follows_its_account_too(rpc: Rpc, strict: StrictNode) -> None:
    """What waits behind a gap becomes executable when the account's nonce is set to it."""
    sender = Sender(strict)
    await rpc.call("eth_sendRawTransaction", (sender.sign(2).raw,))
    before = await status(rpc)
    await rpc.call("anvil_setNonce", (sender.address, "0x2"))

    assert (0, 1) == before
    assert (1, 0) == await status(rpc)


async def test_too_deep_a_reorg_changes_nothing(rpc: Rpc, strict: StrictNode) -> None:
    """Anvil's refusal is passed on, and the pool stays as it was."""
    await rpc.call("eth_sendRawTransaction", (Sender(strict).sign(0).raw,))
    await strict.seal()

    with pytest.raises(RpcError, match="depth"):
        await rpc.call("anvil_reorg", (5, []))
    assert (0, 0) == await status(rpc)
    assert "0x1" == await rpc.call("eth_blockNumber")


async def test_a_snapshot_takes_the_pool_with_it(rpc: Rpc, strict: StrictNode) -> None:
    """evm_revert brings back the chain and what was pooled then, and nothing that came later."""
    sender = Sender(strict)
    first, second = sender.sign(0), sender.sign(1)
    await rpc.call("eth_sendRawTransaction", (first.raw,))
    name = await rpc.call("evm_snapshot")
    await strict.seal()
    await rpc.call("eth_sendRawTransaction", (second.raw,))
    reverted = await rpc.call("evm_revert", (name,))
    again = await rpc.call("evm_revert", (name,))

    assert (True, False) == (reverted, again)
    assert (1, 0) == await status(rpc)
    assert first.hash == (await rpc.call("eth_pendingTransactions"))[0]["hash"]
    assert 0 == strict.head.number


async def test_the_pool_follows_edited_accounts(rpc: Rpc, strict: StrictNode) -> None:
    """anvil_setNonce and setBalance count at once: spent nonces and unpaid ones leave."""
    rich, poor = Sender(strict, 0), Sender(strict, 1)
    for each in (rich.sign(0), rich.sign(1), poor.sign(0)):
        await rpc.call("eth_sendRawTransaction", (each.raw,))
    await rpc.call("anvil_setNonce", (rich.address, "0x1"))
    after_nonce = await status(rpc)
    await rpc.call("anvil_setBalance", (poor.address, "0x0"))

    assert (2, 0) == after_nonce
    assert (1, 0) == await status(rpc)


async def test_a_delegation_narrows_the_account(rpc: Rpc, strict: StrictNode) -> None:
    """With EIP-7702 code the account may have one transaction in flight, and no gap."""
    sender = Sender(strict)
    code = "0xef0100" + strict.accounts[1].address[2:]
    await rpc.call("anvil_setCode", (sender.address, code))

    with pytest.raises(RpcError, match="gapped-nonce tx from delegated"):
        await rpc.call("eth_sendRawTransaction", (sender.sign(1).raw,))
    await rpc.call("eth_sendRawTransaction", (sender.sign(0).raw,))
    with pytest.raises(RpcError, match="in-flight transaction limit reached"):
        await rpc.call("eth_sendRawTransaction", (sender.sign(1).raw,))


async def test_a_base_fee_set_by_a_test_counts_at_once(rpc: Rpc, strict: StrictNode) -> None:
    """Above the cap the transaction stays pooled and out of the block, then it is mined."""
    signed = Sender(strict).sign(0, cap=3 * GWEI)
    await rpc.call("eth_sendRawTransaction", (signed.raw,))
    await rpc.call("anvil_setNextBlockBaseFeePerGas", (hex(4 * GWEI),))
    await strict.seal()
    kept = await status(rpc)
    await rpc.call("anvil_setNextBlockBaseFeePerGas", (hex(2 * GWEI),))
    await strict.seal()

    assert (1, 0) == kept
    assert "0x2" == (await rpc.call("eth_getTransactionReceipt", (signed.hash,)))["blockNumber"]


async def test_reorgs_come_by_themselves_where_the_script_says_so() -> None:
    """Every third block is followed by one, sealed by whomever; the same seed, the same depths."""
    script = FaultScript(seed=3, reorg_every=3, reorg_depth=1)
    async with open_strict_node(faults=script, accounts=1) as node, HttpRpc(node.rpc_url) as rpc:
        sender, waiting = Sender(node), []
        for nonce in range(3):
            await rpc.call("eth_sendRawTransaction", (sender.sign(nonce).raw,))
            await rpc.call("evm_mine")
            waiting.append((await status(rpc))[0])
    depths = [FaultScript(seed=3, reorg_every=3).reorg_due(n) for n in range(1, 10) for _ in "12"]

    assert [0, 0, 1] == waiting
    assert depths[::2] == depths[1::2]
    assert [3, 6, 9] == [index + 1 for index, depth in enumerate(depths[::2]) if depth]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("profile", ["geth", "reth"])
async def test_pool_and_chain_agree_whatever_happens(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 random steps: nothing stale or doubled is pooled, nothing taken is lost in silence.

    What a reorg gives back beyond an account's slots is refused, and named by the pool.
    """
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    taken: dict[Hash, SignedTransaction] = {}
    async with (
        open_strict_node(profile=profile, accounts=3, seed=seed) as node,
        HttpRpc(node.rpc_url) as rpc,
    ):
        senders = [Sender(node, index) for index in range(3)]
        renew = node.public_pool.renew

        async def renewed(**options: Any) -> tuple[Hash, ...]:
            dropped = await renew(**options)
            for each in dropped:
                forget(taken, each)
            return dropped

        monkeypatch.setattr(node.public_pool, "renew", renewed)
        for _ in range(200):
            await random_step(chance, node, rpc, senders, taken)
            await check_agreement(node, rpc, senders, taken)


def forget(taken: dict[Hash, SignedTransaction], gone: Hash) -> None:
    """Expect it no longer, nor what it had replaced."""
    if gone in taken:
        slot = taken[gone].sender, taken[gone].unsigned.nonce
        for each in [h for h, t in taken.items() if (t.sender, t.unsigned.nonce) == slot]:
            del taken[each]


async def random_step(
    chance: random.Random,
    node: StrictNode,
    rpc: Rpc,
    senders: list[Sender],
    taken: dict[Hash, SignedTransaction],
) -> None:
    kind = chance.choices(("send", "seal", "reorg", "drop", "rollback"), (70, 15, 8, 5, 2))[0]
    if kind == "seal":
        await node.seal()
    elif kind == "drop" and taken:
        gone = chance.choice(sorted(taken))
        if await rpc.call("anvil_dropTransaction", (gone,)):
            forget(taken, gone)
    elif kind in {"reorg", "rollback"} and node.head.number > 1:
        depth = chance.randint(1, min(4, node.head.number - 1))
        await rpc.call(f"anvil_{kind}", (depth, []) if kind == "reorg" else (depth,))
    else:
        sender = chance.choice(senders)
        nonce = int(await rpc.call("eth_getTransactionCount", (sender.address, "pending")), 16)
        fees = chance.choice((1, 2, 4)) * GWEI
        place = max(0, nonce + chance.choice((0, 0, 0, -1, 1)))
        signed = sender.sign(place, tip=fees, cap=20 * fees)
        try:
            await rpc.call("eth_sendRawTransaction", (signed.raw,))
        except RpcError:
            return
        taken[signed.hash] = signed


async def check_agreement(
    node: StrictNode, rpc: Rpc, senders: list[Sender], taken: dict[Hash, SignedTransaction]
) -> None:
    for sender in senders:
        latest, pending = [
            int(await rpc.call("eth_getTransactionCount", (sender.address, block)), 16)
            for block in ("latest", "pending")
        ]
        held = [*node.pool.pending(sender.address), *node.pool.queued(sender.address)]
        nonces = sorted(each.nonce for each in held)
        assert len(set(nonces)) == len(nonces)
        assert all(nonce >= latest for nonce in nonces)
        assert set(range(latest, pending)) == set(nonces[: pending - latest])
        assert pending not in nonces
    found = await node.node.rpc.batch([("eth_getTransactionReceipt", (each,)) for each in taken])
    spent: set[tuple[Address, int]] = set()
    for tx_hash, receipt in zip(list(taken), found, strict=True):
        if receipt is not None:
            assert node.pool.get(tx_hash) is None
            spent.add((taken[tx_hash].sender, taken[tx_hash].unsigned.nonce))
    for tx_hash, receipt in zip(list(taken), found, strict=True):
        slot = taken[tx_hash].sender, taken[tx_hash].unsigned.nonce
        if receipt is None and node.pool.get(tx_hash) is None:
            # Only another transaction of the same nonce may have taken its place.
            others = {(each.sender, each.nonce) for each in node.pool.pending(slot[0])}
            others |= {(each.sender, each.nonce) for each in node.pool.queued(slot[0])}
            assert slot in spent | others
