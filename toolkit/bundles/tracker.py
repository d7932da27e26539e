"""Ends of bundles, followed for as long as a reorg may take them back."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from toolkit.bundles.entries import RESULT, BundleEnded
from toolkit.bundles.evidence import Submission, gather
from toolkit.bundles.explain import explain, missed_in_pieces
from toolkit.bundles.reenactment import BlockFacts, ReceiptsLate, placed, read_block
from toolkit.chain.node import Node
from toolkit.evm.simulator import Simulator
from toolkit.journal.log import Journal
from toolkit.model.bundle import BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import Hash, Head, HeadChange
from toolkit.model.errors import LaneHalted

REORG_BLOCKS = 3
"""How deep a reorg may be for what it does to a bundle to be told."""

RECEIPTS_LATE_BLOCKS = 2
"""How far a node's receipts may be behind its heads."""

Revised = Callable[[BundleResult, BundleResult], None]


def abandon(awaited: asyncio.Future[BundleResult]) -> None:
    """Tell who waits for an end that this process does not follow it any longer."""
    if not awaited.done():
        awaited.set_exception(
            LaneHalted("the session is closed; the next one with its journal tells this end")
        )
        awaited.exception()  # seen: mostly nobody waits


@dataclass(slots=True, eq=False, kw_only=True)
class Ended:
    """A bundle whose end was told; the tracker alone changes it.

    `landed` is where it was when it first landed, `stale` whether its block was reverted and the
    one in its place has not been read yet; `told_at` is the newest block when that was last told,
    `confirmed[n]` the end under n + 1 blocks.
    """

    submission: Submission
    result: BundleResult
    journal_seq: int
    confirmed: tuple[asyncio.Future[BundleResult], ...]
    told_at: int
    landed: Landed | None = None
    stale: bool = False

    @property
    def block_number(self) -> int:
        """The block that decided."""
        if isinstance(self.result, Landed):
            return self.result.block_number
        return self.result.target_block


