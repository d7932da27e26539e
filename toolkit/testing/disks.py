"""Journals on a disk that fails and is tampered with, and one file that several processes want.

What was acknowledged must be there after every crash; what was changed behind the journal's back
must be refused; and whoever was overtaken writes nothing more.
"""

import asyncio
import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from toolkit.journal.chain import Bounds, Entry, Point, chained
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.model.errors import JournalCorrupt, JournalUnavailable, LeaseLost
from toolkit.testing.coverage import Coverage
from toolkit.testing.fakes import InlineJournal

KINDS = ("tx.request", "fact", "verdict")
FAILURES: tuple[type[JournalUnavailable | LeaseLost], ...] = (JournalUnavailable, LeaseLost)


class Disk(MemoryBackend):
    """Rows that survive a crash, and the record of where the last write ended beside them."""

    def __init__(self, rows: Sequence[Entry] = (), *, head: Point | None = None) -> None:
        super().__init__(rows)
        self.head = head or _head(self.rows)
        self.failing: Exception | None = None
        """What the next write raises; nothing is written then."""

    def bounds(self) -> Bounds:
        """Where the last write ended, whatever is there now."""
        return Bounds(head=self.head)

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep all, or none."""
        failing, self.failing = self.failing, None
        if failing is not None:
            raise failing
        super().write(entries)
        self.head = _head(self.rows)


class DiskLife:
    """Processes that write, die and come back, on one disk."""

    steps = 30

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a life is drawn, not a secret
        self.coverage = Coverage()
        self.disk = Disk()
        self._forbidden: Exception | None = None  # by the guard, once
        self._sure: list[tuple[int, bytes, str | None]] = []  # acknowledged: these must stay

    async def run(self) -> None:
        """Live it.

        Raises:
            AssertionError: what was acknowledged is gone, or what was altered is believed.
        """
        await self._open()
        for _ in range(self.steps):
            action = self.rng.choices(
                [self._write, self._crash, self._fail, self._forbid, self._tamper],
                [10, 2, 1, 1, 3],
            )[0]
            self.coverage.actions[action.__name__.removeprefix("_")] += 1
            await action()
            self.coverage.events += 1
        self._check_sure()
        self.coverage.close(most_in_flight=self.steps, faults=self.coverage.faults.total())

    async def _open(self) -> None:
        self.journal = InlineJournal(self.disk, guard=self._guard)
        self._check_sure()

    def _guard(self) -> None:
        forbidden, self._forbidden = self._forbidden, None
        if forbidden is not None:
            raise forbidden

    async def _write(self) -> None:
        """Several writers at once; whoever was told "durable" must find it on the disk."""
        await asyncio.gather(*(self._write_some() for _ in range(self.rng.randint(1, 4))))

    async def _write_some(self) -> None:
        added = [self._append() for _ in range(self.rng.randint(1, 5))]
        await self.journal.commit()
        there = {row.seq for row in self.disk.rows}
        for one in added:
            assert one[0] in there, f"entry {one[0]} was acknowledged and is not on the disk"
        self._sure += added

    def _append(self) -> tuple[int, bytes, str | None]:
        data = {"value": self.rng.getrandbits(32)}
        key = self.rng.choice([None, f"key-{self.rng.randrange(6)}"])
        seq = self.journal.append(self.rng.choice(KINDS), data, key=key)
        return seq, msgspec.json.encode(data), key

    async def _crash(self) -> None:
        """Die with something unwritten; the next process finds all that was acknowledged."""
        for _ in range(self.rng.randrange(3)):
            self._append()
        self.journal.cut = True
        self.coverage.faults["crash"] += 1
        await self._open()

    async def _fail(self) -> None:
        """A write fails once: nobody is told "durable" any more by this journal."""
        error = self.rng.choice(FAILURES)("the disk says no")
        self.disk.failing = error
        await self._refused("failed write")

    async def _forbid(self) -> None:
        """Whoever guards the journal forbids a write: nothing is written."""
        self._forbidden = LeaseLost("somebody else has the key")
        await self._refused("forbidden write")

    async def _refused(self, what: str) -> None:
        before = len(self.disk.rows)
        for _ in range(self.rng.randint(1, 3)):
            self._append()
            try:
                await self.journal.commit()
            except (JournalUnavailable, LeaseLost):
                break
            raise AssertionError(f"acknowledged behind a {what}")
        with suppress(JournalUnavailable, LeaseLost):
            self._append()
            await self.journal.commit()
        assert before == len(self.disk.rows), f"written behind a {what}"
        self.coverage.faults[what] += 1
        await self._open()

    async def _tamper(self) -> None:
        """Somebody edits the file: whoever opens and reads it is told."""
        if len(self.disk.rows) < 4:  # noqa: PLR2004 - there must be something to forge
            return
        forge = self.rng.choice([_altered, _renamed, _cut, _spliced, _skipped, _swapped])
        forged = forge(self.rng, self.disk.rows, self.disk.head)
        self.coverage.faults[f"forgery: {forge.__name__.removeprefix('_')}"] += 1
        try:
            journal = Journal(forged)
            entries = list(journal.entries())
        except JournalCorrupt:
            return
        raise AssertionError(f"a journal that was {forge.__name__[1:]} reads as {len(entries)}")

    def _check_sure(self) -> None:
        rows = {row.seq: row for row in self.journal.entries()}
        newest: dict[str, int] = {}
        for seq, data, key in self._sure:
            assert seq in rows, f"entry {seq} was acknowledged and is gone"
            assert (data, key) == (rows[seq].data, rows[seq].key), f"entry {seq} is another one"
        for row in rows.values():
            if row.key is not None:
                newest[row.key] = row.seq
        for key, seq in newest.items():
            found = self.journal.find(key)
            assert found is not None, f"{key} is not found"
            assert found.seq == seq, f"{key} finds entry {found.seq}, not {seq}"


def _head(rows: Sequence[Entry]) -> Point:
    return Point(seq=rows[-1].seq, hash=rows[-1].hash) if rows else Point()


def _altered(rng: random.Random, rows: Sequence[Entry], head: Point) -> Disk:
    """One entry's data is another one."""
    at = rng.randrange(len(rows))
    changed = msgspec.structs.replace(rows[at], data=rows[at].data + b" ")
    return Disk([*rows[:at], changed, *rows[at + 1 :]], head=head)


