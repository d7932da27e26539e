"""What every backend must do, asked of each in the same words."""

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

    def open(self) -> Backend:
        if self._path is not None:
            return SqliteBackend(self._path)
        backend = MemoryBackend()
        backend.rows = self._rows
        return backend

    def change(self, seq: int, data: bytes) -> None:
        """Alter one entry behind the journal's back."""
        if self._path is None:
            self._rows[seq - 1] = msgspec.structs.replace(self._rows[seq - 1], data=data)
            return
        with closing(sqlite3.connect(self._path)) as database, database:
            database.execute("UPDATE entry SET data = ? WHERE seq = ?", (data, seq))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "j.db" if request.param == "sqlite" else None)


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
