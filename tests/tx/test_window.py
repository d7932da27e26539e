# ruff: noqa: ARG002 - the fakes take what the real ones take
"""One lane under latency: its window is full whenever a block is sealed."""

import asyncio
import random

import pytest

from tests.tx.clock import run
from tests.tx.desk import CONFIG
from toolkit.chain.node import AccountLook
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Hash, Head, HeadChange, Mode, Receipt
from toolkit.model.tx import Attempt, FeeQuote, TransactionRequest, Urgency
from toolkit.testing.fakes import FRIEND, OWNER, InlineJournal, Mempool, World
from toolkit.tx.scheduler import TransactionScheduler

BLOCKS, SLOT_S, WINDOW = 50, 12.0, 16
REQUESTS = 1_000


class Far(World):
    """A world on the other side of an ocean."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(random.Random(7))
        self.latency_s = latency_s
        self.sealed_s = 0.0  # when the last block was
        self.arrived_s: list[float] = []  # since then

    async def quote(self, urgency: Urgency = Urgency.SOON, *, head: Head | None = None) -> FeeQuote:
        await asyncio.sleep(self.latency_s)
        return await super().quote(urgency, head=head)

    async def _asked(self) -> None:
        await asyncio.sleep(self.latency_s)

    async def look(self, account: str, block: int, hashes: tuple[Hash, ...] = ()) -> AccountLook:
        await self._asked()
        receipts = tuple(_found(self, tx_hash) for tx_hash in hashes)
        return AccountLook(
            nonce=self.blocks[block].count, balance_wei=self.balance_wei, receipts=receipts
        )


def _found(world: World, tx_hash: Hash) -> Receipt | None:
    for block in reversed(world.blocks):
        for index, tx in enumerate(block.transactions):
            if tx.hash == tx_hash:
                return Receipt(
                    transaction_hash=tx.hash,
                    block_number=block.head.number,
                    block_hash=block.head.hash,
                    transaction_index=index,
                    sender=tx.sender,
                    to=tx.unsigned.to,
                    succeeded=True,
                    gas_used=21_000,
                    effective_gas_price=1,
                )
    return None


class FarPool(Mempool):
    """Takes a latency to get there and another one to answer."""

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        world = self.world
        assert isinstance(world, Far)
        await asyncio.sleep(world.latency_s)
        await super().send(attempt, target_block=target_block)
        world.arrived_s.append(asyncio.get_running_loop().time() - world.sealed_s)
        await asyncio.sleep(world.latency_s)


class Mute(Mempool):
    """Takes everything, and never says so."""

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        await super().send(attempt, target_block=target_block)
        await asyncio.Event().wait()


class Near(FarPool):
    """A call there and back takes one latency."""

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        world = self.world
        assert isinstance(world, Far)
        await asyncio.sleep(world.latency_s / 2)
        await Mempool.send(self, attempt, target_block=target_block)
        await asyncio.sleep(world.latency_s / 2)


async def _live(
    world: Far, *, slot_s: float = SLOT_S, pool: type[Mempool] = FarPool, in_turn: bool = True
) -> list[int]:
    """Seal a block each slot; returns how many transactions each has.

    `in_turn` a head is told when the one before is through, else as soon as it is there.
    """
    journal = InlineJournal(MemoryBackend())
    scheduler = TransactionScheduler(
        world,
        signers=[OWNER],
        journal=journal,
        oracle=world,
        chain_id=1,
        mode=Mode.DEV,
        config=CONFIG,
        public=pool(world),
    )
    await scheduler.start()
    requests = [TransactionRequest(to=FRIEND, value=value) for value in range(REQUESTS)]
    calls = asyncio.gather(*(scheduler.send(request) for request in requests))
    counts = []
    async with asyncio.TaskGroup() as group:
        heads = None
        for _ in range(BLOCKS):
            await asyncio.sleep(slot_s)
            head, world.sealed_s = world.mine(capacity=99), asyncio.get_running_loop().time()
            counts.append(len(world.blocks[-1].transactions))
            if heads is not None and in_turn:
                await heads
            heads = group.create_task(scheduler.on_head(HeadChange(added=(head,))))
    await scheduler.close()
    calls.cancel()
    await asyncio.wait([calls])
    await journal.close()
    values = [tx.unsigned.value for block in world.blocks for tx in block.transactions]
    assert values == list(range(len(values))), "order"
    return counts


@pytest.mark.parametrize("latency_s", [0.0, 0.3, 1.0])
def test_a_lane_keeps_its_window_full(latency_s: float) -> None:
    """With a queue that never ends, each block takes sixteen, in order, whatever the latency."""
    world = Far(latency_s)
    counts = run(_live(world))

    assert sum(counts) / BLOCKS >= 15.5
    assert max(counts) <= WINDOW
    slow = [arrived for arrived in world.arrived_s[WINDOW:] if arrived > 2 * latency_s + 0.01]
    assert len(slow) <= 2 * WINDOW, "one look, then the way there; rarely one at the code as well"


@pytest.mark.parametrize(("slot_s", "pool"), [(2.5, FarPool), (2.0, Near)])
def test_a_window_stays_full_although_answers_come_after_the_next_block(
    slot_s: float, pool: type[Mempool]
) -> None:
    """Blocks as short as look and way there, a second of latency each: what is sent fills each."""
    world = Far(1.0)
    counts = run(_live(world, slot_s=slot_s, pool=pool, in_turn=False))

    assert sum(counts) / BLOCKS >= 15.0, counts
    assert max(counts) <= WINDOW


@pytest.mark.parametrize("patience_s", [None, 0.5])
def test_a_destination_that_never_answers_hides_no_head(patience_s: float | None) -> None:
    """Each head is looked at when it comes, whatever was sent for the one before."""

    async def live() -> tuple[list[float], int]:
        world, journal = Far(0.3), InlineJournal(MemoryBackend())
        scheduler = TransactionScheduler(
            world,
            signers=[OWNER],
            journal=journal,
            oracle=world,
            chain_id=1,
            mode=Mode.DEV,
            config=CONFIG,
            public=Mute(world),
        )
        await scheduler.start()
        request = TransactionRequest(to=FRIEND, value=1)
        calls = [asyncio.create_task(scheduler.send(request)) for _ in range(60)]
        looked, heads = [], []
        for _ in range(6):
            await asyncio.sleep(2.0)
            change = HeadChange(added=(world.mine(capacity=99),))
            heads.append(asyncio.create_task(scheduler.on_head(change, patience_s=patience_s)))
            came = asyncio.get_running_loop().time()
            lanes = scheduler.statistics
            while lanes().lanes[0].chain_nonce < world.spent:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.01)
            looked.append(asyncio.get_running_loop().time() - came)
        mined = world.spent
        await scheduler.close()
        await asyncio.wait([*heads, *calls], timeout=1.0)
        hung = asyncio.all_tasks() - {*heads[-1:], *calls, asyncio.current_task()}
        for task in (*heads, *calls):
            task.cancel()
        await asyncio.wait([*heads, *calls])
        await journal.close()
        assert not hung
        return looked, mined

    looked, mined = run(live())

    assert max(looked) < 0.7
    assert mined >= 60
