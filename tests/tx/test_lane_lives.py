"""What a request leaves behind at its first nonce when it goes on to a second one."""

import msgspec
import pytest

from tests.tx.bench import LIMITS, ME, STRANGER, Bench
from toolkit.model.chain import Hash
from toolkit.model.errors import Recovery
from toolkit.model.tx import Expired, Exposure
from toolkit.tx.events import Mined, Resumed, Spender
from toolkit.tx.progress import why_waiting

OTHER = Hash("0x" + "58" * 32)
SHORT = msgspec.structs.replace(LIMITS, finality_blocks=4, keep_blocks=4)
TAKEN = Spender(nonce=0, by=STRANGER, block_number=11)


def _bench() -> Bench:
    bench = Bench(SHORT)
    bench.accept("a", value=7, requeue=True)
    return bench


def _second_life() -> tuple[Bench, Mined]:
    """A request that lives on at nonce 1, and the receipt that its first attempt would have."""
    bench = _bench()
    bench.answer("a")
    first = bench.mined("a", 13)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    assert {"a": 1} == bench.flying()
    return bench, first


@pytest.mark.parametrize("silent", [0, 3])
def test_a_first_attempt_that_takes_the_strangers_place_halts_the_lane(silent: int) -> None:
    """Deeper than finality, so the request may happen twice; the count need not fall for that."""
    bench, first = _second_life()
    for head in range(silent):  # no node has said yet what became of the nonce
        bench.observe(15, nonce=1, reorged=not head)
        assert (["a"], False) == (_asked(bench), bool(bench.state.halted))
    bench.sent()

    bench.observe(15, nonce=1, receipts=(first,), reorged=not silent)

    assert (1, []) == (len(bench.halts), bench.sent())
    assert f"nonce 0 of a is spent by {first.tx_hash} now" in why_waiting(bench.state)
    bench.do(Resumed(lane=ME))
    bench.observe(15, nonce=1, receipts=(first,), reorged=True)
    assert not bench.state.halted


def test_a_first_life_is_watched_after_its_request_has_expired() -> None:
    """A deadline may end the second life at the very head that begins it, without a nonce."""
    bench = Bench(SHORT)
    bench.accept("a", value=7, requeue=True, deadline_block=14)
    bench.answer("a")
    first = bench.mined("a", 11)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(14, nonce=1)
    assert {"a": Expired(last_block=14)} == bench.ends
    assert "a" not in bench.state.jobs

    bench.observe(15, nonce=1, receipts=(first,), reorged=True)

    assert 1 == len(bench.halts)
    assert f"nonce 0 of a is spent by {first.tx_hash} now" in why_waiting(bench.state)


def _asked(bench: Bench) -> list[str]:
    """Whose first nonce is asked about at a head without a reorg."""
    jobs = bench.state.questions(1, reorged=False)
    return [job.request_id for job in jobs if job.nonce == 0]


def test_a_stranger_that_still_has_the_first_nonce_is_no_alarm() -> None:
    """The same answer after a reorg elsewhere; another stranger's is one."""
    for by, halts in ((STRANGER, False), (OTHER, True)):
        bench, _ = _second_life()
        named = Spender(nonce=0, by=by, block_number=11)
        bench.observe(15, nonce=1, spenders=(named,), reorged=True)

        assert (halts, []) == (bool(bench.state.halted), _asked(bench))


def test_a_first_life_is_watched_as_long_as_a_reorg_is_looked_for() -> None:
    """And no longer; it survives being written down."""
    bench, first = _second_life()
    watched = bench.state.limits.watch_blocks
    state = msgspec.json.decode(msgspec.json.encode(bench.state), type=type(bench.state))
    assert bench.state == state
    for last, halts in ((10 + watched, True), (11 + watched, False)):
        bench.state = state
        bench.observe(last, nonce=1)
        bench.observe(last + 1, nonce=1, receipts=(first,), reorged=True)

        assert halts is bool(bench.state.halted)


def test_a_count_below_a_first_nonce_halts_once() -> None:
    """Who takes the nonce after a resume is no news, unless it is the first attempt."""
    for ours in (False, True):
        bench, first = _second_life()
        bench.observe(15, nonce=0, reorged=True)
        bench.do(Resumed(lane=ME))
        named = Spender(nonce=0, by=OTHER, block_number=16)
        bench.observe(16, nonce=1, receipts=(first,) * ours, spenders=() if ours else (named,))

        assert ours is bool(bench.state.halted)


def test_what_nobody_had_has_no_first_life_to_watch() -> None:
    """None of its attempts can be mined."""
    bench = _bench()
    bench.answer("a", Exposure.NONE, Recovery.WAIT)
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(14, nonce=1)

    assert ({"a": 1}, ()) == (bench.flying(), bench.state.first_lives)
