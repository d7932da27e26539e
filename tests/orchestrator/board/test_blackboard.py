"""The shared facts."""

import random

import msgspec
import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.chain import Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.board.blackboard import Blackboard, BoardMemory, Known, last


def reading(block: int, *, key: str = "k", source: str = "s", fork: str = "0") -> Reading:
    """A reading of a block."""
    return Reading(
        key=key,
        value=float(block),
        source=source,
        block_number=block,
        block_hash=Hash(f"0x{fork}{block:063x}"),
        observed_at=block * 12,
        max_age_blocks=1,
    )


def test_a_key_has_one_writer() -> None:
    """The first source to write a key owns it; another one is refused by name."""
    board = Blackboard()
    board.write([reading(1)])

    with pytest.raises(ConfigError, match="belongs to s; t may not"):
        board.write([reading(2, source="t")])


def test_the_last_readings_are_the_end_of_all() -> None:
    """However many are asked for, they are those that the whole series ends with."""
    board = Blackboard(history=5)
    board.write([reading(n) for n in range(9)])
    known = board.as_of(7)
    plain = {"k": known["k"]}

    for most in (1, 2, 4, 5, 6):
        assert list(known["k"][-most:]) == list(last(known, "k", most))
        assert list(known["k"][-most:]) == list(last(plain, "k", most))
    assert not last(known, "unheard", 3)
    assert not last(plain, "unheard", 3)


def test_as_of_knows_nothing_later() -> None:
    """A view of block 2 holds nothing that was observed in block 3."""
    board = Blackboard()
    board.write([reading(n) for n in (1, 2, 3)])

    assert [1, 2] == [r.block_number for r in board.as_of(2)["k"]]
    assert {} == dict(board.as_of(0))


def test_a_reorg_retracts_what_was_seen_in_its_blocks() -> None:
    """Readings of reverted blocks are gone; the same numbers may then be read anew."""
    board = Blackboard()
    board.write([reading(n) for n in (1, 2, 3)])
    lost = board.retract([reading(2).block_hash, reading(3).block_hash])
    board.write([reading(2, fork="f")])

    assert ("k",) == lost
    assert [reading(1), reading(2, fork="f")] == list(board.as_of(9)["k"])


def test_what_comes_late_is_passed_over_and_counted() -> None:
    """A feed that is overtaken by itself changes nothing: the newer reading stands."""
    board = Blackboard()
    board.write([reading(3)])
    board.write([reading(2), reading(1), reading(4)])

    assert [reading(3), reading(4)] == list(board.as_of(9)["k"])
    assert 2 == board.late


def test_a_second_reading_of_a_block_stands_in_place_of_the_first() -> None:
    """One sample a block, however often a feed repeats or corrects itself."""
    board = Blackboard()
    corrected = msgspec.structs.replace(reading(2), value=7.0)
    board.write([reading(1), reading(2), reading(2), corrected])

    assert [reading(1), corrected] == list(board.as_of(9)["k"])


def test_what_comes_late_from_a_reverted_block_is_passed_over() -> None:
    """A reading that arrives after its block was reverted never enters."""
    board = Blackboard()
    board.write([reading(1), reading(2)])
    board.retract([reading(2).block_hash])
    board.write([reading(2), reading(2, key="other")])

    assert [reading(1)] == list(board.as_of(9)["k"])
    assert "other" not in board.as_of(9)
    assert 2 == board.orphaned


def test_a_block_that_counts_again_may_be_read_again() -> None:
    """A reorg may bring a reverted block back; what is read at it then is good."""
    board = Blackboard()
    board.retract([reading(2).block_hash])
    board.write([reading(2)], canonical=reading(2).block_hash)

    assert [reading(2)] == list(board.as_of(9)["k"])


