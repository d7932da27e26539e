"""What starting costs: importing the package and asking the command for help, in new processes."""

import os
import subprocess
import sys
from pathlib import Path

from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import medians, versions

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 9
MS = 1e3
HEAVY = ("numba", "web3")


def _python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise RuntimeError(f"python {' '.join(arguments)} failed: {said[-1]}")
    return done.stdout


async def measure(seed: int) -> Measured:
    """Time child processes; nothing in them depends on the seed."""
    del seed

    async def nothing() -> None:
        _python("-c", "pass")

    async def package() -> None:
        _python("-c", "import toolkit")

    async def peer() -> None:
        _python("-c", "import web3")

    async def asked_for_help() -> None:
        _python("-m", "toolkit", "--help")

    works = (nothing, package, peer, asked_for_help)
    bare, with_package, with_peer, help_s = await medians(works, rounds=ROUNDS)
    question = f"import sys, toolkit; print(sum(name in sys.modules for name in {HEAVY!r}))"
    return Measured(
        figures=(
            Figure(
                name="import toolkit",
                unit="ms",
                target=150,
                ours=(with_package - bare) * MS,
                peer=(with_peer - bare) * MS,
                peer_name="import web3",
            ),
            Figure(
                name="of numba and web3 loaded by it",
                unit="",
                target=0,
                ours=float(_python("-c", question)),
            ),
            Figure(name="toolkit --help", unit="ms", target=300, ours=help_s * MS),
        ),
        peers=versions("web3"),
        not_covered=("a cold disk cache", "a Python without compiled bytecode files"),
    )
