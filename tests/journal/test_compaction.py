import os
import random
import secrets
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from toolkit.journal import compaction, log
from toolkit.journal.chain import Bounds
from toolkit.journal.compaction import Stage, compact
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.journal.verification import verify_file
from toolkit.model.errors import ConfigError, JournalCorrupt, JournalUnavailable


async def _write(path: Path, *, before: int = 20, behind: int = 5) -> int:
    """Write requests and their ends by key, a checkpoint, and some more; return its number."""
    journal = Journal(SqliteBackend(path))
    for index in range(before):
        journal.append("tx.request", {"index": index}, key=f"idempotency:{index % 7}")
    checkpoint = journal.checkpoint("tx", {"open": []})
    for index in range(behind):
        journal.append("tx.request", {"index": before + index}, key=f"idempotency:{index % 3}")
    await journal.close()
    return checkpoint


async def test_what_a_checkpoint_covers_goes_and_the_rest_verifies(tmp_path: Path) -> None:
    """The chain then begins at the checkpoint, opens, verifies, and goes on."""
    path = tmp_path / "j.db"
    checkpoint = await _write(path)

    made = compact(path)

    assert (checkpoint - 1, 20 - 4, 4) == (made.bounds.base.seq, made.dropped, made.kept)
    assert made.bounds == verify_file(path).bounds
    journal = Journal(SqliteBackend(path))
    assert list(range(checkpoint, 28)) == [entry.seq for entry in journal.entries()]
    assert 28 == journal.append("tx.request", {})
    await journal.close()
    assert 8 == verify_file(path).entries


async def test_keys_stay_findable_and_lead_to_the_newest(tmp_path: Path) -> None:
    """After compacting every key leads to the very entry it led to before."""
    path = tmp_path / "j.db"
    await _write(path)
    keys = [*(f"idempotency:{n}" for n in range(8)), "checkpoint:tx"]
    journal = Journal(SqliteBackend(path))
    before = [journal.find(key) for key in keys]
    await journal.close()

    compact(path)

    journal = Journal(SqliteBackend(path))
    assert before == [journal.find(key) for key in keys]
    await journal.close()


@pytest.mark.parametrize("times", range(4))
async def test_compacting_again_and_again_loses_no_key(quick_path: Path, times: int) -> None:
    """Random histories compacted at random times: keys and the tail are those of a plain list."""
    for number in range(50):
        seed = secrets.randbits(32)
        print(f"seed {seed} ({times})")
        await _compact_again(quick_path / f"{number}.db", random.Random(seed))


async def _compact_again(path: Path, rng: random.Random) -> None:
    newest: dict[str, tuple[int, str]] = {}
    for _ in range(2):
        journal = Journal(SqliteBackend(path))
        journal.append("tx.a", {})
        journal.append("other.a", {})
        for _ in range(rng.randrange(12)):
            kind, key = rng.choice(["tx.a", "other.a"]), rng.choice("abcdef")
            seq = journal.append(kind, {"n": rng.randrange(9)}, key=key)
            newest[key] = (seq, kind)
        covered = [journal.checkpoint(name, {}) for name in rng.sample(["tx", "other"], 2)]
        await journal.close()

        made = compact(path)

        assert min(covered) - 1 == made.bounds.base.seq
        assert made.bounds == verify_file(path).bounds
        journal = Journal(SqliteBackend(path))
        found = {key: journal.find(key) for key in "abcdef"}
        assert newest == {key: (e.seq, e.kind) for key, e in found.items() if e is not None}
        await journal.close()


async def test_a_kind_that_nothing_covers_is_named(tmp_path: Path) -> None:
    """A consumer without a checkpoint still needs its past: nothing is dropped, and it is told."""
    path = tmp_path / "j.db"
    journal = Journal(SqliteBackend(path))
    journal.append("tx.request", {})
    journal.append("orchestrator.setup", {})
    journal.append("orchestrator.setup", {})
    journal.checkpoint("tx", {})
    await journal.close()

    with pytest.raises(
        ConfigError, match=r"2 entries of kind orchestrator\.setup \(the first is 2\) .*'orchestr"
    ):
        compact(path)
    assert 4 == verify_file(path).entries


