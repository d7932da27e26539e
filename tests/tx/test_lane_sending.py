"""What is handed out again, what is bid higher, and what is left alone."""

import msgspec
import pytest

from tests.tx.bench import ETHER, GWEI, LIMITS, ME, OWNER, Bench
from toolkit.model.errors import Recovery
from toolkit.model.tx import Exposure
from toolkit.tx.events import CancelAsked, Sign


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.sent()
    return bench


def test_a_block_that_was_seen_is_no_reason_to_send_again(bench: Bench) -> None:
    """Once a head, and not for a nonce that is spent."""
    bench.observe(10)
    assert [] == bench.sent()
    bench.observe(11)
    assert ["a"] == bench.sent()
    bench.answer("a")

    bench.observe(12, nonce=1)

    assert [] == bench.sent()


def test_what_is_outbid_is_not_handed_out_beside_what_outbids_it(bench: Bench) -> None:
    """Only the new attempt goes out at that head."""
    bench.observe(12, gwei=50)

    assert [1] == [send.number for send in bench.sends]


def test_the_authors_own_cap_bounds_every_bid() -> None:
    """The market may leave a request behind that said how much it is worth."""
    bench = Bench()
    bench.accept("a", max_fee_per_gas=21 * GWEI)
    bench.answer("a")
    bench.observe(12, gwei=90)

    assert (1, 21 * GWEI) == (bench.tries("a"), bench.bid("a").max_fee_per_gas)


def test_a_refusal_of_bytes_that_are_out_does_not_stop_a_bump(bench: Bench) -> None:
    """Some pool has them, so a higher bid can take their place."""
    bench.observe(11)
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="InsufficientFunds")
    bench.observe(12, gwei=90)

    assert 2 == bench.tries("a")


def test_a_cheaper_cancellation_needs_no_funds(bench: Bench) -> None:
    """It costs less than what its nonce holds, however poor the account has become."""
    bench.accept("b", value=ETHER // 2)
    bench.answer("b")
    bench.observe(11, balance_wei=0)
    bench.do(CancelAsked(lane=ME, request_id="b"))

    assert bench.cancelling("b")


def test_a_spent_nonce_is_not_bid_for(bench: Bench) -> None:
    """Higher fees come too late, whoever spent it."""
    bench.observe(11, nonce=1)
    bench.replace("a", gwei=90)

    assert 1 == bench.tries("a")


def test_a_gap_that_a_request_takes_is_not_filled_as_well(bench: Bench) -> None:
    """One nonce is given out once in a step."""
    bench.accept("b")
    bench.accept("c")
    bench.accept("d")
    bench.answer("b", Exposure.NONE, Recovery.FAIL)
    bench.observe(11)

    assert {"a": 0, "c": 2, "d": 1} == bench.nonces()


def test_a_filler_goes_where_those_are_that_hang_on_it(bench: Bench) -> None:
    """Places of requests below the gap have no use for it."""
    bench.accept("b", destinations=("relay",))
    bench.accept("c", destinations=("relay",))
    bench.answer("b", Exposure.NONE, Recovery.FAIL, destination="relay")
    bench.observe(11)

    (filler,) = [job for job in bench.state.in_flight() if job.nonce == 1]
    assert ("relay",) == filler.destinations


def test_what_was_signed_when_the_lane_halted_stays_unsent() -> None:
    """It is handed out when somebody resumes the lane, and not before."""
    bench = Bench(msgspec.structs.replace(LIMITS, finality_blocks=4, keep_blocks=4))
    bench.accept("a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(14, nonce=1)
    bench.accept("b")
    (sign,) = [e for e in bench.step(bench.replaced("b", gwei=60)) if isinstance(e, Sign)]
    bench.observe(15, nonce=0, reorged=True)
    bench.sent()

    bench.prepared_as(sign, OWNER.sign_transaction_now(sign.unsigned))
    bench.replace("b", gwei=900)

    assert ([], 2) == (bench.sent(), bench.tries("b"))
