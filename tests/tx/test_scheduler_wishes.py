import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk
from toolkit.model.chain import HeadChange
from toolkit.model.errors import (
    CallReverted,
    ConfigError,
    FeeLimitReached,
)
from toolkit.model.tx import (
    Confirmed,
    Replaced,
    TransactionRequest,
)
from toolkit.testing.fakes import FRIEND, GWEI, REVERTING, World

BAD = TransactionRequest(to=FRIEND, data=REVERTING, gas=90_000)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


def _pooled(desk: Desk, nonce: int = 0) -> TransactionRequest:
    unsigned = desk.world.pool[nonce].unsigned
    return TransactionRequest(to=unsigned.to, value=unsigned.value, data=unsigned.data)


# Speeding up and replacing.


async def test_speeding_up_bids_more_on_both_fields(desk: Desk) -> None:
    """The same payload goes out at the same nonce with a bump that every pool takes."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    before = desk.world.pool[0].unsigned
    await sent.speed_up()
    after = desk.world.pool[0].unsigned

    assert after.max_fee_per_gas > before.max_fee_per_gas * 110 // 100
    assert after.max_priority_fee_per_gas > before.max_priority_fee_per_gas * 110 // 100
    await desk.mine()
    outcome = await sent.wait()
    assert isinstance(outcome, Confirmed)
    assert (sent.tx_hash, 0, 1) == (outcome.tx_hash, outcome.version, desk.world.spent)


async def test_speeding_up_to_a_given_cap(desk: Desk) -> None:
    """The next attempt bids what the author says, above the request's own cap if need be."""
    scheduler = await desk.open()
    sent = await scheduler.send(
        msgspec.structs.replace(PAYMENT, max_fee_per_gas=20 * GWEI), simulate=False
    )
    await sent.speed_up(max_fee_per_gas=77 * GWEI)

    assert 77 * GWEI == desk.world.pool[0].unsigned.max_fee_per_gas
    await desk.mine()
    outcome = await sent.wait()
    assert isinstance(outcome, Confirmed)
    assert 0 == outcome.version


async def test_a_cancellation_is_sped_up_beyond_the_cap_of_what_it_cancels(desk: Desk) -> None:
    """The author's new cap is bid by whatever is to be mined, and nothing is brought back."""
    scheduler = await desk.open()
    sent = await scheduler.send(
        msgspec.structs.replace(PAYMENT, max_fee_per_gas=20 * GWEI), simulate=False
    )
    await sent.cancel()
    await sent.speed_up(max_fee_per_gas=77 * GWEI)

    pooled = desk.world.pool[0].unsigned
    assert (77 * GWEI, 0) == (pooled.max_fee_per_gas, pooled.value)
    with pytest.raises(ConfigError, match="being cancelled"):
        await sent.replace(PAYMENT)
    with pytest.raises(ConfigError, match="by a dict"):
        await sent.replace({"to": FRIEND})  # type: ignore[arg-type] # on purpose
    for depth in (0, 65, 1.0, "1", True, float("nan")):
        with pytest.raises(ConfigError, match="is not an integer between 1 and 64"):
            await sent.wait(depth)  # type: ignore[arg-type] # on purpose
    with pytest.raises(ConfigError, match="urgency is 'soon'"):
        await sent.speed_up(urgency="soon")  # type: ignore[arg-type] # on purpose
    with pytest.raises(ConfigError, match="max_fee_per_gas is"):
        await sent.speed_up(max_fee_per_gas=float("nan"))  # type: ignore[arg-type] # on purpose


async def test_speeding_up_stays_below_the_ceiling(desk: Desk) -> None:
    """A cap that may cost more than allowed is refused and the present attempt stands."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    first = sent.tx_hash

    with pytest.raises(FeeLimitReached):
        await sent.speed_up(max_fee_per_gas=10**15)
    assert (first, 1) == (sent.tx_hash, desk.prepared())


@pytest.mark.parametrize("winner", [0, 1])
async def test_the_outcome_names_the_payload_that_was_mined(desk: Desk, winner: int) -> None:
    """After a replacement either payload may win, and the outcome's version tells which did."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    first = desk.world.pool[0]
    await sent.replace(TransactionRequest(to=FRIEND, value=5))
    assert 5 == desk.world.pool[0].unsigned.value
    if winner == 0:
        desk.world.pool[0] = first
    await desk.mine()

    outcome = await sent.wait()
    assert isinstance(outcome, Confirmed)
    assert (winner, 1) == (outcome.version, desk.world.spent)


