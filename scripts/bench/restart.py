"""From a new process to the first bytes at the node, with a long journal and an unsent attempt.

A bot pays by the thousand until it is killed between its journal and its node; then new processes
open that journal with `connect`, each on a copy. Time runs from before the process is started until
the node is asked to take a transaction; the node hangs up then, so that every run finds the same.

That new process is `restarted`, with an `Opening` as JSON on stdin.
"""

import asyncio
import os
import shutil
import signal
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure
from scripts.bench.restarted import HEAVY, LATEST_S
from scripts.soak.rig import live, scratch, sealed
from scripts.soak.sender import Errand
from toolkit.devnet.faults import FaultKind
from toolkit.devnet.strict_node import StrictNode
from toolkit.journal.sqlite import read_entries
from toolkit.model.chain import Address
from toolkit.tx.events import KIND_OF, Prepared
from toolkit.tx.stages import Stage

ENTRIES = 10_000
KEYS, WINDOW = 4, 32
ENTRIES_A_SEND = 6
"""What a payment comes to in the journal, at least about that."""
RUNS, PEER_RUNS = 5, 3
MS = 1e3
SEND = "eth_sendRawTransaction"
PEER = """
import json, sys
from eth_account import Account
from web3 import Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder
errand = json.load(sys.stdin)
account = Account.from_key(errand["keys"][0])
web3 = Web3(Web3.HTTPProvider(errand["rpc_url"]))
web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
web3.eth.send_transaction({"from": account.address, "to": account.address, "value": 1})
"""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a new process is told."""

    rpc_url: str
    journal: str
    keys: tuple[str, ...]


class Restarts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each run, of ours and of the peer's, and what our process had loaded by then."""

    entries: int
    ours: tuple[float, ...]
    peers: tuple[float, ...]
    heavy: int


async def restarts(
    seed: int, *, entries: int = ENTRIES, runs: int = RUNS, peer_runs: int = PEER_RUNS
) -> Restarts:
    """Write a journal, kill its writer, and start again so many times."""
    async with sealed(profile="geth", seed=seed, keys=KEYS) as node, scratch() as folder:
        written = await _write(node, folder, entries)
        node.faults.next(SEND, FaultKind.REFUSE_BEFORE, count=10_000)
        ours, heavy = [], 0
        for number in range(runs):
            copy = folder / f"run-{number}"
            copy.mkdir()
            for path in folder.glob("journal.db*"):
                shutil.copy(path, copy)
            opening = _opening(node, copy)
            taken, told = await _first_send(node, opening, "-m", "scripts.bench.restarted")
            ours.append(taken)
            heavy = max(heavy, int(told or 0))
        # The peer's library hangs up as the node does, and says so on stderr.
        opening = _opening(node, folder)
        peers = [(await _first_send(node, opening, "-c", PEER))[0] for _ in range(peer_runs)]
    return Restarts(entries=written, ours=tuple(ours), peers=tuple(peers), heavy=heavy)


async def _write(node: StrictNode, folder: Path, entries: int) -> int:
    """Pay until the journal is long, and die with an attempt that is durable and not sent."""
    written = 0
    while written < entries or not await _owes(node, folder):
        left = (entries - written) // ENTRIES_A_SEND
        told = await live(
            Errand(
                rpc_url=node.rpc_url,
                folder=str(folder),
                keys=tuple(account.key for account in node.accounts),
                payments=10 * entries,
                window=WINDOW,
                stage=Stage.DURABLE.value,
                passes=max(left, 16),
                patience=10 * entries,
                born=0.0,
            )
        )
        if told.failed:
            raise RuntimeError(f"the journal's writer failed: {told.failed}")
        written = sum(1 for _ in read_entries(folder / "journal.db"))
    return written


async def _owes(node: StrictNode, folder: Path) -> bool:
    """Whether the journal has an attempt that the node never got: a killed repetition has none."""
    newest: dict[Address, int] = {}
    for entry in read_entries(folder / "journal.db"):
        if entry.kind == KIND_OF[Prepared]:
            made = msgspec.json.decode(entry.data, type=Prepared)
            newest[made.lane] = max(newest.get(made.lane, 0), made.signed.unsigned.nonce)
    return any([nonce >= await node.public_pool.next_nonce(lane) for lane, nonce in newest.items()])


def _opening(node: StrictNode, folder: Path) -> Opening:
    return Opening(
        rpc_url=node.rpc_url,
        journal=str(folder / "journal.db"),
        keys=tuple(account.key for account in node.accounts),
    )


async def _first_send(node: StrictNode, opening: Opening, *arguments: str) -> tuple[float, str]:
    """Seconds from before a process is started until the node is asked to take something."""
    struck = (SEND, FaultKind.REFUSE_BEFORE)
    before, start = node.faults.struck[struck], time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(opening))
    process.stdin.close()
    try:
        while node.faults.struck[struck] == before:
            if process.returncode is not None:
                _, err = await process.communicate()
                said = err.decode().strip().splitlines() or ["nothing"]
                raise RuntimeError(f"a new process ended without a send: {said[-1]}")
            if time.perf_counter() - start > LATEST_S:
                raise RuntimeError(f"a new process sent nothing in {LATEST_S:.0f} s")
            await asyncio.sleep(0.001)
        taken = time.perf_counter() - start
        told = await process.stdout.readline()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(process.pid, signal.SIGKILL)  # its own kill() races the loop for its end
        await process.communicate()
    return taken, told.decode().strip()


async def figures(seed: int) -> tuple[Figure, ...]:
    """The median restart beside the peer's, the slowest one, and what was loaded."""
    found = await restarts(seed)
    name = f"process start to first resend, {found.entries:,} journal entries, imports included"
    return (
        Figure(
            name=f"{name}, median of {len(found.ours)}",
            unit="ms",
            target=1_500,
            ours=statistics.median(found.ours) * MS,
            peer=statistics.median(found.peers) * MS,
            peer_name="web3 process start to first send, no journal to go on from",
        ),
        Figure(name=f"{name}, slowest", unit="ms", target=1_500, ours=max(found.ours) * MS),
        Figure(
            name=f"of {', '.join(HEAVY)} loaded by a session that only sends",
            unit="",
            target=0,
            ours=float(found.heavy),
        ),
    )
