"""Lives of a lane whose account has strangers: second lives, and reorgs below what was final."""

import random
from typing import Any

from toolkit.model.chain import Hash, Head, HeadChange, Receipt
from toolkit.model.errors import NodeError
from toolkit.model.tx import ExternalSpend, TransactionRequest
from toolkit.testing.fakes import FRIEND, GWEI, World
from toolkit.testing.lives import Action
from toolkit.testing.simulation import Ask, Schedule
from toolkit.testing.truth import Story


class ForgetfulWorld(World):
    """A node that has lost its index of transactions now and then: it knows counts only."""

    blind = False
    level = False
    """Whether the branch of a reorg has spent as many nonces as the old one before it is seen."""

    def reorg(self, depth: int, *, strangers: bool = False) -> HeadChange:
        """As for any world; then somebody else's choice is mined where the new branch is behind."""
        before = self.spent
        change = super().reorg(depth, strangers=strangers)
        behind = range(self.spent, before if self.level else 0)
        more = [self.mine(only=[self.rng.choice(self.known[nonce])]) for nonce in behind]
        return HeadChange(added=(*change.added, *more), reverted=change.reverted)

    def spend_outside(self, request: TransactionRequest | None = None) -> Head:
        """Of two strangers with the key one is mined; a reorg may prefer the other."""
        nonce = self.spent
        twin = TransactionRequest(to=FRIEND, value=nonce + 1, gas=100_000)
        signed = self.sign(twin, nonce=nonce, fee=self.base_fee + 99 * GWEI)
        self.foreign[signed.hash] = signed
        self.known.setdefault(nonce, []).append(signed)
        return super().spend_outside(request)

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """None while it is blind."""
        found = await super().receipt(tx_hash)
        return None if self.blind else found

    async def receipts(self, block: int | str) -> tuple[Receipt, ...]:
        """Refused while it is blind."""
        found = await super().receipts(block)
        if self.blind:
            raise NodeError("pruned")
        return found

    async def transaction(self, tx_hash: Hash) -> dict[str, Any] | None:
        """None while it is blind."""
        found = await super().transaction(tx_hash)
        return None if self.blind else found


def lives_world(rng: random.Random) -> World:
    """A node that is blind for spells, and few other faults."""
    return ForgetfulWorld(
        rng, delay=1.0, skip=0.1, refused=0.08, lost_before=0.05, dropped=0.05, lag=0.1
    )


class Lives(Schedule):
    """Strangers spend nonces, requests go on to second ones, and reorgs take back what was final.

    A reorg that changes who spent a final nonce must halt the lane, whoever has it by then.
    """

    deep = 0.3
    steps = 55

    def weights(self) -> dict[Action, int]:
        """Strangers, spells of blindness, deep reorgs."""
        return {
            self._send: 2,
            self._send_one: 8,
            self._head: 20,
            self._outside: 8,
            self._blind: 2,
            self._reorg: 2,
            self._undo: 3,
            self._crash: 1,
            self._cancel: 1,
        }

    def wish(self) -> Ask:
        """Mostly what goes on to another nonce."""
        again = self.rng.random() < 0.8  # noqa: PLR2004 - mostly
        late = self.rng.choice([None, None, 4, 8, 12])
        ask = super().wish()._replace(deadline_blocks=late)
        return ask._replace(on_external_spend=ExternalSpend.REQUEUE) if again else ask

    async def _blind(self) -> None:
        if isinstance(self.world, ForgetfulWorld):
            self.world.blind = not self.world.blind

    async def _undo(self) -> None:
        """A reorg of whatever depth, of which the node says nothing at first."""
        if isinstance(self.world, ForgetfulWorld):
            self.world.blind = True
            await self._reorg()
            for _ in range(self.rng.randrange(3)):
                await self._head()
            self.world.blind = False

    async def _drain(self) -> None:
        if isinstance(self.world, ForgetfulWorld):
            self.world.blind = False
        await super()._drain()

    def excused(self) -> bool:
        """A reorg that took back what was final is no excuse here: the lane must have said so."""
        return False

    def check_story(self, story: Story) -> None:
        """What was once heard of as final is on the chain still, or the lane has halted."""
        super().check_story(story)
        mined, foreign = self.world.mined(), self.world.foreign
        gone = [
            f"nonce {nonce} by {tx.hash}"
            for nonce, txs in self.world.known.items()
            for tx in txs
            # Where nothing of ours ever arrived, nobody has to watch who spends the nonce.
            if tx.hash in story.final and tx.hash not in mined
            if any(one.hash not in foreign for one in txs)
        ]
        assert story.halted or not gone, f"taken back in silence: {', '.join(gone)}"


class Rewritten(Lives):
    """What was final is taken back by branches that have spent as many nonces when they are seen.

    No count falls, and a blind node names nobody: only who asks again hears of the other spender.
    Such a branch is rare, for the next reorg would have everything asked for again.
    """

    deep = 0.8

    def weights(self) -> dict[Action, int]:
        """Strangers, and hardly a reorg."""
        return {
            self._send: 2,
            self._send_one: 8,
            self._head: 20,
            self._outside: 8,
            self._undo: 1,
            self._crash: 1,
        }

    async def _undo(self) -> None:
        if isinstance(self.world, ForgetfulWorld):
            self.world.level = True
            await super()._undo()
            self.world.level = False


class Halted(Lives):
    """An account that strangers use more than we do, on a chain that takes back what was final.

    So nonces come free below what is still in flight, while the lane has halted.
    """

    deep = 0.6

    def weights(self) -> dict[Action, int]:
        """Few requests of our own."""
        return {
            self._send_one: 5,
            self._head: 10,
            self._outside: 8,
            self._reorg: 3,
            self._cancel: 1,
            self._crash: 1,
        }
