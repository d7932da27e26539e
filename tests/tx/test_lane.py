import msgspec
import pytest

from tests.tx.bench import ETHER, FRIEND, GWEI, LIMITS, ME, STRANGER, Bench, quotes
from toolkit.model.errors import Recovery
from toolkit.model.tx import (
    Cancelled,
    Confirmed,
    Expired,
    Exposure,
    Replaced,
    Reverted,
    TransactionRequest,
    Urgency,
    bumped,
)
from toolkit.tx.events import (
    Accepted,
    CancelAsked,
    Fail,
    SigningFailed,
    Spender,
)
from toolkit.tx.lane import SPENT_PATIENCE_BLOCKS, step


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_requests_get_consecutive_nonces_up_to_the_window(bench: Bench) -> None:
    """Order is kept; what exceeds the window waits without a nonce and follows later."""
    for name in "abcde":
        bench.accept(name)

    assert {"a": 0, "b": 1, "c": 2, "d": None, "e": None} == bench.nonces()
    bench.observe(11, nonce=2, receipts=(bench.mined("a", 11), bench.mined("b", 11)))
    assert (3, 4) == (bench.nonces()["d"], bench.nonces()["e"])


def test_a_mined_request_is_reported_under_its_confirmations() -> None:
    """Success and failure are told by the receipt, once, when they are deep enough."""
    bench = Bench(msgspec.structs.replace(LIMITS, confirmations=2))
    bench.accept("a")
    bench.accept("b")
    mined = (bench.mined("a", 11), bench.mined("b", 11, succeeded=False))
    bench.observe(11, nonce=2, receipts=mined)

    assert {} == bench.ends
    bench.observe(12, nonce=2)
    assert [Confirmed, Reverted] == [type(bench.ends[name]) for name in "ab"]


