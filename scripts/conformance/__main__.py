"""Official third-party clients, unmodified, against our devnet: `make conformance`.

One line a method, exit code 1 if one failed. `--record` writes the golden recordings anew.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import toolkit as tk
from scripts.conformance import environments, golden
from scripts.conformance.recording import Request, recorder
from toolkit.bundles.auth import RelayAuth

CLIENT = Path(__file__).with_name("flashbots_client.py")
TIMEOUT_S = 300
# web3 7 itself imports what its websockets warns of; a command line outranks the house's -W error.
WEB3_7_WARNS = "ignore:websockets.legacy is deprecated:DeprecationWarning"
METHODS = 7  # that the official client is put through, with an account each


def tell(what: str, *, passed: bool) -> bool:
    """Print one line; whether it passed."""
    print(f"{'ok   ' if passed else 'FAIL '} {what}", flush=True)
    return passed


async def official(python: Path, job: dict[str, Any]) -> bool:
    """Run the official client on a job; it prints its own lines."""
    process = await asyncio.create_subprocess_exec(
        python, "-W", "ignore", CLIENT, stdin=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.wait_for(process.communicate(msgspec.json.encode(job)), TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return tell(f"flashbots {job['task']}: no end after {TIMEOUT_S} s", passed=False)
    return process.returncode == 0


async def are_signed(requests: Sequence[Request], auth: RelayAuth) -> bool:
    """Whether we would have signed each of these bodies with the very same header."""
    return bool(requests) and all(
        [await auth.header(one.body.encode()) == one.header for one in requests]
    )


async def play(python: Path, devnet: tk.Devnet, recordings: golden.Golden) -> bool:
    """Put the official client through its methods at the first builder's relay."""
    async with recorder(devnet.relays[0].url) as relay:
        job = _job("play", relay.url, devnet, recordings)
        passed = await official(python, job)
        signed = await are_signed(relay.requests, recordings.auth)
    return passed & tell(f"headers of {len(relay.requests)} requests are ours", passed=signed)


async def record(
    python: Path, devnet: tk.Devnet, recordings: golden.Golden
) -> tuple[bool, golden.Golden]:
    """Let both clients make the same calls; whether they agree, and what the official one sent."""
    async with recorder() as theirs, recorder() as ours:
        job = _job("record", theirs.url, devnet, recordings)
        passed = await official(python, job | {"cases": msgspec.to_builtins(recordings.cases)})
        for case in recordings.cases:
            await golden.send_ours(case, url=ours.url, auth=recordings.auth)
    if len(theirs.requests) != len(recordings.cases):
        return tell("flashbots record: requests are missing", passed=False), recordings
    for case, one, other in zip(recordings.cases, ours.requests, theirs.requests, strict=True):
        same = golden.agrees(case, ours=one.params, theirs=other.params)
        how = "the same parameters" if case.exact else "the same meaning"
        passed &= tell(f"our relay client, {case.name}: {how}", passed=same)
    passed &= tell(
        "headers of the recordings are ours",
        passed=await are_signed(theirs.requests, recordings.auth),
    )
    cases = tuple(
        msgspec.structs.replace(case, body=said.body, header=said.header)
        for case, said in zip(recordings.cases, theirs.requests, strict=True)
    )
    client = f"flashbots {environments.version(python, 'flashbots')}"
    return passed, msgspec.structs.replace(recordings, client=client, cases=cases)


def _job(task: str, relay: str, devnet: tk.Devnet, recordings: golden.Golden) -> dict[str, Any]:
    return {
        "task": task,
        "rpc": devnet.rpc_url,
        "relay": relay,
        "key": recordings.key,
        "accounts": [account.key for account in devnet.accounts],
    }


async def flashbots(python: Path, *, write: bool) -> bool:
    """Everything about the official flashbots client."""
    recordings = golden.load()
    config = tk.DevnetConfig(builders=1, flow=False, accounts=METHODS)
    async with tk.Devnet(config) as devnet:
        passed = await play(python, devnet, recordings)
        agreed, found = await record(python, devnet, recordings)
    if write and agreed:
        golden.store(found)
        return passed & tell(f"recordings written to {golden.PATH}", passed=True)
    return passed & agreed & tell("recordings are as committed", passed=found == recordings)


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


async def run(*, write: bool) -> bool:
    """Do both parts, whatever becomes of the first."""
    passed = True
    try:
        python = environments.flashbots()
        used = environments.version(python, "web3")
        print(f"flashbots {environments.version(python, 'flashbots')} on web3 {used}", flush=True)
        passed &= await flashbots(python, write=write)
    except environments.EnvironmentFailed as error:
        passed = tell(f"flashbots: {error}", passed=False)
    try:
        return await under_web3_7(environments.web3_7()) and passed
    except environments.EnvironmentFailed as error:
        return tell(f"web3 7.16: {error}", passed=False)


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the golden recordings anew")
    return 0 if asyncio.run(run(write=parser.parse_args().record)) else 1


if __name__ == "__main__":
    sys.exit(main())
