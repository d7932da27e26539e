"""The check of what a lane told, given requests as a journal would."""

import msgspec
import pytest

from tests.tx.bench import LIMITS, STRANGER, Bench, quote
from toolkit.chain.signer import LocalSigner
from toolkit.model.tx import (
    Cancelled,
    Expired,
    ExternalSpend,
    FeeQuote,
    Outcome,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.testing.coverage import Coverage
from toolkit.testing.truth import Story, Told, _check_bump
from toolkit.tx import fees
from toolkit.tx.events import Accepted, Prepared, Spender

SIGNER = LocalSigner(b"\1" * 32)
LANE = SIGNER.address
QUOTE = FeeQuote(max_fee_per_gas=9, max_priority_fee_per_gas=1, base_fee_per_gas=4, for_block=8)
EMPTY = SIGNER.sign_transaction_now(
    UnsignedTransaction(type=2, chain_id=1, nonce=5, to=LANE, value=0, data="0x", gas=21_000)
)


def cancelled(name: str, seq: int, end: Outcome | None, signed: SignedTransaction = EMPTY) -> Told:
    """A request whose only attempt is a cancellation, in entry `seq`; ended in the next."""
    accepted = Accepted(
        lane=LANE,
        request_id=name,
        request=TransactionRequest(to=LANE, value=1, gas=21_000),
        urgency=Urgency.SOON,
        deadline_block=None,
        destinations=("public",),
        quote=QUOTE,
        balance_wei=1,
    )
    attempt = Prepared(lane=LANE, request_id=name, signed=signed, cancels=True)
    return Told(accepted=accepted, attempts=[(seq, attempt)], end=end, end_seq=seq + 1)


def story(**requests: Told) -> Story:
    """What a journal with these requests would be folded into."""
    told = Story.__new__(Story)
    told.requests, told.halted, told.confirmed = requests, False, set()
    told.revived, told.gave_up, told.taken_back = set(), {}, frozenset()
    told._fillers, told._coverage = {}, Coverage()
    told._ends = {name: one.end_seq or 0 for name, one in requests.items()}
    return told


def test_the_same_bytes_of_two_holders_are_the_later_ones() -> None:
    """The first one's end, without a hash, is true: nobody ever had its cancellation."""
    first = cancelled("a", 3, Expired(last_block=7))
    later = cancelled("b", 8, Cancelled(tx_hash=EMPTY.hash, block_number=9))

    story(a=first, b=later).check({EMPTY.hash: 9}, {}, ())


def test_a_holder_alone_must_tell_what_was_mined() -> None:
    """What is its own and in the chain is its end."""
    untold = cancelled("a", 3, Expired(last_block=7))

    with pytest.raises(AssertionError, match="a: Expired"):
        story(a=untold).check({EMPTY.hash: 9}, {}, ())


@pytest.mark.parametrize(("old", "new"), [(2, 0), (0, 2), (1, 0), (2, 2)])
def test_the_bump_law_holds_across_types(old: int, new: int) -> None:
    """One price is the cap and the tip of types 0 and 1: a wei less on either is too little."""
    bench = Bench()
    bench.accept("a", type=old)
    bench.answer("a")
    before, job = bench.state, bench.state.jobs["a"]
    wanted = TransactionRequest(to=LANE, type=new, gas=21_000)
    bid = fees.revision(job.tries[-1].signed.unsigned, wanted, quote(1), max_cost_wei=10**18)
    assert bid is not None

    _check_bump(3, before, job, _prepared(bid))
    for field in ("max_fee_per_gas", "max_priority_fee_per_gas") if new else ("gas_price",):
        less = msgspec.structs.replace(bid, **{field: getattr(bid, field) - 1})
        with pytest.raises(AssertionError, match="below the bump law"):
            _check_bump(3, before, job, _prepared(less))


def _prepared(bid: UnsignedTransaction) -> Prepared:
    signed = SIGNER.sign_transaction_now(bid)
    return Prepared(lane=LANE, request_id="a", signed=signed, version=1)


def test_an_unsent_end_is_excused_only_where_a_given_up_nonce_came_back() -> None:
    """Such a reorg undoes what was final, and the lane halts; any other end must be the chain's."""
    for end, excused in (
        (Expired(last_block=7), True),
        (Expired(last_block=7, tx_hash=STRANGER), False),
        (None, False),
    ):
        told = story(a=cancelled("a", 3, end))
        told.revived = {"a"}

        if excused:
            told.check({EMPTY.hash: 9}, {}, ())
            continue
        with pytest.raises(AssertionError, match=r"^a\b"):
            told.check({EMPTY.hash: 9}, {}, ())


def test_a_given_up_nonce_that_comes_back_must_halt_the_lane() -> None:
    """Also when the request is gone: its second life ended at the head that began it."""
    limits = msgspec.structs.replace(LIMITS, finality_blocks=4, keep_blocks=4)
    bench = Bench(limits)
    bench.accept("a", value=7, requeue=True, deadline_block=14)
    bench.answer("a")
    first = bench.mined("a", 11)
    taken = Spender(nonce=0, by=STRANGER, block_number=11)
    bench.observe(11, nonce=1, spenders=(taken,))
    held, gone = bench.state, bench.observed(14, nonce=1)
    bench.do(gone)
    told, before = story(), bench.state
    told.state = before
    told._check_first_lives(5, held, gone)
    assert set() == told.revived

    back = bench.observed(15, nonce=1, receipts=(first,), reorged=True)
    bench.do(back)
    told.state = bench.state
    told._check_first_lives(6, before, back)
    assert {"a"} == told.revived

    told.state = msgspec.structs.replace(bench.state, halted="")
    with pytest.raises(AssertionError, match="a is mined after all"):
        told._check_first_lives(6, before, back)
    early = msgspec.structs.replace(before, block=13)
    told.state = early
    with pytest.raises(AssertionError, match="may yet have its nonce back"):
        told._check_first_lives(5, held, msgspec.structs.replace(gone, block=13))


def test_a_doubled_request_is_excused_only_by_the_undoing_of_its_own_stranger() -> None:
    """Not by any other deep reorg, nor by a halt for another reason, nor where no lane halted."""
    other = SIGNER.sign_transaction_now(
        msgspec.structs.replace(EMPTY.unsigned, nonce=6, to=STRANGER[:42])
    )
    chain = {EMPTY.hash: 9, other.hash: 12}

    def doubled() -> Story:
        one = cancelled("a", 3, Cancelled(tx_hash=other.hash, block_number=12))
        accepted = msgspec.structs.replace(one.accepted, on_external_spend=ExternalSpend.REQUEUE)
        second = Prepared(lane=LANE, request_id="a", signed=other, cancels=True)
        told = Told(
            accepted=accepted, attempts=[*one.attempts, (5, second)], end=one.end, end_seq=6
        )
        return story(a=told)

    undone, silent, halted, elsewhere = doubled(), doubled(), doubled(), doubled()
    for told in (undone, silent, elsewhere):
        told.halted, told.gave_up = told is not silent, {"a": STRANGER}
    undone.taken_back = silent.taken_back = frozenset({STRANGER})
    elsewhere.taken_back = frozenset({other.hash})
    halted.halted = True

    undone.check(chain, {}, ())
    for told in (halted, elsewhere, silent):
        with pytest.raises(AssertionError, match="a is mined twice"):
            told.check(chain, {}, ())
