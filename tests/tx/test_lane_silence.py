"""A reorg of which a node says nothing: what was final is neither taken back nor forgotten."""

import msgspec
import pytest

from tests.tx.bench import LIMITS, STRANGER, Bench
from toolkit.model.chain import Hash
from toolkit.model.tx import Confirmed, Replaced
from toolkit.tx.events import Spender
from toolkit.tx.lane_spent import SPENT_PATIENCE_BLOCKS

FINAL = 4
OTHER = Spender(nonce=0, by=Hash("0x" + "07" * 32), block_number=11)
TAKEN = Spender(nonce=0, by=STRANGER, block_number=11)


@pytest.fixture
def bench() -> Bench:
    """One request, mined in block 11, at the head at which that is final."""
    bench = Bench(msgspec.structs.replace(LIMITS, finality_blocks=FINAL))
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(10 + FINAL, nonce=1)
    return bench


def _silent(bench: Bench, heads: int) -> int:
    """A reorg, and heads without an answer; the next head's number."""
    for block in range(15, 15 + heads):
        bench.observe(block, nonce=1, reorged=block == 15)
    return 15 + heads


@pytest.mark.parametrize("heads", [1, 2, SPENT_PATIENCE_BLOCKS + 3])
def test_silence_takes_nothing_back_however_long(bench: Bench, heads: int) -> None:
    """A node that has lost its index does not turn a success into a nonce lost to nobody known."""
    mined = bench.mined("a", 11)
    block = _silent(bench, heads)
    bench.observe(block, nonce=1, receipts=(mined,))
    bench.observe(block + 1, nonce=1, receipts=(mined,))

    assert ([], [], Confirmed) == (bench.reopened, bench.halts, type(bench.ends["a"]))


@pytest.mark.parametrize("heads", [1, 2, SPENT_PATIENCE_BLOCKS + 3])
def test_another_name_after_a_silence_halts(bench: Bench, heads: int) -> None:
    """The reorg took back what was final, however late a node says so."""
    block = _silent(bench, heads)
    bench.observe(block, nonce=1, spenders=(OTHER,))

    assert (["a"], Replaced(by=OTHER.by, nonce=0)) == (bench.reopened, bench.ends["a"])
    assert 1 == len(bench.halts)
    assert "took back block 11 with nonce 0 of a" in bench.halts[0]


@pytest.mark.parametrize("heads", [1, SPENT_PATIENCE_BLOCKS + 3])
def test_a_lower_count_after_a_silence_halts(bench: Bench, heads: int) -> None:
    """What was final is unspent: said so also where it was in doubt by then."""
    block = _silent(bench, heads)
    bench.observe(block, nonce=0, reorged=True)

    assert (["a"], 1) == (bench.reopened, len(bench.halts))
    assert {"a": 0} == bench.flying()


def test_another_block_after_a_silence_halts(bench: Bench) -> None:
    """The same transaction, mined elsewhere, was not final either."""
    again = bench.mined("a", 13)
    block = _silent(bench, 2)
    bench.observe(block, nonce=1, receipts=(again,))

    assert 1 == len(bench.halts)


def test_a_stranger_named_again_after_a_silence_halts_nothing(bench: Bench) -> None:
    """Of strangers only the name counts: a node may tell their block differently."""
    bench.accept("b")
    bench.answer("b")
    taken = msgspec.structs.replace(TAKEN, nonce=1)
    mined = bench.mined("a", 11)
    bench.observe(15, nonce=2, spenders=(taken,))
    bench.observe(20, nonce=2)
    for block in (21, 22):
        bench.observe(block, nonce=2, receipts=(mined,), reorged=block == 21)
    bench.observe(23, nonce=2, spenders=(taken,))

    assert ([], [], Replaced) == (bench.reopened, bench.halts, type(bench.ends["b"]))


def test_a_stranger_named_again_in_a_newer_block_is_still_final() -> None:
    """A silence in between makes nothing of it that a second reorg may take back unsaid."""
    bench = Bench(msgspec.structs.replace(LIMITS, finality_blocks=FINAL))
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, nonce=1, spenders=(TAKEN,))
    bench.observe(10 + FINAL, nonce=1)
    block = _silent(bench, 1)
    moved = msgspec.structs.replace(TAKEN, block_number=block)
    bench.observe(block, nonce=1, spenders=(moved,))
    assert ([], []) == (bench.reopened, bench.halts)

    bench.observe(block + 1, nonce=1, spenders=(OTHER,), reorged=True)

    assert (["a"], 1) == (bench.reopened, len(bench.halts))
    assert "took back block 11 with nonce 0 of a" in bench.halts[0]


def test_what_was_not_final_is_told_anew_without_alarm() -> None:
    """One block short of finality a silence keeps nothing in mind."""
    bench = Bench(msgspec.structs.replace(LIMITS, finality_blocks=FINAL))
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    bench.observe(9 + FINAL, nonce=1)
    bench.observe(14, nonce=1, reorged=True)
    bench.observe(15, nonce=1, spenders=(OTHER,))

    assert (["a"], []) == (bench.reopened, bench.halts)
