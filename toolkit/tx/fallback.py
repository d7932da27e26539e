"""Privately first, and publicly when no builder wanted it."""

import asyncio
from collections.abc import Sequence

from toolkit.model.errors import ToolkitError
from toolkit.model.tx import Attempt, Exposure
from toolkit.tx.destination import Destination

PATIENCE_BLOCKS = 3
_REMEMBERED = 10_000


class PrivateThenPublic:
    """Hands a request to relays for its first blocks, then to the public node.

    A lane hands an attempt out again at every head, so the change of route needs no timer; it
    keeps its nonce, and whatever a relay still holds competes for that same nonce. Counts as
    PUBLIC from the start, because it will be. A restart begins the private blocks anew.
    """

    name = "private-then-public"
    exposure = Exposure.PUBLIC

    def __init__(
        self,
        relays: Sequence[Destination],
        public: Destination,
        *,
        patience_blocks: int = PATIENCE_BLOCKS,
    ) -> None:
        self._relays = tuple(relays)
        self._public = public
        self._patience_blocks = patience_blocks
        self._first_target: dict[str, int] = {}

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Send by the route that the target block asks for; errors are the destination's."""
        first = self._first_target.setdefault(attempt.request_id, target_block)
        if len(self._first_target) > _REMEMBERED:
            del self._first_target[next(iter(self._first_target))]
        if target_block >= first + self._patience_blocks:
            await self._public.send(attempt, target_block=target_block)
        else:
            await self._privately(attempt, target_block=target_block)

    async def _privately(self, attempt: Attempt, *, target_block: int) -> None:
        """Send to every relay; one that takes it is enough, otherwise the first error is told."""
        answers = await asyncio.gather(
            *(relay.send(attempt, target_block=target_block) for relay in self._relays),
            return_exceptions=True,
        )
        for answer in answers:
            if answer is not None and not isinstance(answer, ToolkitError):
                raise answer
        if None not in answers and isinstance(answers[0], ToolkitError):
            raise answers[0]
