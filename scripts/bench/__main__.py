"""Benchmarks beside their peers: `python -m scripts.bench [--area NAME] [--seed N]`.

Each area writes scripts/bench/results/<area>.json, then docs/FIGURES.md is made anew from all of
them. Exits 0 when all was measured, 1 when an area failed; a missed target is reported, no failure.
"""

import argparse
import asyncio
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from scripts.bench import (
    builder,
    bus,
    clone,
    cycles,
    decisions,
    evm,
    journal,
    merging,
    network,
    pauses,
    quotes,
    relay,
    rpc,
    run,
    scheduler,
    signing,
    split,
    startup,
)
from scripts.bench.checkout import ROOT, commit
from scripts.bench.figures import AreaResult, Figure, Measured, load, render, store
from toolkit.model.errors import DataError

RESULTS = ROOT / "scripts" / "bench" / "results"
FIGURES = ROOT / "docs" / "FIGURES.md"
SEED = 1
AREA_TIMEOUT_S = {
    "builder": builder.TIMEOUT_S,
    "bus": bus.TIMEOUT_S,
    "clone": clone.TIMEOUT_S,
    "cycles": cycles.TIMEOUT_S,
    "decisions": decisions.TIMEOUT_S,
    "journal": journal.TIMEOUT_S,
    "merging": merging.TIMEOUT_S,
    "network": network.TIMEOUT_S,
    "pauses": pauses.TIMEOUT_S,
    "quotes": quotes.TIMEOUT_S,
    "relay": relay.TIMEOUT_S,
    "scheduler": scheduler.TIMEOUT_S,
    "split": split.TIMEOUT_S,
}
DEFAULT_TIMEOUT_S = 60
AREAS: dict[str, Callable[[int], Awaitable[Measured]]] = {
    "builder": builder.measure,
    "bus": bus.measure,
    "clone": clone.measure,
    "cycles": cycles.measure,
    "decisions": decisions.measure,
    "evm": evm.measure,
    "journal": journal.measure,
    "merging": merging.measure,
    "network": network.measure,
    "pauses": pauses.measure,
    "quotes": quotes.measure,
    "relay": relay.measure,
    "rpc": rpc.measure,
    "run": run.measure,
    "scheduler": scheduler.measure,
    "signing": signing.measure,
    "split": split.measure,
    "startup": startup.measure,
}
GROUPS = {"orchestrator": ("bus", "decisions", "merging", "pauses")}
"""Areas that belong together, by the name of what they are about."""


def measure(area: str, seed: int) -> AreaResult:
    """Measure one area within its time.

    Raises:
        TimeoutError: it took longer than it may.
    """
    start, load = time.perf_counter(), os.getloadavg()[0]

    async def bounded() -> Measured:
        async with asyncio.timeout(AREA_TIMEOUT_S.get(area, DEFAULT_TIMEOUT_S)):
            return await AREAS[area](seed)

    measured = asyncio.run(bounded())
    return AreaResult(
        area=area,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=commit(),
        seed=seed,
        cores=os.cpu_count() or 1,
        load=round(load, 1),
        python=platform.python_version(),
        seconds=round(time.perf_counter() - start, 1),
        command=f"make bench AREA={area}",
        measured=measured,
    )


def line(figure: Figure) -> str:
    """Write one figure for people who wait."""
    target = "" if figure.target is None else f"  target {figure.target:g}"
    peer = "" if figure.peer is None else f"  {figure.peer_name} {figure.peer:.3g}"
    missed = "" if figure.is_met else "  MISSED"
    return f"  {figure.name}: {figure.ours:.3g} {figure.unit}{target}{peer}{missed}"


def main() -> int:
    """Measure the areas asked for (default: all) and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument(
        "--area", choices=sorted({*AREAS, *GROUPS}), action="append", help="only this one"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"of what is drawn ({SEED})")
    arguments = parser.parse_args()
    failed = 0
    asked = arguments.area or sorted(AREAS)
    for area in [one for name in asked for one in GROUPS.get(name, (name,))]:
        print(f"{area} (seed {arguments.seed})", flush=True)
        try:
            result = measure(area, arguments.seed)
        except (RuntimeError, TimeoutError) as error:
            print(f"  not measured: {error or 'it took too long'}", file=sys.stderr)
            failed = 1
            continue
        store(result, RESULTS)
        print("\n".join(line(figure) for figure in result.measured.figures))
        print("\n".join(f"  not covered: {gap}" for gap in result.measured.not_covered), flush=True)
    FIGURES.parent.mkdir(exist_ok=True)
    try:
        FIGURES.write_text(render(load(RESULTS)))
    except DataError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"wrote {FIGURES.relative_to(ROOT)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
