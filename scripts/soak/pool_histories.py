"""Pool states over random chains with reorgs: equal to a rebuild always, and what guards that."""

import gc
import random
from collections import Counter
from functools import partial

from scripts.bench.figures import Figure
from scripts.soak.mutants import Mutant
from scripts.soak.mutations import failing, noticed_by
from scripts.soak.pool_mutants import CHAINS, MUTANTS
from scripts.soak.record import Part, Progress, Run
from scripts.soak.simulation import failure
from scripts.soak.workers import Batch, in_batches
from tests.pools.deployed import Deployed
from tests.pools.forks import Chain, check, follow

SIZE = 10_000
BATCH = 50
SEEDS = 200
"""A missing guard must be noticed within as many."""
GENUINE_EVERY = 10
"""One chain in so many is of the genuine contracts' own logs, in revm."""

PROGRAM = f"""
import json, sys
from tests.pools.forks import check
for number, seed in enumerate(range(int(sys.argv[1]), int(sys.argv[1]) + {SEEDS}), start=1):
    try:
        check(seed)
    except BaseException as error:  # safe because the parent is told: any death is a notice
        why = str(error).splitlines() or [""]
        print(json.dumps([number, f"{{type(error).__name__}}: {{why[0]}}"]))
        break
else:
    print(json.dumps([0, ""]))
"""


def try_batch(genuine_every: int, batch: Batch) -> tuple[Counter[str], tuple[str, ...]]:
    """Follow a batch of chains; what came up in them, and what fell short."""
    came_up: Counter[str] = Counter()
    failures = []
    for seed in range(batch[0], sum(batch)):
        genuine = seed % genuine_every == 0
        try:
            came_up += _genuine(seed) if genuine else check(seed)
        except Exception as error:  # noqa: BLE001 - whatever it dies of is what is looked for
            failures.append(failure(seed, error))
        came_up["chains of genuine contracts"] += genuine
    gc.collect()
    return came_up, tuple(failures)


def _genuine(seed: int) -> Counter[str]:
    rng = random.Random(seed)  # noqa: S311 - a replayable chain, nothing secret
    return follow(Chain(Deployed(rng), rng, depth=rng.choice([1, 3, 64])))


def work(progress: Progress) -> None:
    """Follow every chain, on every core."""
    for cases, (counts, failures) in in_batches(
        progress, partial(try_batch, GENUINE_EVERY), batch=BATCH
    ):
        progress.add(counts)
        progress.advance(cases, failures=failures)


def figures(run: Run) -> tuple[Figure, ...]:
    """What came up, so that it is seen that it did."""
    counts = {name: n for name, n in run.counts.items() if not isinstance(n, dict)}
    return tuple(
        Figure(name=name, unit="", ours=float(count)) for name, count in sorted(counts.items())
    )


def take_out(progress: Progress) -> None:
    """Take out guard after guard; the first case is the package as it is, which must hold."""
    while progress.more():
        place = progress.run.done
        wrong = _lacking(progress, MUTANTS[place - 1]) if place else _whole(progress)
        progress.advance(1, failures=wrong)


def noticed(mutant: Mutant | None, seed: int) -> tuple[int, str]:
    """How many chains it took to notice a missing guard, and what was noticed; 0 if none did.

    Raises:
        DataError, RuntimeError: as `noticed_by`.
    """
    return noticed_by(mutant, PROGRAM, str(seed))


def _whole(progress: Progress) -> tuple[str, ...]:
    tests = tuple(sorted({one.detector for one in MUTANTS} - {CHAINS}))
    told = noticed(None, progress.run.seed)[1] or failing(None, tests)
    return (f"the package as it is: {told}",) if told else ()


def _lacking(progress: Progress, mutant: Mutant) -> tuple[str, ...]:
    if mutant.detector == CHAINS:
        number, why = noticed(mutant, progress.run.seed)
        told = f"after {number}: {why}" if number else ""
        progress.most("most chains until noticed", number)
    else:
        told = failing(mutant, (mutant.detector,))
    print(f"  {mutant.name}: {told or 'SURVIVED'}", flush=True)
    return () if told else (f"{mutant.name} ({mutant.file}) is not noticed",)


PARTS = {
    "pools-histories": Part(
        size=SIZE,
        cases="chains with reorgs",
        work=work,
        figures=figures,
        not_covered=("dynamic fees of V4: they have no event, and are read from the node",),
    ),
    "pools-mutations": Part(
        size=1 + len(MUTANTS),
        cases="packages (as it is, and with one guard less)",
        work=take_out,
        figures=figures,
        not_covered=("two guards missing at once",),
    ),
}
