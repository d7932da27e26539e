"""What others spend, what reorgs take back, and what is final."""

import msgspec
import pytest

from tests.tx.bench import FRIEND, LIMITS, ME, STRANGER, Bench
from toolkit.model.chain import Hash
from toolkit.model.errors import Recovery
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    Expired,
    Exposure,
    Replaced,
    TransactionRequest,
)
from toolkit.tx.events import (
    CancelAsked,
    LeaseSettled,
    Resumed,
    Sign,
    SigningFailed,
    Spender,
)
from toolkit.tx.lane_spent import FALLEN_PATIENCE_HEADS, SPENT_PATIENCE_BLOCKS
from toolkit.tx.progress import Phase, phase, why_waiting

OTHER = Hash("0x" + "58" * 32)
SHORT = msgspec.structs.replace(LIMITS, finality_blocks=4, keep_blocks=4)
TAKEN = Spender(nonce=0, by=STRANGER, block_number=11)


def _bench(
    *, requeue: bool = False, answered: bool = True, deadline_block: int | None = None
) -> Bench:
    bench = Bench(SHORT)
    bench.accept("a", value=7, requeue=requeue, deadline_block=deadline_block)
    if answered:
        bench.answer("a")
    return bench


def _halted(bench: Bench) -> bool:
    return bool(bench.state.halted)


def test_a_stranger_with_the_same_payload_has_executed_the_request() -> None:
    """What was wanted is done: it is told as executed, and never sent again, requeue or not."""
    bench = _bench(requeue=True)
    bench.observe(11, nonce=1, spenders=(msgspec.structs.replace(TAKEN, same_payload=True),))
    bench.sent()

    assert Replaced(by=STRANGER, nonce=0, executed=True) == bench.ends["a"]
    for block in range(12, 20):
        bench.observe(block, nonce=1)
    assert ([], {}) == (bench.sent(), bench.state.jobs)


def test_another_payload_is_reported_and_ends_the_request() -> None:
    """Without the wish to try again the stranger's transaction is the end."""
    bench = _bench()
    for block in range(11, 20):
        bench.observe(block, nonce=1, spenders=(TAKEN,) if block == 11 else ())

    assert {"a": Replaced(by=STRANGER, nonce=0)} == bench.ends
    assert ({}, 1) == (bench.state.jobs, bench.state.settled_nonce)


def test_a_requeued_request_gets_a_new_nonce_once_the_stranger_is_final() -> None:
    """Not a block earlier, as a reorg could then make both land; meanwhile it is not over."""
    bench = _bench(requeue=True)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.accept("b")
    assert Phase.QUEUED is phase(bench.state.jobs["a"], bench.state)
    assert "a waits until its nonce 0 is spent for good (4 blocks)" in why_waiting(bench.state)
    for block in (12, 13):
        bench.observe(block, nonce=1)
        assert ({}, {"b": 1}) == (bench.ends, bench.flying())

    bench.observe(14, nonce=1)

    assert {"b": 1, "a": 2} == bench.flying()
    bench.answer("a")
    bench.observe(15, nonce=3, receipts=(bench.mined("b", 15), bench.mined("a", 15)))
    assert isinstance(bench.ends["a"], Confirmed)
    assert [] == bench.reopened


def test_what_nobody_ever_had_goes_on_also_where_nobody_is_named() -> None:
    """Nothing of it can be mined, so once the spent nonce is final it gets another one."""
    bench = _bench(requeue=True, answered=False)
    bench.answer("a", Exposure.NONE, Recovery.WAIT)
    lost = 11 + SPENT_PATIENCE_BLOCKS
    for block in range(11, lost + 3):
        bench.observe(block, nonce=1)
        assert ({}, 0) == (bench.ends, bench.nonces()["a"])
    assert "a waits until somebody says what spent its nonce 0" in why_waiting(bench.state)

    bench.observe(lost + 3, nonce=1)

    assert ({}, {"a": 1}) == (bench.ends, bench.flying())