def test_the_memory_survives_the_journal() -> None:
    """A board made from the JSON of its memory knows and refuses the same."""
    board = Blackboard()
    board.write([reading(n) for n in (1, 2, 3)])
    board.retract([reading(3).block_hash])
    told = msgspec.json.encode(board.memory(), order="sorted")
    again = Blackboard.remembered(msgspec.json.decode(told, type=BoardMemory))
    for one in (board, again):
        one.write([reading(3), reading(2), reading(1), reading(4)])

    assert dict(board.as_of(9)) == dict(again.as_of(9))
    assert board.memory() == again.memory()


def test_history_is_bounded_and_views_are_read_only() -> None:
    """No key grows without limit, and nobody can write through a view."""
    board = Blackboard(history=3)
    board.write([reading(n) for n in range(10)])
    view = board.as_of(9)

    assert [7, 8, 9] == [r.block_number for r in view["k"]]
    with pytest.raises(TypeError):
        view["k"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        view["k"][0].value = 1.0  # type: ignore[misc]
    assert 10 == board.version
    assert msgspec.structs.asdict(view["k"][0])["key"] == "k"


def test_a_new_run_goes_on_after_what_an_earlier_one_read() -> None:
    """Its own block is read anew, older readings only fill gaps, and the rest stays."""
    board = Blackboard()
    board.write([reading(n) for n in (1, 2, 4, 5)])
    board.write([reading(5, key="other")])
    board.resume([reading(2), reading(3, fork="e"), reading(4, fork="f")], block=4)

    assert [reading(1), reading(2), reading(3, fork="e"), reading(4, fork="f")] == list(
        board.as_of(9)["k"]
    )
    assert "other" not in board.as_of(9)


def test_a_key_that_nobody_supplies_any_more_is_dropped_once_it_is_too_old() -> None:
    """Only in a new run, and only if nobody writes it there while it may still be acted on."""
    board = Blackboard()
    board.write([reading(5, key=key) for key in ("gone", "kept", "late")])

    before = board.drop(9)
    board.resume([reading(6, key="kept")], block=6)
    fresh = board.drop(6)
    written = msgspec.json.encode(board.memory())
    again = Blackboard.remembered(msgspec.json.decode(written, type=BoardMemory))
    board.write([reading(7, key="late")])
    dropped = [board.drop(7), board.drop(9)]

    assert [{}, {}] == [before, fresh]
    assert [{"gone": 5}, {}] == dropped
    assert {"gone": 5} == again.drop(7, expected=["late"])
    assert {"late": 5} == again.drop(7)
    assert ["kept", "late"] == list(board.as_of(9))


def test_a_new_run_may_read_a_key_from_another_source() -> None:
    """A key with another source begins anew, and belongs to that source."""
    board = Blackboard()
    board.write([reading(1)])
    board.resume([reading(2, source="t")], block=2)

    assert [reading(2, source="t")] == list(board.as_of(9)["k"])
    with pytest.raises(ConfigError, match="belongs to t; s may not"):
        board.write([reading(3)])


def test_what_was_known_stays_as_it_was_however_late_it_is_looked_up() -> None:
    """Nothing that is written, replaced, trimmed or taken back later shows in an earlier view."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        board, told = Blackboard(history=4), dict[str, list[Reading]]()
        views: list[tuple[Known, dict[str, tuple[Reading, ...]]]] = []
        for block in range(1, 20):
            for key in ("a", "b"):
                for fork in "01"[: rng.randrange(3)]:
                    one, kept = reading(block, key=key, fork=fork), told.setdefault(key, [])
                    board.write([one])
                    kept[:] = [*(r for r in kept if r.block_number < block), one][-4:]
            if rng.random() < 0.2:
                gone = Hash(f"0x0{rng.randrange(1, block + 1):063x}")
                board.retract([gone])
                told = {k: [r for r in kept if r.block_hash != gone] for k, kept in told.items()}
                board.write([], canonical=gone)  # may be written again
            views.append((board.as_of(block), {k: tuple(s) for k, s in told.items() if s}))
            if rng.random() < 0.5:
                assert views[-1][1] == dict(views[-1][0]), f"seed {seed}"

        for view, expected in views:
            assert expected == dict(view), f"seed {seed}"
            assert {key: series[-1] for key, series in expected.items()} == view.newest
