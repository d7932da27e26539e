"""On the offline twin: a bundle that landed is torn apart by a reorg, and parts of it mined anew.

Whoever rebuilds a block has every transaction of it and may put any of them, in any company, into
another one. The guards that our executor enforces (block, parent hash, minimum profit) must leave
nothing to be won from that: our accounts lose the gas of what was mined, and not a wei beyond.
"""

from collections.abc import AsyncIterator

import pytest

from tests.execution.desk import (
    CHEAP,
    DEAR,
    ETHER,
    USDC,
    WETH,
    Desk,
    open_desk,
    planned,
    quote_for,
    route_through,
)
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.model.chain import ZERO_ADDRESS, Receipt
from toolkit.model.decision import Leg, Plan


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two signers with an executor each, on a twin whose V2 pool is away from the rest."""
    async with open_desk() as desk:
        yield desk


async def landed(desk: Desk, plan: Plan) -> list[str]:
    """Send a plan's bundle and have all of it mined; its transactions."""
    gateway = Gateway(desk, desk.executors)
    flight = await gateway.submit(plan, fee=quote_for(await desk.node.head()))
    assert isinstance(flight, InFlight), flight
    raws = desk.inbox.bundles[-1]
    fill = await gateway.settle(flight, await desk.seal(*raws))
    assert fill.landed
    return raws


async def arbitrage(desk: Desk) -> Plan:
    """A flash-funded one over what a stranger's trade has left behind."""
    snapshot = await desk.snapshot()
    route = route_through(snapshot, 30 * ETHER, (CHEAP, WETH), (DEAR, USDC))
    sources = await Gateway(desk, desk.executors).flash_sources(snapshot)
    leg = Leg(token_in=WETH, token_out=WETH, amount_in=route.amount_in, route=route)
    return planned(leg, snapshot, sources=sources)


async def replayed(desk: Desk, depth: int, *raws: str) -> tuple[Receipt, ...]:
    """Rebuild the last blocks with these transactions, in order, in the newest."""
    before = await desk.node.head()
    chosen = [[raw, depth - 1] for raw in raws]
    await desk.node.rpc.call("anvil_reorg", [depth, chosen])
    after = await desk.node.head()
    assert before.number == after.number
    assert before.hash != after.hash
    mined = await desk.node.receipts(after.hash)
    assert len(raws) == len(mined)
    return mined


async def lost(desk: Desk, before: dict[str, int], mined: tuple[Receipt, ...]) -> dict[str, int]:
    """What our accounts lost by it beyond the gas of our own transactions, by token."""
    after = await desk.balances()
    after[ZERO_ADDRESS] += sum(one.fee_wei for one in mined if one.sender in desk.own)
    return {
        token: after[token] - before[token] for token in before if after[token] != before[token]
    }


async def test_an_approval_that_is_mined_alone_costs_its_gas(desk: Desk) -> None:
    """The first of two transactions, without the trade that it was for."""
    leg = Leg(token_in=WETH, token_out=USDC, amount_in=3 * ETHER)
    before = await desk.balances()
    approval, _ = await landed(desk, planned(leg, await desk.snapshot(), via=(DEAR,)))

    mined = await replayed(desk, 1, approval)

    assert [True] == [one.succeeded for one in mined]
    assert {} == await lost(desk, before, mined)


async def test_a_trade_on_another_parent_costs_its_gas(desk: Desk) -> None:
    """The block before it is another one too, without the trade that made it pay."""
    await desk.seal(await desk.swap_away(USDC, WETH, 3 * 10**11))
    before = await desk.balances()
    raws = await landed(desk, await arbitrage(desk))

    mined = await replayed(desk, 2, *raws)

    assert [False] == [one.succeeded for one in mined]
    assert {} == await lost(desk, before, mined)


async def test_a_trade_behind_a_stranger_costs_its_gas(desk: Desk) -> None:
    """Block and parent hash are what they were; only the minimum profit tells that somebody came
    first, and what was taken for the trade is given back."""
    before = await desk.balances()
    rival = await desk.swap_away(WETH, USDC, 300 * ETHER)
    raws = await landed(desk, await arbitrage(desk))

    mined = await replayed(desk, 1, rival, *raws)

    assert [True, False] == [one.succeeded for one in mined]
    assert {} == await lost(desk, before, mined)


async def test_a_swap_behind_a_stranger_costs_its_gas(desk: Desk) -> None:
    """With own capital, and the approval ahead of it, as with a loan."""
    leg = Leg(token_in=USDC, token_out=WETH, amount_in=5 * 10**9)
    before = await desk.balances()
    rival = await desk.swap_away(USDC, WETH, 2 * 10**11)
    approval, trade = await landed(desk, planned(leg, await desk.snapshot(), via=(CHEAP,)))

    mined = await replayed(desk, 1, approval, rival, trade)

    assert [True, True, False] == [one.succeeded for one in mined]
    assert {} == await lost(desk, before, mined)
