"""The journal: what an entry and its durability cost, and a restart behind ten million entries."""

import asyncio
import itertools
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure, Measured
from scripts.bench.timing import medians
from toolkit.journal.chain import GENESIS, chained, verify
from toolkit.journal.log import SEGMENT, SEGMENT_ENTRIES, SEGMENT_KEY, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend, read_entries

TIMEOUT_S = 1_200
ENTRIES = 10_000_000
TAIL = 20_000  # entries from the newest checkpoint to the end: the most that a lane lets come
SAMPLE = 200_000
WAITERS = 64
ROUNDS = 7
PEER_ROWS = 300
ENTRY_BYTES = 600  # of JSON: between an answer and a signed transaction
BATCH = 100_000
DATA = msgspec.json.encode({"request_id": "tx-12345678", "lane": f"0x{17:040x}", "n": 123_456_789})
US = 1e6

_RESTART = """
import os, sys, time
from toolkit.journal.log import Journal
from toolkit.journal.sqlite import SqliteBackend
import msgspec

start = time.perf_counter()
journal = Journal(SqliteBackend(sys.argv[1]))
checkpoint = journal.last_checkpoint("tx")
tail = [journal.decode(e, dict) for e in journal.entries(after=checkpoint.seq)]
print(journal.last_seq, len(tail), time.perf_counter() - start, flush=True)
os._exit(0)  # as in a crash: no goodbye, and the next one finds the log as it is
"""


async def measure(seed: int) -> Measured:
    """Time appends, commits and restarts; nothing depends on the seed but the folder's name."""
    with tempfile.TemporaryDirectory() as folder:
        appended = await _append()
        grouped, single, peer = await _commits(Path(folder))
    place = Path(tempfile.gettempdir()) / f"journal-bench-{os.getuid()}-{ENTRIES}-{seed}.db"
    built = await _long_journal(place)
    restart, ready, found, whole = _restarts(place, built)
    for rest in place.parent.glob(f"{place.name}*"):
        rest.unlink()
    return Measured(
        figures=(
            Figure(
                name=f"append, {ENTRY_BYTES} bytes of JSON", unit="µs", target=12, ours=appended
            ),
            Figure(
                name=f"a durable entry, {WAITERS} waiting for each fsync",
                unit="µs",
                ours=grouped,
                peer=peer,
                peer_name="SQLite, a commit a row",
            ),
            Figure(
                name="a durable entry, waited for alone",
                unit="µs",
                ours=single,
                peer=peer,
                peer_name="SQLite, a commit a row",
            ),
            Figure(
                name=f"restart after a kill at {ENTRIES:.0e} entries, the last {TAIL:,} read",
                unit="s",
                target=2,
                ours=ready,
                peer=whole,
                peer_name=f"verifying all (from {SAMPLE:,})",
            ),
            Figure(name="the same with the interpreter and its imports", unit="s", ours=restart),
            Figure(name=f"finding one of {built:,} keys", unit="µs", ours=found),
        ),
        peers={"sqlite": sqlite3.sqlite_version},
        not_covered=(
            f"entries of {ENTRY_BYTES} bytes in all of the file: those of before have {len(DATA)}",
            "a cold disk: its pages are dropped from the cache where the system allows that",
            "power loss: fsync is believed",
        ),
    )


async def _append() -> float:
    filler = {"request_id": "tx-1", "filler": "x" * (ENTRY_BYTES - 40)}

    async def round_() -> None:
        journal = Journal(MemoryBackend())
        for index in range(10_000):
            journal.append("tx.answer", filler, key="k" if index % 4 == 0 else None)
        journals.append(journal)

    journals: list[Journal] = []
    (taken,) = await medians((round_,), rounds=ROUNDS)
    for journal in journals:
        await journal.close()
    return taken / 10_000 * US


