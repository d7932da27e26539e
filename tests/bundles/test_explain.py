from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.bundles.verdicts import (
    COINBASE,
    GWEI,
    HEAD,
    POOL,
    STRANGER,
    TAKEN,
    cause_of,
    evidence_of,
    ours,
    receipt,
    submission_of,
    with_answers,
)
from toolkit.bundles.evidence import RelayAnswer, Submission
from toolkit.bundles.explain import explain
from toolkit.bundles.reenactment import Reenactment
from toolkit.chain.signer import LocalSigner
from toolkit.model.bundle import Bundle, Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import SignedTransaction


@pytest.fixture
def submission(
    signer: LocalSigner,
    transfer: Callable[..., SignedTransaction],
    bundle_of: Callable[..., Bundle],
) -> Submission:
    return submission_of(signer, transfer, bundle_of)


def test_landed_is_contiguous_and_in_order(submission: Submission) -> None:
    """All transactions after one another, anywhere in the block: landed, with fee and tip apart."""
    first, second = ours(submission)
    other = receipt("0x" + "ab" * 32, STRANGER)
    paid = {one.transaction_hash: 10**14 + 77 for one in (first, second)}

    result = explain(submission, evidence_of(submission, other, first, second, payments=paid))

    assert isinstance(result, Landed)
    assert 2 * 100_000 * 11 * GWEI == result.fee_wei
    assert 2 * 77 == result.tip_wei
    assert (8, HEAD.hash, COINBASE) == (result.block_number, result.block_hash, result.builder)


def test_partial_inclusion_is_named(submission: Submission) -> None:
    """One of two, wrong order, a stranger between, or another block: PARTIAL with the hashes."""
    first, second = ours(submission)
    other = receipt("0x" + "ab" * 32, STRANGER)

    for mined in ((first,), (second, first), (first, other, second)):
        assert MissCause.PARTIAL == cause_of(submission, evidence_of(submission, *mined))
    late = msgspec.structs.replace(first, block_number=9)
    assert MissCause.PARTIAL == cause_of(submission, evidence_of(submission, elsewhere=(late,)))


def test_foreign_part_alone_is_not_partial(
    submission: Submission, other_signer: LocalSigner, transfer: Callable[..., SignedTransaction]
) -> None:
    """A public transaction that we wanted to follow may land without us: nothing of ours did."""
    target = transfer(other_signer)
    bundle = msgspec.structs.replace(
        submission.bundle, hashes=(target.hash, *submission.bundle.hashes)
    )
    backrun = msgspec.structs.replace(
        submission, bundle=bundle, transactions=(target, *submission.transactions)
    )
    mined = receipt(target.hash, other_signer.address)
    nonces = {other_signer.address: 0, submission.transactions[0].sender: 3}

    assert MissCause.PARTIAL != cause_of(backrun, evidence_of(backrun, mined, nonces=nonces))


def test_a_delegation_in_the_bundle_spends_a_nonce(
    submission: Submission,
    signer: LocalSigner,
    other_signer: LocalSigner,
    transfer: Callable[..., SignedTransaction],
) -> None:
    """What stands behind an authorization finds the next nonce, of its sender or of another; one
    that takes no effect spends none (EIP-7702)."""

    def granting(nonce: int, chain_id: int = 1) -> SignedTransaction:
        grant = signer.sign_authorization(chain_id=chain_id, address=POOL, nonce=nonce)
        by = other_signer if nonce == 3 else signer
        return transfer(by, nonce=3, type=4, authorization_list=(grant,))

    def missed(first: SignedTransaction, nonce: int) -> MissCause:
        pair = (first, transfer(signer, nonce=nonce))
        sent = msgspec.structs.replace(submission, transactions=pair)
        counts = {signer.address: 3, other_signer.address: 3}
        return cause_of(sent, evidence_of(sent, nonces=counts))

    assert MissCause.UNKNOWN == missed(granting(4), 5)  # its own, which comes behind itself
    assert MissCause.UNKNOWN == missed(granting(3), 4)  # sponsored
    assert MissCause.UNKNOWN == missed(granting(4, chain_id=0), 5)
    assert MissCause.REVERTED_SIM == missed(granting(4, chain_id=7), 5)
    assert MissCause.REVERTED_SIM == missed(granting(4), 4)
    assert MissCause.REVERTED_SIM == missed(granting(9), 10)
    assert MissCause.STATE_CONFLICT == missed(granting(3, chain_id=7), 4)
    assert MissCause.REVERTED_SIM == missed(granting(3), 5)


