"""One process at a time sends from a key: leases with fencing tokens, in a file on this machine."""

import os
import platform
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from toolkit.model.chain import Address
from toolkit.model.checks import path_of, require_flag, require_seconds
from toolkit.model.errors import ConfigError, JournalUnavailable, LeaseLost

FILE_NAME = "leases.db"
APPLICATION_ID = 0x6D65766C  # "mevl" in the file's header
BEAT_S = 1.0
STALE_S = 10.0
"""A holder that has not been heard of for so long may be taken over though its process exists."""

_BUSY_S = 5.0
_WORD = "take over (takeover=True, --takeover)"
_CREATE = """
CREATE TABLE IF NOT EXISTS lease (
    chain_id INTEGER NOT NULL, sender TEXT NOT NULL, token INTEGER NOT NULL, journal TEXT,
    pid INTEGER, started TEXT, place TEXT, beat_s REAL, PRIMARY KEY (chain_id, sender))
"""
_READ = (
    "SELECT token, journal, pid, started, place, beat_s FROM lease WHERE chain_id=? AND sender=?"
)
_TAKE = "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_BEAT = "UPDATE lease SET beat_s=? WHERE chain_id=? AND sender=? AND token=?"
_FREE = "UPDATE lease SET pid=NULL, journal=? WHERE chain_id=? AND sender=? AND token=?"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """One process: ids are used again, so when it started belongs to its name.

    `place` is where the id means something: a machine, and on Linux its namespace of processes.
    """

    pid: int
    started: str
    place: str


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    token: int
    journal: str | None
    holder: Holder | None
    beat_s: float


def user_directory() -> Path:
    """Where the leases of this user's keys are, alike for all programs: XDG_STATE_HOME's, or
    `~/.local/state/mev-toolkit`.
    """
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state) / "mev-toolkit"


def this_process() -> Holder:
    """The holder that this process is.

    Raises:
        ConfigError: the system does not tell when a process started.
    """
    pid = os.getpid()
    started = started_at(pid)
    if started is None:
        raise ConfigError("this system has neither /proc nor ps: leases cannot tell who lives")
    return Holder(pid=pid, started=started, place=_place())


def started_at(pid: int) -> str | None:
    """When a process started, in whatever form this system tells it; None if it is dead.

    A zombie is dead: it does nothing any more and only waits for its parent.
    """
    if Path("/proc/self/stat").exists():
        try:
            # The name before the last bracket may hold anything, spaces and brackets too.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in {"Z", "X"} else f"{_boot()}:{fields[19]}"
    return started_by_ps(pid)


def started_by_ps(pid: int) -> str | None:
    """As `started_at`, where there is no /proc (macOS)."""
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 - POSIX has it in PATH
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = done.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else " ".join(started.split())


def _boot() -> str:
    """Which boot it is: a process's start is told in ticks since then."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # hidden in some containers, which do not survive a boot either


def _place() -> str:
    try:
        return f"{platform.node()}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


class Lease:
    """The right to send from one account on one chain, until somebody else takes it over."""

    def __init__(self, leases: "Leases", *, chain_id: int, sender: Address, token: int) -> None:
        self.chain_id = chain_id
        self.sender = sender
        self.token = token
        self.seen_version: int | None = None  # of the file when it was last found in force
        self._leases = leases

    def __repr__(self) -> str:
        """Name the account and the token."""
        return f"Lease({self.sender}, chain {self.chain_id}, token {self.token})"

    def check(self) -> None:
        """Raise LeaseLost unless the lease is still this one's."""
        self._leases.require(self)

    def release(self, *, settled: bool = False) -> None:
        """Let other processes have it. With `settled` nothing is under way any more, and the next
        one may bring another journal; without, it must bring this one's.
        """
        self._leases.release(self, settled=settled)


