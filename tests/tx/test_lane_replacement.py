"""What the author changes his mind about: another payload, higher fees, no transaction at all."""

import msgspec
import pytest

from tests.tx.bench import ETHER, FRIEND, GWEI, LIMITS, ME, Bench, quote
from toolkit.model.errors import Recovery
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    Exposure,
    Reverted,
    TransactionRequest,
    Urgency,
    bumped,
)
from toolkit.tx.events import CancelAsked, Fail, ReplaceAsked, Sign, SigningFailed
from toolkit.tx.progress import why_waiting

OTHER = TransactionRequest(to=FRIEND, gas=50_000, value=9)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.accept("a", value=7)
    bench.answer("a")
    return bench


def test_another_payload_of_a_queued_request_is_just_swapped(bench: Bench) -> None:
    """Without a nonce nothing has to be outbid; the first attempt carries the newest payload."""
    for name in "bcd":
        bench.accept(name)
    bench.replace("d", OTHER, gwei=30)
    assert bench.nonces()["d"] is None

    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))

    bid = bench.bid("d")
    assert (9, 50_000, 30 * GWEI) == (bid.value, bid.gas, bid.max_fee_per_gas)
    assert 1 == bench.state.jobs["d"].last.version


def test_a_higher_ceiling_is_no_other_version(bench: Bench) -> None:
    """Whichever payload is wanted keeps its number, and the new ceiling, when only fees rise."""
    bench.replace("a", msgspec.structs.replace(OTHER, max_fee_per_gas=30 * GWEI), gwei=30)
    bench.do(
        ReplaceAsked(
            lane=ME,
            request_id="a",
            request=None,
            urgency=Urgency.NEXT_BLOCK,
            quote=quote(90),
            own_cap=90 * GWEI,
        )
    )

    job = bench.state.jobs["a"]
    assert (1, 90 * GWEI, 9) == (job.last.version, bench.bid("a").fee_cap, bench.bid("a").value)
    assert [None, 90 * GWEI] == [one.max_fee_per_gas for one in job.payloads]


@pytest.mark.parametrize(("gwei", "cap"), [(5, bumped(20 * GWEI)), (60, 60 * GWEI)])
def test_another_payload_outbids_the_old_one_at_the_same_nonce(
    bench: Bench, gwei: int, cap: int
) -> None:
    """Both fields are bumped, and at least the given quote is bid, at once."""
    bench.sent()
    bench.replace("a", OTHER, gwei=gwei)

    bid = bench.bid("a")
    assert (0, 9, cap, bumped(GWEI)) == (
        bid.nonce,
        bid.value,
        bid.max_fee_per_gas,
        bid.max_priority_fee_per_gas,
    )
    assert ["a"] == bench.sent()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("succeeded", [True, False])
def test_the_outcome_tells_which_payload_was_mined(
    bench: Bench, *, number: int, succeeded: bool
) -> None:
    """The chain decides between old and new; `version` says whose turn it was."""
    bench.replace("a", OTHER)
    bench.answer("a")
    mined = bench.mined("a", 11, number=number, succeeded=succeeded)
    bench.observe(11, nonce=1, receipts=(mined,))

    end = bench.ends["a"]
    assert isinstance(end, Confirmed if succeeded else Reverted)
    assert (number, mined.tx_hash) == (end.version, end.tx_hash)


def test_a_bump_of_the_new_payload_keeps_its_version(bench: Bench) -> None:
    """Versions count what the author asked for, not attempts."""
    bench.replace("a", OTHER)
    bench.answer("a")
    bench.observe(12, gwei=90)
    bench.observe(13, nonce=1, receipts=(bench.mined("a", 13),))

    end = bench.ends["a"]
    assert isinstance(end, Confirmed)
    assert (3, 1) == (bench.tries("a"), end.version)


def test_a_speed_up_bids_the_same_again_at_once(bench: Bench) -> None:
    """Higher fees need neither two blocks of patience nor a risen market."""
    bench.replace("a", gwei=20)

    bid = bench.bid("a")
    assert (7, bumped(20 * GWEI)) == (bid.value, bid.max_fee_per_gas)


