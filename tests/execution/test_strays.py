"""On the offline twin: what a bundle's transactions cost when they are mined without it."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
import pytest

from tests.execution.desk import (
    DEAR,
    ETHER,
    POOL,
    USDC,
    USDT,
    WETH,
    Desk,
    open_desk,
    planned,
    quote_for,
)
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.strays import WATCHED_BLOCKS
from toolkit.model.chain import HeadChange
from toolkit.model.decision import Fill, Leg, Plan


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two signers with an executor each, on a twin."""
    async with open_desk() as desk:
        yield desk


async def two_plans(desk: Desk) -> tuple[Plan, Plan]:
    """Two swaps with own capital that may share a transaction."""
    snapshot = await desk.snapshot()
    first = planned(Leg(token_in=WETH, token_out=USDC, amount_in=ETHER), snapshot, via=(DEAR,))
    second = planned(
        Leg(token_in=WETH, token_out=USDT, amount_in=2 * ETHER),
        snapshot,
        via=(POOL["V3 WETH/USDT 0.05%"],),
    )
    return first, msgspec.structs.replace(second, verdict_id=f"{snapshot.block.number}-1")


async def together(desk: Desk, gateway: Gateway) -> tuple[InFlight, ...]:
    """Two plans in one transaction, on their way."""
    plans = await two_plans(desk)
    answers = await gateway.submit_merged(plans, fee=quote_for(await desk.node.head()))
    assert answers is not None
    flights = tuple(one for one in answers if isinstance(one, InFlight))
    assert len(flights) == len(plans)
    return flights


def told(fills: Sequence[Fill]) -> dict[str, int]:
    """What fills say that changed, of all verdicts together."""
    sums: dict[str, int] = {}
    for fill in fills:
        for token, change in fill.changes.items():
            sums[token] = sums.get(token, 0) + change
    return {token: change for token, change in sums.items() if change}


def moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What truly changed."""
    return {
        token: after[token] - before[token] for token in before if after[token] != before[token]
    }


async def test_what_lands_after_its_bundle_missed_costs_whose_it_was(desk: Desk) -> None:
    """Leaked, an approval is mined in one block and the trade fails in the next: every wei of gas
    is told once, divided among the verdicts that the transaction carried."""
    gateway = Gateway(desk, desk.executors)
    flights = await together(desk, gateway)
    approval, trade = desk.inbox.bundles[-1]
    missed = await desk.seal()
    lost = [await gateway.settle(flight, missed) for flight in flights]
    before = await desk.balances()

    nothing = await gateway.strays(missed)
    one = await gateway.strays(await desk.seal(approval))
    between = await desk.balances()
    change = await desk.seal(trade)
    two = await gateway.strays(change)
    again = [*await gateway.strays(change), *await gateway.strays(await desk.seal())]
    after = await desk.balances()

    assert [False, False] == [fill.landed for fill in lost]
    assert () == nothing == tuple(again)
    assert moved(before, between) == told(one)
    assert moved(between, after) == told(two)
    names = [flight.plan.verdict_id for flight in flights]
    assert [names, names] == [[fill.verdict_id for fill in fills] for fills in (one, two)]
    assert all(not fill.landed and fill.gas_fee_wei > 0 for fill in (*one, *two))


async def test_what_returns_after_a_reorg_costs_whose_it_was(desk: Desk) -> None:
    """Landed, reverted, and mined anew in a later block, where its guards make it fail."""
    gateway = Gateway(desk, desk.executors)
    flights = await together(desk, gateway)
    raws = desk.inbox.bundles[-1]
    before = await desk.balances()
    point = await desk.node.rpc.call("evm_snapshot", [])
    landed = await desk.seal(*raws)
    fills = [await gateway.settle(flight, landed) for flight in flights]
    quiet = await gateway.strays(landed)
    there = await desk.balances()

    await desk.node.rpc.call("evm_revert", [point])
    await desk.node.rpc.call("evm_increaseTime", [24])
    other = HeadChange(added=(await desk.seal()).added, reverted=landed.added)
    gone = await gateway.strays(other)
    back = await gateway.strays(await desk.seal(*raws))
    after = await desk.balances()

    assert [True, True] == [fill.landed for fill in fills]
    assert moved(before, there) == told(fills)
    assert () == quiet == gone
    assert moved(before, after) == told(back)
    assert [False, False] == [fill.landed for fill in back]
    assert {"mined, but reverted"} == {fill.missed for fill in back}


async def test_a_bundle_is_forgotten_when_no_reorg_reaches_it(desk: Desk) -> None:
    """Nothing is kept for ever, and what is decided is asked for no more."""
    gateway = Gateway(desk, desk.executors)
    flights = await together(desk, gateway)
    missed = await desk.seal()
    for flight in flights:
        await gateway.settle(flight, missed)
    await desk.node.rpc.call("anvil_mine", [hex(WATCHED_BLOCKS + 1)])

    change = await desk.seal(*desk.inbox.bundles[-1])

    assert () == await gateway.strays(change)