def _renamed(rng: random.Random, rows: Sequence[Entry], head: Point) -> Disk:
    """One entry is found by another key."""
    at = rng.randrange(len(rows))
    changed = msgspec.structs.replace(rows[at], key=f"forged-{rows[at].key}")
    return Disk([*rows[:at], changed, *rows[at + 1 :]], head=head)


def _cut(rng: random.Random, rows: Sequence[Entry], head: Point) -> Disk:
    """The end is missing, though the last write went further."""
    return Disk(rows[: rng.randrange(len(rows))], head=head)


def _spliced(rng: random.Random, rows: Sequence[Entry], head: Point) -> Disk:
    """One entry is of another journal: sound by itself, and not what came here."""
    at = rng.randrange(1, len(rows) - 1)
    other = _chained(rows[at], previous=rows[at - 1].previous)
    return Disk([*rows[:at], other, *rows[at + 1 :]], head=head)


def _skipped(rng: random.Random, rows: Sequence[Entry], head: Point) -> Disk:  # noqa: ARG001
    """One entry was taken out, and everything behind it chained again with its old number."""
    at = rng.randrange(1, len(rows) - 1)
    kept = list(rows[:at])
    for row in rows[at + 1 :]:
        kept.append(_chained(row, previous=kept[-1].hash))
    return Disk(kept)


def _swapped(rng: random.Random, rows: Sequence[Entry], head: Point) -> Disk:
    """Two neighbours changed places."""
    at = rng.randrange(1, len(rows) - 1)
    return Disk([*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]], head=head)


def _chained(row: Entry, *, previous: str) -> Entry:
    return chained(
        seq=row.seq,
        kind=row.kind,
        version=row.version,
        cause=row.cause,
        data=row.data,
        previous=previous,
        key=row.key,
    )


class FileLife:
    """Processes that take one journal's file from each other; only the newest holder writes."""

    steps = 8

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a life is drawn, not a secret
        self.coverage = Coverage()
        self._path = folder / "journal.db"
        self._holders: list[SqliteBackend] = []
        self._written: list[str] = []  # hashes that a holder was told to be durable, in order

    def run(self) -> None:
        """Live it.

        Raises:
            AssertionError: an overtaken holder wrote, or what was acknowledged is not there.
        """
        self._take_over()
        try:
            for _ in range(self.steps):
                action = self.rng.choices(
                    [self._write, self._take_over, self._write_late], [6, 2, 4]
                )[0]
                self.coverage.actions[action.__name__.removeprefix("_")] += 1
                action()
                self._check()
                self.coverage.events += 1
        finally:
            for one in self._holders:
                one.close()
        self.coverage.close(most_in_flight=self.steps, faults=len(self._holders))

    def _take_over(self) -> None:
        self._holders.append(SqliteBackend(self._path, takeover=bool(self._holders)))

    def _write(self) -> None:
        entries = self._next()
        self._holders[-1].write(entries)
        self._written += [one.hash for one in entries]

    def _write_late(self) -> None:
        """An overtaken process goes on where it was stopped."""
        late = self._holders[:-1]
        if not late:
            return
        try:
            self.rng.choice(late).write(self._next())
        except LeaseLost:
            self.coverage.ends["refused"] += 1
            return
        raise AssertionError("an overtaken holder was told that its entries are durable")

    def _next(self) -> list[Entry]:
        return following(self.rng, self._holders[-1].bounds().head)

    def _check(self) -> None:
        found = [entry.hash for entry in read_entries(self._path)]
        assert self._written == found, "the file has other entries than its holders were told of"


def following(rng: random.Random, head: Point) -> list[Entry]:
    """A few entries that go on where a chain ends."""
    previous, entries = head, list[Entry]()
    for _ in range(rng.randint(1, 3)):
        data = msgspec.json.encode({"value": rng.getrandbits(32)})
        entry = chained(
            seq=previous.seq + 1,
            kind="fact",
            version=1,
            cause=None,
            data=data,
            previous=previous.hash,
        )
        entries.append(entry)
        previous = Point(seq=entry.seq, hash=entry.hash)
    return entries


def live_on_a_disk(seed: int) -> Coverage:
    """One seeded life of a journal on a disk that fails and is tampered with."""
    life = DiskLife(seed)
    _noted(seed, lambda: asyncio.run(life.run()))
    return life.coverage


def live_on_a_file(seed: int) -> Coverage:
    """One seeded life of a journal's file that processes take from each other."""
    with tempfile.TemporaryDirectory() as folder:
        life = FileLife(seed, Path(folder))
        _noted(seed, life.run)
    return life.coverage


def _noted(seed: int, live: Callable[[], None]) -> None:
    try:
        live()
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
