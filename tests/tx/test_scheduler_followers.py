import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk, Forger
from toolkit.chain.signer import LocalSigner
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Hash, HeadChange, Mode
from toolkit.model.errors import (
    ConfigError,
    GasLimitTooHigh,
)
from toolkit.model.tx import (
    Attempt,
    Cancelled,
    Confirmed,
    DryRun,
    Reverted,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
)
from toolkit.testing.fakes import FRIEND, OWNER, REVERTING, Mempool, World
from toolkit.tx.events import LaneOpened
from toolkit.tx.handle import Track
from toolkit.tx.lane import open_lane
from toolkit.tx.pulse import Pulse
from toolkit.tx.scheduler import Sent

STRANGER = LocalSigner("0x" + "77" * 32)
BAD = TransactionRequest(to=FRIEND, data=REVERTING, gas=90_000)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


@pytest.mark.parametrize(("chain_id", "signer"), [(1, STRANGER), (2, OWNER)])
async def test_a_request_of_another_session_is_no_predecessor(
    desk: Desk, chain_id: int, signer: LocalSigner
) -> None:
    """Journals give the same names: what is meant may not be what is called so here."""
    state = open_lane(
        LaneOpened(
            lane=signer.address,
            chain_id=chain_id,
            limits=CONFIG.limits(),
            anchor_block=0,
            anchor_hash=Hash("0x" + "00" * 32),
        )
    )
    scheduler = await desk.open()
    here = await scheduler.send(PAYMENT)
    track = Track(here.request_id, lane=lambda: state, heads=Pulse(), journal=desk.journal)
    elsewhere = Sent(track, scheduler, most_confirmations=1)

    with pytest.raises(ConfigError, match="no account of this session"):
        await scheduler.send(PAYMENT, after=elsewhere)


async def test_a_follower_waits_for_a_success(desk: Desk) -> None:
    """B gets no nonce before A is confirmed, and is then sent and mined."""
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    second = await scheduler.send(PAYMENT, after=first)
    assert (None, "queued") == (second.tx_hash, second.status().state)
    assert f"waits for {first.request_id} to be confirmed" in second.status().waiting_for

    await desk.mine()
    assert second.tx_hash is not None
    await desk.mine()
    assert isinstance(await second.wait(), Confirmed)
    assert 2 == desk.world.spent


async def test_a_follower_of_a_failure_is_cancelled(desk: Desk) -> None:
    """B is not sent when A reverts; it says why, and costs nothing."""
    scheduler = await desk.open()
    first = await scheduler.send(BAD, simulate=False)
    second = await scheduler.send(PAYMENT, after=first.request_id)
    await desk.mine()

    outcome = await second.wait()
    assert isinstance(await first.wait(), Reverted)
    assert isinstance(outcome, Cancelled)
    assert first.request_id in outcome.reason
    assert "Reverted" in outcome.reason
    assert 1 == desk.world.spent


async def test_a_follower_of_something_past_goes_at_once(desk: Desk) -> None:
    """A predecessor may have ended long ago; one that nobody knows is refused."""
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    await desk.mine()
    for _ in range(70):
        await desk.mine()
    assert first.request_id not in scheduler._runners[OWNER.address].state.jobs
    second = await scheduler.send(PAYMENT, after=first.request_id)

    assert second.tx_hash is not None
    with pytest.raises(ConfigError, match="'tx-999999'"):
        await scheduler.send(PAYMENT, after="tx-999999")


async def test_a_follower_goes_on_after_a_restart(desk: Desk) -> None:
    """Also when the process died between A's end and B's release."""
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT, idempotency_key="a")
    second = await scheduler.send(PAYMENT, after=first, idempotency_key="b")
    await desk.close()
    scheduler = await desk.open()
    await desk.mine()
    await desk.close()
    rows = list(desk.backend.load())
    cut = next(index for index, row in enumerate(rows) if row.kind == "tx.released")
    desk.backend = MemoryBackend(rows[:cut])
    desk.world.pool.clear()

    scheduler = await desk.open()
    again = await scheduler.send(PAYMENT, after=first, idempotency_key="b")
    assert second.request_id == again.request_id
    assert again.tx_hash is not None
    await desk.mine()
    await desk.mine()
    assert isinstance(await again.wait(), Confirmed)
    assert 2 == desk.world.spent


