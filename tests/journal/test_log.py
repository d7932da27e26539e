import asyncio
import random
import secrets
import threading
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from toolkit.journal import log
from toolkit.journal.chain import Bounds, chained
from toolkit.journal.log import GENESIS, Entry, Journal, verify
from toolkit.journal.memory import MemoryBackend
from toolkit.model.errors import (
    BusOverflow,
    ConfigError,
    JournalCorrupt,
    JournalUnavailable,
)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    wei: int
    name: str = ""


class SlowBackend(MemoryBackend):
    """A memory backend whose writes wait for `gate` and may fail from a given write on."""

    def __init__(self, *, fails_from: int | None = None) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.batches: list[int] = []
        self._fails_from = fails_from

    def write(self, entries: Sequence[Entry]) -> None:
        self.gate.wait()
        self.batches.append(len(entries))
        if self._fails_from is not None and len(self.batches) >= self._fails_from:
            raise JournalUnavailable("disk full; free space")
        super().write(entries)


async def _filled(count: int) -> list[Entry]:
    backend = MemoryBackend()
    journal = Journal(backend)
    for index in range(count):
        journal.append("note", Note(wei=10**30 + index), cause=index or None)
    await journal.close()
    return backend.rows


async def test_who_waits_for_an_entry_is_told_when_it_is_durable() -> None:
    """In order, each once, at once where it is durable already, and never after a failure."""
    backend, told = SlowBackend(fails_from=2), list[str]()
    journal = Journal(backend)
    first, second = (journal.append("note", Note(wei=wei)) for wei in (1, 2))
    journal.when_durable(first, lambda: told.append("first"))
    journal.when_durable(second, lambda: told.append("second"))
    early = list(told)
    backend.gate.set()
    await journal.commit()
    after = list(told)
    journal.when_durable(first, lambda: told.append("again"))
    journal.when_durable(journal.append("note", Note(wei=3)), lambda: told.append("lost"))
    with pytest.raises(JournalUnavailable):
        await journal.commit()
    await journal.close()

    assert ([], ["first", "second"]) == (early, after)
    assert ["first", "second", "again"] == told


async def test_entries_are_chained_from_genesis_and_survive_a_restart() -> None:
    """Entries count from 1, name their predecessor, and a new journal goes on where one ended."""
    backend = MemoryBackend()
    first = Journal(backend)
    first.append("note", Note(wei=2**200, name="a"))
    await first.close()

    second = Journal(backend)
    second.append("other", {"b": 1, "a": 2}, cause=1)
    await second.commit()

    one, two = backend.rows
    assert (1, GENESIS, 2, one.hash) == (one.seq, one.previous, two.seq, two.previous)
    assert (2, two.hash) == (second.last_seq, second.head_hash)
    assert b'{"a":2,"b":1}' == two.data
    assert Note(wei=2**200, name="a") == second.decode(one, Note)
    await second.close()


async def test_commit_groups_waiters_behind_one_write() -> None:
    """What is appended while a write runs leaves in one further write, however many wait."""
    backend = SlowBackend()
    journal = Journal(backend)

    async def note() -> None:
        journal.append("note", Note(wei=1))
        await journal.commit()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(note())
        await asyncio.sleep(0)
        for _ in range(99):
            tasks.create_task(note())
        await asyncio.sleep(0)
        backend.gate.set()

    assert [1, 99] == backend.batches
    await journal.close()


async def test_cancelled_waiter_leaves_the_write_of_the_others_alone() -> None:
    """Cancelling the task that started a write loses nobody's entry."""
    backend = SlowBackend()
    journal = Journal(backend)
    journal.append("note", Note(wei=1))
    starter = asyncio.create_task(journal.commit())
    await asyncio.sleep(0)
    other = asyncio.create_task(journal.commit())
    await asyncio.sleep(0)

    starter.cancel()
    backend.gate.set()
    await other

    assert 1 == len(backend.rows)
    with pytest.raises(asyncio.CancelledError):
        await starter
    await journal.close()


