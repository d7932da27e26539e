# ruff: noqa: ARG002 - the fakes take what the real ones take
import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk, Forger
from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import Entry
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Address, HeadChange
from toolkit.model.errors import (
    JournalUnavailable,
    NodeTimeout,
)
from toolkit.model.tx import (
    Attempt,
    Confirmed,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
)
from toolkit.testing.fakes import FRIEND, OWNER, Mempool, World


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


async def test_priorities_go_first(desk: Desk) -> None:
    """Of what waits for a nonce, the higher priority gets the next one."""
    desk.config = msgspec.structs.replace(CONFIG, max_in_flight=1)
    scheduler = await desk.open()
    for value, priority in ((1, 0), (2, 0), (3, 5), (4, 5)):
        await scheduler.send(TransactionRequest(to=FRIEND, value=value), priority=priority)
    for _ in range(5):
        await desk.mine()

    mined = [tx.unsigned.value for block in desk.world.blocks for tx in block.transactions]
    assert [1, 3, 4, 2] == mined


async def test_nonces_follow_the_order_of_calls_however_slow_the_checks(desk: Desk) -> None:
    """A request whose preflight takes longer is not overtaken by the ones behind it."""
    turns = random.Random(3)

    class Uneven(World):
        async def estimate_gas(self, request: TransactionRequest, *, sender: str) -> int:
            for _ in range(turns.randrange(30)):
                await asyncio.sleep(0)
            return 21_000

    desk.world = Uneven(random.Random(7))
    desk.public = Mempool(desk.world)
    scheduler = await desk.open()
    await asyncio.gather(
        *(scheduler.send(TransactionRequest(to=FRIEND, value=value)) for value in range(16))
    )

    assert list(range(16)) == [desk.world.pool[nonce].unsigned.value for nonce in range(16)]


async def test_acceptance_does_not_wait_for_another_answer(desk: Desk) -> None:
    """While one attempt's answer is out, the next request is accepted and sent."""
    full, release = asyncio.Event(), asyncio.Event()

    class Slow(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            await super().send(attempt, target_block=target_block)
            if len(desk.world.pool) == 16:
                full.set()
            await release.wait()

    desk.public = Slow(desk.world)
    scheduler = await desk.open()
    calls = [asyncio.create_task(scheduler.send(PAYMENT)) for _ in range(16)]
    await full.wait()

    assert not any(call.done() for call in calls)
    release.set()
    await asyncio.gather(*calls)
    assert 16 == desk.world.sends


async def test_one_lane_that_cannot_look_does_not_hold_up_the_others(desk: Desk) -> None:
    """A node fails for one account: the other lane goes on, and the head may be given again."""
    other = LocalSigner("0x" + "0b" * 32)

    class Half(World):
        broken = False

        async def nonce(self, account: Address, block: int | str = "latest") -> int:
            if self.broken and account == other.address:
                raise NodeTimeout("no answer")
            for _ in range(3):
                await asyncio.sleep(0)
            return await super().nonce(account, block)

    world = desk.world = Half(random.Random(7))
    desk.public, desk.signers = Mempool(world), [OWNER, other]
    scheduler = await desk.open()
    mine, theirs = [
        await scheduler.send(msgspec.structs.replace(PAYMENT, sender=signer.address))
        for signer in (OWNER, other)
    ]
    before = scheduler._runners[other.address].state
    first = scheduler._runners[OWNER.address].state.jobs[mine.request_id].last.signed
    world.pool_of = {OWNER.address: {0: first}}
    head, world.broken = world.mine(), True
    with pytest.raises(NodeTimeout):
        await scheduler.on_head(HeadChange(added=(head,)))

    assert isinstance(await mine.wait(), Confirmed)
    assert before is scheduler._runners[other.address].state
    world.broken = False
    await scheduler.on_head(HeadChange(added=(head,)))
    assert theirs.status().nonce == 0


class SlowAt(Forger):
    """Signs one nonce only when released, and tells when it was asked to."""

    def __init__(self, nonce: int) -> None:
        self.nonce = nonce
        self.signing, self.release = asyncio.Event(), asyncio.Event()

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        if unsigned.nonce == self.nonce and not self.release.is_set():
            self.signing.set()
            await self.release.wait()
        return OWNER.sign_transaction_now(unsigned)


async def test_a_head_that_is_cut_off_while_signing_leaves_nothing_behind(desk: Desk) -> None:
    """What was signed by then is sent at the next head, as if it had never been about to be."""
    slow = SlowAt(3)
    desk.signers = [slow]
    desk.config = msgspec.structs.replace(CONFIG, max_in_flight=2)
    scheduler = await desk.open()
    sent = [await scheduler.send(PAYMENT) for _ in range(4)]
    head = desk.world.mine()
    change = HeadChange(added=(head,))
    cut = asyncio.create_task(scheduler.on_head(change))
    await slow.signing.wait()
    cut.cancel()
    await asyncio.wait([cut])
    slow.release.set()
    await scheduler.on_head(change)

    assert [2, 3] == sorted(desk.world.pool)
    await desk.mine()
    assert all([isinstance(await one.wait(), Confirmed) for one in sent])


async def test_a_head_that_is_cut_off_while_signing_forgets_no_repetition(desk: Desk) -> None:
    """What the same head would have handed out again is handed out at the next one."""
    slow = SlowAt(2)
    desk.signers = [slow]
    desk.config = msgspec.structs.replace(CONFIG, max_in_flight=2)
    scheduler = await desk.open()
    sent = [await scheduler.send(PAYMENT)]
    desk.world.faults = {"refused": 1.0}  # so that nobody has the second one yet
    sent.append(await scheduler.send(PAYMENT))
    desk.world.faults = {}
    sent.append(await scheduler.send(PAYMENT))
    change = HeadChange(added=(desk.world.mine(capacity=1),))
    cut = asyncio.create_task(scheduler.on_head(change))
    await slow.signing.wait()
    cut.cancel()
    await asyncio.wait([cut])
    slow.release.set()
    await scheduler.on_head(change)
    await desk.mine(capacity=0)

    assert [1, 2] == sorted(desk.world.pool)
    await desk.mine()
    assert all([isinstance(await one.wait(), Confirmed) for one in sent])


async def test_a_key_of_what_never_became_durable_is_no_answer(desk: Desk) -> None:
    """A request that the journal could not keep is not handed out as accepted, ever."""

    class Full(MemoryBackend):
        full = False

        def write(self, entries: Sequence[Entry]) -> None:
            if self.full:
                raise JournalUnavailable("disk full")
            super().write(entries)

    desk.backend = backend = Full()
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    backend.full = True
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await scheduler.send(PAYMENT, idempotency_key="k")

    assert 1 == desk.world.sends
