"""A market that stands still, and destinations that refuse by the bytes: the same, for ever.

So whoever is refused has to send other bytes, and whatever is refused late was perhaps out before.
"""

import asyncio
import random

from toolkit.chain.signer import Signer
from toolkit.model.chain import Hash
from toolkit.model.errors import NodeTimeout, RejectedByNode
from toolkit.model.tx import Attempt, Exposure, SignedTransaction, UnsignedTransaction
from toolkit.testing.durable import Checked
from toolkit.testing.fakes import Mempool, SlowSigner, World
from toolkit.testing.lives import Action
from toolkit.testing.simulation import Ask, Schedule


def still_world(rng: random.Random) -> World:
    """Blocks that leave much out, and few faults: what refuses are the destinations."""
    return World(rng, delay=1.0, skip=0.4, dropped=0.05, unsigned=0.15)


class Policy:
    """What all destinations think of some bytes: they refuse them at once, later on, or never."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._patience: dict[Hash, int | None] = {}  # hand-overs until it refuses; None for never
        self.open = True  # whether bytes that are new may be refused

    def of(self, tx_hash: Hash) -> int | None:
        """How often it will still be heard; 0 where it is refused from here on, None for ever."""
        if tx_hash not in self._patience:
            kinds = [0, 0, 1, 2, None, None, None, None]
            self._patience[tx_hash] = self._rng.choice(kinds) if self.open else None
        return self._patience[tx_hash]

    def heard(self, tx_hash: Hash) -> None:
        """Count a hand-over that was not refused."""
        left = self._patience[tx_hash]
        self._patience[tx_hash] = None if left is None else max(0, left - 1)


class Mute(Checked):
    """A destination that says nothing about what it will refuse, and may lose it, until it does."""

    def __init__(self, life: "Refused", name: str, exposure: Exposure) -> None:
        super().__init__(life.world, life.backend, name, exposure)
        self._policy = life.policy

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take the bytes, refuse them for good, or give no answer."""
        tx_hash = attempt.signed.hash
        left = self._policy.of(tx_hash)
        if left is None:
            await super().send(attempt, target_block=target_block)
            return
        await self.world.pause()
        await asyncio.sleep(0)
        if left == 0:
            self.world.struck["banned"] += 1
            raise RejectedByNode("transaction type not supported")
        self._policy.heard(tx_hash)
        self.world.struck["lost_before"] += 1
        raise NodeTimeout("no answer; never arrived")


class Leisurely(SlowSigner):
    """A signer that takes its time."""

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign after many turns of the loop."""
        for _ in range(self._world.rng.randrange(12)):
            await asyncio.sleep(0)
        return await super().sign_transaction(unsigned)


class Refused(Schedule):
    """Refusals that come while an author thinks better of it, and gaps whose filling is refused."""

    deep = 0.0

    def place(self, name: str, exposure: Exposure) -> Mempool:
        """A destination with the policy that all of them share."""
        if name == "public":
            self.policy = Policy(self.world.rng)
        return Mute(self, name, exposure)

    def signer(self) -> Signer:
        """Who signs for its account."""
        return Leisurely(self.world)

    def weights(self) -> dict[Action, int]:
        """Nothing moves the market."""
        return {
            self._send: 10,
            self._head: 12,
            self._cancel: 3,
            self._regret: 10,
            self._crash: 1,
        }

    def wish(self) -> Ask:
        """Nothing that the market or another request could hold up."""
        return super().wish()._replace(after=None)

    async def _regret(self) -> None:
        """Given up while it is handed out once more, and its signer is slow."""

        async def cancel() -> None:
            for _ in range(self.rng.randrange(8)):
                await asyncio.sleep(0)
            await self._cancel()

        await asyncio.gather(self._head(), *(cancel() for _ in range(4)))

    def _check_said(self) -> None:
        """While the market stands still: no gap is left open below what is out."""
        super()._check_said()
        spent, pool = self.world.spent, self.world.pool
        assert spent in pool or not pool, f"nonce {spent} is missing below {sorted(pool)}"
