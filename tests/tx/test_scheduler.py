# ruff: noqa: ARG002 - the fakes take what the real ones take
import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.tx.desk import CONFIG, FEE, PAYMENT, Desk, Forger
from toolkit.chain.signer import LocalSigner
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import ZERO_HASH, Address, Hash, HeadChange, Mode
from toolkit.model.errors import (
    BusOverflow,
    CallReverted,
    ConfigError,
    FeeLimitReached,
    GasLimitTooHigh,
    IdempotencyConflict,
    InsufficientFunds,
    JournalUnavailable,
    RejectedByNode,
    RelayRejected,
    RelayUnavailable,
    RemoteSignerMismatch,
    SignerError,
)
from toolkit.model.tx import (
    Attempt,
    Cancelled,
    Confirmed,
    DryRun,
    Exposure,
    Replaced,
    Reverted,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
)
from toolkit.testing.fakes import ETHER, FRIEND, GWEI, OWNER, REVERTING, Mempool, World
from toolkit.tx.scheduler import (
    PublicNode,
    SchedulerConfig,
    Sent,
    TransactionScheduler,
)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(World(random.Random(7)))
    yield desk
    await desk.close()


async def test_a_request_is_durable_before_it_is_sent(desk: Desk) -> None:
    """When a destination sees bytes, the journal's backend already holds them."""
    seen: list[bool] = []

    class Watching(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            rows = [entry for entry in desk.backend.load() if entry.kind == "tx.prepared"]
            seen.append(any(attempt.signed.raw.encode() in row.data for row in rows))
            await super().send(attempt, target_block=target_block)

    desk.public = Watching(desk.world)
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()

    assert [True] == seen
    assert isinstance(await sent.wait(), Confirmed)


async def test_many_requests_at_once_keep_their_order_without_gap(desk: Desk) -> None:
    """Forty concurrent sends get forty consecutive nonces; a window of sixteen is out at a time."""
    scheduler = await desk.open()
    sent = await asyncio.gather(
        *(scheduler.send(TransactionRequest(to=FRIEND, value=i)) for i in range(40))
    )

    assert (16, 24) == (scheduler.statistics().lanes[0].in_flight, _queued(scheduler))
    for _ in range(3):
        await desk.mine()
    outcomes = [await one.wait() for one in sent]
    assert 40 == len({outcome.tx_hash for outcome in outcomes}) == desk.world.spent
    assert list(range(40)) == [
        tx.unsigned.value for block in desk.world.blocks for tx in block.transactions
    ]


def _queued(scheduler: TransactionScheduler) -> int:
    return scheduler.statistics().lanes[0].queued


async def test_fifty_callers_with_one_key_share_one_transaction(desk: Desk) -> None:
    """The same key and payload give one handle, concurrently and after a restart."""
    scheduler = await desk.open()
    sent = await asyncio.gather(
        *(scheduler.send(PAYMENT, idempotency_key="harvest") for _ in range(50))
    )
    await desk.mine()
    await desk.close()
    scheduler = await desk.open()
    again = await scheduler.send(PAYMENT, idempotency_key="harvest")

    assert 1 == len({one.request_id for one in [*sent, again]}) == desk.world.spent
    assert await sent[0].wait() == await again.wait()


async def test_one_key_for_two_payloads_is_a_conflict(desk: Desk) -> None:
    """A key stands for one payload, also after its request has ended."""
    scheduler = await desk.open()
    await scheduler.send(PAYMENT, idempotency_key="harvest")
    other = msgspec.structs.replace(PAYMENT, value=2)

    with pytest.raises(IdempotencyConflict, match="'harvest' already stands for tx-"):
        await scheduler.send(other, idempotency_key="harvest")
    await desk.mine()
    for _ in range(70):
        await desk.mine()
    with pytest.raises(IdempotencyConflict):
        await scheduler.send(other, idempotency_key="harvest")


async def test_a_key_whose_request_was_never_accepted_stays_free(desk: Desk) -> None:
    """A refused preflight binds the key to nothing."""
    scheduler = await desk.open()
    with pytest.raises(CallReverted):
        await scheduler.send(
            TransactionRequest(to=FRIEND, data=REVERTING), idempotency_key="harvest"
        )

    assert (await scheduler.send(PAYMENT, idempotency_key="harvest")).tx_hash is not None


async def test_a_reverting_payload_uses_no_nonce(desk: Desk) -> None:
    """Preflight refuses, whatever the revert's text quotes, and the next request takes nonce 0."""
    scheduler = await desk.open()
    for gas in (None, 90_000):
        with pytest.raises(CallReverted, match="nonce too low, says the contract"):
            await scheduler.send(TransactionRequest(to=FRIEND, data=REVERTING, gas=gas))

    assert 0 == desk.prepared()
    await scheduler.send(PAYMENT)
    assert [0] == list(desk.world.pool)


async def test_a_late_revert_spends_the_nonce_and_the_lane_goes_on(desk: Desk) -> None:
    """A transaction that fails on chain is told as Reverted, with its reason."""
    scheduler = await desk.open()
    failing = await scheduler.send(
        TransactionRequest(to=FRIEND, data=REVERTING, gas=90_000), simulate=False
    )
    paying = await scheduler.send(PAYMENT)
    await desk.mine()

    outcome = await failing.wait()
    assert isinstance(outcome, Reverted)
    assert "nonce too low, says the contract" == outcome.reason
    assert isinstance(await paying.wait(), Confirmed)


async def test_ceilings_are_checked_before_a_nonce_is_used(desk: Desk) -> None:
    """Cost, gas and funds each refuse with one line; nothing is journalled as a request."""
    desk.config = msgspec.structs.replace(CONFIG, max_cost_wei=21_000 * GWEI)
    scheduler = await desk.open()

    with pytest.raises(FeeLimitReached, match="more than max_cost_wei allows"):
        await scheduler.send(PAYMENT)
    with pytest.raises(GasLimitTooHigh, match="17000000 is above 16777216"):
        await scheduler.send(TransactionRequest(to=FRIEND, gas=17_000_000, max_fee_per_gas=1))
    with pytest.raises(InsufficientFunds, match="has 100 ether at hand"):
        await scheduler.send(TransactionRequest(to=FRIEND, value=101 * ETHER, max_fee_per_gas=GWEI))
    assert "tx.request" not in desk.kinds()


@pytest.mark.parametrize(
    ("request_", "options", "message"),
    [
        (TransactionRequest(to=FRIEND, type=3), {}, "type 3 is not supported"),
        (PAYMENT, {"deadline_blocks": 0}, "deadline_blocks is 0"),
        (PAYMENT, {"deadline_blocks": 2.5}, "deadline_blocks is 2.5"),
        (PAYMENT, {"urgency": 1}, "urgency is 1"),
        (
            PAYMENT,
            {"deadline_blocks": 2**31},
            "give an integer from 1 to 2147483647",
        ),
        (PAYMENT, {"idempotency_key": 5}, "idempotency_key is 5"),
        (PAYMENT, {"idempotency_key": ""}, "idempotency_key is ''"),
        (PAYMENT, {"idempotency_key": "a\udcff"}, r"idempotency_key is 'a\\udcff'"),
        (PAYMENT, {"after": "a\udcff"}, r"after is 'a\\udcff'"),
        (PAYMENT, {"simulate": "no"}, "simulate is 'no'; it must be True or False"),
        (TransactionRequest(), {}, "nothing to do"),
        (PAYMENT, {"destinations": []}, "at least one destination"),
        (PAYMENT, {"destinations": ["relay"]}, "destinations holds 'relay'"),
        (msgspec.structs.replace(PAYMENT, sender=FRIEND), {}, f"no signer for {FRIEND}"),
    ],
)
async def test_bad_requests_are_refused(
    desk: Desk, request_: TransactionRequest, options: dict[str, object], message: str
) -> None:
    """Each is one clear line before anything happens."""
    scheduler = await desk.open()

    with pytest.raises(ConfigError, match=message):
        await scheduler.send(request_, **options)  # type: ignore[arg-type] # on purpose


async def test_the_queue_is_bounded(desk: Desk) -> None:
    """A lane that cannot keep up says so instead of growing."""
    desk.config = msgspec.structs.replace(CONFIG, max_in_flight=1, max_queued=2)
    scheduler = await desk.open()
    for _ in range(3):
        await scheduler.send(PAYMENT)

    with pytest.raises(BusOverflow, match="2 requests of"):
        await scheduler.send(PAYMENT)


async def test_several_signers_need_a_named_sender(desk: Desk) -> None:
    """With two keys, each lane has its own nonces and the request must say which."""
    other = LocalSigner("0x" + "0b" * 32)
    desk.signers = [OWNER, other]
    scheduler = await desk.open()

    with pytest.raises(ConfigError, match="there are 2 signers"):
        await scheduler.send(PAYMENT)
    first = await scheduler.send(msgspec.structs.replace(PAYMENT, sender=OWNER.address))
    second = await scheduler.send(msgspec.structs.replace(PAYMENT, sender=other.address))
    assert first.tx_hash != second.tx_hash
    assert [1, 1] == [lane.in_flight for lane in scheduler.statistics().lanes]


async def test_timeout_after_accept_is_one_transaction(desk: Desk) -> None:
    """An unknown answer leads to the same bytes again, never to a second nonce."""
    desk.world.faults = {"lost_after": 1.0}
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    desk.world.faults = {}
    await desk.mine(capacity=0)
    await desk.mine()

    assert isinstance(await sent.wait(), Confirmed)
    assert (1, 1, 2) == (desk.world.spent, desk.prepared(), desk.world.sends)


async def test_a_refused_connection_is_tried_again_with_the_same_bytes(desk: Desk) -> None:
    """What never left keeps its nonce and goes out at the next head."""
    desk.world.faults = {"refused": 1.0}
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    desk.world.faults = {}
    await desk.mine()
    await desk.mine()

    assert isinstance(await sent.wait(), Confirmed)
    assert 1 == desk.prepared()


async def test_a_cancelled_caller_does_not_cancel_the_request(desk: Desk) -> None:
    """Cut off in the middle of a hand-over, the request goes on and is mined once."""

    arrived, release = asyncio.Event(), asyncio.Event()

    class Stuck(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            await super().send(attempt, target_block=target_block)
            arrived.set()
            await release.wait()

    desk.public = Stuck(desk.world)
    scheduler = await desk.open()
    call = asyncio.create_task(scheduler.send(PAYMENT, idempotency_key="k"))
    await arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    release.set()
    (job,) = scheduler._runners[OWNER.address].state.jobs.values()
    assert {"public": Exposure.UNKNOWN} == job.last.exposures
    sent = await scheduler.send(PAYMENT, idempotency_key="k")
    await desk.mine(capacity=0)
    await desk.mine()
    assert isinstance(await sent.wait(), Confirmed)
    assert (1, 2) == (desk.world.spent, desk.world.sends)


async def test_a_dropped_transaction_is_sent_again(desk: Desk) -> None:
    """A pool that forgot gets the identical bytes within two blocks, lowest nonce included."""
    scheduler = await desk.open()
    sent = [await scheduler.send(PAYMENT) for _ in range(3)]
    desk.world.pool.clear()
    await desk.mine(capacity=0)
    await desk.mine()

    assert all([isinstance(await one.wait(), Confirmed) for one in sent])
    assert 3 == desk.prepared()


async def test_a_refusal_for_good_is_raised_and_frees_the_nonce(desk: Desk) -> None:
    """The caller hears the node's own error, and the next request takes the same nonce."""

    class Refusing(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            if attempt.signed.unsigned.value == 13:
                raise GasLimitTooHigh("exceeds block gas limit")
            await super().send(attempt, target_block=target_block)

    desk.public = Refusing(desk.world)
    scheduler = await desk.open()
    with pytest.raises(GasLimitTooHigh, match="exceeds block gas limit"):
        await scheduler.send(TransactionRequest(to=FRIEND, value=13), idempotency_key="k")
    await scheduler.send(PAYMENT)

    assert [0] == list(desk.world.pool)
    assert 1 == scheduler.statistics().failed
    await desk.close()
    scheduler = await desk.open()
    again = await scheduler.send(TransactionRequest(to=FRIEND, value=13), idempotency_key="k")
    with pytest.raises(RejectedByNode, match="exceeds block gas limit"):
        await again.wait()


async def test_a_signer_that_signs_something_else_is_caught(desk: Desk) -> None:
    """What comes back from a signer is compared before it is journalled."""
    desk.signers = [Forger()]
    scheduler = await desk.open()

    with pytest.raises(RemoteSignerMismatch, match="signed something other than nonce 0"):
        await scheduler.send(PAYMENT)
    assert 0 == desk.prepared() == desk.world.sends


async def test_funds_in_the_middle_of_the_queue(desk: Desk) -> None:
    """Requests the account cannot cover together wait without a nonce until it is topped up."""
    desk.world.balance_wei = 3 * ETHER
    scheduler = await desk.open()
    sent = [await scheduler.send(TransactionRequest(to=FRIEND, value=2 * ETHER)) for _ in range(2)]
    assert (1, 1) == (scheduler.statistics().lanes[0].in_flight, _queued(scheduler))

    desk.world.balance_wei = 10 * ETHER
    await desk.mine()
    await desk.mine()

    assert [Confirmed, Confirmed] == [type(await one.wait()) for one in sent]


async def test_cancel_races_the_original(desk: Desk) -> None:
    """Whichever the chain took is the outcome; never both."""
    scheduler = await desk.open()
    winning, losing = await scheduler.send(PAYMENT), await scheduler.send(PAYMENT)
    original = desk.world.pool[0]
    await winning.cancel()
    await losing.cancel()
    desk.world.pool[0] = original  # the block's builder had the original
    await desk.mine()

    assert isinstance(await winning.wait(), Confirmed)
    assert isinstance(await losing.wait(), Cancelled)
    assert 2 == desk.world.spent


async def test_a_stranger_on_our_nonce_is_named(desk: Desk) -> None:
    """The account used elsewhere ends our request as Replaced by that very transaction."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    for _ in range(5):
        await desk.mine(capacity=0)
    head = desk.world.spend_outside()
    await scheduler.on_head(HeadChange(added=(head,)))
    later = await scheduler.send(PAYMENT)
    await desk.mine()

    (stranger,) = desk.world.foreign
    assert Replaced(by=stranger, nonce=0) == await sent.wait()
    assert isinstance(await later.wait(), Confirmed)


async def test_an_idle_lane_looks_at_the_chain_before_it_acts(desk: Desk) -> None:
    """What the account did elsewhere while the lane was idle does not surprise it."""
    scheduler = await desk.open()
    head = desk.world.spend_outside()
    await scheduler.on_head(HeadChange(added=(head,)))
    await scheduler.send(PAYMENT)

    assert [1] == list(desk.world.pool)


async def test_waiting_for_confirmations_waits_for_them(desk: Desk) -> None:
    """A waiter gets its answer under as many blocks as it asked for, not earlier."""
    scheduler = await desk.open()
    sent = await scheduler.send(PAYMENT)
    await desk.mine()
    waiting = asyncio.create_task(sent.wait(confirmations=3))
    for _ in range(2):
        await asyncio.sleep(0)
        assert not waiting.done()
        await desk.mine(capacity=0)

    assert isinstance(await waiting, Confirmed)
    with pytest.raises(ConfigError, match="confirmations 65 is not an integer between"):
        await sent.wait(confirmations=65)


async def test_dry_mode_signs_and_sends_nothing(desk: Desk) -> None:
    """Everything up to the signature happens; no nonce is used and no byte leaves."""
    desk.mode = Mode.DRY
    scheduler = await desk.open()
    sent = [await scheduler.send(PAYMENT) for _ in range(2)]
    lease = await scheduler.lease_bundle(
        [msgspec.structs.replace(PAYMENT, gas=21_000)],
        sender=OWNER.address,
        target_block=1,
        fee=FEE,
    )
    await desk.mine()

    outcomes = [await one.wait() for one in sent]
    assert all(isinstance(outcome, DryRun) for outcome in outcomes)
    assert outcomes[0] == outcomes[1]
    assert 0 == lease.signed[0].unsigned.nonce == desk.world.sends
    assert {"tx.dry"} == set(desk.kinds())
    assert not any(lease.signed[0].raw.encode() in row.data for row in desk.backend.load())


async def test_nothing_leaves_when_the_journal_cannot_be_written(tmp_path: Path) -> None:
    """A full journal stops every send before its bytes leave, with one line that says why."""
    world = World(random.Random(7))
    desk = Desk(world)
    backend = SqliteBackend(tmp_path / "j.db")
    backend._database.execute("PRAGMA max_page_count=12")
    desk.backend = backend
    desk.config = msgspec.structs.replace(CONFIG, max_in_flight=1_000)
    scheduler = await desk.open()
    sent: list[Sent] = []

    async def send_on() -> None:
        while len(sent) < 1_000:
            sent.append(await scheduler.send(PAYMENT))

    with pytest.raises(JournalUnavailable, match="full") as raised:
        await send_on()

    assert 0 < len(sent) == world.sends
    assert 1 == len(str(raised.value).splitlines())
    with pytest.raises(JournalUnavailable):
        await scheduler.send(PAYMENT)
    with pytest.raises(JournalUnavailable):
        await desk.mine()
    assert len(sent) == world.sends
    await desk.close()


async def test_two_destinations_of_one_name_are_refused(desk: Desk) -> None:
    """A name in the journal means one destination."""
    scheduler = await desk.open()

    with pytest.raises(ConfigError, match="two different destinations are named 'public'"):
        await scheduler.send(PAYMENT, destinations=[PublicNode(_Silent())])


class _Silent:
    async def send_raw(self, raw: str) -> Hash:
        return ZERO_HASH


@pytest.mark.parametrize(
    ("error", "exposure"),
    [
        (RelayRejected("bad bundle", relay="r"), Exposure.NONE),
        (RelayUnavailable("no answer", relay="r"), Exposure.UNKNOWN),
        (None, Exposure.PRIVATE),
    ],
)
async def test_a_private_destination_gives_private_exposure(
    desk: Desk, error: Exception | None, exposure: Exposure
) -> None:
    """A relay's answer says who may hold the bytes; the public node never sees them."""

    class Relay(Mempool):
        async def send(self, attempt: Attempt, *, target_block: int) -> None:
            if error is not None:
                raise error

    scheduler = await desk.open()
    relay = Relay(desk.world, name="r", exposure=Exposure.PRIVATE)
    sent = await scheduler.send(PAYMENT, destinations=[relay])

    state = scheduler._runners[OWNER.address].state
    assert {"r": exposure} == state.jobs[sent.request_id].last.exposures
    assert 0 == desk.world.sends


async def test_nothing_before_start(desk: Desk) -> None:
    """Recovery comes first: before it nothing is accepted."""
    await desk.open()
    unstarted = TransactionScheduler(
        desk.world,
        signers=[OWNER],
        journal=desk.journal,
        oracle=desk.world,
        chain_id=1,
        mode=Mode.DEV,
        config=CONFIG,
        public=desk.public,
    )

    with pytest.raises(ConfigError, match="not started"):
        await unstarted.send(PAYMENT)


async def test_a_slow_signer_keeps_nonces_in_order(desk: Desk) -> None:
    """Signing that takes a while neither doubles nor skips a nonce under concurrent sends."""

    class Slow(Forger):
        async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
            for _ in range(unsigned.value % 4):
                await asyncio.sleep(0)
            if unsigned.value == 5:
                raise SignerError("device is locked; unlock it")
            return OWNER.sign_transaction_now(unsigned)

    desk.signers = [Slow()]
    scheduler = await desk.open()
    results = await asyncio.gather(
        *(scheduler.send(TransactionRequest(to=FRIEND, value=v)) for v in range(1, 11)),
        return_exceptions=True,
    )

    assert [SignerError] == [type(r) for r in results if isinstance(r, BaseException)]
    assert list(range(9)) == sorted(desk.world.pool)


@pytest.mark.parametrize(
    ("field", "value"), [("max_cost_wei", 0), ("max_in_flight", 0), ("confirmations", 65)]
)
def test_configuration_is_checked(field: str, value: int) -> None:
    """Bounds that bound nothing are refused with their name."""
    with pytest.raises(ConfigError, match=field):
        SchedulerConfig(**{"max_cost_wei": 1, field: value})


def test_handles_do_not_disclose_bytes() -> None:
    """The values a caller holds name transactions by hash."""
    signed = OWNER.sign_transaction_now(
        UnsignedTransaction(
            type=2, chain_id=1, nonce=0, to=Address(FRIEND), value=1, data="0x", gas=21_000
        )
    )
    attempt = Attempt(request_id="a", number=0, signed=signed, since_block=1)

    assert signed.raw[2:] not in repr(attempt)


async def test_a_signer_that_breaks_its_word_has_refused(desk: Desk) -> None:
    """What it raises instead of a SignerError ends the request: it is not sent after all later."""

    class Broken(Forger):
        async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
            raise RuntimeError(f"0xsecret of {unsigned.nonce}")

    desk.signers = [Broken()]
    scheduler = await desk.open()

    with pytest.raises(SignerError, match="failed with RuntimeError for nonce 0; nothing") as told:
        await scheduler.send(PAYMENT)
    assert "secret" not in str(told.value)
    await desk.mine()
    assert (0, "tx.failed") == (desk.world.spent, desk.kinds()[-1])