async def test_reports_need_no_checkpoint(tmp_path: Path) -> None:
    """A kind that nothing is rebuilt from goes with the rest, and alone it is no reason to."""
    path = tmp_path / "j.db"
    journal = Journal(SqliteBackend(path))
    journal.append("bundle_result", {})
    await journal.close()
    alone = compact(path, reports={"bundle_result"})
    journal = Journal(SqliteBackend(path))
    journal.append("tx.request", {})
    journal.checkpoint("tx", {})
    await journal.close()

    made = compact(path, reports={"bundle_result"})

    assert 0 == alone.dropped
    assert 2 == made.dropped
    assert ["checkpoint.tx", "journal.compacted"] == [entry.kind for entry in read_entries(path)]


async def test_the_oldest_of_several_checkpoints_counts(tmp_path: Path) -> None:
    """Every family's newest checkpoint stays in the chain."""
    path = tmp_path / "j.db"
    journal = Journal(SqliteBackend(path))
    for name in ("tx", "orchestrator", "tx"):
        journal.append(f"{name}.a", {})
        journal.checkpoint(name, {})
    await journal.close()

    assert 3 == compact(path).bounds.base.seq


async def test_compacting_twice_drops_nothing_more(tmp_path: Path) -> None:
    """Without a newer checkpoint there is nothing to do, and the file is left alone."""
    path = tmp_path / "j.db"
    await _write(path)
    first = compact(path)
    before = path.read_bytes()

    again = compact(path)

    assert (0, first.bounds) == (again.dropped, again.bounds)
    assert len(before) == path.stat().st_size


async def test_the_archive_has_what_was_dropped(tmp_path: Path) -> None:
    """Archives and journal together are the whole chain; an archive is never written to."""
    path = tmp_path / "j.db"
    await _write(path)
    whole = list(read_entries(path))
    first = compact(path, archive=tmp_path / "first.db")
    journal = Journal(SqliteBackend(path))
    journal.checkpoint("tx", {})
    whole += list(journal.entries(after=whole[-1].seq))
    await journal.close()

    second = compact(path, archive=tmp_path / "second.db")

    parts = [tmp_path / "first.db", tmp_path / "second.db", path]
    assert whole == [e for part in parts for e in read_entries(part)][: len(whole)]
    assert first.bounds.base == verify_file(tmp_path / "first.db").bounds.head
    assert first.bounds.base == verify_file(tmp_path / "second.db").bounds.base
    assert second.bounds.base == verify_file(tmp_path / "second.db").bounds.head
    assert verify_file(tmp_path / "first.db").is_archive
    with pytest.raises(ConfigError, match="archive of a journal, to be read only"):
        SqliteBackend(tmp_path / "first.db")
    with pytest.raises(ConfigError, match="exists already; name a new file"):
        compact(path, archive=tmp_path / "first.db")


