"""Which requests somebody in this process follows."""

from weakref import WeakValueDictionary

from toolkit.journal.log import Journal
from toolkit.model.errors import ToolkitError
from toolkit.model.tx import Outcome
from toolkit.tx.handle import Track
from toolkit.tx.job import Job
from toolkit.tx.pulse import Pulse
from toolkit.tx.recovery import last_word
from toolkit.tx.runner import LaneRunner


class Tracks:
    """Tracks by request, held weakly: memory does not grow with what nobody asks about."""

    def __init__(self, journal: Journal, heads: Pulse) -> None:
        self._journal = journal
        self._heads = heads
        self._tracks: WeakValueDictionary[str, Track] = WeakValueDictionary()
        self._lost: ToolkitError | None = None

    def __len__(self) -> int:
        """How many requests somebody holds."""
        return len(self._tracks)

    def get(self, name: str) -> Track | None:
        """The track of a request that somebody holds."""
        return self._tracks.get(name)

    def begin(self, runner: LaneRunner, name: str) -> Track:
        """Follow a request that begins now, as long as somebody holds it."""
        track = Track(name, lane=lambda: runner.state, heads=self._heads, journal=self._journal)
        if self._lost is not None:
            track.stop(self._lost)
        self._tracks[name] = track
        return track

    def of(self, runner: LaneRunner, name: str) -> Track:
        """The track of a request that is open, or was: then with its last end."""
        track = self._tracks.get(name)
        if track is None:
            track, last = self.begin(runner, name), last_word(self._journal, name)
            if last is not None:
                _tell(track, last.end, seq=last.seq)
        return track

    def ended(
        self, name: str, end: Outcome | ToolkitError | None, *, seq: int, before: Job | None
    ) -> None:
        """Tell whoever holds a request how it ended, says entry `seq`; None: it did not after all.

        `before` is the request without that end.
        """
        track = self._tracks.get(name)
        if track is not None:
            _tell(track, end, seq=seq, before=before)

    def lose(self, error: ToolkitError) -> None:
        """Tell whoever waits, and whoever will, that the journal is lost."""
        self._lost = error
        self.stop(error)

    def stop(self, why: ToolkitError) -> None:
        """Tell whoever waits that nothing more will be told here."""
        for track in tuple(self._tracks.values()):
            track.stop(why)


def _tell(
    track: Track, end: Outcome | ToolkitError | None, *, seq: int, before: Job | None = None
) -> None:
    if end is None:
        track.reopen()
    elif isinstance(end, ToolkitError):
        track.fail(end, seq=seq, before=before)
    else:
        track.finish(end, seq=seq, before=before)
