"""Each guard of the scheduler taken out in turn: 200 schedules must notice.

A mutant is an exact edit of one source file, applied to a copy of the package. A text that is not
in the source exactly once is an error: the table follows the code. Each mutant names the kinds of
world whose schedules must notice.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure
from scripts.soak.mutants import MUTANTS as SIMULATED
from scripts.soak.mutants import Mutant
from scripts.soak.mutants_delegations import DELEGATING
from scripts.soak.mutants_worlds import WORLDLY
from scripts.soak.record import Part, Progress, Run
from toolkit.model.errors import DataError
from toolkit.testing.worlds import WORLDS

MUTANTS = (*SIMULATED, *WORLDLY, *DELEGATING)
SCHEDULES = 200
TIMEOUT_S = 300.0
"""Fifty times what 200 schedules take: what has not ended then never will."""

PROGRAM = f"""
import gc, json, sys
gc.disable()
from toolkit.testing.worlds import WORLDS
first, lives = int(sys.argv[1]), [WORLDS[name] for name in sys.argv[2:]]
for number, seed in enumerate(range(first, first + {SCHEDULES}), start=1):
    try:
        lives[seed % len(lives)](seed)
    except BaseException as error:  # safe because the parent is told: any death is a notice
        why = str(error).splitlines() or [""]
        print(json.dumps([number, f"{{type(error).__name__}}: {{why[0]}}"]))
        break
    if number % 20 == 0:
        gc.collect()
else:
    print(json.dumps([0, ""]))
"""


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The file's text without the guard.

    Raises:
        DataError: the text is not there exactly once.
    """
    source = (root / "toolkit" / mutant.file).read_text()
    found = source.count(mutant.guard)
    if found != 1:
        raise DataError(
            f"mutant {mutant.name!r}: its guard is {found} times in toolkit/{mutant.file}, not "
            "once; give the table the guard's present text"
        )
    return source.replace(mutant.guard, mutant.instead)


@contextmanager
def without(mutant: Mutant | None) -> Iterator[Path]:
    """A folder with the package, its guard taken out; everything but the file's package is linked.

    Raises:
        DataError: the guard's text is not there exactly once.
    """
    with tempfile.TemporaryDirectory() as name:
        package = Path(name) / "toolkit"
        package.mkdir()
        folder = None if mutant is None else mutant.file.split("/")[0]
        for beside in ("tests", "scripts", "pyproject.toml", ".tools"):
            (Path(name) / beside).symlink_to(ROOT / beside)
        for entry in (ROOT / "toolkit").iterdir():
            if entry.name == folder:
                shutil.copytree(entry, package / entry.name)
            elif entry.name != "__pycache__":
                (package / entry.name).symlink_to(entry)
        if mutant is not None:
            (package / mutant.file).write_text(mutated(mutant))
        yield Path(name)


def caught_after(mutant: Mutant | None, seed: int, worlds: Sequence[str]) -> tuple[int, str]:
    """How many schedules of these worlds it took to notice, and what was noticed; 0 if nothing was.

    Raises:
        DataError, RuntimeError: as `noticed_by`.
    """
    return noticed_by(mutant, PROGRAM, str(seed), *worlds)


def noticed_by(mutant: Mutant | None, program: str, *arguments: str) -> tuple[int, str]:
    """Run a program that looks for a missing guard: at which try it noticed, and what.

    It prints the two as JSON on its last line, 0 where nothing was noticed.

    Raises:
        DataError: the guard's text is not there exactly once.
        RuntimeError: the process died without an answer.
    """
    with without(mutant) as folder:
        done = _run(folder, "-c", program, *arguments)
    if done is None:
        return 1, "it never ends"
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(f"mutant's process died: {done.stderr.strip()[-400:]}")
    number, why = json.loads(done.stdout.splitlines()[-1])
    return int(number), str(why)


def failing(mutant: Mutant | None, detectors: tuple[str, ...]) -> str:
    """The first of these tests that fails, by name; "" if all pass.

    Raises:
        DataError: the guard's text is not there exactly once.
        RuntimeError: the tests could not be run at all.
    """
    with without(mutant) as folder:
        # Without real nodes: their bad moments would pass for something noticed.
        plain = ("-x", "-q", "-p", "no:cacheprovider", "-k", "not anvil")
        done = _run(folder, "-m", "pytest", *plain, *detectors)
    if done is None:
        return "it never ends"
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode != 1 or not failed:
        said = (done.stdout + done.stderr).strip()[-400:]
        raise RuntimeError(f"{', '.join(detectors)} cannot be run: {said}")
    return failed[0].removeprefix("FAILED ").split(" - ")[0]


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """A Python in which `toolkit` is the folder's; None if it never ends."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return None


def _whole(progress: Progress) -> tuple[str, ...]:
    """What is wrong with the package as it is: then no mutant says anything."""
    wrong = []
    for world in WORLDS:
        number, why = caught_after(None, progress.run.seed, [world])
        wrong += [f"the package as it is: {world}: {why} (schedule {number})"] if number else []
    return tuple(wrong)


def _lacking(progress: Progress, mutant: Mutant) -> tuple[str, ...]:
    number, why = caught_after(mutant, progress.run.seed, mutant.worlds)
    told = f"after {number}: {why}" if number else ""
    progress.most("schedules", number)
    progress.add({"noticed by schedules": bool(number)})
    print(f"  {mutant.name}: {told or 'SURVIVED'}", flush=True)
    return () if told else (f"{mutant.name} ({mutant.file}) is not noticed",)


def work(progress: Progress) -> None:
    """Take out guard after guard; the first case is the package as it is, which must hold."""
    while progress.more():
        place = progress.run.done
        wrong = _lacking(progress, MUTANTS[place - 1]) if place else _whole(progress)
        progress.advance(1, failures=wrong)


def figures(run: Run) -> tuple[Figure, ...]:
    """The most schedules that a mutant needed, and how many they noticed."""
    counts = {name: n for name, n in run.counts.items() if not isinstance(n, dict)}
    name = "most schedules until a missing guard is noticed"
    schedules = float(counts.get("schedules", 0))
    noticed = float(counts.get("noticed by schedules", 0))
    return (
        Figure(name=name, unit="", target=float(SCHEDULES), ours=schedules),
        Figure(name="missing guards noticed by schedules", unit="", ours=noticed),
    )


PART = Part(
    size=1 + len(MUTANTS),
    cases="packages (as it is, and with one guard less)",
    work=work,
    figures=figures,
    not_covered=("two guards missing at once",),
)
