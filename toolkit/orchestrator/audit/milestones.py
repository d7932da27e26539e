"""What a memory is by how it differs from the one before, so that one can be journalled often.

Most of a memory are windows: readings, plans that ended, fills that a reorg may take back, blocks,
samples. From one milestone to the next each loses some items at its front, and gets some at its
end; all else is small and said anew. A checkpoint says everything, and milestones go on from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import eq
from typing import TypeVar

import msgspec

from toolkit.journal.log import Journal
from toolkit.model.chain import Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import JournalCorrupt
from toolkit.orchestrator import records
from toolkit.orchestrator.audit import memory as memories
from toolkit.orchestrator.audit.market_moves import MarketMoved, Written, market_moved
from toolkit.orchestrator.audit.memory import CHECKPOINT, Memory, Parts, Underway
from toolkit.orchestrator.audit.splices import Splice, alike_json, spliced
from toolkit.orchestrator.capital.ledger import Posted
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.pausing.signals import Sample
from toolkit.orchestrator.records import Command, Setup

T = TypeVar("T")

Stamp = tuple[int, Hash, int]
"""Block, its hash and time: many readings have the same."""

Origin = tuple[str, int, float]
"""Source, age up to which it counts, quality: nearly all readings of a key have the same."""

Told = tuple[tuple[float | str, ...], tuple[int, ...], tuple[int, ...]]
"""Readings: their values, and the places of their stamps and origins in a milestone's lists."""

Signal = tuple[float, float]
"""A signal as the agent has it, and what own trades added to it."""

_replace = msgspec.structs.replace


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the windows since entry `since`; those that are as they were are left out.

    `series` are the blackboard's by key, each as a splice, None for one that is gone; `samples`
    and `signals` are dependents' by name. `market` is None where none is known.
    """

    since: int  # the checkpoint or milestone before; 0 if there is none
    setup: Setup | None = None  # where it is another
    stamps: tuple[Stamp, ...] = ()
    origins: tuple[Origin, ...] = ()
    series: dict[str, tuple[int, int, Told] | None] = {}
    samples: dict[str, Splice[Sample]] = {}
    signals: dict[str, Splice[Signal]] = {}
    posted: Splice[Posted] | None = None
    ended: Splice[tuple[str, Underway]] | None = None
    canonical: Splice[tuple[int, Hash]] | None = None
    decided: Splice[tuple[int, int]] | None = None
    market: MarketMoved | None = None


class Milestone(Moved, frozen=True, kw_only=True):
    """Journal entry: a memory; `rest` is what is left of it without its windows."""

    rest: Parts


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What everything up to a checkpoint or milestone, entry `seq`, adds up to."""

    seq: int
    memory: Memory


class Milestones:
    """Journals a run's checkpoints and, between them, milestones."""

    def __init__(
        self, journal: Journal, newest: Standing | None = None, *, passed: int = 0
    ) -> None:
        """Go on in a journal.

        Args:
            journal: where they are written.
            newest: what stands there already.
            passed: blocks since that one.
        """
        self._journal = journal
        self._newest = newest
        self._passed = passed
        self._blocks = 0  # of this run

    def decided(self, core: Core) -> None:
        """Count a block that is in the journal, and journal a checkpoint if one is due.

        That is durable with its block: what it covers may be dropped from there on.

        Raises:
            JournalUnavailable, LeaseLost: the journal takes nothing more.
        """
        self._blocks += 1
        self._passed += 1
        if self._blocks % memories.CHECKPOINT_BLOCKS == 0:
            memory = core.memory()
            self._goes_on_from(self._journal.checkpoint(CHECKPOINT, memory), memory)

    def sent(self, core: Core, waiting: tuple[Command, ...]) -> None:
        """Journal a milestone if one is due, once nothing waits for the block any more.

        Args:
            core: as it is between two blocks.
            waiting: commands that are in the journal, and that no block was decided with.

        Raises:
            JournalUnavailable, LeaseLost: the journal takes nothing more.
        """
        if self._passed >= memories.MILESTONE_BLOCKS:
            memory = _replace(core.memory(), ordered=waiting)
            said = milestone(memory, self._newest)
            self._goes_on_from(self._journal.append(records.MILESTONE, said), memory)

    def _goes_on_from(self, seq: int, memory: Memory) -> None:
        self._newest, self._passed = Standing(seq=seq, memory=memory), 0


