# ruff: noqa: ARG002 - the fakes take what the real ones take
import asyncio
import random
from collections.abc import Sequence

import msgspec
import pytest

from toolkit.chain.node import AccountLook
from toolkit.model.chain import ZERO_HASH, Address, Hash, Receipt
from toolkit.model.errors import NodeError, NodeTimeout
from toolkit.model.tx import Exposure, TransactionRequest, Urgency
from toolkit.testing.fakes import FRIEND, OWNER, World
from toolkit.tx.events import LaneLimits, LaneOpened, Mined, Spender
from toolkit.tx.job import Job, Try
from toolkit.tx.lane import open_lane
from toolkit.tx.lane_spent import FALLEN_PATIENCE_HEADS
from toolkit.tx.lane_state import FirstLife, LaneState
from toolkit.tx.observer import observe, runs_code

GWEI = 10**9


def _lane(world: World, *, mined: bool = False) -> LaneState:
    """A lane with one request in flight, whose attempt the world knows by `known[0]`."""
    request = TransactionRequest(to=FRIEND, value=1, gas=21_000)
    signed = world.sign(request, nonce=0, fee=50 * GWEI)
    world.known[0] = [signed]
    attempt = Try(
        signed=signed,
        cancels=False,
        exposures={"public": Exposure.PUBLIC},
        first_block=0,
        sent_block=0,
    )
    job = Job(
        request_id="a",
        request=request,
        urgency=Urgency.SOON,
        destinations=("public",),
        tries=(attempt,),
    )
    if mined:
        receipt = Mined(
            tx_hash=signed.hash,
            block_number=1,
            block_hash=ZERO_HASH,
            succeeded=True,
            gas_used=21_000,
            fee_wei=1,
        )
        job = msgspec.structs.replace(job, mined=receipt)
    opened = LaneOpened(
        lane=OWNER.address,
        chain_id=1,
        limits=LaneLimits(max_cost_wei=1),
        anchor_block=0,
        anchor_hash=ZERO_HASH,
    )
    lane = open_lane(opened)
    if mined:
        return msgspec.structs.replace(lane, jobs={"a": job}, landed={"a": 1})
    return msgspec.structs.replace(lane, jobs={"a": job}, slots={0: "a"})


async def test_a_receipt_from_beyond_the_head_is_not_used_yet() -> None:
    """A block that the follower has not told of may be replaced without a word."""
    world = World(random.Random(1))
    state = _lane(world, mined=True)
    first = world.mine(capacity=0)
    world.mine(only=world.known[0])

    early = await observe(world, state, head=first, quotes={}, reorged=True)
    late = await observe(world, state, head=world.tip, quotes={}, reorged=True)

    assert ((), 0) == (early.receipts, early.nonce)
    assert ([2], 1) == ([mined.block_number for mined in late.receipts], late.nonce)


async def test_both_lives_of_a_request_are_asked_about_after_a_reorg() -> None:
    """The receipt of either is told, although they are of one request."""
    world = World(random.Random(1))
    state = _lane(world)
    first = state.jobs["a"]
    signed = world.sign(first.request, nonce=1, fee=50 * GWEI)
    world.known[1] = [signed]
    second = msgspec.structs.replace(
        first, tries=(msgspec.structs.replace(first.tries[0], signed=signed),)
    )
    state = msgspec.structs.replace(
        state,
        jobs={"a": second},
        slots={1: "a"},
        first_lives=(FirstLife(job=first, block=1),),
    )
    for nonce in (0, 1):
        world.mine(only=world.known[nonce])

    seen = await observe(world, state, head=world.tip, quotes={}, reorged=True)

    assert [*first.hashes(), *second.hashes()] == [mined.tx_hash for mined in seen.receipts]


async def test_a_stranger_is_found_in_the_block_that_spent_the_nonce() -> None:
    """The spender of a nonce is found by bisection, however many blocks ago it was."""
    for quiet in range(20):
        world = World(random.Random(quiet))
        state = _lane(world)
        for _ in range(quiet):
            world.mine(capacity=0)
        world.spend_outside()
        for _ in range(7):
            world.mine(capacity=0)
        (stranger,) = world.foreign

        seen = await observe(world, state, head=world.tip, quotes={}, reorged=False)

        block = world.mined()[stranger]
        assert (Spender(nonce=0, by=stranger, block_number=block),) == seen.spenders


