"""Lives on nodes that say nothing, or again and again the same wrong thing.

Silence takes no end back, however long it lasts. What was final stays so where it moves to a newer
block. And a count of the account that one backend repeats is not believed without a second look.
"""

import random

from toolkit.model.chain import Address, Hash, HeadChange
from toolkit.model.tx import ExternalSpend, Replaced, SignedTransaction
from toolkit.testing.fakes import OWNER, InlineJournal, World
from toolkit.testing.lives import Action
from toolkit.testing.second_lives import ForgetfulWorld, Lives
from toolkit.testing.simulation import CONFIG, Ask, Schedule
from toolkit.testing.truth import Story
from toolkit.tx.events import HALTED, KINDS, OUTCOME, REOPENED, Ended, Observed, Prepared, Reopened
from toolkit.tx.lane_spent import FALLEN_PATIENCE_HEADS, SPENT_PATIENCE_BLOCKS


class Silent(Lives):
    """Shallow reorgs of which the node says nothing for long: what they left alone has not ended.

    An end is taken back when the chain took it back, and for no other reason.
    """

    deep = 0.0

    def weights(self) -> dict[Action, int]:
        """Strangers, and reorgs with a long silence behind them."""
        return {
            self._send: 4,
            self._send_one: 8,
            self._head: 16,
            self._outside: 4,
            self._hush: 4,
            self._crash: 1,
            self._cancel: 1,
        }

    async def _hush(self) -> None:
        """Longer than a lane waits for a name."""
        assert isinstance(self.world, ForgetfulWorld)
        self.world.blind = True
        await self._reorg()
        for _ in range(SPENT_PATIENCE_BLOCKS + self.rng.randint(1, 4)):
            await self._head()
        self.world.blind = False

    def check_story(self, story: Story) -> None:
        """No end was taken back that stands on the chain, and always did."""
        super().check_story(story)
        mined, undone = self.world.mined(), self.world.undone(1)
        journal, last = InlineJournal(self.backend), dict[str, Ended]()
        for entry in journal.entries(OUTCOME, REOPENED):
            if entry.kind == OUTCOME:
                ended = journal.decode(entry, Ended)
                last[ended.request_id] = ended
                continue
            name = journal.decode(entry, Reopened).request_id
            by = _spender(last[name])
            stands = by in mined and by not in undone
            assert not stands, f"entry {entry.seq} takes back {last[name].outcome}, which stands"


class MovingWorld(ForgetfulWorld):
    """Whose reorgs may mine the same transactions again, all in their newest block."""

    _kept: tuple[SignedTransaction, ...] = ()
    _before = 0  # blocks of the new branch until they come

    def move(self, depth: int) -> HeadChange:
        """Replace so many blocks; what was mined in them is mined again, and nothing else."""
        blocks = self.blocks[-depth:]
        self._kept = tuple(tx for block in blocks for tx in block.transactions)
        self._before = len(blocks)
        try:
            return self.reorg(depth, strangers=True)
        finally:
            self._kept = ()

    def _other_branch(self) -> list[SignedTransaction]:
        if not self._kept:
            return super()._other_branch()
        self._before -= 1
        return list(self._kept) if self._before < 0 else []


def moving_world(rng: random.Random) -> World:
    """A healthy network; only its reorgs are strange."""
    return MovingWorld(rng, delay=1.0, skip=0.1, lost_before=0.03, dropped=0.03)