def milestone(memory: Memory, before: Standing | None) -> Milestone:
    """Say how a memory differs from the one that stands in the journal."""
    old = _Windows(None if before is None else before.memory)
    new, told = _Windows(memory), _Telling()
    series = _series_moved(old.series, new.series, told)
    return Milestone(
        since=0 if before is None else before.seq,
        setup=None if old.setup is not None and alike_json(old.setup, new.setup) else memory.setup,
        stamps=tuple(told.stamps),
        origins=tuple(told.origins),
        series=series,
        samples=_each_spliced(old.samples, new.samples),
        signals=_each_spliced(old.signals, new.signals),
        posted=spliced(old.posted, new.posted),
        ended=spliced(old.ended, new.ended),
        canonical=spliced(old.canonical, new.canonical, same=eq),
        decided=spliced(old.decided, new.decided, same=eq),
        market=market_moved(None if before is None else before.memory.market, memory.market),
        rest=_rest(memory),
    )


def reached(start: Standing | None, moves: Iterable[tuple[int, Moved]]) -> Standing | None:
    """Return where milestones lead to from a checkpoint, or from the journal's beginning.

    Args:
        start: the checkpoint.
        moves: every milestone behind it, oldest first, by its entry; the last of them whole.

    Raises:
        JournalCorrupt: one of them does not go on from the one before.
    """
    windows = _Windows(None if start is None else start.memory)
    seq, last = 0 if start is None else start.seq, None
    for number, moved in moves:
        if moved.since != seq:
            raise JournalCorrupt(
                f"journal entry {number} ({records.MILESTONE}) goes on from entry {moved.since}, "
                f"but entry {seq} is the one before; restore the file from a copy"
            )
        windows.move(moved)
        seq, last = number, moved
    if last is None:
        return start
    assert isinstance(last, Milestone)
    return Standing(seq=seq, memory=windows.around(last.rest))


class _Telling:
    """Readings in few words: what many of them share is said once."""

    def __init__(self) -> None:
        self.stamps: dict[Stamp, int] = {}
        self.origins: dict[Origin, int] = {}

    def told(self, readings: Sequence[Reading]) -> Told:
        """Return what is left to say of some readings."""
        stamps, origins = self.stamps, self.origins
        return (
            tuple([one.value for one in readings]),
            tuple(
                [
                    stamps.setdefault((r.block_number, r.block_hash, r.observed_at), len(stamps))
                    for r in readings
                ]
            ),
            tuple(
                [
                    origins.setdefault((r.source, r.max_age_blocks, r.quality), len(origins))
                    for r in readings
                ]
            ),
        )


