"""The orchestrator's properties at their full size, and what each guard is worth to them."""

import gc
import time
from functools import partial
from importlib import import_module
from pkgutil import iter_modules

from scripts.bench.figures import Figure
from scripts.soak import orchestrator_mutants
from scripts.soak.mutants import Mutant
from scripts.soak.mutations import failing, noticed_by
from scripts.soak.record import Part, Progress, Run
from scripts.soak.simulation import failure
from scripts.soak.workers import Batch, in_batches
from tests.orchestrator.properties.table import names, property_named

SIZE = 10_000
BATCH = 100
SEEDS = 200
"""A missing guard must be noticed within as many."""
MOST_S = 120.0
"""For 10,000 seeds on two cores, as the issue has it."""
PREFIX = "property:"
"""What a mutant's detector begins with where a property must notice it; else a test file."""

PROGRAM = f"""
import json, sys
from tests.orchestrator.properties.table import property_named
one, first = property_named(sys.argv[1]), int(sys.argv[2])
for number, seed in enumerate(range(first, first + {SEEDS}), start=1):
    try:
        one.check(seed)
    except BaseException as error:  # safe because the parent is told: any death is a notice
        why = str(error).splitlines() or [""]
        print(json.dumps([number, f"{{type(error).__name__}}: {{why[0]}}"]))
        break
else:
    print(json.dumps([0, ""]))
"""


def try_batch(name: str, batch: Batch) -> tuple[str, ...]:
    """Try a batch of seeds of one property."""
    first, cases = batch
    gc.disable()
    one, failures = property_named(name), []
    for seed in range(first, first + cases):
        try:
            one.check(seed)
        except Exception as error:  # noqa: BLE001 - whatever it dies of is what is looked for
            failures.append(failure(seed, error))
    gc.collect()
    return tuple(failures)


def work(name: str, progress: Progress) -> None:
    """Try every seed of one property, on every core."""
    started = time.monotonic()
    for cases, failures in in_batches(progress, partial(try_batch, name), batch=BATCH):
        progress.advance(cases, failures=failures)
    progress.add({"seconds": time.monotonic() - started})


def figures(run: Run) -> tuple[Figure, ...]:
    """How long the full size takes, from as many seeds as were tried."""
    seconds = run.counts.get("seconds", 0.0)
    assert not isinstance(seconds, dict)
    whole = seconds * SIZE / max(run.done, 1)
    return (Figure(name="10,000 seeds", unit="s", target=MOST_S, ours=whole),)


def noticed(mutant: Mutant | None, name: str, seed: int) -> tuple[int, str]:
    """How many seeds of a property it took to notice a missing guard; 0 if it was not.

    Raises:
        DataError, RuntimeError: as `noticed_by`.
    """
    return noticed_by(mutant, PROGRAM, name, str(seed))


def mutants() -> tuple[Mutant, ...]:
    """Every guard of the orchestrator, from the modules of `orchestrator_mutants`."""
    modules = sorted(one.name for one in iter_modules(orchestrator_mutants.__path__))
    return tuple(
        mutant
        for name in modules
        for mutant in import_module(f"{orchestrator_mutants.__name__}.{name}").MUTANTS
    )


def take_out(progress: Progress) -> None:
    """Take out guard after guard; the first case is the package as it is, which must hold."""
    every = mutants()
    while progress.more():
        place = progress.run.done
        wrong = _lacking(progress, every[place - 1]) if place else _whole(progress, every)
        progress.advance(1, failures=wrong)


def _whole(progress: Progress, every: tuple[Mutant, ...]) -> tuple[str, ...]:
    detectors = sorted({one.detector for one in every})
    wrong = []
    for detector in detectors:
        if detector.startswith(PREFIX):
            told = noticed(None, detector.removeprefix(PREFIX), progress.run.seed)[1]
        else:
            told = failing(None, (detector,))
        if told:
            wrong.append(f"the package as it is: {detector}: {told}")
    return tuple(wrong)


def _lacking(progress: Progress, mutant: Mutant) -> tuple[str, ...]:
    if mutant.detector.startswith(PREFIX):
        name = mutant.detector.removeprefix(PREFIX)
        number, why = noticed(mutant, name, progress.run.seed)
        told = f"after {number}: {why}" if number else ""
        progress.most("seeds", number)
        progress.add({"noticed by properties": bool(number)})
    else:
        told = failing(mutant, (mutant.detector,))
        progress.add({"noticed by tests": bool(told)})
    print(f"  {mutant.name}: {told or 'SURVIVED'}", flush=True)
    return () if told else (f"{mutant.name} ({mutant.file}) is not noticed",)


def mutation_figures(run: Run) -> tuple[Figure, ...]:
    """The most seeds that a mutant needed, and who noticed how many."""
    counts = {name: n for name, n in run.counts.items() if not isinstance(n, dict)}
    return (
        Figure(
            name="most seeds until a missing guard is noticed",
            unit="",
            target=float(SEEDS),
            ours=float(counts.get("seeds", 0)),
        ),
        *(
            Figure(name=f"missing guards {who}", unit="", ours=float(counts.get(who, 0)))
            for who in ("noticed by properties", "noticed by tests")
        ),
    )


PARTS: dict[str, Part] = {
    **{
        f"orchestrator-{name.replace('_', '-')}": Part(
            size=SIZE,
            cases="seeds",
            work=partial(work, name),
            figures=figures,
            not_covered=("a real chain: blocks, pools and fills are on paper",),
        )
        for name in names()
    },
    "orchestrator-mutations": Part(
        size=1 + len(mutants()),
        cases="packages (as it is, and with one guard less)",
        work=take_out,
        figures=mutation_figures,
        not_covered=("two guards missing at once",),
    ),
}
