"""What is known of a submission: what we did ourselves, and what the chain shows of its block."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from toolkit.bundles.guards import Grant
from toolkit.bundles.reenactment import BlockFacts, Reenactment, placed, reenact
from toolkit.chain.node import Node
from toolkit.evm.simulator import BlockEnv, Simulator
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, Hash, Receipt
from toolkit.model.errors import NodeError, NodeTimeout, NodeUnavailable, RpcError
from toolkit.model.tx import SignedTransaction

# Frames of a call trace that move no value of their own to their target.
_VALUELESS = frozenset({"DELEGATECALL", "STATICCALL", "CALLCODE"})


class RelayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one relay said to a bundle, and the newest head known when it did (0: none yet).

    Where it said nothing that tells, `unsure` says that it may have the bundle all the same.
    """

    relay: str
    accepted: bool
    head_number: int
    bundle_hash: Hash | None = None
    why: str = ""
    unsure: bool = False


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle as it was sent: all that is known without the chain.

    `leased` are the transactions signed for this bundle; others of ours in it may land in another
    bundle as well. `touches` are the contracts whose state it depends on (its pools); `bid_wei`
    what the builder would have earned from it, zero when unknown. `fee_recipients` are the
    coinbases behind each relay, by its name, as far as they are known. `withdrawn` are the relays
    that confirmed in time that they have it no more, because we cancelled it or sent another one
    with its uuid, whose transactions are `superseded_by`. `grants` has what transactions without
    bytes spend by their authorizations.
    """

    bundle: Bundle
    bundle_hash: Hash
    transactions: tuple[SignedTransaction, ...]
    own: frozenset[Address]
    leased: frozenset[Hash] = frozenset()
    touches: frozenset[Address] = frozenset()
    bid_wei: int = 0
    answers: tuple[RelayAnswer, ...] = ()
    cancelled: bool = False
    fee_recipients: Mapping[str, frozenset[Address]] = {}
    withdrawn: frozenset[str] = frozenset()
    superseded_by: frozenset[Hash] = frozenset()
    grants: Mapping[Hash, tuple[Grant, ...]] = {}

    @property
    def mine(self) -> tuple[SignedTransaction, ...]:
        """Those of its transactions that are ours and in no other bundle."""
        if self.leased:
            found = [one for one in self.transactions if one.hash in self.leased]
        else:
            found = [one for one in self.transactions if one.sender in self.own]
        return tuple(one for one in found if one.hash not in self.superseded_by)

    def builders_of(self, block: BlockFacts) -> frozenset[str] | None:
        """Our relays whose builder made a block, none for a stranger's; None where we cannot say.

        A bundle that a relay was to pass on may be with builders behind none of our relays.
        """
        found = frozenset(
            answer.relay
            for answer in self.answers
            if block.coinbase in self.fee_recipients.get(answer.relay, frozenset())
        )
        if found:
            return found
        all_known = all(self.fee_recipients.get(answer.relay) for answer in self.answers)
        return found if self.answers and all_known and not self.bundle.builders else None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was read from the chain about one submission after its target block.

    `nonces` are the senders' counts before the block and `spent` those after it, `payments` what
    transactions of the block paid to the coinbase in wei (priority fees and transfers),
    `elsewhere` our transactions mined in other blocks, `reenactment` what the bundle would have
    done there (None where no node could say).
    """

    block: BlockFacts
    nonces: Mapping[Address, int] = {}
    spent: Mapping[Address, int] = {}
    payments: Mapping[Hash, int] = {}
    elsewhere: tuple[Receipt, ...] = ()
    reenactment: Reenactment | None = None


