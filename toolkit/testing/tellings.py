"""Lives between an end and the write that makes it last: a process may die at any turn of it.

What an author was told by then, by whatever word, is what the next process finds; and what a dying
process had decided without a word of it on the disk is told by the next one.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from toolkit.journal.log import Backend, Entry
from toolkit.model.errors import BusOverflow, ToolkitError
from toolkit.model.tx import Outcome
from toolkit.testing.fakes import InlineJournal, World
from toolkit.testing.lives import Action
from toolkit.testing.simulation import Ask, Schedule
from toolkit.tx.events import FAILED, OUTCOME, REOPENED, Ended, Failed, Reopened
from toolkit.tx.handle import Sent

_MOST_TURNS = 60
_SPEAKER = logging.getLogger("toolkit.tx.runner")
_KIND_OF_STATE: Mapping[str, str] = {
    "confirmed": "Confirmed",
    "finalized": "Confirmed",
    "reverted": "Reverted",
    "expired": "Expired",
    "cancelled": "Cancelled",
    "replaced": "Replaced",
    "failed": "Failed",
}


class SlowJournal(InlineJournal):
    """Its disk takes some turns of the loop over each write."""

    def __init__(self, backend: Backend, rng: random.Random) -> None:
        super().__init__(backend)
        self._rng = rng

    def _begin_write(self) -> None:
        self._writing = True
        self._spin(tuple(self._tail), self._rng.randrange(1, 10))

    def _spin(self, batch: Sequence[Entry], turns: int) -> None:
        loop = asyncio.get_running_loop()
        if turns:
            loop.call_soon(self._spin, batch, turns - 1)
        else:
            self._write_inline(batch)


class Lines(logging.Handler):
    """How often a line has said of a request that it ended, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.told: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        line = record.msg
        if isinstance(line, dict) and line["event"] == "request_ended":
            self.told[line["request"], line["outcome"]] += 1


class OnDisk:
    """The ends that a crash leaves: of each request in order, and how many of each kind."""

    def __init__(self) -> None:
        self.ends: dict[str, list[Outcome | None]] = {}  # None: it could never be sent
        self.last: dict[str, str] = {}  # the kind of the last; "" where it was taken back
        self.kinds: Counter[str] = Counter()
        self.told: Counter[tuple[str, str]] = Counter()
        self._read = 0

    def read(self, rows: Sequence[Entry]) -> None:
        """Take in what was written since."""
        for row in rows[self._read :]:
            if row.kind == REOPENED:
                reopened = msgspec.json.decode(row.data, type=Reopened)
                self.last[reopened.request_id] = ""
                self.kinds["Reopened"] += 1
            elif row.kind in {OUTCOME, FAILED}:
                self._ended(row)
        self._read = len(rows)

    def _ended(self, row: Entry) -> None:
        outcome, kind = None, "Failed"
        if row.kind == FAILED:
            name = msgspec.json.decode(row.data, type=Failed).request_id
        else:
            ended = msgspec.json.decode(row.data, type=Ended)
            name, outcome, kind = ended.request_id, ended.outcome, type(ended.outcome).__name__
        self.ends.setdefault(name, []).append(outcome)
        self.last[name] = kind
        self.kinds[kind] += 1
        self.told[name, kind] += 1


