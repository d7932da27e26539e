import random

import msgspec

from tests.tx.world import FRIEND, OWNER, World
from toolkit.model.chain import ZERO_HASH
from toolkit.model.tx import Exposure, TransactionRequest, Urgency
from toolkit.tx.events import LaneLimits, LaneOpened, Mined, Spender
from toolkit.tx.job import Job, Try
from toolkit.tx.lane import open_lane
from toolkit.tx.lane_state import LaneState
from toolkit.tx.observer import observe

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
