"""Machines that lose their power: of a journal's file only what was synced is surely there.

The file and its log are SQLite's own; what the disk has of them is a model. By SQLite's documents
(`PRAGMA synchronous`, WAL mode) a commit waits until its log is synced if the connection is set to
FULL or more; with NORMAL only what goes from the log into the file is synced; with OFF nothing is.
What is on its way when the power fails arrives sector by sector in any order, and so in part.
"""

import random
import tempfile
from itertools import zip_longest
from pathlib import Path

from toolkit.journal.sqlite import SqliteBackend, read_entries
from toolkit.model.errors import ToolkitError
from toolkit.testing.coverage import Coverage
from toolkit.testing.disks import following

_SECTOR = 512
_LOG_HEADER = 32
_NORMAL, _FULL = 1, 2
_PAGES = 8
"""After how many of them the log goes into the file: much sooner than in service."""


class PoweredBackend(SqliteBackend):
    """A journal's file that says how its writes are synced."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._database.execute(f"PRAGMA wal_autocheckpoint={_PAGES}")

    def synchronous(self) -> int:
        """How much of what it writes it waits for, in SQLite's own number."""
        level, mode = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode")
        )
        return int(level) if mode == "wal" else 0


class PowerLife:
    """A journal on a machine whose power fails, mostly in the middle of a write."""

    steps = 14

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a life is drawn, not a secret
        self.coverage = Coverage()
        self._path = folder / "journal.db"
        self._log = folder / "journal.db-wal"
        self._synced = {self._path: b"", self._log: b""}  # what is surely on the disk
        self._sure: list[str] = []  # hashes of what was acknowledged, in order

    def run(self) -> None:
        """Live it.

        Raises:
            AssertionError: what was acknowledged is gone, or half of a write is there.
        """
        self._open()
        try:
            for _ in range(self.steps):
                action = self.rng.choices([self._write, self._fail, self._restart], [8, 4, 1])[0]
                self.coverage.actions[action.__name__.removeprefix("_")] += 1
                action()
                self.coverage.events += 1
        finally:
            self._backend.close()
        self.coverage.close(most_in_flight=1, faults=self.coverage.faults.total())

    def _open(self) -> None:
        self._backend = PoweredBackend(self._path)
        self._keep()

    def _keep(self) -> None:
        """The commit is done: what it waited for is on the disk, and all before it."""
        files, level = self._files(), self._backend.synchronous()
        from_log = files[self._path] != self._synced[self._path]
        if level >= _FULL or (level == _NORMAL and from_log):
            self._synced = files

    def _files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() if path.exists() else b"" for path in self._synced}

    def _write(self) -> None:
        entries = following(self.rng, self._backend.bounds().head)
        self._backend.write(entries)
        self._sure += [one.hash for one in entries]
        self._keep()

    def _restart(self) -> None:
        """The process ends as it should, and another one begins."""
        self._backend.close()
        self._open()

    def _fail(self) -> None:
        """The power fails: at rest, or before a write that is on its way has been acknowledged."""
        under_way: list[str] = []
        if self.rng.random() < 0.7:  # noqa: PLR2004 - mostly
            entries = following(self.rng, self._backend.bounds().head)
            self._backend.write(entries)
            under_way = [one.hash for one in entries]
        left = self._left()
        self._backend.close()
        for path, content in left.items():
            path.write_bytes(content)
        for gone in self._path.parent.glob("*-shm"):
            gone.unlink()
        self.coverage.faults["power failed"] += 1
        self._check(under_way)

    def _left(self) -> dict[Path, bytes]:
        """What the disk has when the machine is on again."""
        before, after = self._synced, self._files()
        old, new = before[self._log], after[self._log]
        if before[self._path] and before[self._path] != after[self._path]:
            # The log goes into the file only once it is synced itself.
            return {self._path: self._torn(before[self._path], after[self._path]), self._log: new}
        if before[self._path] and old[:_LOG_HEADER] != new[:_LOG_HEADER]:
            # A log that begins anew syncs its header before anything behind it.
            old = new[:_LOG_HEADER] + old[_LOG_HEADER:]
        return {
            self._path: self._torn(before[self._path], after[self._path]),
            self._log: self._torn(old, new),
        }

    def _torn(self, old: bytes, new: bytes) -> bytes:
        """Each sector that changed has arrived, or not."""
        share, arrived = self.rng.random(), bytearray()
        for place, (mine, other) in enumerate(zip_longest(_sectors(old), _sectors(new))):
            found = other if self.rng.random() < share else mine
            if found:
                arrived += b"\0" * (place * _SECTOR - len(arrived)) + found
        return bytes(arrived)

    def _check(self, under_way: list[str]) -> None:
        try:
            self._open()
            found = [entry.hash for entry in read_entries(self._path)]
        except ToolkitError as error:
            raise AssertionError(f"the power failed, and the journal is lost: {error}") from error
        end = found[len(self._sure) :]
        assert self._sure == found[: len(self._sure)], "what was acknowledged was not on the disk"
        assert end in ([], under_way), (
            f"{len(end)} of {len(under_way)} entries of a write are there"
        )
        self.coverage.ends["write is there" if end else "write is not there"] += 1
        self._sure += end


def _sectors(content: bytes) -> list[bytes]:
    return [content[at : at + _SECTOR] for at in range(0, len(content), _SECTOR)]


def live_with_power_cuts(seed: int) -> Coverage:
    """One seeded life of a journal's file on a machine that loses its power."""
    with tempfile.TemporaryDirectory() as folder:
        life = PowerLife(seed, Path(folder))
        try:
            life.run()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    return life.coverage