def test_a_replacement_beyond_the_ceiling_is_asked_for_until_it_fits(bench: Bench) -> None:
    """Where even the bump costs too much the old attempt stands, the lane says why, and asks on."""
    dear = msgspec.structs.replace(OTHER, gas=LIMITS.max_cost_wei // (21 * GWEI))
    bench.replace("a", dear)
    bench.observe(11)
    assert (1, True) == (bench.tries("a"), "fee ceiling" in why_waiting(bench.state))

    limits = msgspec.structs.replace(LIMITS, max_cost_wei=2 * LIMITS.max_cost_wei)
    bench.do(msgspec.structs.replace(bench.opened, limits=limits))
    bench.observe(12)

    assert (2, dear.gas) == (bench.tries("a"), bench.bid("a").gas)


def test_the_quote_asked_for_is_bounded_by_the_ceiling(bench: Bench) -> None:
    """A wish above the ceiling bids the ceiling."""
    bench.replace("a", gwei=10**6)

    assert LIMITS.max_cost_wei // 21_000 == bench.bid("a").max_fee_per_gas


def test_a_replacement_that_the_account_cannot_pay_waits_for_funds(bench: Bench) -> None:
    """What is promised to other nonces is not promised again."""
    bench.observe(11, balance_wei=10**15)
    bench.replace("a", msgspec.structs.replace(OTHER, value=ETHER))
    assert 1 == bench.tries("a")
    assert "insufficient funds" in why_waiting(bench.state)

    bench.observe(12, balance_wei=2 * ETHER)

    assert ETHER == bench.bid("a").value


def test_a_cancelled_request_is_not_resurrected(bench: Bench) -> None:
    """Higher fees speed the cancellation up; another payload comes too late."""
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.answer("a")
    bench.replace("a", OTHER, gwei=60)
    assert 2 == bench.tries("a")

    bench.replace("a", gwei=60)

    bid = bench.bid("a")
    assert (3, ME, 0, 60 * GWEI) == (bench.tries("a"), bid.to, bid.value, bid.max_fee_per_gas)
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    assert isinstance(bench.ends["a"], Cancelled)


def test_an_unsigned_cancellation_that_is_sped_up_is_a_cancellation() -> None:
    """Also where the cancellation itself had to wait for room below the ceiling."""
    bench = Bench(msgspec.structs.replace(LIMITS, max_cost_wei=21_000 * 20 * GWEI))
    bench.accept("a", value=7)
    bench.answer("a")
    bench.do(CancelAsked(lane=ME, request_id="a"))
    assert not bench.cancelling("a")

    bench.do(msgspec.structs.replace(bench.opened, limits=LIMITS))
    bench.replace("a", gwei=30)

    assert (True, ME) == (bench.cancelling("a"), bench.bid("a").to)


def test_what_is_not_wanted_any_more_is_not_handed_out_again() -> None:
    """While its cancellation cannot be paid for, the unwanted bytes stay where they are."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, balance_wei=0)
    bench.answer("a")
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.sent()
    bench.observe(12, balance_wei=0)

    assert ([], False) == (bench.sent(), bench.cancelling("a"))
    assert "insufficient funds" in why_waiting(bench.state)


def test_what_is_mined_is_not_replaced(bench: Bench) -> None:
    """Too late is too late, for payloads and for fees."""
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    before = bench.state
    bench.replace("a", OTHER)
    bench.replace("nobody", OTHER)

    assert before == bench.state


def test_a_new_payload_refused_for_good_leaves_the_old_one_in_force(bench: Bench) -> None:
    """What is out is stood by: it is handed out again, and the refused payload is not repeated."""
    bench.replace("a", OTHER)
    bench.answer("a", Exposure.NONE, Recovery.FAIL)
    bench.sent()
    for block in (11, 12, 13):
        bench.observe(block, gwei=90)
        bench.answer("a", number=0)

    assert (["a"] * 3, 2, {}) == (bench.sent(), bench.tries("a"), bench.ends)
    assert {7} == {send.signed.unsigned.value for send in [*bench.sends]} | {bench.bid("a").value}
    bench.observe(14, nonce=1, receipts=(bench.mined("a", 14, number=0),))
    end = bench.ends["a"]
    assert isinstance(end, Confirmed)
    assert 0 == end.version


def test_a_refusal_for_good_fails_only_what_was_never_out() -> None:
    """A gas limit that is refused ends a request; a bump that is refused does not."""
    bench = Bench()
    bench.accept("a")
    bench.accept("b")
    bench.answer("a")
    bench.answer("b", Exposure.NONE, Recovery.FAIL)
    bench.replace("a", gwei=60)
    bench.answer("a", Exposure.NONE, Recovery.FAIL)

    assert ["b"] == [name for name, end in bench.ends.items() if isinstance(end, Fail)]


def test_a_bump_refused_for_good_still_lets_the_author_bid_higher(bench: Bench) -> None:
    """Each attempt bids more than every earlier one, also than those that were refused."""
    bench.replace("a", gwei=60)
    bench.answer("a", Exposure.NONE, Recovery.FAIL)
    bench.replace("a", gwei=20)

    assert bumped(60 * GWEI) == bench.bid("a").max_fee_per_gas


def test_an_attempt_signed_for_what_has_failed_is_let_go() -> None:
    """A refusal for good may come while a replacement is at the signer."""
    bench = Bench()
    bench.accept("a")
    prepared = bench.state.jobs["a"].last.signed
    bench.answer("a", Exposure.NONE, Recovery.FAIL)
    bench.sent()
    bench.prepared("a", prepared)

    assert ({}, []) == (bench.state.jobs, bench.sent())


def test_one_cancellation_is_enough(bench: Bench) -> None:
    """It is handed out again, not signed again."""
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.answer("a")
    bench.do(CancelAsked(lane=ME, request_id="a"))
    for block in (11, 12, 13):
        bench.observe(block)

    assert (2, True) == (bench.tries("a"), bench.cancelling("a"))


def test_a_dear_attempt_stays_reserved_behind_a_cheap_one() -> None:
    """Either may still be mined, so the account must be good for the dearest."""
    bench = Bench()
    bench.accept("a", value=ETHER // 2)
    bench.answer("a")
    held = bench.state.reserved_wei()
    bench.do(CancelAsked(lane=ME, request_id="a"))

    assert (True, held) == (bench.cancelling("a"), bench.state.reserved_wei())


def test_a_raised_bid_that_is_taken_is_raised_no_more(bench: Bench) -> None:
    """A refusal as too cheap is answered once."""
    bench.replace("a")
    bench.answer("a", Exposure.NONE, Recovery.RAISE_FEES)
    bench.observe(11)
    bench.answer("a")
    for block in (12, 13, 14):
        bench.observe(block)

    assert 3 == bench.tries("a")


def test_a_replacement_that_cannot_be_signed_leaves_the_request_as_it_was(bench: Bench) -> None:
    """The older attempt stands, and the next head asks again."""
    asked = ReplaceAsked(
        lane=ME, request_id="a", request=OTHER, urgency=Urgency.SOON, quote=quote(20)
    )
    assert [Sign] == [type(effect) for effect in bench.step(asked)]
    bench.do(SigningFailed(lane=ME, request_id="a", message="unplugged"))
    assert ({}, {"a": 0}, 1) == (bench.ends, bench.flying(), bench.tries("a"))

    bench.observe(11)

    assert 9 == bench.bid("a").value


def test_a_cancellation_refused_for_good_is_not_signed_anew_at_each_head(bench: Bench) -> None:
    """The same bytes are asked for again; another empty transfer follows as any replacement does.

    What is out is still not wanted.
    """
    bench.do(CancelAsked(lane=ME, request_id="a"))
    seen = []
    for block in range(11, 16):
        bench.answer("a", Exposure.NONE, Recovery.FAIL)
        bench.observe(block)
        seen.append((bench.tries("a"), bench.cancelling("a")))

    assert ({}, [(n, True) for n in (2, 3, 3, 4, 4)]) == (bench.ends, seen)


def test_a_cancellation_that_comes_after_the_receipt_is_forgotten(bench: Bench) -> None:
    """Nobody wants it gone any more when a reorg brings it back: it is simply sent again."""
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.observe(12, nonce=0, reorged=True)

    assert (False, ["a"]) == (bench.cancelling("a"), bench.reopened)
