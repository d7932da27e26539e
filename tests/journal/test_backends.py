"""What every backend must do, asked of each in the same words."""

import random
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from toolkit.journal import layout, log
from toolkit.journal.chain import GENESIS, Bounds, Entry, chained, verify
from toolkit.journal.log import Backend, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.model.errors import ConfigError, JournalCorrupt, JournalUnavailable

_V1 = (
    """CREATE TABLE entry (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL, cause INTEGER,
    data BLOB NOT NULL, hash TEXT NOT NULL, previous TEXT NOT NULL)""",
    "PRAGMA application_id=1835365994",
    "PRAGMA user_version=1",
)


class Store:
    """One journal's place, opened again and again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: list[Entry] = []
        self._count = 0

    def open(self) -> Backend:
        if self._path is not None:
            return SqliteBackend(self._path)
        backend = MemoryBackend()
        backend.rows = self._rows
        return backend

    def empty(self) -> None:
        """Begin anew, in the next place."""
        self._rows = []
        if self._path is not None:
            self._count += 1
            self._path = self._path.with_name(f"{self._count}.db")

    def change(self, seq: int, data: bytes) -> None:
        """Alter one entry behind the journal's back."""
        if self._path is None:
            self._rows[seq - 1] = msgspec.structs.replace(self._rows[seq - 1], data=data)
            return
        with closing(sqlite3.connect(self._path)) as database, database:
            database.execute("UPDATE entry SET data = ? WHERE seq = ?", (data, seq))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, quick_path: Path) -> Store:
    return Store(quick_path / "j.db" if request.param == "sqlite" else None)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(log, "SEGMENT_ENTRIES", 10)
    return 10


async def test_the_newest_entry_of_a_key_is_found(store: Store) -> None:
    """A key leads to its newest entry: waiting, durable, and after a restart."""
    journal = Journal(store.open())
    journal.append("a", {"n": 1}, key="k")
    journal.append("a", {"n": 2})
    first = journal.find("k")
    await journal.commit()
    durable = journal.find("k")
    journal.append("b", {"n": 3}, key="k")
    newer = journal.find("k")
    absent = journal.find("other")
    await journal.close()
    again = Journal(store.open())

    assert first is not None
    assert first == durable
    assert newer is not None
    assert (1, 3, None) == (first.seq, newer.seq, absent)
    assert newer == again.find("k")
    assert ["k", None, "k"] == [entry.key for entry in again.entries()]
    await again.close()


async def test_a_key_is_covered_by_the_hash(store: Store) -> None:
    """Taking a key away, adding one or changing it breaks the chain; no key hashes as format 1."""
    journal = Journal(store.open())
    journal.append("a", {}, key="k")
    journal.append("a", {})
    entries = list(journal.entries())
    await journal.close()

    for index, key in ((0, None), (0, "other"), (1, "k"), (1, "")):
        forged = list(entries)
        forged[index] = msgspec.structs.replace(forged[index], key=key)
        with pytest.raises(JournalCorrupt, match=rf"entry {index + 1} \(a\) does not match"):
            verify(forged)


def test_entries_without_a_key_hash_as_in_format_1() -> None:
    """The hash of an entry that the first release wrote is known, and has not changed."""
    first = chained(seq=1, kind="a", version=1, cause=None, data=b"{}", previous=GENESIS)
    other = chained(seq=2, kind="tx.request", version=3, cause=1, data=b'{"n":1}', previous=GENESIS)

    assert "0x5fb4c2152bc4ec421bfaa7d4bef78c025765572ce2611d20568922423c21deec" == first.hash
    assert "0x52460badd31fd078561fc08757a14c10a0b88b2435fb5b8373d18ea60c3c2263" == other.hash


async def test_entries_begin_behind_a_number(store: Store) -> None:
    """`after` skips what came before, among durable and waiting entries and within kinds."""
    journal = Journal(store.open())
    for index in range(6):
        journal.append("ab"[index % 2], {})
        if index == 3:
            await journal.commit()

    assert [4, 5, 6] == [entry.seq for entry in journal.entries(after=3)]
    assert [4, 6] == [entry.seq for entry in journal.entries("b", after=2)]
    assert [6] == [entry.seq for entry in journal.entries(after=5)]
    assert [] == list(journal.entries(after=6))
    assert [1, 2, 3, 4, 5, 6] == [entry.seq for entry in journal.entries("a", "b")]
    await journal.close()