def test_a_mined_request_is_forgotten_when_no_reorg_can_reach_it(bench: Bench) -> None:
    """The lane's memory is bounded by blocks."""
    bench.accept("a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))

    bench.observe(11 + LIMITS.watch_blocks - 1, nonce=1)
    assert "a" in bench.state.jobs
    bench.observe(11 + LIMITS.watch_blocks, nonce=1)
    assert ({}, 1) == (bench.state.jobs, bench.state.settled_nonce)


def test_refused_for_good_frees_the_nonce_and_the_next_request_takes_it(bench: Bench) -> None:
    """A payload that can never be accepted fails; the gap it leaves is filled first."""
    for name in "abc":
        bench.accept(name)
    bench.answer("b")
    bench.answer("c")
    bench.answer("a", Exposure.NONE, Recovery.FAIL)
    bench.accept("d")

    assert isinstance(bench.ends["a"], Fail)
    assert {"b": 1, "c": 2, "d": 0} == bench.nonces()


def test_a_gap_below_exposed_nonces_is_spent_on_nothing(bench: Bench) -> None:
    """Without a request to use it, a freed nonce is filled by an empty self-transfer."""
    bench.accept("a")
    bench.accept("b")
    bench.answer("b")
    bench.answer("a", Exposure.NONE, Recovery.FAIL)

    bench.observe(11)

    filler = bench.state.jobs["fill-0-3"]
    assert (0, ME, 0) == (filler.nonce, filler.request.to, filler.request.value)


def test_a_gap_at_the_end_is_left_to_the_next_request(bench: Bench) -> None:
    """Nothing hangs on the highest nonce, so nothing is paid to fill it."""
    bench.accept("a")
    bench.accept("b")
    bench.answer("a")
    bench.answer("b", Exposure.NONE, Recovery.FAIL)

    bench.observe(11)

    assert {"a": 0} == bench.nonces()


def test_a_refusal_proves_nothing_about_bytes_that_were_out_before(bench: Bench) -> None:
    """After an unknown answer a clear refusal leaves the attempt exposed and its nonce held."""
    bench.accept("a")
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    bench.answer("a", Exposure.NONE, Recovery.FAIL)

    assert {"a": 0} == bench.nonces()
    assert bench.state.jobs["a"].exposed


def test_bytes_handed_out_again_are_exposed_again(bench: Bench) -> None:
    """A refusal of the first hand-over says nothing about the second, which is on its way."""
    bench.accept("a")
    bench.answer("a", Exposure.NONE, Recovery.WAIT)
    bench.observe(11)
    bench.do(CancelAsked(lane=ME, request_id="a"))

    assert {} == bench.ends
    assert bench.cancelling("a")


def test_one_hand_over_at_a_time(bench: Bench) -> None:
    """While an answer is awaited the same bytes are not handed to that destination again."""
    bench.accept("a")
    bench.sends.clear()
    bench.observe(11)

    assert [] == bench.sends
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    bench.observe(12)
    assert ["a"] == [send.request_id for send in bench.sends]


def test_journalled_attempts_count_as_sent_after_a_restart(bench: Bench) -> None:
    """A new process cannot know, so it assumes exposure and hands the same bytes out again."""
    bench.accept("a")
    before = bench.sends.pop()

    bench.do(bench.opened)
    bench.answer("a", Exposure.NONE, Recovery.WAIT)
    bench.observe(10)

    assert bench.state.jobs["a"].exposed
    assert before.signed == bench.sends.pop().signed


def test_signing_failure_uses_no_nonce(bench: Bench) -> None:
    """What was never signed is not there: the next request takes the same nonce."""
    accepted = Accepted(
        lane=ME,
        request_id="a",
        request=TransactionRequest(to=FRIEND, gas=21_000),
        urgency=Urgency.SOON,
        deadline_block=None,
        destinations=("public",),
        quote=quotes(20)["SOON"],
        balance_wei=ETHER,
    )
    bench.step(accepted)
    bench.do(SigningFailed(lane=ME, request_id="a", message="no"))
    bench.accept("b")

    assert isinstance(bench.ends["a"], Fail)
    assert {"b": 0} == bench.nonces()


def test_the_head_of_the_line_is_replaced_when_the_market_rises(bench: Bench) -> None:
    """After the set blocks the first unspent nonce bids the market; those behind it keep theirs."""
    bench.accept("a")
    bench.accept("b")
    bench.answer("a")
    bench.answer("b")

    bench.observe(11, gwei=50)
    assert 1 == len(bench.state.jobs["a"].tries)
    bench.observe(12, gwei=50)

    assert [2, 1] == [len(bench.state.jobs[name].tries) for name in "ab"]
    bid = bench.state.jobs["a"].last.signed.unsigned
    assert (50 * GWEI, bumped(GWEI)) == (bid.max_fee_per_gas, bid.max_priority_fee_per_gas)


def test_no_replacement_while_the_market_asks_for_no_more(bench: Bench) -> None:
    """A stuck attempt above the market is handed out again, not bid up."""
    bench.accept("a")
    bench.answer("a")
    bench.sends.clear()

    for block in range(11, 20):
        bench.observe(block)

    assert 1 == len(bench.state.jobs["a"].tries)
    assert 9 == len(bench.sends)


def test_replacement_stops_at_the_ceiling(bench: Bench) -> None:
    """No attempt may cost more than the limit; at the limit the last one stands."""
    bench.accept("a")
    bench.answer("a")
    for block in range(11, 40):
        bench.observe(block, gwei=10_000)

    bid = bench.state.jobs["a"].last.signed.unsigned
    assert LIMITS.max_cost_wei // 21_000 == bid.max_fee_per_gas
    assert 2 == len(bench.state.jobs["a"].tries)


def test_a_refusal_as_too_cheap_raises_the_fees_at_the_next_head(bench: Bench) -> None:
    """Underpriced is answered with a bump without waiting, also behind the head of the line."""
    bench.accept("a")
    bench.accept("b")
    bench.answer("a")
    bench.answer("b", Exposure.NONE, Recovery.RAISE_FEES)

    bench.observe(11)

    assert [1, 2] == [len(bench.state.jobs[name].tries) for name in "ab"]


def test_a_late_refusal_of_an_older_attempt_raises_nothing(bench: Bench) -> None:
    """Only the attempt that is meant to be mined can be too cheap."""
    bench.accept("a")
    bench.answer("a", Exposure.UNKNOWN)
    bench.observe(12, gwei=50)
    bench.answer("a", Exposure.PUBLIC)
    bench.answer("a", Exposure.NONE, Recovery.RAISE_FEES, number=0)
    bench.observe(13, gwei=50)

    assert 2 == len(bench.state.jobs["a"].tries)


def test_cancelling_what_nobody_has_ends_at_once(bench: Bench) -> None:
    """A queued request and a refused one are cancelled without a transaction."""
    for name in "abcd":
        bench.accept(name)
    bench.answer("c", Exposure.NONE, Recovery.WAIT)

    bench.do(CancelAsked(lane=ME, request_id="d"))
    bench.do(CancelAsked(lane=ME, request_id="c"))

    assert {"d": Cancelled(), "c": Cancelled()} == bench.ends


def test_cancelling_what_may_be_out_spends_the_nonce_on_nothing(bench: Bench) -> None:
    """The outcome is the mined one's: cancelled if the self-transfer won, executed if it lost."""
    for winner, end in enumerate((Confirmed, Cancelled)):
        bench = Bench()
        bench.accept("a", value=7)
        bench.answer("a")
        bench.do(CancelAsked(lane=ME, request_id="a"))
        cancel = bench.state.jobs["a"].last.signed.unsigned
        bench.observe(11, nonce=1, receipts=(bench.mined("a", 11, number=winner),))

        assert (ME, 0, 0) == (cancel.to, cancel.value, cancel.nonce)
        assert end is type(bench.ends["a"])


def test_a_deadline_cancels_before_the_next_block_can_take_it(bench: Bench) -> None:
    """One head before its last block a public request is outbid by nothing; unsent ones end."""
    for name in "abcd":
        bench.accept(name, deadline_block=13)
    bench.answer("a")

    bench.observe(11)
    assert not bench.cancelling("a")
    bench.observe(12)

    assert bench.cancelling("a")
    assert {} == bench.ends
    bench.observe(13, nonce=1, receipts=(bench.mined("a", 13),))
    assert Expired(last_block=13) == bench.ends["d"]
    assert isinstance(bench.ends["a"], Expired)
    assert bench.state.jobs["a"].last.signed.hash == bench.ends["a"].tx_hash


def test_a_nonce_spent_by_a_stranger_ends_the_request_as_replaced(bench: Bench) -> None:
    """The stranger is named; a node that lags behind itself gets a few heads to find a receipt."""
    bench.accept("a")
    bench.accept("b")
    bench.answer("a")

    bench.observe(11, nonce=1)
    assert "a" in bench.state.jobs
    bench.observe(12, nonce=1, spenders=(Spender(nonce=0, by=STRANGER),))

    assert Replaced(by=STRANGER, nonce=0) == bench.ends["a"]
    assert [("b", 1)] == [(job.request_id, job.nonce) for job in bench.state.in_flight()]


def test_a_spent_nonce_is_not_cancelled(bench: Bench) -> None:
    """Once the chain has spent the nonce, nothing more is signed and the truth is awaited."""
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, nonce=1)
    bench.do(CancelAsked(lane=ME, request_id="a"))

    assert ({}, 1) == (bench.ends, len(bench.state.jobs["a"].tries))
    bench.observe(12, nonce=1, receipts=(bench.mined("a", 11),))
    assert isinstance(bench.ends["a"], Confirmed)


