"""Set up everything the project needs, idempotently: `scripts/setup.sh run` or `all`.

`run` is what `make run` needs (core packages, Anvil, protocol bytecode); `all` adds what checks
and tests need (linters, pytest, forge, solc). Standard library only: it runs before anything is
installed. Every fetched file is checked against the sha256 in scripts/tools.json.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NotRequired, TypedDict

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
MODULES = TOOLS / "node_modules"
LEVELS = ("run", "all")
MINIMUM_FOUNDRY = (1, 5)
STEP_TIMEOUT_S = 600
LICENCES = ("license", "license.md", "licenses", "license_bsl")


class Part(TypedDict):
    """One level of scripts/tools.json."""

    packages: list[str]
    binaries: dict[str, str]
    sha256: dict[str, str]
    trimmed: NotRequired[list[str]]  # packages of which only the files with a sha256 are kept


class SetupError(Exception):
    """A step that cannot go on; the message is the one line the user sees."""


def step(title: str, work: Callable[[], str]) -> None:
    """Run one step and print its outcome with its seconds."""
    started = time.perf_counter()
    note = work()
    print(f"  {title:<34} {time.perf_counter() - started:6.1f} s  {note}", flush=True)


def run(command: list[str], what: str) -> None:
    """Run a command quietly; on failure show the end of what it said."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=STEP_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"setup: {what} took over {STEP_TIMEOUT_S} s: is the package registry reachable?"
        ) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-15:]
        raise SetupError("\n".join([*said, f"setup: {what} failed: {' '.join(command[:4])} …"]))


def digest(path: Path) -> str:
    """Return the sha256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: str | Path) -> str:
    """Hash files and strings into the stamp that says when a step is up to date."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, Path) else part.encode())
    return total.hexdigest()


def stamped(directory: Path, level: str, wanted: str) -> bool:
    """Tell whether this level, or a higher one, was completed for the same inputs."""
    higher = LEVELS[LEVELS.index(level) :]
    stamps = (directory / f".stamp-{name}" for name in higher)
    return any(stamp.is_file() and stamp.read_text() == wanted for stamp in stamps)


