"""The on-chain executor against genuine protocol bytecode."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.fork
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_forge_fork_tests_pass(fork_url: str) -> None:
    """Every funding kind, own capital with USDT, the guards and leaked plans, in forge."""
    command = [sys.executable, str(ROOT / "scripts" / "forge.py"), "test"]

    done = subprocess.run(
        [*command, "--match-path", "contracts/test/fork/*"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"FORK_RPC_URL": fork_url},
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " 0 failed" in done.stdout