def test_what_may_have_been_mined_does_not_go_on_without_a_name() -> None:
    """Its end is told when no name can be hoped for, and is the last word on sending it."""
    bench = _bench(requeue=True)
    lost = 11 + SPENT_PATIENCE_BLOCKS
    for block in range(11, lost + 3):
        bench.observe(block, nonce=1)
        assert {} == bench.ends
    bench.observe(lost + 3, nonce=1)
    assert Replaced(by=None, nonce=0) == bench.ends["a"]

    bench.observe(lost + 4, nonce=1, spenders=(TAKEN,))
    bench.observe(lost + 9, nonce=1)

    assert ({}, ["a"]) == (bench.flying(), bench.reopened)
    assert Replaced(by=TAKEN.by, nonce=0) == bench.ends["a"]


def test_a_name_in_time_lets_it_go_on() -> None:
    """Before an end is told, a late name is as good as an early one."""
    bench = _bench(requeue=True)
    lost = 11 + SPENT_PATIENCE_BLOCKS
    for block in range(11, lost + 1):
        bench.observe(block, nonce=1)
    bench.observe(lost + 1, nonce=1, spenders=(TAKEN,))

    assert ({}, {"a": 1}) == (bench.ends, bench.flying())


@pytest.mark.parametrize("deadline_block", [None, 16])
def test_who_waits_for_a_name_can_still_be_cancelled_or_expire(deadline_block: int | None) -> None:
    """It is then over at once: nobody wants it on another nonce."""
    bench = _bench(requeue=True, deadline_block=deadline_block)
    for block in range(11, 11 + SPENT_PATIENCE_BLOCKS + 1):
        bench.observe(block, nonce=1)
    assert {} == bench.ends
    if deadline_block is None:
        bench.do(CancelAsked(lane=ME, request_id="a"))
    else:
        bench.observe(16, nonce=1)

    assert Replaced(by=None, nonce=0) == bench.ends["a"]


def test_a_second_life_waits_for_its_signer() -> None:
    """Its caller was told long ago that it was sent, so a failing signer does not end it."""
    bench = _bench(requeue=True)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    (sign,) = [e for e in bench.step(bench.observed(14, nonce=1)) if isinstance(e, Sign)]
    bench.do(SigningFailed(lane=ME, request_id=sign.request_id, message="unplugged"))
    assert ({}, "a is refused: unplugged") == (bench.ends, why_waiting(bench.state))

    bench.observe(15, nonce=1)

    assert ({"a": 1}, "") == (bench.flying(), why_waiting(bench.state))


def test_a_nonce_that_was_given_up_for_a_second_life_is_final() -> None:
    """A count that falls below it takes back what was final: the lane halts."""
    bench = _bench(requeue=True)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    bench.observe(15, nonce=0, reorged=True)

    assert _halted(bench)


def test_a_requeued_request_reserves_what_its_new_attempt_may_cost() -> None:
    """What its first life held is not held any more."""
    bench = _bench(requeue=True)
    bench.observe(11, nonce=1, spenders=(TAKEN,), gwei=90)
    bench.observe(14, nonce=1, gwei=10)

    assert bench.bid("a").worst_cost_wei == bench.state.reserved_wei()


def test_a_lost_nonce_is_told_without_confirmations() -> None:
    """There is no block to count them from."""
    bench = Bench(msgspec.structs.replace(LIMITS, confirmations=9))
    bench.accept("a")
    for block in range(11, 12 + SPENT_PATIENCE_BLOCKS):
        bench.observe(block, nonce=1)

    assert Replaced(by=None, nonce=0) == bench.ends["a"]


def test_a_request_has_two_lives_and_no_third() -> None:
    """A second stranger is reported, whatever was wished."""
    bench = _bench(requeue=True)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    bench.observe(15, nonce=2, spenders=(Spender(nonce=1, by=OTHER, block_number=15),))

    assert Replaced(by=OTHER, nonce=1) == bench.ends["a"]


