"""How a relay goes wrong, by profile or on a test's word."""

from collections import deque
from enum import Enum

from toolkit.model.checks import require_integer, shown
from toolkit.model.errors import ConfigError

MAX_FORCED = 100_000


class FailureMode(Enum):
    """One way to go wrong; whether the order is taken all the same is part of it."""

    NONE = "none"
    HANG = "hang"  # not taken, never answered
    LOST = "lost"  # taken, never answered
    HTTP_500 = "http_500"  # not taken, HTTP 500 with a line of text
    HTTP_500_TAKEN = "http_500_taken"  # taken, HTTP 500 with a line of text
    HTML = "html"  # not taken, a page of HTML with HTTP 200
    TEXT = "text"  # not taken, HTTP 400 with a line of text
    TOO_MANY_REQUESTS = "too_many_requests"  # not taken, HTTP 429
    NULL = "null"  # taken, result null
    FORGET = "forget"  # answered as if taken, and forgotten
    LATE = "late"  # answered as if in time, and taken only after the next block
    WRONG_HASH = "wrong_hash"  # taken, answered with another hash

    @property
    def is_taken(self) -> bool:
        """Whether the request is carried out at all (and be it late, or for nothing)."""
        return self not in _NOT_TAKEN


_NOT_TAKEN = frozenset(
    {
        FailureMode.HANG,
        FailureMode.HTTP_500,
        FailureMode.HTML,
        FailureMode.TEXT,
        FailureMode.TOO_MANY_REQUESTS,
    }
)


class Failures:
    """What goes wrong at one relay: `always` one thing, and before that what `next` was told."""

    def __init__(self, always: FailureMode = FailureMode.NONE) -> None:
        self.always = always
        self._forced: dict[str, deque[FailureMode]] = {}

    def next(self, mode: str | FailureMode, count: int = 1, *, method: str = "") -> None:
        """Let the next `count` requests go wrong in this way (of any method, or of one).

        Raises:
            ConfigError: no such mode, no such count, or more than `MAX_FORCED` are to come.
        """
        try:
            found = FailureMode(mode)
        except ValueError:
            names = ", ".join(each.value for each in FailureMode)
            raise ConfigError(f"no failure {shown(mode)}; there are {names}") from None
        require_integer("count", count, least=1, most=MAX_FORCED)
        forced = self._forced.setdefault(method, deque())
        if len(forced) + count > MAX_FORCED:
            raise ConfigError(
                f"{count} more failures to come than the {len(forced)} there are make more than"
                f" {MAX_FORCED}; set `always` instead"
            )
        forced.extend([found] * count)

    def draw(self, method: str) -> FailureMode:
        """What goes wrong with this request."""
        for name in (method, ""):
            if forced := self._forced.get(name):
                return forced.popleft()
        return self.always
