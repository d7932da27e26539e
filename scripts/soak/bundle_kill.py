"""SIGKILL for bots that go private first and send bundles, on a devnet with its builders.

The lives of `bundles-fallback` are many and in virtual time; these are few, of real processes, with
a real journal file, real relays and a real pool.
"""

import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import msgspec

from scripts.bench.figures import Figure
from scripts.soak.bundle_errand import BUNDLED, PAYEE, Errand
from scripts.soak.record import Part, Progress, Run
from scripts.soak.rig import scratch
from toolkit.chain.node import Node
from toolkit.chain.rpc import open_rpc
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.crowd.rivals import RivalConfig
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.journal.sqlite import read_entries
from toolkit.testing.durable import Durable
from toolkit.testing.fallback import PRIVATE_BLOCKS, Books

ERRANDS = 20
PAYMENTS = 6
MOST_LIVES = 40
FORGETFUL = 0.8
FEWEST_KILLS, MORE_KILLS = 3, 6
SLOT_S = 0.25
"""Real seconds between two blocks: a life is some seconds long, a payment four blocks or more."""


async def errand(seed: int, kills: int) -> tuple[list[str], Counter[str]]:
    """Let lives follow on each other on one devnet until all is done; what went wrong, and counts.

    The first `kills` of them are killed, each after a number of blocks that the seed draws.
    """
    rng = random.Random(seed)  # noqa: S311 - when to kill, no secret
    config = DevnetConfig(
        seed=seed, builders=2, flow=False, accounts=2, rivals=RivalConfig(count=0)
    )
    counts: Counter[str] = Counter()
    async with Devnet(config) as devnet, scratch() as folder:
        public: dict[str, int] = {}
        for life in range(MOST_LIVES):
            wish = Errand(
                rpc_url=devnet.rpc_url,
                relays=tuple(relay.url for relay in devnet.relays),
                journal=str(folder / "journal.db"),
                key=devnet.accounts[0].key,
                payments=PAYMENTS,
                private_blocks=PRIVATE_BLOCKS,
                life=life,
            )
            blocks = rng.randrange(1, 16) if life < kills else 10_000
            told = await _lived(devnet, wish, blocks, public, rng)
            counts["killed" if told is None else "ended"] += 1
            if told == "done":
                break
            if told is not None:
                return [f"a life died by itself: {told}"], counts
        else:
            return [f"not done after {MOST_LIVES} lives"], counts
        return await _wrongs(devnet, folder, public, counts), counts


async def _lived(
    devnet: Devnet, wish: Errand, blocks: int, public: dict[str, int], rng: random.Random
) -> str | None:
    """What a life said at its end; None if it was killed after so many blocks."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scripts.soak.bundle_errand",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    talk = asyncio.create_task(process.communicate(msgspec.json.encode(wish)))
    for _ in range(blocks):
        for builder in devnet.builders:  # most take everything and forget it
            forgets = rng.random() < FORGETFUL
            builder.failures.always = FailureMode.FORGET if forgets else FailureMode.NONE
        done, _ = await asyncio.wait({talk}, timeout=SLOT_S)
        if done:
            return _told(*talk.result(), process.returncode)
        for known in (*devnet.mempool.pending(), *devnet.mempool.queued()):
            public.setdefault(known.hash, devnet.head.number)
        await devnet.seal()
    with contextlib.suppress(ProcessLookupError):  # it came to its end while the last was sealed
        process.kill()
    out, errors = await talk
    return None if process.returncode == -signal.SIGKILL else _told(out, errors, process.returncode)


def _told(out: bytes, errors: bytes, code: int | None) -> str:
    """What an errand that ended by itself says of it."""
    last = errors.decode().strip().splitlines()[-1:] or [f"exit {code}"]
    return out.decode().strip() or last[0]


async def _wrongs(
    devnet: Devnet, folder: Path, public: dict[str, int], counts: Counter[str]
) -> list[str]:
    """Hold chain and pool against what the journal's own entries allow."""
    ledger = Durable()
    ledger.rows.extend(read_entries(folder / "journal.db"))
    books = Books(ledger)
    books.update()
    early = [
        f"{name} was public when block {public[tx_hash]} was the newest, early"
        for tx_hash, name in books.attempts.items()
        if tx_hash in public and public[tx_hash] + 1 < books.first[name] + PRIVATE_BLOCKS
    ]
    leaked = [f"{tx_hash} of a bundle was public" for tx_hash in books.leased & public.keys()]
    paid: Counter[int] = Counter()
    node = Node(open_rpc(devnet.rpc_url))
    for slot in devnet.slots:
        for tx in (await node.block(slot.block_hash, full=True))["transactions"]:
            if str(tx["to"]).lower() == PAYEE:
                paid[int(tx["value"], 16)] += 1
    await node.rpc.close()
    counts["bundles landed"] += sum(1 for value in paid if value >= BUNDLED)
    counts["payments"] += PAYMENTS
    counts["public in the end"] += len(public.keys() & books.attempts.keys())
    twice = [f"{value} wei were paid {n} times" for value, n in paid.items() if n > 1]
    never = [f"{value} wei were not paid" for value in range(1, PAYMENTS + 1) if not paid[value]]
    return [*early, *leaked, *twice, *never]


def work(progress: Progress) -> None:
    """One errand after the other, each on a new devnet."""
    while progress.more():
        seed = progress.next_seed
        kills = FEWEST_KILLS + seed % MORE_KILLS
        wrongs, counts = asyncio.run(errand(seed, kills))
        progress.add(counts)
        progress.advance(1, failures=tuple(f"seed {seed}: {wrong}" for wrong in wrongs[:1]))


def figures(run: Run) -> tuple[Figure, ...]:
    """How many processes were killed, and what was done in spite of it."""
    names = ("killed", "payments", "public in the end", "bundles landed")
    counts = {name: run.counts.get(name, 0) for name in names}
    return tuple(
        Figure(name=name, unit="", ours=float(n))
        for name, n in counts.items()
        if not isinstance(n, dict)
    )


PART = Part(
    size=ERRANDS,
    cases="errands of processes that are killed",
    work=work,
    figures=figures,
    not_covered=("power that fails before the disk has what it said it has",),
)
