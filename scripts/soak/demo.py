"""The main job over many seeds, each with recorded data and without."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run

SEEDS = 100
TIMEOUT_S = 300
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
        timeout=TIMEOUT_S,
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


def case(number: int) -> tuple[int, bool]:
    """The seed and whether there is recorded data, of the `number`-th run counted from 2."""
    return number // 2, number % 2 == 0


def work(progress: Progress) -> None:
    """Run the main job seed by seed; count what falls short."""
    with tempfile.TemporaryDirectory() as folder:
        while progress.more():
            seed, data = case(progress.next_seed)
            summary = demo(seed, data=data, folder=Path(folder))
            lacking = shortfalls(summary)
            for name in NEEDED:
                if name in summary.get("counts", {}):
                    progress.most(f"-{name}", -summary["counts"][name])
            name = f"seed {seed} with {'recorded' if data else 'made'} prices"
            print(f"  {name}: {'; '.join(lacking) or 'ok'}", flush=True)
            progress.advance(
                1, failures=tuple(f"{name}: {'; '.join(lacking)}" for _ in lacking[:1])
            )


def figures(run: Run) -> tuple[Figure, ...]:
    """The fewest of everything that a run must show."""
    return tuple(
        Figure(name=f"fewest {name.replace('_', ' ')} in a run", unit="", ours=_fewest(run, name))
        for name in NEEDED
    )


def _fewest(run: Run, name: str) -> float:
    value = run.counts.get(f"-{name}", 0)
    assert not isinstance(value, dict)
    return -float(value)


PART = Part(
    size=2 * SEEDS,
    cases="runs",
    work=work,
    figures=figures,
    not_covered=("more than 60 blocks in a run",),
)
