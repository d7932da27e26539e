"""Who goes first: priorities, requests that follow others, the window, funds."""

import pytest

from tests.tx.bench import ETHER, GWEI, ME, Bench
from toolkit.model.errors import Recovery
from toolkit.model.tx import Cancelled, Expired, Exposure
from toolkit.tx.events import CancelAsked
from toolkit.tx.progress import why_waiting, why_waits


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_higher_priorities_go_first_and_equals_in_order(bench: Bench) -> None:
    """Priority decides among those that wait, acceptance among equals; nonces stay contiguous."""
    for name in "abc":
        bench.accept(name)
    for name, priority in (("d", 0), ("e", 5), ("f", 0), ("g", 5), ("h", -1)):
        bench.accept(name, priority=priority)

    assert tuple("egdfh") == bench.state.queue
    bench.observe(11, nonce=3, receipts=tuple(bench.mined(name, 11) for name in "abc"))
    assert {"e": 3, "g": 4, "d": 5} == bench.flying()


def test_nobody_overtakes_what_the_account_cannot_pay(bench: Bench) -> None:
    """Neither an equal nor a lower priority passes; a higher one does."""
    bench.observe(11, balance_wei=ETHER // 2)
    bench.accept("dear", value=ETHER, priority=1)
    bench.accept("equal", priority=1)
    bench.accept("lower")
    assert {} == bench.flying()
    assert "insufficient funds: dear may cost 1.00042 ether" in why_waiting(bench.state)

    bench.accept("higher", priority=2)

    assert {"higher": 0} == bench.flying()


def test_a_request_that_follows_another_waits_without_a_nonce(bench: Bench) -> None:
    """It takes its place by acceptance once it is released, and not before."""
    bench.accept("b", after="a")
    bench.accept("c")
    assert {"c": 0} == bench.flying()
    assert "b waits for a to be confirmed" == why_waiting(bench.state)
    for name in "def":
        bench.accept(name)

    bench.release("b")

    assert ("b", "f") == bench.state.queue
    bench.observe(11, nonce=1, receipts=(bench.mined("c", 11),))
    assert 3 == bench.flying()["b"]


def test_a_request_whose_predecessor_did_not_succeed_is_cancelled(bench: Bench) -> None:
    """Nothing of it was ever signed, and the outcome says why."""
    bench.accept("b", after="a")
    bench.accept("c", after="a")
    bench.release("b", succeeded=False, reason="a reverted")
    bench.release("c", succeeded=False)
    bench.release("c", succeeded=True)
    bench.release("nobody")

    assert Cancelled(reason="a reverted") == bench.ends["b"]
    assert Cancelled(reason="a, which it was to follow, did not succeed") == bench.ends["c"]
    assert {} == bench.state.jobs


def test_what_is_released_goes_at_once_where_there_is_room(bench: Bench) -> None:
    """It does not wait for another head."""
    bench.accept("b", after="a")
    bench.release("b")

    assert {"b": 0} == bench.flying()


def test_a_release_is_for_those_who_wait_for_one(bench: Bench) -> None:
    """Said twice, or of what follows nobody, it changes nothing."""
    bench.accept("a")
    bench.accept("b", after="a")
    bench.release("b")
    before = bench.state
    bench.release("b", succeeded=False)
    bench.release("a", succeeded=False)

    assert before == bench.state


def test_a_waiting_follower_can_be_cancelled_and_expires(bench: Bench) -> None:
    """Its author and its deadline end it as they end any other request."""
    bench.accept("b", after="a")
    bench.accept("c", after="a", deadline_block=12)
    bench.do(CancelAsked(lane=ME, request_id="b"))
    bench.observe(11)
    assert {"b": Cancelled()} == bench.ends

    bench.observe(12)

    assert Expired(last_block=12) == bench.ends["c"]
    assert {} == bench.state.jobs


def test_a_delegated_account_sends_one_at_a_time(bench: Bench) -> None:
    """Pools take one transaction of an account with code; what is out already stays out."""
    bench.accept("a")
    bench.accept("b")
    bench.observe(11, delegated=True)
    bench.accept("c")
    assert {"a": 0, "b": 1} == bench.flying()
    assert "delegated" in why_waiting(bench.state)

    bench.observe(12, nonce=1, receipts=(bench.mined("a", 12),), delegated=True)
    assert {"b": 1} == bench.flying()
    bench.observe(13, nonce=2, receipts=(bench.mined("b", 13),), delegated=True)
    bench.accept("d")
    assert {"c": 2} == bench.flying()

    bench.observe(14, nonce=2)
    assert {"c": 2, "d": 3} == bench.flying()


@pytest.mark.parametrize("refusal", ["AccountLimit", "InsufficientFunds", "AlreadyReserved"])
def test_what_fees_do_not_change_is_waited_out(bench: Bench, refusal: str) -> None:
    """No nonce is burnt, nothing is bid up, nothing follows; the lane says why, and resumes."""
    bench.accept("a")
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal=refusal)
    bench.accept("b")
    for block in range(11, 15):
        bench.observe(block, gwei=90)
        bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal=refusal)
        assert (["a"], 1) == (bench.sent()[-1:], bench.tries("a"))
    assert {"a": 0} == bench.flying()
    assert "a (nonce 0) is refused: refused" in why_waits(bench.state.jobs["b"], bench.state)

    bench.observe(15)
    bench.answer("a")
    bench.observe(16)

    assert ({"a": 0, "b": 1}, {}) == (bench.flying(), bench.ends)


