"""The embedded journal backend: one SQLite file in WAL mode, fully synchronous."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import msgspec

from toolkit.journal.chain import Bounds, Entry, Point, require_head
from toolkit.journal.hold import hold
from toolkit.journal.layout import (
    APPLICATION_ID,
    COLUMNS,
    SCHEMA_VERSION,
    Row,
    create,
    entry_of,
    holder_of,
    private_file,
    require_journal,
    sync_directory,
    unread_entry_of,
    unreadable,
    unwritable,
    upgrade,
)
from toolkit.model.checks import path_of, require_flag
from toolkit.model.errors import ConfigError, JournalCorrupt, JournalUnavailable, LeaseLost

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "SqliteBackend", "read_entries"]

_WIDTH = len(Entry.__struct_fields__)
_CHUNK = 1_024

BUSY_S = 5.0
"""How long a write waits for another process that is inside one, such as a takeover."""

_SELECT = f"SELECT {COLUMNS} FROM entry WHERE"  # noqa: S608 - constants
_FIND = f"{_SELECT} key = ? ORDER BY seq DESC LIMIT 1"


def read_entries(path: Path, *kinds: str, after: int = 0) -> Iterator[Entry]:
    """Yield a journal file's durable entries, also while another process writes it.

    Args:
        path: the journal's file.
        kinds: only entries of these kinds; all if none is named.
        after: only entries with a higher number. What was compacted is not there any more.

    Raises:
        ConfigError: no such file, or it is no journal.
        JournalCorrupt: names the first entry that cannot be read or was cut off.
    """
    return _entries(path, *kinds, after=after, made=entry_of)


def _entries(path: Path, *kinds: str, after: int, made: Callable[[Row], Entry]) -> Iterator[Entry]:
    with closing(open_to_read(path)) as database:
        try:
            version = require_journal(database, path)
        except sqlite3.DatabaseError as error:
            raise unreadable(path, after + 1, error) from None
        yield from rows_of(database, path, *kinds, after=after, version=version, made=made)


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a journal file that some other process may be writing.

    Raises:
        ConfigError: no such file, or it may not be read.
    """
    if not path.is_file():
        raise ConfigError(f"no journal at {path}; name an existing file")
    try:
        return sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            check_same_thread=False,  # a journal may be opened in one thread and used in another
            isolation_level=None,
        )
    except sqlite3.Error as error:
        raise ConfigError(f"journal {path} cannot be opened ({error}); check its mode") from None


def rows_of(
    database: sqlite3.Connection,
    path: Path,
    *kinds: str,
    after: int = 0,
    version: int = SCHEMA_VERSION,
    is_begun: bool = False,
    made: Callable[[Row], Entry] = entry_of,
) -> Iterator[Entry]:
    """Yield the chain's entries of one moment, and check that they end where the last write did.

    Args:
        database: the open file.
        path: its name, for errors.
        kinds: only entries of these; all if none is named.
        after: only entries with a higher number.
        version: the file's format.
        is_begun: whether the caller has begun the transaction whose moment counts.
        made: how an entry is built of a row.

    Raises:
        JournalCorrupt: names the first entry that cannot be read or was cut off.
    """
    last: Entry | None = None
    chosen = f"AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
    select = _SELECT if version == SCHEMA_VERSION else _SELECT.replace(", key", "")
    query = f"{select} seq > ? {chosen} ORDER BY seq"
    try:
        if not is_begun:
            database.execute("BEGIN")  # the entries and the record of the last write agree
        bounds = Bounds() if version < SCHEMA_VERSION else holder_of(database, path).bounds
        begin = max(after, bounds.base.seq)
        for row in database.execute(query, (begin, *kinds)):
            entry = made(row)
            yield entry
            last = entry
        if not kinds and bounds.head.seq > begin:
            reached = Point(seq=begin) if last is None else Point(seq=last.seq, hash=last.hash)
            require_head(reached, bounds.head)
    except (sqlite3.DatabaseError, msgspec.ValidationError) as error:
        raise unreadable(path, (last.seq if last else after) + 1, error) from None


@cache
def _insert(count: int) -> str:
    # One statement and no transaction around it: to write is then a single call into SQLite, and
    # the interpreter, which every call gives up and has to win back, is waited for once. The
    # token is compared under the very lock that the rows are written under.
    row = f"({', '.join('?' * _WIDTH)})"
    rows = ", ".join([row] * count)
    return (
        f"INSERT INTO entry SELECT * FROM (VALUES {rows}) "  # noqa: S608 - question marks only
        "WHERE column1 IS NOT NULL AND (SELECT token FROM holder) = ?"
    )


