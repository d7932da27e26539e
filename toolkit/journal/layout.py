"""How a journal lies in its SQLite file: the tables, their version, and what older ones become."""

import os
import sqlite3
from pathlib import Path

import msgspec

from toolkit.journal.chain import GENESIS, TOO_DEEP, Bounds, Entry, Point
from toolkit.model.checks import is_deep
from toolkit.model.errors import ConfigError, JournalCorrupt, JournalUnavailable

APPLICATION_ID = 0x6D65766A  # "mevj" in the file's header: tells a journal from any other database
SCHEMA_VERSION = 2

COLUMNS = "seq, kind, version, cause, data, hash, previous, key"

Row = tuple[object, ...]
"""What is in these columns."""

_ENTRY = """
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL, cause INTEGER,
    data BLOB NOT NULL, hash TEXT NOT NULL, previous TEXT NOT NULL, key TEXT)
"""
_ADDED = (
    "CREATE INDEX entry_key ON entry (key) WHERE key IS NOT NULL",
    # Who may write, and how far the last write went. The trigger moves the mark in the same
    # statement that writes the entries: rows taken away later are missed, a torn write is not.
    """CREATE TABLE holder (
    id INTEGER PRIMARY KEY CHECK (id = 1), token INTEGER NOT NULL, is_archive INTEGER NOT NULL,
    base_seq INTEGER NOT NULL, base_hash TEXT NOT NULL,
    last_seq INTEGER NOT NULL, last_hash TEXT NOT NULL)""",
    f"INSERT INTO holder VALUES (1, 0, 0, 0, '{GENESIS}', 0, '{GENESIS}')",  # noqa: S608 - constant
    """UPDATE holder SET (last_seq, last_hash) =
    (SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1) WHERE EXISTS (SELECT 1 FROM entry)""",
    """CREATE TRIGGER entry_written AFTER INSERT ON entry BEGIN
    UPDATE holder SET last_seq = NEW.seq, last_hash = NEW.hash; END""",
)


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The file's own record: the token of whoever may write, and the bounds of the chain."""

    token: int
    is_archive: bool
    bounds: Bounds


def create(database: sqlite3.Connection) -> None:
    """Lay an empty journal out, inside the caller's transaction."""
    database.execute(_ENTRY)
    _complete(database)


def upgrade(database: sqlite3.Connection, version: int) -> None:
    """Bring an older journal to this version, inside the caller's transaction."""
    if version < SCHEMA_VERSION:
        database.execute("ALTER TABLE entry ADD COLUMN key TEXT")
        _complete(database)


def _complete(database: sqlite3.Connection) -> None:
    for statement in _ADDED:
        database.execute(statement)
    database.execute(f"PRAGMA application_id={APPLICATION_ID}")
    database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def require_journal(database: sqlite3.Connection, path: Path) -> int:
    """Return the file's schema version.

    Raises:
        ConfigError: it is no journal, or one of a newer format.
    """
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if application != APPLICATION_ID:
        raise ConfigError(f"{path} is a database but no journal; choose another file")
    if not 0 < version <= SCHEMA_VERSION:
        raise ConfigError(
            f"journal {path} has format {version}, this version reads {SCHEMA_VERSION}; "
            "use the version that wrote it"
        )
    return version


def holder_of(database: sqlite3.Connection, path: Path) -> Holder:
    """Read the holder's row.

    Raises:
        JournalCorrupt: somebody took it away.
    """
    row = database.execute(
        "SELECT token, is_archive, base_seq, base_hash, last_seq, last_hash FROM holder"
    ).fetchone()
    if row is None:
        raise JournalCorrupt(
            f"journal {path} has lost the record of its last write; restore the file from a copy"
        )
    token, is_archive, base_seq, base_hash, last_seq, last_hash = row
    return Holder(
        token=token,
        is_archive=bool(is_archive),
        bounds=Bounds(
            base=Point(seq=base_seq, hash=base_hash), head=Point(seq=last_seq, hash=last_hash)
        ),
    )


def entry_of(row: Row) -> Entry:
    """Build an entry of a row; SQLite stores any type, so a damaged row may hold anything.

    Raises:
        msgspec.ValidationError: a column has another type, or data that cannot be read safely.
    """
    entry = unread_entry_of(row)
    if is_deep(entry.data):
        raise msgspec.ValidationError(f"it has {TOO_DEEP}")
    return entry


def unread_entry_of(row: Row) -> Entry:
    """Do the same where nobody reads the data yet.

    Raises:
        msgspec.ValidationError: a column has another type.
    """
    return msgspec.convert(row, Entry)  # of format 1 too, whose rows end before the key


def private_file(path: Path) -> None:
    """Create the file if there is none, for its owner only; SQLite's -wal and -shm inherit it.

    Raises:
        OSError: it cannot be created or is somebody else's.
    """
    # Made here so that it never exists with the umask's mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def sync_directory(directory: Path) -> None:
    """Make new names in a directory survive power loss, as `fsync` does for a file's bytes."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: sqlite3.Error) -> JournalUnavailable:
    """Say that a journal file cannot be written, and what to do."""
    return JournalUnavailable(
        f"journal {path} cannot be written ({error}); free space or mend the disk"
    )


def unreadable(path: Path, seq: int, error: Exception) -> JournalCorrupt:
    """Say which entry of a file is the first that cannot be read."""
    return JournalCorrupt(
        f"journal {path}: entry {seq} cannot be read ({error}); restore the file from a copy"
    )
