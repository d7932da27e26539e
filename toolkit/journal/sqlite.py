"""The embedded journal backend: one SQLite file in WAL mode, fully synchronous."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from toolkit.journal.log import Entry
from toolkit.model.errors import ConfigError, JournalCorrupt, JournalUnavailable

APPLICATION_ID = 0x6D65766A  # "mevj" in the file's header: tells a journal from any other database
SCHEMA_VERSION = 1

_CREATE = """
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL, cause INTEGER,
    data BLOB NOT NULL, hash TEXT NOT NULL, previous TEXT NOT NULL)
"""
_INSERT = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT seq, kind, version, cause, data, hash, previous FROM entry ORDER BY seq"


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield a journal file's durable entries, also while another process writes it.

    Raises:
        ConfigError: no such file, or it is no journal.
        JournalCorrupt: names the first entry that cannot be read.
    """
    if not path.is_file():
        raise ConfigError(f"no journal at {path}; name an existing file")
    try:
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise ConfigError(f"journal {path} cannot be opened ({error}); check its mode") from None
    last = 0
    with closing(database):
        try:
            _require_journal(database, path)
            for row in database.execute(_SELECT):
                entry = _entry(row)
                yield entry
                last = entry.seq
        except (sqlite3.DatabaseError, msgspec.ValidationError) as error:
            raise JournalCorrupt(
                f"journal {path}: entry {last + 1} cannot be read ({error}); "
                "restore the file from a copy"
            ) from None


def _entry(row: tuple[object, ...]) -> Entry:
    # SQLite stores whatever type it is given, so a damaged row may hold anything.
    return msgspec.convert(dict(zip(Entry.__struct_fields__, row, strict=True)), Entry)


class SqliteBackend:
    """Entries in one file, readable by its owner only, held by one process at a time.

    WAL with `synchronous=FULL`: a write returns after its fsync and survives power loss. A torn
    WAL tail is cut by SQLite's own checksums: an unfinished write is then absent, never half
    there. The lock lies in a file beside the journal and dies with the process.
    """

    def __init__(self, path: str | Path) -> None:
        """Open or create the journal at `path`.

        Raises:
            ConfigError: another process holds it, or the file is no journal.
            JournalUnavailable: the place cannot be written.
            JournalCorrupt: the file's header is damaged.
        """
        # One file, one lock, by whichever name or link it is opened.
        self._path = Path(path).expanduser().resolve()
        self._lock = _hold(self._path)
        try:
            self._database = _open(self._path)
        except BaseException:
            os.close(self._lock)
            raise

    def load(self) -> Iterator[Entry]:
        """Yield the durable entries in order, on a connection of their own."""
        return read_entries(self._path)

    def write(self, entries: Sequence[Entry]) -> None:
        """Insert all entries in one transaction and fsync it.

        Raises:
            JournalUnavailable: disk full, read-only or failing; nothing was written.
        """
        rows = [(e.seq, e.kind, e.version, e.cause, e.data, e.hash, e.previous) for e in entries]
        try:
            with self._database:
                self._database.executemany(_INSERT, rows)
        except sqlite3.Error as error:
            raise JournalUnavailable(
                f"journal {self._path}: cannot write entry {entries[0].seq} ({error}); "
                "free space or mend the disk, then start again"
            ) from None

    def close(self) -> None:
        """Close the database and let other processes in."""
        try:
            self._database.close()
        finally:
            os.close(self._lock)


def _hold(path: Path) -> int:
    beside = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnavailable(
            f"journal {path}: cannot create {beside.name} ({error.strerror}); "
            "choose a directory that can be written"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ConfigError(
            f"journal {path} is in use by another process; stop it or choose another file"
        ) from None
    return descriptor


def _open(path: Path) -> sqlite3.Connection:
    try:
        # Made here so that it never exists with the umask's mode; -wal and -shm inherit it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        # Used by the writer thread only once it is open.
        database = sqlite3.connect(path, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise JournalUnavailable(
            f"journal {path} cannot be opened ({error}); choose a file that can be written"
        ) from None
    try:
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    try:
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables:
            _require_journal(database, path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        with database:
            # One transaction: a crash leaves a journal or an empty file, never half a header.
            database.execute("BEGIN IMMEDIATE")
            database.execute(_CREATE)
            database.execute(f"PRAGMA application_id={APPLICATION_ID}")
            database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        _sync_directory(path.parent)
    except sqlite3.OperationalError as error:
        raise JournalUnavailable(
            f"journal {path} cannot be written ({error}); free space or mend the disk"
        ) from None
    except sqlite3.DatabaseError as error:
        raise JournalCorrupt(
            f"journal {path}: entry 1 cannot be read ({error}); restore the file from a copy"
        ) from None


def _require_journal(database: sqlite3.Connection, path: Path) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise ConfigError(f"{path} is a database but no journal; choose another file")
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"journal {path} has format {version}, this version reads {SCHEMA_VERSION}; "
            "use the version that wrote it"
        )


def _sync_directory(directory: Path) -> None:
    # A new file survives power loss only once its directory entry does.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