def test_a_waiting_second_life_can_be_given_up() -> None:
    """Cancelled or late, the request ends as what it is: replaced."""
    for late in (False, True):
        bench = Bench(SHORT)
        bench.accept("a", requeue=True, deadline_block=12 if late else None)
        bench.observe(11, nonce=1, spenders=(TAKEN,))
        assert {} == bench.ends
        if late:
            bench.observe(12, nonce=1)
        else:
            bench.do(CancelAsked(lane=ME, request_id="a"))

        assert {"a": Replaced(by=STRANGER, nonce=0)} == bench.ends
        for block in range(13, 20):
            bench.observe(block, nonce=1)
        assert ({}, 1) == (bench.state.jobs, len(bench.ends))


@pytest.mark.parametrize("requeue", [False, True])
def test_a_reorg_that_removes_the_stranger_reopens_the_question(*, requeue: bool) -> None:
    """The nonce is the request's again: the same bytes are handed out and may be mined."""
    bench = _bench(requeue=requeue)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.sent()

    bench.observe(12, nonce=0, reorged=True)

    assert ([] if requeue else ["a"], ["a"]) == (bench.reopened, bench.sent())
    assert {"a": 0} == bench.flying()
    bench.observe(13, nonce=1, receipts=(bench.mined("a", 13),))
    assert isinstance(bench.ends["a"], Confirmed)


def test_another_stranger_after_a_reorg_is_another_end() -> None:
    """Who spent the nonce is asked again; the new end is told after the old one is taken back."""
    bench = _bench()
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(12, nonce=1, spenders=(TAKEN,), reorged=True)
    assert [] == bench.reopened

    other = Spender(nonce=0, by=OTHER, block_number=12)
    bench.observe(13, nonce=1, spenders=(other,), reorged=True)

    assert (["a"], Replaced(by=OTHER, nonce=0)) == (bench.reopened, bench.ends["a"])


def test_silence_after_a_reorg_takes_nothing_back() -> None:
    """A node without an answer is asked again; the same answer is no second end."""
    bench = _bench()
    mined = bench.mined("a", 11)
    bench.observe(11, nonce=1, receipts=(mined,))
    ends = dict(bench.ends)
    bench.ends.clear()

    bench.observe(12, nonce=1, reorged=True)
    assert ["a"] == [job.request_id for job in bench.state.questions(1, reorged=False)]
    bench.observe(13, nonce=1, receipts=(mined,))

    assert ([], {}, 1) == (bench.reopened, bench.ends, len(ends))
    assert {} == bench.flying()


def test_our_own_attempt_named_as_spender_is_no_stranger() -> None:
    """The node has the transaction but not yet its receipt: that will come."""
    bench = _bench()
    mined = bench.mined("a", 11)
    bench.observe(11, nonce=1, receipts=(mined,))
    own = Spender(nonce=0, by=mined.tx_hash, block_number=11)
    bench.observe(12, nonce=1, spenders=(own,), reorged=True)
    bench.observe(13, nonce=1, receipts=(mined,))

    assert ([], Confirmed) == (bench.reopened, type(bench.ends["a"]))


def test_what_was_doubted_and_then_undone_is_reopened() -> None:
    """Silence first, a lower count at the next reorg: then the end is taken back, once."""
    bench = _bench()
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(12, nonce=1, reorged=True)
    bench.observe(13, nonce=0, reorged=True)
    bench.observe(14, nonce=0, reorged=True)

    assert ["a"] == bench.reopened