class Listened(Schedule):
    """At every turn all that was told is held against what a crash would leave at that turn."""

    def __init__(self, world: Callable[[random.Random], World], seed: int) -> None:
        super().__init__(world, seed)
        self.lines = Lines()
        self.disk = OnDisk()
        self._before: Counter[str] = Counter()  # ends on the disk when this process began
        self._waits: list[tuple[str, asyncio.Task[Outcome | None]]] = []

    def open_journal(self) -> InlineJournal:
        """One whose writes last."""
        return SlowJournal(self.backend, self.rng)

    def weights(self) -> dict[Action, int]:
        """Ends of every kind, and somebody who listens."""
        return {
            self._send: 8,
            self._head: 4,
            self._listen: 12,
            self._cancel: 1,
            self._replace: 1,
            self._reorg: 1,
            self._outside: 1,
            self._fees: 1,
            self._crash: 2,
        }

    async def run(self) -> None:
        """Live it with somebody who reads every line.

        Raises:
            AssertionError: an invariant broke.
        """
        level = _SPEAKER.level
        _SPEAKER.addHandler(self.lines)
        _SPEAKER.setLevel(logging.INFO)
        try:
            await super().run()
        finally:
            _SPEAKER.setLevel(level)
            _SPEAKER.removeHandler(self.lines)

    async def _boot(self) -> None:
        self._waits = []
        self.disk.read(self.backend.rows)
        self._before = Counter(self.disk.kinds)
        await super()._boot()

    async def _ask(self, ask: Ask) -> Sent | None:
        sent = await super()._ask(ask)
        if sent is not None:
            self._waits.append((sent.request_id, asyncio.create_task(_ended(sent))))
        return sent

    async def _listen(self) -> None:
        """Ends come, are written, and are read at every turn in between."""
        await self._underway(self.rng.choice([self._head, self._head, self._cancel]), None)

    async def _crash(self) -> None:
        """Die in the middle of a call: nothing that was told by then is unsaid."""
        call = self.rng.choice([self._send, self._head, self._head, self._cancel])
        await self._underway(call, self.rng.randrange(_MOST_TURNS))
        self.journal.cut = True
        await _end_all()
        self._disturbed += 1
        await self._boot()
        await self._ask_again()

    async def _underway(self, call: Action, turns: int | None) -> None:
        task = asyncio.ensure_future(call())
        while not task.done() and turns != 0:
            await asyncio.sleep(0)
            self._hold()
            turns = None if turns is None else turns - 1
        if task.done():
            task.result()

    def _hold(self) -> None:
        """Whatever is told at this turn is on the disk."""
        self.disk.read(self.backend.rows)
        for sent in self.sent.values():
            state = sent.status().state
            kind, last = _KIND_OF_STATE.get(state), self.disk.last.get(sent.request_id)
            assert kind is None or kind == last, f"{sent.request_id} is {state}, on disk: {last}"
        for name, wait in self._waits:
            if wait.done():
                ends = self.disk.ends.get(name, [])
                assert wait.result() in ends, f"{name} ended: {wait.result()}; on disk: {ends}"
        early = self.lines.told - self.disk.told
        assert not early, f"lines tell what is not on disk: {dict(early)}"
        self._hold_counts()

    def _hold_counts(self) -> None:
        told, written = self.scheduler.statistics(), self.disk.kinds - self._before
        for kind in {*_KIND_OF_STATE.values(), "Reopened"}:
            count = getattr(told, kind.lower())
            assert count <= written[kind], f"{count} {kind}, {written[kind]} on disk"


async def _ended(sent: Sent) -> Outcome | None:
    """What whoever waits is told; None where it can never be sent."""
    try:
        return await sent.wait()
    except ToolkitError:
        return None


class CrowdedJournal(InlineJournal):
    """Somebody else's entries have nearly filled it (`MAX_PENDING`, here much sooner)."""

    room: int | None = None
    """How many entries may wait for a write; None for any number."""

    refused = False
    """Whether an entry was one too many: whoever wanted it dies of that, now or a little later."""

    def _append(
        self,
        kind: str,
        data: msgspec.Struct | Mapping[str, object],
        cause: int | None = None,
        version: int = 1,
        key: str | None = None,
    ) -> int:
        if self.room is not None and len(self._tail) >= self.room:
            self.refused = True
            raise BusOverflow(f"{self.room} journal entries wait to be written; await commit()")
        return super()._append(kind, data, cause, version, key)


class Crowded(Schedule):
    """A journal is full between what ends a request and the word of that end; its process dies.

    Whoever filled it writes down what is there: the end is decided, and nobody has told it.
    """

    journal: CrowdedJournal

    def open_journal(self) -> InlineJournal:
        """One that may be full."""
        return CrowdedJournal(self.backend)

    def weights(self) -> dict[Action, int]:
        """Heads that end something, in a journal without room."""
        return {
            self._send: 10,
            self._head: 8,
            self._crowd: 8,
            self._cancel: 2,
            self._reorg: 2,
            self._outside: 1,
            self._fees: 1,
            self._crash: 1,
        }

    async def _crowd(self) -> None:
        """The entry that is one too many kills the process, with or without a last write."""
        call = self.rng.choice([self._head, self._head, self._reorg, self._send, self._cancel])
        self.journal.room = self.rng.randint(1, 4)
        with suppress(BusOverflow):
            await call()
        self.journal.room = None
        if not self.journal.refused:
            return
        self.coverage.ends["journal full"] += 1
        if self.rng.random() < 0.8:  # noqa: PLR2004 - mostly
            await self.journal.commit()
        self.journal.cut = True
        await _end_all()
        self._disturbed += 1
        await self._boot()
        await self._ask_again()


async def _end_all() -> None:
    """Nothing of a process outlives it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)
