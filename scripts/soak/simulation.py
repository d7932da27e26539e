"""100,000 seeded lives of a scheduler; see `toolkit.testing.simulation`."""

import gc
import traceback

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.workers import Batch, in_batches
from toolkit.testing.coverage import Counts, Coverage
from toolkit.testing.simulation import chaotic_world, run_one

SIZE = 100_000
BATCH = 100
COLLECT_EVERY = 20
"""Schedules between two garbage collections: cycles of tasks and loops die young."""


def live(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Live a batch of schedules; what they went through, and each failing seed with its reason.

    A schedule that turned out thin counts as none: another seed of the same batch takes its place.
    """
    first, cases = batch
    gc.disable()
    coverage, failures, seed = Coverage(), [], first * 1_000
    done = 0
    while done < cases:
        broken, seen = _one(seed)
        coverage += seen
        failures += [broken] if broken else []
        done += 1 if broken else seen.schedules
        seed += 1
        if seed % COLLECT_EVERY == 0:
            gc.collect()
    return coverage.counts(), tuple(failures)


def _one(seed: int) -> tuple[str, Coverage]:
    try:
        return "", run_one(chaotic_world, seed)
    except Exception as error:  # noqa: BLE001 - whatever a schedule dies of is what is looked for
        return failure(seed, error), Coverage()


def failure(seed: int, error: Exception) -> str:
    """One line: the seed, what broke, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error).splitlines() or [""]
    place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
    return f"seed {seed}: {type(error).__name__} at {place}: {text[0]}"


def work(progress: Progress) -> None:
    """Live schedules on every core, and count what they went through."""
    coverage = Coverage.of_counts(progress.run.counts)
    for cases, (counts, failures) in in_batches(progress, live, batch=BATCH):
        coverage += Coverage.of_counts(counts)
        progress.run.counts = coverage.counts()
        progress.advance(cases, failures=failures)
    print(coverage)


def figures(run: Run) -> tuple[Figure, ...]:
    """How much was gone through."""
    coverage = Coverage.of_counts(run.counts)
    return (
        Figure(name="events of lanes", unit="", ours=float(coverage.events)),
        Figure(name="kinds of transition seen", unit="", ours=float(len(coverage.transitions))),
        Figure(name="pairs of event and effect seen", unit="", ours=float(len(coverage.effects))),
    )


PART = Part(
    size=SIZE,
    cases="schedules",
    work=work,
    figures=figures,
    not_covered=("more than one account in a schedule", "reorgs deeper than three blocks"),
)