@pytest.mark.parametrize("kind", ["journal.segment", "checkpoint.tx"])
async def test_the_journals_own_names_are_refused(kind: str) -> None:
    """Nobody can write a mark or a checkpoint by another way, and mislead the next opening."""
    journal = Journal(MemoryBackend())

    with pytest.raises(ConfigError, match="the journal's own"):
        journal.append(kind, {})
    with pytest.raises(ConfigError, match="the journal's own"):
        journal.append("a", {}, key=kind.replace(".", ":"))
    with pytest.raises(ConfigError, match="no plain word"):
        journal.checkpoint("tx.lane", {})
    assert 0 == journal.last_seq
    await journal.close()


async def test_the_newest_checkpoint_of_a_name_is_found(store: Store) -> None:
    """A checkpoint is an entry of its own kind; the newest of its name is found after a restart."""
    journal = Journal(store.open())
    journal.append("tx.request", {})
    first = journal.checkpoint("tx", {"lanes": 1})
    journal.checkpoint("other", {})
    newest = journal.checkpoint("tx", {"lanes": 2})
    journal.append("tx.request", {})
    await journal.close()

    again = Journal(store.open())
    found = again.last_checkpoint("tx")
    assert found is not None
    assert (2, newest, "checkpoint.tx", b'{"lanes":2}') == (
        first,
        found.seq,
        found.kind,
        found.data,
    )
    assert [5] == [entry.seq for entry in again.entries("tx.request", after=found.seq)]
    assert again.last_checkpoint("none") is None
    await again.close()


async def test_segments_are_marked_behind_the_entry_that_fills_them(
    store: Store, short_segments: int
) -> None:
    """A mark comes once a segment is full, never between a number foretold and its entry."""
    journal = Journal(store.open())
    told = [(journal.last_seq + 1, journal.append("a", {})) for _ in range(25)]
    await journal.close()

    again = Journal(store.open())
    assert all(foretold == seq for foretold, seq in told)
    assert [12, 23] == [entry.seq for entry in again.entries("journal.segment")]
    assert 27 == again.last_seq == verify(again.entries())
    for _ in range(6):
        again.append("a", {})
    assert [12, 23, 34] == [entry.seq for entry in again.entries("journal.segment")]
    await again.close()


async def test_opening_verifies_since_the_newest_mark(store: Store, short_segments: int) -> None:
    """A change behind the newest mark is refused at opening; an older one when it is read."""
    journal = Journal(store.open())
    for _ in range(25):
        journal.append("a", {})
    await journal.close()
    store.change(4, b'{"forged":1}')
    opened = Journal(store.open())

    read: list[int] = []
    with pytest.raises(JournalCorrupt, match=r"entry 4 \(a\) does not match its hash"):
        read.extend(entry.seq for entry in opened.entries())

    assert [1, 2, 3] == read
    assert [27] == [entry.seq for entry in opened.entries(after=26)]
    await opened.close()
    store.change(25, b'{"forged":1}')
    with pytest.raises(JournalCorrupt, match=r"entry 25 \(a\) does not match its hash"):
        Journal(store.open())


async def test_a_changed_mark_is_refused(store: Store, short_segments: int) -> None:
    """The mark that opening begins at is held against its hash as every entry is."""
    journal = Journal(store.open())
    for _ in range(11):
        journal.append("a", {})
    await journal.close()
    store.change(12, b"{}")

    with pytest.raises(JournalCorrupt, match=r"entry 12 \(journal\.segment\) does not match"):
        Journal(store.open())


async def test_what_is_found_was_not_altered(store: Store, short_segments: int) -> None:
    """An entry found by its key is held against its hash, however old it is."""
    journal = Journal(store.open())
    journal.append("a", {}, key="k")
    for _ in range(15):
        journal.append("a", {})
    await journal.close()
    store.change(1, b'{"forged":1}')
    opened = Journal(store.open())

    with pytest.raises(JournalCorrupt, match=r"entry 1 \(a\) does not match its hash"):
        opened.find("k")
    await opened.close()


