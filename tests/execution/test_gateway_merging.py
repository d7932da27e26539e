"""Several swaps in one transaction on the offline twin, in blocks sealed by the test."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from tests.execution.desk import (
    CAPITAL,
    DAI,
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
from toolkit.devnet.calldata import encode_call
from toolkit.execution.calldata import BALANCE_OF, encode_address_call
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.planner import TipPolicy
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Leg, Plan

TETHER = POOL["V3 WETH/USDT 0.05%"]
STABLE = POOL["V3 USDC/USDT 0.01%"]
MILLI = ETHER // 1000


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two signers with an executor each, on a twin whose V2 pool is away from the rest."""
    async with open_desk() as desk:
        yield desk


async def swaps(desk: Desk, *, tip_wei: int = 0) -> tuple[Plan, Plan, Plan]:
    """Three agents' swaps in pools of their own; two sell the same token, one buys it."""
    snapshot = await desk.snapshot()
    wishes = [
        (Leg(token_in=WETH, token_out=USDC, amount_in=ETHER), (DEAR,)),
        (Leg(token_in=WETH, token_out=USDT, amount_in=2 * ETHER), (TETHER,)),
        (Leg(token_in=USDC, token_out=USDT, amount_in=500 * 10**6), (STABLE,)),
    ]
    first, second, third = (
        msgspec.structs.replace(
            planned(leg, snapshot, via=via, tip=TipPolicy(swap_wei=tip_wei * (index + 1))),
            verdict_id=f"{snapshot.block.number}-{index}",
            agents=(f"agent-{index}",),
        )
        for index, (leg, via) in enumerate(wishes)
    )
    return first, second, third


async def merged(desk: Desk, gateway: Gateway, plans: Sequence[Plan]) -> tuple[InFlight, ...]:
    answers = await gateway.submit_merged(plans, fee=quote_for(await desk.node.head()))
    flights = [one for one in answers if isinstance(one, InFlight)]
    assert len(flights) == len(plans), answers
    return tuple(flights)


async def test_swaps_of_three_agents_land_in_one_transaction(desk: Desk) -> None:
    """One bundle with one approval for each token that is pulled; every fill is its plan's, to the
    wei, and together they are exactly what the balances did; nothing is left at the executor."""
    gateway = Gateway(desk, desk.executors)
    plans = await swaps(desk, tip_wei=MILLI)
    before = await desk.balances()

    flights = await merged(desk, gateway, plans)
    change = await desk.seal(*desk.inbox.bundles[-1])
    fills = [await gateway.settle(flight, change) for flight in flights]

    after = await desk.balances()
    assert 1 == len(desk.inbox.bundles)
    assert 1 == len({fill.tx_hashes for fill in fills})
    assert 2 == len(fills[0].tx_hashes)  # WETH; the USDC that is sold has just been bought
    assert [True, True, True] == [fill.landed for fill in fills]
    for plan, fill in zip(plans, fills, strict=True):
        assert plan.minimum_profit == fill.predicted_out == fill.realised_out
        assert plan.verdict_id == fill.verdict_id
        assert tuple(one.verdict_id for one in plans) == fill.together
        assert -plan.route.amount_in == fill.changes[plan.route.token_in]
        assert -(fill.gas_fee_wei + fill.tip_wei) == fill.changes[ZERO_ADDRESS]
    assert [MILLI, 2 * MILLI, 3 * MILLI] == [fill.tip_wei for fill in fills]
    for token in before:
        told = sum(fill.changes.get(token, 0) for fill in fills)
        assert told == after[token] - before[token]
    receipts = [await desk.node.receipt(one) for one in fills[0].tx_hashes]
    assert sum(one.fee_wei for one in receipts if one) == sum(fill.gas_fee_wei for fill in fills)
    assert {} == await at_executor(desk)
    assert {} == await allowances(desk)


async def test_merged_form_uses_less_gas_than_its_parts(desk: Desk) -> None:
    """Sharing approval, pull, guards and sweep, two swaps of one token cost at most 80 % of two
    transactions, and nobody pays more than alone."""
    gateway = Gateway(desk, desk.executors)
    plans = (await swaps(desk))[:2]
    fee = quote_for(await desk.node.head())
    alone = []
    snapshot = await desk.node.rpc.call("evm_snapshot", [])
    for plan in plans:
        flight = await gateway.submit(plan, fee=fee)
        assert isinstance(flight, InFlight)
        alone.append(flight)
    change = await desk.seal(*desk.inbox.bundles[-1])
    apart = [(await gateway.settle(flight, change)).gas_fee_wei for flight in alone]
    await desk.node.rpc.call("evm_revert", [snapshot])
    async with open_desk() as other:
        gateway = Gateway(other, other.executors)
        flights = await merged(other, gateway, (await swaps(other))[:2])
        change = await other.seal(*other.inbox.bundles[-1])
        shared = [(await gateway.settle(flight, change)).gas_fee_wei for flight in flights]

    print(apart, shared, sum(shared) / sum(apart))
    assert sum(shared) <= 0.8 * sum(apart)
    assert all(one < before for one, before in zip(shared, apart, strict=True))


async def at_executor(desk: Desk) -> dict[Address, int]:
    executor = desk.executors[CAPITAL.address]
    found = {
        token: int(
            await desk.node.call(to=token, data=encode_address_call(BALANCE_OF, executor)), 16
        )
        for token in (WETH, USDC, USDT, DAI)
    }
    return {token: amount for token, amount in found.items() if amount}


async def allowances(desk: Desk) -> dict[Address, int]:
    data = encode_call(
        "allowance(address,address)", CAPITAL.address, desk.executors[CAPITAL.address]
    )
    found = {
        token: int(await desk.node.call(to=token, data=data), 16)
        for token in (WETH, USDC, USDT, DAI)
    }
    return {token: amount for token, amount in found.items() if amount}
