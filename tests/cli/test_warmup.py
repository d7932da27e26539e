import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """The toolkit where numba may not write: installed by somebody else."""
    home = tmp_path / "site"
    shutil.copytree(
        ROOT / "toolkit", home / "toolkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    for folder in ("pools/kernels", "routing/kernels"):
        (home / "toolkit" / folder / "__pycache__").write_text("a file where a folder is wanted")
    return home


def run(code: str | None, home: Path, *words: str) -> tuple[str, str]:
    """Run a program, or the command, in that install; returns what it printed and told."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    command = ["-m", "toolkit", *words] if code is None else ["-c", code]
    done = subprocess.run(
        [sys.executable, *command],
        env={
            **kept,
            "PYTHONPATH": str(home),
            "HOME": str(home.parent),
            "XDG_CACHE_HOME": str(home.parent / "cache"),
        },
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_read_only_install_compiles_once_and_says_so(read_only: Path) -> None:
    """Lines on stderr while it compiles, the user's folder keeps it, the next time is silent."""
    words = ("warmup", "--only", "constant_product")

    out, err = run(None, read_only, *words)
    again, silent = run(None, read_only, *words, "--json")

    kernel = "toolkit.pools.kernels.constant_product.quote"
    assert re.search(r"^constant_product: ready in \d+\.\d+ s$", out)
    assert f"toolkit: compiling {kernel}, kept for the next time ..." in err
    assert re.search(rf"toolkit: compiled {kernel} in \d+\.\d s", err)
    assert silent == ""
    assert json.loads(again)["kernels"] == ["constant_product"]
    cached = {file.name.split("-")[0] for file in (read_only.parent / "cache").rglob("*.nbc")}
    assert cached == {"constant_product.quote"}


def test_only_families_in_use_are_compiled(read_only: Path) -> None:
    """A snapshot of both families compiles what is asked for: constant product alone."""
    program = """
import numpy as np
from toolkit.pools import warm
from toolkit.pools.packed import Packed
from toolkit.pools.snapshot import Snapshot
import msgspec, logging
pair, ticked = warm._POOLS.values()
ticked = msgspec.structs.replace(ticked, id="0x" + "1" * 40)
head = warm.Head(number=0, hash="", parent_hash="", timestamp=0, base_fee_per_gas=0,
                 gas_limit=0, gas_used=0)
packed = Packed.of(Snapshot(block=head, tokens={}, pools={p.id: p for p in (pair, ticked)}))
print(packed.quote_in(packed.places([pair.id]), np.array([True]), [1000]).amounts())
"""
    printed, _ = run(program, read_only)

    cached = {file.name.split("-")[0] for file in (read_only.parent / "cache").rglob("*.nbc")}
    assert printed == "[996]\n"
    assert cached == {"constant_product.quote"}


def test_an_unknown_family_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the families there are."""
    code = main(["warmup", "--only", "curve"])

    assert code == 2
    assert "curve" in capsys.readouterr().err