def test_a_lost_nonce_is_asked_about_until_its_receipt_comes() -> None:
    """Replaced by nobody known is told for want of better, and corrected."""
    bench = _bench()
    mined = bench.mined("a", 11)
    for block in range(11, 12 + SPENT_PATIENCE_BLOCKS):
        bench.observe(block, nonce=1)
    assert Replaced(by=None, nonce=0) == bench.ends["a"]
    assert ["a"] == [job.request_id for job in bench.state.questions(1, reorged=False)]

    bench.observe(16, nonce=1, receipts=(mined,))

    assert ["a"] == bench.reopened
    assert isinstance(bench.ends["a"], Confirmed)


def test_a_lost_nonce_may_be_named_late() -> None:
    """The stranger's name corrects the report as well."""
    bench = _bench()
    for block in range(11, 12 + SPENT_PATIENCE_BLOCKS):
        bench.observe(block, nonce=1)
    bench.observe(16, nonce=1, spenders=(TAKEN,))

    assert (["a"], Replaced(by=STRANGER, nonce=0)) == (bench.reopened, bench.ends["a"])


def test_a_refusal_says_nothing_of_a_nonce_that_is_spent() -> None:
    """Refused for good, it may be because it is mined: the chain is heard first."""
    bench = Bench()
    bench.accept("a")
    bench.observe(11, nonce=1)
    bench.answer("a", Exposure.NONE, Recovery.FAIL)
    assert {} == bench.ends

    bench.observe(12, nonce=1, spenders=(TAKEN,))

    assert Replaced(by=STRANGER, nonce=0) == bench.ends["a"]


def test_ends_of_strangers_wait_for_confirmations() -> None:
    """As deep as a receipt has to be, so must the stranger's block."""
    bench = Bench(msgspec.structs.replace(LIMITS, confirmations=3))
    bench.accept("a")
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(12, nonce=1)
    assert {} == bench.ends

    bench.observe(13, nonce=1)

    assert Replaced(by=STRANGER, nonce=0) == bench.ends["a"]


def test_a_receipt_in_another_block_is_told_again_when_deep_enough() -> None:
    """An end that moved to a younger block is taken back until that one is confirmed."""
    bench = Bench(msgspec.structs.replace(LIMITS, confirmations=2))
    bench.accept("a")
    bench.observe(12, nonce=1, receipts=(bench.mined("a", 11),))
    assert isinstance(bench.ends.pop("a"), Confirmed)

    bench.observe(13, nonce=1, receipts=(bench.mined("a", 13),), reorged=True)
    assert (["a"], {}) == (bench.reopened, bench.ends)

    bench.observe(14, nonce=1)
    end = bench.ends["a"]
    assert isinstance(end, Confirmed)
    assert 13 == end.block_number


def test_phases_of_a_request() -> None:
    """Queued, prepared, broadcast, mined, confirmed, finalized."""
    bench = Bench(msgspec.structs.replace(SHORT, confirmations=2, max_in_flight=1))
    bench.accept("z")
    bench.accept("a")
    seen = [phase(bench.state.jobs["a"], bench.state)]
    bench.observe(11, nonce=1, receipts=(bench.mined("z", 11),))
    seen.append(phase(bench.state.jobs["a"], bench.state))
    bench.answer("a")
    seen.append(phase(bench.state.jobs["a"], bench.state))
    bench.observe(12, nonce=2, receipts=(bench.mined("a", 12),))
    for block in (12, 13, 15):
        bench.observe(block, nonce=2)
        seen.append(phase(bench.state.jobs["a"], bench.state))

    assert list(Phase) == seen


