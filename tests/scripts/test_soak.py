"""A soak counts what falls short, goes on where it was cut off, and its figures say so."""

from pathlib import Path

import msgspec
import pytest

from scripts.soak import record
from scripts.soak.__main__ import AREAS, PARTS, shared
from scripts.soak.demo import NEEDED, SEEDS, case, shortfalls
from scripts.soak.record import Part, Progress, Run, area_result, begin

ENOUGH = dict(NEEDED)


def counting(size: int = 5) -> Part:
    """A soak whose every third case falls short."""

    def work(progress: Progress) -> None:
        while progress.more():
            seed = progress.next_seed
            progress.add({"cases": 1})
            progress.most("newest", seed)
            progress.advance(1, failures=(f"seed {seed}",) if seed % 3 == 2 else ())

    return Part(size=size, cases="cases", work=work, figures=lambda _: (), not_covered=("all",))


@pytest.fixture(autouse=True)
def _clean_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "commit", lambda: "abc1234")


def test_a_run_that_shows_everything_lacks_nothing() -> None:
    """Invariants held and counts at their least: nothing is lacking."""
    assert [] == shortfalls({"invariants": {"a": True}, "counts": ENOUGH})


def test_each_broken_invariant_and_each_low_count_is_named() -> None:
    """What lacks is named with its values; a run without a summary says what it said."""
    low = {**ENOUGH, "momentum_trades": 1}

    assert ["a", "momentum_trades 1 < 2"] == shortfalls({"invariants": {"a": False}, "counts": low})
    assert ["boom"] == shortfalls({"error": "boom"})


def test_every_seed_runs_with_recorded_data_and_without() -> None:
    """The full size is every seed in both ways."""
    full = [case(number) for number in range(2, 2 + PARTS["run"].size)]

    assert 2 * SEEDS == len(set(full))
    assert [(1, True), (1, False), (2, True)] == full[:3]


def test_the_scheduler_is_soaked_part_by_part() -> None:
    """The area runs all of its parts, and each part is an area of its own."""
    assert set(AREAS["scheduler"]) == {name for name in PARTS if name.startswith("scheduler-")}
    both = ("scheduler-simulation", "scheduler-worlds")
    assert both == AREAS["scheduler-simulation"]
    assert all((name,) == AREAS[name] for name in PARTS if name != both[0])
    assert tuple(PARTS) == AREAS["all"]


def test_parts_share_the_time_that_is_left() -> None:
    """What a part does not need the next ones have; the full size has no limit."""
    now = [100.0]
    turns = shared(["a", "b", "c"], 90.0, lambda: now[0])
    first = next(turns)
    now[0] += 10
    second = next(turns)
    now[0] += 200

    assert [("a", 30.0), ("b", 40.0), ("c", 1.0)] == [first, second, next(turns)]
    assert [("a", 0.0), ("b", 0.0)] == list(shared(["a", "b"], 0.0))


def test_a_run_ends_at_its_full_size(tmp_path: Path) -> None:
    """Without a time limit every case is done once, and what fell short is counted and named."""
    part = counting()
    progress = begin("x", part, seed=1, limit_s=0, folder=tmp_path)
    part.work(progress)
    progress.save()

    assert (5, 2, ["seed 2", "seed 5"]) == (
        progress.run.done,
        progress.run.failed,
        progress.run.failures,
    )
    assert {"cases": 5, "newest": 5} == progress.run.counts
    assert progress.run == msgspec.json.decode(progress.path.read_bytes(), type=Run)


def test_a_run_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    """The next run of the commit begins behind the last case that was written down."""
    part = counting()
    cut = begin("x", part, seed=1, limit_s=0, folder=tmp_path)
    cut.advance(3, failures=("seed 2",))
    progress = begin("x", part, seed=9, limit_s=0, folder=tmp_path)
    first = progress.next_seed
    part.work(progress)
    progress.save()

    assert (4, 5, 2) == (first, progress.run.done, progress.run.failed)
    assert 1 == len(list(tmp_path.glob("*.json")))
    assert 9 == begin("x", part, seed=9, limit_s=0, folder=tmp_path).next_seed


def test_changed_sources_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another state of the sources has done says nothing of this one."""
    monkeypatch.setattr(record, "commit", lambda: "abc1234+")
    begin("x", counting(), seed=1, limit_s=0, folder=tmp_path).advance(3, failures=("seed 2",))

    assert 1 == begin("x", counting(), seed=1, limit_s=0, folder=tmp_path).next_seed


def test_shortfalls_miss_the_target_and_a_sample_says_that_it_is_one() -> None:
    """A failure misses the target of none; a run short of its size names the full one."""
    run = Run(area="x", date="2026-01-01", commit="abc1234", seed=0, size=9, done=4, failed=1)
    result = area_result(run, counting(size=9), load=0.0)

    assert not result.measured.figures[0].is_met
    assert ("the full size, 9 cases: SOAK_S=0", "all") == result.measured.not_covered
    assert ("soak-x", "make soak AREA=x") == (result.area, result.command)
