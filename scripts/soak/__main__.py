"""Soaks: the full sizes, in bounded time; one JSON a run in scripts/soak/results/.

`python -m scripts.soak [--area run]`. SOAK_S bounds a sampling run in seconds (default 600), 0
means the full size. A run continues after the last seed of earlier runs of the same commit.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.bench.__main__ import FIGURES
from scripts.bench.__main__ import RESULTS as FIGURE_RESULTS
from scripts.bench.checkout import ROOT, commit
from scripts.bench.figures import AreaResult, Figure, Measured, load, render, store

RESULTS = Path(__file__).resolve().parent / "results"
FULL_SEEDS = 100
AREA = "soak-run"  # in docs/FIGURES.md
NEEDED = {
    "landed_arbitrage_bundles": 5,
    "bundles_lost_to_a_rival": 1,
    "momentum_trades": 2,
    "momentum_pauses_ended": 1,
    "rebalancing_trades": 1,
    "vetoes": 1,
    "netted_conflicts": 1,
}
"""What every seed of the main job must show."""


def demo(seed: int, *, data: bool, folder: Path) -> dict[str, Any]:
    """Run the main job once in a process of its own; its summary, or what it said instead."""
    environment = dict(os.environ) if data else {**os.environ, "TOOLKIT_DATA": "/nonexistent"}
    report = folder / f"{seed}-{'data' if data else 'process'}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "toolkit", "demo", "--json"),
            *("--seed", str(seed), "--report", str(report)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=300,
    )
    try:
        summary: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"error": (done.stderr or done.stdout).strip()[-400:]}
    return summary


def shortfalls(summary: dict[str, Any]) -> list[str]:
    """Return what one run lacks: broken invariants, and counts below what must be shown."""
    if "invariants" not in summary:
        return [str(summary.get("error", "no summary"))]
    broken = [name for name, held in summary["invariants"].items() if not held]
    few = [
        f"{name} {summary['counts'][name]} < {least}"
        for name, least in NEEDED.items()
        if summary["counts"][name] < least
    ]
    return broken + few


def cases(first: int) -> Iterator[tuple[int, bool]]:
    """Every seed with recorded data and without."""
    for seed in range(first, FULL_SEEDS + 1):
        yield seed, True
        yield seed, False


def soak_run(limit_s: float) -> dict[str, Any]:
    """Run the main job over many seeds; count what falls short."""
    done: list[dict[str, Any]] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for seed, data in cases(_resume()):
            if limit_s and time.monotonic() - started > limit_s:
                break
            summary = demo(seed, data=data, folder=Path(folder))
            lacking = shortfalls(summary)
            counts = summary.get("counts", {})
            done.append({"seed": seed, "data": data, "lacking": lacking, "counts": counts})
            print(f"seed {seed} {'data' if data else 'process'}: {lacking or 'ok'}", flush=True)
    return {
        "area": "run",
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "seeds": [one["seed"] for one in done],
        "runs": len(done),
        "ok": sum(not one["lacking"] for one in done),
        "seconds": round(time.monotonic() - started, 1),
        "details": done,
    }


def _resume() -> int:
    """Return the first seed that no earlier run of this commit has finished."""
    seen = [0]
    for path in RESULTS.glob("run-*.json"):
        earlier = json.loads(path.read_text())
        if earlier["commit"] == commit() and earlier["seeds"]:
            seen.append(max(earlier["seeds"]))
    return max(seen) + 1 if max(seen) < FULL_SEEDS else 1


def figures(result: dict[str, Any]) -> AreaResult:
    """Put a soak into the form of docs/FIGURES.md."""
    counts = [one["counts"] for one in result["details"] if one["counts"]]
    least = [
        Figure(
            name=f"fewest {name.replace('_', ' ')} in a run",
            unit="",
            ours=float(min((one[name] for one in counts), default=0)),
        )
        for name in NEEDED
    ]
    short = Figure(
        name=f"of {result['runs']} runs that lack something the issue names",
        unit="",
        target=0,
        ours=float(result["runs"] - result["ok"]),
    )
    return AreaResult(
        area=AREA,
        date=result["date"],
        commit=result["commit"],
        seed=min(result["seeds"], default=0),
        cores=os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 1),
        python=platform.python_version(),
        seconds=result["seconds"],
        command="make soak AREA=run",
        measured=Measured(
            figures=(short, *least),
            not_covered=(f"seeds beyond {max(result['seeds'], default=0)}, more than 60 blocks",),
        ),
    )


def main() -> int:
    """Run one area; exit code 1 if anything fell short."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--area", choices=["run"], default="run")
    parser.parse_args()
    result = soak_run(float(os.environ.get("SOAK_S", "600")))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"run-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    store(figures(result), FIGURE_RESULTS)
    FIGURES.write_text(render(load(FIGURE_RESULTS)))
    print(f"{result['ok']} of {result['runs']} runs ok; {path.relative_to(ROOT)}")
    return 0 if result["ok"] == result["runs"] else 1


if __name__ == "__main__":
    sys.exit(main())
