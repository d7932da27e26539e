"""One soak's run as a value: how far it is, what fell short, and its place in docs/FIGURES.md."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scripts.bench.checkout import commit
from scripts.bench.figures import AreaResult, Figure, Measured
from toolkit.testing.coverage import Counts

RESULTS = Path(__file__).resolve().parent / "results"
SAVE_EVERY_S = 10.0
MOST_FAILURES = 100
"""Failures that are kept word by word; beyond that they are only counted."""


class Run(msgspec.Struct, kw_only=True):
    """One run of one area; `seed` is its first, `done` of `size` cases are finished."""

    area: str
    date: str
    commit: str
    seed: int
    size: int
    done: int = 0
    failed: int = 0
    failures: list[str] = []
    counts: Counts = {}
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A soak: its full size, the work, and how its counts become figures.

    `work` calls `Progress.advance` for every batch of cases while `Progress.more` says so.
    """

    size: int
    cases: str  # what one case is, in the plural
    work: "Callable[[Progress], None]"
    figures: Callable[[Run], tuple[Figure, ...]]
    not_covered: tuple[str, ...]


class Progress:
    """A run under way: written down as it goes, so that the next one continues it.

    Args:
        run: where to go on from.
        path: where it is written.
        limit_s: seconds that this process may take; 0 goes on to the full size.
    """

    def __init__(self, run: Run, path: Path, *, limit_s: float) -> None:
        self.run = run
        self.path = path
        self.limit_s = limit_s
        self._started = self._saved = time.monotonic()
        self._before_s = run.seconds

    @property
    def next_seed(self) -> int:
        """The seed of the first case that is not finished."""
        return self.run.seed + self.run.done

    def more(self) -> bool:
        """Whether there is something left to do, and time for it."""
        timely = not self.limit_s or time.monotonic() - self._started < self.limit_s
        return timely and self.run.done < self.run.size

    def advance(self, cases: int, *, failures: tuple[str, ...] = ()) -> None:
        """Count finished cases and say what fell short."""
        self.run.done += cases
        self.run.failed += len(failures)
        room = MOST_FAILURES - len(self.run.failures)
        self.run.failures += failures[: max(0, room)]
        for failure in failures:
            print(f"  FAILED {failure}", flush=True)
        if failures or time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save()
            print(f"  {self.run.done:,} of {self.run.size:,}", flush=True)

    def add(self, counts: Mapping[str, int | float]) -> None:
        """Add to the run's plain counts."""
        for name, value in counts.items():
            before = self.run.counts.get(name, 0)
            assert not isinstance(before, dict), f"{name} is a group of counts"
            self.run.counts[name] = before + value

    def most(self, name: str, value: float) -> None:
        """Keep the greatest value of a name."""
        before = self.run.counts.get(name, value)
        assert not isinstance(before, dict), f"{name} is a group of counts"
        self.run.counts[name] = max(before, value)

    def save(self) -> None:
        """Write the run down as far as it is."""
        self._saved = time.monotonic()
        self.run.seconds = round(self._before_s + self._saved - self._started, 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(self.run), indent=1)
        half = self.path.with_suffix(".part")
        half.write_bytes(text + b"\n")
        half.replace(self.path)


def begin(area: str, part: Part, *, seed: int, limit_s: float, folder: Path = RESULTS) -> Progress:
    """Go on with this commit's unfinished run, or begin one.

    Where tracked sources were changed since the commit, nothing is gone on with.
    """
    now = commit()
    for path in sorted(folder.glob(f"{area}.*.json"), reverse=True):
        earlier = msgspec.json.decode(path.read_bytes(), type=Run)
        same = earlier.commit == now and not now.endswith("+") and earlier.size == part.size
        if same and earlier.done < earlier.size:
            return Progress(earlier, path, limit_s=limit_s)
    date = time.strftime("%Y-%m-%d")
    run = Run(area=area, date=date, commit=now, seed=seed, size=part.size)
    path = folder / f"{area}.{time.strftime('%Y%m%d-%H%M%S')}.json"
    return Progress(run, path, limit_s=limit_s)


def area_result(run: Run, part: Part, *, load: float) -> AreaResult:
    """Put a run into the form of docs/FIGURES.md."""
    short = Figure(
        name=f"of {run.done:,} {part.cases} that fell short", unit="", target=0.0, ours=run.failed
    )
    gaps = part.not_covered
    if run.done < run.size:
        gaps = (f"the full size, {run.size:,} {part.cases}: SOAK_S=0", *gaps)
    return AreaResult(
        area=f"soak-{run.area}",
        date=run.date,
        commit=run.commit,
        seed=run.seed,
        cores=os.cpu_count() or 1,
        load=round(load, 1),
        python=platform.python_version(),
        seconds=run.seconds,
        command=f"make soak AREA={run.area}",
        measured=Measured(figures=(short, *part.figures(run)), not_covered=gaps),
    )