async def test_a_replacement_is_checked_as_a_request_is(desk: Desk) -> None:
    """What would revert, cost too much or come from elsewhere leaves the present payload alone."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)

    with pytest.raises(CallReverted):
        await sent.replace(msgspec.structs.replace(BAD, gas=None))
    with pytest.raises(FeeLimitReached):
        await sent.replace(TransactionRequest(to=FRIEND, gas=10_000_000))
    with pytest.raises(ConfigError, match="cannot replace it"):
        await sent.replace(msgspec.structs.replace(PAYMENT, sender=FRIEND))
    with pytest.raises(ConfigError, match="nothing to do"):
        await sent.replace(TransactionRequest())
    with pytest.raises(ConfigError, match="by a NoneType: give a TransactionRequest, or"):
        await sent.replace(None)  # type: ignore[arg-type]
    assert (1, PAYMENT.value) == (desk.prepared(), _pooled(desk).value)


async def test_a_cap_that_cannot_even_be_written_is_one_line(desk: Desk) -> None:
    """Speeding up to an integer of 5,000 digits is refused like one in a request."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)

    with pytest.raises(ConfigError, match="max_fee_per_gas is a int that is too long"):
        await sent.speed_up(max_fee_per_gas=10**5_000)


async def test_what_is_mined_cannot_be_replaced(desk: Desk) -> None:
    """Speeding up or replacing what is over says so."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()

    with pytest.raises(ConfigError, match="mined or over"):
        await sent.speed_up()
    with pytest.raises(ConfigError, match="mined or over"):
        await sent.replace(PAYMENT)


# Strangers.


async def test_the_same_payment_by_somebody_else_is_not_paid_again(desk: Desk) -> None:
    """A stranger's transaction with our target, value and data has done what was wanted."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT, on_external_spend="requeue")
    head = desk.world.spend_outside(msgspec.structs.replace(PAYMENT, gas=21_000))
    await scheduler.on_head(HeadChange(added=(head,)))

    outcome = await sent.wait()
    assert isinstance(outcome, Replaced)
    assert (True, list(desk.world.foreign)) == (outcome.executed, [outcome.by])
    for _ in range(70):
        await desk.mine()
    assert 1 == desk.world.spent


async def test_requeue_waits_for_finality_and_takes_a_new_nonce(desk: Desk) -> None:
    """Another payload on our nonce: ours is sent once more, when that one is final."""
    desk.config = msgspec.structs.replace(CONFIG, finality_blocks=3)
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT, on_external_spend="requeue")
    head = desk.world.spend_outside(TransactionRequest(to=FRIEND, value=99, gas=21_000))
    await scheduler.on_head(HeadChange(added=(head,)))
    assert 1 == desk.prepared()
    for _ in range(6):
        await desk.mine()

    outcome = await sent.wait()
    assert isinstance(outcome, Confirmed)
    assert (2, 2) == (desk.world.spent, desk.prepared())


async def test_a_reorg_that_removes_the_stranger_reopens_the_question(desk: Desk) -> None:
    """Replaced is taken back, and our own attempt is mined on the other branch."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    ours = desk.world.pool[0]
    head = desk.world.spend_outside()
    await scheduler.on_head(HeadChange(added=(head,)))
    assert isinstance(await sent.wait(), Replaced)
    desk.world.known[0] = [ours]
    desk.world.foreign.clear()
    await scheduler.on_head(desk.world.reorg(1, strangers=True))
    await desk.mine()
    await desk.mine()

    assert isinstance(await sent.wait(), Confirmed)
    assert 1 == scheduler.statistics().reopened == desk.world.spent


async def test_an_unknown_policy_is_refused(desk: Desk) -> None:
    """What to do about strangers is one of two words."""
    scheduler = await desk.open()

    with pytest.raises(ConfigError, match="'ignore'; give 'report' or 'requeue'"):
        await scheduler.send(PAYMENT, on_external_spend="ignore")
    with pytest.raises(ConfigError, match=r"priority is 1\.5"):
        await scheduler.send(PAYMENT, priority=1.5)  # type: ignore[arg-type] # on purpose