async def _commits(folder: Path) -> tuple[float, float, float]:
    journal = Journal(SqliteBackend(folder / "ours.db"))
    data = {"filler": "x" * ENTRY_BYTES}

    async def waiter(times: int) -> None:
        for _ in range(times):
            journal.append("tx.answer", data)
            await journal.commit()

    async def grouped() -> None:
        await asyncio.gather(*(waiter(50) for _ in range(WAITERS)))

    async def single() -> None:
        await waiter(PEER_ROWS)

    with closing(sqlite3.connect(folder / "peer.db", isolation_level=None)) as peer:
        peer.execute("PRAGMA journal_mode=WAL")
        peer.execute("PRAGMA synchronous=FULL")
        peer.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, data BLOB)")
        row = msgspec.json.encode(data)

        async def a_commit_a_row() -> None:
            for _ in range(PEER_ROWS):
                peer.execute("INSERT INTO entry (data) VALUES (?)", (row,))

        taken = await medians((grouped, single, a_commit_a_row), rounds=ROUNDS)
    await journal.close()
    return (
        taken[0] / (50 * WAITERS) * US,
        taken[1] / PEER_ROWS * US,
        taken[2] / PEER_ROWS * US,
    )


async def _long_journal(path: Path) -> int:
    """Write the long journal, or go on where an earlier run was cut off; returns its keys."""
    SqliteBackend(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        # What an index and a trigger cost is not measured here: they come at the end.
        later = [
            row[0]
            for row in database.execute(
                "SELECT sql FROM sqlite_schema WHERE name IN ('entry_key', 'entry_written')"
            )
        ]
        database.execute("CREATE TABLE IF NOT EXISTS later (sql TEXT)")
        if later:
            database.execute("BEGIN")
            database.executemany("INSERT INTO later VALUES (?)", ((sql,) for sql in later))
            database.execute("DROP INDEX entry_key")
            database.execute("DROP TRIGGER entry_written")
            database.execute("COMMIT")
        _fill(database, ENTRIES - TAIL)
        database.execute("BEGIN")
        for (sql,) in database.execute("SELECT sql FROM later").fetchall():
            database.execute(sql)
        database.execute("DROP TABLE later")
        database.execute(
            "UPDATE holder SET (last_seq, last_hash) = "
            "(SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1)"
        )
        database.execute("COMMIT")
        keys = int(database.execute("SELECT count(key) FROM entry").fetchone()[0])
    journal = Journal(SqliteBackend(path))
    journal.checkpoint("tx", {"lanes": []})
    for number in range(TAIL):
        journal.append("tx.answer", {"filler": "x" * ENTRY_BYTES, "n": number})
    await journal.close()
    return keys


def _fill(database: sqlite3.Connection, wanted: int) -> None:
    last = database.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = last or (0, GENESIS)
    while seq < wanted:
        rows = []
        for seq in range(seq + 1, min(seq + BATCH, wanted) + 1):  # noqa: B020 - goes on from it
            kind, key = _kind_and_key(seq)
            one = chained(
                seq=seq, kind=kind, version=1, cause=None, data=DATA, previous=previous, key=key
            )
            previous = one.hash
            rows.append((seq, kind, 1, None, DATA, one.hash, one.previous, key))
        database.execute("BEGIN")
        database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        database.execute("COMMIT")


def _kind_and_key(seq: int) -> tuple[str, str | None]:
    """Four entries a transaction, two of them found by key; and the marks."""
    if seq % SEGMENT_ENTRIES == 0:
        return SEGMENT, SEGMENT_KEY
    number, part = divmod(seq, 4)
    keys = (f"idempotency:harvest-{number}", None, None, f"end:tx-{number}")
    return ("tx.request", "tx.prepared", "tx.answer", "tx.outcome")[part], keys[part]


def _restarts(path: Path, keys: int) -> tuple[float, float, float, float]:
    """Return the seconds of process, opening, finding (us) and, by a sample, of verifying all."""
    assert keys > ENTRIES // 3
    whole_s, opened_s = [], []
    for _ in range(ROUNDS):
        _drop_from_cache(path)
        start = time.perf_counter()
        last, tail, opened = _python(_RESTART, str(path)).split()
        whole_s.append(time.perf_counter() - start)
        opened_s.append(float(opened))
        assert int(last) >= ENTRIES
        assert int(tail) >= TAIL
    backend = SqliteBackend(path)
    number = itertools.count(1)
    found_s = _timed(lambda: backend.find(f"end:tx-{next(number) * 2_003}"), 1_000) / 1_000
    backend.close()
    sample = itertools.islice(read_entries(path), SAMPLE)
    verified_s = _timed(lambda: verify(sample), 1) * ENTRIES / SAMPLE
    return statistics.median(whole_s), statistics.median(opened_s), found_s * US, verified_s


def _timed(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - start


def _drop_from_cache(path: Path) -> None:
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # only clean pages can be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise RuntimeError(f"the restart failed: {said[-1]}")
    return done.stdout
