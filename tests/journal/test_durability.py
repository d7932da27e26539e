"""What a machine that fails leaves behind, and that nothing is sent that is not left behind."""

import asyncio
import random
import resource
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from toolkit.journal.chain import Entry
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.journal.verification import verify_file
from toolkit.model.errors import JournalUnavailable

_PAGE, _FRAME_HEADER, _WAL_HEADER = 512, 24, 32  # SQLite's smallest page: fewer bytes to cut at


async def _copies(tmp_path: Path, commits: int) -> tuple[bytes, bytes, list[int]]:
    """Write one entry a commit; return the database, its WAL, and the WAL's length after each."""
    path = tmp_path / "j.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as empty:
        empty.execute(f"PRAGMA page_size={_PAGE}")
        empty.execute("CREATE TABLE any_table (x)")
        empty.execute("DROP TABLE any_table")
    journal = Journal(SqliteBackend(path))
    lengths = []
    for index in range(commits):
        journal.append("note", {"index": index, "filler": "x" * 300})
        await journal.commit()
        lengths.append(path.with_name("j.db-wal").stat().st_size)
    database, wal = path.read_bytes(), path.with_name("j.db-wal").read_bytes()
    await journal.close()
    return database, wal, lengths


async def test_a_wal_torn_at_any_byte_leaves_what_was_whole(quick_path: Path) -> None:
    """Cut at every byte of the last commit: the commits before the cut, and no half one."""
    database, wal, lengths = await _copies(quick_path, 4)
    assert len(wal) == lengths[-1]
    assert lengths[-1] - lengths[-2] >= 2 * (_FRAME_HEADER + _PAGE)
    path, beside = quick_path / "torn.db", quick_path / "torn.db-wal"
    path.write_bytes(database)

    for size in range(lengths[-2] - 1, len(wal) + 1):
        beside.write_bytes(wal[:size])
        whole = sum(length <= size for length in lengths)
        assert whole == sum(1 for _ in read_entries(path)), f"cut at {size}"


async def test_a_torn_journal_goes_on_where_it_was_whole(tmp_path: Path) -> None:
    """After a torn write the next process appends behind the last whole one, and all verifies."""
    database, wal, lengths = await _copies(tmp_path, 5)
    frame = _FRAME_HEADER + _PAGE
    cuts = [lengths[2], lengths[3] - 1, lengths[3], lengths[3] + frame, len(wal) - 1, len(wal)]
    for number, size in enumerate(cuts):
        path = tmp_path / f"torn-{number}.db"
        path.write_bytes(database)
        path.with_name(f"{path.name}-wal").write_bytes(wal[:size])

        journal = Journal(SqliteBackend(path))
        journal.append("after", {})
        await journal.close()

        whole = sum(length <= size for length in lengths)
        assert whole + 1 == verify_file(path).entries
        assert [whole + 1] == [entry.seq for entry in read_entries(path, "after")]


async def test_a_changed_byte_in_the_wal_cuts_it_there(quick_path: Path) -> None:
    """A byte that the disk changed ends the log before the commit it is in, whichever byte."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    database, wal, lengths = await _copies(quick_path, 6)
    path, beside = quick_path / "bad.db", quick_path / "bad.db-wal"
    path.write_bytes(database)

    for _ in range(200):
        place = rng.randrange(_WAL_HEADER, len(wal))
        beside.write_bytes(
            wal[:place] + bytes([wal[place] ^ (1 << rng.randrange(8))]) + wal[place + 1 :]
        )
        whole = sum(length <= place for length in lengths)
        assert whole == sum(1 for _ in read_entries(path)), f"byte {place}"


_SENDS = """
import asyncio, sys
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.errors import JournalUnavailable

async def send(journal, name):
    try:
        journal.append("tx.prepared", {"name": name, "filler": "x" * 900}, key=f"tx:{name}")
        await journal.commit()
    except JournalUnavailable as error:
        return str(error)
    print(name, flush=True)  # the broadcast
    return ""

