import msgspec
import pytest

from tests.tx.bench import LIMITS, ME, Bench
from toolkit.model.errors import Recovery
from toolkit.model.tx import Exposure
from toolkit.tx.events import CancelAsked, LeaseSettled
from toolkit.tx.progress import why_waiting


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_lease_holds_its_nonces_until_its_block_has_passed(bench: Bench) -> None:
    """Public requests wait behind a bundle, and take its nonces when it missed."""
    bench.lease("l", target_block=11)
    bench.accept("a")

    assert ({0, 1}, {"a": None}) == (bench.state.held(), bench.nonces())
    bench.observe(11)
    assert {"a": 0} == bench.nonces()


def test_a_landed_lease_spends_its_nonces_even_before_the_head_is_seen(bench: Bench) -> None:
    """Whoever learns first that the bundle landed, its nonces are not given out again."""
    bench.lease("l", target_block=11)
    bench.accept("a")

    bench.do(LeaseSettled(lane=ME, lease_id="l", landed=True))

    assert {"a": 2} == bench.nonces()


def test_a_missed_lease_frees_its_nonces_at_once(bench: Bench) -> None:
    """Settling early lets what waits go on."""
    bench.lease("l", target_block=11)
    bench.accept("a")

    bench.do(LeaseSettled(lane=ME, lease_id="l", landed=False))

    assert {"a": 0} == bench.nonces()


def test_leases_stand_behind_everything_that_is_held(bench: Bench) -> None:
    """A bundle's nonces follow those in flight and those of the bundle before it."""
    bench.accept("a")
    bench.lease("l", target_block=11)
    bench.lease("m", target_block=11, count=1)

    assert {0, 1, 2, 3} == bench.state.held()
    assert 4 == bench.state.next_lease_nonce()


def test_a_gap_below_a_lease_is_closed_and_nothing_stands_behind_it(bench: Bench) -> None:
    """What comes before a bundle can only help it; what would come after waits for its block."""
    for name in "abc":
        bench.accept(name)
    bench.lease("l", target_block=13)
    bench.answer("a")
    bench.answer("c")
    bench.answer("b", Exposure.NONE, Recovery.FAIL)
    for name in "de":
        bench.accept(name)
    assert {"a": 0, "c": 2, "d": 1} == bench.flying()
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    assert {"c": 2, "d": 1} == bench.flying()
    assert "a bundle holds the next nonces until block 13" == why_waiting(bench.state)

    bench.observe(13, nonce=5)

    assert 5 == bench.flying()["e"]


def test_a_gap_is_filled_below_a_lease(bench: Bench) -> None:
    """Also where no request is there to use the nonce."""
    for name in "abc":
        bench.accept(name)
    bench.lease("l", target_block=13)
    bench.answer("b", Exposure.NONE, Recovery.FAIL)
    bench.observe(11)

    assert {"a": 0, "fill-1-4": 1, "c": 2} == bench.flying()


def test_gaps_up_to_64_are_closed_at_one_head() -> None:
    """Every missing nonce is filled at once, by way of whoever hangs on it; no more than 64."""
    for missing in (63, 64, 80):
        bench = Bench(msgspec.structs.replace(LIMITS, max_in_flight=missing + 1))
        for number in range(missing):
            bench.accept(f"n{number}")
        bench.accept("top", destinations=("relay",))
        bench.answer("top", Exposure.PRIVATE, destination="relay")
        for number in range(missing):
            bench.answer(f"n{number}", Exposure.NONE, Recovery.FAIL)
        bench.sent()
        bench.observe(11)

        filled = [nonce for name, nonce in bench.flying().items() if name != "top"]
        assert list(range(min(missing, 64))) == filled
        assert {("relay",)} == {send.destinations for send in bench.sends[:-1]}
        assert 0 < len(bench.ends)


def test_fillers_obey_the_ceiling_and_the_balance(bench: Bench) -> None:
    """An empty transaction is an attempt like any other."""
    for bound in ({"gwei": 10_000}, {"balance_wei": 21_000}):
        bench = Bench()
        bench.accept("a")
        bench.accept("b")
        bench.answer("a", Exposure.NONE, Recovery.FAIL)
        bench.observe(11, **bound)
        assert {"b": 1} == bench.flying()

        bench.observe(12)

        assert {"fill-0-3": 0, "b": 1} == bench.flying()


def test_a_filler_that_was_never_signed_leaves_no_trace(bench: Bench) -> None:
    """A process may die between asking for its signature and getting it."""
    bench.accept("a")
    bench.accept("b")
    bench.answer("a", Exposure.NONE, Recovery.FAIL)
    bench.step(bench.observed(11))
    assert ("fill-0-3",) == bench.state.parked

    bench.observe(12)

    assert {"fill-0-4": 0, "b": 1} == bench.nonces()


def test_a_middle_request_that_nobody_has_leaves_no_gap(bench: Bench) -> None:
    """Cancelled before it was taken anywhere, its nonce goes to the next or to nothing."""
    for name in "abcd":
        bench.accept(name)
    bench.answer("b", Exposure.NONE, Recovery.WAIT)
    bench.do(CancelAsked(lane=ME, request_id="b"))

    assert {"a": 0, "c": 2, "d": 1} == bench.flying()
