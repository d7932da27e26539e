"""Quotes against fresh answers of the genuine bytecode, and what each guard of theirs is worth."""

from scripts.bench.figures import Figure
from scripts.soak.mutants import Mutant
from scripts.soak.mutations import failing, noticed_by
from scripts.soak.record import Part, Progress, Run
from scripts.soak.vector_mutants import MUTANTS
from scripts.soak.workers import Batch, in_batches
from tests.pools.oracle.batches import mismatches
from tests.pools.oracle.counts import counted
from tests.pools.oracle.vectors import FAMILIES, mismatch, vectors
from toolkit.testing.coverage import Counts

EACH = 6_000
BATCH = 100
MOST = 3_000
"""Vectors of its family within which a missing guard must be noticed."""
_NAMES = tuple(sorted(FAMILIES))

PROGRAM = f"""
import json, sys
from tests.pools.oracle.vectors import mismatch, vectors
family, seed = sys.argv[1], int(sys.argv[2])
tried, told = 0, ""
try:
    for first in range(seed, seed + {MOST}, {BATCH}):
        for vector in vectors(family, first, {BATCH}):
            tried += 1
            if told := mismatch(vector):
                break
        if told:
            break
except Exception as error:  # safe because the parent is told: any death is a notice
    told = type(error).__name__
print(json.dumps([tried + (tried == 0) if told else 0, told[:200]]))
"""


def check(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Draw a batch of the family whose turn its seed is; hold references and kernels against it."""
    seed, count = batch
    family = _NAMES[seed // BATCH % len(_NAMES)]
    drawn = vectors(family, seed, count)
    wrong = (mismatch(vector) for vector in drawn)
    lines = [line for line in wrong if line] + mismatches(drawn)
    failures = tuple(f"vectors({family!r}, {seed}, {count}): {line}" for line in lines)
    counts: Counts = {f"{family}: {name}": n for name, n in counted(drawn).items()}
    return counts, failures


def work(progress: Progress) -> None:
    """Compare on every core."""
    for cases, (counts, failures) in in_batches(progress, check, batch=BATCH):
        progress.add({name: n for name, n in counts.items() if not isinstance(n, dict)})
        progress.advance(cases, failures=failures)


def figures(run: Run) -> tuple[Figure, ...]:
    """What the vectors went through, so that the equality can be weighed."""
    plain = {name: n for name, n in sorted(run.counts.items()) if not isinstance(n, dict)}
    return tuple(Figure(name=name, unit="", ours=float(n)) for name, n in plain.items())


def take_out(progress: Progress) -> None:
    """Take out guard after guard; the first case is the package as it is, which must hold."""
    while progress.more():
        place = progress.run.done
        wrong = _lacking(progress, MUTANTS[place - 1]) if place else _whole(progress)
        progress.advance(1, failures=wrong)


def noticed(mutant: Mutant | None, family: str, seed: int) -> tuple[int, str]:
    """How many vectors it took to notice a missing guard, and what was noticed; 0 if none did.

    Raises:
        DataError, RuntimeError: as `noticed_by`.
    """
    return noticed_by(mutant, PROGRAM, family, str(seed))


def _whole(progress: Progress) -> tuple[str, ...]:
    wrong = [noticed(None, family, progress.run.seed)[1] for family in _NAMES]
    wrong.append(failing(None, tuple(sorted({one.detector for one in MUTANTS} - set(_NAMES)))))
    return tuple(f"the package as it is: {told}" for told in wrong if told)


def _lacking(progress: Progress, mutant: Mutant) -> tuple[str, ...]:
    if mutant.detector in _NAMES:
        number, why = noticed(mutant, mutant.detector, progress.run.seed)
        told = f"after {number}: {why}" if number else ""
        progress.most("most vectors until noticed", number)
    else:
        told = failing(mutant, (mutant.detector,))
    print(f"  {mutant.name}: {told or 'SURVIVED'}", flush=True)
    return () if told else (f"{mutant.name} ({mutant.file}) is not noticed",)


PARTS = {
    "pools-vectors": Part(
        size=EACH * len(_NAMES),
        cases="vectors of the genuine bytecode",
        work=work,
        figures=figures,
        not_covered=(
            "bytecode of V2 forks with other fees: their formula is held against its fraction",
            "V4Quoter's own code: its refusal of outputs not given in full is restated",
        ),
    ),
    "pools-arithmetic": Part(
        size=1 + len(MUTANTS),
        cases="packages (as it is, and with one guard of a quote less)",
        work=take_out,
        figures=figures,
        not_covered=("two guards missing at once",),
    ),
}