def test_repeated_transactions_may_land_without_the_bundle(submission: Submission) -> None:
    """What the bundle only repeats from another one of ours may be mined by that one: this is
    neither partial inclusion nor a nonce spent by another transaction."""
    first, second = submission.transactions
    repeats = msgspec.structs.replace(submission, leased=frozenset({second.hash}))
    mined = receipt(first.hash, first.sender)

    assert MissCause.UNKNOWN == cause_of(
        repeats, evidence_of(repeats, mined, spent={first.sender: 4})
    )


def test_nonce_spent_by_another_transaction(submission: Submission) -> None:
    """A spent nonce names sender, nonce and, in this block, the transaction that spent it."""
    sender = submission.transactions[0].sender
    spender = receipt("0x" + "cd" * 32, sender)

    result = explain(submission, evidence_of(submission, spender, spent={sender: 4}))
    before = explain(submission, evidence_of(submission, nonces={sender: 4}))

    assert isinstance(result, Missed)
    assert isinstance(before, Missed)
    assert MissCause.NONCE_USED == result.cause == before.cause
    assert spender.transaction_hash == result.rival
    assert before.rival is None
    assert f"nonce 3 of {sender}" in result.evidence


def test_nonce_that_waits_for_another(submission: Submission) -> None:
    """A gap before its first nonce is a conflict of state: what it builds on is not there."""
    sender = submission.transactions[0].sender

    assert MissCause.STATE_CONFLICT == cause_of(
        submission, evidence_of(submission, nonces={sender: 2})
    )


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"max_timestamp": 999}, MissCause.EXPIRED),
        ({"min_timestamp": 1001}, MissCause.EXPIRED),
        ({"min_timestamp": 1000, "max_timestamp": 1000}, MissCause.UNKNOWN),
    ],
)
def test_timestamps_are_inclusive(
    submission: Submission, window: dict[str, int], expected: MissCause
) -> None:
    """Outside its window of seconds a bundle is expired; both ends belong to the window."""
    bundle = msgspec.structs.replace(submission.bundle, **window)
    changed = msgspec.structs.replace(submission, bundle=bundle)

    assert expected == cause_of(changed, evidence_of(changed))


def test_what_nobody_took_has_not_expired(submission: Submission) -> None:
    """Its window says nothing about why it is not there."""
    bundle = msgspec.structs.replace(submission.bundle, max_timestamp=999)
    refused = RelayAnswer(relay="r", accepted=False, head_number=7, why="no")
    changed = msgspec.structs.replace(submission, bundle=bundle, answers=(refused,))

    assert MissCause.WRONG_BUILDER is cause_of(changed, evidence_of(changed))


def test_fee_cap_below_base_fee(submission: Submission) -> None:
    """A cap below the block's base fee is underpriced; evidence has both numbers."""
    dear = msgspec.structs.replace(HEAD, base_fee_per_gas=31 * GWEI)
    evidence = evidence_of(submission)
    evidence = msgspec.structs.replace(
        evidence, block=msgspec.structs.replace(evidence.block, head=dear)
    )

    result = explain(submission, evidence)

    assert isinstance(result, Missed)
    assert MissCause.UNDERPRICED == result.cause
    assert str(30 * GWEI) in result.evidence
    assert str(31 * GWEI) in result.evidence


def test_reverting_simulation(submission: Submission) -> None:
    """What fails on the state before the block could never have landed, whoever else was there."""
    rival = receipt("0x" + "ab" * 32, STRANGER, touches=POOL)
    evidence = evidence_of(
        submission,
        rival,
        payments={rival.transaction_hash: 9999},
        reenactment=Reenactment(failure="it fails"),
    )

    assert MissCause.REVERTED_SIM == cause_of(submission, evidence)


def test_delivery_is_judged_by_our_own_journal(submission: Submission) -> None:
    """Taken after the block was known: LATE; taken by none, or by other builders: WRONG_BUILDER."""
    late = msgspec.structs.replace(TAKEN, head_number=8)
    refused = RelayAnswer(relay="r", accepted=False, head_number=7, why="r: bundle too big")
    cases: list[tuple[MissCause, dict[str, Any]]] = [
        (MissCause.LATE, {"answers": (late, refused)}),
        (MissCause.UNKNOWN, {"answers": (late, TAKEN)}),
        (MissCause.WRONG_BUILDER, {"answers": (refused,)}),
        (MissCause.WRONG_BUILDER, {"answers": ()}),
        (MissCause.WRONG_BUILDER, {"fee_recipients": {"r": frozenset({STRANGER})}}),
        (MissCause.UNKNOWN, {"fee_recipients": {"r": frozenset({COINBASE})}}),
    ]

    for cause, fields in cases:
        changed = msgspec.structs.replace(submission, **fields)
        assert cause == cause_of(changed, evidence_of(changed))
    unheard = msgspec.structs.replace(submission, answers=(refused,))
    result = explain(unheard, evidence_of(unheard))
    assert isinstance(result, Missed)
    assert "bundle too big" in result.evidence