async def test_one_failed_write_ends_the_journal() -> None:
    """After a failed write every waiter hears of it, and appending or committing is refused."""
    backend = SlowBackend(fails_from=2)
    backend.gate.set()
    journal = Journal(backend)
    journal.append("note", Note(wei=1))
    await journal.commit()
    journal.append("note", Note(wei=2))

    results = await asyncio.gather(journal.commit(), journal.commit(), return_exceptions=True)

    assert [JournalUnavailable] * 2 == [type(result) for result in results]
    with pytest.raises(JournalUnavailable, match="disk full; free space"):
        journal.append("note", Note(wei=3))
    await journal.close()
    assert 1 == len(backend.rows)


async def test_entries_lists_what_is_not_yet_durable_too() -> None:
    """Reading needs no commit, gives every entry once, and filters by kind."""
    backend = MemoryBackend()
    journal = Journal(backend)
    journal.append("a", {})
    await journal.commit()
    journal.append("b", {})
    journal.append("a", {})

    assert [1, 2, 3] == [entry.seq for entry in journal.entries()]
    assert [1, 3] == [entry.seq for entry in journal.entries("a")]
    await journal.close()


async def test_entries_written_during_a_reading_appear_once() -> None:
    """A commit in the middle of an iteration neither doubles nor drops an entry."""
    journal = Journal(MemoryBackend())
    journal.append("a", {})
    await journal.commit()
    journal.append("a", {})
    reading = journal.entries()
    first = next(reading)
    await journal.commit()

    assert [1, 2] == [first.seq, *(entry.seq for entry in reading)]
    await journal.close()


async def test_entries_just_written_appear_once() -> None:
    """What the writer's thread has finished but nobody was told of yet is not listed twice."""
    journal = Journal(MemoryBackend())
    journal.append("a", {})
    await journal.commit()
    journal.append("a", {})
    commit = asyncio.create_task(journal.commit())
    await asyncio.sleep(0)
    journal._thread.submit(lambda: None).result()  # behind the write, in the one thread

    assert [1, 2] == [entry.seq for entry in journal.entries()]
    await commit
    await journal.close()


async def test_a_key_leads_to_its_newest_entry_while_an_older_one_is_written() -> None:
    """The end of a write forgets its own entries' keys and not those that took them since."""
    backend = SlowBackend()
    journal = Journal(backend)
    journal.append("a", {}, key="k")
    commit = asyncio.create_task(journal.commit())
    await asyncio.sleep(0)
    journal.append("a", {}, key="k")
    backend.gate.set()
    await commit

    found = journal.find("k")

    assert found is not None
    assert 2 == found.seq
    await journal.close()


def _tampered(entries: list[Entry], rng: random.Random) -> tuple[list[Entry], int]:
    """Change one thing in the chain; the number is the first entry that must be named."""
    index = rng.randrange(len(entries))
    entry = entries[index]
    changed = [
        msgspec.structs.replace(entry, data=entry.data + b" "),
        msgspec.structs.replace(entry, kind="forged"),
        msgspec.structs.replace(entry, version=entry.version + 1),
        msgspec.structs.replace(entry, cause=None if entry.cause else 1),
        msgspec.structs.replace(entry, hash=GENESIS),
        msgspec.structs.replace(entry, previous="0x" + "11" * 32),
        msgspec.structs.replace(entry, seq=entry.seq + 1),
    ]
    if index < len(entries) - 1 and rng.random() < 0.2:
        return entries[:index] + entries[index + 1 :], index + 1
    return [*entries[:index], rng.choice(changed), *entries[index + 1 :]], index + 1


async def test_any_change_of_the_chain_names_the_first_bad_entry() -> None:
    """Whatever is altered or removed before the end, verify names the first entry affected."""
    entries = await _filled(12)
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    for _ in range(300):
        tampered, first_bad = _tampered(entries, rng)
        with pytest.raises(JournalCorrupt, match=rf"entry {first_bad} "):
            verify(tampered)
    assert 12 == verify(entries)


async def test_opening_a_corrupt_journal_is_refused() -> None:
    """A journal does not open over a broken chain."""
    entries = await _filled(3)
    entries[1] = msgspec.structs.replace(entries[1], data=b"{}")

    with pytest.raises(JournalCorrupt, match=r"entry 2 \(note\) does not match its hash"):
        Journal(MemoryBackend(entries))


