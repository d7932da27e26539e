"""What became of plans whose process ended, told by their block alone."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.execution.desk import DEAR, ETHER, POOL, USDC, USDT, WETH, Desk, open_desk, planned
from tests.execution.desk import quote_for as fee_at
from tests.execution.swaps import TOKENS, swap
from toolkit.execution.calldata import encode_batch, encode_plan
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.lookup import _carried
from toolkit.model.chain import Address, Hash, HeadChange
from toolkit.model.decision import Leg, Plan
from toolkit.model.errors import ConfigError

TETHER = POOL["V3 WETH/USDT 0.05%"]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two signers with an executor each, on a twin whose blocks the test seals."""
    async with open_desk() as desk:
        yield desk


async def two_swaps(desk: Desk) -> tuple[Plan, Plan]:
    """Two agents' swaps in pools of their own."""
    snapshot = await desk.snapshot()
    legs = (
        (Leg(token_in=WETH, token_out=USDC, amount_in=ETHER), DEAR),
        (Leg(token_in=WETH, token_out=USDT, amount_in=2 * ETHER), TETHER),
    )
    first, second = (
        msgspec.structs.replace(
            planned(leg, snapshot, via=(pool,)), verdict_id=f"{snapshot.block.number}-{index}"
        )
        for index, (leg, pool) in enumerate(legs)
    )
    return first, second


async def test_trades_that_landed_apart_are_found_again(desk: Desk) -> None:
    """Another process tells the same fills as the one that sent them, and the one that missed."""
    gateway = Gateway(desk, desk.executors)
    plans = await two_swaps(desk)
    fee = fee_at(await desk.node.head())
    flights = [await gateway.submit(plan, fee=fee) for plan in plans]
    change = await desk.seal(*desk.inbox.bundles[0])  # only the first of them
    assert all(isinstance(one, InFlight) for one in flights)
    told = [await gateway.settle(one, change) for one in flights if isinstance(one, InFlight)]

    found = await Gateway(desk, desk.executors).recover(plans, change)

    assert [True, False] == [fill.landed for fill in found]
    assert told[0] == found[0]
    assert "not in its block" == found[1].missed


async def test_trades_that_landed_together_are_found_again(desk: Desk) -> None:
    """What went in one transaction is told apart as by the process that sent it."""
    gateway = Gateway(desk, desk.executors)
    plans = await two_swaps(desk)
    answers = await gateway.submit_merged(plans, fee=fee_at(await desk.node.head()))
    change = await desk.seal(*desk.inbox.bundles[-1])
    flights = [one for one in answers or () if isinstance(one, InFlight)]
    told = [await gateway.settle(one, change) for one in flights]

    found = await Gateway(desk, desk.executors).recover(plans, change)

    assert [True, True] == [fill.landed for fill in found]
    assert tuple(told) == found


async def test_a_block_that_is_not_there_yet_is_refused(desk: Desk) -> None:
    """Who asks before the target block is told to ask later: a miss would be a guess."""
    plans = await two_swaps(desk)

    with pytest.raises(ConfigError, match="settle later"):
        await Gateway(desk, desk.executors).recover(plans, HeadChange(added=()))


async def test_a_trade_is_found_in_the_block_that_replaced_its_own(desk: Desk) -> None:
    """Both blocks hold it: its fill is of the one that counts, told by either way of asking."""
    gateway = Gateway(desk, desk.executors)
    plan, _ = await two_swaps(desk)
    flight = await gateway.submit(plan, fee=fee_at(await desk.node.head()))
    assert isinstance(flight, InFlight)
    before = await desk.node.rpc.call("evm_snapshot", [])
    gone = await desk.seal(*desk.inbox.bundles[-1])
    await desk.submitter.on_head(gone)
    await desk.node.rpc.call("evm_revert", [before])
    await desk.node.rpc.call("evm_increaseTime", [7])
    sibling = await desk.seal(*desk.inbox.bundles[-1])
    change = HeadChange(added=sibling.added, reverted=gone.added)

    told = await gateway.settle(flight, change)
    (found,) = await gateway.recover([plan], change)

    assert gone.added[0].number == sibling.added[0].number
    assert gone.added[0].hash != sibling.added[0].hash
    assert (True, sibling.added[0].hash) == (told.landed, told.block_hash)
    assert told == found


EXECUTOR = Address("0x" + "77" * 20)
HERE = [
    swap([(TOKENS[0], 10 + n), (TOKENS[1], 100)], name=f"100-{n}", first_pool=n) for n in range(12)
]
THERE = [msgspec.structs.replace(one, parent_hash=Hash("0x" + "09" * 32)) for one in HERE]
LATER = swap([(TOKENS[0], 99), (TOKENS[1], 900)], name="100.2-0")  # in a pool of HERE


@pytest.mark.parametrize("count", [2, 3, 9, 12])
def test_a_block_that_was_decided_again_does_not_hide_what_went_together(count: int) -> None:
    """Plans on another parent, through the same pools, or told twice are told apart from it."""
    mine = HERE[-count:]
    twice = msgspec.structs.replace(mine[0], verdict_id="100.2-1")

    found = _carried(encode_batch(mine, EXECUTOR), [*THERE, *HERE, twice, LATER], EXECUTOR)
    alone = _carried(encode_plan(LATER, EXECUTOR), [*THERE, *HERE, LATER], EXECUTOR)
    foreign = _carried(encode_batch(mine, EXECUTOR), [*THERE, *HERE[:-1], LATER], EXECUTOR)

    assert tuple(mine) == found
    assert (LATER,) == alone
    assert () == foreign
