# ruff: noqa: ARG002 - the fakes take what the real ones take
import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.tx.desk import CONFIG, PAYMENT, Desk
from tests.tx.world import FRIEND, GWEI, OWNER, REVERTING, Mempool, World
from toolkit.chain.signer import LocalSigner
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import Address, HeadChange
from toolkit.model.errors import (
    AccountLimit,
    CallReverted,
    ConfigError,
    FeeLimitReached,
    GasLimitTooHigh,
    InsufficientFunds,
    LaneHalted,
    NodeTimeout,
)
from toolkit.model.tx import (
    Attempt,
    Cancelled,
    Confirmed,
    Exposure,
    Replaced,
    Reverted,
    TransactionRequest,
)
from toolkit.tx.scheduler import Sent, TransactionScheduler

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
    assert (1, PAYMENT.value) == (desk.prepared(), _pooled(desk).value)


async def test_what_is_mined_cannot_be_replaced(desk: Desk) -> None:
    """Speeding up or replacing what is over says so."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()

    with pytest.raises(ConfigError, match="mined or over"):
        await sent.speed_up()
    with pytest.raises(ConfigError, match="mined or over"):
        await sent.replace(PAYMENT)


# One after another.


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


async def test_a_chain_of_followers_is_cancelled_as_a_whole(desk: Desk) -> None:
    """Who follows a cancelled follower is cancelled too."""
    scheduler = await desk.open()
    chain: list[Sent] = [await scheduler.send(PAYMENT)]
    for _ in range(3):
        chain.append(await scheduler.send(PAYMENT, after=chain[-1]))
    await chain[1].cancel()

    assert [Cancelled] * 3 == [type(await one.wait()) for one in chain[1:]]


# Order and overlap.


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
    world.pool = {0: scheduler._runners[OWNER.address].state.jobs[mine.request_id].last.signed}
    head, world.broken = world.mine(), True
    with pytest.raises(NodeTimeout):
        await scheduler.on_head(HeadChange(added=(head,)))

    assert isinstance(await mine.wait(), Confirmed)
    assert before is scheduler._runners[other.address].state
    world.broken = False
    await scheduler.on_head(HeadChange(added=(head,)))
    assert theirs.status().nonce == 0


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
    assert second.status().waiting_for == scheduler.statistics().lanes[0].waiting

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
