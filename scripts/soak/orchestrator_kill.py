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
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.simulation import failure
from scripts.soak.workers import Batch, in_batches
from tests.orchestrator.worlds import DAI_CAPITAL, DAI_MARKET, random_market, shipped
from toolkit.journal.log import Backend, Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.journal.verification import verify_file
from toolkit.model.chain import ZERO_ADDRESS, Address, HeadChange
from toolkit.model.decision import Fill, Plan
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator import records
from toolkit.orchestrator.audit import memory
from toolkit.orchestrator.audit.recovery import KINDS, recovered
from toolkit.orchestrator.audit.replay import decoded, encoded, replay
from toolkit.orchestrator.pausing.pauses import Pause
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.testing.paper import (
    VAULT_LENDS,
    GivenBlock,
    Paper,
    PaperChain,
    PaperSession,
    missed,
)

SIZE = 500
BATCH = 5
BLOCKS = 12
MOST_KILLS = 6
CHECKPOINT_BLOCKS = 5
"""Instead of a thousand, so that lives begin from one."""
JOURNAL, SENT = "journal.db", "sent.jsonl"
LOST = "lost on paper"
PAUSES = (Pause("momentum", on="arbitrage", impact_bps=5.0),)
AGAIN = 0.5
"""Chance that what goes on is killed as well."""
CAPITAL = {ZERO_ADDRESS: 100 * 10**18, **DAI_CAPITAL}


class Doom:
    """Counts events, and kills this process at one of them."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.events = 0

    def step(self) -> None:
        """Count an event; the one that is named is never survived."""
        self.events += 1
        if self.events == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Journal):
    """A journal whose process may die before and after whatever it does."""

    def __init__(self, backend: Backend, doom: Doom) -> None:
        """Say where entries rest, and what counts the events."""
        super().__init__(backend)
        self._doom = doom

    def append(
        self,
        kind: str,
        data: msgspec.Struct | Mapping[str, object],
        *,
        cause: int | None = None,
        version: int = 1,
        key: str | None = None,
    ) -> int:
        """Append, if there is a next moment."""
        self._doom.step()
        return super().append(kind, data, cause=cause, version=version, key=key)

    async def commit(self, upto: int | None = None) -> None:
        """Commit, if there is a next moment, and perhaps tell nobody."""
        self._doom.step()
        await super().commit(upto)
        self._doom.step()


class LastingChain(PaperChain):
    """A chain on paper that knows what was sent to it, whoever asks."""

    def __init__(self, folder: Path, blocks: Sequence[GivenBlock], doom: Doom) -> None:
        """Go on behind the last block that was decided, with what had landed by then."""
        self._path, self._doom = folder / SENT, doom
        self._sent = {one.plan.verdict_id: one for one in sent(folder)}
        start, balances = _past(folder / JOURNAL)
        super().__init__(blocks, balances, market=DAI_MARKET, start=start)

    async def submit(self, plan: Plan, *, fee: FeeQuote | None = None) -> Paper:
        """Send a plan."""
        paper = await super().submit(plan, fee=fee)
        self._keep((paper,))
        return paper

    async def submit_merged(
        self, plans: Sequence[Plan], *, fee: FeeQuote | None = None
    ) -> tuple[Paper, ...]:
        """Send plans that land together or not at all."""
        papers = await super().submit_merged(plans, fee=fee)
        self._keep(papers)
        return papers

    async def recover(self, plans: Sequence[Plan], change: HeadChange) -> tuple[Fill, ...]:
        """Tell what became of an earlier process's plans, by what had been sent."""
        return tuple(
            [
                await self.settle(self._sent[plan.verdict_id], change)
                if plan.verdict_id in self._sent
                else missed(plan, LOST)
                for plan in plans
            ]
        )

    def _keep(self, papers: Sequence[Paper]) -> None:
        """What shares a transaction leaves in one write."""
        self._doom.step()
        with self._path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in papers))
        self._doom.step()


def sent(folder: Path) -> tuple[Paper, ...]:
    """Return what was sent, in order."""
    path = folder / SENT
    lines = path.read_bytes().splitlines() if path.exists() else []
    return tuple(msgspec.json.decode(line, type=Paper) for line in lines)


def _past(path: Path) -> tuple[int, dict[Address, int]]:
    """Return how many blocks are decided, and what the accounts hold by what is settled."""
    blocks, balances = 0, dict(CAPITAL)
    if path.exists():
        for entry in read_entries(path, records.PERCEIVED, records.FILL):
            if entry.kind == records.PERCEIVED:
                blocks += 1
                continue
            for token, change in decoded(entry, Fill).changes.items():
                balances[Address(token)] = balances.get(Address(token), 0) + change
    return blocks, balances


async def life(journal: Journal, chain: PaperChain) -> None:
    """Decide every block that is left, with a checkpoint now and then."""
    memory.CHECKPOINT_BLOCKS = CHECKPOINT_BLOCKS
    orchestrator = Orchestrator(
        PaperSession(journal, chain),
        agents=shipped(),
        market=DAI_MARKET,
        perception=chain,
        gateway=chain,
        pauses=PAUSES,
        lenders=(VAULT_LENDS,),
    )
    try:
        async with orchestrator:
            while (change := await chain.advance()) is not None:
                await orchestrator.step(change)
    finally:
        await journal.close()


def _child(folder: Path, seed: int, at: int) -> int:
    """Live in a process of its own; returns the signal that ended it, 0 if nothing did."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            doom = Doom(at)
            journal = Mortal(SqliteBackend(folder / JOURNAL), doom)
            asyncio.run(life(journal, LastingChain(folder, blocks_of(seed), doom)))
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
    asyncio.run(life(Mortal(MemoryBackend(), doom), chain))
    return doom.events


def state_of(entries: Sequence[Entry]) -> bytes:
    """Return what the orchestrator's entries add up to, without what only a restart leaves."""
    setup = decoded(next(one for one in entries if one.kind == records.SETUP), records.Setup)
    known = recovered([one for one in entries if one.kind in KINDS], setup, shipped())
    assert known is not None
    return encoded(msgspec.structs.replace(known, unwatched_until=-1))


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
        await life(Journal(backend), chain)
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
    assert state_of(whole) == state_of(entries), "the state is another"
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
