"""Checks a whole journal file: every entry, both ends of the chain, what a compaction kept."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import msgspec

from toolkit.journal.chain import Bounds, Entry, Point, sound, verified
from toolkit.journal.layout import (
    COLUMNS,
    SCHEMA_VERSION,
    entry_of,
    holder_of,
    require_journal,
    unreadable,
)
from toolkit.journal.sqlite import open_to_read, read_entries, rows_of
from toolkit.model.errors import JournalCorrupt

COMPACTED, COMPACTED_KEY = "journal.compacted", "journal:compacted"


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """Journal entry: what a compaction left. `base` is the last entry it dropped.

    `kept` entries up to there can still be found by their keys; `digest` binds them to the chain
    that this entry is part of.
    """

    base: Point
    kept: int
    digest: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """A journal file that is whole: what it holds, and where its chain begins and ends."""

    entries: int
    bounds: Bounds
    kept: int = 0
    is_archive: bool = False


def verify_file(path: Path) -> Verification:
    """Follow a journal's chain from its first entry to its last, also while it is being written.

    Raises:
        ConfigError: no such file, or it is no journal.
        JournalCorrupt: names the first bad entry.
    """
    with closing(open_to_read(path)) as database:
        try:
            version = require_journal(database, path)
            if version < SCHEMA_VERSION:
                return _of_format_1(database, path, version)
            database.execute("BEGIN")  # all of one moment
            holder = holder_of(database, path)
        except sqlite3.DatabaseError as error:
            raise unreadable(path, 1, error) from None
        base = holder.bounds.base
        kept, digest = digest_of(kept_entries(database, path, base))
        count, record = 0, None
        chain = rows_of(database, path, after=base.seq, is_begun=True)
        for entry in verified(chain, after=base):
            count += 1
            if entry.kind == COMPACTED:
                record = entry
        if not holder.is_archive:
            _require_record(base, record, kept, digest)
        _require_index(database, path)
    return Verification(
        entries=count, bounds=holder.bounds, kept=kept, is_archive=holder.is_archive
    )


def verified_entries(path: Path) -> Iterator[Entry]:
    """Pass a journal file's entries through, from its base on, while its chain holds.

    Raises:
        ConfigError: no such file, or it is no journal.
        JournalCorrupt: names the first bad entry; nothing is passed on if it was there before.
    """
    base = verify_file(path).bounds.base
    return verified(read_entries(path, after=base.seq), after=base)


def kept_entries(database: sqlite3.Connection, path: Path, base: Point) -> Iterable[Entry]:
    """Yield what was kept for its keys of the entries up to `base`, in order.

    Raises:
        JournalCorrupt: names the first that cannot be read.
    """
    reached = 0
    query = f"SELECT {COLUMNS} FROM entry WHERE seq <= ? ORDER BY seq"  # noqa: S608 - constants
    try:
        for row in database.execute(query, (base.seq,)):
            entry = entry_of(row)
            yield entry
            reached = entry.seq
    except (sqlite3.DatabaseError, msgspec.ValidationError) as error:
        raise unreadable(path, reached + 1, error) from None


def digest_of(kept: Iterable[Entry]) -> tuple[int, str]:
    """Return how many entries these are, and one hash over all of theirs.

    Raises:
        JournalCorrupt: names an entry that does not fit its own hash.
    """
    count, digest = 0, blake2b(digest_size=32)
    for entry in kept:
        count += 1
        digest.update(sound(entry).hash.encode())  # which covers its number too
    return count, f"0x{digest.hexdigest()}"


def _of_format_1(database: sqlite3.Connection, path: Path, version: int) -> Verification:
    reached = Point()
    for entry in verified(rows_of(database, path, version=version)):
        reached = Point(seq=entry.seq, hash=entry.hash)
    return Verification(entries=reached.seq, bounds=Bounds(head=reached))


def _require_record(base: Point, record: Entry | None, kept: int, digest: str) -> None:
    """The file may begin only where a compaction says so, and have kept what that one kept."""
    if record is None:
        if base != Point() or kept:
            raise JournalCorrupt(
                f"journal entry 1 is missing: the file begins at {base.seq + 1} and no entry says "
                "that it was compacted; restore the file from a copy"
            )
        return
    made = msgspec.json.decode(record.data, type=Compaction)
    if base != made.base:
        raise JournalCorrupt(
            f"journal entry {made.base.seq + 1} is missing: the file begins at {base.seq + 1}, but "
            f"its compaction kept all behind {made.base.seq}; restore the file from a copy"
        )
    if (kept, digest) != (made.kept, made.digest):
        raise JournalCorrupt(
            f"journal entry {record.seq} ({record.kind}) kept {made.kept} older entries for their "
            f"keys; {kept} are there and they are not the same; restore the file from a copy"
        )


def _require_index(database: sqlite3.Connection, path: Path) -> None:
    """SQLite's own check, also that the index of keys has exactly what the entries have."""
    try:
        said = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said != "ok":
        raise JournalCorrupt(
            f"journal {path}: every entry is whole, but the file is damaged ({said}); "
            "restore the file from a copy"
        )
