"""The orchestrator killed anywhere: what goes on is what would have been without the kill.

A life is a real process with a journal on disk and a chain on paper that outlives it. It is killed
by SIGKILL at a random event (an entry, a commit, a sending) of its run, and again with some chance
in what goes on, until one life reaches the last block. Then everything is held against one life
that nobody killed, on a chain where exactly those plans landed that had been sent.
"""

import asyncio
import gc
import os
import random
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.simulation import failure
from scripts.soak.workers import Batch, in_batches
from tests.orchestrator.properties.mortal import (
    CAPITAL,
    Doom,
    LastingChain,
    Mortal,
    life,
    opened,
    state_of,
)
from tests.orchestrator.worlds import DAI_MARKET, random_market, shipped
from toolkit.journal.log import Entry
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.journal.verification import verify_file
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.testing.paper import GivenBlock, Paper, PaperChain

SIZE = 500
BATCH = 5
BLOCKS = 12
MOST_KILLS = 6
CHECKPOINT_BLOCKS = 5
"""Instead of a thousand, so that lives begin from one."""
JOURNAL, SENT = "journal.db", "sent.jsonl"
PAUSES = (Pause("momentum", on="arbitrage", impact_bps=5.0),)
AGAIN = 0.5
"""Chance that what goes on is killed as well."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sent(folder: Path) -> tuple[Paper, ...]:
    """Return what was sent, in order."""
    path = folder / SENT
    lines = path.read_bytes().splitlines() if path.exists() else []
    return tuple(msgspec.json.decode(line, type=Paper) for line in lines)


def chain_of(folder: Path, seed: int, doom: Doom) -> LastingChain:
    """Return the chain as earlier lives left it."""

    def keep(papers: Sequence[Paper]) -> None:
        with (folder / SENT).open("ab") as file:
            file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in papers))

    path = folder / JOURNAL
    entries = read_entries(path, records.PERCEIVED, records.FILL) if path.exists() else ()
    return LastingChain(
        blocks_of(seed), entries=tuple(entries), sent=sent(folder), keep=keep, doom=doom
    )


async def _live(journal: Mortal, chain: PaperChain) -> None:
    try:
        await life(journal, chain, shipped(), PAUSES, checkpoint_blocks=CHECKPOINT_BLOCKS)
    finally:
        await journal.close()


def _child(folder: Path, seed: int, at: int) -> int:
    """Live in a process of its own; returns the signal that ended it, 0 if nothing did."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            doom = Doom(at, _kill)
            chain = chain_of(folder, seed, doom)
            asyncio.run(_live(opened(Mortal, SqliteBackend(folder / JOURNAL), doom), chain))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise AssertionError("a life ended by an error")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def blocks_of(seed: int) -> list[GivenBlock]:
    """A market with cycles, conflicts and pauses."""
    return random_market(seed, blocks=BLOCKS, gap=8e-3)


def events_of(seed: int) -> int:
    """How many events a whole life has."""
    doom = Doom()
    chain = PaperChain(blocks_of(seed), CAPITAL, market=DAI_MARKET)
    asyncio.run(_live(opened(Mortal, MemoryBackend(), doom), chain))
    return doom.events


def reference(seed: int, landed: frozenset[str]) -> tuple[Entry, ...]:
    """One life that nobody kills, on a chain where just these plans land."""

    async def run() -> tuple[Entry, ...]:
        backend = MemoryBackend()
        chain = PaperChain(
            blocks_of(seed),
            CAPITAL,
            market=DAI_MARKET,
            lands=lambda plan: plan.verdict_id in landed,
        )
        await _live(opened(Mortal, backend, Doom()), chain)
        return tuple(backend.rows)

    return asyncio.run(run())


def kill(seed: int) -> int:
    """Kill at a random event and go on, perhaps again; the number of kills.

    Raises:
        AssertionError: what was left is not what one life would have left.
    """
    rng = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    events, kills = events_of(seed), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while True:
            again = kills == 0 or (kills < MOST_KILLS and rng.random() < AGAIN)
            if not _child(folder, seed, rng.randint(1, events) if again else 0):
                break
            kills += 1
        verify_file(folder / JOURNAL)
        entries = tuple(read_entries(folder / JOURNAL))
        names = [one.plan.verdict_id for one in sent(folder)]
    assert len(set(names)) == len(names), "a plan was sent twice"
    planned = {
        decoded(one, records.Planned).plan.verdict_id for one in entries if one.kind == records.PLAN
    }
    assert planned.issuperset(names), "something was sent that is in no journal"
    assert replay(entries).identical, "the journal is decided otherwise"
    whole = reference(seed, frozenset(names))
    assert state_of(whole, shipped()) == state_of(entries, shipped()), "the state is another"
    return kills


def try_batch(batch: Batch) -> tuple[int, tuple[str, ...]]:
    """Kill a batch of lives."""
    first, cases = batch
    kills, failures = 0, []
    for seed in range(first, first + cases):
        try:
            kills += kill(seed)
        except Exception as error:  # noqa: BLE001 - whatever it dies of is what is looked for
            failures.append(failure(seed, error))
    gc.collect()
    return kills, tuple(failures)


def work(progress: Progress) -> None:
    """Kill on every core."""
    for cases, (kills, failures) in in_batches(progress, try_batch, batch=BATCH):
        progress.add({"kills": kills})
        progress.advance(cases, failures=failures)


def figures(run: Run) -> tuple[Figure, ...]:
    """How many processes were killed in all."""
    kills = run.counts.get("kills", 0)
    assert not isinstance(kills, dict)
    return (Figure(name="processes killed", unit="", ours=float(kills)),)


PART = Part(
    size=SIZE,
    cases="runs killed at a random event",
    work=work,
    figures=figures,
    not_covered=(
        "a machine that loses power: the kill takes the process, not the disk's cache",
        "a real chain behind it: plans are found again in their block by tests/execution",
    ),
)
