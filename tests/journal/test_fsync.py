"""Whether a committed entry would outlive the machine, which no killed process can show."""

from pathlib import Path

from toolkit.journal.sqlite import SqliteBackend

FULL = 2
"""SQLite's own number: every transaction is synced before it counts as done."""


def test_a_write_is_synced_before_it_counts(tmp_path: Path) -> None:
    """The connection that writes syncs its log at every commit, also in a journal opened again."""
    for _ in range(2):
        backend = SqliteBackend(tmp_path / "journal.db")
        found = [
            backend._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode")
        ]
        backend.close()

        assert [FULL, "wal"] == found
