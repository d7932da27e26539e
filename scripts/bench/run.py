"""The main job as it is run: `toolkit demo` in a new process, and the twin it begins with."""

import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import medians
from toolkit.devnet.twin import TwinConfig, build_twin

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 55


async def measure(seed: int) -> Measured:
    """Time one whole run with kernels compiled and bytecode cached, and five builds of the twin.

    Raises:
        RuntimeError: the run failed; its last line says why.
    """

    async def demo() -> None:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "toolkit", "demo", "--seed", str(seed)]
            try:
                done = subprocess.run(  # noqa: ASYNC221 - nothing else is to run meanwhile
                    [*command, "--json", "--report", folder],
                    capture_output=True,
                    text=True,
                    check=False,
                    cwd=ROOT,
                    timeout=TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"toolkit demo took more than {TIMEOUT_S} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
            raise RuntimeError(f"toolkit demo --seed {seed} failed: {said[-1]}")

    async def twin() -> None:
        built = await build_twin(TwinConfig(seed=seed))
        await built.anvil.stop()

    (run_s,) = await medians((demo,), rounds=1, warm_up=0)
    (twin_s,) = await medians((twin,), rounds=5)
    return Measured(
        figures=(
            Figure(name="toolkit demo, warm", unit="s", target=30, ours=run_s),
            Figure(name="building the twin", unit="s", target=3, ours=twin_s),
        ),
        not_covered=(
            "the spread over seeds and over recorded data present or absent: `make soak`",
        ),
    )
