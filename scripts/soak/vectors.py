"""Every family's quotes against fresh answers of the genuine bytecode, 6,000 a family."""

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.workers import Batch, in_batches
from tests.pools.oracle.counts import counted
from tests.pools.oracle.vectors import FAMILIES, mismatch, vectors
from toolkit.testing.coverage import Counts

EACH = 6_000
BATCH = 100
_NAMES = tuple(sorted(FAMILIES))


def check(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Draw a batch, of the family whose turn its seed is, and compare every vector."""
    seed, count = batch
    family = _NAMES[seed // BATCH % len(_NAMES)]
    drawn = vectors(family, seed, count)
    wrong = (mismatch(vector) for vector in drawn)
    failures = tuple(f"vectors({family!r}, {seed}, {count}): {line}" for line in wrong if line)
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


PART = Part(
    size=EACH * len(_NAMES),
    cases="vectors of the genuine bytecode",
    work=work,
    figures=figures,
    not_covered=(
        "bytecode of V2 forks with other fees: their formula is held against its fraction",
        "V4Quoter's own code: its refusal of outputs not given in full is restated",
    ),
)
