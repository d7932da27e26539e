"""Forge's own tests, so that one command runs everything."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_unit_fuzz_and_invariant_tests_pass() -> None:
    """Every forge test that needs no node passes, fuzzed from a fresh seed."""
    seed = hex(random.randrange(2**64))
    print("fuzz seed", seed)
    run = [sys.executable, str(ROOT / "scripts" / "forge.py"), "test", "--fuzz-seed", seed]

    done = subprocess.run(
        [*run, "--no-match-path", "contracts/test/fork/*"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " 0 failed" in done.stdout


def test_sources_keep_to_the_formatter() -> None:
    """`forge fmt` has nothing to change in the contracts and their tests."""
    run = [sys.executable, str(ROOT / "scripts" / "forge.py"), "fmt", "--check", "contracts"]

    done = subprocess.run(run, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-4000:]


def test_a_missing_forge_is_one_clear_line(tmp_path: Path) -> None:
    """Without forge anywhere the runner says what to do and fails."""
    script = tmp_path / "scripts" / "forge.py"
    script.parent.mkdir()
    script.write_text((ROOT / "scripts" / "forge.py").read_text())
    environment = {"HOME": str(tmp_path), "PATH": ""}

    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, env=environment
    )

    assert done.returncode == 1
    assert "forge: not found; run `make setup` or set FORGE_BIN\n" == done.stderr


def test_npms_shim_is_not_taken_for_forge(tmp_path: Path) -> None:
    """A Node script named forge on the PATH is passed over."""
    script = tmp_path / "scripts" / "forge.py"
    script.parent.mkdir()
    script.write_text((ROOT / "scripts" / "forge.py").read_text())
    shim = tmp_path / "forge"
    shim.write_text("#!/usr/bin/env node\n")
    shim.chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, env=environment
    )

    assert "not found" in done.stderr


def test_the_compiler_wrapper_says_what_is_missing(tmp_path: Path) -> None:
    """Without npm's solc the wrapper names the place it looked in and the remedy."""
    wrapper = tmp_path / "scripts" / "solc"
    wrapper.parent.mkdir()
    wrapper.write_text((ROOT / "scripts" / "solc").read_text())

    done = subprocess.run(
        ["node", str(wrapper), "--version"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    missing = tmp_path / ".tools" / "node_modules" / "solc"
    assert f"solc: {missing} not found; run `make setup` (or set SOLCJS_MODULE)\n" == done.stderr