async def test_our_own_receipt_is_not_looked_for_elsewhere() -> None:
    """Where an attempt has its receipt, nobody else is asked about."""
    world = World(random.Random(1))
    state = _lane(world)
    world.mine(only=world.known[0])

    seen = await observe(world, state, head=world.tip, quotes={}, reorged=False)

    assert ([1], ()) == ([mined.block_number for mined in seen.receipts], seen.spenders)


class AtOnce(World):
    """A node that answers all about an account in one request; counts what it is asked."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.looks: list[list[Hash]] = []

    async def look(self, account: str, block: int, hashes: Sequence[Hash] = ()) -> AccountLook:
        self.looks.append(list(hashes))
        receipts = [await super(AtOnce, self).receipt(tx_hash) for tx_hash in hashes]
        return AccountLook(
            nonce=await super().nonce(OWNER.address, block),
            balance_wei=self.balance_wei,
            receipts=tuple(receipts),
        )

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        raise AssertionError("asked once more")

    async def balance(self, account: Address, block: int | str = "latest") -> int:
        raise AssertionError("asked once more")

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        raise AssertionError("asked once more")


async def test_a_head_costs_one_request_where_the_node_can() -> None:
    """Nonce, balance and every receipt come with one question."""
    world = AtOnce(random.Random(1))
    state = _lane(world)
    world.mine(only=world.known[0])
    (hashes,) = [job.hashes() for job in state.in_flight()]

    seen = await observe(world, state, head=world.tip, quotes={}, reorged=False)

    assert [list(hashes)] == world.looks
    assert ([1], 1, world.balance_wei) == (
        [mined.block_number for mined in seen.receipts],
        seen.nonce,
        seen.balance_wei,
    )


@pytest.mark.parametrize("error", [NodeError("batches are refused"), NodeTimeout("no answer")])
async def test_a_gateway_that_refuses_batches_is_asked_one_by_one(error: NodeError) -> None:
    """Only what a single question would not mend is passed on."""

    class Refusing(World):
        async def look(self, account: str, block: int, hashes: Sequence[Hash] = ()) -> AccountLook:
            raise error

    world = Refusing(random.Random(1))
    state = _lane(world)
    world.mine(only=world.known[0])
    asking = observe(world, state, head=world.tip, quotes={}, reorged=False)

    if isinstance(error, NodeTimeout):
        with pytest.raises(NodeTimeout):
            await asking
    else:
        assert [1] == [mined.block_number for mined in (await asking).receipts]


@pytest.mark.parametrize(("value", "same"), [(1, True), (2, False)])
async def test_a_stranger_with_our_payload_has_done_our_work(value: int, *, same: bool) -> None:
    """Whether the spender does what the request asks for is told with its block."""
    world = World(random.Random(1))
    state = _lane(world)
    world.mine(capacity=0)
    world.spend_outside(TransactionRequest(to=FRIEND, value=value, gas=21_000))

    seen = await observe(world, state, head=world.tip, quotes={}, reorged=False)

    assert [(same, 2)] == [(who.same_payload, who.block_number) for who in seen.spenders]


async def test_after_a_reorg_strangers_are_asked_about_again() -> None:
    """A remembered spender that is still there is named again, one that is gone is not."""

    class Counting(World):
        searched = 0

        async def receipts(self, block: int | str) -> tuple[Receipt, ...]:
            self.searched += 1
            return await super().receipts(block)

    world = Counting(random.Random(1))
    state = _lane(world)
    world.spend_outside()
    (stranger,) = world.foreign
    spender = Spender(nonce=0, by=stranger, block_number=1)
    (job,) = state.jobs.values()
    remembered = msgspec.structs.replace(
        state,
        jobs={"a": msgspec.structs.replace(job, foreign=spender)},
        slots={},
        landed={"a": 1},
    )

    quiet = await observe(world, remembered, head=world.tip, quotes={}, reorged=False)
    still = await observe(world, remembered, head=world.tip, quotes={}, reorged=True)
    world.known.clear()
    world.reorg(1, strangers=True)
    gone = await observe(world, remembered, head=world.tip, quotes={}, reorged=True)

    assert ((), (spender,), ()) == (quiet.spenders, still.spenders, gone.spenders)
    assert (0, 1) == (gone.nonce, world.searched)  # nobody has spent what is not spent


async def test_a_node_that_talks_nonsense_about_a_stranger_is_asked_again_later() -> None:
    """An answer that is no transaction leaves the question open, instead of breaking the head."""

    class Garbled(World):
        async def transaction(self, tx_hash: Hash) -> dict[str, object] | None:
            return {"nonce": "zero"}

    world = Garbled(random.Random(1))
    state = _lane(world)
    world.spend_outside()

    seen = await observe(world, state, head=world.tip, quotes={}, reorged=False)

    assert ((), 1) == (seen.spenders, seen.nonce)


async def test_many_strangers_are_looked_for_at_once() -> None:
    """Sixteen nonces spent elsewhere cost a lane no more time than one."""

    class Slow(World):
        waiting = most = 0

        async def transaction(self, tx_hash: Hash) -> dict[str, object] | None:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            for _ in range(20):
                await asyncio.sleep(0)
            self.waiting -= 1
            return await super().transaction(tx_hash)

    world = Slow(random.Random(1))
    (job,) = (state := _lane(world)).jobs.values()
    jobs = {}
    for nonce in range(16):
        signed = world.sign(job.request, nonce=nonce, fee=50 * GWEI)
        jobs[str(nonce)] = msgspec.structs.replace(
            job, request_id=str(nonce), tries=(msgspec.structs.replace(job.last, signed=signed),)
        )
        world.spend_outside()
    state = msgspec.structs.replace(state, jobs=jobs, slots={n: str(n) for n in range(16)})

    seen = await observe(world, state, head=world.tip, quotes={}, reorged=False)

    assert (16, 16) == (len(seen.spenders), world.most)


async def test_a_fallen_count_is_looked_at_again() -> None:
    """One stale answer during a reorg takes nothing back; a count that stays low is believed."""

    class Stale(World):
        stale = 1

        async def nonce(self, account: Address, block: int | str = "latest") -> int:
            self.stale -= 1
            return 0 if self.stale >= 0 else await super().nonce(account, block)

    world = Stale(random.Random(1))
    state = msgspec.structs.replace(_lane(world, mined=True), nonce=1)
    world.mine(only=world.known[0])

    once = await observe(world, state, head=world.tip, quotes={}, reorged=True)
    world.stale = 9
    always = await observe(world, state, head=world.tip, quotes={}, reorged=True)

    assert (1, 0) == (once.nonce, always.nonce)


@pytest.mark.parametrize(("earlier", "count"), [(FALLEN_PATIENCE_HEADS - 1, 1), (0, 0)])
async def test_the_last_of_many_low_counts_is_looked_at_again(earlier: int, count: int) -> None:
    """A backend that answers first at every head is not believed alone; before that nobody is."""

    class InTurn(World):
        asked = 0

        async def nonce(self, account: Address, block: int | str = "latest") -> int:
            self.asked += 1
            return 0 if self.asked % 3 == 1 else await super().nonce(account, block)

    world = InTurn(random.Random(1))
    state = msgspec.structs.replace(_lane(world, mined=True), nonce=1, fallen=earlier)
    world.mine(only=world.known[0])

    seen = await observe(world, state, head=world.tip, quotes={}, reorged=False)

    assert count == seen.nonce


async def test_code_tells_a_delegated_account() -> None:
    """Only EIP-7702's designator counts; a node that cannot be asked for code says nothing."""

    class Coded(World):
        text = "0x"

        async def code(self, account: Address, block: int | str = "latest") -> str:
            return self.text

    world = Coded(random.Random(1))
    answers = []
    for text in ("0x", "0xef0100" + "ab" * 20, "0x6000"):
        world.text = text
        answers.append(await runs_code(world, OWNER.address, world.tip))

    assert [False, True, False] == answers
    assert not await runs_code(object(), OWNER.address, world.tip)


async def test_a_failure_that_used_all_gas_says_so() -> None:
    """Repeated on the parent block it succeeds, so the reason is what the receipt shows."""

    class Burning(World):
        async def receipt(self, tx_hash: Hash) -> Receipt | None:
            found = await super().receipt(tx_hash)
            return found and msgspec.structs.replace(found, succeeded=False)

    world = Burning(random.Random(1))
    state = _lane(world)
    head = world.mine(only=world.known[0])

    observed = await observe(world, state, head=head, quotes={}, reorged=False)

    assert "all of its gas (21000) was used" in observed.receipts[0].reason