class Shortened(MemoryBackend):
    """A store that has lost its last entry and remembers that it was written."""

    def bounds(self) -> Bounds:
        found = super().bounds()
        self.rows.pop()
        return found


async def test_a_store_that_lost_its_end_is_refused() -> None:
    """Where a store knows how far it was written, the journal asks for all of it."""
    with pytest.raises(JournalCorrupt, match="entry 3 is missing: 3 were written"):
        Journal(Shortened(await _filled(3)))


async def test_a_cause_must_be_an_earlier_entry() -> None:
    """The cause of an entry exists before it."""
    journal = Journal(MemoryBackend())

    with pytest.raises(ConfigError, match="cause 1 of a note entry"):
        journal.append("note", Note(wei=1), cause=1)
    await journal.close()


async def test_decode_of_another_shape_names_the_entry() -> None:
    """An entry that is not what it claims to be is corruption, with its number."""
    journal = Journal(MemoryBackend())
    journal.append("note", {"wei": "many"})

    with pytest.raises(JournalCorrupt, match=r"entry 1 \(note\) is no Note"):
        journal.decode(next(iter(journal.entries())), Note)
    await journal.close()


async def test_waiting_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who never commits is stopped with a clear error, not by memory."""
    monkeypatch.setattr(log, "MAX_PENDING", 3)
    journal = Journal(MemoryBackend())
    for _ in range(3):
        journal.append("note", Note(wei=1))

    with pytest.raises(BusOverflow, match="3 journal entries wait"):
        journal.append("note", Note(wei=1))
    await journal.close()


async def test_close_writes_what_is_left_and_ends_the_journal() -> None:
    """Closing commits; afterwards nothing can be appended, and closing again does nothing."""
    backend = MemoryBackend()
    journal = Journal(backend)
    journal.append("note", Note(wei=1))

    await journal.close()
    await journal.close()

    assert 1 == len(backend.rows)
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.append("note", Note(wei=2))


def test_a_backend_is_read_lazily() -> None:
    """Verification holds one entry at a time, so length costs time and not memory."""
    read: list[int] = []

    def rows() -> Iterator[Entry]:
        previous = GENESIS
        for seq in range(1, 4):
            entry = log.chained(
                seq=seq, kind="a", version=1, cause=None, data=b"{}", previous=previous
            )
            previous = entry.hash
            read.append(seq)
            yield entry

    passing = log.verified(rows())
    next(passing)

    assert [1] == read


async def test_data_too_deep_to_decode_is_refused_where_it_is_read() -> None:
    """A stranger's journal opens by its hashes; what would exhaust the stack is not handed on."""
    deep = b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"
    entry = chained(1, "note", 1, None, deep, GENESIS, "name")
    journal = Journal(MemoryBackend([entry]))

    with pytest.raises(JournalCorrupt, match=r"entry 1 .* more than 500 lists within each other"):
        next(journal.entries())
    with pytest.raises(JournalCorrupt, match=r"entry 1 .* more than 500 lists within each other"):
        journal.find("name")

    await journal.close()


class Asked(MemoryBackend):
    """Counts how often it is read."""

    loads = 0

    def load(self, *kinds: str, after: int = 0) -> Iterator[Entry]:
        """Count, then read."""
        self.loads += 1
        return super().load(*kinds, after=after)


async def test_what_opening_has_read_is_not_read_again_until_something_is_written() -> None:
    """Whoever starts asks for it all again: that is in memory just then, and not for long."""
    first = Journal(MemoryBackend())
    for wei in range(5):
        first.append("odd" if wei % 2 else "even", Note(wei=wei))
    await first.commit()
    backend = Asked(list(first.entries()))
    journal = Journal(backend)

    at_once = [[one.seq for one in journal.entries("odd")], [*journal.entries(after=3)]]
    asked = backend.loads
    journal.append("odd", Note(wei=5))
    waiting = [one.seq for one in journal.entries("odd", after=2)]
    await journal.commit()
    later = [one.seq for one in journal.entries("odd", after=2)]

    assert [[2, 4], backend.rows[3:5]] == at_once
    assert 1 == asked
    assert [4, 6] == waiting == later
    assert 2 == backend.loads
    await first.close()
    await journal.close()
