"""Soaks: the full sizes, in bounded time; one JSON a run in scripts/soak/results/.

`python -m scripts.soak [--area NAME] [--seed N]`, or `make soak [AREA=NAME]`; without an area all
parts run in turn. SOAK_S bounds a sampling run in seconds (default 600), 0 means the full size; the
parts share what is left when their turn comes. A run that was cut short is gone on with by the next
one of the same commit. Exits 1 when anything fell short.
"""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scripts.bench.__main__ import FIGURES
from scripts.bench.__main__ import RESULTS as FIGURE_RESULTS
from scripts.bench.figures import load, render, store
from scripts.soak import (
    bumps,
    bundle_blocks,
    bundle_fallback,
    bundle_kill,
    bundle_optimum,
    bundle_tracker,
    chaos,
    demo,
    kill,
    ledger,
    mutations,
    orchestrator_kill,
    pool_histories,
    properties,
    races,
    rivals,
    simulation,
    vectors,
    worlds,
)
from scripts.soak.record import RESULTS, Part, area_result, begin

PARTS: dict[str, Part] = {
    "run": demo.PART,
    "scheduler-simulation": simulation.PART,
    "scheduler-worlds": worlds.PART,
    "scheduler-mutations": mutations.PART,
    "scheduler-bumps": bumps.PART,
    "scheduler-races": races.PART,
    "scheduler-rivals": rivals.PART,
    "scheduler-kill": kill.PART,
    "scheduler-chaos": chaos.PART,
    "bundles-blocks": bundle_blocks.PART,
    "bundles-optimum": bundle_optimum.PART,
    "bundles-fallback": bundle_fallback.PART,
    "bundles-kill": bundle_kill.PART,
    "bundles-tracker": bundle_tracker.PART,
    "orchestrator-ledger": ledger.PART,
    "orchestrator-kill": orchestrator_kill.PART,
    **vectors.PARTS,
    **properties.PARTS,
    **pool_histories.PARTS,
}
AREAS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in PARTS},
    "scheduler-simulation": ("scheduler-simulation", "scheduler-worlds"),
    **{
        group: tuple(name for name in PARTS if name.startswith(f"{group}-"))
        for group in ("scheduler", "bundles", "orchestrator", "pools")
    },
    "vectors": ("pools-vectors",),
    "all": tuple(PARTS),
}
FIRST_SEED = {"run": 2}  # two runs a seed, from seed 1
FRESH = frozenset({"pools-histories", *vectors.PARTS})  # a new run's first seed is drawn
DEFAULT_S = 600.0


def soak(name: str, *, limit_s: float, seed: int | None, folder: Path = RESULTS) -> bool:
    """Run one part, write it down, and say whether nothing fell short."""
    part, busy = PARTS[name], os.getloadavg()[0]
    first = _first(name) if seed is None else seed
    progress = begin(name, part, seed=first, limit_s=limit_s, folder=folder)
    print(f"{name}: {part.size:,} {part.cases} from seed {progress.next_seed}", flush=True)
    try:
        part.work(progress)
    finally:
        progress.save()
    run = progress.run
    if folder == RESULTS:
        store(area_result(run, part, load=busy), FIGURE_RESULTS)
        FIGURES.write_text(render(load(FIGURE_RESULTS)))
    print(f"{run.done:,} {part.cases}, {run.failed} fell short; {progress.path.name}", flush=True)
    return run.failed == 0


def _first(name: str) -> int:
    return secrets.randbits(32) if name in FRESH else FIRST_SEED.get(name, 0)


def shared(
    names: Sequence[str], limit_s: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[str, float]]:
    """Each part with its seconds, an equal share of what is left at its turn; 0: no limit."""
    end = clock() + limit_s
    for place, name in enumerate(names):
        # A second at least: 0 would mean the full size.
        yield name, max(1.0, (end - clock()) / (len(names) - place)) if limit_s else 0.0


def main() -> int:
    """Run one area's parts in turn, or all there are."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--area", choices=sorted(AREAS), default="all")
    parser.add_argument("--seed", type=int, help="the first seed of a new run")
    arguments = parser.parse_args()
    limit_s = float(os.environ.get("SOAK_S", DEFAULT_S))
    turns = shared(AREAS[arguments.area], limit_s)
    held = [soak(name, limit_s=share, seed=arguments.seed) for name, share in turns]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
