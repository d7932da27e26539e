"""What would hold its nonce, and all that stands behind, for ever: given up, or said so."""

import msgspec
import pytest

from tests.tx.bench import GWEI, LIMITS, ME, Bench
from toolkit.model.errors import Recovery
from toolkit.model.tx import Cancelled, Confirmed, Expired, Exposure, TransactionRequest
from toolkit.tx.events import CancelAsked, Sign, SigningFailed
from toolkit.tx.job import REFUSAL_PATIENCE
from toolkit.tx.progress import why_waiting

REFUSED = "refused for good: refused"
CHEAP = msgspec.structs.replace(LIMITS, max_cost_wei=21_000 * 20 * GWEI)
"""Limits under which a bid of 20 gwei cannot be outbid."""


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.accept("a", value=7)
    return bench


def _refuse(bench: Bench, number: int = -1, destination: str = "public") -> None:
    bench.answer("a", Exposure.NONE, Recovery.FAIL, number, destination=destination)


# Refused for good, and maybe out.


@pytest.mark.parametrize(("winner", "end"), [(0, Confirmed), (1, Cancelled)])
def test_what_may_be_out_and_is_refused_for_good_is_given_up(
    bench: Bench, winner: int, end: type
) -> None:
    """Its nonce goes to an empty transfer, and what is mined tells how it ended."""
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    _refuse(bench)
    assert (1, {}) == (bench.tries("a"), bench.ends)
    bench.observe(11)
    assert (2, True, ME) == (bench.tries("a"), bench.cancelling("a"), bench.bid("a").to)

    bench.observe(12, nonce=1, receipts=(bench.mined("a", 12, number=winner),))

    outcome = bench.ends["a"]
    assert end is type(outcome)
    assert (REFUSED if winner else "") == getattr(outcome, "reason", "")


def test_everybody_has_to_refuse_it(bench: Bench) -> None:
    """One destination that may take it, or that has not answered, is worth waiting for."""
    bench.accept("b", destinations=("public", "relay"))
    job = bench.state.jobs["b"]
    bench.answer("b", Exposure.UNKNOWN, Recovery.WAIT)
    bench.answer("b", Exposure.NONE, Recovery.FAIL)
    bench.observe(11)
    assert not bench.state.jobs["b"].cancelling
    bench.answer("b", Exposure.UNKNOWN, Recovery.WAIT, destination="relay")
    bench.answer("b", Exposure.NONE, Recovery.FAIL)
    bench.observe(12)
    assert (False, job.nonce) == (bench.state.jobs["b"].cancelling, bench.nonces()["b"])

    bench.answer("b", Exposure.NONE, Recovery.FAIL, destination="relay")
    bench.observe(13)

    assert bench.cancelling("b")


def test_who_took_it_once_has_to_refuse_it_several_times(bench: Bench) -> None:
    """Another node may have other rules; only who insists is believed."""
    bench.answer("a")
    for block in range(11, 11 + REFUSAL_PATIENCE - 1):
        bench.observe(block)
        _refuse(bench)
    bench.observe(20)
    bench.answer("a")
    for block in range(21, 21 + REFUSAL_PATIENCE):
        assert not bench.state.jobs["a"].cancelling
        bench.observe(block)
        _refuse(bench)

    bench.observe(30)

    assert bench.cancelling("a")


def test_an_older_attempt_that_may_be_out_is_stood_by(bench: Bench) -> None:
    """A bump that everybody refuses is let go, although its first hand-over is uncertain."""
    bench.answer("a")
    bench.replace("a", gwei=60)
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    _refuse(bench)
    bench.sent()
    bench.observe(11)

    assert (["a"], False) == (bench.sent(), bench.state.jobs["a"].cancelling)
    assert 20 * GWEI == bench.bid("a").max_fee_per_gas


def test_what_is_stood_by_below_the_base_fee_says_so(bench: Bench) -> None:
    """Nothing is bid for it any more, so the lane tells what ends the wait, until it has ended."""
    bench.answer("a")
    bench.replace("a", gwei=60)
    _refuse(bench)
    said = []
    for block, base in enumerate((20, 21, 20), 11):
        bench.observe(block, gwei=50, base_gwei=base)
        said.append(why_waiting(bench.state))

    assert ["", ""] == [said[0], said[2]]
    assert "its 20 gwei are below the base fee of 21" in said[1]
    assert 2 == bench.tries("a")
    bench.observe(14, gwei=50, base_gwei=21)
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.answer("a")
    assert (3, "") == (bench.tries("a"), why_waiting(bench.state))


