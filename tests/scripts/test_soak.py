"""A soak counts what falls short, and its figures say so."""

from scripts.soak.__main__ import NEEDED, cases, figures, shortfalls

ENOUGH = dict(NEEDED)


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
    full = list(cases(1))

    assert 200 == len(full)
    assert [(1, True), (1, False)] == full[:2]


def test_shortfalls_miss_the_target() -> None:
    """A soak in which a run falls short misses its target of none."""
    details = [
        {"seed": 1, "lacking": [], "counts": ENOUGH},
        {"seed": 1, "lacking": ["a"], "counts": {}},
    ]
    result = {"runs": 2, "ok": 1, "seeds": [1, 1], "details": details}
    area = figures({**result, "date": "2026-01-01", "commit": "abc", "seconds": 1.0})

    assert not area.measured.figures[0].is_met
    assert 1 + len(NEEDED) == len(area.measured.figures)
