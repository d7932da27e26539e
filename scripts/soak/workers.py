"""Batches of seeded cases on every core, in order."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from scripts.bench.figures import Figure
from scripts.soak.record import Progress, Run
from toolkit.testing.coverage import Counts

T = TypeVar("T")

Batch = tuple[int, int]
"""First seed and how many."""


def in_batches(
    progress: Progress, work: Callable[[Batch], T], *, batch: int
) -> Iterator[tuple[int, T]]:
    """Give batches of seeds to one process a core; yields (cases, answer) in order of seeds."""
    left = progress.run.size - progress.run.done
    first = progress.next_seed
    batches = [(first + done, min(batch, left - done)) for done in range(0, left, batch)]
    context = multiprocessing.get_context("spawn")
    cores = os.cpu_count() or 1
    with context.Pool(cores, initializer=gc.freeze) as pool:
        # As many at a time as there are cores, so that a time limit is kept.
        for index in range(0, len(batches), 2 * cores):
            if not progress.more():
                return
            some = batches[index : index + 2 * cores]
            for (_, cases), answer in zip(some, pool.imap(work, some), strict=True):
                yield cases, answer


def count_batches(
    progress: Progress,
    work: Callable[[Batch], tuple[Counts, tuple[str, ...]]],
    *,
    batch: int,
) -> None:
    """Give batches to every core, and add up what each counted and found wrong."""
    for cases, (counts, failures) in in_batches(progress, work, batch=batch):
        progress.add({name: n for name, n in counts.items() if not isinstance(n, dict)})
        progress.advance(cases, failures=failures)


def counted(run: Run) -> tuple[Figure, ...]:
    """Everything that was counted, by name."""
    return tuple(
        Figure(name=name, unit="", ours=float(count))
        for name, count in sorted(run.counts.items())
        if not isinstance(count, dict)
    )