async def main():
    journal = Journal(SqliteBackend(sys.argv[1]))
    refusals = []
    for number in range(400):
        refusals += await asyncio.gather(*(send(journal, f"{number}-{n}") for n in range(4)))
    await journal.close()
    print(*sorted({line for line in refusals if line}), sep="\\n", file=sys.stderr)

asyncio.run(main())
"""


def test_nothing_is_broadcast_that_a_full_disk_refused(tmp_path: Path) -> None:
    """From the write that the system refuses on nobody sends; all that was sent is in the file."""
    run = subprocess.run(
        [sys.executable, "-c", _SENDS, str(tmp_path / "j.db")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)),
        capture_output=True,
        text=True,
        check=True,
    )

    sent = set(run.stdout.split())
    durable = {str(entry.key).removeprefix("tx:") for entry in read_entries(tmp_path / "j.db")}
    assert 0 < len(sent) < 1_600
    assert sent == durable
    assert 1 == len(run.stderr.strip().splitlines())
    assert "cannot write entry" in run.stderr
    assert len(sent) == verify_file(tmp_path / "j.db").entries


_GROUPS = """
import asyncio, sys
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend

async def write(journal, name):
    for number in range(10_000):
        seq = journal.append("note", {"name": name, "filler": "x" * (number % 50)})
        await journal.commit()
        print(seq, flush=True)

async def main():
    journal = Journal(SqliteBackend(sys.argv[1]))
    await asyncio.gather(*(write(journal, name) for name in range(5)))

asyncio.run(main())
"""


def test_a_kill_at_any_moment_keeps_what_was_promised(quick_path: Path) -> None:
    """However a process dies in the middle of its writes, all that commit returned for is there."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    path = quick_path / "j.db"
    promised = 0
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", _GROUPS, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(rng.randrange(1, 400))]
            child.kill()
            lines += child.stdout.read().splitlines(keepends=True)

        whole = [int(line) for line in lines if line.endswith("\n")]
        durable = verify_file(path).entries
        assert durable >= max(promised, *whole)
        promised = durable


class _Failing(MemoryBackend):
    """Refuses its n-th write in a way of its own, and would take all others."""

    def __init__(self, number: int, error: Exception) -> None:
        super().__init__()
        self._left = number
        self._error = error

    def write(self, entries: Sequence[Entry]) -> None:
        self._left -= 1
        if self._left == 0:
            raise self._error
        super().write(entries)


@pytest.mark.parametrize("number", range(1, 12))
@pytest.mark.parametrize(
    "error", [JournalUnavailable("disk I/O error; mend it"), MemoryError(), RuntimeError("bug")]
)
async def test_whichever_write_fails_nothing_behind_it_is_sent(
    number: int, error: Exception
) -> None:
    """For every write that may fail: what was sent is what was written, and nobody hangs."""
    backend = _Failing(number, error)
    journal = Journal(backend)
    sent: list[int] = []

    async def send() -> None:
        for _ in range(5):
            seq = journal.append("tx.prepared", {})
            await journal.commit()
            sent.append(seq)

    results = await asyncio.gather(*(send() for _ in range(3)), return_exceptions=True)

    assert {entry.seq for entry in backend.rows} >= set(sent)
    refused = [result for result in results if result is not None]
    assert all(isinstance(result, JournalUnavailable) for result in refused)
    assert (len(sent) == 15) == (not refused)
    if refused:
        with pytest.raises(JournalUnavailable, match=str(error) or type(error).__name__):
            journal.append("tx.prepared", {})
    await journal.close()


async def test_a_guard_that_refuses_stops_the_write() -> None:
    """The guard is asked before each write, and its refusal is told as it was raised."""
    asked: list[int] = []
    backend = MemoryBackend()

    def guard() -> None:
        asked.append(len(backend.rows))
        if len(asked) == 2:
            raise JournalUnavailable("the lease is gone; stop")

    journal = Journal(backend, guard=guard)
    journal.append("a", {})
    await journal.commit()
    journal.append("a", {})

    with pytest.raises(JournalUnavailable, match="the lease is gone"):
        await journal.commit()
    assert [0, 1] == asked
    assert 1 == len(backend.rows)
    await journal.close()
