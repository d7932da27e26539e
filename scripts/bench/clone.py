"""A stranger's first minutes: a fresh clone, `make run` with nothing installed, `make test`."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from scripts.bench.checkout import ROOT, git
from scripts.bench.figures import Figure, Measured

TIMEOUT_S = 1_200


async def measure(seed: int) -> Measured:
    """Clone HEAD into an empty folder and time both targets there; package caches may be warm.

    Raises:
        RuntimeError: a target failed; its last lines say why.
    """
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        git("clone", "--quiet", str(ROOT), str(clone))
        run_s = _timed(clone, "run", f"ARGS=--seed {seed}")
        packages = len(list(clone.glob(".venv/lib/python3*/site-packages/*.dist-info")))
        test_s = _timed(clone, "test")
    return Measured(
        figures=(
            Figure(name="make run, cold", unit="s", target=120, ours=run_s),
            Figure(name="make test, its own set-up included", unit="s", target=360, ours=test_s),
            Figure(name="installed packages", unit="", ours=packages),
        ),
        not_covered=(
            "a machine whose package caches are cold, or whose line is slow",
            "other platforms and other Pythons than the one named above",
        ),
    )


def _timed(clone: Path, *words: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    started = time.perf_counter()
    done = subprocess.run(
        ["make", *words],  # noqa: S607 - whichever make people have
        capture_output=True,
        text=True,
        check=False,
        cwd=clone,
        env=environment,
        timeout=TIMEOUT_S / 2,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-6:]
        raise RuntimeError(f"make {words[0]} failed in a fresh clone: {' / '.join(said)}")
    return time.perf_counter() - started