class SqliteBackend:
    """Entries in one file, readable by its owner only, held by one process at a time.

    WAL with `synchronous=FULL`: a write returns after its fsync and survives power loss. A torn
    WAL tail is cut by SQLite's own checksums: an unfinished write is then absent, never half
    there. What the disk loses after confirming the fsync, or who deletes the WAL of a process that
    died, leaves a shorter journal that nothing here can tell from a whole one. The lock lies in a
    file beside the journal and dies with the process.

    Each opening takes a new fencing token, kept in the journal itself and compared inside every
    write: a holder that was stopped and overtaken cannot write any more when it goes on.
    """

    def __init__(self, path: str | Path, *, takeover: bool = False) -> None:
        """Open or create the journal at `path`.

        Args:
            path: of the file; an older format is brought up to date.
            takeover: open it although another process, stopped or hung, holds it; from then on
                that one's writes raise LeaseLost.

        Raises:
            ConfigError: another process holds it, or the file is no journal.
            JournalUnavailable: the place cannot be written.
            JournalCorrupt: the file's header is damaged.
        """
        # One file, one lock, by whichever name or link it is opened.
        self.path = path_of("journal", path).expanduser().resolve()
        require_flag("takeover", takeover)
        if _is_directory(self.path):
            raise ConfigError(f"journal {self.path} is a directory; give a file in it")
        lock = hold(self.path, takeover=takeover)
        try:
            # Used by the writer's thread only once it is open.
            self._database, self._token = _open(self.path)
        except BaseException:
            os.close(lock)
            raise
        self._lock: int | None = lock
        self._reader: sqlite3.Connection | None = None

    def bounds(self) -> Bounds:
        """Return where the chain begins, and where the last write ended."""
        return holder_of(self._database, self.path).bounds

    def load(self, *kinds: str, after: int = 0) -> Iterator[Entry]:
        """Yield the durable entries in order, on a connection of their own."""
        return _entries(self.path, *kinds, after=after, made=unread_entry_of)

    def find(self, key: str) -> Entry | None:
        """Return the newest durable entry with this key, without waiting for a write under way.

        Raises:
            JournalCorrupt: it cannot be read.
        """
        if self._reader is None:
            self._reader = open_to_read(self.path)
        try:
            rows = self._reader.execute(_FIND, (key,)).fetchall()
            return entry_of(rows[0]) if rows else None
        except (sqlite3.DatabaseError, msgspec.ValidationError) as error:
            raise JournalCorrupt(
                f"journal {self.path}: the entry with key {key!r} cannot be read ({error}); "
                "restore the file from a copy"
            ) from None

    def write(self, entries: Sequence[Entry]) -> None:
        """Insert all entries in one transaction and fsync it.

        Raises:
            JournalUnavailable: disk full, read-only or failing; nothing was written.
            LeaseLost: another process has taken the journal over; nothing was written.
        """
        try:
            if len(entries) <= _CHUNK:
                written = self._insert(entries)
            else:
                written = self._insert_many(entries)
        except sqlite3.Error as error:
            raise JournalUnavailable(
                f"journal {self.path}: cannot write entry {entries[0].seq} ({error}); "
                "free space or mend the disk, then start again"
            ) from None
        if written != len(entries):
            raise LeaseLost(
                f"journal {self.path} was taken over by another process: entry {entries[0].seq} "
                "was not written; stop this process, the other one goes on"
            )

    def kinds(self) -> list[tuple[str, int, int]]:
        """Return each kind in the chain with its number of entries and its first one's."""
        return self._database.execute(
            "SELECT kind, count(*), min(seq) FROM entry WHERE seq > (SELECT base_seq FROM holder) "
            "GROUP BY kind ORDER BY min(seq)"
        ).fetchall()

    def detach(self) -> None:
        """Leave a single plain file that may be replaced: no log beside it, nobody else in it.

        Raises:
            ConfigError: another process has it open.
        """
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        try:
            # A log left beside a file of the same name would be played into the new one.
            self._database.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise ConfigError(
                f"journal {self.path} is open in another process, which may only be stopped; "
                "end that process first"
            ) from None
        self._database.close()

    def close(self) -> None:
        """Close the database and let other processes in; once is enough."""
        lock, self._lock = self._lock, None
        if lock is None:
            return  # by now its number may stand for another file
        try:
            if self._reader is not None:
                self._reader.close()
            self._database.close()
        finally:
            os.close(lock)

    def _insert(self, entries: Sequence[Entry]) -> int:
        # Padded to a power of two, so that a dozen prepared statements serve every length.
        room = 1 << (len(entries) - 1).bit_length()
        values: list[object] = []
        for one in entries:
            values += (
                one.seq,
                one.kind,
                one.version,
                one.cause,
                one.data,
                one.hash,
                one.previous,
                one.key,
            )
        values += (None,) * (_WIDTH * (room - len(entries)))
        values.append(self._token)
        return self._database.execute(_insert(room), values).rowcount

    def _insert_many(self, entries: Sequence[Entry]) -> int:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            written = sum(
                self._insert(entries[first : first + _CHUNK])
                for first in range(0, len(entries), _CHUNK)
            )
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return written


def _open(path: Path) -> tuple[sqlite3.Connection, int]:
    try:
        private_file(path)
        database = sqlite3.connect(
            path, timeout=BUSY_S, check_same_thread=False, isolation_level=None
        )
    except (OSError, sqlite3.Error) as error:
        raise JournalUnavailable(
            f"journal {path} cannot be opened ({error}); choose a file that can be written"
        ) from None
    try:
        return database, _take(database, path)
    except BaseException:
        database.close()
        raise


def _take(database: sqlite3.Connection, path: Path) -> int:
    """Lay the journal out or bring it up to date, and take the next fencing token."""
    try:
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables:
            require_journal(database, path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        # One transaction: a crash leaves a journal or an empty file, never half a header. Left
        # open by an error, it ends with the connection.
        database.execute("BEGIN IMMEDIATE")
        if tables:
            upgrade(database, require_journal(database, path))
        else:
            create(database)
        holder = holder_of(database, path)
        if holder.is_archive:
            raise ConfigError(f"{path} is an archive of a journal, to be read only")
        database.execute("UPDATE holder SET token = token + 1")
        database.execute("COMMIT")
        if not tables:
            # Out of the log at once: a damaged log must not leave a file that looks new.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sync_directory(path.parent)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise JournalUnavailable(
                f"journal {path} cannot be taken over: another process was stopped inside a write "
                "and keeps the file locked; end that process"
            ) from None
        raise unwritable(path, error) from None
    except sqlite3.DatabaseError as error:
        raise unreadable(path, 1, error) from None
    return holder.token + 1


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # safe because opening it as a file says what is wrong
