"""Privately first, and publicly when no builder wanted it."""

import asyncio
from collections.abc import Sequence

from toolkit.model.checks import require_integer
from toolkit.model.errors import ConfigError
from toolkit.model.tx import Attempt, Exposure
from toolkit.tx.destination import Destination, hand_over

PATIENCE_BLOCKS = 3
MOST_PATIENCE_BLOCKS = 10_000


class PrivateThenPublic:
    """Hands a request to relays for its first blocks, then to the public node.

    A lane hands an attempt out again at every head, so the change of route needs no timer; it
    keeps its nonce, and whatever a relay still holds competes for that same nonce. Counts as
    PUBLIC from the start, because it will be. It remembers nothing: the first block comes with the
    attempt, from the journal, so that a restart changes neither the deadline nor the route.

    Raises:
        ConfigError: no relays, no blocks, or more than `MOST_PATIENCE_BLOCKS`.
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
        require_integer("private_blocks", patience_blocks, least=1, most=MOST_PATIENCE_BLOCKS)
        if not relays:
            raise ConfigError("private then public needs relays: give at least one")
        self._relays = tuple(relays)
        self._public = public
        self._patience_blocks = patience_blocks

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Send by the route that the target block asks for; errors are the destination's."""
        if target_block >= attempt.since_block + self._patience_blocks:
            await self._public.send(attempt, target_block=target_block)
        else:
            await self._privately(attempt, target_block=target_block)

    async def _privately(self, attempt: Attempt, *, target_block: int) -> None:
        """Send to every relay; where none takes it, the error is told of who most likely has it."""
        answers = await asyncio.gather(
            *(hand_over(relay, attempt, target_block=target_block) for relay in self._relays),
            return_exceptions=True,
        )
        told = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            told.append(answer)
        # One that is silent may have the bytes, whatever the others have refused.
        most = max(told, key=lambda answer: answer.exposure)
        if most.error is not None and most.exposure < Exposure.PRIVATE:
            raise most.error