async def test_every_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Journal, archive, logs and lock have mode 0600 at every stage, whatever the umask is."""
    path = tmp_path / "j.db"
    modes: set[tuple[str, int]] = set()

    def look(_: Stage) -> None:
        modes.update((one.name, stat.S_IMODE(one.stat().st_mode)) for one in tmp_path.iterdir())

    before = os.umask(0)
    try:
        await _write(path)
        compact(path, archive=tmp_path / "old.db", on_stage=look)
    finally:
        os.umask(before)

    assert {mode for _, mode in modes} == {0o600}
    assert {"j.db", "old.db", "j.db.compact", "j.db.lock", "j.db-wal"} <= {n for n, _ in modes}
    assert {"j.db", "j.db.lock", "old.db"} == set(os.listdir(tmp_path))  # noqa: PTH208 - in a loop


async def test_a_journal_in_use_is_not_compacted(tmp_path: Path) -> None:
    """Its holder would go on writing into the old file: it has to close first."""
    path = tmp_path / "j.db"
    await _write(path)
    holder = SqliteBackend(path)

    with pytest.raises(ConfigError, match="in use by another process"):
        compact(path)
    holder.close()


async def test_an_overtaken_holder_that_is_still_there_prevents_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has the old file open keeps it: the token that fences it is in there."""
    monkeypatch.setattr("toolkit.journal.sqlite.BUSY_S", 0.01)
    path = tmp_path / "j.db"
    await _write(path)
    stopped = SqliteBackend(path)
    SqliteBackend(path, takeover=True).close()

    with pytest.raises(ConfigError, match="open in another process"):
        compact(path)

    stopped.close()
    assert 26 == verify_file(path).entries
    assert 16 == compact(path).dropped


async def test_a_checkpoint_of_a_quiet_family_stays_findable(tmp_path: Path) -> None:
    """Where only others wrote since, a family's checkpoint leaves the chain but not the file."""
    path = tmp_path / "j.db"
    journal = Journal(SqliteBackend(path))
    journal.append("orchestrator.a", {})
    quiet = journal.checkpoint("orchestrator", {"n": 1})
    journal.append("tx.a", {})
    journal.checkpoint("tx", {})
    await journal.close()
    compact(path)
    journal = Journal(SqliteBackend(path))
    journal.append("tx.a", {})
    journal.checkpoint("tx", {})
    await journal.close()

    made = compact(path)

    journal = Journal(SqliteBackend(path))
    found = journal.last_checkpoint("orchestrator")
    assert made.bounds.base.seq > quiet
    assert found is not None
    assert quiet == found.seq
    await journal.close()


