"""One bundle as a journal tells it: every block it was tried in, who took it, and how it ended."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from toolkit.bundles.entries import (
    CANCELLED,
    RESULT,
    SUBMITTED,
    BundleCancelled,
    BundleEnded,
    BundleSubmitted,
)
from toolkit.bundles.evidence import RelayAnswer
from toolkit.journal.log import Entry
from toolkit.model.bundle import BundleResult
from toolkit.model.chain import Hash
from toolkit.model.errors import JournalCorrupt

T = TypeVar("T")

READ = (SUBMITTED, CANCELLED, RESULT)
"""The kinds of entries that are about bundles."""


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle in one block; `ends` in the order in which they were told, the last one holds."""

    submitted: BundleSubmitted
    ends: tuple[BundleResult, ...] = ()
    answers: tuple[RelayAnswer, ...] = ()
    cancelled: bool = False

    @property
    def end(self) -> BundleResult | None:
        """What holds; None while it is under way, or where its process ended first."""
        return self.ends[-1] if self.ends else None


def history(entries: Iterable[Entry], name: str) -> tuple[Try, ...]:
    """Read all tries of a bundle, oldest first; none where the entries do not have it.

    Args:
        entries: of the kinds `READ`, in order.
        name: its hash, its replacement uuid, or the hash of one of its transactions.

    Raises:
        JournalCorrupt: an entry's data is not what its kind says.
    """
    found: dict[int, Try] = {}
    wanted: set[Hash] = set()
    for entry in entries:
        if entry.kind == SUBMITTED:
            one = _decoded(entry, BundleSubmitted)
            if name in {one.bundle_hash, one.replacement_uuid, *one.hashes}:
                wanted.add(one.bundle_hash)
            found[entry.seq] = Try(submitted=one)
        elif entry.cause in found:
            found[entry.cause] = _read(found[entry.cause], entry)
    return tuple(one for one in found.values() if one.submitted.bundle_hash in wanted)


def _read(one: Try, entry: Entry) -> Try:
    if entry.kind == CANCELLED:
        _decoded(entry, BundleCancelled)
        return msgspec.structs.replace(one, cancelled=True)
    ended = _decoded(entry, BundleEnded)
    return msgspec.structs.replace(
        one, ends=(*one.ends, ended.result), answers=ended.answers or one.answers
    )


def _decoded(entry: Entry, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(entry.data, type=kind)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(
            f"journal entry {entry.seq} ({entry.kind}) cannot be read: {error}; restore the file"
            f" from a copy"
        ) from None
