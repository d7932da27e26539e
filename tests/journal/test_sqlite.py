import os
import resource
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from toolkit.journal.log import Journal, verify
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.model.errors import ConfigError, JournalCorrupt, JournalUnavailable


async def _write(path: Path, count: int) -> None:
    journal = Journal(SqliteBackend(path))
    for index in range(count):
        journal.append("note", {"index": index, "filler": "x" * 400})
    await journal.close()


async def test_committed_entries_are_there_for_the_next_process(tmp_path: Path) -> None:
    """What was committed is read back, verified, by a fresh backend on the same file."""
    await _write(tmp_path / "j.db", 50)

    journal = Journal(SqliteBackend(tmp_path / "j.db"))

    assert 50 == journal.last_seq == verify(journal.entries())
    await journal.close()


def _modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


async def test_every_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """The database, its WAL, its index and its lock have mode 0600 whatever the umask is."""
    before = os.umask(0)
    try:
        journal = Journal(SqliteBackend(tmp_path / "j.db"))
        journal.append("note", {})
        await journal.commit()
        modes = _modes(tmp_path)
    finally:
        os.umask(before)

    assert dict.fromkeys(["j.db", "j.db-shm", "j.db-wal", "j.db.lock"], 0o600) == modes
    await journal.close()


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    """A journal that was copied with another mode is its owner's again once it is opened."""
    await _write(tmp_path / "j.db", 1)
    (tmp_path / "j.db").chmod(0o644)

    SqliteBackend(tmp_path / "j.db").close()

    assert 0o600 == _modes(tmp_path)["j.db"]


async def test_a_full_database_is_refused_and_ends_the_journal(tmp_path: Path) -> None:
    """SQLITE_FULL gives one line that names file and entry; what was durable stays."""
    backend = SqliteBackend(tmp_path / "j.db")
    backend._database.execute("PRAGMA max_page_count=8")
    journal = Journal(backend)
    journal.append("note", {"n": 1})
    await journal.commit()
    journal.append("note", {"filler": "x" * 100_000})

    with pytest.raises(JournalUnavailable, match=r"cannot write entry 2 .*full.*free space"):
        await journal.commit()

    with pytest.raises(JournalUnavailable, match="entry 2"):
        journal.append("note", {"n": 3})
    await journal.close()
    assert 1 == verify(read_entries(tmp_path / "j.db"))


async def test_a_read_only_journal_is_refused(tmp_path: Path) -> None:
    """A database that may not be written fails at the commit, in one line."""
    backend = SqliteBackend(tmp_path / "j.db")
    backend._database.execute("PRAGMA query_only=ON")
    journal = Journal(backend)
    journal.append("note", {})

    with pytest.raises(JournalUnavailable, match="readonly"):
        await journal.commit()
    await journal.close()


_FILL = """
import asyncio, sys
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.errors import JournalUnavailable

async def main():
    journal = Journal(SqliteBackend(sys.argv[1]))
    committed = 0
    try:
        while committed < 10_000:
            journal.append("note", {"filler": "x" * 4_000})
            await journal.commit()
            committed += 1
    except JournalUnavailable as error:
        print(committed, error)
    await journal.close()

asyncio.run(main())
"""


def test_a_full_disk_keeps_every_committed_entry(tmp_path: Path) -> None:
    """When the system refuses more bytes, all that was committed verifies and no more is there."""
    run = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path / "j.db")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
        capture_output=True,
        text=True,
        check=True,
    )

    committed, message = run.stdout.split(maxsplit=1)
    assert 0 < int(committed) < 10_000
    assert int(committed) == verify(read_entries(tmp_path / "j.db"))
    assert f"cannot write entry {int(committed) + 1}" in message
    assert 1 == len(message.strip().splitlines())
    assert "" == run.stderr


_DIE = """
import asyncio, os, signal, sys
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend

async def main():
    journal = Journal(SqliteBackend(sys.argv[1]))
    for index in range(20):
        journal.append("note", {"index": index})
        await journal.commit()
    journal.append("note", {"lost": True})
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_kill_loses_only_what_was_not_committed(tmp_path: Path) -> None:
    """After SIGKILL the committed prefix verifies and the lock is free."""
    subprocess.run([sys.executable, "-c", _DIE, str(tmp_path / "j.db")], check=False)

    backend = SqliteBackend(tmp_path / "j.db")

    assert 20 == verify(backend.load())
    backend.close()


async def test_a_torn_wal_tail_leaves_a_prefix_that_verifies(tmp_path: Path) -> None:
    """Cutting the WAL anywhere loses whole trailing writes and never yields a half one."""
    journal = Journal(SqliteBackend(tmp_path / "j.db"))
    for index in range(10):
        journal.append("note", {"index": index, "filler": "x" * 3_000})
        await journal.commit()
    wal = (tmp_path / "j.db-wal").read_bytes()
    database = (tmp_path / "j.db").read_bytes()
    await journal.close()

    counts = []
    for cut in range(0, len(wal), 3_001):
        copy = tmp_path / f"cut-{cut}.db"
        copy.write_bytes(database)
        copy.with_name(f"{copy.name}-wal").write_bytes(wal[: len(wal) - cut])
        reopened = Journal(SqliteBackend(copy))
        counts.append(reopened.last_seq)
        await reopened.close()

    assert 10 == counts[0]
    assert sorted(counts, reverse=True) == counts
    assert 0 == counts[-1]


async def test_a_forged_row_is_named(tmp_path: Path) -> None:
    """Editing one row in the file makes opening fail with that row's number."""
    await _write(tmp_path / "j.db", 9)
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("UPDATE entry SET data = ? WHERE seq = 7", (b"{}",))

    backend = SqliteBackend(tmp_path / "j.db")
    with pytest.raises(JournalCorrupt, match=r"entry 7 \(note\)"):
        Journal(backend)
    backend.close()