def test_when_every_attempt_is_refused_nothing_is_stood_by(bench: Bench) -> None:
    """The last one that falls gives the request up; its author's wish is not overwritten."""
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    bench.replace("a", gwei=60)
    _refuse(bench)
    assert not bench.state.jobs["a"].cancelling
    _refuse(bench, 0)
    bench.observe(11)

    assert (True, 3) == (bench.cancelling("a"), bench.tries("a"))
    assert REFUSED == bench.state.jobs["a"].reason


def test_a_refusal_gives_no_reason_to_what_its_author_cancelled(bench: Bench) -> None:
    """The reason tells who did not ask for it."""
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    bench.step(CancelAsked(lane=ME, request_id="a"))
    bench.do(SigningFailed(lane=ME, request_id="a", message="unplugged"))
    _refuse(bench)
    bench.observe(11)
    bench.observe(12, nonce=1, receipts=(bench.mined("a", 12),))

    assert "" == getattr(bench.ends["a"], "reason", None)


def test_a_cancellation_that_everybody_refuses_is_followed_by_another(bench: Bench) -> None:
    """Other bytes may be taken; each outbids the last one, below the ceiling."""
    bench.answer("a")
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    _refuse(bench)
    bench.observe(11)
    assert 2 == bench.tries("a")
    bench.observe(12)

    assert (3, True) == (bench.tries("a"), bench.cancelling("a"))


def test_a_gap_whose_filling_is_refused_is_filled_by_other_bytes() -> None:
    """In a market that stands still the same bytes would be refused for ever."""
    bench = Bench()
    for name in ("a", "b"):
        bench.accept(name)
    bench.answer("b")
    _refuse(bench)
    bench.observe(11)
    caps = []
    for block in (12, 13):
        filler = next(name for name in bench.flying() if name.startswith("fill"))
        caps.append(bench.bid(filler).max_fee_per_gas)
        bench.answer(filler, Exposure.NONE, Recovery.FAIL)
        bench.observe(block)
    filler = next(name for name in bench.flying() if name.startswith("fill"))
    caps.append(bench.bid(filler).max_fee_per_gas)
    bench.answer(filler)
    mined = (bench.mined(filler, 14), bench.mined("b", 14))
    bench.observe(14, nonce=2, receipts=mined)

    assert caps == sorted(set(caps))
    assert bench.state.fill_floor is None


def test_a_gap_that_pools_refuse_what_is_above_for_is_filled() -> None:
    """Of an account that runs code they take nothing gapped, and one nonce is all its window."""
    bench = Bench()
    for name in ("a", "b"):
        bench.accept(name)
    _refuse(bench)
    bench.answer("b", Exposure.NONE, Recovery.WAIT, refusal="AccountLimit")
    bench.observe(11, delegated=True)
    untouched = set(bench.flying())
    bench.answer("b", Exposure.NONE, Recovery.FILL_GAP, refusal="NonceTooHigh")
    bench.observe(12, delegated=True)
    filler = next(name for name in bench.flying() if name.startswith("fill"))

    assert {"b"} == untouched
    assert (0, 1) == (bench.nonces()[filler], bench.nonces()["b"])


# Unwanted, and too dear to outbid.


def _dear(*, deadline_block: int | None = None) -> Bench:
    bench = Bench(CHEAP)
    bench.accept("a", value=7, deadline_block=deadline_block)
    bench.answer("a")
    return bench


def test_what_is_too_dear_to_outbid_is_handed_out_as_it_is() -> None:
    """Somebody has it anyway; the lane says so, and the outcome tells what was mined."""
    bench = _dear()
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.sent()
    bench.observe(11)

    assert (["a"], 1) == (bench.sent(), bench.tries("a"))
    assert "its cancellation for a would exceed" in why_waiting(bench.state)
    assert "sent again as it is" in why_waiting(bench.state)
    bench.observe(12, nonce=1, receipts=(bench.mined("a", 12),))
    assert isinstance(bench.ends["a"], Confirmed)


def test_what_is_expired_and_too_dear_is_handed_out_as_well() -> None:
    """A nonce that hangs for ever is worse than a late transaction."""
    bench = _dear(deadline_block=12)
    for block in (11, 12):
        bench.observe(block)
        bench.answer("a")
    bench.sent()
    bench.observe(13)

    assert (["a"], True) == (bench.sent(), bench.state.jobs["a"].expired)


def test_a_cancellation_takes_over_when_there_is_room_for_it() -> None:
    """Higher limits let it outbid what was handed out until then."""
    bench = _dear(deadline_block=12)
    bench.observe(11)
    bench.answer("a")
    bench.observe(12)
    bench.answer("a")

    bench.do(msgspec.structs.replace(bench.opened, limits=LIMITS))
    bench.observe(13)

    assert bench.cancelling("a")
    bench.observe(14, nonce=1, receipts=(bench.mined("a", 14),))
    assert isinstance(bench.ends["a"], Expired)


