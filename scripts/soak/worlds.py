"""500 seeded lives of every kind of world beside the mixed one; see `toolkit.testing.worlds`."""

import gc

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.simulation import failure
from scripts.soak.workers import Batch, in_batches
from toolkit.testing.coverage import Counts
from toolkit.testing.worlds import WORLDS

NAMES = tuple(name for name in WORLDS if name != "chaotic")  # that one has a soak of its own
LIVES = 500
BATCH = 2 * len(NAMES)


def live(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Live a batch, the worlds in turn; events by world, and each failing seed with its reason."""
    first, cases = batch
    gc.disable()
    counts: dict[str, int] = {}
    failures = []
    for seed in range(first, first + cases):
        name = NAMES[seed % len(NAMES)]
        try:
            events = WORLDS[name](seed).events
        except Exception as error:  # noqa: BLE001 - whatever a life dies of is what is looked for
            failures.append(f"{name}: {failure(seed, error)}")
        else:
            counts[f"events: {name}"] = counts.get(f"events: {name}", 0) + events
            counts[f"lives: {name}"] = counts.get(f"lives: {name}", 0) + 1
    gc.collect()
    return dict(counts), tuple(failures)


def work(progress: Progress) -> None:
    """Live on every core, and count."""
    for cases, (counts, failures) in in_batches(progress, live, batch=BATCH):
        progress.add({name: n for name, n in counts.items() if not isinstance(n, dict)})
        progress.advance(cases, failures=failures)


def figures(run: Run) -> tuple[Figure, ...]:
    """How many lives of each world ended in the truth."""
    lived = {name: run.counts.get(f"lives: {name}", 0) for name in NAMES}
    return tuple(
        Figure(name=f"lives in the {name} world", unit="", ours=float(n))
        for name, n in lived.items()
        if not isinstance(n, dict)
    )


PART = Part(
    size=LIVES * len(NAMES),
    cases="lives in worlds of one stress each",
    work=work,
    figures=figures,
    not_covered=("power that fails before the disk has what it said it has",),
)
