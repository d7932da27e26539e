"""The facts that all agents share: dated, written by one source each, taken back on reorgs."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

import msgspec

from toolkit.model.chain import Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError

HISTORY = 512
"""Readings kept per key."""

ORPHANS = 256
"""Reverted blocks that are remembered, so that what comes late from them is known as such."""


class BoardMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a run: the readings of each key, and which blocks were reverted."""

    series: dict[str, tuple[Reading, ...]]
    writers: dict[str, str]
    orphans: tuple[Hash, ...]
    version: int
    late: int
    orphaned: int


class Blackboard:
    """Readings per key, oldest first, one a block. The first source to write a key owns it.

    Feeds are late, repeat themselves and outlive their blocks. What is older than the newest
    reading of its key, and what was read from a reverted block, is passed over and counted in
    `late` and `orphaned`; a second reading of one block stands in place of the first.
    """

    def __init__(self, *, history: int = HISTORY) -> None:
        self._history = history
        self._series: dict[str, tuple[Reading, ...]] = {}
        self._writers: dict[str, str] = {}
        self._orphans: dict[Hash, None] = {}
        self.version = 0
        self.late = 0
        self.orphaned = 0

    def memory(self) -> BoardMemory:
        """Return what the next run has to know."""
        return BoardMemory(
            series=dict(self._series),
            writers=dict(self._writers),
            orphans=tuple(self._orphans),
            version=self.version,
            late=self.late,
            orphaned=self.orphaned,
        )

    @classmethod
    def remembered(cls, memory: BoardMemory, *, history: int = HISTORY) -> "Blackboard":
        """Make a board as it was."""
        board = cls(history=history)
        board._series = dict(memory.series)
        board._writers = dict(memory.writers)
        board._orphans = dict.fromkeys(memory.orphans)
        board.version, board.late, board.orphaned = memory.version, memory.late, memory.orphaned
        return board

    def write(self, readings: Iterable[Reading], *, canonical: Hash | None = None) -> None:
        """Add readings; `canonical` is a block that counts again if it was ever reverted.

        Raises:
            ConfigError: a key that another source owns.
        """
        if canonical is not None:
            self._orphans.pop(canonical, None)
        for reading in readings:
            owner = self._writers.setdefault(reading.key, reading.source)
            if owner != reading.source:
                raise ConfigError(
                    f"reading {reading.key!r} belongs to {owner}; {reading.source} may not write it"
                )
            series = self._series.get(reading.key, ())
            if reading.block_hash in self._orphans:
                self.orphaned += 1
            elif series and series[-1].block_number > reading.block_number:
                self.late += 1
            elif series and series[-1].block_number == reading.block_number:
                self._keep(reading.key, (*series[:-1], reading))
            else:
                self._keep(reading.key, (*series, reading))

    def _keep(self, key: str, series: tuple[Reading, ...]) -> None:
        self._series[key] = series[-self._history :]
        self.version += 1

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
                self._series[key] = ()
            else:
                self._series[key] = tuple(r for r in series if r.block_number < block)
        last = {key: series[-1].block_number for key, series in self._series.items() if series}
        self.write(r for r in news if r.block_number > last.get(r.key, -1))

    def retract(self, blocks: Collection[Hash]) -> tuple[str, ...]:
        """Forget every reading of the given blocks, and name the keys that lost one."""
        if not blocks:
            return ()
        gone = frozenset(blocks)
        recent = [*self._orphans, *sorted(gone.difference(self._orphans))][-ORPHANS:]
        self._orphans = dict.fromkeys(recent)
        lost: list[str] = []
        for key, series in sorted(self._series.items()):
            kept = tuple(reading for reading in series if reading.block_hash not in gone)
            if len(kept) != len(series):
                self._series[key] = kept
                lost.append(key)
        self.version += len(lost)
        return tuple(lost)

    def as_of(self, block: int) -> Mapping[str, tuple[Reading, ...]]:
        """Return everything known at a block: nothing observed after it, read-only."""
        return MappingProxyType(
            {
                key: known
                for key, series in sorted(self._series.items())
                if (known := _until(series, block))
            }
        )


def _until(series: tuple[Reading, ...], block: int) -> tuple[Reading, ...]:
    if series and series[-1].block_number <= block:
        return series  # the usual case costs nothing
    return series[: bisect_right(series, block, key=lambda reading: reading.block_number)]
