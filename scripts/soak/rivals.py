"""G6: several processes, one key and one journal; each is stopped and overtaken again and again.

Whoever holds the key is stopped (SIGSTOP), another process is told to take over, and the stopped
one goes on (SIGCONT): it has to find out that it may write and send nothing more.
"""

import asyncio
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.rig import paid, scratch, sealed, unsettled
from scripts.soak.rival import Errand, Word
from scripts.soak.sender import Ledger
from toolkit.chain.signer import decode_transaction
from toolkit.devnet.strict_node import StrictNode
from toolkit.journal.chain import verify
from toolkit.journal.sqlite import read_entries
from toolkit.tx.events import KIND_OF, Prepared

PROCESSES = 4
PAYMENTS = 500
SIZE = PROCESSES * PAYMENTS
WINDOW = 32
HELD_S = (0.5, 2.5)
"""How long a holder is let work before it is stopped."""
TAKEOVER_S = 3.0
LIFE_S = 900.0


class Rival:
    """One of the processes, as the one who stops them sees it."""

    def __init__(self, place: int, errand: Errand, process: asyncio.subprocess.Process) -> None:
        self.place, self.errand, self.process = place, errand, process
        self.ready = self.holds = self.done = self.ended = False
        self.fenced = 0  # times that it found out that it was overtaken
        self.told = asyncio.Event()

    async def listen(self) -> None:
        """Take in what it tells until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            word = msgspec.json.decode(line, type=Word)
            self.ready = True
            self.holds = word.what == "holds"
            self.done |= word.what == "done"
            self.fenced += word.what == "lost"
            self.told.set()
        self.ended, self.holds = True, False
        self.told.set()

    async def until_holds(self) -> None:
        """Return when it has the key, or has ended."""
        while not self.holds and not self.ended:
            self.told.clear()
            await self.told.wait()

    async def until_lost(self) -> None:
        """Return when it has found out that it has the key no longer, or has ended."""
        while self.holds:
            self.told.clear()
            await self.told.wait()

    def signal(self, which: signal.Signals) -> None:
        """Send it one, if it still lives."""
        if self.process.returncode is None:
            self.process.send_signal(which)


@asynccontextmanager
async def rivals(node: StrictNode, folder: Path, payments: int) -> AsyncIterator[list[Rival]]:
    """The processes at work; whatever is left of them at the end is killed."""
    started: list[Rival] = []
    listening: list[asyncio.Task[None]] = []
    try:
        for place in range(PROCESSES):
            own = folder / f"rival-{place}"
            own.mkdir()
            errand = Errand(
                rpc_url=node.rpc_url,
                folder=str(folder),
                own=str(own),
                key=node.accounts[0].key,
                first=place * payments,
                payments=payments,
                window=WINDOW,
            )
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scripts.soak.rival"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
            )
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(errand))
            await process.stdin.drain()
            started.append(Rival(place, errand, process))
            listening.append(asyncio.create_task(started[-1].listen()))
        yield started
        await asyncio.wait_for(asyncio.gather(*listening), LIFE_S)
    finally:
        for rival in started:
            rival.signal(signal.SIGKILL)
            await rival.process.wait()
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


async def campaign(progress: Progress, *, payments: int, seed: int, profile: str) -> list[str]:
    """Let the processes pay, stop and overtake them, and compare with the chain."""
    rng = random.Random(seed)  # noqa: S311 - when to stop, no secret
    async with sealed(profile=profile, seed=seed, keys=1) as node, scratch() as folder:
        async with rivals(node, folder, payments) as started:
            found = await _disturb(progress, started, rng)
        found += [f"rival {one.place} ended early" for one in started if not one.done]
        found += await _compare(node, folder, started, PROCESSES * payments)
    progress.add({"payments": PROCESSES * payments})
    return [f"seed {seed}: {wrong}" for wrong in found]


async def _disturb(progress: Progress, started: Sequence[Rival], rng: random.Random) -> list[str]:
    """Stop whoever holds the key and let another take over, until there is no other."""
    found: list[str] = []
    end = time.monotonic() + LIFE_S
    while time.monotonic() < end:
        await asyncio.sleep(rng.uniform(*HELD_S))
        holder = next((one for one in started if one.holds), None)
        others = [one for one in started if one is not holder and not one.done]
        if not others or any(one.ended for one in others):
            return found
        heirs = [one for one in others if one.ready]
        if holder is None or not heirs:
            continue
        heir, fenced = rng.choice(heirs), holder.fenced
        holder.signal(signal.SIGSTOP)
        heir.signal(signal.SIGUSR1)
        begun = time.monotonic()
        try:
            await asyncio.wait_for(heir.until_holds(), TAKEOVER_S)
        except TimeoutError:
            # Stopped inside a write of the file: nobody can take it until that process goes on.
            progress.add({"takeovers that had to wait for a write": 1})
            holder.signal(signal.SIGCONT)
            continue
        if heir.ended and not heir.done:
            holder.signal(signal.SIGCONT)
            return found
        progress.most("slowest takeover, s", time.monotonic() - begun)
        progress.add({"takeovers": 1})
        holder.signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(holder.until_lost(), LIFE_S)
        except TimeoutError:
            found.append(f"rival {holder.place} was overtaken and goes on")
            return found
        progress.add({"holders that were fenced": int(holder.fenced > fenced or holder.done)})
    return [*found, f"not everything ended within {LIFE_S:.0f} s"]


async def _compare(
    node: StrictNode, folder: Path, started: Sequence[Rival], payments: int
) -> list[str]:
    ends = {n: e for one in started for n, e in Ledger(Path(one.errand.own)).ends.items()}
    times = await paid(node)
    found = [f"payment {number} has no end" for number in range(payments) if number not in ends]
    for number, end in ends.items():
        if times[number + 1] != (end == "Confirmed"):
            found.append(f"payment {number}, told as {end}, is mined {times[number + 1]} times")
    found += await unsettled(node)
    verify(read_entries(folder / "journal.db"))
    return found + _shared_nonces(folder)


def _shared_nonces(folder: Path) -> list[str]:
    """No nonce was signed for two requests that both went to the payee."""
    holders: dict[int, set[str]] = {}
    for entry in read_entries(folder / "journal.db", KIND_OF[Prepared]):
        event = msgspec.json.decode(entry.data, type=Prepared)
        unsigned = decode_transaction(event.signed.raw).unsigned
        if not event.cancels and unsigned.value:
            holders.setdefault(unsigned.nonce, set()).add(event.request_id)
    return [
        f"nonce {nonce} was signed for {', '.join(sorted(names))}"
        for nonce, names in sorted(holders.items())
        if len(names) > 1
    ]


def work(progress: Progress) -> None:
    """One campaign of full size, or as small ones as there is time for."""
    while progress.more():
        each = PAYMENTS if not progress.limit_s else 25
        each = min(each, (progress.run.size - progress.run.done) // PROCESSES)
        profile = ("geth", "reth")[progress.run.done % 2]
        seed = progress.next_seed + 1
        found = asyncio.run(campaign(progress, payments=each, seed=seed, profile=profile))
        progress.advance(PROCESSES * each, failures=tuple(found))


def figures(run: Run) -> tuple[Figure, ...]:
    """Takeovers, how fast, and whether each one fenced."""
    counts = {name: float(n) for name, n in run.counts.items() if not isinstance(n, dict)}
    takeovers = counts.get("takeovers", 0.0)
    slowest = counts.get("slowest takeover, s", 0.0)
    fenced = counts.get("holders that were fenced", 0.0)
    return (
        Figure(name="takeovers of a holder that was stopped", unit="", ours=takeovers),
        Figure(name="of them not fenced", unit="", target=0.0, ours=takeovers - fenced),
        Figure(name="slowest takeover", unit="s", target=TAKEOVER_S, ours=round(slowest, 2)),
    )


PART = Part(
    size=SIZE,
    cases="payments of four processes from one key",
    work=work,
    figures=figures,
    not_covered=("processes on different machines: a lease is a file of one",),
)
