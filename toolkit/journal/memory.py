"""A journal backend for tests and for sessions that need no recovery."""

from collections.abc import Iterator, Sequence

from toolkit.journal.log import Entry


class MemoryBackend:
    """Entries in a list: durable as long as the process and no longer.

    `entries` may be handed to a new backend, which then stands for a restart.
    """

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.rows = list(entries)

    def load(self) -> Iterator[Entry]:
        """Yield what was written, in order."""
        yield from tuple(self.rows)

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep the entries; never fails."""
        self.rows.extend(entries)

    def close(self) -> None:
        """Nothing to release."""
