"""A real node under a real client's pool rules, and lives of senders that are killed against it."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure
from scripts.soak.record import Progress, Run
from scripts.soak.sender import PAYEE, Errand, Ledger, Life
from toolkit.devnet.faults import FaultScript
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.journal.sqlite import read_entries
from toolkit.tx.events import KIND_OF, Prepared

PROFILES = ("geth", "reth")
"""Whose rules the nodes of a soak's campaigns have, in turn."""
MOST_BYTES = 1.02
"""Distinct signed bytes a request without a fee rise; one is what is needed."""
SEAL_S = 0.15
_ALIKE = "bytes without a fee rise"
LIFE_S = 600.0
"""A life that takes longer has lost something: nothing is stuck for that long."""


class Told(msgspec.Struct, kw_only=True):
    """What a life told: its lines put together, and what it said when it failed."""

    stage: str = ""
    first_resend_s: float | None = None
    entries: int = 0
    done: bool = False
    failed: str = ""


@asynccontextmanager
async def sealed(
    *, profile: str, seed: int, keys: int, faults: FaultScript | None = None
) -> AsyncIterator[StrictNode]:
    """A node that seals a block every `SEAL_S` seconds."""
    async with open_strict_node(profile=profile, seed=seed, accounts=keys, faults=faults) as node:
        stop = asyncio.Event()
        sealer = asyncio.create_task(_seal(node, stop))
        try:
            yield node
        finally:
            stop.set()
            await sealer


async def _seal(node: StrictNode, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await node.seal()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SEAL_S)


async def live(errand: Errand) -> Told:
    """Live one life in a process of its own, to its end or its death."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.soak.sender"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    born = msgspec.structs.replace(errand, born=time.monotonic())
    try:
        out, err = await asyncio.wait_for(
            process.communicate(msgspec.json.encode(born)), timeout=LIFE_S
        )
    except TimeoutError:
        process.kill()
        await process.wait()
        return Told(failed=f"stuck: nothing ended for {LIFE_S:.0f} s")
    told = Told()
    for line in out.splitlines():
        life = msgspec.json.decode(line, type=Life)
        told.stage = life.stage or told.stage
        told.first_resend_s = life.first_resend_s or told.first_resend_s
        told.entries = max(told.entries, life.entries)
        told.done |= life.done
    if not told.done and not told.stage:
        told.failed = (err.decode().strip().splitlines() or ["died without a word"])[-1]
    return told


async def wrongs(node: StrictNode, folder: Path, payments: int) -> list[str]:
    """Compare what was told with the chain: lost, doubled, untrue; and nonces with a gap."""
    ends = Ledger(folder).ends
    mined = await paid(node)
    found = [f"payment {number} has no end" for number in range(payments) if number not in ends]
    for number, end in ends.items():
        times = mined[number + 1]
        if end == "Confirmed" and times != 1:
            found.append(f"payment {number} was told as confirmed and is mined {times} times")
        if end != "Confirmed" and times:
            found.append(f"payment {number} was told as {end} and is mined {times} times")
    return found + await unsettled(node)


async def unsettled(node: StrictNode) -> list[str]:
    """Accounts with something in the pool, or with a gap."""
    found = []
    for account in node.accounts:
        latest = await node.node.nonce(account.address)
        pending = node.pool.pending_nonce(account.address, latest)
        if pending != latest or node.pool.queued(account.address):
            found.append(f"{account.address} has mined {latest} and pending {pending}")
    return found


def next_profile(progress: Progress) -> str:
    """The rules of the campaign that begins now; counts it."""
    begun = progress.run.counts.get("campaigns", 0)
    assert isinstance(begun, int)
    profile = PROFILES[begun % len(PROFILES)]
    progress.add({"campaigns": 1, f"campaigns on {profile}": 1})
    return profile


def count_bytes(progress: Progress, folder: Path) -> None:
    """Count the requests that were signed, and their bytes: those that outbid all before, or not.

    All that is broadcast is in the journal first, so there are no other bytes.
    """
    highest: dict[str, int] = {}
    alike = 0
    for entry in read_entries(folder / "journal.db", KIND_OF[Prepared]):
        event = msgspec.json.decode(entry.data, type=Prepared)
        cap, before = event.signed.unsigned.fee_cap, highest.get(event.request_id)
        alike += before is not None and cap <= before
        highest[event.request_id] = cap if before is None else max(cap, before)
    progress.add({"requests signed": len(highest), _ALIKE: alike})


def bytes_figure(run: Run) -> tuple[Figure, ...]:
    """Distinct bytes a request, those that bid more than all before them left out."""
    requests, alike = run.counts.get("requests signed", 0), run.counts.get(_ALIKE, 0)
    assert not isinstance(requests, dict)
    assert not isinstance(alike, dict)
    if not requests:
        return ()
    return (
        Figure(
            name=f"distinct bytes a request without a fee rise, {requests:,} requests",
            unit="",
            target=MOST_BYTES,
            ours=1 + alike / requests,
        ),
    )


async def paid(node: StrictNode) -> Counter[int]:
    """How often each amount was paid, over the whole chain."""
    newest = (await node.node.head()).number
    found: Counter[int] = Counter()
    for number in range(newest + 1):
        block = await node.node.rpc.call("eth_getBlockByNumber", [hex(number), True])
        for tx in block["transactions"]:
            if str(tx["to"]).lower() == PAYEE:
                found[int(tx["value"], 16)] += 1
    return found


@asynccontextmanager
async def scratch() -> AsyncIterator[Path]:
    """A folder for a journal."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
