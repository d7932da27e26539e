import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from toolkit.journal import log
from toolkit.journal.chain import Bounds, Point, chained
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.journal.verification import Verification, verify_file
from toolkit.model.errors import ConfigError, JournalCorrupt


async def _write(path: Path, count: int) -> str:
    journal = Journal(SqliteBackend(path))
    for index in range(count):
        journal.append("a", {"index": index}, key=f"k{index}" if index % 2 else None)
    await journal.close()
    return journal.head_hash


def _do(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


async def test_a_whole_journal_is_told_with_its_ends(tmp_path: Path) -> None:
    """A journal in use verifies, and says how many entries it has and where they end."""
    head = await _write(tmp_path / "j.db", 30)
    holder = SqliteBackend(tmp_path / "j.db")

    found = verify_file(tmp_path / "j.db")

    assert Verification(entries=30, bounds=Bounds(head=Point(seq=30, hash=head))) == found
    holder.close()


@pytest.mark.parametrize("first_bad", [1, 4, 17, 30])
async def test_a_change_anywhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_bad: int
) -> None:
    """Verifying goes through every segment, also those that opening takes on trust."""
    monkeypatch.setattr(log, "SEGMENT_ENTRIES", 5)
    path = tmp_path / "j.db"
    await _write(path, 30)
    _do(path, f"UPDATE entry SET version = version + 1 WHERE seq = {first_bad}")

    with pytest.raises(JournalCorrupt, match=rf"entry {first_bad} \("):
        verify_file(path)


@pytest.mark.parametrize("left", [0, 1, 12, 29])
async def test_a_tail_cut_off_cleanly_is_missed(tmp_path: Path, left: int) -> None:
    """Whole entries taken from the end leave a perfect chain, and are missed all the same."""
    path = tmp_path / "j.db"
    await _write(path, 30)
    _do(path, f"DELETE FROM entry WHERE seq > {left}")

    with pytest.raises(JournalCorrupt, match=f"entry {left + 1} is missing: 30 were written"):
        verify_file(path)
    with pytest.raises(JournalCorrupt, match=f"entry {left + 1} is missing: 30 were written"):
        Journal(SqliteBackend(path))


async def test_an_entry_slipped_in_behind_the_last_write_is_refused(tmp_path: Path) -> None:
    """Rows that came in beside the journal's own way are none of it."""
    path = tmp_path / "j.db"
    await _write(path, 3)
    _do(path, "UPDATE holder SET last_seq = 2, last_hash = 'x'")

    with pytest.raises(JournalCorrupt, match=r"entry 3 is none that was written here"):
        verify_file(path)


async def test_a_beginning_cut_off_is_missed(tmp_path: Path) -> None:
    """A file that says of itself that it begins later needs a compaction's entry for it."""
    path = tmp_path / "j.db"
    await _write(path, 9)
    _do(
        path,
        "UPDATE holder SET (base_seq, base_hash) = (SELECT seq, hash FROM entry WHERE seq = 4)",
        "DELETE FROM entry WHERE seq <= 4",
    )

    with pytest.raises(JournalCorrupt, match="entry 1 is missing: the file begins at 5"):
        verify_file(path)


async def test_a_missing_entry_in_the_middle_is_named(tmp_path: Path) -> None:
    """A hole in the chain is named by the number that is not there."""
    path = tmp_path / "j.db"
    await _write(path, 9)
    _do(path, "DELETE FROM entry WHERE seq = 4")

    with pytest.raises(JournalCorrupt, match=r"entry 4 is missing \(found 5\)"):
        verify_file(path)


async def test_the_record_of_the_last_write_is_needed(tmp_path: Path) -> None:
    """Without it a cut could not be seen, so its loss is corruption too."""
    path = tmp_path / "j.db"
    await _write(path, 3)
    _do(path, "DELETE FROM holder")

    with pytest.raises(JournalCorrupt, match="lost the record of its last write"):
        verify_file(path)
    with pytest.raises(JournalCorrupt, match="lost the record of its last write"):
        SqliteBackend(path)


async def test_an_index_of_keys_that_lost_some_is_refused(tmp_path: Path) -> None:
    """An entry that its key does not lead to any more is damage, though the chain is whole."""
    path = tmp_path / "j.db"
    await _write(path, 9)
    _do(
        path,
        "DROP INDEX entry_key",
        "CREATE INDEX entry_key ON entry (key) WHERE key IS NOT NULL AND seq > 6",
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX entry_key ON entry (key) "
        "WHERE key IS NOT NULL' WHERE name = 'entry_key'",
    )

    with pytest.raises(JournalCorrupt, match="the file is damaged"):
        verify_file(path)


def test_what_is_no_journal_is_told(tmp_path: Path) -> None:
    """No file, another database, and bytes that are none give one line each."""
    _do(tmp_path / "other.db", "CREATE TABLE mine (x)")
    (tmp_path / "text").write_text("hello " * 1_000)

    with pytest.raises(ConfigError, match="no journal at"):
        verify_file(tmp_path / "absent.db")
    with pytest.raises(ConfigError, match="no journal; choose"):
        verify_file(tmp_path / "other.db")
    with pytest.raises(JournalCorrupt, match="entry 1 cannot be read"):
        verify_file(tmp_path / "text")


async def test_an_entry_that_fits_only_itself_is_refused(tmp_path: Path) -> None:
    """A forger who makes the hash anew for another past is caught by the entry before it."""
    path = tmp_path / "j.db"
    await _write(path, 5)
    forged = chained(
        seq=3, kind="a", version=1, cause=None, data=b'{"index":2}', previous="0x" + "11" * 32
    )
    _do(
        path,
        f"UPDATE entry SET hash = '{forged.hash}', previous = '{forged.previous}' WHERE seq = 3",
    )

    with pytest.raises(JournalCorrupt, match=r"entry 3 \(a\) does not match its hash: it does not"):
        verify_file(path)
