"""The facts that all agents share: dated, written by one source each, taken back on reorgs."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from toolkit.model.chain import Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError
from toolkit.reasoning.agent import Series, newest

HISTORY = 512
"""Readings kept per key."""

ORPHANS = 256
"""Reverted blocks that are remembered, so that what comes late from them is known as such."""


SPARE = 2
"""How many times as many readings are kept at most before the oldest are let go of together."""

Span = tuple[list[Reading], int, int]
"""A list that only grows, and from where to where of it counts."""

_NONE: Span = ([], 0, 0)


class BoardMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a run: the readings of each key, and which blocks were reverted."""

    series: dict[str, tuple[Reading, ...]]
    writers: dict[str, str]
    orphans: tuple[Hash, ...]
    version: int
    late: int
    orphaned: int
    unsupplied: tuple[str, ...] = ()


class Known(Series):
    """What a board knew at a block, read-only.

    A series is copied when it is asked for, once as long as nothing is added to it: most of what
    is perceived nobody asks for, and there may be hundreds of readings in each.
    """

    __slots__ = ("_copies", "_spans")

    def __init__(
        self, spans: Mapping[str, Span], copies: dict[str, tuple[Reading, ...]] | None = None
    ) -> None:
        self._spans = spans
        self._copies = {} if copies is None else copies

    def grown(self, spans: Mapping[str, Span]) -> "Known":
        """Return what is known later, with the copies of what has stayed the same."""
        same: dict[str, tuple[Reading, ...]] = {}
        for key, copy in self._copies.items():
            (old, _, until), (series, _, end) = self._spans[key], spans.get(key, _NONE)
            if series is old and end == until:
                same[key] = copy
        return Known(spans, same)

    def __getitem__(self, key: str) -> tuple[Reading, ...]:
        """Return the readings of a key, oldest first."""
        copy = self._copies.get(key)
        if copy is None:
            series, start, end = self._spans[key]
            copy = self._copies[key] = tuple(series[start:end])
        return copy

    def last(self, key: str, most: int) -> Sequence[Reading]:
        """Return the newest readings of a key, oldest first, without a copy of all."""
        series, start, end = self._spans.get(key, _NONE)
        return series[max(start, end - max(most, 0)) : end]

    def __iter__(self) -> Iterator[str]:
        """Name every key of which something is known, sorted."""
        return iter(self._spans)

    def __len__(self) -> int:
        """Count the keys of which something is known."""
        return len(self._spans)

    def __contains__(self, key: object) -> bool:
        """Tell whether anything is known of a key."""
        return key in self._spans

    @property
    def newest(self) -> dict[str, Reading]:
        """The newest reading of each key."""
        return {key: series[end - 1] for key, (series, _, end) in self._spans.items()}


def last(readings: Mapping[str, Sequence[Reading]], key: str, most: int) -> Sequence[Reading]:
    """Return the newest readings of a key, oldest first; none of one that is not known."""
    if type(readings) is Known or isinstance(readings, Series):  # the first asks no ABC
        return readings.last(key, most)
    return newest(readings, key, most)