def python_packages(level: str) -> str:
    """Create .venv and install the pinned packages, wheels only, and the project itself."""
    wanted = fingerprint(ROOT / "pyproject.toml", ROOT / "constraints.txt", sys.version)
    python = VENV / "bin" / "python"
    if stamped(VENV, level, wanted) and python.exists():
        return "up to date"
    uv = shutil.which("uv")
    if not python.exists() or (VENV / ".python").read_text() != sys.version:
        shutil.rmtree(VENV, ignore_errors=True)
        make = [uv, "venv", "-q", "--python", sys.executable, str(VENV)] if uv else None
        run(
            make or [sys.executable, "-m", "venv", str(VENV)],
            "creating .venv (on Debian: apt install python3-venv)",
        )
        (VENV / ".python").write_text(sys.version)
    target = ".[dev]" if level == "all" else "."
    pip = (
        [uv, "pip", "install", "-q", "--python", str(python)]
        if uv
        else [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    )
    os.environ["PIP_CONSTRAINT"] = os.environ["UV_BUILD_CONSTRAINT"] = str(ROOT / "constraints.txt")
    constraints = ["--constraint", "constraints.txt"]
    binary = ["--only-binary", ":all:", "--no-binary", "mev-toolkit"]
    run([*pip, *binary, *constraints, "--editable", target], "installing Python packages")
    (VENV / f".stamp-{level}").write_text(wanted)
    return f"{len(list(VENV.glob('lib/python3*/site-packages/*.dist-info')))} packages"


def machine() -> str:
    """Name this platform as the npm packages do: linux-amd64, darwin-arm64, …."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}-{arch}"


def installed_foundry(tool: str) -> Path | None:
    """Find a Foundry binary the user already has; npm's Node shims do not count."""
    places = [
        os.environ.get(f"{tool.upper()}_BIN"),
        str(Path(os.environ["FOUNDRY_BIN"]) / tool) if "FOUNDRY_BIN" in os.environ else None,
        shutil.which(tool),
        str(Path.home() / ".foundry" / "bin" / tool),
    ]
    for place in filter(None, places):
        path = Path(place)
        if path.is_file() and os.access(path, os.X_OK) and path.open("rb").read(2) != b"#!":
            return path
    return None


def foundry_package(tool: str, version: str, hashes: dict[str, str]) -> str:
    """Name the npm package of a Foundry binary, if we know what its bytes must be."""
    if f"@foundry-rs/{tool}-{machine()}/bin/{tool}" not in hashes:
        oldest = ".".join(map(str, MINIMUM_FOUNDRY))
        raise SetupError(
            f"setup: no sha256 is recorded for {tool} on {machine()}; install Foundry {oldest} "
            f"or newer (foundryup), or name the binary with {tool.upper()}_BIN"
        )
    return f"@foundry-rs/{tool}-{machine()}@{version}"


def npm_packages(level: str, manifest: dict[str, Part]) -> str:
    """Fetch protocol bytecode, Anvil, forge and solc from npm and check every file used."""
    levels = LEVELS[: LEVELS.index(level) + 1]
    wanted = fingerprint(ROOT / "scripts" / "tools.json", machine())
    if stamped(TOOLS, level, wanted):
        return "up to date"
    npm = shutil.which("npm")
    if npm is None:
        raise SetupError(
            "setup: npm not found; protocol bytecode and Anvil come from npm: "
            "install Node.js 18 or newer (on Debian: apt install nodejs npm)"
        )
    specs: list[str] = []
    hashes: dict[str, str] = {}
    found: list[str] = []
    for part in (manifest[name] for name in levels):
        specs += part["packages"]
        hashes |= part["sha256"]
        for tool, version in part["binaries"].items():
            if own := installed_foundry(tool):
                found.append(f"{tool}: {own}")
            else:
                specs.append(foundry_package(tool, version, part["sha256"]))
    TOOLS.mkdir(exist_ok=True)
    flags = ["--prefix", str(TOOLS), "--no-save", "--no-package-lock", "--ignore-scripts"]
    quiet = [
        "--legacy-peer-deps",
        "--no-audit",
        "--no-fund",
        "--fetch-retries",
        "1",
        "--loglevel",
        "error",
    ]
    run([npm, "install", *flags, *quiet, *specs], "fetching npm packages")
    verify(hashes)
    for part in (manifest[name] for name in levels):
        for package in part.get("trimmed", ()):
            trim(package, hashes)
    (TOOLS / f".stamp-{level}").write_text(wanted)
    return ", ".join([f"{len(specs)} packages", *found])


def verify(hashes: dict[str, str]) -> None:
    """Check the sha256 of every fetched file we use; other platforms' binaries are not there."""
    for name, expected in hashes.items():
        path = MODULES / name
        if name.startswith("@foundry-rs/") and not path.exists():
            continue
        if not path.is_file():
            raise SetupError(f"setup: npm did not deliver {name}; remove .tools and run again")
        if (actual := digest(path)) != expected:
            raise SetupError(
                f"setup: {name} has sha256 {actual}, expected {expected}: not what this project "
                "was tested with; remove .tools and run again, and do not use it if it stays so"
            )


def trim(package: str, hashes: dict[str, str]) -> None:
    """Delete what we do not use of a package that is mostly build output; its licence stays."""
    folder = MODULES / package
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        within = path.relative_to(folder)
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif (
            f"{package}/{within.as_posix()}" not in hashes
            and within.as_posix() != "package.json"
            and within.parts[0].lower() not in LICENCES
        ):
            path.unlink()


def main() -> int:
    """Do every step of the asked level; one clear line and exit code 1 if one cannot."""
    level = sys.argv[1] if len(sys.argv) == 2 else ""  # noqa: PLR2004 (script and level)
    if level not in LEVELS:
        print("setup: usage: scripts/setup.sh run|all", file=sys.stderr)
        return 2
    manifest: dict[str, Part] = json.loads((ROOT / "scripts" / "tools.json").read_text())
    try:
        step("Python packages (.venv)", lambda: python_packages(level))
        step("protocol bytecode and tools (.tools)", lambda: npm_packages(level, manifest))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