def test_outbid_names_the_rival_and_both_values(submission: Submission) -> None:
    """A foreign transaction at our pools that paid the builder more is the rival: all it paid,
    over all its sender's transactions, stands beside what we offered."""
    rival = receipt("0x" + "ab" * 32, STRANGER, touches=POOL)
    approve = receipt("0x" + "ac" * 32, STRANGER)
    paid = {rival.transaction_hash: 400, approve.transaction_hash: 200}

    result = explain(submission, evidence_of(submission, approve, rival, payments=paid))

    assert isinstance(result, Missed)
    assert MissCause.OUTBID_CONFLICT == result.cause
    assert rival.transaction_hash == result.rival
    assert "600 wei" in result.evidence
    assert "500 wei" in result.evidence
    assert POOL in result.evidence


def test_best_payer_is_the_rival(submission: Submission) -> None:
    """Of several at our pools, the one that paid most is named."""
    rivals = [
        receipt("0x" + digit * 64, Address("0x" + digit * 40), touches=POOL) for digit in "abc"
    ]
    paid = dict(zip([one.transaction_hash for one in rivals], (501, 900, 502), strict=True))

    result = explain(submission, evidence_of(submission, *rivals, payments=paid))

    assert isinstance(result, Missed)
    assert rivals[1].transaction_hash == result.rival


def test_state_changed_by_who_did_not_pay_more(submission: Submission) -> None:
    """Somebody at our pools who paid no more, or we ourselves, is a conflict of state."""
    poor = receipt("0x" + "ab" * 32, STRANGER, touches=POOL)
    own = receipt("0x" + "ac" * 32, submission.transactions[0].sender, touches=POOL)

    result = explain(
        submission, evidence_of(submission, poor, payments={poor.transaction_hash: 500})
    )
    mine = explain(submission, evidence_of(submission, own))

    assert isinstance(result, Missed)
    assert isinstance(mine, Missed)
    assert MissCause.STATE_CONFLICT == result.cause == mine.cause
    assert "foreign" in result.evidence
    assert "our own" in mine.evidence


def test_strangers_elsewhere_are_no_cause(submission: Submission) -> None:
    """Who touched other contracts beat nobody, however much he paid."""
    rich = receipt("0x" + "ab" * 32, STRANGER, touches=Address("0x" + "98" * 20))

    assert MissCause.UNKNOWN == cause_of(
        submission, evidence_of(submission, rich, payments={rich.transaction_hash: 10**18})
    )


def test_cancelled_unless_it_landed(submission: Submission) -> None:
    """Our cancellation is the cause of a miss, and no contradiction of a landing."""
    cancelled = msgspec.structs.replace(submission, cancelled=True)

    assert MissCause.CANCELLED == cause_of(cancelled, evidence_of(cancelled))
    assert isinstance(explain(cancelled, evidence_of(cancelled, *ours(cancelled))), Landed)


@pytest.mark.parametrize(
    ("withdrawn", "superseded", "expected", "words"),
    [
        ({"r"}, False, MissCause.CANCELLED, "cancelled by us"),
        ({"r"}, True, MissCause.CANCELLED, "replaced by another bundle"),
        ({"s"}, False, MissCause.UNKNOWN, ""),
    ],
)
def test_withdrawn_is_withdrawn_where_the_block_was_built(
    submission: Submission,
    withdrawn: set[str],
    superseded: bool,  # noqa: FBT001 - a parameter of the table above
    expected: MissCause,
    words: str,
) -> None:
    """What the block's builder still had was not cancelled, whoever else let go of it."""
    changed = with_answers(
        submission,
        cancelled=True,
        withdrawn=frozenset(withdrawn),
        superseded_by=frozenset({Hash("0x" + "ee" * 32)} if superseded else ()),
    )

    result = explain(changed, evidence_of(changed))

    assert isinstance(result, Missed)
    assert expected is result.cause
    assert words in result.evidence


def test_withdrawn_everywhere_from_who_had_it(submission: Submission) -> None:
    """Where the builder never had it, it is cancelled once all that had it let go of it."""
    refused = RelayAnswer(relay="r", accepted=False, head_number=7, why="no")
    answers = (refused, RelayAnswer(relay="s", accepted=True, head_number=7))
    changed = with_answers(submission, answers=answers, withdrawn=frozenset({"s"}))
    left = msgspec.structs.replace(changed, withdrawn=frozenset({"x"}))

    assert MissCause.CANCELLED is cause_of(changed, evidence_of(changed))
    assert MissCause.WRONG_BUILDER is cause_of(left, evidence_of(left))