class Blackboard:
    """Readings per key, oldest first, one a block. The first source to write a key owns it.

    Feeds are late, repeat themselves and outlive their blocks. What is older than the newest
    reading of its key, and what was read from a reverted block, is passed over and counted in
    `late` and `orphaned`; a second reading of one block stands in place of the first.
    """

    def __init__(self, *, history: int = HISTORY) -> None:
        self._history = history
        self._series: dict[str, list[Reading]] = {}
        self._sorted: tuple[str, ...] = ()  # its keys; none where one has come or gone
        self._known = Known({})
        self._writers: dict[str, str] = {}
        self._orphans: dict[Hash, None] = {}
        self._unsupplied: set[str] = set()  # keys of an earlier run that nobody has written since
        self.version = 0
        self.late = 0
        self.orphaned = 0

    def memory(self) -> BoardMemory:
        """Return what the next run has to know."""
        return BoardMemory(
            series={key: tuple(kept[-self._history :]) for key, kept in self._series.items()},
            writers=dict(self._writers),
            orphans=tuple(self._orphans),
            version=self.version,
            late=self.late,
            orphaned=self.orphaned,
            unsupplied=tuple(sorted(self._unsupplied)),
        )

    @classmethod
    def remembered(cls, memory: BoardMemory, *, history: int = HISTORY) -> "Blackboard":
        """Make a board as it was."""
        board = cls(history=history)
        board._series = {key: list(series) for key, series in memory.series.items()}
        board._writers = dict(memory.writers)
        board._orphans = dict.fromkeys(memory.orphans)
        board._unsupplied = set(memory.unsupplied)
        board.version, board.late, board.orphaned = memory.version, memory.late, memory.orphaned
        return board

    def write(self, readings: Iterable[Reading], *, canonical: Hash | None = None) -> None:
        """Add readings; `canonical` is a block that counts again if it was ever reverted.

        Raises:
            ConfigError: a key that another source owns.
        """
        if canonical is not None:
            self._orphans.pop(canonical, None)
        most = SPARE * self._history
        for reading in readings:
            key, number = reading.key, reading.block_number
            owner = self._writers.setdefault(key, reading.source)
            if owner != reading.source:
                raise ConfigError(
                    f"reading {key!r} belongs to {owner}; {reading.source} may not write it"
                )
            series = self._series.get(key)
            if reading.block_hash in self._orphans:
                self.orphaned += 1
            elif series and series[-1].block_number > reading.block_number:
                self.late += 1
            else:
                self.version += 1
                if series is None:
                    self._series[key], self._sorted = [reading], ()
                elif series and (series[-1].block_number == number or len(series) >= most):
                    self._series[key] = [*self._room(series, number), reading]
                else:
                    series.append(reading)
                if self._unsupplied:
                    self._unsupplied.discard(key)

    def _room(self, series: list[Reading], block: int) -> list[Reading]:
        """Make room for a reading: in place of the newest, or by letting go of the oldest.

        What was once known is still in its list: a list only grows, or another takes its place.
        """
        return series[:-1] if series[-1].block_number == block else series[-self._history :]

    def resume(self, readings: Iterable[Reading], *, block: int) -> None:
        """Write the first readings of a new run, as of `block`, after those of an earlier one.

        What the earlier run read at `block` or later is read anew. A key that has got another
        source begins anew. Recorded history only fills what was not seen: before a key's last
        reading it is passed over.
        """
        news = tuple(readings)
        sources = {reading.key: reading.source for reading in news}
        for key, series in self._series.items():
            if sources.get(key, self._writers[key]) != self._writers[key]:
                self._writers[key] = sources[key]
                self._series[key] = []
            else:
                kept = series[-self._history :]
                self._series[key] = [r for r in kept if r.block_number < block]
        last = {key: series[-1].block_number for key, series in self._series.items() if series}
        self._unsupplied = set(self._series).difference(sources)
        self.write(r for r in news if r.block_number > last.get(r.key, -1))

    def drop(self, block: int, *, expected: Collection[str] = ()) -> dict[str, int]:
        """Forget what nobody supplies any more, and name each key with the block it was last read.

        That is a key of an earlier run that nobody has written in this one, once it is too old to
        act on: who reads everything there is could never act again. One that is `expected` stays.
        """
        gone: dict[str, int] = {}
        for key in sorted(self._unsupplied.difference(expected)):
            series = self._series[key]
            if series and block - series[-1].block_number <= series[-1].max_age_blocks:
                continue
            if series:
                gone[key] = series[-1].block_number
            self._unsupplied.discard(key)
            del self._series[key], self._writers[key]
            self._sorted = ()
        return gone

    def retract(self, blocks: Collection[Hash]) -> tuple[str, ...]:
        """Forget every reading of the given blocks, and name the keys that lost one."""
        if not blocks:
            return ()
        gone = frozenset(blocks)
        recent = [*self._orphans, *sorted(gone.difference(self._orphans))][-ORPHANS:]
        self._orphans = dict.fromkeys(recent)
        lost: list[str] = []
        for key, series in sorted(self._series.items()):
            known = series[-self._history :]  # what is older was let go of: it does not come back
            kept = [reading for reading in known if reading.block_hash not in gone]
            if len(kept) != len(known):
                self._series[key] = kept
                lost.append(key)
        self.version += len(lost)
        return tuple(lost)

    def as_of(self, block: int) -> Known:
        """Return everything known at a block: nothing observed after it, read-only."""
        spans: dict[str, Span] = {}
        if not self._sorted:
            self._sorted = tuple(sorted(self._series))
        for key in self._sorted:
            series = self._series[key]
            end = known = len(series)
            if end and series[-1].block_number > block:
                end = bisect_right(series, block, key=lambda reading: reading.block_number)
            start = known - self._history if known > self._history else 0
            if end > start:
                spans[key] = series, start, end
        self._known = self._known.grown(spans)
        return self._known
