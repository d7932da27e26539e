"""Each guard of the scheduler taken out in turn: 200 schedules must notice every one.

A mutant is an exact edit of one source file, applied to a copy of the package. A text that is not
in the source exactly once is an error: the table follows the code.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure
from scripts.soak.mutants import MUTANTS, Mutant
from scripts.soak.record import Part, Progress, Run
from toolkit.model.errors import DataError

SCHEDULES = 200
TIMEOUT_S = 300.0
"""Fifty times what 200 schedules take: what has not ended then never will."""

PROGRAM = f"""
import gc, json, sys
gc.disable()
from toolkit.testing.simulation import chaotic_world, run_one
first = int(sys.argv[1])
for number, seed in enumerate(range(first, first + {SCHEDULES}), start=1):
    try:
        run_one(chaotic_world, seed)
    except BaseException as error:
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
        for entry in (ROOT / "toolkit").iterdir():
            if entry.name == folder:
                shutil.copytree(entry, package / entry.name)
            elif entry.name != "__pycache__":
                (package / entry.name).symlink_to(entry)
        if mutant is not None:
            (package / mutant.file).write_text(mutated(mutant))
        yield Path(name)


def caught_after(mutant: Mutant | None, seed: int) -> tuple[int, str]:
    """How many schedules it took to notice, and what was noticed; 0 if nothing was.

    Raises:
        DataError: the guard's text is not there exactly once.
        RuntimeError: the process died without an answer.
    """
    with without(mutant) as folder:
        environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, str(seed)],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
                env=environment,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return 1, "it never ends"
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(f"mutant's process died: {done.stderr.strip()[-400:]}")
    number, why = json.loads(done.stdout.splitlines()[-1])
    return int(number), str(why)


def work(progress: Progress) -> None:
    """Take out guard after guard; the first case is the package as it is, which must hold."""
    cases: list[Mutant | None] = [None, *MUTANTS]
    while progress.more():
        mutant = cases[progress.run.done]
        number, why = caught_after(mutant, progress.run.seed)
        if mutant is None:
            wrong = (f"the package as it is: {why} (schedule {number})",) if number else ()
        else:
            print(f"  {mutant.name}: {f'after {number}: {why}' if number else 'SURVIVED'}")
            wrong = () if number else (f"{mutant.name} ({mutant.file}) is not noticed",)
            progress.most("schedules", number)
        progress.advance(1, failures=wrong)


def figures(run: Run) -> tuple[Figure, ...]:
    """The most schedules that a mutant needed."""
    most = run.counts.get("schedules", 0)
    assert not isinstance(most, dict)
    name = "most schedules until a missing guard is noticed"
    return (Figure(name=name, unit="", target=float(SCHEDULES), ours=float(most)),)


PART = Part(
    size=1 + len(MUTANTS),
    cases="packages (as it is, and with one guard less)",
    work=work,
    figures=figures,
    not_covered=("two guards missing at once",),
)
