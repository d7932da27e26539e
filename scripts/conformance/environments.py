"""Environments beside .venv, each made once and again when what it is made of changes."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLASHBOTS = Path(__file__).with_name("flashbots.txt")
ETHERS = Path(__file__).with_name("ethers")
WEB3_7 = "web3==7.16.*"
DEGENBOT = "degenbot==0.3.0"
CVXPY = ("cvxpy==1.9.3", "clarabel==0.11.1")
NETWORKX = "networkx==3.6.1"
UNISWAP_SDKS = ("@uniswap/v2-sdk@4.21.4", "@uniswap/v3-sdk@3.31.5", "@uniswap/sdk-core@7.19.4")
# What web3 7.16 wants older than the newest web3 does; the rest stays as in constraints.txt.
_HELD_BACK = re.compile(r"^(web3|websockets)==", re.MULTILINE)
_INSTALL_TIMEOUT_S = 900


class EnvironmentFailed(Exception):
    """An environment cannot be made; the message ends with what the installer said last."""


def flashbots() -> Path:
    """The Python that has the official flashbots client, with its own pins."""
    return _made(".venv-conformance", ["--requirement", str(FLASHBOTS)], FLASHBOTS.read_text())


def ethers() -> Path:
    """The folder that has the official ethers client, exactly as its lock file says."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise EnvironmentFailed("npm not found: install Node.js 18 or newer")
    place = ROOT / ".npm-conformance"
    files = [ETHERS / "package.json", ETHERS / "package-lock.json"]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = place / ".stamp"
    if stamp.is_file() and stamp.read_text() == wanted:
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for file in files:
        shutil.copy(file, place)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    _run([npm, "ci", *quiet], f"installing into {place.name}", folder=place)
    stamp.write_text(wanted)
    return place


def web3_7() -> Path:
    """The Python that has this project with web3 7.16."""
    constraints = (ROOT / "constraints.txt").read_text()
    held = "".join(line for line in constraints.splitlines(True) if not _HELD_BACK.match(line))
    recipe = held + WEB3_7 + (ROOT / "pyproject.toml").read_text()
    arguments = ["--no-binary", "mev-toolkit", "--editable", ".[dev]", WEB3_7]
    return _made(".venv-web3-7", arguments, recipe, constraints=held)


def degenbot() -> Path:
    """The Python that has the peer of exact quotes in Python."""
    return _made(".venv-degenbot", [DEGENBOT], DEGENBOT)


def cvxpy() -> Path:
    """The Python that has the peers of splits and networks: a convex solver and its language."""
    return _made(".venv-cvxpy", list(CVXPY), " ".join(CVXPY))


def networkx() -> Path:
    """The Python that has the peer of searches for cycles."""
    return _made(".venv-networkx", [NETWORKX], NETWORKX)


def uniswap_sdks() -> Path:
    """The folder that has Uniswap's own SDKs, the peers of exact quotes in JavaScript."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise EnvironmentFailed("npm not found: install Node.js 18 or newer")
    place = ROOT / ".npm-uniswap"
    stamp, wanted = place / ".stamp", " ".join(UNISWAP_SDKS)
    if stamp.is_file() and stamp.read_text() == wanted:
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    flags = ["--prefix", str(place), "--no-save", "--no-package-lock", "--ignore-scripts"]
    quiet = ["--no-audit", "--no-fund", "--loglevel", "error"]
    _run([npm, "install", *flags, *quiet, *UNISWAP_SDKS], f"installing into {place.name}")
    stamp.write_text(wanted)
    return place


def version(python: Path, package: str) -> str:
    """The version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _made(name: str, arguments: list[str], recipe: str, *, constraints: str = "") -> Path:
    place = ROOT / name
    python, stamp = place / "bin" / "python", place / ".stamp"
    wanted = hashlib.sha256(f"{recipe}{constraints}{sys.version}".encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(place)], f"creating {name}")
    pins = place / "constraints.txt"
    pins.write_text(constraints)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    wheels = ["--only-binary", ":all:", "--constraint", str(pins)]
    _run([*pip, *wheels, *arguments], f"installing into {name}")
    stamp.write_text(wanted)
    return python


def npm_version(place: Path, package: str) -> str:
    """The version of a package in a folder of npm's."""
    about = json.loads((place / "node_modules" / package / "package.json").read_text())
    return str(about["version"])


def _run(command: list[str], what: str, *, folder: Path = ROOT) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            timeout=_INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFailed(
            f"{what} took over {_INSTALL_TIMEOUT_S} s: is the package registry reachable?"
        ) from None
    if done.returncode:
        said = "; ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise EnvironmentFailed(f"{what} failed: {said}")
