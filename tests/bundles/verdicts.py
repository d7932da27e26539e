"""Submissions and blocks to ask `explain` about."""

from collections.abc import Callable
from typing import Any

import msgspec

from toolkit.bundles.evidence import Evidence, RelayAnswer, Submission
from toolkit.bundles.explain import explain
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.reenactment import BlockFacts, Reenactment
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle, MissCause, Missed
from toolkit.model.chain import Address, Hash, Head, LogEntry, Receipt
from toolkit.model.tx import SignedTransaction

POOL = Address("0x" + "99" * 20)
COINBASE = Address("0x" + "cb" * 20)
STRANGER = Address("0x" + "57" * 20)
GWEI = 10**9
HEAD = Head(
    number=8,
    hash=Hash("0x" + "08" * 32),
    parent_hash=Hash("0x" + "07" * 32),
    timestamp=1000,
    base_fee_per_gas=10 * GWEI,
    gas_limit=30_000_000,
    gas_used=0,
)
TAKEN = RelayAnswer(relay="r", accepted=True, head_number=7)


def receipt(
    tx_hash: str, sender: Address, *, index: int = 0, touches: Address | None = None
) -> Receipt:
    log = LogEntry(
        address=touches or POOL,
        topics=(),
        data="0x",
        block_number=8,
        block_hash=HEAD.hash,
        transaction_hash=Hash(tx_hash),
        log_index=0,
    )
    return Receipt(
        transaction_hash=Hash(tx_hash),
        block_number=8,
        block_hash=HEAD.hash,
        transaction_index=index,
        sender=sender,
        to=POOL,
        succeeded=True,
        gas_used=100_000,
        effective_gas_price=11 * GWEI,
        logs=(log,) if touches else (),
    )


def submission_of(
    signer: LocalSigner,
    transfer: Callable[..., SignedTransaction],
    bundle_of: Callable[..., Bundle],
) -> Submission:
    pair = (transfer(signer, nonce=3), transfer(signer, nonce=4))
    bundle = bundle_of(*pair, target_block=8)
    return Submission(
        bundle=bundle,
        bundle_hash=bundle_hash(bundle.hashes),
        transactions=pair,
        own=frozenset({signer.address}),
        touches=frozenset({POOL}),
        bid_wei=500,
        answers=(TAKEN,),
    )


def evidence_of(
    submission: Submission, *receipts: Receipt, payments: dict[Hash, int] | None = None, **more: Any
) -> Evidence:
    sender = submission.transactions[0].sender
    fields: dict[str, Any] = {"nonces": {sender: 3}, "payments": payments or {}} | more
    block = BlockFacts(head=HEAD, coinbase=COINBASE, receipts=receipts)
    return Evidence(block=block, **fields)


def ours(submission: Submission) -> list[Receipt]:
    return [receipt(one.hash, one.sender) for one in submission.transactions]


def cause_of(submission: Submission, evidence: Evidence) -> MissCause:
    result = explain(submission, evidence)
    assert isinstance(result, Missed)
    assert result.evidence
    assert submission.bundle_hash == result.bundle_hash
    return result.cause


def with_answers(submission: Submission, **more: Any) -> Submission:
    """The relay r built the block; s took the bundle as well."""
    both = (TAKEN, RelayAnswer(relay="s", accepted=True, head_number=7))
    known = {"r": frozenset({COINBASE}), "s": frozenset({STRANGER})}
    fields: dict[str, Any] = {"answers": both, "fee_recipients": known}
    return msgspec.structs.replace(submission, **(fields | more))


def played(submission: Submission, **more: Any) -> Reenactment:
    """The block was run again: 500 wei for the builder, 42,000 gas."""
    paid = {one.hash: 250 for one in submission.transactions}
    fields: dict[str, Any] = {"paid_wei": paid, "gas_needed": 42_000, "is_whole": True}
    return Reenactment(**(fields | more))
