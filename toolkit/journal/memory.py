"""A journal backend for tests and for sessions that need no recovery."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

from toolkit.journal.chain import Bounds, Entry, Point

_SEQ = attrgetter("seq")


class MemoryBackend:
    """Entries in a list: durable as long as the process and no longer.

    `entries` may be handed to a new backend, which then stands for a restart.
    """

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.rows = list(entries)
        self._newest: dict[str, Entry] = {}
        self._indexed = 0

    def bounds(self) -> Bounds:
        """Where the list ends; nothing is ever dropped from its beginning."""
        if not self.rows:
            return Bounds()
        return Bounds(head=Point(seq=self.rows[-1].seq, hash=self.rows[-1].hash))

    def load(self, *kinds: str, after: int = 0) -> Iterator[Entry]:
        """Yield what was written behind entry `after`, of these kinds if any, in order."""
        rows = tuple(self.rows[bisect_right(self.rows, after, key=_SEQ) if after else 0 :])
        yield from (entry for entry in rows if not kinds or entry.kind in kinds)

    def find(self, key: str) -> Entry | None:
        """Return the newest entry with this key."""
        # Indexed when asked, so that writing costs nothing more than keeping.
        while self._indexed < len(self.rows):
            entry = self.rows[self._indexed]
            self._indexed += 1
            if entry.key is not None:
                self._newest[entry.key] = entry
        return self._newest.get(key)

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep the entries; never fails."""
        self.rows.extend(entries)

    def close(self) -> None:
        """Nothing to release."""
