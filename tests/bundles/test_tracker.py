from collections.abc import Callable
from typing import Any

import pytest

from toolkit.bundles.entries import RESULT, BundleEnded
from toolkit.bundles.evidence import RelayAnswer, Submission
from toolkit.bundles.hashes import bundle_hash
from toolkit.bundles.reenactment import ReceiptsLate
from toolkit.bundles.tracker import Ended, Tracker
from toolkit.chain.node import Node
from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import Bundle, BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import Head, HeadChange
from toolkit.model.errors import LaneHalted
from toolkit.model.tx import SignedTransaction

Sign = Callable[..., SignedTransaction]
Make = Callable[..., Bundle]


class Desk:
    """A tracker on a chain, a pair of our transactions for block 1, and what it told again."""

    def __init__(self, chain: Any, pair: tuple[SignedTransaction, ...], bundle: Bundle) -> None:
        self.chain = chain
        self.pair = pair
        self.journal = Journal(MemoryBackend())
        self.revised: list[tuple[BundleResult, BundleResult]] = []
        self.tracker = Tracker(
            chain.node,
            journal=self.journal,
            simulator=None,
            revised=lambda before, now: self.revised.append((before, now)),
        )
        self.submission = Submission(
            bundle=bundle,
            bundle_hash=bundle_hash(bundle.hashes),
            transactions=pair,
            own=frozenset({pair[0].sender}),
            answers=(RelayAnswer(relay="r", accepted=True, head_number=0),),
        )

    async def first(self, *mined: SignedTransaction) -> Ended:
        """Seal block 1 with these, and watch the end that it makes."""
        change = await self.chain.seal(*(one.raw for one in mined))
        block = await self.tracker.block(change.added[0], newest=1)
        assert block is not None
        result = await self.tracker.end_of(self.submission, block)
        sent = self.journal.append("bundle_submitted", {})
        return self.tracker.watch(self.submission, result, journal_seq=sent)

    async def next(self, *mined: SignedTransaction) -> None:
        await self.tracker.on_head(await self.chain.seal(*(one.raw for one in mined)))

    async def reorg(self, depth: int, *mined: SignedTransaction) -> None:
        """Replace blocks; the first of the new ones has these."""
        newest = (await self.chain.node.head()).number
        numbers = range(newest - depth + 1, newest + 1)
        reverted = [await self.chain.node.head(number) for number in numbers]
        await self.chain.node.rpc.call("anvil_reorg", [depth, [[one.raw, 0] for one in mined]])
        added = [await self.chain.node.head(number) for number in numbers]
        await self.tracker.on_head(
            HeadChange(added=tuple(added), reverted=tuple(reversed(reverted)))
        )


@pytest.fixture
async def desk(chain: Any, signer: LocalSigner, transfer: Sign, bundle_of: Make) -> Any:
    await chain.fund(signer.address)
    pair = (transfer(signer), transfer(signer, nonce=1))
    made = Desk(chain, pair, bundle_of(*pair))
    yield made
    made.tracker.close()
    await made.journal.close()


def cause_of(result: BundleResult) -> MissCause | None:
    return result.cause if isinstance(result, Missed) else None


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_what_landed_and_is_gone_is_reorged(desk: Desk, depth: int) -> None:
    """At every depth up to three the end is told again, journalled, and counted as what it is."""
    ended = await desk.first(*desk.pair)
    told = ended.result
    for _ in range(depth - 1):
        await desk.next()

    await desk.reorg(depth)

    assert isinstance(told, Landed)
    assert isinstance(ended.result, Missed)
    assert MissCause.REORGED is ended.result.cause
    assert told.block_hash in ended.result.evidence
    assert [(told, ended.result)] == desk.revised
    (entry,) = desk.journal.entries(RESULT)
    assert desk.journal.is_durable(entry.seq)
    assert (1, ended.result) == (entry.cause, desk.journal.decode(entry, BundleEnded).result)


async def test_it_may_land_again(desk: Desk) -> None:
    """The same bundle whole and in order in the block's new version, or in a later one: Landed."""
    ended = await desk.first(*desk.pair)

    await desk.reorg(1, *desk.pair)
    again = ended.result
    await desk.reorg(1)
    lost = ended.result
    await desk.next(*desk.pair)

    assert isinstance(again, Landed)
    assert MissCause.REORGED is cause_of(lost)
    assert isinstance(ended.result, Landed)
    assert (1, 2) == (again.block_number, ended.result.block_number)


