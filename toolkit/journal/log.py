"""The append-only, hash-chained log of which every state in the toolkit is a fold."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

import msgspec

from toolkit.journal.chain import (
    GENESIS,
    Bounds,
    Entry,
    Point,
    chained,
    readable,
    require_head,
    sound,
    verified,
    verify,
)
from toolkit.model.errors import (
    BusOverflow,
    ConfigError,
    JournalCorrupt,
    JournalUnavailable,
    LeaseLost,
)

__all__ = ["GENESIS", "Backend", "Entry", "Journal", "chained", "verified", "verify"]

T = TypeVar("T")

MAX_PENDING = 100_000
"""Entries that may wait for a commit; more means that somebody forgot to commit."""

SEGMENT_ENTRIES = 5_000
"""Entries from one segment mark to the next: what opening has to verify, some 25 ms."""

SEGMENT, SEGMENT_KEY = "journal.segment", "journal:segment"
_RESERVED = ("journal.", "checkpoint.")
_RESERVED_KEYS = ("journal:", "checkpoint:")


@runtime_checkable
class Backend(Protocol):
    """Where entries rest. One process at a time may hold a backend."""

    def bounds(self) -> Bounds:
        """Return where the durable chain begins, and where the last write ended."""
        ...

    def load(self, *kinds: str, after: int = 0) -> Iterator[Entry]:
        """Yield the durable entries behind entry `after`, of these kinds if any, in order.

        Raises:
            JournalCorrupt: the store is unreadable; names the first entry that is.
        """
        ...

    def find(self, key: str) -> Entry | None:
        """Return the newest durable entry with this key, in logarithmic time or better."""
        ...

    def write(self, entries: Sequence[Entry]) -> None:
        """Make all entries durable or none; may block.

        Raises:
            JournalUnavailable: it cannot.
            LeaseLost: another process has taken the store over.
        """
        ...

    def close(self) -> None:
        """Release the store for other processes."""
        ...


class Journal:
    """Append in memory at once, durable when `commit` returns.

    Commits are grouped: while one write runs in its thread, later appends gather and leave with
    the next one, so many waiters share an fsync. The first failed write ends the journal for good:
    whoever waits for durability before acting will then never act.

    Every `SEGMENT_ENTRIES` the journal marks a segment. Opening verifies the chain from the newest
    mark on; an older entry is held against its own hash when it is read, and only `toolkit journal
    verify` follows the chain through all of them. What opening has read stays in memory until
    something is written: whoever starts asks for it all again, one part after the other.
    """

    def __init__(self, backend: Backend, *, guard: Callable[[], None] | None = None) -> None:
        """Verify the chain of `backend` since its newest mark; blocks for some 5 us per entry.

        Args:
            backend: where entries rest; this journal closes it, also if it cannot be opened.
            guard: called in the writer's thread before each write; what it raises refuses it.

        Raises:
            JournalCorrupt: an entry since the mark is missing, altered or was cut off.
        """
        self._backend, self._guard = backend, guard
        try:
            start, head, read = _verified_since_mark(backend)
        except BaseException:
            backend.close()  # or nobody could ever hold it again: our caller gets no journal
            raise
        self.last_seq, self.head_hash = head.seq, head.hash
        self._first_verified = self._marked = start.seq + 1
        self._durable_seq = self.last_seq
        self._read: list[Entry] | None = read  # until something is written
        self._tail: list[Entry] = []  # everything after _durable_seq, oldest first
        self._keyed: dict[str, Entry] = {}  # the newest of each key in _tail
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._untold: deque[tuple[int, Callable[[], None]]] = deque()
        self._writing = False
        self._failure: LeaseLost | JournalUnavailable | None = None
        self._on_failure: list[Callable[[LeaseLost | JournalUnavailable], None]] = []
        self._closed = False
        self._encode = msgspec.json.Encoder(order="sorted").encode
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._mark_if_due()

    def append(
        self,
        kind: str,
        data: msgspec.Struct | Mapping[str, object],
        *,
        cause: int | None = None,
        version: int = 1,
        key: str | None = None,
    ) -> int:
        """Add an entry to the chain and return its sequence number; durable after `commit`.

        Args:
            kind: what it is; "journal." and "checkpoint." are the journal's own.
            data: encoded as JSON with sorted keys.
            cause: the earlier entry that made this one happen.
            version: of the data's shape.
            key: a name that `find` finds it by until a newer entry takes it.

        Raises:
            JournalUnavailable: an earlier write failed, or the journal is closed.
            LeaseLost: another process has taken the journal over.
            BusOverflow: too many entries wait for a commit.
            ConfigError: the cause is no earlier entry, or the kind or key is the journal's own.
        """
        if kind.startswith(_RESERVED) or (key is not None and key.startswith(_RESERVED_KEYS)):
            raise ConfigError(
                f"kind {kind!r} with key {key!r} is the journal's own; choose another name"
            )
        seq = self._append(kind, data, cause, version, key)
        if seq - self._marked >= SEGMENT_ENTRIES:
            self._mark_if_due()
        return seq

    def checkpoint(self, name: str, data: msgspec.Struct | Mapping[str, object]) -> int:
        """Add what the entries `name`.* so far amount to, and return its sequence number.

        A reader then starts from `last_checkpoint(name)`, and `compact` may drop what is older.

        Raises:
            As `append`.
        """
        if not name.isidentifier():
            raise ConfigError(f"checkpoint name {name!r} is no plain word")
        seq = self._append(f"checkpoint.{name}", data, key=f"checkpoint:{name}")
        self._mark_if_due()
        return seq

    async def commit(self, upto: int | None = None) -> None:
        """Return when every entry appended so far, or up to entry `upto`, is durable.

        Raises:
            JournalUnavailable: this or an earlier write failed; the journal stays unusable.
            LeaseLost: another process has taken the journal over; nothing was written.
        """
        wanted = self.last_seq if upto is None else upto
        while self._durable_seq < wanted:
            self._require_usable()
            if not self._writing:
                self._begin_write()
            # A future of one's own: cancelling one waiter must not cancel the write of all.
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append((wanted, waiter))
            await waiter

    def is_durable(self, seq: int) -> bool:
        """Whether entry `seq` has outlived this process."""
        return seq <= self._durable_seq

    def when_durable(self, seq: int, tell: Callable[[], None]) -> None:
        """Call `tell` in the event loop once entry `seq` is durable, in order; never if it fails.

        It begins no write of its own, and must not raise.
        """
        if self.is_durable(seq):
            tell()
        else:
            self._untold.append((seq, tell))

    def when_failed(self, tell: Callable[[LeaseLost | JournalUnavailable], None]) -> None:
        """Call `tell` once, in the event loop, when a write has failed; at once if one has."""
        if self._failure is None:
            self._on_failure.append(tell)
        else:
            tell(self._failure)

    def entries(self, *kinds: str, after: int = 0) -> Iterator[Entry]:
        """Yield every entry so far behind number `after`, or those of the given kinds, in order.

        What `compact` dropped is gone from here.

        Raises:
            JournalCorrupt: names the first entry that cannot be read or was altered.
        """
        tail = tuple(self._tail)
        for entry in self._durably(kinds, after):
            yield readable(entry if entry.seq >= self._first_verified else sound(entry))
        for entry in tail:
            if entry.seq > after and (not kinds or entry.kind in kinds):
                yield entry

    def _durably(self, kinds: Sequence[str], after: int) -> Iterator[Entry]:
        """Yield the durable entries as of now."""
        durable, read = self._durable_seq, self._read
        skipped = after - self._first_verified + 1
        if read is not None and skipped >= 0:
            yield from (one for one in read[skipped:] if not kinds or one.kind in kinds)
        elif after < durable:
            for entry in self._backend.load(*kinds, after=after):
                if entry.seq > durable:
                    break  # written since we began
                yield entry

    def find(self, key: str) -> Entry | None:
        """Return the newest entry with this key, durable or not, also of what was compacted.

        Raises:
            JournalCorrupt: the entry cannot be read or was altered.
        """
        waiting = self._keyed.get(key)
        if waiting is not None:
            return waiting
        entry = self._backend.find(key)
        return None if entry is None else readable(sound(entry))

    def last_checkpoint(self, name: str) -> Entry | None:
        """Return the newest checkpoint of this name.

        Raises:
            JournalCorrupt: the entry cannot be read or was altered.
        """
        return self.find(f"checkpoint:{name}")

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
            self._failure = self._failure or JournalUnavailable("the journal is closed")
            if not self._closed:
                self._closed = True
                self._thread.shutdown()
                self._backend.close()

    def _append(
        self,
        kind: str,
        data: msgspec.Struct | Mapping[str, object],
        cause: int | None = None,
        version: int = 1,
        key: str | None = None,
    ) -> int:
        if self._failure is not None:
            self._require_usable()
        if len(self._tail) >= MAX_PENDING:
            raise BusOverflow(f"{MAX_PENDING} journal entries wait to be written; await commit()")
        if cause is not None and not 0 < cause <= self.last_seq:
            raise ConfigError(f"cause {cause} of a {kind} entry is not an earlier journal entry")
        seq = self.last_seq + 1
        entry = chained(seq, kind, version, cause, self._encode(data), self.head_hash, key)
        self._tail.append(entry)
        if key is not None:
            self._keyed[key] = entry
        self.last_seq, self.head_hash = seq, entry.hash
        return seq

    def _mark_if_due(self) -> None:
        # Behind the entry that made it due, so that nobody's `last_seq + 1` is taken by a mark.
        due = self.last_seq - self._marked >= SEGMENT_ENTRIES
        if due and len(self._tail) < MAX_PENDING:
            self._marked = self._append(SEGMENT, {"since": self._marked}, key=SEGMENT_KEY)

    def _begin_write(self) -> None:
        self._writing = True
        batch = tuple(self._tail)
        write = asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)
        write.add_done_callback(partial(self._written, batch))

    def _write(self, batch: Sequence[Entry]) -> None:
        if self._guard is not None:
            self._guard()
        self._backend.write(batch)

    def _written(self, batch: Sequence[Entry], write: asyncio.Future[None]) -> None:
        self._writing = False
        error = asyncio.CancelledError() if write.cancelled() else write.exception()
        if error is None:
            self._durable(batch)
        elif isinstance(error, LeaseLost | JournalUnavailable):
            self._failure = error
        else:
            self._failure = JournalUnavailable(f"{type(error).__name__}: {error}")
        waiting, self._waiting = self._waiting, []
        for wanted, waiter in waiting:
            if waiter.done():
                continue
            if wanted <= self._durable_seq or self._failure is not None:
                waiter.set_result(None)
            else:
                self._waiting.append((wanted, waiter))
        if self._waiting:  # at once: they have waited for a whole write already
            self._begin_write()
        if self._failure is not None:
            told, self._on_failure = self._on_failure, []
            for tell in told:
                tell(self._failure)

    def _durable(self, batch: Sequence[Entry]) -> None:
        self._durable_seq, self._read = batch[-1].seq, None
        del self._tail[: len(batch)]
        for entry in batch:
            if entry.key is not None and self._keyed.get(entry.key) is entry:
                del self._keyed[entry.key]
        while self._untold and self._untold[0][0] <= self._durable_seq:
            self._untold.popleft()[1]()

    def _require_usable(self) -> None:
        if self._failure is not None:
            # Its own error for everyone: one object would gather the tracebacks of all.
            raise type(self._failure)(str(self._failure))


def _verified_since_mark(backend: Backend) -> tuple[Point, Point, list[Entry]]:
    """Where verification began, where the chain ends, and the entries in between.

    Whoever starts reads these again at once, one after the other.
    """
    bounds, mark = backend.bounds(), backend.find(SEGMENT_KEY)
    start = bounds.base if mark is None else Point(seq=mark.seq - 1, hash=mark.previous)
    entries = list(verified(backend.load(after=start.seq), after=start))
    head = Point(seq=entries[-1].seq, hash=entries[-1].hash) if entries else start
    require_head(head, bounds.head)
    return start, head, entries
