"""Races: the author cancels and replaces what a block, a stranger or a reorg decides meanwhile."""

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.simulation import failure
from scripts.soak.workers import Batch, in_batches
from toolkit.testing.coverage import Counts, Coverage
from toolkit.testing.fakes import World
from toolkit.testing.simulation import Schedule, run_one

SIZE = 5_000
BATCH = 50


class Race(Schedule):
    """A short life in which everything of interest happens at the same time."""

    steps = 12

    def weights(self) -> dict[Callable[[], Coroutine[None, None, None]], int]:
        """Mostly clashes; enough requests and blocks to have something to clash about."""
        return {self._send: 3, self._clash: 6, self._head: 2, self._fees: 1}

    async def _clash(self) -> None:
        """What the author asks for and what the chain does, in any order and at once."""
        chain = self.rng.choice([self._head, self._outside, self._reorg])
        asked = self.rng.sample(
            [self._cancel, self._replace, self._cancel, self._replace], self.rng.randint(1, 3)
        )
        both = [chain, *asked]
        self.rng.shuffle(both)
        names = sorted(action.__name__.removeprefix("_") for action in both)
        self.coverage.actions["+".join(names)] += 1
        await asyncio.gather(*(action() for action in both))


def racing_world(rng: random.Random) -> World:
    """A world in which answers come in any order and some get lost."""
    return World(rng, delay=1.0, skip=0.2, lost_after=0.1, lost_before=0.05, lag=0.05, stale=0.05)


def race(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Run a batch of races."""
    first, cases = batch
    gc.disable()
    coverage, failures = Coverage(), []
    for seed in range(first, first + cases):
        try:
            coverage += run_one(racing_world, seed, schedule=Race)
        except Exception as error:  # noqa: BLE001 - whatever a race dies of is what is looked for
            failures.append(failure(seed, error))
    gc.collect()
    return coverage.counts(), tuple(failures)


def work(progress: Progress) -> None:
    """Run races on every core, and count how they ended."""
    coverage = Coverage.of_counts(progress.run.counts)
    for cases, (counts, failures) in in_batches(progress, race, batch=BATCH):
        coverage += Coverage.of_counts(counts)
        progress.run.counts = coverage.counts()
        progress.advance(cases, failures=failures)
    print(coverage)


def figures(run: Run) -> tuple[Figure, ...]:
    """Outcomes that were told and compared with the chain."""
    ends = Coverage.of_counts(run.counts).ends
    told = ("Confirmed", "Reverted", "Cancelled", "Expired", "Replaced")
    return tuple(
        Figure(
            name=f"ends told as {name}, each as the chain has it", unit="", ours=float(ends[name])
        )
        for name in told
    )


PART = Part(
    size=SIZE,
    cases="races",
    work=work,
    figures=figures,
    not_covered=("races on a real node", "two processes with one key"),
)