@pytest.mark.parametrize("foreign", [False, True])
def test_a_reorg_of_what_is_final_halts_the_lane(*, foreign: bool) -> None:
    """It goes on observing and reporting, but signs and sends nothing until it is resumed."""
    bench = _bench()
    mined = bench.mined("a", 11)
    bench.observe(11, nonce=1, receipts=() if foreign else (mined,), spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    bench.sent()

    bench.observe(15, nonce=0, reorged=True)
    bench.accept("b")
    bench.replace("a", gwei=90)
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.observe(17, nonce=0, gwei=90)

    assert (["a"], [], {"a": 0}) == (bench.reopened, bench.sent(), bench.flying())
    assert 1 == len(bench.halts)
    assert "nonce 0 of a, which was final" in why_waiting(bench.state)
    bench.do(Resumed(lane=ME))
    assert (False, True) == (_halted(bench), bench.cancelling("a"))
    assert {"a", "b"} == set(bench.sent())


def test_a_halted_lane_tells_the_ends_it_sees() -> None:
    """Receipts still count, unsent requests can still be given up, and deadlines still pass."""
    bench = _bench()
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(14, nonce=1)
    bench.observe(15, nonce=0, reorged=True)
    bench.accept("b")
    bench.accept("c", deadline_block=16)
    bench.do(CancelAsked(lane=ME, request_id="b"))
    bench.ends.pop("a")

    bench.observe(16, nonce=1, receipts=(bench.mined("a", 16),))

    assert isinstance(bench.ends["a"], Confirmed)
    assert (Cancelled(), Expired(last_block=16)) == (bench.ends["b"], bench.ends["c"])
    assert _halted(bench)


def test_a_shallow_reorg_halts_nothing() -> None:
    """One block short of finality is what chains do."""
    bench = _bench()
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(13, nonce=1)
    bench.observe(14, nonce=0, reorged=True)

    assert (["a"], False) == (bench.reopened, _halted(bench))


@pytest.mark.parametrize("foreign", [False, True])
def test_a_final_end_that_still_stands_halts_nothing(*, foreign: bool) -> None:
    """Asked again after a reorg elsewhere, the same answer is no alarm."""
    bench = _bench()
    receipts = () if foreign else (bench.mined("a", 11),)
    bench.observe(11, nonce=1, receipts=receipts, spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    bench.observe(15, nonce=1, receipts=receipts, spenders=(TAKEN,), reorged=True)
    bench.observe(16, nonce=1, reorged=True)

    assert ([], False) == (bench.reopened, _halted(bench))


def test_a_final_end_in_another_block_halts_the_lane() -> None:
    """A receipt that moved although it was final is no less alarming than one that went."""
    bench = _bench()
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(14, nonce=1)
    bench.observe(15, nonce=1, receipts=(bench.mined("a", 15),), reorged=True)

    assert _halted(bench)


def test_a_count_below_what_is_forgotten_halts_the_lane() -> None:
    """Unless the node is behind, or only one answer says so: then it is not believed."""
    for block, reorged, halts in ((20, True, True), (10, True, False), (20, False, False)):
        bench = _bench()
        bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
        bench.observe(16, nonce=1)
        assert {} == bench.state.jobs

        bench.observe(block, nonce=0, reorged=reorged)

        assert (halts, 0 if halts else 1) == (_halted(bench), bench.state.nonce)


def test_a_receipt_proves_that_its_nonce_is_spent() -> None:
    """A stale count beside a receipt of the same head gives no spent nonce out again."""
    bench = _bench()
    mined = bench.mined("a", 11)
    bench.observe(11, nonce=1, receipts=(mined,))
    bench.observe(12, nonce=0, receipts=(mined,), reorged=True)
    bench.accept("b")

    assert ([], {"b": 1}) == (bench.reopened, bench.flying())


def test_a_landed_bundle_is_not_undone_by_a_head_before_it() -> None:
    """Its builder's word may come before the block does; an older head cannot know."""
    bench = Bench()
    bench.lease("l", target_block=12)
    bench.do(LeaseSettled(lane=ME, lease_id="l", landed=True))
    bench.observe(11, nonce=0, reorged=True)
    bench.accept("a")
    assert {"a": 2} == bench.flying()

    bench.observe(12, nonce=0, reorged=True)

    assert {"fill-0-2": 0, "fill-1-3": 1, "a": 2} == bench.flying()


def test_a_count_that_stays_low_is_believed_in_the_end() -> None:
    """One node's wrong number does not block a lane for ever, and undoes nothing that was seen."""
    bench = Bench()
    bench.accept("a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(12, nonce=5)
    bench.accept("b")
    assert {"b": 5} == bench.flying()
    for block in range(13, 13 + FALLEN_PATIENCE_HEADS - 1):
        bench.observe(block, nonce=1)
        assert 5 == bench.state.nonce

    bench.observe(19, nonce=0)

    gap = {f"fill-{nonce}-{nonce + 2}": nonce for nonce in range(1, 5)}
    assert (1, {**gap, "b": 5}, []) == (bench.state.nonce, bench.flying(), bench.reopened)


def test_a_nonce_lost_to_a_wrong_count_is_found_again() -> None:
    """A count far ahead that proves to be none gives the request its nonce back."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    for block in range(11, 12 + SPENT_PATIENCE_BLOCKS):
        bench.observe(block, nonce=5)
    assert Replaced(by=None, nonce=0) == bench.ends["a"]
    for block in range(20, 20 + FALLEN_PATIENCE_HEADS):
        bench.observe(block, nonce=0)

    assert (["a"], {"a": 0}, ["a"]) == (bench.reopened, bench.flying(), bench.sent()[-1:])


def test_the_second_life_may_carry_another_payload() -> None:
    """While it waits for its new nonce a request can be replaced like any queued one."""
    bench = _bench(requeue=True)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.replace("a", TransactionRequest(to=FRIEND, gas=30_000, value=3))
    bench.observe(14, nonce=1)

    assert (1, 3) == (bench.bid("a").nonce, bench.bid("a").value)


def test_a_lane_halts_once_for_all_that_a_reorg_took_back() -> None:
    """The first reason stays; each further one would be the same alarm again."""
    bench = Bench(SHORT)
    bench.accept("a")
    bench.accept("b")
    bench.observe(11, nonce=2, receipts=(bench.mined("a", 11), bench.mined("b", 11)))
    bench.observe(14, nonce=2)
    bench.observe(15, nonce=0, reorged=True)

    assert [bench.state.halted] == bench.halts
    assert ["a", "b"] == bench.reopened


def test_another_spender_of_a_final_nonce_halts_the_lane() -> None:
    """Also where both are strangers: a final block was replaced."""
    bench = _bench()
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    other = Spender(nonce=0, by=OTHER, block_number=15)
    bench.observe(15, nonce=1, spenders=(other,), reorged=True)

    assert (True, ["a"]) == (_halted(bench), bench.reopened)


@pytest.mark.parametrize("end", ["another stranger", "our own attempt", "unspent"])
def test_a_final_end_that_moves_to_a_newer_block_is_no_less_final(end: str) -> None:
    """Two reorgs are no way round the alarm of one: the second need not be deep."""
    bench = _bench()
    mined = bench.mined("a", 15)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    moved = msgspec.structs.replace(TAKEN, block_number=14)
    bench.observe(15, nonce=1, spenders=(moved,), reorged=True)
    assert (False, []) == (_halted(bench), bench.reopened)

    bench.observe(
        16,
        nonce=0 if end == "unspent" else 1,
        receipts=(mined,) if end == "our own attempt" else (),
        spenders=(Spender(nonce=0, by=OTHER, block_number=15),) if end.startswith("an") else (),
        reorged=True,
    )

    assert (True, ["a"]) == (_halted(bench), bench.reopened)


def test_a_stranger_that_moves_before_it_is_final_is_counted_anew() -> None:
    """One block short of finality another block is what chains do, twice over."""
    bench = _bench()
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(13, nonce=1)
    moved = msgspec.structs.replace(TAKEN, block_number=14)
    bench.observe(14, nonce=1, spenders=(moved,), reorged=True)
    bench.observe(15, nonce=0, reorged=True)

    assert (["a"], False) == (bench.reopened, _halted(bench))