class Tracker:
    """Tells what became of bundles, and watches ends until they are `REORG_BLOCKS` deep.

    Args:
        node: the chain.
        journal: gets an entry for every end that is told again.
        simulator: see `evidence.gather`.
        revised: is called with what was told before, and what is true now.
    """

    def __init__(
        self, node: Node, *, journal: Journal, simulator: Simulator | None, revised: Revised
    ) -> None:
        self._node = node
        self._journal = journal
        self._simulator = simulator
        self._revised = revised
        self._watched: list[Ended] = []
        self._unread: dict[int, Head] = {}  # their receipts are late, or nobody has looked yet
        self._read: OrderedDict[Hash, BlockFacts] = OrderedDict()

    async def block(self, head: Head, *, newest: int) -> BlockFacts | None:
        """Read a block; None as long as the node may still get its receipts.

        Raises:
            NodeError: it has no such block, or lacks its receipts for too long.
        """
        if head.hash not in self._read:
            try:
                self._read[head.hash] = await read_block(self._node, head)
            except ReceiptsLate:
                if newest - head.number < RECEIPTS_LATE_BLOCKS:
                    return None
                raise
            while len(self._read) > 1 + REORG_BLOCKS:
                self._read.popitem(last=False)
        return self._read[head.hash]

    async def end_of(self, submission: Submission, block: BlockFacts) -> BundleResult:
        """What became of a submission in a block.

        Raises:
            NodeError: the chain could not be read.
        """
        found = await gather(self._node, submission, block, simulator=self._simulator)
        return explain(submission, found)

    @property
    def watched(self) -> tuple[Ended, ...]:
        """Ends that a reorg may still take back."""
        return tuple(self._watched)

    def watch(
        self,
        submission: Submission,
        result: BundleResult,
        *,
        journal_seq: int,
        landed: Landed | None = None,
        stale: bool = False,
    ) -> Ended:
        """Follow an end that is being told for the first time.

        Args:
            submission: whose end it is.
            result: what was told.
            journal_seq: entry of the submission.
            landed: where it first landed, of an end that an earlier process told.
            stale: whether its block is known to be another one since.
        """
        loop = asyncio.get_running_loop()
        ended = Ended(
            submission=submission,
            result=result,
            journal_seq=journal_seq,
            confirmed=tuple(loop.create_future() for _ in range(REORG_BLOCKS)),
            told_at=0,
            landed=result if isinstance(result, Landed) else landed,
            stale=stale,
        )
        self._watched.append(ended)
        return ended

    def read_later(self, head: Head) -> None:
        """Look through a block that came while nobody looked, with the next change."""
        self._unread[head.number] = head

    async def on_head(self, change: HeadChange) -> None:
        """Tell again what the chain has changed its mind about, and settle what is deep enough.

        Raises:
            NodeError: the chain could not be read; the same change may be given again.
        """
        if not change.added:
            return
        gone, tip = {head.number for head in change.reverted}, change.added[-1].number
        for one in self._watched:
            one.stale = one.stale or one.block_number in gone or _target(one) in gone
        kept = {number: head for number, head in self._unread.items() if number not in gone}
        self._unread = kept | {head.number: head for head in change.added if self._watched}
        blocks: dict[int, BlockFacts] = {}
        for number, head in tuple(self._unread.items()):
            facts = await self.block(head, newest=tip)
            if facts is not None:
                blocks[number] = facts
        read = min(self._unread.keys() - blocks.keys(), default=tip + 1) - 1
        for one in tuple(self._watched):
            await self._look(one, blocks, tip=tip)
            self._settle(one, read=read)
        for number in blocks:
            del self._unread[number]

    def close(self) -> None:
        """Nobody follows them any longer."""
        for one in self._watched:
            for each in one.confirmed:
                abandon(each)
        self._watched.clear()

    async def _look(self, one: Ended, blocks: Mapping[int, BlockFacts], *, tip: int) -> None:
        result = await self._now(one, blocks, tip=tip)
        if result != one.result:
            before, one.result, one.told_at = one.result, result, tip
            one.landed = one.landed or (result if isinstance(result, Landed) else None)
            entry = BundleEnded(result=result, answers=one.submission.answers)
            self._journal.append(RESULT, entry, cause=one.journal_seq)
            await self._journal.commit()
            self._revised(before, result)

    def _settle(self, one: Ended, *, read: int) -> None:
        """Confirm an end by the blocks behind it, all of which were looked through."""
        deep = 0 if one.stale else read - max(one.block_number, one.told_at)
        for each in one.confirmed[: max(0, deep)]:
            if not each.done():
                each.set_result(one.result)
        if deep >= REORG_BLOCKS:
            self._watched.remove(one)

    async def _now(self, one: Ended, blocks: Mapping[int, BlockFacts], *, tip: int) -> BundleResult:
        """What is true of it on the chain as it is."""
        result = await self._in_its_block(one, blocks, tip=tip) if one.stale else one.result
        if one.stale or isinstance(result, Landed):
            return result
        found = await self._elsewhere(one, result, blocks.values())
        if found is not None:
            return found
        if one.landed is None or result.cause in {MissCause.PARTIAL, MissCause.REORGED}:
            return result
        return _taken_back(one, f"in its place, {result.cause.value}: {result.evidence}")

    async def _in_its_block(
        self, one: Ended, blocks: Mapping[int, BlockFacts], *, tip: int
    ) -> BundleResult:
        """Look again at the block of its number, another one now, once that can be read."""
        number = _target(one)
        block = blocks.get(number)
        if block is None and number <= tip:
            block = await self.block(await self._node.head(number), newest=tip)
        if block is None:
            return _taken_back(one, "nothing is in its place yet")
        one.stale = False
        return await self.end_of(one.submission, block)

    async def _elsewhere(
        self, one: Ended, result: Missed, blocks: Iterable[BlockFacts]
    ) -> BundleResult | None:
        """Whether further blocks have it: whole, if it had landed before, or in part."""
        mine = {each.hash for each in one.submission.mine}
        for block in blocks:
            whole = one.landed is not None and bool(placed(one.submission.bundle, block))
            part = not mine.isdisjoint(each.transaction_hash for each in block.receipts)
            if whole or (part and result.cause is not MissCause.PARTIAL):
                found = await self.end_of(one.submission, block)
                if whole or isinstance(found, Missed):
                    return found
                return missed_in_pieces(one.submission, block)
        return None


def _target(one: Ended) -> int:
    return one.submission.bundle.target_block


def _taken_back(one: Ended, now: str) -> BundleResult:
    """A reorg took its block; what never landed had nothing to lose."""
    if one.landed is None:
        return one.result
    return Missed(
        bundle_hash=one.submission.bundle_hash,
        target_block=_target(one),
        cause=MissCause.REORGED,
        evidence=f"it landed in block {one.landed.block_number} ({one.landed.block_hash}), which a"
        f" reorg took back; {now}",
        tx_hash=one.landed.tx_hash,
    )
