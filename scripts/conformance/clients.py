"""The official clients: where each is installed, how it is started, and what it is put through."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import toolkit as tk
from scripts.conformance import environments, golden
from scripts.conformance.recording import Request, recorder
from toolkit.bundles.auth import RelayAuth

TIMEOUT_S = 300
_FOLDER = Path(__file__).parent
_ETHERS = "@flashbots/ethers-provider-bundle"


def tell(what: str, *, passed: bool) -> bool:
    """Print one line; whether it passed."""
    print(f"{'ok   ' if passed else 'FAIL '} {what}", flush=True)
    return passed


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An official client in its environment.

    Args:
        name: of its lines, and of its recordings.
        release: package and version, as its recordings say.
        beside: what it runs on.
        command: starts it; its job comes on stdin.
        methods: how many it is put through, with an account each.
        job: what its job has beyond what every client is told.
    """

    name: str
    release: str
    beside: str
    command: tuple[str, ...]
    methods: int
    job: dict[str, str] = {}


def flashbots() -> Client:
    """The official Python client.

    Raises:
        EnvironmentFailed: it cannot be installed.
    """
    python = environments.flashbots()
    return Client(
        name="flashbots",
        release=f"flashbots {environments.version(python, 'flashbots')}",
        beside=f"web3 {environments.version(python, 'web3')}",
        command=(str(python), "-W", "ignore", str(_FOLDER / "flashbots_client.py")),
        methods=8,
    )


def ethers() -> Client:
    """The official TypeScript client.

    Raises:
        EnvironmentFailed: it cannot be installed.
    """
    place = environments.ethers()
    return Client(
        name="ethers",
        release=f"{_ETHERS} {environments.npm_version(place, _ETHERS)}",
        beside=f"ethers {environments.npm_version(place, 'ethers')}",
        command=("node", str(_FOLDER / "ethers_client.mjs")),
        methods=10,
        job={"modules": str(place)},
    )


async def put_through(client: Client, *, write: bool) -> bool:
    """Everything about one client, on a devnet of its own."""
    recordings = golden.load(client.name)
    config = tk.DevnetConfig(builders=1, flow=False, accounts=client.methods)
    async with tk.Devnet(config) as devnet:
        passed = await play(client, devnet, recordings)
        agreed, found = await record(client, devnet, recordings)
    if write and agreed:
        golden.store(client.name, found)
        return passed & tell(f"{client.name}: recordings written", passed=True)
    same = tell(f"{client.name}: recordings are as committed", passed=found == recordings)
    return passed & agreed & same


async def play(client: Client, devnet: tk.Devnet, recordings: golden.Golden) -> bool:
    """Put a client through its methods at the first builder's relay."""
    async with recorder(devnet.relays[0].url) as relay:
        passed = await _told(client, _job("play", relay.url, devnet, recordings))
        signed = await are_signed(relay.requests, recordings.auth)
    what = f"{client.name}: headers of {len(relay.requests)} requests are ours"
    return passed & tell(what, passed=signed)


async def record(
    client: Client, devnet: tk.Devnet, recordings: golden.Golden
) -> tuple[bool, golden.Golden]:
    """Let both sides make the same calls; whether they agree, and what the client sent."""
    async with recorder() as theirs, recorder() as ours:
        job = _job("record", theirs.url, devnet, recordings)
        passed = await _told(client, job | {"cases": msgspec.to_builtins(recordings.cases)})
        for case in recordings.cases:
            await golden.send_ours(case, url=ours.url, auth=recordings.auth)
    if len(theirs.requests) != len(recordings.cases):
        return tell(f"{client.name}: requests are missing", passed=False), recordings
    for case, one, other in zip(recordings.cases, ours.requests, theirs.requests, strict=True):
        same = golden.agrees(case, ours=one.asked, theirs=other.asked)
        how = "the same body" if case.exact else "a body of the same meaning"
        passed &= tell(f"{client.name} and ours, {case.name}: {how}", passed=same)
    kinds = {one.content_type for one in (*ours.requests, *theirs.requests)}
    signed = await are_signed(theirs.requests, recordings.auth)
    passed &= tell(
        f"{client.name}: headers of the recordings are ours",
        passed=signed and kinds == {"application/json"},
    )
    cases = tuple(
        msgspec.structs.replace(case, body=said.body, header=said.header)
        for case, said in zip(recordings.cases, theirs.requests, strict=True)
    )
    return passed, msgspec.structs.replace(recordings, client=client.release, cases=cases)


async def are_signed(requests: Sequence[Request], auth: RelayAuth) -> bool:
    """Whether we would have signed each of these bodies with the very same header."""
    return bool(requests) and all(
        [await auth.header(one.body.encode()) == one.header for one in requests]
    )


def _job(task: str, relay: str, devnet: tk.Devnet, recordings: golden.Golden) -> dict[str, Any]:
    return {
        "task": task,
        "rpc": devnet.rpc_url,
        "relay": relay,
        "key": recordings.key,
        "accounts": [account.key for account in devnet.accounts],
    }


async def _told(client: Client, job: dict[str, Any]) -> bool:
    """Run a client on a job; it prints its own lines."""
    process = await asyncio.create_subprocess_exec(*client.command, stdin=asyncio.subprocess.PIPE)
    try:
        await asyncio.wait_for(
            process.communicate(msgspec.json.encode(job | client.job)), TIMEOUT_S
        )
    except TimeoutError:
        process.kill()
        await process.wait()
        return tell(f"{client.name} {job['task']}: no end after {TIMEOUT_S} s", passed=False)
    return process.returncode == 0
