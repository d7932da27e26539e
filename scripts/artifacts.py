"""Build the contracts that ship in the package, or prove that what ships matches the sources.

`scripts/artifacts.py` writes the artefacts; `--check` compiles afresh and compares every byte.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NotRequired, TypedDict

ROOT = Path(__file__).resolve().parent.parent
SOLC = "0.8.30"
EXECUTION = ROOT / "toolkit" / "execution" / "artifacts"
DEVNET = ROOT / "toolkit" / "devnet" / "artifacts"
SHIPPED = {
    "Executor": EXECUTION,
    "StandInTether": DEVNET,
    "StandInToken": DEVNET,
    "StandInWeth": DEVNET,
}


class Artifact(TypedDict):
    """What ships: `immutables` are byte offsets in `runtime` of 32-byte values set on creation."""

    contract: str
    abi: list[dict[str, object]]
    bytecode: str
    runtime: str
    solc: str
    immutables: NotRequired[list[int]]


class ArtifactError(Exception):
    """One line for the user: which contract, what differs, what to do."""


def compile_all(out: Path) -> None:
    """Compile contracts/src into `out` from nothing, so that no cache can hide a difference."""
    command = [sys.executable, str(ROOT / "scripts" / "forge.py"), "build", "contracts/src"]
    options = ["--force", "--out", str(out), "--cache-path", str(out / "cache")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ArtifactError(f"{said}\nartifacts: the contracts do not compile (see above)")


def built(contract: str, out: Path) -> Artifact:
    """Read forge's output for one contract into the form that ships."""
    path = out / f"{contract}.sol" / f"{contract}.json"
    if not path.is_file():
        raise ArtifactError(f"artifacts: {contract}.sol is not among the sources in contracts/src")
    raw = json.loads(path.read_text())
    version = raw["metadata"]["compiler"]["version"].split("+")[0]
    if version != SOLC:
        raise ArtifactError(
            f"artifacts: compiled by solc {version}, wanted {SOLC}: see foundry.toml"
        )
    artifact = Artifact(
        contract=contract,
        abi=raw["abi"],
        bytecode=raw["bytecode"]["object"],
        runtime=raw["deployedBytecode"]["object"],
        solc=version,
    )
    references = raw["deployedBytecode"].get("immutableReferences", {})
    if spots := sorted(spot["start"] for group in references.values() for spot in group):
        artifact["immutables"] = spots
    return artifact


def differences(shipped: dict[str, object], fresh: Artifact) -> list[str]:
    """Name the fields that differ; the order of an ABI's entries means nothing."""
    abi = shipped.get("abi")
    same_order = {**shipped, "abi": sorted(abi, key=entry_key) if isinstance(abi, list) else abi}
    wanted = {**fresh, "abi": sorted(fresh["abi"], key=entry_key)}
    return [key for key in {**same_order, **wanted} if same_order.get(key) != wanted.get(key)]


def entry_key(entry: object) -> str:
    """Order ABI entries whatever the order of their own keys."""
    return json.dumps(entry, sort_keys=True)


def read(path: Path) -> dict[str, object]:
    """Read an artefact as it ships."""
    name = path.relative_to(ROOT)
    if not path.is_file():
        raise ArtifactError(f"artifacts: {name} is missing; run scripts/artifacts.py")
    try:
        shipped: dict[str, object] = json.loads(path.read_text())
    except ValueError as error:
        raise ArtifactError(f"artifacts: {name} is not JSON ({error})") from None
    return shipped


def write(out: Path) -> None:
    """Write every artefact whose content changed."""
    for contract, folder in SHIPPED.items():
        path = folder / f"{contract}.json"
        fresh = built(contract, out)
        if path.is_file() and not differences(read(path), fresh):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(fresh, indent=1) + "\n")
        print(f"wrote {path.relative_to(ROOT)}")


def check(out: Path) -> None:
    """Raise unless every shipped artefact equals a fresh build."""
    for contract, folder in SHIPPED.items():
        path = folder / f"{contract}.json"
        if differing := differences(read(path), built(contract, out)):
            raise ArtifactError(
                f"artifacts: {path.relative_to(ROOT)} differs from contracts/src in "
                f"{', '.join(differing)}; run scripts/artifacts.py and commit the result"
            )


def main() -> int:
    """Write or check; exit code 1 and one line if that cannot be done or they differ."""
    parser = argparse.ArgumentParser(description=__doc__, prog="artifacts.py")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as directory:
            compile_all(Path(directory))
            (check if options.check else write)(Path(directory))
    except ArtifactError as error:
        print(error, file=sys.stderr)
        return 1
    if options.check:
        print(f"{len(SHIPPED)} artefacts match their sources")
    return 0


if __name__ == "__main__":
    sys.exit(main())
