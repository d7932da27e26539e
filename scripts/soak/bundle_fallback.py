"""5,000 lives of private-then-public requests, and of bundles, in processes that die.

See `toolkit.testing.fallback`; a case is a seed, so that a life that fell short can be lived again.
"""

import gc

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.simulation import failure
from scripts.soak.workers import Batch, in_batches
from toolkit.testing.coverage import Counts, Coverage
from toolkit.testing.fallback import live_with_relays

SIZE = 5_000
BATCH = 50
SHOWN = {
    "kills": ("actions", "crash"),
    "requests executed, each once": ("ends", "requests executed"),
    "private hand-overs": ("ends", "private hand-over"),
    "answers of relays that were lost, of what they had taken": ("faults", "answer lost"),
    "bundles that landed": ("ends", "bundle landed"),
    "bundles that a next process took up": ("ends", "bundles recovered"),
    "contradictions of a live bundle, all refused": ("ends", "contradiction refused"),
}


def live(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Live a batch; what it went through, and each failing seed with its reason."""
    first, cases = batch
    gc.disable()
    coverage, failures = Coverage(), []
    for seed in range(first, first + cases):
        try:
            coverage += live_with_relays(seed)
        except Exception as error:  # noqa: BLE001 - whatever a life dies of is what is looked for
            failures.append(failure(seed, error))
    gc.collect()
    return coverage.counts(), tuple(failures)


def work(progress: Progress) -> None:
    """Live on every core, and count."""
    coverage = Coverage.of_counts(progress.run.counts)
    for cases, (counts, failures) in in_batches(progress, live, batch=BATCH):
        coverage += Coverage.of_counts(counts)
        progress.run.counts = coverage.counts()
        progress.advance(cases, failures=failures)
    print(coverage)


def figures(run: Run) -> tuple[Figure, ...]:
    """What the lives went through; every fault and every end was drawn."""
    coverage = Coverage.of_counts(run.counts)
    return tuple(
        Figure(name=name, unit="", ours=float(getattr(coverage, group)[key]))
        for name, (group, key) in SHOWN.items()
    )


PART = Part(
    size=SIZE,
    cases="lives that go private first",
    work=work,
    figures=figures,
    not_covered=(
        "reorgs deeper than three blocks",
        "power that fails before the disk has what it said it has",
    ),
)