def test_what_its_replacement_mined_is_not_partial(submission: Submission) -> None:
    """A transaction that the bundle shares with the one that replaced it landed with that one."""
    first, _ = ours(submission)
    changed = with_answers(
        submission,
        withdrawn=frozenset({"r"}),
        superseded_by=frozenset({submission.transactions[0].hash}),
    )

    assert MissCause.CANCELLED is cause_of(changed, evidence_of(changed, first))


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        ({"accepted": False}, {}, MissCause.WRONG_BUILDER),
        ({"accepted": False, "unsure": True}, {}, MissCause.WRONG_BUILDER),
        ({"accepted": False, "unsure": True}, {"accepted": False, "unsure": True}, None),
        ({"head_number": 8}, {}, MissCause.LATE),
        ({"accepted": False, "unsure": True, "head_number": 8}, {}, MissCause.LATE),
        ({"accepted": False}, {"head_number": 8}, MissCause.LATE),
        ({"accepted": False}, {"accepted": False}, MissCause.WRONG_BUILDER),
        ({}, {"accepted": False}, None),
    ],
)
def test_delivery_to_who_built_the_block(
    submission: Submission,
    mine: dict[str, Any],
    other: dict[str, Any],
    expected: MissCause | None,
) -> None:
    """What counts is the relay of the block's builder: taken in time, late, or not; a relay that
    said nothing that tells has it only where none said anything else."""
    fields: dict[str, Any] = {"accepted": True, "head_number": 7}
    answers = tuple(
        RelayAnswer(relay=name, **(fields | changed))
        for name, changed in (("r", mine), ("s", other))
    )
    changed = with_answers(submission, answers=answers)

    assert (expected or MissCause.UNKNOWN) is cause_of(changed, evidence_of(changed))


def test_a_bundle_to_be_passed_on_may_be_anywhere(submission: Submission) -> None:
    """With `builders` a stranger's block says nothing about who had it."""
    bundle = msgspec.structs.replace(submission.bundle, builders=("titan",))
    known = {"r": frozenset({STRANGER}), "s": frozenset({STRANGER})}
    plain = with_answers(submission, fee_recipients=known)
    passed = msgspec.structs.replace(plain, bundle=bundle)

    assert MissCause.WRONG_BUILDER is cause_of(plain, evidence_of(plain))
    assert MissCause.UNKNOWN is cause_of(passed, evidence_of(passed))


def test_what_may_be_left_out_may_be_missing(submission: Submission) -> None:
    """Without a droppable transaction it landed; without another, or out of order, it did not."""
    first, second = ours(submission)
    bundle = msgspec.structs.replace(submission.bundle, dropping_hashes=(second.transaction_hash,))
    dropping = msgspec.structs.replace(submission, bundle=bundle)

    assert isinstance(explain(dropping, evidence_of(dropping, first)), Landed)
    assert MissCause.PARTIAL is cause_of(dropping, evidence_of(dropping, second))
    assert MissCause.PARTIAL is cause_of(dropping, evidence_of(dropping, second, first))


@pytest.mark.parametrize(
    ("unsure", "words"),
    [(True, "which did not say that it took it; s had"), (False, "had not taken it; s had")],
)
def test_who_may_have_it_is_not_told_among_who_had_it(
    submission: Submission, *, unsure: bool, words: str
) -> None:
    """The builder of the block that said nothing that tells is not said to have had it, nor not."""
    answers = (
        RelayAnswer(relay="r", accepted=False, head_number=7, unsure=unsure),
        RelayAnswer(relay="s", accepted=True, head_number=7),
    )
    changed = with_answers(submission, answers=answers)

    result = explain(changed, evidence_of(changed))

    assert isinstance(result, Missed)
    assert result.evidence.endswith(words)


def test_what_was_not_there_is_not_blamed(submission: Submission) -> None:
    """A cap below the base fee is no cause in a block whose builder never had the bundle."""
    evidence = evidence_of(submission)
    dear = msgspec.structs.replace(HEAD, base_fee_per_gas=31 * GWEI)
    evidence = msgspec.structs.replace(
        evidence, block=msgspec.structs.replace(evidence.block, head=dear)
    )
    refused = RelayAnswer(relay="r", accepted=False, head_number=7)
    answers = (refused, RelayAnswer(relay="s", accepted=True, head_number=7))

    assert MissCause.UNDERPRICED is cause_of(with_answers(submission), evidence)
    assert MissCause.WRONG_BUILDER is cause_of(with_answers(submission, answers=answers), evidence)
