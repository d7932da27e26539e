"""The append-only, hash-chained log of which every state in the toolkit is a fold."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from typing import Protocol, TypeVar

import msgspec

from toolkit.model.chain import ZERO_HASH
from toolkit.model.errors import BusOverflow, ConfigError, JournalCorrupt, JournalUnavailable

T = TypeVar("T")

GENESIS = str(ZERO_HASH)
"""What the first entry names as its predecessor."""

MAX_PENDING = 100_000
"""Entries that may wait for a commit; more means that somebody forgot to commit."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log. `seq` counts from 1; `data` is canonical JSON.

    `hash` is blake2b-256 over the JSON list [previous, seq, kind, version, cause] followed by
    `data`; `cause` is the earlier entry that made this one happen.
    """

    seq: int
    kind: str
    version: int
    cause: int | None
    data: bytes
    hash: str
    previous: str


class Backend(Protocol):
    """Where entries rest. One process at a time may hold a backend."""

    def load(self) -> Iterator[Entry]:
        """Yield every durable entry in order; JournalCorrupt where the store is unreadable."""
        ...

    def write(self, entries: Sequence[Entry]) -> None:
        """Make all entries durable or none; may block. JournalUnavailable when it cannot."""
        ...

    def close(self) -> None:
        """Release the store for other processes."""
        ...


def chained(
    *, seq: int, kind: str, version: int, cause: int | None, data: bytes, previous: str
) -> Entry:
    """Build the entry that follows the one whose hash is `previous`."""
    # The JSON list ends itself, so no two different entries hash the same bytes.
    head = msgspec.json.encode([previous, seq, kind, version, cause])
    return Entry(
        seq=seq,
        kind=kind,
        version=version,
        cause=cause,
        data=data,
        hash=f"0x{blake2b(head + data, digest_size=32).hexdigest()}",
        previous=previous,
    )


def verified(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Pass entries through while the chain holds.

    Raises:
        JournalCorrupt: names the first entry that is missing, misplaced or altered.
    """
    previous = GENESIS
    for seq, entry in enumerate(entries, start=1):
        if entry.seq != seq:
            raise JournalCorrupt(
                f"journal entry {seq} is missing (found {entry.seq}); restore the file from a copy"
            )
        expected = chained(
            seq=seq,
            kind=entry.kind,
            version=entry.version,
            cause=entry.cause,
            data=entry.data,
            previous=previous,
        )
        if entry != expected:
            raise JournalCorrupt(
                f"journal entry {seq} ({entry.kind}) does not match its hash; "
                "restore the file from a copy"
            )
        previous = entry.hash
        yield entry


def verify(entries: Iterable[Entry]) -> int:
    """Check the whole chain and return how many entries it has.

    Raises:
        JournalCorrupt: names the first bad entry.
    """
    return sum(1 for _ in verified(entries))


class Journal:
    """Append in memory at once, durable when `commit` returns.

    Commits are grouped: while one write runs in its thread, later appends gather and leave with
    the next one, so many waiters share an fsync. The first failed write ends the journal for good:
    whoever waits for durability before acting will then never act.
    """

    def __init__(self, backend: Backend) -> None:
        """Verify the whole chain of `backend`; blocks for about 5 us per entry."""
        self._backend = backend
        self.last_seq = 0
        self.head_hash = GENESIS
        for entry in verified(backend.load()):
            self.last_seq, self.head_hash = entry.seq, entry.hash
        self._durable_seq = self.last_seq
        self._tail: list[Entry] = []  # everything after _durable_seq, oldest first
        self._write: asyncio.Future[None] | None = None
        self._failure: str | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    def append(
        self,
        kind: str,
        data: msgspec.Struct | Mapping[str, object],
        *,
        cause: int | None = None,
        version: int = 1,
    ) -> int:
        """Add an entry to the chain and return its sequence number; durable after `commit`.

        Raises:
            JournalUnavailable: an earlier write failed, or the journal is closed.
            BusOverflow: too many entries wait for a commit.
        """
        self._require_usable()
        if len(self._tail) >= MAX_PENDING:
            raise BusOverflow(f"{MAX_PENDING} journal entries wait to be written; await commit()")
        if cause is not None and not 0 < cause <= self.last_seq:
            raise ConfigError(f"cause {cause} of a {kind} entry is not an earlier journal entry")
        seq = self.last_seq + 1
        entry = chained(
            seq=seq,
            kind=kind,
            version=version,
            cause=cause,
            data=msgspec.json.encode(data, order="sorted"),
            previous=self.head_hash,
        )
        self._tail.append(entry)
        self.last_seq, self.head_hash = seq, entry.hash
        return seq

    async def commit(self) -> None:
        """Return when every entry appended so far is durable.

        Raises:
            JournalUnavailable: this or an earlier write failed; the journal stays unusable.
        """
        wanted = self.last_seq
        while self._durable_seq < wanted:
            self._require_usable()
            # Not awaited itself: cancelling one waiter must not cancel the write of all.
            await asyncio.wait({self._write or self._begin_write()})

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Yield every entry so far, or those of the given kinds, in order."""
        durable, tail = self._durable_seq, tuple(self._tail)
        wanted = frozenset(kinds)
        for entry in self._backend.load():
            if entry.seq > durable:
                break  # written since we began; it is in `tail`
            if not wanted or entry.kind in wanted:
                yield entry
        yield from (entry for entry in tail if not wanted or entry.kind in wanted)

    def decode(self, entry: Entry, type: type[T]) -> T:  # noqa: A002 - reads as msgspec's own
        """Decode an entry's data as `type`.

        Raises:
            JournalCorrupt: the data has another shape.
        """
        try:
            return msgspec.json.decode(entry.data, type=type)
        except msgspec.MsgspecError as error:
            raise JournalCorrupt(
                f"journal entry {entry.seq} ({entry.kind}) is no {type.__name__}: {error}"
            ) from None

    async def close(self) -> None:
        """Write what is left and release the backend; a broken journal just lets go of it."""
        try:
            if self._failure is None:
                await self.commit()
        finally:
            self._failure = self._failure or "the journal is closed"
            if not self._closed:
                self._closed = True
                self._thread.shutdown()
                self._backend.close()

    def _begin_write(self) -> asyncio.Future[None]:
        batch = tuple(self._tail)
        loop = asyncio.get_running_loop()
        write = loop.run_in_executor(self._thread, self._backend.write, batch)
        write.add_done_callback(partial(self._written, batch))
        self._write = write
        return write

    def _written(self, batch: Sequence[Entry], write: asyncio.Future[None]) -> None:
        self._write = None
        error = write.exception()
        if error is None:
            self._durable_seq = batch[-1].seq
            del self._tail[: len(batch)]
        else:
            self._failure = str(error)

    def _require_usable(self) -> None:
        if self._failure is not None:
            raise JournalUnavailable(self._failure)