def test_an_unnamed_spender_is_waited_for_and_then_reported(bench: Bench) -> None:
    """Where nobody can say who spent the nonce, the request still ends."""
    bench.accept("a")
    for block in range(11, 11 + SPENT_PATIENCE_BLOCKS):
        bench.observe(block, nonce=1)

    assert {} == bench.ends
    bench.observe(20, nonce=1)
    assert Replaced(by=None, nonce=0) == bench.ends["a"]


def test_a_receipt_that_is_late_is_not_a_stranger(bench: Bench) -> None:
    """When the spender is our own attempt, the lane waits for its receipt as long as it takes."""
    bench.accept("a")
    own = Spender(nonce=0, by=bench.state.jobs["a"].last.signed.hash)
    for block in range(11, 30):
        bench.observe(block, nonce=1, spenders=(own,))

    assert {} == bench.ends
    bench.observe(30, nonce=1, receipts=(bench.mined("a", 11),))
    assert isinstance(bench.ends["a"], Confirmed)


def test_a_reorg_returns_a_mined_request_to_broadcast(bench: Bench) -> None:
    """What a reorg takes back is handed out again, and its new end is reported once."""
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.sends.clear()

    bench.observe(12, nonce=0, reorged=True)

    assert (["a"], ["a"]) == (bench.reopened, [send.request_id for send in bench.sends])
    bench.observe(13, nonce=1, receipts=(bench.mined("a", 13),))
    assert 13 == msgspec.structs.asdict(bench.ends["a"])["block_number"]  # type: ignore[arg-type]


def test_a_reorg_may_put_an_older_attempt_in(bench: Bench) -> None:
    """The outcome names the hash that the canonical chain has now."""
    bench.accept("a")
    bench.answer("a")
    bench.observe(12, gwei=50)
    bench.observe(13, nonce=1, receipts=(bench.mined("a", 13, number=1),))
    older = bench.mined("a", 13, number=0)
    bench.observe(14, nonce=1, receipts=(older,), reorged=True)

    outcome = bench.ends["a"]
    assert isinstance(outcome, Confirmed)
    assert older.tx_hash == outcome.tx_hash


def test_a_stale_count_never_reopens_a_nonce(bench: Bench) -> None:
    """Without a reorg the account's count does not fall, whatever a lagging node says."""
    bench.observe(11, nonce=5)
    bench.observe(12, nonce=3)
    bench.accept("a")

    assert {"a": 5} == bench.nonces()


def test_funds_are_reserved_across_everything_in_flight(bench: Bench) -> None:
    """A request waits while those before it may need the money, and goes when there is some."""
    cost = 21_000 * 20 * GWEI
    bench.observe(11, balance_wei=2 * cost)
    for name in "abc":
        bench.accept(name)

    assert {"a": 0, "b": 1, "c": None} == bench.nonces()
    assert 2 * cost == bench.state.reserved_wei()
    bench.observe(12, balance_wei=3 * cost)
    assert 2 == bench.nonces()["c"]


def test_a_waiting_request_is_never_overtaken(bench: Bench) -> None:
    """A cheap request does not pass a dear one: it may depend on it."""
    bench.observe(11, balance_wei=ETHER // 2)
    bench.accept("a", value=ETHER)
    bench.accept("b")

    assert {"a": None, "b": None} == bench.nonces()


def test_step_changes_no_value_it_was_given(bench: Bench) -> None:
    """A step returns a new state; the old one and its event stay as they were."""
    bench.accept("a")
    before = bench.state
    copy = msgspec.json.encode(before)

    first = step(before, CancelAsked(lane=ME, request_id="a"))
    second = step(before, CancelAsked(lane=ME, request_id="a"))

    assert copy == msgspec.json.encode(before)
    assert first == second
