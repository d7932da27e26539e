from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from toolkit.bundles.reenactment import BlockFacts, Reenactment, placed, read_block, reenact
from toolkit.chain.node import Node
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, Receipt
from toolkit.model.errors import RpcError
from toolkit.model.tx import SignedTransaction

Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]
ONCE = Address("0x" + "0c" * 20)
# once(): reverts if slot 0 is set, sets it, and passes the call's value on to the coinbase.
ONCE_CODE = "0x5f54600d5760015f555f5f5f5f34415af1005b5f5ffd"
# PUSH0 SLOAD PUSH1 dest JUMPI PUSH1 1 PUSH0 SSTORE PUSH0x4 CALLVALUE COINBASE GAS CALL STOP
GWEI = 10**9
MINER = Address("0x" + "cb" * 20)


@pytest.fixture
async def once(chain: Any, signer: LocalSigner, other_signer: LocalSigner) -> Any:
    """A chain with a contract that pays the builder for the first call that succeeds."""
    code = bytearray.fromhex(ONCE_CODE[2:])
    code[3] = code.index(0x5B)  # the jump's target
    await chain.fund(signer.address, other_signer.address, MINER)
    await chain.node.rpc.call("anvil_setCode", [ONCE, "0x" + code.hex()])
    await chain.node.rpc.call("anvil_setCoinbase", [MINER])
    return chain


def call(sign: Sign, who: LocalSigner, *, value: int, **more: Any) -> SignedTransaction:
    fields: dict[str, Any] = {"to": ONCE, "gas": 200_000, "max_priority_fee_per_gas": GWEI}
    return sign(who, value=value, **(fields | more))


async def run(chain: Any, bundle: Bundle, *ours: SignedTransaction, mined: Any = ()) -> Any:
    change = await chain.seal(*(one.raw for one in mined))
    block = await read_block(chain.node, change.added[0])
    return await reenact(chain.node, bundle, ours, block), block


def tips(block: BlockFacts, gas: int) -> int:
    return gas * min(GWEI, 30 * GWEI - block.head.base_fee_per_gas)