async def gather(
    node: Node, submission: Submission, block: BlockFacts, *, simulator: Simulator | None = None
) -> Evidence:
    """Read all that `explain` needs; a bundle that landed costs one trace per transaction.

    Args:
        node: that has the block and its parent's state.
        submission: whose target the block is.
        block: with all its receipts.
        simulator: where given, a missed bundle is run again; it takes the node's place where that
            one cannot run whole blocks.

    Raises:
        NodeError: something could not be read, perhaps not yet.
    """
    if found := placed(submission.bundle, block):
        return Evidence(block=block, payments=await _payments(node, block, found))
    senders = sorted({one.sender for one in submission.transactions})
    before, after = block.head.parent_hash, block.head.hash
    counts = await asyncio.gather(
        *(node.nonce(one, state) for state in (before, after) for one in senders)
    )
    in_block = {one.transaction_hash for one in block.receipts}
    missing = [one.hash for one in submission.mine if one.hash not in in_block]
    elsewhere = await asyncio.gather(*(node.receipt(one) for one in missing))
    played = None if simulator is None else await _played(node, submission, block, simulator)
    paid: Mapping[Hash, int] = {} if played is None else played.payments
    if not paid:
        rivals = {one.sender for one in block.receipts if submission.touches & _logged(one)}
        theirs = (one for one in block.receipts if one.sender in rivals - submission.own)
        paid = await _payments(node, block, theirs)
    return Evidence(
        block=block,
        nonces=dict(zip(senders, counts[: len(senders)], strict=True)),
        spent=dict(zip(senders, counts[len(senders) :], strict=True)),
        payments=paid,
        elsewhere=tuple(one for one in elsewhere if one is not None),
        reenactment=played,
    )


async def _played(
    node: Node, submission: Submission, block: BlockFacts, simulator: Simulator
) -> Reenactment | None:
    if not all(submission.bundle.transactions):
        return None  # of an earlier process, whose journal has no bytes
    played = await reenact(node, submission.bundle, submission.transactions, block)
    if played is None:
        played = await _simulated(node, submission, block, simulator)
    return played


async def _simulated(
    node: Node, submission: Submission, block: BlockFacts, simulator: Simulator
) -> Reenactment | None:
    """As much as a simulator can say: why it fails on the parent's state, if it does."""
    if any(one.unsigned.to is None for one in submission.transactions):
        return None
    head = block.head
    results = await simulator.simulate(
        [(one.sender, one.unsigned) for one in submission.transactions],
        parent=await node.head(head.parent_hash),
        env=BlockEnv(
            number=head.number,
            timestamp=head.timestamp,
            base_fee_per_gas=head.base_fee_per_gas,
            coinbase=block.coinbase,
            gas_limit=head.gas_limit,
        ),
    )
    excused = {*submission.bundle.reverting_hashes, *submission.bundle.dropping_hashes}
    for one, result in zip(submission.transactions, results, strict=True):
        if not result.succeeded and one.hash not in excused:
            why = result.reason or "reverted without a reason"
            return Reenactment(failure=f"{one.hash} fails: {why}")
    return None


def _logged(receipt: Receipt) -> set[Address]:
    return {entry.address for entry in receipt.logs}


async def _payments(node: Node, block: BlockFacts, receipts: Iterable[Receipt]) -> dict[Hash, int]:
    """What each transaction paid to the coinbase: its priority fee, and transfers from its trace.

    A node that does not trace leaves the transfers out: the amounts are then lower bounds. So does
    a trace deeper than JSON is read, which a foreign transaction can make on purpose.
    """
    paid = {one.transaction_hash: block.priority_wei(one) for one in receipts}
    calls = [("debug_traceTransaction", [one, {"tracer": "callTracer"}]) for one in paid]
    try:
        frames = await node.rpc.batch(calls) if calls else []
    except (NodeTimeout, NodeUnavailable):
        raise
    except NodeError:  # safe because a lower bound is claimed, and nothing of what was not read
        return paid
    for one, frame in zip(paid, frames, strict=True):
        if not isinstance(frame, RpcError):
            paid[one] += _transferred(frame, block.coinbase)
    return paid


def _transferred(frame: Mapping[str, Any], to: Address) -> int:
    """Wei that a call and its inner calls moved to `to`; a failed call moved nothing."""
    moved, open_frames = 0, [frame]
    while open_frames:  # not by recursion: calls may be deeper than Python's own
        one = open_frames.pop()
        if one.get("error"):
            continue
        open_frames += one.get("calls") or ()
        target, origin = str(one.get("to") or "").lower(), str(one.get("from") or "").lower()
        if target == to and origin != to and one.get("type") not in _VALUELESS:
            moved += int(one.get("value") or "0x0", 16)
    return moved