class Moved(Lives):
    """Strangers who are final move to a newer block; a second, shallow reorg takes them back.

    That is told as loudly as if the first reorg had done it, also where a node is silent between.
    """

    deep = 0.0

    def weights(self) -> dict[Action, int]:
        """Some life before and between."""
        return {
            self._send: 2,
            self._send_one: 6,
            self._head: 10,
            self._outside: 2,
            self._twice: 3,
            self._crash: 1,
        }

    def wish(self) -> Ask:
        """Mostly what ends with the stranger."""
        again = self.rng.random() < 0.2  # noqa: PLR2004 - now and then
        wanted = ExternalSpend.REQUEUE if again else ExternalSpend.REPORT
        return super().wish()._replace(on_external_spend=wanted)

    async def _twice(self) -> None:
        """A reorg that moves what was final, and another one that undoes it."""
        assert isinstance(self.world, MovingWorld)
        await self._send()
        below = self.world.tip.number
        for _ in range(self.rng.randint(1, 2)):
            await self._outside()
        await self._rest(CONFIG.finality_blocks)
        await self.scheduler.resume(OWNER.address)
        final, alarms = self._final(), self._alarms()
        self.world.blind = self.rng.random() < 0.5  # noqa: PLR2004 - a coin
        await self._turn(self.world.move(self.world.tip.number - below))
        moved = self.world.tip.number
        await self._rest(self.rng.randrange(3))
        self.world.blind = False
        await self._rest(self.rng.randint(1, 2))
        self.world.level = self.rng.random() < 0.5  # noqa: PLR2004 - a coin
        await self._turn(self.world.reorg(self.world.tip.number - moved + 1, strangers=True))
        self.world.level = False
        await self._rest(1)
        mined = self.world.mined()
        gone = [f"{name} by {by}" for name, by in final.items() if by not in mined]
        told = self._alarms() > alarms
        assert told or not gone, f"final, and taken back in silence: {', '.join(gone)}"
        self.coverage.ends["moved, and taken back" if gone else "moved"] += 1
        await self.scheduler.resume(OWNER.address)

    async def _rest(self, heads: int) -> None:
        """Blocks without anything of ours, each heard of."""
        for _ in range(heads):
            self.world.mine(capacity=0)
            await self._follow()

    async def _turn(self, change: HeadChange) -> None:
        self._unheard, self.seen = (*self._unheard, *change.reverted), change.added[0]
        self._disturbed += 1
        await self._follow()

    def _final(self) -> dict[str, Hash]:
        """By request: the stranger who ended it, told and as deep as what is final."""
        deep = self.seen.number - CONFIG.finality_blocks + 1
        mined, found = self.world.mined(), dict[str, Hash]()
        for entry in self.journal.entries(OUTCOME):
            ended = self.journal.decode(entry, Ended)
            by = _spender(ended)
            if isinstance(ended.outcome, Replaced) and mined.get(by, deep + 1) <= deep:
                found[ended.request_id] = by
        return found

    def _alarms(self) -> int:
        return sum(1 for _ in self.journal.entries(HALTED))


def _spender(ended: Ended) -> Hash:
    """What spent the nonce of what has ended, as its author was told; "" where nothing was."""
    end = ended.outcome
    return (end.by if isinstance(end, Replaced) else end.tx_hash) or Hash("")


class HangingWorld(World):
    """Behind a balancer, one of its backends hangs at a block, and is asked first at every head."""

    hung: int | None = None
    """Where it hangs; None while all are well."""

    _newest = 0  # block that anybody was asked about

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        """The count, as whoever is asked has it."""
        found = await super().nonce(account, block)
        first = isinstance(block, int) and block > self._newest
        if first:
            self._newest = int(block)
        if self.hung is None or not first:
            return found
        self.struck["stale"] += 1
        return self.blocks[self.hung].counts.get(account, 0)


def hanging_world(rng: random.Random) -> World:
    """A network that is well but for one backend."""
    return HangingWorld(rng, delay=1.0, skip=0.1, refused=0.05, lost_before=0.05, lag=0.05)


class InStep(Schedule):
    """A balancer whose turns fall into step with the heads: one low count again and again.

    No block is ever taken back here, so no nonce that was once spent is signed for.
    """

    def weights(self) -> dict[Action, int]:
        """Strangers, and spells of wrong counts."""
        return {
            self._send: 8,
            self._head: 10,
            self._outside: 2,
            self._hang: 3,
            self._cancel: 1,
            self._crash: 1,
        }

    async def _hang(self) -> None:
        """One backend hangs, others spend nonces; of that it never hears, and tells us so."""
        assert isinstance(self.world, HangingWorld)
        for _ in range(3):
            self.world.mine(capacity=10)
            await self._follow()
        here = self.world.tip.number
        for _ in range(self.rng.randint(1, 3)):
            await self._outside()
        self.world.hung = here
        for _ in range(FALLEN_PATIENCE_HEADS + self.rng.randrange(3)):
            self.world.mine(capacity=0)
            await self._follow()
        await self._send()
        if self.rng.random() < 0.5:  # noqa: PLR2004 - a coin
            await self._head()
        self.world.hung = None

    def check_story(self, story: Story) -> None:
        """What was heard of as spent is spent for ever."""
        super().check_story(story)
        journal, heard = InlineJournal(self.backend), 0
        for entry in journal.entries("tx.observed", "tx.prepared"):
            if KINDS[entry.kind] is Observed:
                heard = max(heard, journal.decode(entry, Observed).nonce)
                continue
            nonce = journal.decode(entry, Prepared).signed.unsigned.nonce
            assert nonce >= heard, f"entry {entry.seq} signs for nonce {nonce}, {heard} are spent"