async def test_rival_is_the_first_behind_which_it_fails(
    once: Any, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """The one transaction that took what the bundle wanted, though others come before and behind;
    both payments count fees and transfers, and the rival's is what the bundle would displace."""
    ours = call(transfer, signer, value=500)
    before, rival, behind = (
        transfer(other_signer),
        call(transfer, other_signer, value=700, nonce=1),
        transfer(other_signer, nonce=2),
    )

    played, block = await run(once, bundle_of(ours), ours, mined=(before, rival, behind))

    assert isinstance(played, Reenactment)
    assert played.is_whole
    assert ("", rival.hash) == (played.failure, played.rival)
    assert ours.hash in played.late_failure
    gas = block.receipts[1].gas_used
    assert tips(block, gas) + 700 == played.payments[rival.hash]
    assert 500 == played.bid_wei - tips(block, gas)
    # With what its sender has beside it: a bundle is all or nothing.
    assert sum(played.payments.values()) == played.displaced_wei
    assert 200_000 == played.gas_needed


async def test_what_fails_alone_has_no_rival(
    once: Any, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """It fails on the parent's state: that is all that is said; unless it may revert."""
    await once.seal(call(transfer, other_signer, value=1).raw)
    ours = call(transfer, signer, value=500)

    alone, block = await run(once, bundle_of(ours), ours)
    excused = await reenact(
        once.node, bundle_of(ours, reverting_hashes=(ours.hash,)), (ours,), block
    )

    assert alone == Reenactment(failure=alone.failure)
    assert ours.hash in alone.failure
    assert excused is not None
    assert "" == excused.failure


async def test_what_may_be_left_out_is(
    once: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A droppable transaction that fails is not there; the only one left cannot be left out."""
    first = call(transfer, signer, value=500)
    second = call(transfer, signer, value=500, nonce=1)

    played, block = await run(
        once, bundle_of(first, second, dropping_hashes=(second.hash,)), first, second
    )
    await once.seal(first.raw)
    change = await once.seal()
    later = await read_block(once.node, change.added[0])
    whole = bundle_of(first, second, dropping_hashes=(first.hash, second.hash))
    gone = await reenact(once.node, whole, (first, second), later)

    assert [first.hash] == list(played.paid_wei)
    assert not played.late_failure
    assert gone is not None
    assert gone.failure
    assert 1 == block.head.number


@pytest.mark.parametrize("listed", [3, 2, 1])
async def test_what_may_be_left_out_goes_with_the_nonce_before_it(
    once: Any,
    signer: LocalSigner,
    other_signer: LocalSigner,
    transfer: Sign,
    bundle_of: Make,
    *,
    listed: int,
) -> None:
    """Behind a nonce that is left out nothing of its account is valid: listed, it goes as well;
    else the bundle fails, however many are listed around it."""
    await once.seal(call(transfer, other_signer, value=1).raw)
    good = transfer(other_signer, nonce=1)
    first, second, third = (
        call(transfer, signer, value=500),
        transfer(signer, nonce=1),
        transfer(signer, nonce=2),
    )
    dropping = {3: (first, second, third), 2: (first, third), 1: (first,)}[listed]
    whole = (first, second, good, third)

    played, _ = await run(
        once, bundle_of(*whole, dropping_hashes=tuple(one.hash for one in dropping)), *whole
    )

    assert ([good.hash] if listed == 3 else []) == list(played.paid_wei)
    assert ("" if listed == 3 else f"{second.hash} has no valid nonce") == played.failure


async def test_a_nonce_in_the_block_is_a_rival_too(
    once: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Where another transaction has its nonce, that one is the first behind which it fails."""
    ours, other = transfer(signer), transfer(signer, value=2)

    played, _ = await run(once, bundle_of(ours), ours, mined=(other,))

    assert (other.hash, f"{other.hash} has its nonce 0") == (played.rival, played.late_failure)


async def test_own_part_in_the_block_is_not_run_twice(
    once: Any, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Behind a public transaction that it follows, only the rest of the bundle is tried."""
    target = transfer(other_signer)
    ours = call(transfer, signer, value=500)

    played, _ = await run(once, bundle_of(target, ours), target, ours, mined=(target,))

    assert ("", "", None) == (played.failure, played.late_failure, played.rival)


async def test_who_follows_the_same_transaction_would_be_displaced(
    once: Any, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Its bundle needs that transaction as well, though nothing that it does is in the way."""
    third = LocalSigner("0x" + "33" * 32)
    await once.fund(third.address)
    target, follower = transfer(other_signer), transfer(third)
    ours = call(transfer, signer, value=500)

    played, _ = await run(once, bundle_of(target, ours), target, ours, mined=(target, follower))

    assert not played.late_failure
    assert played.payments[follower.hash] == played.displaced_wei > 0


async def test_lack_of_funds_is_a_failure(
    once: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """A node refuses the whole run for it; the bundle fails, and the node said why."""
    ours = transfer(signer, value=10**24)

    played, _ = await run(once, bundle_of(ours), ours)

    assert "insufficient" in played.failure.lower()


class Refusing(Node):
    """A node without eth_simulateV1, or one that tells another story of the block."""

    def __init__(self, node: Node, *, gas: int | None) -> None:
        super().__init__(node.rpc)
        self.gas = gas
        self.rpc = self  # type: ignore[assignment]
        self.inner = node.rpc

    async def call(self, *args: Any) -> Any:  # type: ignore[override]
        if self.gas is None:
            raise RpcError(-32601, "Method not found")
        found = await self.inner.call(*args)
        for one in found[0]["calls"]:
            one["gasUsed"] = hex(self.gas)
        return found


async def test_who_cannot_run_it_says_nothing(
    once: Any, signer: LocalSigner, other_signer: LocalSigner, transfer: Sign, bundle_of: Make
) -> None:
    """Without the method there is no reenactment; one that does not repeat the receipts is not
    believed about the block."""
    ours, other = transfer(signer), transfer(other_signer)
    played, block = await run(once, bundle_of(ours), ours, mined=(other,))

    missing = await reenact(Refusing(once.node, gas=None), bundle_of(ours), (ours,), block)
    wrong = await reenact(Refusing(once.node, gas=20_000), bundle_of(ours), (ours,), block)

    assert played.is_whole
    assert None is missing
    assert wrong is not None
    assert (False, {}, None) == (wrong.is_whole, wrong.payments, wrong.rival)


def test_placed_is_one_piece_in_order(signer: LocalSigner, transfer: Sign, bundle_of: Make) -> None:
    """Anywhere in the block, nothing between, nothing missing but what may be dropped."""
    three = [transfer(signer, nonce=nonce) for nonce in range(3)]
    stranger = transfer(signer, nonce=9)
    bundle = bundle_of(*three)
    dropping = msgspec.structs.replace(bundle, dropping_hashes=(three[1].hash,))

    def mined(*order: SignedTransaction) -> Any:
        return _Block(tuple(_receipt(one) for one in order))

    first, second, third = three
    assert 3 == len(placed(bundle, mined(stranger, first, second, third, stranger)))
    assert 2 == len(placed(dropping, mined(first, third)))
    for order in ((), (first, second), (first, stranger, second, third), (second, first, third)):
        assert () == placed(bundle, mined(*order))
    assert () == placed(dropping, mined(second))


class _Block:
    def __init__(self, receipts: tuple[Receipt, ...]) -> None:
        self.receipts = receipts


def _receipt(one: SignedTransaction) -> Any:
    return type("Mined", (), {"transaction_hash": one.hash})()
