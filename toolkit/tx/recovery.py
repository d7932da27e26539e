"""Start-up is recovery: every lane is folded out of the journal before it does anything."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from toolkit.journal.log import Journal
from toolkit.model.chain import Address
from toolkit.model.errors import JournalCorrupt, RejectedByNode, ToolkitError
from toolkit.model.tx import Outcome
from toolkit.tx.events import (
    FAILED,
    KINDS,
    OUTCOME,
    REOPENED,
    Ended,
    Event,
    Fail,
    Failed,
    Finish,
    LaneOpened,
)
from toolkit.tx.lane import open_lane, step
from toolkit.tx.lane_state import LaneState

CHECKPOINT = "tx"
"""The name under which the fold of all `tx.*` entries so far is journalled."""


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """All that the `tx.*` entries up to some point amount to.

    `seqs` has the entry of each request that a lane still knows, as the cause of what follows.
    """

    opening: LaneOpened | None
    lanes: dict[Address, LaneState]
    seqs: dict[str, int]


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """A fold as it goes into the journal, whose encoder cannot sort keys that are numbers."""

    opening: LaneOpened | None
    lanes: dict[Address, msgspec.Raw]
    seqs: dict[str, int]


class Recovered(msgspec.Struct, kw_only=True):
    """What a journal says about every lane in it.

    `unreported` are ends that a dying process had decided but not written down.
    """

    opening: LaneOpened | None = None
    lanes: dict[Address, LaneState] = {}
    seqs: dict[str, int] = {}
    unreported: list[tuple[Address, Finish | Fail]] = []


class LastWord(NamedTuple):
    """How a request of `lane` ended, says entry `seq`."""

    seq: int
    lane: Address
    end: Outcome | ToolkitError


def checkpoint(journal: Journal, fold: Fold) -> int:
    """Journal a fold of everything so far, and return its entry.

    Raises:
        JournalUnavailable, LeaseLost: the journal takes nothing more.
    """
    lanes = {lane: msgspec.Raw(msgspec.json.encode(state)) for lane, state in fold.lanes.items()}
    written = _Written(opening=fold.opening, lanes=lanes, seqs=fold.seqs)
    return journal.checkpoint(CHECKPOINT, written)


def recover(journal: Journal, *, from_start: bool = False) -> Recovered:
    """Fold the journal's `tx.*` entries since its last checkpoint, or all of them.

    Raises:
        JournalCorrupt: an entry does not fit what came before it.
    """
    found, after = Recovered(), 0
    last = None if from_start else journal.last_checkpoint(CHECKPOINT)
    if last is not None:
        fold = journal.decode(last, Fold)
        found = Recovered(opening=fold.opening, lanes=fold.lanes, seqs=fold.seqs)
        after = last.seq
    open_ends: dict[str, tuple[Address, Finish | Fail]] = {}
    for seq, event in _events(journal, after):
        if isinstance(event, Ended | Failed):
            open_ends.pop(event.request_id, None)
            continue
        for effect in _apply(found, seq, event):
            open_ends[effect.request_id] = (event.lane, effect)
    found.seqs = still_known(found.seqs, found.lanes)
    found.unreported = list(open_ends.values())
    return found


def still_known(seqs: Mapping[str, int], lanes: Mapping[Address, LaneState]) -> dict[str, int]:
    """The entries of the requests that some lane has not let go of."""
    return {name: seqs[name] for state in lanes.values() for name in state.jobs if name in seqs}


def key_of(idempotency_key: str) -> str:
    """What the journal finds the request of an author's key by."""
    return f"idempotency:{idempotency_key}"


def end_key(request_id: str) -> str:
    """What the journal finds the last word on a request's end by."""
    return f"end:{request_id}"


def end_of(journal: Journal, request_id: str) -> Outcome | ToolkitError | None:
    """How a request ended, or why it never could be sent; None as long as it is open.

    Raises:
        JournalCorrupt: the entry cannot be read.
    """
    last = last_word(journal, request_id)
    return None if last is None else last.end


def last_word(journal: Journal, request_id: str) -> LastWord | None:
    """What the journal says of a request's end, and where; None as long as it is open.

    Raises:
        JournalCorrupt: the entry cannot be read.
    """
    entry = journal.find(end_key(request_id))
    if entry is None or entry.kind == REOPENED:
        return None
    if entry.kind == FAILED:
        failed = journal.decode(entry, Failed)
        return LastWord(entry.seq, failed.lane, RejectedByNode(failed.message))
    ended = journal.decode(entry, Ended)
    return LastWord(entry.seq, ended.lane, ended.outcome)


def _events(journal: Journal, after: int) -> Iterator[tuple[int, Event | Ended | Failed]]:
    types: dict[str, type[Event | Ended | Failed]] = {**KINDS, OUTCOME: Ended, FAILED: Failed}
    decoders = {kind: msgspec.json.Decoder(event) for kind, event in types.items()}
    for entry in journal.entries(*types, after=after):
        try:
            yield entry.seq, decoders[entry.kind].decode(entry.data)
        except msgspec.MsgspecError as error:
            raise JournalCorrupt(
                f"journal entry {entry.seq} ({entry.kind}) cannot be read: {error}"
            ) from None


def _apply(found: Recovered, seq: int, event: Event) -> Iterator[Finish | Fail]:
    if isinstance(event, LaneOpened):
        found.opening = event
        found.lanes.setdefault(event.lane, open_lane(event))
    name: str = getattr(event, "request_id", "")
    if name:
        found.seqs.setdefault(name, seq)
    try:
        found.lanes[event.lane], effects = step(found.lanes[event.lane], event)
    except KeyError as missing:
        raise JournalCorrupt(
            f"journal entry {seq} speaks of {missing}, which no earlier entry introduced"
        ) from None
    for effect in effects:
        if isinstance(effect, Finish | Fail):
            yield effect