async def test_a_journal_that_cannot_be_opened_is_held_by_nobody(tmp_path: Path) -> None:
    """After a refusal the file can be opened again, by this process and by others."""
    await _write(tmp_path / "j.db", 9)
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("UPDATE entry SET data = ? WHERE seq = 7", (b"{}",))

    for _ in range(2):
        with pytest.raises(JournalCorrupt, match="entry 7"):
            Journal(SqliteBackend(tmp_path / "j.db"))


async def test_a_row_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    """SQLite accepts any type in a column; the journal does not."""
    await _write(tmp_path / "j.db", 3)
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("UPDATE entry SET data = 17 WHERE seq = 2")

    with pytest.raises(JournalCorrupt, match="entry 2 cannot be read"):
        verify(read_entries(tmp_path / "j.db"))


async def test_a_truncated_file_names_the_first_lost_entry(tmp_path: Path) -> None:
    """A database cut short yields the readable prefix and then names the next entry."""
    path = tmp_path / "j.db"
    await _write(path, 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    read: list[int] = []

    with pytest.raises(JournalCorrupt) as raised:
        read.extend(entry.seq for entry in read_entries(path))  # keeps what came before

    assert f"entry {len(read) + 1} cannot be read" in str(raised.value)


async def test_two_holders_of_one_journal_are_refused(tmp_path: Path) -> None:
    """The second opener is told in one line; reading stays possible; closing lets it in."""
    first = Journal(SqliteBackend(tmp_path / "j.db"))
    first.append("note", {})
    await first.commit()

    with pytest.raises(ConfigError, match="in use by another process"):
        SqliteBackend(tmp_path / "j.db")

    assert 1 == verify(read_entries(tmp_path / "j.db"))
    await first.close()
    SqliteBackend(tmp_path / "j.db").close()


async def test_a_link_is_the_same_journal(tmp_path: Path) -> None:
    """A second holder cannot come in by another name, and halt the first."""
    first = SqliteBackend(tmp_path / "j.db")
    (tmp_path / "other.db").symlink_to(tmp_path / "j.db")

    with pytest.raises(ConfigError, match="in use by another process"):
        SqliteBackend(tmp_path / "other.db")

    first.close()


def test_no_name_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty path is the working directory, which nobody means."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="journal is ''; give a path"):
        SqliteBackend("")


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """Some other program's database is neither read as a journal nor written to."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("CREATE TABLE mine (x)")

    with pytest.raises(ConfigError, match="no journal"):
        SqliteBackend(tmp_path / "other.db")
    with pytest.raises(ConfigError, match="no journal"):
        next(read_entries(tmp_path / "other.db"))


def test_a_journal_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A format from the future is named, not guessed at."""
    SqliteBackend(tmp_path / "j.db").close()
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("PRAGMA user_version=3")

    with pytest.raises(ConfigError, match="format 3, this version reads 2"):
        SqliteBackend(tmp_path / "j.db")


def test_a_text_file_is_no_journal(tmp_path: Path) -> None:
    """Bytes that are no database at all are corruption at entry 1."""
    path = tmp_path / "notes.txt"
    path.write_text("hello " * 1_000)

    with pytest.raises(JournalCorrupt, match="entry 1 cannot be read"):
        SqliteBackend(path)
    with pytest.raises(JournalCorrupt, match="entry 1 cannot be read"):
        next(read_entries(path))


def test_places_that_cannot_hold_a_journal_are_named(tmp_path: Path) -> None:
    """A path below a file, and a path that is a directory, each give one clear line."""
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()

    with pytest.raises(JournalUnavailable, match=r"cannot create j\.db\.lock"):
        SqliteBackend(tmp_path / "file" / "j.db")
    with pytest.raises(ConfigError, match="is a directory; give a file in it"):
        SqliteBackend(tmp_path / "directory")
    with pytest.raises(ConfigError, match="no journal at"):
        next(read_entries(tmp_path / "absent.db"))
