"""Drops what a journal's checkpoints cover, and keeps what is left verifiable."""

import os
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from enum import Enum
from pathlib import Path

import msgspec

from toolkit.journal.chain import Bounds, Entry, Point, chained
from toolkit.journal.layout import COLUMNS, create, private_file, sync_directory
from toolkit.journal.sqlite import SqliteBackend
from toolkit.journal.verification import (
    COMPACTED,
    COMPACTED_KEY,
    Compaction,
    digest_of,
    kept_entries,
    verify_file,
)
from toolkit.model.errors import ConfigError, JournalUnavailable

_OWN = ("journal", "checkpoint")


class Stage(Enum):
    """Every point at which a compaction may die; none of them loses an entry."""

    VERIFIED = "verified"  # the journal is whole and what may go is known
    ARCHIVED = "archived"  # what goes is in the archive, if one was asked for
    BUILT = "built"  # the new file lies beside the journal, whole
    CLOSED = "closed"  # the journal's own log is empty; it could be renamed over
    REPLACED = "replaced"  # the new file has the journal's name


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What a compaction did: `shortened` entries left the chain, and an archive has those.

    `dropped` are gone from the file; `kept` in all stay for their keys, some perhaps from before.
    """

    bounds: Bounds
    shortened: int = 0
    dropped: int = 0
    kept: int = 0


def compact(
    path: Path,
    *,
    archive: Path | None = None,
    reports: Collection[str] = (),
    on_stage: Callable[[Stage], None] = lambda _: None,
) -> Compacted:
    """Drop the entries that the newest checkpoints cover; nobody may hold the journal meanwhile.

    A checkpoint named N stands for all earlier entries whose kind begins with "N.". Every such
    family in the journal needs one. Of what is dropped, the newest entry of each key stays
    findable. The file is replaced by a new one in one step; a crash leaves the old or the new one.

    Args:
        path: the journal.
        archive: a file for what is dropped; it verifies as a journal does, and is never written.
        reports: kinds that nothing is rebuilt from, so that they need no checkpoint.
        on_stage: called at each stage, for tests.

    Raises:
        ConfigError: a kind is not covered, somebody uses the journal, or the archive exists.
        JournalCorrupt: the journal is not whole; nothing was changed.
        JournalUnavailable: there is no room for the new file; nothing was changed.
    """
    if not path.is_file():
        raise ConfigError(f"no journal at {path}; name an existing file")
    if archive is not None and archive.exists():
        raise ConfigError(f"{archive} exists already; name a new file for the archive")
    backend = SqliteBackend(path)
    try:
        return _compact(backend, archive, frozenset(reports), on_stage)
    except (OSError, sqlite3.Error) as error:
        raise JournalUnavailable(
            f"journal {path} was not compacted ({error}); free space or mend the disk"
        ) from None
    finally:
        backend.close()


def _compact(
    backend: SqliteBackend,
    archive: Path | None,
    reports: frozenset[str],
    on_stage: Callable[[Stage], None],
) -> Compacted:
    path = backend.path
    before = verify_file(path).bounds
    base = _new_base(backend, before, reports)
    on_stage(Stage.VERIFIED)
    if base == before.base:
        return Compacted(bounds=before)
    if archive is not None:
        _publish(_archived(path, archive, Bounds(base=before.base, head=base)), archive)
    on_stage(Stage.ARCHIVED)
    built = path.with_name(f"{path.name}.compact")
    made = _rebuilt(path, built, base, before.base)
    on_stage(Stage.BUILT)
    backend.detach()
    on_stage(Stage.CLOSED)
    built.replace(path)
    sync_directory(path.parent)
    on_stage(Stage.REPLACED)
    return made


def _new_base(backend: SqliteBackend, before: Bounds, reports: frozenset[str]) -> Point:
    """Return the last entry that every checkpoint covers."""
    first_kept = before.head.seq + 1
    covered = False
    for kind, count, first in backend.kinds():
        family = kind.partition(".")[0]
        if family in _OWN or kind in reports:
            continue
        checkpoint = backend.find(f"checkpoint:{family}")
        if checkpoint is None:
            raise ConfigError(
                f"{count} entries of kind {kind} (the first is {first}) are still needed: no "
                f"checkpoint named {family!r} covers them; nothing was compacted"
            )
        covered = True
        first_kept = min(first_kept, checkpoint.seq)
    last = first_kept - 1
    if not covered or last <= before.base.seq:
        return before.base
    entry = next(backend.load(after=last - 1))
    return Point(seq=entry.seq, hash=entry.hash)


def _archived(path: Path, archive: Path, bounds: Bounds) -> Path:
    beside = archive.with_name(f"{archive.name}.unfinished")
    with closing(_new_file(beside)) as database:
        _attach(database, path)
        database.execute("BEGIN")
        create(database)
        database.execute(
            f"INSERT INTO entry SELECT {COLUMNS} FROM source.entry "  # noqa: S608 - constants
            "WHERE seq > ? AND seq <= ? ORDER BY seq",
            (bounds.base.seq, bounds.head.seq),
        )
        _record(database, bounds, token=0, is_archive=True)
        database.execute("COMMIT")
    verify_file(beside)
    return beside


def _publish(built: Path, name: Path) -> None:
    try:
        os.link(built, name)  # unlike a rename, it never replaces what somebody else put there
    except FileExistsError:
        raise ConfigError(f"{name} exists already; name a new file for the archive") from None
    built.unlink()
    sync_directory(name.parent)


def _rebuilt(path: Path, built: Path, base: Point, before: Point) -> Compacted:
    with closing(_new_file(built)) as database:
        _attach(database, path)
        database.execute("BEGIN")
        create(database)
        old = database.execute("SELECT count(*) FROM source.entry").fetchone()[0]
        # The newest of each key, unless a newer one is in the chain that stays.
        database.execute(
            f"INSERT INTO entry SELECT {COLUMNS} FROM source.entry one "  # noqa: S608 - constants
            "WHERE seq <= ? AND key IS NOT NULL AND substr(key, 1, 8) <> 'journal:' AND NOT EXISTS "
            "(SELECT 1 FROM source.entry newer WHERE newer.key = one.key "
            "AND newer.seq > one.seq) ORDER BY seq",
            (base.seq,),
        )
        kept, digest = digest_of(kept_entries(database, built, base))
        database.execute(
            f"INSERT INTO entry SELECT {COLUMNS} FROM source.entry "  # noqa: S608 - constants
            "WHERE seq > ? ORDER BY seq",
            (base.seq,),
        )
        last = database.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        entry = _compaction_entry(
            Point(seq=last[0], hash=last[1]), Compaction(base=base, kept=kept, digest=digest)
        )
        database.execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(entry),
        )
        bounds = Bounds(base=base, head=Point(seq=entry.seq, hash=entry.hash))
        token = database.execute("SELECT token FROM source.holder").fetchone()[0]
        _record(database, bounds, token=token, is_archive=False)
        left = database.execute("SELECT count(*) FROM entry").fetchone()[0]
        database.execute("COMMIT")
    verify_file(built)
    return Compacted(
        bounds=bounds, shortened=base.seq - before.seq, dropped=old + 1 - left, kept=kept
    )


def _compaction_entry(head: Point, made: Compaction) -> Entry:
    return chained(
        seq=head.seq + 1,
        kind=COMPACTED,
        version=1,
        cause=None,
        data=msgspec.json.encode(made, order="sorted"),
        previous=head.hash,
        key=COMPACTED_KEY,
    )


def _new_file(path: Path) -> sqlite3.Connection:
    """Begin a file anew; what a compaction that died left under the name is of no use."""
    for rest in (path, path.with_name(f"{path.name}-journal")):
        rest.unlink(missing_ok=True)
    private_file(path)
    return sqlite3.connect(path, isolation_level=None)


def _attach(database: sqlite3.Connection, path: Path) -> None:
    database.execute("PRAGMA synchronous=FULL")
    database.execute("ATTACH ? AS source", (str(path),))


def _record(database: sqlite3.Connection, bounds: Bounds, *, token: int, is_archive: bool) -> None:
    database.execute(
        "UPDATE holder SET token = ?, is_archive = ?, base_seq = ?, base_hash = ?, "
        "last_seq = ?, last_hash = ?",
        (
            token,
            is_archive,
            bounds.base.seq,
            bounds.base.hash,
            bounds.head.seq,
            bounds.head.hash,
        ),
    )