async def test_half_of_it_in_the_new_block_is_partial(desk: Desk) -> None:
    """A replay of the first transaction alone is what its author must hear of."""
    ended = await desk.first(*desk.pair)

    await desk.reorg(1, desk.pair[0])

    assert MissCause.PARTIAL is cause_of(ended.result)
    assert isinstance(ended.result, Missed)
    assert desk.pair[0].hash in ended.result.evidence


async def test_a_stray_in_a_later_block_is_partial(desk: Desk) -> None:
    """What missed and then shows up in a block behind its own leaked: the end is told again."""
    ended = await desk.first()
    before = ended.result

    await desk.next(desk.pair[0])

    assert MissCause.PARTIAL is not cause_of(before)
    assert MissCause.PARTIAL is cause_of(ended.result)


async def test_a_miss_may_land_by_a_reorg(desk: Desk) -> None:
    """The block in the place of the one that lacked it has it: Landed."""
    ended = await desk.first()

    await desk.reorg(1, *desk.pair)

    assert isinstance(ended.result, Landed)


async def test_what_was_told_anew_settles_anew(desk: Desk) -> None:
    """A deep reorg takes an end back: however deep its block is, three more blocks are watched,
    in the last of which it may land again."""
    ended = await desk.first(*desk.pair)
    await desk.next()
    await desk.next()
    await desk.reorg(3)
    await desk.next()
    await desk.next()
    await desk.next(*desk.pair)

    assert isinstance(ended.result, Landed)
    assert 6 == ended.result.block_number
    assert not ended.confirmed[2].done()


async def test_ends_settle_under_three_blocks(desk: Desk) -> None:
    """Each confirmation is told when it is there, by the end as it is; then nobody watches."""
    ended = await desk.first(*desk.pair)
    done = []
    for _ in range(3):
        await desk.next()
        done.append([one.done() for one in ended.confirmed])

    assert [[True, False, False], [True, True, False], [True, True, True]] == done
    assert ended.result == ended.confirmed[2].result()
    assert [] == desk.tracker._watched


async def test_who_waits_is_told_that_nobody_follows(desk: Desk) -> None:
    """After the close a confirmation fails, as every other wait of a bundle does."""
    ended = await desk.first(*desk.pair)

    desk.tracker.close()

    with pytest.raises(LaneHalted, match="the session is closed"):
        await ended.confirmed[0]


class Lagging(Node):
    """A node that has no receipts of its newest blocks."""

    def __init__(self, node: Node, *, blocks: int, empty: bool) -> None:
        super().__init__(node.rpc)
        self.blocks = blocks
        self.empty = empty

    async def receipts(self, block: Any) -> Any:
        head, newest = await self.head(block), await self.head()
        if newest.number - head.number < self.blocks:
            return () if self.empty else await super().receipts("0x" + "ee" * 32)
        return await super().receipts(block)


async def test_no_end_settles_on_blocks_that_were_not_read(desk: Desk) -> None:
    """A stray in a block whose receipts are late is told once they are there."""
    ended = await desk.first()
    desk.tracker._node = Lagging(desk.chain.node, blocks=2, empty=False)
    await desk.next()
    await desk.next()
    await desk.next(desk.pair[0])
    await desk.next()
    unread = ended.result
    await desk.next()

    assert MissCause.PARTIAL is not cause_of(unread)
    assert MissCause.PARTIAL is cause_of(ended.result)


@pytest.mark.parametrize("empty", [False, True])
async def test_late_receipts_are_waited_for(
    chain: Any, signer: LocalSigner, transfer: Sign, *, empty: bool
) -> None:
    """A block whose receipts are null, or fewer than its transactions, is not judged: for two
    blocks it is waited for, and then it is an error that says so."""
    await chain.fund(signer.address)
    node = Lagging(chain.node, blocks=2, empty=empty)
    journal = Journal(MemoryBackend())
    tracker = Tracker(node, journal=journal, simulator=None, revised=lambda *_: None)
    one = transfer(signer)
    head: Head = (await chain.seal(one.raw)).added[0]

    early = [await tracker.block(head, newest=1)]
    await chain.seal()
    early.append(await tracker.block(head, newest=2))
    with pytest.raises(ReceiptsLate, match="receipts"):
        await tracker.block(head, newest=3)
    await chain.seal()
    block = await tracker.block(head, newest=3)

    assert [None, None] == early
    assert block is not None
    assert [one.hash] == [each.transaction_hash for each in block.receipts]
    await journal.close()