class _Windows:
    """The windows of a memory, and where milestones move them."""

    def __init__(self, memory: Memory | None) -> None:
        self.setup: Setup | None = None
        self.series: dict[str, Sequence[Reading]] = {}
        self.samples: dict[str, Sequence[Sample]] = {}
        self.signals: dict[str, Sequence[Signal]] = {}
        self.posted: Sequence[Posted] = ()
        self.ended: Sequence[tuple[str, Underway]] = ()
        self.canonical: Sequence[tuple[int, Hash]] = ()
        self.decided: Sequence[tuple[int, int]] = ()
        self.market: Written | None = None
        if memory is not None:
            self._take(memory)

    def _take(self, memory: Memory) -> None:
        self.setup = memory.setup
        self.market = None if memory.market is None else Written(memory.market)
        self.series.update(memory.board.series)
        for name, one in memory.watch.signals.items():
            self.samples[name] = one.track.samples
            self.signals[name] = tuple(zip(one.track.seen, one.track.shifts, strict=True))
        self.posted, self.ended = memory.ledger.posted, memory.ended
        self.canonical, self.decided = memory.canonical, memory.decided

    def move(self, moved: Moved) -> None:
        """Move them as a milestone says."""
        self.setup = moved.setup or self.setup
        self._read(moved)
        for name, samples in moved.samples.items():
            self.samples[name] = samples.of(self.samples.get(name, ()))
        for name, signals in moved.signals.items():
            self.signals[name] = signals.of(self.signals.get(name, ()))
        if moved.posted is not None:
            self.posted = moved.posted.of(self.posted)
        if moved.ended is not None:
            self.ended = moved.ended.of(self.ended)
        if moved.canonical is not None:
            self.canonical = moved.canonical.of(self.canonical)
        if moved.decided is not None:
            self.decided = moved.decided.of(self.decided)
        if moved.market is None:
            self.market = None
        else:
            self.market = self.market or Written()
            self.market.move(moved.market)

    def _read(self, moved: Moved) -> None:
        for key, told in moved.series.items():
            if told is None:
                self.series.pop(key, None)
                continue
            start, stop, added = told
            known = self.series.get(key, ())[start:stop]
            self.series[key] = [*known, *_readings(key, added, moved)]

    def around(self, rest: Parts) -> Memory:
        """Return the memory whose windows these are.

        Raises:
            JournalCorrupt: no milestone named a set-up.
        """
        if self.setup is None:
            raise JournalCorrupt("the journal's first milestone names no set-up")
        signals = {}
        for name, one in rest.watch.signals.items():
            pairs = self.signals.get(name, ())
            track = _replace(
                one.track,
                samples=tuple(self.samples.get(name, ())),
                seen=tuple([seen for seen, _ in pairs]),
                shifts=tuple([shift for _, shift in pairs]),
            )
            signals[name] = _replace(one, track=track)
        parts = {name: getattr(rest, name) for name in Parts.__struct_fields__}
        series = {key: tuple(one) for key, one in self.series.items()}
        parts["board"] = _replace(rest.board, series=series)
        parts["ledger"] = _replace(rest.ledger, posted=tuple(self.posted))
        parts["watch"] = _replace(rest.watch, signals=signals)
        return Memory(
            **parts,
            setup=self.setup,
            market=None if self.market is None else self.market.read(),
            ended=tuple(self.ended),
            canonical=tuple(self.canonical),
            decided=tuple(self.decided),
        )


def _rest(memory: Memory) -> Parts:
    """Return a memory without its windows."""
    signals = {
        name: _replace(one, track=_replace(one.track, samples=(), seen=(), shifts=()))
        for name, one in memory.watch.signals.items()
    }
    parts = {name: getattr(memory, name) for name in Parts.__struct_fields__}
    parts["board"] = _replace(memory.board, series={})
    parts["ledger"] = _replace(memory.ledger, posted=())
    parts["watch"] = _replace(memory.watch, signals=signals)
    return Parts(**parts)


def _readings(key: str, told: Told, moved: Moved) -> list[Reading]:
    stamps, origins = moved.stamps, moved.origins
    return [
        Reading(
            key=key,
            value=value,
            source=source,
            block_number=block_number,
            block_hash=block_hash,
            observed_at=observed_at,
            max_age_blocks=max_age_blocks,
            quality=quality,
        )
        for value, stamp, origin in zip(*told, strict=True)
        for block_number, block_hash, observed_at in (stamps[stamp],)
        for source, max_age_blocks, quality in (origins[origin],)
    ]


def _series_moved(
    old: Mapping[str, Sequence[Reading]], new: Mapping[str, Sequence[Reading]], telling: _Telling
) -> dict[str, tuple[int, int, Told] | None]:
    gone = sorted(old.keys() - new.keys())
    moved: dict[str, tuple[int, int, Told] | None] = dict.fromkeys(gone)
    for key, series in sorted(new.items()):
        splice = spliced(old.get(key, ()), series)
        if splice is not None:
            moved[key] = splice.start, splice.stop, telling.told(splice.added)
        elif key not in old:
            moved[key] = 0, 0, telling.told(())
    return moved


def _each_spliced(
    old: Mapping[str, Sequence[T]], new: Mapping[str, Sequence[T]]
) -> dict[str, Splice[T]]:
    moved = {name: spliced(old.get(name, ()), one) for name, one in sorted(new.items())}
    return {name: splice for name, splice in moved.items() if splice is not None}
