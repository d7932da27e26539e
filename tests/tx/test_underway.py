"""How much a destination may leave unanswered."""

import asyncio
import random

from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Mode
from toolkit.model.tx import Attempt, TransactionRequest
from toolkit.testing.fakes import ETHER, FRIEND, InlineJournal, Mempool, SlowSigner, World
from toolkit.tx.runner import MOST_UNDERWAY
from toolkit.tx.scheduler import SchedulerConfig, TransactionScheduler

MORE = MOST_UNDERWAY + 8


class Silent(Mempool):
    """Answers nobody until it is told to."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.waiting = self.most = 0
        self.answers = asyncio.Event()

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.answers.wait()
        self.waiting -= 1
        await super().send(attempt, target_block=target_block)


async def test_a_silent_destination_has_64_hand_overs_at_most() -> None:
    """The others wait for their turn, and all arrive when it speaks again."""
    world = World(random.Random(1))
    silent = Silent(world)
    journal = InlineJournal(MemoryBackend())
    scheduler = TransactionScheduler(
        world,
        signers=[SlowSigner(world)],
        journal=journal,
        oracle=world,
        chain_id=1,
        mode=Mode.DEV,
        config=SchedulerConfig(max_cost_wei=ETHER, max_in_flight=MORE),
        public=silent,
    )
    await scheduler.start()
    payment = TransactionRequest(to=FRIEND, value=1, gas=21_000)
    sends = [
        asyncio.create_task(scheduler.send(payment, idempotency_key=f"{number}"))
        for number in range(MORE)
    ]
    for _ in range(4_000):
        await asyncio.sleep(0)

    assert MORE == scheduler.statistics().lanes[0].in_flight
    assert MOST_UNDERWAY == silent.most
    silent.answers.set()
    await asyncio.gather(*sends)
    assert MORE == len(world.pool)
    await scheduler.close()
    await journal.close()
