import random
from collections.abc import AsyncIterator

import pytest

from tests.tx.desk import FEE, PAYMENT, Desk
from toolkit.journal.log import Entry
from toolkit.model.bundle import Landed, MissCause, Missed
from toolkit.model.chain import HeadChange
from toolkit.model.errors import (
    ConfigError,
    FeeLimitReached,
    InsufficientFunds,
)
from toolkit.model.tx import (
    Confirmed,
    TransactionRequest,
)
from toolkit.testing.fakes import ETHER, FRIEND, OWNER, World
from toolkit.tx.scheduler import (
    TransactionScheduler,
)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


async def _lease(scheduler: TransactionScheduler, *, target: int, count: int = 2) -> object:
    requests = [TransactionRequest(to=FRIEND, value=1, gas=21_000)] * count
    return await scheduler.lease_bundle(
        requests, sender=OWNER.address, target_block=target, fee=FEE
    )


async def test_a_bundle_leases_consecutive_nonces_durably(desk: Desk) -> None:
    """The signed transactions are in the journal before the caller has them."""
    scheduler = await desk.open()
    lease = await scheduler.lease_bundle(
        [TransactionRequest(to=FRIEND, value=value, gas=21_000) for value in (1, 2)],
        sender=OWNER.address,
        target_block=1,
        fee=FEE,
    )

    assert [0, 1] == [signed.unsigned.nonce for signed in lease.signed]
    row: Entry = next(entry for entry in desk.backend.load() if entry.kind == "tx.lease")
    assert all(signed.raw.encode() in row.data for signed in lease.signed)
    assert 0 == desk.world.sends


@pytest.mark.parametrize("landed", [True, False])
async def test_a_settled_bundle_lets_the_waiting_request_go_on(desk: Desk, *, landed: bool) -> None:
    """Landed nonces are spent, missed ones are free; the request behind takes the next one."""
    scheduler = await desk.open()
    requests = [TransactionRequest(to=FRIEND, value=1, gas=21_000)] * 2
    lease = await scheduler.lease_bundle(requests, sender=OWNER.address, target_block=1, fee=FEE)
    sent = await scheduler.send(PAYMENT)
    assert sent.tx_hash is None
    if landed:
        head = desk.world.mine(only=list(lease.signed))
        result: Landed | Missed = Landed(
            bundle_hash=head.hash,
            block_number=1,
            block_hash=head.hash,
            builder=FRIEND,
            fee_wei=0,
            tip_wei=0,
        )
    else:
        head = desk.world.mine(capacity=0)
        result = Missed(
            bundle_hash=head.hash, target_block=1, cause=MissCause.OUTBID_CONFLICT, evidence="x"
        )
    await scheduler.settle_bundle(lease, result)

    assert [2 if landed else 0] == list(desk.world.pool)
    await scheduler.on_head(HeadChange(added=(head,)))
    await scheduler.settle_bundle(lease, result)
    await desk.mine()
    assert isinstance(await sent.wait(), Confirmed)


async def test_a_lease_survives_a_crash_until_its_block(desk: Desk) -> None:
    """A restart before the target block still holds the nonces; after it they are free."""
    scheduler = await desk.open()
    await _lease(scheduler, target=2)
    await desk.close()
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)

    assert sent.tx_hash is None
    await desk.mine(capacity=0)
    await desk.mine(capacity=0)
    assert [0] == list(desk.world.pool)


async def test_leases_that_cannot_be_right_are_refused(desk: Desk) -> None:
    """Past targets, mixed targets, empty bundles, unset gas and missing funds hold no nonce."""
    scheduler = await desk.open()
    with pytest.raises(ConfigError, match="target block 0 is not after head 0"):
        await _lease(scheduler, target=0)
    with pytest.raises(ConfigError, match="at least one request"):
        await _lease(scheduler, target=1, count=0)
    with pytest.raises(ConfigError, match="must state its gas"):
        await scheduler.lease_bundle([PAYMENT], sender=OWNER.address, target_block=1, fee=FEE)
    with pytest.raises(InsufficientFunds):
        await scheduler.lease_bundle(
            [TransactionRequest(to=FRIEND, value=60 * ETHER, gas=21_000)] * 2,
            sender=OWNER.address,
            target_block=1,
            fee=FEE,
        )
    assert set() == scheduler._runners[OWNER.address].state.held()

    await _lease(scheduler, target=1)
    with pytest.raises(ConfigError, match="live bundle for block 1"):
        await _lease(scheduler, target=2)


async def test_a_bundle_is_bounded_as_a_whole_with_its_tip(desk: Desk) -> None:
    """All gas x fee cap + tip may be exactly the ceiling, and not a wei more; nothing is leased."""
    scheduler = await desk.open()
    requests = [TransactionRequest(to=FRIEND, value=1, gas=21_000)] * 2
    room = desk.config.max_cost_wei - 2 * 21_000 * FEE.max_fee_per_gas

    with pytest.raises(FeeLimitReached, match=r"and a tip of 0\.0979 ether may cost"):
        await scheduler.lease_bundle(
            requests, sender=OWNER.address, target_block=1, fee=FEE, tip_wei=room + 1
        )
    assert "tx.lease" not in desk.kinds()
    lease = await scheduler.lease_bundle(
        requests, sender=OWNER.address, target_block=1, fee=FEE, tip_wei=room
    )

    assert [0, 1] == [signed.unsigned.nonce for signed in lease.signed]


@pytest.mark.parametrize("tip", [-1, 1.5, True])
async def test_a_tip_is_an_amount(desk: Desk, tip: int) -> None:
    """A negative tip would widen the ceiling."""
    scheduler = await desk.open()

    with pytest.raises(ConfigError, match="it must be an integer, at least 0"):
        await scheduler.lease_bundle(
            [TransactionRequest(to=FRIEND, gas=21_000)],
            sender=OWNER.address,
            target_block=1,
            fee=FEE,
            tip_wei=tip,
        )
