"""Official third-party clients, unmodified, against our devnet: `make conformance`.

One line a method, exit code 1 if one failed. `--record` writes the golden recordings anew.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from scripts.conformance import environments
from scripts.conformance.clients import ethers, flashbots, put_through, tell

# web3 7 itself imports what its websockets warns of; a command line outranks the house's -W error.
WEB3_7_WARNS = "ignore:websockets.legacy is deprecated:DeprecationWarning"
CLIENTS = {"flashbots": flashbots, "ethers": ethers}


async def under_web3_7(python: Path) -> bool:
    """Run the tests of the public API with the older web3."""
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", "pytest", "-q", "-W", WEB3_7_WARNS, "tests/test_session.py"),
        cwd=environments.ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    passed = process.returncode == 0
    if not passed:
        print(said.decode(errors="replace"))
    last = said.decode(errors="replace").strip().splitlines()[-1:]
    used = environments.version(python, "web3")
    return tell(f"web3 {used} tests/test_session.py: {' '.join(last)}", passed=passed)


async def run(*, write: bool, only: str | None = None) -> bool:
    """Do every part, whatever becomes of the others."""
    passed = True
    for name, make in CLIENTS.items():
        if only not in {None, name}:
            continue
        try:
            client = make()
            print(f"{client.release} on {client.beside}", flush=True)
            passed &= await put_through(client, write=write)
        except environments.EnvironmentFailed as error:
            passed = tell(f"{name}: {error}", passed=False)
    if only is not None:
        return passed
    try:
        return await under_web3_7(environments.web3_7()) and passed
    except environments.EnvironmentFailed as error:
        return tell(f"web3 7.16: {error}", passed=False)


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the golden recordings anew")
    parser.add_argument("--only", choices=CLIENTS, help="this client and nothing else")
    options = parser.parse_args()
    return 0 if asyncio.run(run(write=options.record, only=options.only)) else 1


if __name__ == "__main__":
    sys.exit(main())
