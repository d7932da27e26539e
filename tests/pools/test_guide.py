"""The guide "Add a pool family" as it stands, applied to a copy of the toolkit and run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "pools.md"
BLOCK = re.compile(r"^```(py|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """The guide's blocks in their order: (py or diff, text)."""
    return [(found[1], found[2]) for found in BLOCK.finditer(GUIDE.read_text())]


def apply(folder: Path) -> None:
    """Do what the guide says, below a folder."""
    for kind, text in blocks():
        if kind == "py":
            name, _, code = text.removeprefix("# ").partition("\n")
            (folder / name).write_text(code)
            continue
        for part in re.split(r"^--- ", text, flags=re.MULTILINE)[1:]:
            name, _, hunks = part.partition("\n")
            (folder / name).write_text(changed((folder / name).read_text(), hunks, name))


def changed(text: str, hunks: str, name: str) -> str:
    """Apply hunks, each behind the one before, at the first place that reads as it does."""
    done = ""
    for hunk in re.split(r"^@@\n", hunks, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] or line for line in lines if not line.startswith("+"))
        new = "".join(line[1:] or line for line in lines if not line.startswith("-"))
        before, found, after = text.partition(old)
        assert found, f"{name} does not have the lines of the guide:\n{old}"
        done, text = done + before + new, after
    return done + text


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toolkit and its tests, with the guide applied."""
    folder = tmp_path_factory.mktemp("guide")
    without = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    shutil.copytree(ROOT / "toolkit", folder / "toolkit", ignore=without)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=without)
    shutil.copy(ROOT / "pyproject.toml", folder)
    apply(folder)
    return folder


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_family_of_the_guide_passes_its_tests(copy: Path) -> None:
    """Its own tests, those of every family and those of the signatures are green."""
    names = ("constant_sum", "families", "abi")
    files = [f"tests/pools/test_{name}.py" for name in names]

    done = run(copy, "-m", "pytest", "-q", "-W", "error", "-p", "no:xdist", *files)

    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_family_of_the_guide_is_quoted_from_a_file(copy: Path, tmp_path: Path) -> None:
    """The command line knows it without being told."""
    a, b, pool = ("0x" + digit * 40 for digit in "ab1")
    (tmp_path / "pools.json").write_text(
        f"""{{"version": 1, "block": {{"number": 1, "hash": "0x{"11" * 32}", "timestamp": 1}},
        "tokens": [{{"address": "{a}", "symbol": "A", "decimals": 18}},
                   {{"address": "{b}", "symbol": "B", "decimals": 18}}],
        "pools": [{{"id": "{pool}", "kind": "constant_sum", "tokens": ["{b}", "{a}"],
                    "reserves": ["10000", "0"], "fee_ppm": 100}}]}}"""
    )
    asked = ("--pool", pool, "--in", "A", "--out", "B", "--amount")

    gives = run(copy, "-m", "toolkit", "route", "quote", f"{tmp_path}/pools.json", *asked, "10000")
    fails = run(copy, "-m", "toolkit", "route", "quote", f"{tmp_path}/pools.json", *asked, "20000")

    assert (0, "9999 (0.000000000000009999 B out)\n") == (gives.returncode, gives.stdout)
    assert 1 == fails.returncode
    assert fails.stderr.startswith(f"toolkit: pool {pool}: amount_in: ")


def test_a_place_that_the_guide_no_longer_fits_is_named() -> None:
    """Whoever changes a line that the guide shows is told which, and in which file."""
    hunks = " first\n+second\n@@\n-third\n"

    assert "first\nsecond\n" == changed("first\nthird\n", hunks, "a.py")
    with pytest.raises(AssertionError, match=r"a\.py does not have the lines of the guide"):
        changed("third\nfirst\n", hunks, "a.py")
