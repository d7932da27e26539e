"""Which requests wait for which others to be confirmed, and which of them may go on."""

from collections import deque

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import ToolkitError
from toolkit.model.tx import Confirmed, Outcome
from toolkit.tx.events import Released


class _Follower(msgspec.Struct, frozen=True):
    lane: Address
    request_id: str


class Followers:
    """Requests by the one they follow, of whichever lane. `due` has who is to be told, in order."""

    def __init__(self) -> None:
        self.due: deque[Released] = deque()
        self._waiting: dict[str, list[_Follower]] = {}

    def wait(self, lane: Address, request_id: str, *, after: str) -> None:
        """Let a request wait until `ended` is called for the one before it."""
        self._waiting.setdefault(after, []).append(_Follower(lane, request_id))

    def ended(self, name: str, end: Outcome | ToolkitError) -> None:
        """Make whoever follows `name` due: to be sent after a success, to be cancelled without.

        A follower that was let go is not called back when a reorg undoes that success.
        """
        succeeded = isinstance(end, Confirmed)
        how = type(end).__name__ if isinstance(end, Outcome) else str(end)
        for follower in self._waiting.pop(name, ()):
            self.due.append(
                Released(
                    lane=follower.lane,
                    request_id=follower.request_id,
                    succeeded=succeeded,
                    reason="" if succeeded else f"{name}, which it follows, ended: {how}",
                )
            )
