"""Run forge on this project: `scripts/forge.py test --match-path 'contracts/test/*'`.

Finds the binary where set-up puts it or where Foundry's own installer does, and lets one forge at
a time into this checkout: two that compile at once would overwrite each other's `out/`.
"""

import fcntl
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def places() -> Iterator[Path]:
    """Yield where a forge may be, the user's own before the one that set-up fetched."""
    if own := os.environ.get("FORGE_BIN"):
        yield Path(own)
    if directory := os.environ.get("FOUNDRY_BIN"):
        yield Path(directory) / "forge"
    if found := shutil.which("forge"):
        yield Path(found)
    yield Path.home() / ".foundry" / "bin" / "forge"
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"@foundry-rs/forge-{platform.system().lower()}-{arch}"
    yield ROOT / ".tools" / "node_modules" / package / "bin" / "forge"


def find_forge() -> Path | None:
    """Return the first native forge; npm's shim is a Node script and is passed over."""
    for path in places():
        if path.is_file() and os.access(path, os.X_OK):
            with path.open("rb") as file:
                if file.read(2) != b"#!":
                    return path
    return None


def main() -> int:
    """Become forge, in the project's root, once no other forge runs there."""
    forge = find_forge()
    if forge is None:
        print("forge: not found; run `make setup` or set FORGE_BIN", file=sys.stderr)
        return 1
    os.chdir(ROOT)
    cache = ROOT / "cache"
    cache.mkdir(exist_ok=True)
    lock = os.open(cache / "forge.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # The lock belongs to the open file, so forge holds it for exactly as long as it runs.
    os.set_inheritable(lock, True)
    return os.execv(forge, [str(forge), *sys.argv[1:]])  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    sys.exit(main())
