"""Start-up is recovery: every lane is folded out of the journal before it does anything."""

from collections.abc import Iterator

import msgspec

from toolkit.journal.log import Journal
from toolkit.model.chain import Address
from toolkit.model.errors import JournalCorrupt
from toolkit.tx.events import (
    FAILED,
    KINDS,
    OUTCOME,
    Accepted,
    Ended,
    Event,
    Fail,
    Failed,
    Finish,
    LaneOpened,
    Reopen,
)
from toolkit.tx.lane import LaneState, open_lane, step


class Recovered(msgspec.Struct, kw_only=True):
    """What a journal says about every lane in it.

    `unreported` are ends that a dying process had decided but not written down.
    """

    openings: list[LaneOpened] = []
    lanes: dict[Address, LaneState] = {}
    requests: dict[str, Accepted] = {}
    seqs: dict[str, int] = {}
    ends: dict[str, Finish | Fail] = {}
    unreported: list[tuple[Address, Finish | Fail]] = []


def recover(journal: Journal) -> Recovered:
    """Fold the journal's `tx.*` entries.

    Raises:
        JournalCorrupt: an entry does not fit what came before it.
    """
    found = Recovered()
    open_ends: dict[str, tuple[Address, Finish | Fail]] = {}
    for seq, event in _events(journal):
        if isinstance(event, Ended | Failed):
            open_ends.pop(event.request_id, None)
            continue
        for name, effect in _fold(found, seq, event):
            found.ends[name] = effect
            open_ends[name] = (event.lane, effect)
    found.unreported = list(open_ends.values())
    return found


def _events(journal: Journal) -> Iterator[tuple[int, Event | Ended | Failed]]:
    types: dict[str, type[Event | Ended | Failed]] = {**KINDS, OUTCOME: Ended, FAILED: Failed}
    for entry in journal.entries(*types):
        yield entry.seq, journal.decode(entry, types[entry.kind])


def _fold(found: Recovered, seq: int, event: Event) -> Iterator[tuple[str, Finish | Fail]]:
    if isinstance(event, LaneOpened):
        found.openings.append(event)
        found.lanes.setdefault(event.lane, open_lane(event))
    if isinstance(event, Accepted):
        found.requests[event.request_id] = event
        found.seqs[event.request_id] = seq
    try:
        found.lanes[event.lane], effects = step(found.lanes[event.lane], event)
    except KeyError as missing:
        raise JournalCorrupt(
            f"journal entry {seq} speaks of {missing}, which no earlier entry introduced"
        ) from None
    for effect in effects:
        if isinstance(effect, Finish | Fail):
            yield effect.request_id, effect
        elif isinstance(effect, Reopen):
            found.ends.pop(effect.request_id, None)