async def test_a_journal_without_marks_gets_one_at_opening(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long journal of an older version is verified whole once, and marked for the next time."""
    journal = Journal(store.open())
    for _ in range(30):
        journal.append("a", {})
    await journal.close()
    monkeypatch.setattr(log, "SEGMENT_ENTRIES", 10)

    await Journal(store.open()).close()

    store.change(4, b'{"forged":1}')
    again = Journal(store.open())
    assert [31] == [entry.seq for entry in again.entries("journal.segment")]
    await again.close()


async def test_a_full_queue_takes_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry that fills queue and segment is taken; the mark waits for room."""
    monkeypatch.setattr(log, "SEGMENT_ENTRIES", 3)
    monkeypatch.setattr(log, "MAX_PENDING", 4)
    journal = Journal(MemoryBackend())

    assert [1, 2, 3, 4] == [journal.append("a", {}) for _ in range(4)]
    await journal.commit()
    journal.append("a", {})
    assert [6] == [entry.seq for entry in journal.entries("journal.segment")]
    await journal.close()


@pytest.mark.parametrize("batch", range(4))
async def test_backends_agree_with_a_list(store: Store, batch: int) -> None:
    """Random appends, commits, crashes and restarts: every reading is that of a plain list."""
    for _ in range(50):
        seed = secrets.randbits(32)
        print(f"seed {seed} (batch {batch})")
        store.empty()
        await _wander(store, random.Random(seed))


async def _wander(store: Store, rng: random.Random) -> None:
    backend = store.open()
    journal = Journal(backend)
    kept: list[tuple[str, str | None]] = []
    durable = 0
    for _ in range(30):
        match rng.choices(["append", "checkpoint", "commit", "crash"], [12, 2, 3, 2])[0]:
            case "append":
                kind, key = rng.choice("ab"), rng.choice([None, "k", "l"])
                journal.append(kind, {"n": len(kept)}, key=key)
                kept.append((kind, key))
            case "checkpoint":
                journal.checkpoint("tx", {"n": len(kept)})
                kept.append(("checkpoint.tx", "checkpoint:tx"))
            case "commit":
                await journal.commit()
                durable = len(kept)
            case "crash":
                backend.close()  # without a commit: what was not durable is gone
                del kept[durable:]
                backend = store.open()
                journal = Journal(backend)
        _require_same(journal, kept, rng)
    await journal.close()


def _require_same(journal: Journal, kept: list[tuple[str, str | None]], rng: random.Random) -> None:
    after, kinds = rng.randrange(len(kept) + 2), rng.choice([(), ("a",), ("a", "checkpoint.tx")])
    wanted = [
        (seq, kind)
        for seq, (kind, _) in enumerate(kept, 1)
        if seq > after and (not kinds or kind in kinds)
    ]
    newest = {key: seq for seq, (_, key) in enumerate(kept, 1) if key is not None}
    found = {key: journal.find(key) for key in ("k", "l", "checkpoint:tx")}

    assert len(kept) == journal.last_seq
    assert wanted == [(entry.seq, entry.kind) for entry in journal.entries(*kinds, after=after)]
    assert newest == {key: entry.seq for key, entry in found.items() if entry is not None}
    assert found["checkpoint:tx"] == journal.last_checkpoint("tx")


def _format_1(path: Path, count: int) -> None:
    """Write a file exactly as the first release did."""
    with closing(sqlite3.connect(path)) as database, database:
        for statement in _V1:
            database.execute(statement)
        previous = GENESIS
        for seq in range(1, count + 1):
            one = chained(
                seq=seq, kind="a", version=1, cause=None, data=b'{"n":1}', previous=previous
            )
            database.execute(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
                (one.seq, one.kind, one.version, one.cause, one.data, one.hash, one.previous),
            )
            previous = one.hash


async def test_a_file_of_format_1_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    """An older journal can be read as it is; opening it adds keys, token and bounds to it."""
    path = tmp_path / "j.db"
    _format_1(path, 7)
    read = list(read_entries(path))

    journal = Journal(SqliteBackend(path))
    journal.append("b", {}, key="k")
    await journal.close()

    again = Journal(SqliteBackend(path))
    found = again.find("k")
    assert 7 == verify(read)
    assert read == list(again.entries("a"))
    assert found is not None
    assert (8, 8) == (found.seq, verify(again.entries()))
    await again.close()


def test_a_format_1_file_without_entries_is_brought_up_to_date(tmp_path: Path) -> None:
    """An empty older journal opens too."""
    _format_1(tmp_path / "j.db", 0)

    backend = SqliteBackend(tmp_path / "j.db")

    assert Bounds() == backend.bounds()
    backend.close()


async def test_a_crash_while_upgrading_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change of format is one transaction: it happened or it did not."""
    path = tmp_path / "j.db"
    _format_1(path, 3)
    with monkeypatch.context() as broken:
        broken.setattr(layout, "_ADDED", (*layout._ADDED, "SELECT * FROM absent"))
        with pytest.raises(JournalUnavailable, match="no such table: absent"):
            SqliteBackend(path)

    assert 3 == verify(read_entries(path))
    journal = Journal(SqliteBackend(path))
    assert 3 == journal.last_seq
    await journal.close()
