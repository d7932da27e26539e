"""The facts that all agents share: dated, written by one source each, taken back on reorgs."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from toolkit.model.chain import Hash
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError

HISTORY = 512
"""Readings kept per key."""


class Blackboard:
    """Readings per key, oldest first. The first source to write a key owns it."""

    def __init__(self, *, history: int = HISTORY) -> None:
        self._history = history
        self._series: dict[str, tuple[Reading, ...]] = {}
        self._writers: dict[str, str] = {}
        self.version = 0

    def write(self, readings: Iterable[Reading]) -> None:
        """Add readings.

        Raises:
            ConfigError: a key that another source owns, or a reading older than its key's last.
        """
        for reading in readings:
            owner = self._writers.setdefault(reading.key, reading.source)
            if owner != reading.source:
                raise ConfigError(
                    f"reading {reading.key!r} belongs to {owner}; {reading.source} may not write it"
                )
            series = self._series.get(reading.key, ())
            if series and series[-1].block_number > reading.block_number:
                raise ConfigError(
                    f"reading {reading.key!r} of block {reading.block_number} comes after one of "
                    f"block {series[-1].block_number}; retract the reverted blocks first"
                )
            self._series[reading.key] = (*series, reading)[-self._history :]
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
        gone = frozenset(blocks)
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
                if (known := tuple(r for r in series if r.block_number <= block))
            }
        )
