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
