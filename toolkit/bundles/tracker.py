"""Why a bundle landed or missed: one verdict, from the chain and from what we did ourselves.

Causes are looked for in the order of three questions, and the first that holds is named:

1. What became of it?        Landed, PARTIAL, CANCELLED
2. Could it have landed?     NONCE_USED, STATE_CONFLICT (a nonce before it), EXPIRED, UNDERPRICED,
                             REVERTED_SIM
3. Did it get there in time? LATE, WRONG_BUILDER
4. Who was there before it?  OUTBID_CONFLICT, STATE_CONFLICT

UNKNOWN says that none of these can be shown. No builder is asked: relays no longer tell, and what
they told could not be checked.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from toolkit.chain.node import Node
from toolkit.evm.simulator import BlockEnv, Simulator
from toolkit.model.bundle import Bundle, BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash, Head, Receipt
from toolkit.model.errors import RpcError
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
    what the builder would have earned from it, zero when unknown; `fee_recipients` the coinbases of
    the builders that took it, empty when they are not all known.
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
    fee_recipients: frozenset[Address] = frozenset()

    @property
    def mine(self) -> tuple[SignedTransaction, ...]:
        """Those of its transactions that are ours and in no other bundle."""
        if self.leased:
            return tuple(one for one in self.transactions if one.hash in self.leased)
        return tuple(one for one in self.transactions if one.sender in self.own)


class BlockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A block with its receipts in order, as the chain tells them."""

    head: Head
    coinbase: Address
    receipts: tuple[Receipt, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was read from the chain about one submission after its target block.

    `nonces` are the senders' counts after the block, `payments` what transactions of the block
    paid to the coinbase in wei (priority fees and transfers), `elsewhere` our transactions mined
    in other blocks, `simulation` why the bundle fails on the state before the block ("" if it
    does not, or was not simulated).
    """

    block: BlockFacts
    nonces: Mapping[Address, int]
    payments: Mapping[Hash, int]
    elsewhere: tuple[Receipt, ...] = ()
    simulation: str = ""


async def read_block(node: Node, head: Head) -> BlockFacts:
    """Read the block of `head` with its receipts, pinned to its hash."""
    block, receipts = await asyncio.gather(node.block(head.hash), node.receipts(head.hash))
    coinbase = Address(str(block["miner"]).lower())
    return BlockFacts(head=head, coinbase=coinbase, receipts=receipts)


async def gather(
    node: Node, submission: Submission, block: BlockFacts, *, simulator: Simulator | None = None
) -> Evidence:
    """Read all that `classify` needs; a bundle that landed costs one trace per transaction."""
    if is_in(submission, block):
        hashes = set(submission.bundle.hashes)
        found = tuple(one for one in block.receipts if one.transaction_hash in hashes)
        return Evidence(block=block, nonces={}, payments=await _payments(node, block, found))
    senders = sorted({one.sender for one in submission.transactions})
    counts = await asyncio.gather(*(node.nonce(one, block.head.hash) for one in senders))
    in_block = {one.transaction_hash for one in block.receipts}
    missing = [one.hash for one in submission.mine if one.hash not in in_block]
    elsewhere = await asyncio.gather(*(node.receipt(one) for one in missing))
    rivals = {one.sender for one in _touching(submission, block, own=False)}
    theirs = tuple(one for one in block.receipts if one.sender in rivals)
    return Evidence(
        block=block,
        nonces=dict(zip(senders, counts, strict=True)),
        payments=await _payments(node, block, theirs),
        elsewhere=tuple(one for one in elsewhere if one is not None),
        simulation=await _simulated(node, submission, block, simulator),
    )


def classify(submission: Submission, evidence: Evidence) -> BundleResult:
    """Name what became of a submission; pure, exactly one cause when it missed."""
    if is_in(submission, evidence.block):
        return _landed(submission, evidence)
    for question in (_ended, _impossible, _undelivered, _beaten):
        missed = question(submission, evidence)
        if missed is not None:
            return missed
    return _missed(
        submission,
        MissCause.UNKNOWN,
        f"block {evidence.block.head.number} has none of it: nonces are free, the fee caps suffice,"
        f" a relay took it in time, and no transaction touched the same contracts",
    )


def is_in(submission: Submission, block: BlockFacts) -> bool:
    """Whether every transaction is in the block, contiguous and in order."""
    wanted = submission.bundle.hashes
    mined = tuple(one.transaction_hash for one in block.receipts)
    if not wanted or wanted[0] not in mined:
        return False
    start = mined.index(wanted[0])
    return mined[start : start + len(wanted)] == wanted


def _landed(submission: Submission, evidence: Evidence) -> Landed:
    block = evidence.block
    hashes = set(submission.bundle.hashes)
    found = [one for one in block.receipts if one.transaction_hash in hashes]
    tips = sum(evidence.payments.values()) - sum(_priority(one, block) for one in found)
    return Landed(
        bundle_hash=submission.bundle_hash,
        block_number=block.head.number,
        block_hash=block.head.hash,
        builder=block.coinbase,
        fee_wei=sum(one.fee_wei for one in found),
        tip_wei=tips,
        tx_hash=submission.bundle.hashes[0],
    )


def _missed(
    submission: Submission, cause: MissCause, evidence: str, *, rival: Hash | None = None
) -> Missed:
    return Missed(
        bundle_hash=submission.bundle_hash,
        target_block=submission.bundle.target_block,
        cause=cause,
        evidence=evidence,
        rival=rival,
        tx_hash=submission.bundle.hashes[0] if submission.bundle.hashes else None,
    )


def _ended(submission: Submission, evidence: Evidence) -> Missed | None:
    block = evidence.block
    mine = {one.hash for one in submission.mine}
    here = [one.transaction_hash for one in block.receipts if one.transaction_hash in mine]
    if here:
        return _missed(
            submission,
            MissCause.PARTIAL,
            f"block {block.head.number} has {len(here)} of our {len(mine)} transactions, not the"
            f" whole bundle in order: {', '.join(here)}",
        )
    if evidence.elsewhere:
        places = ", ".join(
            f"{one.transaction_hash} in block {one.block_number}" for one in evidence.elsewhere
        )
        return _missed(submission, MissCause.PARTIAL, f"mined outside the bundle: {places}")
    if submission.cancelled:
        takers = ", ".join(one.relay for one in submission.answers if one.accepted) or "no relay"
        return _missed(submission, MissCause.CANCELLED, f"cancelled by us; {takers} had taken it")
    return None


def _impossible(submission: Submission, evidence: Evidence) -> Missed | None:
    head = evidence.block.head
    mined = {one.transaction_hash for one in evidence.block.receipts}
    for one in submission.transactions:
        nonce = one.unsigned.nonce
        if evidence.nonces.get(one.sender, nonce) > nonce and one.hash not in mined:
            return _nonce_used(submission, one, evidence)
    first = submission.transactions[0]
    count = evidence.nonces.get(first.sender, first.unsigned.nonce)
    if count < first.unsigned.nonce:
        return _missed(
            submission,
            MissCause.STATE_CONFLICT,
            f"nonce {first.unsigned.nonce} of {first.sender} waits for nonce {count}, which is not"
            f" mined",
        )
    bundle = submission.bundle
    early = bundle.min_timestamp is not None and head.timestamp < bundle.min_timestamp
    if early or (bundle.max_timestamp is not None and head.timestamp > bundle.max_timestamp):
        window = f"{bundle.min_timestamp or 0} to {bundle.max_timestamp or 'any'}"
        return _missed(
            submission,
            MissCause.EXPIRED,
            f"block {head.number} has timestamp {head.timestamp}, the bundle allows {window}",
        )
    for one in submission.transactions:
        if one.unsigned.fee_cap < head.base_fee_per_gas:
            return _missed(
                submission,
                MissCause.UNDERPRICED,
                f"{one.hash} pays at most {one.unsigned.fee_cap} wei per gas, block {head.number}"
                f" asked {head.base_fee_per_gas}",
            )
    if evidence.simulation:
        return _missed(
            submission,
            MissCause.REVERTED_SIM,
            f"on the state before block {head.number}: {evidence.simulation}",
        )
    return None


def _nonce_used(submission: Submission, lost: SignedTransaction, evidence: Evidence) -> Missed:
    block = evidence.block
    used = [one.transaction_hash for one in block.receipts if one.sender == lost.sender]
    where = f"in block {block.head.number} ({', '.join(used)})" if used else "before"
    return _missed(
        submission,
        MissCause.NONCE_USED,
        f"nonce {lost.unsigned.nonce} of {lost.sender} was spent {where} by another transaction",
        rival=used[0] if used else None,
    )


def _undelivered(submission: Submission, evidence: Evidence) -> Missed | None:
    target = evidence.block.head.number
    taken = [one for one in submission.answers if one.accepted]
    if not taken:
        said = "; ".join(f"{one.relay}: {one.why}" for one in submission.answers) or "none asked"
        return _missed(submission, MissCause.WRONG_BUILDER, f"no relay took it ({said})")
    first = min(one.head_number for one in taken)
    if first >= target:
        return _missed(
            submission,
            MissCause.LATE,
            f"block {first} was known when the first relay took it for block {target}",
        )
    known = submission.fee_recipients
    if known and evidence.block.coinbase not in known:
        return _missed(
            submission,
            MissCause.WRONG_BUILDER,
            f"block {target} was built by {evidence.block.coinbase}, which is none of the"
            f" builders that took it",
        )
    return None


def _beaten(submission: Submission, evidence: Evidence) -> Missed | None:
    block = evidence.block
    bids: dict[Address, int] = {}
    for one in block.receipts:
        paid = evidence.payments.get(one.transaction_hash, 0)
        bids[one.sender] = bids.get(one.sender, 0) + paid
    foreign = _touching(submission, block, own=False)
    rival = max(foreign, key=lambda one: bids[one.sender], default=None)
    if rival is not None and bids[rival.sender] > submission.bid_wei:
        return _missed(
            submission,
            MissCause.OUTBID_CONFLICT,
            f"{rival.transaction_hash} of {rival.sender} used {_shared(submission, rival)} in block"
            f" {block.head.number} and paid the builder {bids[rival.sender]} wei;"
            f" we offered {submission.bid_wei} wei",
            rival=rival.transaction_hash,
        )
    before = rival or next(iter(_touching(submission, block, own=True)), None)
    if before is not None:
        whose = "our own" if before.sender in submission.own else "foreign"
        return _missed(
            submission,
            MissCause.STATE_CONFLICT,
            f"{whose} transaction {before.transaction_hash} changed {_shared(submission, before)}"
            f" in block {block.head.number}",
            rival=before.transaction_hash,
        )
    return None


def _touching(submission: Submission, block: BlockFacts, *, own: bool) -> list[Receipt]:
    """Receipts, in order, that logged at a contract of ours and were (not) sent by us."""
    return [
        one
        for one in block.receipts
        if (one.sender in submission.own) is own
        and not submission.touches.isdisjoint(entry.address for entry in one.logs)
    ]


def _shared(submission: Submission, receipt: Receipt) -> str:
    return ", ".join(sorted(submission.touches & {entry.address for entry in receipt.logs}))


def _priority(receipt: Receipt, block: BlockFacts) -> int:
    return receipt.gas_used * (receipt.effective_gas_price - block.head.base_fee_per_gas)


async def _payments(node: Node, block: BlockFacts, receipts: Iterable[Receipt]) -> dict[Hash, int]:
    """What each transaction paid to the coinbase: its priority fee, and transfers from its trace.

    A node that does not trace leaves the transfers out: the amounts are then lower bounds.
    """
    chosen = tuple(receipts)
    paid = {one.transaction_hash: _priority(one, block) for one in chosen}
    calls = [("debug_traceTransaction", [one, {"tracer": "callTracer"}]) for one in paid]
    for one, frame in zip(paid, await node.rpc.batch(calls) if calls else [], strict=True):
        if not isinstance(frame, RpcError):
            paid[one] += _transferred(frame, block.coinbase)
    return paid


def _transferred(frame: Mapping[str, Any], to: Address) -> int:
    """Wei that a call and its inner calls moved to `to`; a failed call moved nothing."""
    if frame.get("error"):
        return 0
    moved = sum(_transferred(inner, to) for inner in frame.get("calls") or ())
    target, origin = str(frame.get("to") or "").lower(), str(frame.get("from") or "").lower()
    if target == to and origin != to and frame.get("type") not in _VALUELESS:
        moved += int(frame.get("value") or "0x0", 16)
    return moved


async def _simulated(
    node: Node, submission: Submission, block: BlockFacts, simulator: Simulator | None
) -> str:
    """Why the bundle fails on the parent's state in the environment of the block; "" if not."""
    if simulator is None:
        return ""
    head = block.head
    parent = await node.head(head.parent_hash)
    results = await simulator.simulate(
        [(one.sender, one.unsigned) for one in submission.transactions],
        parent=parent,
        env=BlockEnv(
            number=head.number,
            timestamp=head.timestamp,
            base_fee_per_gas=head.base_fee_per_gas,
            coinbase=block.coinbase,
            gas_limit=head.gas_limit,
        ),
    )
    allowed = set(submission.bundle.reverting_hashes)
    for one, result in zip(submission.transactions, results, strict=True):
        if not result.succeeded and one.hash not in allowed:
            return f"{one.hash} fails: {result.reason or 'reverted without a reason'}"
    return ""
