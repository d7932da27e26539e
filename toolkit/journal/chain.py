"""Entries and the hash chain that binds them: pure functions over values."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from toolkit.model.chain import ZERO_HASH
from toolkit.model.checks import DEEPEST, is_deep
from toolkit.model.errors import JournalCorrupt

GENESIS = str(ZERO_HASH)
"""What the first entry names as its predecessor."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """One line of the log. `seq` counts from 1; `data` is canonical JSON.

    `hash` is blake2b-256 over the JSON list [previous, seq, kind, version, cause] followed by
    `data`, where the list ends with `key` if there is one: so a key cannot be changed, added or
    taken away unseen, and entries without one hash as they did in format 1. `cause` is the earlier
    entry that made this one happen; `key` is a name it is found by.
    """

    seq: int
    kind: str
    version: int
    cause: int | None
    data: bytes
    hash: str
    previous: str
    key: str | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a chain: right behind the entry with this number and hash."""

    seq: int = 0
    hash: str = GENESIS


START = Point()

TOO_DEEP = f"more than {DEEPEST} lists within each other"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of its chain: where it begins and where its last write ended."""

    base: Point = START
    head: Point = START


_encode_head = msgspec.json.Encoder().encode
_BLANK = blake2b(digest_size=32)


def chained(
    seq: int,
    kind: str,
    version: int,
    cause: int | None,
    data: bytes,
    previous: str,
    key: str | None = None,
) -> Entry:
    """Build the entry that follows the one whose hash is `previous`."""
    return Entry(
        seq=seq,
        kind=kind,
        version=version,
        cause=cause,
        data=data,
        hash=_hashed((previous, seq, kind, version, cause), key, data),
        previous=previous,
        key=key,
    )


def _hashed(bound: tuple[object, ...], key: str | None, data: bytes) -> str:
    # The JSON list ends itself, so no two different entries hash the same bytes.
    digest = _BLANK.copy()  # cheaper than to be told the size again, and nothing is joined
    digest.update(_encode_head(bound if key is None else (*bound, key)))
    digest.update(data)
    return "0x" + digest.hexdigest()


def sound(entry: Entry) -> Entry:
    """Return an entry whose hash fits its content; whether the chain leads to it is not asked.

    Raises:
        JournalCorrupt: names the entry.
    """
    bound = (entry.previous, entry.seq, entry.kind, entry.version, entry.cause)
    if entry.hash != _hashed(bound, entry.key, entry.data):
        raise JournalCorrupt(
            f"journal entry {entry.seq} ({entry.kind}) does not match its hash; "
            "restore the file from a copy"
        )
    return entry


def readable(entry: Entry) -> Entry:
    """Return an entry whose data can be decoded without exhausting the stack.

    Raises:
        JournalCorrupt: names the entry.
    """
    if is_deep(entry.data):
        raise JournalCorrupt(
            f"journal entry {entry.seq} ({entry.kind}) cannot be read (it has {TOO_DEEP}); "
            "restore the file from a copy"
        )
    return entry


def verified(entries: Iterable[Entry], *, after: Point = START) -> Iterator[Entry]:
    """Pass entries through while the chain that goes on behind `after` holds.

    Raises:
        JournalCorrupt: names the first entry that is missing, misplaced or altered.
    """
    previous, seq, blank, encode = after.hash, after.seq, _BLANK, _encode_head
    for entry in entries:
        seq += 1
        if entry.seq != seq:
            raise JournalCorrupt(
                f"journal entry {seq} is missing (found {entry.seq}); restore the file from a copy"
            )
        if entry.previous != previous:
            raise JournalCorrupt(
                f"journal entry {seq} ({entry.kind}) does not match its hash: it does not follow "
                "from the entry before it; restore the file from a copy"
            )
        # As `sound`, which is asked what is wrong: there are thousands before anything can begin.
        bound, key = (previous, seq, entry.kind, entry.version, entry.cause), entry.key
        digest = blank.copy()
        digest.update(encode(bound if key is None else (*bound, key)))
        digest.update(entry.data)
        previous = "0x" + digest.hexdigest()
        if entry.hash != previous:
            sound(entry)
        yield entry


def verify(entries: Iterable[Entry], *, after: Point = START) -> int:
    """Check the whole chain and return how many entries it has.

    Raises:
        JournalCorrupt: names the first bad entry.
    """
    return sum(1 for _ in verified(entries, after=after))


def require_head(reached: Point, head: Point) -> None:
    """Refuse a chain that does not end where its last write did.

    Raises:
        JournalCorrupt: names the first entry that is missing, or was never written by a journal.
    """
    if reached.seq < head.seq:
        raise JournalCorrupt(
            f"journal entry {reached.seq + 1} is missing: {head.seq} were written and the rest was "
            "cut off; restore the file from a copy"
        )
    if reached != head:
        raise JournalCorrupt(
            f"journal entry {min(reached.seq, head.seq + 1)} is none that was written here (the "
            f"last write ended at {head.seq}); restore the file from a copy"
        )