def test_other_refusals_do_not_stop_a_rising_bid(bench: Bench) -> None:
    """A full pool is a matter of fees: the market's price is bid, and others follow."""
    bench.accept("a")
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")
    bench.accept("b")
    bench.observe(12, gwei=90)

    assert (2, {"a": 0, "b": 1}) == (bench.tries("a"), bench.flying())


def test_nothing_is_sent_across_a_foreign_blob(bench: Bench) -> None:
    """While the pool says that the account is reserved, only the lowest asks again, one by one."""
    for name in "abc":
        bench.accept(name, destinations=("public", "relay"))
    for name in "abc":
        bench.answer(name, Exposure.NONE, Recovery.WAIT, refusal="AlreadyReserved")
        bench.answer(name, Exposure.NONE, Recovery.WAIT, destination="relay")
    bench.sent()
    bench.observe(11)

    assert ["a"] == bench.sent()
    assert "a blob transaction of this account is pending elsewhere" in why_waiting(bench.state)
    bench.answer("a")
    bench.observe(12)
    assert {"a", "b"} <= set(bench.sent())


def test_no_bump_while_the_account_cannot_pay_for_it(bench: Bench) -> None:
    """A head of the line that the market left behind waits for funds, and is bid up with them."""
    bench.accept("a")
    bench.accept("b")
    bench.answer("a")
    bench.answer("b")
    held = bench.state.reserved_wei()
    bench.observe(12, gwei=50, balance_wei=held)
    assert 1 == bench.tries("a")

    bench.observe(13, gwei=50, balance_wei=held + 21_000 * 30 * GWEI)

    assert 50 * GWEI == bench.bid("a").max_fee_per_gas
    assert held + 21_000 * 30 * GWEI == bench.state.reserved_wei()


def test_a_refusal_despite_a_legal_bump_is_outbid_again_each_head(bench: Bench) -> None:
    """Somebody holds the slot: our own last bid is raised once a head, to the ceiling, then not."""
    bench.accept("a")
    bench.answer("a", Exposure.NONE, Recovery.RAISE_FEES)
    tries = []
    for block in range(11, 60):
        bench.observe(block)
        bench.answer("a", Exposure.NONE, Recovery.RAISE_FEES)
        tries.append(bench.tries("a"))

    steps = [after - before for before, after in zip([1, *tries], tries, strict=False)]
    assert {1, 0} == set(steps)
    assert sorted(steps, reverse=True) == steps
    bid, limit = bench.bid("a"), bench.state.limits.max_cost_wei
    assert limit * 10 // 11 <= bid.gas * bid.max_fee_per_gas <= limit
    assert "fee ceiling" in why_waiting(bench.state)


def test_a_spent_nonce_reserves_nothing(bench: Bench) -> None:
    """The balance of the same head has it subtracted already."""
    bench.accept("a", value=ETHER // 2)
    bench.observe(11, nonce=1, balance_wei=ETHER // 2)
    bench.accept("b", value=ETHER // 4)

    assert {"a": 0, "b": 1} == bench.flying()
