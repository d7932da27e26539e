# ruff: noqa: ARG002 - the fakes take what the real ones take
import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk
from toolkit.model.errors import (
    AccountLimit,
    ConfigError,
    InsufficientFunds,
    LaneHalted,
    NodeTimeout,
)
from toolkit.model.tx import (
    Attempt,
    Confirmed,
    Exposure,
)
from toolkit.testing.fakes import FRIEND, OWNER, Mempool, World
from toolkit.tx.scheduler import Sent, TransactionScheduler


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


# What a lane says of itself.


async def test_states_on_the_way(desk: Desk) -> None:
    """Each state has its name: what a caller sees is what the lane knows."""
    desk.config = msgspec.structs.replace(CONFIG, max_in_flight=1, finality_blocks=3)
    desk.world.faults = {"refused": 1.0}
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    second = await scheduler.send(PAYMENT)
    assert ("prepared", Exposure.NONE) == (first.status().state, first.status().exposure)
    assert "queued" == second.status().state
    assert "1 nonces are in flight, the window is 1" == second.status().waiting_for
    assert first.status().waiting_for == scheduler.statistics().lanes[0].waiting
    assert "nobody is known to have" in first.status().waiting_for

    desk.world.faults = {}
    await desk.mine(capacity=0)
    assert ("broadcast", 0) == (first.status().state, first.status().nonce)
    states = []
    for _ in range(4):
        await desk.mine()
        states.append(first.status().state)
    assert ["confirmed", "confirmed", "finalized", "finalized"] == states


async def test_mined_but_not_confirmed(desk: Desk) -> None:
    """Between its block and its confirmations a request is mined."""
    desk.config = msgspec.structs.replace(CONFIG, confirmations=3)
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()

    assert "mined" == sent.status().state


async def _final_and_reorged(desk: Desk) -> tuple[TransactionScheduler, Sent]:
    desk.config = msgspec.structs.replace(CONFIG, finality_blocks=2)
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT, idempotency_key="k")
    await desk.mine()
    await desk.mine()
    await desk.mine()
    assert isinstance(await sent.wait(), Confirmed)
    desk.world.known.clear()
    await scheduler.on_head(desk.world.reorg(3))
    return scheduler, sent


async def test_a_reorg_below_finality_halts_the_lane(desk: Desk) -> None:
    """It is told loudly: journal, statistics, and every further send, also after a restart."""
    scheduler, _ = await _final_and_reorged(desk)

    with pytest.raises(LaneHalted, match="resume it"):
        await scheduler.send(PAYMENT)
    assert scheduler.statistics().lanes[0].halted != ""
    assert 1 == desk.kinds().count("tx.halted")
    await desk.close()
    scheduler = await desk.open()
    with pytest.raises(LaneHalted):
        await scheduler.send(PAYMENT)


async def test_a_halted_lane_goes_on_when_it_is_resumed(desk: Desk) -> None:
    """After resume the request that was taken back is sent again and mined once."""
    scheduler, sent = await _final_and_reorged(desk)
    await scheduler.resume(OWNER.address)
    await desk.mine()
    await desk.mine()

    assert "" == scheduler.statistics().lanes[0].halted
    assert isinstance(await sent.wait(), Confirmed)
    assert 1 == desk.world.spent
    with pytest.raises(ConfigError, match="no signer for"):
        await scheduler.resume(FRIEND)


async def test_an_end_that_is_taken_back_is_open_again(desk: Desk) -> None:
    """Handles, old and new ones, wait for the next end instead of repeating the last one."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT, idempotency_key="k")
    await desk.mine()
    assert isinstance(await sent.wait(), Confirmed)
    desk.world.known.clear()
    await scheduler.on_head(desk.world.reorg(1))
    waiting = asyncio.create_task(sent.wait())
    await asyncio.sleep(0)

    assert not waiting.done()
    assert "broadcast" == sent.status().state
    waiting.cancel()
    await asyncio.wait([waiting])
    del sent, waiting
    again = await scheduler.send(PAYMENT, idempotency_key="k")
    assert "broadcast" == again.status().state
    await desk.mine()
    assert isinstance(await again.wait(), Confirmed)


async def test_depth_is_counted_on_the_branch_that_stays(desk: Desk) -> None:
    """Who waits for three blocks has three of the new branch; who had its answer keeps it."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()
    shallow, waiting = await sent.wait(), asyncio.create_task(sent.wait(3))
    await desk.mine()
    desk.world.known.clear()
    await scheduler.on_head(desk.world.reorg(2))
    told = []
    for _ in range(3):
        await desk.mine()
        await asyncio.sleep(0)
        told.append(waiting.done())
    deep = await waiting

    assert isinstance(shallow, Confirmed)
    assert isinstance(deep, Confirmed)
    assert [False, False, True] == told
    assert (1, desk.world.tip.number - 2) == (shallow.block_number, deep.block_number)
    assert (1, "confirmed") == (scheduler.statistics().reopened, sent.status().state)