class Leases:
    """The leases of the keys that this process sends from.

    A holder that lives is left alone. One that is dead is taken over at once; one whose process
    exists but has not been heard of for `stale_s`, or with `takeover` any, is taken over too: its
    token is then old, and every later `check` of it raises. A lane's past is in its journal, so a
    lease can only change hands with the journal it is bound to.

    Times are those of the machine's monotonic clock, which all its processes share. The directory
    must be on a local disk.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        holder: Holder | None = None,
        takeover: bool = False,
        stale_s: float = STALE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open or create the leases of `directory`.

        Raises:
            ConfigError: the file there is no file of leases.
            JournalUnavailable: the directory cannot be written.
        """
        require_flag("takeover", takeover)
        require_seconds("stale_s", stale_s)
        path = path_of("directory", directory).expanduser().resolve() / FILE_NAME
        self._holder = holder or this_process()
        self._takeover = takeover
        self._stale_s = stale_s
        self._clock = clock
        self._held: dict[tuple[int, Address], Lease] = {}
        self._path = path
        # The journal's writer checks, the beat's thread writes, the owner takes and releases.
        self._using = threading.RLock()
        self._closed = threading.Event()
        self._beats: threading.Thread | None = None
        self._database = _open(self._path)

    def acquire(self, chain_id: int, sender: Address, journal: str | Path | None) -> Lease:
        """Take the lease of an account, bound to the journal of its lane (None: in memory only).

        Raises:
            LeaseLost: another process holds it; names the process and the remedy.
            ConfigError: its lane is in another journal, where transactions may be under way.
        """
        path = None if journal is None else str(Path(journal).expanduser().resolve())
        with self._writing():
            row = self._read(chain_id, sender)
            if row is not None:
                self._require_free(row, f"{sender} on chain {chain_id}", path)
            token = 1 if row is None else row.token + 1
            who = (self._holder.pid, self._holder.started, self._holder.place)
            self._database.execute(_TAKE, (chain_id, sender, token, path, *who, self._clock()))
        lease = Lease(self, chain_id=chain_id, sender=sender, token=token)
        self._held[chain_id, sender] = lease
        self._start_beating()
        return lease

    def check(self) -> None:
        """Raise LeaseLost unless every lease taken here is still ours; a journal's guard."""
        for lease in tuple(self._held.values()):
            self.require(lease)

    def require(self, lease: Lease) -> None:
        """Raise LeaseLost unless `lease` is still in force."""
        # It is asked before every write of a journal: while nobody else has written, nothing of
        # what we read has changed.
        version = self._version()
        if lease.seen_version == version:
            return
        row = self._read(lease.chain_id, lease.sender)
        if row is None or row.token != lease.token or row.holder != self._holder:
            by = f"process {row.holder.pid}" if row is not None and row.holder else "somebody"
            raise LeaseLost(
                f"{lease.sender} on chain {lease.chain_id} was taken over by {by}; this process "
                "writes and sends nothing more from it: stop it"
            )
        lease.seen_version = version

    def release(self, lease: Lease, *, settled: bool = False) -> None:
        """As `Lease.release`; a lease that is lost already is simply forgotten."""
        lease.seen_version = None
        self._held.pop((lease.chain_id, lease.sender), None)
        with self._writing():
            row = self._read(lease.chain_id, lease.sender)
            journal = None if row is None or settled else row.journal
            self._database.execute(_FREE, (journal, lease.chain_id, lease.sender, lease.token))

    def close(self, *, settled: bool = False) -> None:
        """Release every lease taken here and close the file."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._beats is not None:
            self._beats.join()
        try:
            for lease in tuple(self._held.values()):
                self.release(lease, settled=settled)
        finally:
            self._database.close()

    def beat(self) -> None:
        """Say that this process is well; a thread does so every second."""
        with self._writing():
            for lease in tuple(self._held.values()):
                key = (lease.chain_id, lease.sender, lease.token)
                self._database.execute(_BEAT, (self._clock(), *key))

    def _start_beating(self) -> None:
        if self._beats is None:
            # A daemon, so that a process that forgets to close can still end.
            self._beats = threading.Thread(target=self._keep_beating, name="leases", daemon=True)
            self._beats.start()

    def _keep_beating(self) -> None:
        while not self._closed.wait(BEAT_S):
            try:
                self.beat()
            except JournalUnavailable:
                continue  # safe because a beat that is missed for long only lets others take over

    def _require_free(self, row: _Row, what: str, journal: str | None) -> None:
        holder, elsewhere = row.holder, row.journal is not None and row.journal != journal
        lives = holder is not None and self._lives(holder, row.beat_s)
        beats = holder is not None and self._clock() - row.beat_s <= self._stale_s
        where = row.journal or "a journal in memory"
        if holder is not None and lives and (elsewhere or (beats and not self._takeover)):
            remedy = "stop it" if elsewhere else f"stop it, or if it hangs {_WORD}"
            raise LeaseLost(
                f"{what} is held by process {holder.pid} with {where}; {remedy}, or use another key"
            )
        if elsewhere and not self._takeover:
            raise ConfigError(
                f"{what} has its lane in {row.journal}, where transactions may be under way; open "
                f"that journal, or if none can be {_WORD}"
            )

    def _lives(self, holder: Holder, beat_s: float) -> bool:
        if holder.place != self._holder.place:
            # Its process id means nothing here: only its silence can tell.
            return self._clock() - beat_s <= self._stale_s
        return started_at(holder.pid) == holder.started

    def _version(self) -> int:
        with self._telling(), self._using:
            return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def _read(self, chain_id: int, sender: Address) -> _Row | None:
        with self._telling(), self._using:
            row = self._database.execute(_READ, (chain_id, sender)).fetchone()
        if row is None:
            return None
        token, journal, pid, started, place, beat_s = row
        holder = None if pid is None else Holder(pid=pid, started=started, place=place)
        return _Row(token=token, journal=journal, holder=holder, beat_s=beat_s)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._telling(), self._using, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from None


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made here so that it never exists with the umask's mode; -wal and -shm inherit it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        database = sqlite3.connect(
            path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
        )
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from None
    try:
        _prepare(database, path)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error):
            raise _unusable(path, error) from None
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = database.execute("PRAGMA application_id").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise ConfigError(f"{path} is a database but holds no leases; choose another directory")
    # Power loss ends every holder, so a token needs to survive processes only: no fsync a beat.
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(_CREATE)
        database.execute(f"PRAGMA application_id={APPLICATION_ID}")


def _unusable(path: Path, error: Exception) -> JournalUnavailable:
    return JournalUnavailable(
        f"leases {path} cannot be used ({error}); free space or mend the disk, or remove the file "
        "while no session is open"
    )
