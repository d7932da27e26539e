"""Lives in which most requests follow another one, and a signer takes its time over each."""

import asyncio

from toolkit.chain.signer import Signer
from toolkit.model.tx import SignedTransaction, UnsignedTransaction
from toolkit.testing.fakes import SlowSigner
from toolkit.testing.lives import Action
from toolkit.testing.simulation import Schedule

_LONGEST = 24
_OPEN = frozenset({"queued", "prepared", "broadcast", "mined"})


class Sleepy(SlowSigner):
    """A device that somebody has to confirm each signature on: calls overlap meanwhile."""

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign after some turns of the loop, often many."""
        for _ in range(self._world.rng.randrange(_LONGEST)):
            await asyncio.sleep(0)
        return await super().sign_transaction(unsigned)


class Followed(Schedule):
    """Several calls at once let go of whoever followed what has ended, each exactly once."""

    def signer(self) -> Signer:
        """One that takes its time."""
        return Sleepy(self.world)

    def weights(self) -> dict[Action, int]:
        """Ends of leaders, and calls that come while their followers are being signed."""
        return {
            self._send: 8,
            self._head: 6,
            self._overlap: 12,
            self._replace: 1,
            self._fees: 1,
            self._crash: 1,
        }

    async def _overlap(self) -> None:
        """A head that ends leaders; before their followers are signed, authors change their minds.

        Every such call lets go of followers too, its own and those of the head.
        """

        async def later(call: Action) -> None:
            for _ in range(self.rng.randrange(2 * _LONGEST)):
                await asyncio.sleep(0)
            await call()

        calls: list[Action] = [self._cancel, self._cancel, self._cancel, self._send_one]
        await asyncio.gather(self._head(), *map(later, calls))

    def _leader(self) -> str | None:
        """Mostly one that is on its way."""
        if self.rng.random() < 0.3:  # noqa: PLR2004 - the others lead
            return None
        on_its_way = [key for key in sorted(self.sent) if self.sent[key].status().state in _OPEN]
        return self.sent[self.rng.choice(on_its_way)].request_id if on_its_way else None
