from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.bundles.verdicts import (
    STRANGER,
    cause_of,
    evidence_of,
    played,
    receipt,
    submission_of,
)
from toolkit.bundles.evidence import Submission
from toolkit.bundles.explain import explain
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle, MissCause, Missed, Refund
from toolkit.model.chain import Address
from toolkit.model.tx import SignedTransaction


@pytest.fixture
def submission(
    signer: LocalSigner,
    transfer: Callable[..., SignedTransaction],
    bundle_of: Callable[..., Bundle],
) -> Submission:
    return submission_of(signer, transfer, bundle_of)


@pytest.mark.parametrize(
    ("paid", "displaced", "expected"),
    [
        (500, 500, MissCause.OUTBID_CONFLICT),
        (900, 10, MissCause.OUTBID_CONFLICT),
        (499, 500, MissCause.STATE_CONFLICT),
        (499, 499, MissCause.WRONG_BUILDER),
    ],
)
def test_who_it_fails_behind_and_what_that_was_worth(
    submission: Submission, paid: int, displaced: int, expected: MissCause
) -> None:
    """Behind one that paid no less it is outbid; one that paid less is in its way only where the
    block earned more so; and else its builder did not have it."""
    rival = receipt("0x" + "ab" * 32, STRANGER)
    run = played(
        submission,
        late_failure="it fails",
        rival=rival.transaction_hash,
        displaced_wei=displaced,
    )
    evidence = evidence_of(
        submission, rival, payments={rival.transaction_hash: paid}, reenactment=run
    )

    result = explain(submission, evidence)

    assert isinstance(result, Missed)
    assert expected is result.cause
    assert str(rival.transaction_hash) in result.evidence


def test_who_follows_the_same_transaction(
    submission: Submission, other_signer: LocalSigner, transfer: Callable[..., SignedTransaction]
) -> None:
    """A public transaction with somebody else's behind it, who paid no less: outbid. What the
    public one pays its builder has either way."""
    target = transfer(other_signer)
    bundle = msgspec.structs.replace(
        submission.bundle, hashes=(target.hash, *submission.bundle.hashes)
    )
    backrun = msgspec.structs.replace(
        submission, bundle=bundle, transactions=(target, *submission.transactions)
    )
    mined = receipt(target.hash, other_signer.address)
    behind = receipt("0x" + "ab" * 32, STRANGER, index=1)
    causes = [
        cause_of(
            backrun,
            evidence_of(
                backrun,
                mined,
                behind,
                nonces={},
                payments={behind.transaction_hash: paid},
                reenactment=played(backrun),
            ),
        )
        for paid in (500, 499)
    ]

    assert [MissCause.OUTBID_CONFLICT, MissCause.WRONG_BUILDER] == causes


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("target follower rival", MissCause.OUTBID_CONFLICT),
        ("target rival follower", MissCause.STATE_CONFLICT),
        ("rival target follower", MissCause.STATE_CONFLICT),
    ],
)
def test_of_a_follower_and_a_rival_the_first_is_named(
    submission: Submission,
    other_signer: LocalSigner,
    transfer: Callable[..., SignedTransaction],
    order: str,
    expected: MissCause,
) -> None:
    """Behind the same public transaction somebody paid more; a poor one behind which it fails is
    named only where it came before."""
    target = transfer(other_signer)
    bundle = msgspec.structs.replace(
        submission.bundle, hashes=(target.hash, *submission.bundle.hashes)
    )
    backrun = msgspec.structs.replace(
        submission, bundle=bundle, transactions=(target, *submission.transactions)
    )
    rival = receipt("0x" + "ac" * 32, Address("0x" + "ad" * 20))
    follower = receipt("0x" + "ab" * 32, STRANGER)
    there = {
        "target": receipt(target.hash, other_signer.address),
        "follower": follower,
        "rival": rival,
    }
    evidence = evidence_of(
        backrun,
        *(there[name] for name in order.split()),
        nonces={},
        payments={rival.transaction_hash: 1, follower.transaction_hash: 10**18},
        reenactment=played(backrun, rival=rival.transaction_hash, displaced_wei=10**18),
    )

    assert expected is cause_of(backrun, evidence)


@pytest.mark.parametrize(
    ("used", "paid", "expected"),
    [
        (29_958_000, 1000, MissCause.WRONG_BUILDER),
        (29_958_001, 1000, MissCause.UNDERPRICED),
        (29_958_001, 499, MissCause.WRONG_BUILDER),
    ],
)
def test_room_is_for_who_pays_more(
    submission: Submission, used: int, paid: int, expected: MissCause
) -> None:
    """A block without gas for it is an answer where that gas went to who pays more."""
    rival = msgspec.structs.replace(receipt("0x" + "ab" * 32, STRANGER), gas_used=used)
    evidence = evidence_of(
        submission,
        rival,
        payments={rival.transaction_hash: paid},
        reenactment=played(submission),
    )

    assert expected is cause_of(submission, evidence)


def test_nothing_in_its_way(submission: Submission) -> None:
    """What works and pays was not there to be included; a refund that does not pay for itself is
    the one objection left."""
    bundle = msgspec.structs.replace(submission.bundle, refund=Refund(percent=50))
    refunding = msgspec.structs.replace(submission, bundle=bundle)
    run = played(submission)

    assert MissCause.WRONG_BUILDER is cause_of(submission, evidence_of(submission, reenactment=run))
    assert MissCause.UNDERPRICED is cause_of(refunding, evidence_of(refunding, reenactment=run))


def test_a_gap_that_the_block_closed(submission: Submission) -> None:
    """A nonce whose predecessor is in the same block waited for it, unless something else was in
    its way there."""
    sender = submission.transactions[0].sender
    before = receipt("0x" + "ab" * 32, sender)
    fields: dict[str, Any] = {"nonces": {sender: 2}, "spent": {sender: 3}}
    rival = played(submission, late_failure="it fails", rival=before.transaction_hash)

    assert MissCause.STATE_CONFLICT is cause_of(
        submission, evidence_of(submission, before, **fields, reenactment=played(submission))
    )
    result = explain(
        submission,
        evidence_of(
            submission, before, **fields, reenactment=rival, payments={before.transaction_hash: 900}
        ),
    )
    assert isinstance(result, Missed)
    assert (MissCause.OUTBID_CONFLICT, before.transaction_hash) == (result.cause, result.rival)
