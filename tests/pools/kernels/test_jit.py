import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULE = """
from toolkit.pools.kernels.jit import jit

@jit
def halved(x: float) -> float:
    return x / 2

print(halved(5.0), halved(-5.0))
"""


LISTENING = (
    """
import logging
import sys
from toolkit.pools.kernels import jit as place

place._sources = lambda folder: sys.argv[1]
handler = logging.Handler()
handler.emit = lambda record: print(record.msg["event"], record.msg["kernel"])
logging.getLogger("toolkit").addHandler(handler)
logging.getLogger("toolkit").setLevel(logging.INFO)
"""
    + MODULE
)


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A module whose __pycache__ cannot be made, as in an install owned by somebody else."""
    home = tmp_path / "package"
    home.mkdir()
    (home / "__pycache__").write_text("a file where numba wants a directory")
    module = home / "kernel.py"
    module.write_text(MODULE)
    return module


def run(module: Path, *arguments: str, **environment: str) -> str:
    """Run a module in a fresh interpreter; returns what it printed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    done = subprocess.run(
        [sys.executable, str(module), *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_read_only_install_caches_in_the_users_folder(read_only: Path, tmp_path: Path) -> None:
    """Where the package's own folder is not writable, compiled code goes to the user's cache."""
    cache = tmp_path / "cache"

    printed = run(read_only, XDG_CACHE_HOME=str(cache), HOME=str(tmp_path))

    assert printed == "2.5 -2.5"
    assert list(tmp_path.rglob("*.nbc")) != []


def test_without_any_writable_place_it_still_runs(read_only: Path) -> None:
    """Where nothing is writable the kernel is compiled for this process alone, not refused."""
    nowhere = str(read_only) + "/nowhere"

    assert run(read_only, XDG_CACHE_HOME=nowhere, HOME=nowhere) == "2.5 -2.5"


def test_with_compiling_disabled_the_function_runs_as_python(read_only: Path) -> None:
    """NUMBA_DISABLE_JIT=1 leaves plain Python, so kernels can be stepped through."""
    assert run(read_only, NUMBA_DISABLE_JIT="1") == "2.5 -2.5"


def test_compiling_is_told_and_done_once_until_a_source_changes(tmp_path: Path) -> None:
    """Who listens hears of a compilation; the next process has none, unless the sources differ."""
    module = tmp_path / "kernel.py"
    module.write_text(LISTENING)
    told = "kernel_compiling __main__.halved\nkernel_compiled __main__.halved\n"

    first, second, changed = (run(module, digest) for digest in ("one", "one", "two"))

    assert told + "2.5 -2.5" == first
    assert "2.5 -2.5" == second
    assert told + "2.5 -2.5" == changed


def test_what_an_older_version_compiled_for_types_that_moved_is_compiled_again(
    tmp_path: Path,
) -> None:
    """An index that names a module which is no more is emptied, and nobody is stopped by it."""
    module, told = tmp_path / "kernel.py", []
    for home in ("before", "after"):
        shape = (
            "from typing import NamedTuple\n\nclass Pair(NamedTuple):\n    x: float\n    y: float\n"
        )
        (tmp_path / f"{home}.py").write_text(shape)
        module.write_text(
            f"from {home} import Pair\n"
            "from toolkit.pools.kernels.jit import jit\n\n"
            "@jit\ndef total(pair: Pair) -> float:\n    return pair.x + pair.y\n\n"
            "print(total(Pair(1.0, 2.0)))\n"
        )
        told.append(run(module, NUMBA_CACHE_DIR=str(tmp_path / "cache")))
        (tmp_path / f"{home}.py").unlink()

    assert ["3.0", "3.0"] == told


def test_the_sources_of_a_kernel_are_those_of_its_folder_and_of_the_exact_ones(
    tmp_path: Path,
) -> None:
    """What kernels are made of is looked at too: every file beside it, and every file here."""
    exact = ROOT / "toolkit" / "pools" / "kernels"
    program = (
        "from toolkit.pools.kernels import jit\n"
        "asked = []\n"
        "jit._sources = lambda folder: asked.append(str(folder)) or ''\n"
        f"exec(compile({MODULE!r}, {str(tmp_path / 'kernel.py')!r}, 'exec'))\n"
        "print(*sorted(set(asked)))\n"
    )
    digest = (
        "from pathlib import Path; from toolkit.pools.kernels.jit import _sources; "
        f"print(_sources(Path({str(exact)!r})))"
    )

    (tmp_path / "kernel.py").write_text(MODULE)
    asked, told = (
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        for code in (program, digest)
    )

    sources = b"".join(file.read_bytes() for file in sorted(exact.glob("*.py")))
    assert {str(exact), str(tmp_path)} <= set(asked)
    assert [hashlib.sha256(sources).hexdigest()] == told


@pytest.mark.parametrize(
    "package", ["toolkit.pools.sync", "toolkit.routing.router", "toolkit.cli.warmup"]
)
def test_importing_does_not_load_numba(package: str) -> None:
    """Numba loads at the first search, not at import: start-up stays fast."""
    program = f"import sys, {package}; sys.exit('numba' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)

    assert done.returncode == 0