async def test_a_corrupt_journal_is_left_as_it_is(tmp_path: Path) -> None:
    """What does not verify is not compacted: the evidence would be lost."""
    path = tmp_path / "j.db"
    await _write(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE entry SET data = x'7b7d' WHERE seq = 3")

    with pytest.raises(JournalCorrupt, match="entry 3 "):
        compact(path)


@pytest.mark.parametrize(
    "forgery",
    [
        "DELETE FROM entry WHERE seq = (SELECT min(seq) FROM entry)",
        "UPDATE entry SET data = x'7b7d' WHERE seq = (SELECT min(seq) FROM entry)",
        "UPDATE entry SET seq = 1 WHERE seq = (SELECT min(seq) FROM entry)",
        "UPDATE holder SET base_seq = 0",
        "UPDATE holder SET (base_seq, base_hash) = (SELECT seq, hash FROM entry WHERE seq = 23)",
    ],
)
async def test_what_was_kept_is_bound_to_the_chain(tmp_path: Path, forgery: str) -> None:
    """Entries kept for their keys, and where the chain begins, cannot be changed unseen."""
    path = tmp_path / "j.db"
    await _write(path)
    compact(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(forgery)

    with pytest.raises(JournalCorrupt, match=r"entry \d+ "):
        verify_file(path)


async def test_a_beginning_moved_with_its_entries_is_missed(tmp_path: Path) -> None:
    """The compaction's own entry says where the chain begins: cutting more away is seen."""
    path = tmp_path / "j.db"
    await _write(path)
    compact(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE holder SET (base_seq, base_hash) = (SELECT seq, hash FROM entry WHERE seq = 23)"
        )
        database.execute("DELETE FROM entry WHERE seq BETWEEN 21 AND 23")

    with pytest.raises(JournalCorrupt, match="entry 21 is missing: the file begins at 24"):
        verify_file(path)


_DIES = """
import os, signal, sys
from pathlib import Path
from toolkit.journal.compaction import Stage, compact

def die(stage):
    if stage.name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

compact(Path(sys.argv[1]), archive=Path(sys.argv[1] + ".old"), on_stage=die)
"""


@pytest.mark.parametrize("stage", list(Stage))
async def test_dying_at_any_stage_loses_nothing(tmp_path: Path, stage: Stage) -> None:
    """After SIGKILL journal and archive hold every entry between them, and it can be done again."""
    path, archive = tmp_path / "j.db", tmp_path / "j.db.old"
    await _write(path)
    whole = list(read_entries(path))

    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
        [sys.executable, "-c", _DIES, str(path), stage.name], check=False
    )

    assert -signal.SIGKILL == done.returncode
    left = list(read_entries(path))
    older = [] if stage is not Stage.REPLACED else list(read_entries(archive))
    assert whole == [*older, *left][: len(whole)]
    journal = Journal(SqliteBackend(path))
    journal.append("tx.request", {}, key="idempotency:6")
    journal.checkpoint("tx", {})
    await journal.close()
    assert 0 < compact(path, archive=tmp_path / "next.db").dropped
    verify_file(path)
    assert not path.with_name("j.db.compact").exists()


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """An archive in a folder that is not there leaves the journal as it was."""
    path = tmp_path / "j.db"
    await _write(path)

    with pytest.raises(JournalUnavailable, match=r"was not compacted .*absent"):
        compact(path, archive=tmp_path / "absent" / "old.db")
    with pytest.raises(ConfigError, match="no journal at"):
        compact(tmp_path / "no.db")
    assert 26 == verify_file(path).entries


async def test_opening_after_a_compaction_begins_at_the_newest_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks that were dropped are not used, marks that stayed are."""
    monkeypatch.setattr(log, "SEGMENT_ENTRIES", 8)
    path = tmp_path / "j.db"
    await _write(path, before=20, behind=20)
    compact(path)

    journal = Journal(SqliteBackend(path))

    marks = [entry.seq for entry in journal.entries("journal.segment")]
    assert marks[-1] == journal._first_verified
    assert verify_file(path).bounds.head.seq == journal.last_seq
    await journal.close()


async def test_a_mark_that_left_the_chain_is_not_begun_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no mark is left, opening begins where the chain does; old marks are not kept."""
    monkeypatch.setattr(log, "SEGMENT_ENTRIES", 20)
    path = tmp_path / "j.db"
    await _write(path, before=25, behind=2)
    made = compact(path)

    journal = Journal(SqliteBackend(path))

    assert made.bounds.base.seq + 1 == journal._first_verified
    assert journal.find("journal:segment") is None
    assert made.kept == 5
    await journal.close()


async def test_an_archive_never_replaces_another_file(tmp_path: Path) -> None:
    """A file that takes the archive's name while the journal is read stays as it is."""
    path, archive = tmp_path / "j.db", tmp_path / "old.db"
    await _write(path)

    def somebody(stage: Stage) -> None:
        if stage is Stage.VERIFIED:
            archive.write_text("mine")

    with pytest.raises(ConfigError, match="exists already; name a new file"):
        compact(path, archive=archive, on_stage=somebody)
    assert "mine" == archive.read_text()
    assert 26 == verify_file(path).entries


@pytest.mark.parametrize("of_archive", [True, False])
async def test_what_was_built_wrongly_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, of_archive: bool
) -> None:
    """Archive and new file are verified whole before anything is dropped for them."""
    path = tmp_path / "j.db"
    await _write(path)
    record = compaction._record

    def wrong(
        database: sqlite3.Connection, bounds: Bounds, *, token: int, is_archive: bool
    ) -> None:
        record(database, bounds, token=token, is_archive=is_archive)
        if is_archive is of_archive:
            database.execute("DELETE FROM entry WHERE seq = (SELECT max(seq) FROM entry)")

    monkeypatch.setattr(compaction, "_record", wrong)

    with pytest.raises(JournalCorrupt, match="is missing"):
        compact(path, archive=tmp_path / "old.db")
    assert 26 == verify_file(path).entries
