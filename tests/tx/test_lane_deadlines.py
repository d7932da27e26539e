"""Deadlines in blocks: cancelled before they can be missed, where that is needed."""

import pytest

from tests.tx.bench import ETHER, GWEI, ME, STRANGER, Bench, quote
from toolkit.model.errors import Recovery
from toolkit.model.tx import Cancelled, Confirmed, Expired, Exposure, Replaced, Urgency
from toolkit.tx.events import CancelAsked, Observed, Spender


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_a_pool_may_hold_is_cancelled_one_head_early(bench: Bench) -> None:
    """The cancellation competes for the last block itself; whichever wins is the truth."""
    for number, end in enumerate((Confirmed, Expired)):
        bench = Bench()
        bench.accept("a", deadline_block=13, value=7)
        bench.answer("a")
        bench.observe(11)
        assert not bench.cancelling("a")
        bench.observe(12)
        assert (True, ME, 0) == (bench.cancelling("a"), bench.bid("a").to, bench.bid("a").value)

        bench.observe(13, nonce=1, receipts=(bench.mined("a", 13, number=number),))

        assert end is type(bench.ends["a"])


def test_an_unanswered_hand_over_counts_as_in_a_pool(bench: Bench) -> None:
    """Nobody said that it did not arrive."""
    bench.accept("a", deadline_block=13)
    bench.observe(12)

    assert bench.cancelling("a")


def test_what_was_first_sent_for_its_last_block_gets_that_block(bench: Bench) -> None:
    """It is not outbid before anybody could mine it, but one head later."""
    bench.observe(11)
    bench.accept("a", deadline_block=12)
    bench.answer("a")
    bench.observe(11)
    assert not bench.cancelling("a")

    bench.observe(12)

    assert bench.cancelling("a")


def test_what_only_relays_hold_runs_to_its_last_block(bench: Bench) -> None:
    """They are asked for one block at a time, so nothing is paid to outbid it early."""
    bench.accept("a", deadline_block=13, destinations=("relay",))
    bench.answer("a", Exposure.PRIVATE, destination="relay")
    bench.observe(11)
    bench.answer("a", Exposure.UNKNOWN, destination="relay")
    bench.accept("b", deadline_block=13, destinations=("relay",))
    bench.sent()
    bench.observe(12)
    assert (False, False) == (bench.cancelling("a"), bench.cancelling("b"))
    assert ["a"] == bench.sent()

    bench.observe(13)

    assert (True, True) == (bench.cancelling("a"), bench.cancelling("b"))
    assert {13} == {send.target_block - 1 for send in bench.sends}


def test_what_nobody_has_is_tried_until_the_last_block_and_expires(bench: Bench) -> None:
    """A refused request and a queued one end without a transaction, when they are late."""
    for name in "abcd":
        bench.accept(name, deadline_block=13)
    bench.answer("c", Exposure.NONE, Recovery.WAIT)
    bench.observe(12)
    assert not bench.cancelling("c")
    bench.answer("c", Exposure.NONE, Recovery.WAIT)

    bench.observe(13)

    assert {"c": Expired(last_block=13), "d": Expired(last_block=13)} == bench.ends


def test_a_cancellation_pays_for_the_next_block(bench: Bench) -> None:
    """However relaxed the request was, getting rid of it is urgent."""
    bench.accept("a", deadline_block=40)
    bench.answer("a")
    wishes = {urgency.name: quote(20) for urgency in Urgency} | {"NEXT_BLOCK": quote(70)}
    seen = Observed(lane=ME, block=39, nonce=0, balance_wei=ETHER, quotes=wishes)
    bench.do(seen)

    assert 70 * GWEI == bench.bid("a").max_fee_per_gas


def test_a_deadline_holds_for_what_a_reorg_brings_back(bench: Bench) -> None:
    """Mined in time and taken back too late, it is cancelled at once."""
    bench.accept("a", deadline_block=13)
    bench.answer("a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.accept("b", deadline_block=90)
    bench.observe(14, nonce=1)
    assert {"b": 1} == bench.flying()

    bench.observe(15, nonce=0, reorged=True)

    assert bench.cancelling("a")
    assert not bench.cancelling("b")


def test_a_spent_nonce_is_not_given_up(bench: Bench) -> None:
    """Late or not, who spent it is found out first."""
    bench.accept("a", deadline_block=13)
    bench.answer("a", Exposure.NONE, Recovery.WAIT)
    bench.observe(13, nonce=1)
    assert {} == bench.ends
    bench.observe(14, nonce=1, spenders=(Spender(nonce=0, by=STRANGER),))

    assert Replaced(by=STRANGER, nonce=0) == bench.ends["a"]


def test_deadlines_far_away_cost_nothing(bench: Bench) -> None:
    """The lane knows the first head at which a deadline asks for anything."""
    bench.accept("a", deadline_block=900)
    bench.accept("b", deadline_block=500)
    assert 499 == bench.state.alarm_block

    bench.observe(499)

    assert (899, True) == (bench.state.alarm_block, bench.cancelling("b"))


def test_what_its_author_gave_up_is_cancelled_and_not_expired(bench: Bench) -> None:
    """Where both the author and the deadline wanted it gone, the author's word names the end."""
    bench.accept("a", deadline_block=13)
    bench.answer("a")
    bench.observe(12)
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.observe(13, nonce=1, receipts=(bench.mined("a", 13),))

    assert isinstance(bench.ends["a"], Cancelled)


def test_a_cancellation_that_is_asked_for_is_as_urgent(bench: Bench) -> None:
    """Every block that it waits the original may be mined in."""
    wishes = {urgency.name: quote(20) for urgency in Urgency} | {"NEXT_BLOCK": quote(70)}
    bench.accept("a")
    bench.answer("a")
    bench.do(Observed(lane=ME, block=11, nonce=0, balance_wei=ETHER, quotes=wishes))
    bench.do(CancelAsked(lane=ME, request_id="a"))

    assert 70 * GWEI == bench.bid("a").max_fee_per_gas