async def test_a_follower_of_what_could_never_be_sent_is_cancelled(desk: Desk) -> None:
    """A predecessor that the pool refuses for good, without an outcome, ends its follower too."""

    class Refusing(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            if attempt.signed.unsigned.value == 13:
                raise GasLimitTooHigh("exceeds block gas limit")
            await super().send(attempt, target_block=target_block)

    desk.public = Refusing(desk.world)
    desk.config = msgspec.structs.replace(CONFIG, max_in_flight=1)
    scheduler = await desk.open()
    await scheduler.send(PAYMENT)
    refused = await scheduler.send(TransactionRequest(to=FRIEND, value=13))
    follower = await scheduler.send(PAYMENT, after=refused)
    for _ in range(4):
        await desk.mine()

    outcome = await follower.wait()
    assert isinstance(outcome, Cancelled)
    assert "exceeds block gas limit" in outcome.reason
    assert ("failed", 1) == (refused.status().state, desk.world.spent)


async def test_many_followers_go_at_once(desk: Desk) -> None:
    """Those of one predecessor do not wait for each other's answers."""
    full, release = asyncio.Event(), asyncio.Event()

    class Slow(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            await super().send(attempt, target_block=target_block)
            if len(desk.world.pool) == 10:
                full.set()
            if attempt.signed.unsigned.nonce:
                await release.wait()

    desk.public = Slow(desk.world)
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    for _ in range(10):
        await scheduler.send(PAYMENT, after=first)
    heads = asyncio.create_task(desk.mine())
    await full.wait()
    release.set()
    await heads

    assert list(range(1, 11)) == sorted(desk.world.pool)


async def test_a_release_that_is_cut_off_is_made_up_for() -> None:
    """Whenever a head is abandoned while followers go, the next one finds and sends them."""

    class Slow(Forger):
        async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
            for _ in range(3):
                await asyncio.sleep(0)
            return OWNER.sign_transaction_now(unsigned)

    for turns in range(24):
        world = World(random.Random(7))
        here = Desk(world)
        here.signers = [Slow()]
        scheduler = await here.open()
        first = await scheduler.send(PAYMENT)
        sent = [await scheduler.send(PAYMENT, after=first) for _ in range(3)]
        change = HeadChange(added=(world.mine(),))
        cut = asyncio.create_task(scheduler.on_head(change))
        for _ in range(turns):
            await asyncio.sleep(0)
        cut.cancel()
        await asyncio.wait([cut])
        await scheduler.on_head(change)
        for _ in range(3):
            await here.mine()

        assert ["confirmed"] * 3 == [one.status().state for one in sent], turns
        assert 4 == world.spent
        await here.close()


async def test_a_chain_of_followers_is_cancelled_as_a_whole(desk: Desk) -> None:
    """Who follows a cancelled follower is cancelled too."""
    scheduler = await desk.open()
    chain: list[Sent] = [await scheduler.send(PAYMENT)]
    for _ in range(3):
        chain.append(await scheduler.send(PAYMENT, after=chain[-1]))
    await chain[1].cancel()

    assert [Cancelled] * 3 == [type(await one.wait()) for one in chain[1:]]


async def test_a_dry_run_waits_for_nobody(desk: Desk) -> None:
    """Nothing is sent, so what was to come first need not exist anywhere."""
    desk.mode = Mode.DRY
    scheduler = await desk.open()
    first = await scheduler.send(PAYMENT)
    second = await scheduler.send(PAYMENT, after=first)

    assert isinstance(await second.wait(), DryRun)