def test_of_the_unwanted_only_what_is_out_is_handed_out() -> None:
    """A dear attempt that nobody took stays here; the older one, which somebody has, goes out."""
    bench = _dear()
    bench.do(msgspec.structs.replace(bench.opened, limits=LIMITS))
    bench.replace("a", gwei=300)
    bench.answer("a", Exposure.NONE, Recovery.WAIT)
    bench.do(msgspec.structs.replace(bench.opened, limits=CHEAP))
    bench.do(CancelAsked(lane=ME, request_id="a"))
    bench.sends.clear()
    bench.observe(11)

    assert [0] == [send.number for send in bench.sends]


# A signer, or a node, that is away.


def test_while_its_bump_cannot_be_signed_the_older_attempt_is_handed_out(bench: Bench) -> None:
    """Pools may have forgotten it, and the signer may be away for long; the lane says so."""
    bench.answer("a")
    bench.sent()
    for block in (12, 13):
        effects = bench.step(bench.observed(block, gwei=50))
        assert [Sign] == [type(effect) for effect in effects]
        bench.do(SigningFailed(lane=ME, request_id="a", message="unplugged"))
        assert (["a"], 1) == (bench.sent(), bench.tries("a"))
        bench.answer("a")

    assert "its next attempt for a could not be signed: unplugged" == why_waiting(bench.state)
    bench.observe(14, gwei=50)
    bench.answer("a")
    assert (2, "") == (bench.tries("a"), why_waiting(bench.state))


def test_a_cancellation_that_cannot_be_signed_is_said(bench: Bench) -> None:
    """The unwanted bytes are not handed out in its place: it is not too dear."""
    bench.answer("a")
    bench.step(CancelAsked(lane=ME, request_id="a"))
    bench.do(SigningFailed(lane=ME, request_id="a", message="unplugged"))
    bench.sent()
    bench.step(bench.observed(11))
    bench.do(SigningFailed(lane=ME, request_id="a", message="unplugged"))

    assert [] == bench.sent()
    assert "its cancellation for a could not be signed: unplugged" == why_waiting(bench.state)


def test_a_signature_that_fails_after_the_nonce_is_spent_hands_nothing_out(bench: Bench) -> None:
    """Nobody can use those bytes any more."""
    bench.answer("a")
    bench.observe(11, nonce=1)
    bench.sent()
    bench.do(SigningFailed(lane=ME, request_id="a", message="unplugged"))

    assert [] == bench.sent()


def test_an_attempt_that_nobody_took_says_why(bench: Bench) -> None:
    """A node that is away, or a full pool, is no silence."""
    assert "" == why_waiting(bench.state)
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")
    assert "nobody is known to have a (nonce 0): refused" == why_waiting(bench.state)

    bench.observe(11)
    bench.answer("a")

    assert "" == why_waiting(bench.state)


def test_a_request_without_a_quote_above_its_ceiling_waits_and_says_so() -> None:
    """At its ceiling it is sent again as it is, for as long as the market asks for more."""
    bench = Bench(CHEAP)
    bench.accept("a", value=7)
    bench.answer("a")
    bench.sent()
    bench.observe(12, gwei=50)

    assert (["a"], 1) == (bench.sent(), bench.tries("a"))
    assert "fee ceiling reached: its next attempt for a" in why_waiting(bench.state)


def test_another_payload_for_what_is_refused_for_good_is_the_new_wish(bench: Bench) -> None:
    """Its author may help it before it is given up."""
    bench.answer("a", Exposure.UNKNOWN, Recovery.WAIT)
    bench.replace("a", TransactionRequest(to=ME, gas=21_000, value=9), gwei=60)
    _refuse(bench, 0)
    bench.observe(11)

    assert (2, 9) == (bench.tries("a"), bench.bid("a").value)


def test_its_own_cap_is_named_where_it_is_what_holds() -> None:
    """Which ceiling it is tells what the author can do; a cancellation knows no cap of theirs."""
    for own, named in ((20 * GWEI, True), (None, False)):
        bench = Bench(CHEAP)
        bench.accept("a", max_fee_per_gas=own)
        bench.answer("a")
        bench.observe(12, gwei=50)

        assert named == ("its own max_fee_per_gas" in why_waiting(bench.state))


def test_a_spent_nonce_waits_for_nothing_but_the_chain(bench: Bench) -> None:
    """However its last hand-over was answered."""
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")
    bench.observe(11, nonce=1)

    assert "" == why_waiting(bench.state)