# Delegated accounts.


class Delegated(World):
    """An account that begins to run code at some time."""

    delegate = False
    asked = 0

    async def code(self, account: str, block: int | str = "latest") -> str:
        self.asked += 1
        return "0xef0100" + "ab" * 20 if self.delegate else "0x"


async def test_a_delegated_account_sends_one_at_a_time(desk: Desk) -> None:
    """From the first request on, no second nonce is out before the first is mined."""
    world = desk.world = Delegated(random.Random(7))
    world.delegate = True
    desk.public = Mempool(world)
    scheduler = await desk.open()
    for _ in range(3):
        await scheduler.send(PAYMENT)
    assert [0] == list(world.pool)
    for _ in range(6):
        await desk.mine()

    assert 3 == world.spent
    assert world.asked <= 2


async def test_a_pool_that_says_so_makes_the_lane_ask(desk: Desk) -> None:
    """An account that was delegated meanwhile is noticed when the pool refuses a second one."""

    class Limited(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            if world.delegate and world.pool and attempt.signed.unsigned.nonce not in world.pool:
                raise AccountLimit("in-flight transaction limit reached for delegated accounts")
            await super().send(attempt, target_block=target_block)

    world = desk.world = Delegated(random.Random(7))
    desk.public = Limited(world)
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    world.delegate = True
    for _ in range(4):
        await scheduler.send(PAYMENT)
    await desk.mine(capacity=0)
    assert 1 == scheduler._runners[OWNER.address].state.window
    for _ in range(14):
        await desk.mine(capacity=1)

    assert 5 == world.spent
    assert "" == scheduler.statistics().lanes[0].waiting


async def test_a_top_up_counts_at_once(desk: Desk) -> None:
    """An account is refused by what it has now, not by what it had at the last head."""
    desk.world.balance_wei = 0
    scheduler = await desk.open()
    with pytest.raises(InsufficientFunds, match="has 0 ether at hand"):
        await scheduler.send(PAYMENT)

    desk.world.balance_wei = 10**18
    await scheduler.send(PAYMENT)
    assert [0] == list(desk.world.pool)


# Ending.


async def test_closing_does_not_wait_for_answers(desk: Desk) -> None:
    """A destination that never answers does not keep a scheduler open, nor its requests lost."""
    arrived, never = asyncio.Event(), asyncio.Event()

    class Hung(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            arrived.set()
            await never.wait()
            raise NodeTimeout("no answer")

    good = desk.public
    desk.public = Hung(desk.world)
    scheduler = await desk.open()
    call = asyncio.create_task(scheduler.send(PAYMENT, idempotency_key="k"))
    await arrived.wait()
    await asyncio.wait_for(desk.scheduler.close(), 1)
    call.cancel()
    await asyncio.wait([call])
    await desk.journal.close()

    desk.public = good
    scheduler = await desk.open()
    again = await scheduler.send(PAYMENT, idempotency_key="k")
    await desk.mine()
    assert isinstance(await again.wait(), Confirmed)
    assert 1 == desk.world.spent


async def test_memory_does_not_grow_with_history(desk: Desk) -> None:
    """Ended requests leave nothing behind in the process; their keys still answer."""
    scheduler = await desk.open()
    for number in range(100):
        await scheduler.send(PAYMENT, idempotency_key=f"k{number}")
        if number % 10 == 9:
            await desk.mine()
    for _ in range(70):
        await desk.mine()

    runner = scheduler._runners[OWNER.address]
    assert 0 == len(scheduler._tracks) == len(runner.state.jobs) == len(runner.causes)
    assert not scheduler._acceptance._keys._locks
    assert not scheduler._followers._waiting
    again = await scheduler.send(PAYMENT, idempotency_key="k7")
    assert isinstance(await again.wait(), Confirmed)
    assert 100 == desk.world.spent
