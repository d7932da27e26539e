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
from toolkit.evm.simulator import BlockEnv, Call, CallResult
from toolkit.execution.calldata import BALANCE_OF, encode_address_call
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.planner import TipPolicy
from toolkit.model.chain import ZERO_ADDRESS, Address, Head, Mode
from toolkit.model.decision import Fill, Leg, Plan

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
    assert answers is not None
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


async def test_part_that_simulation_refuses_is_tried_alone(desk: Desk) -> None:
    """Merged, one bad part would undo all: nothing is signed, and each plan may still go alone,
    where the good ones do and the bad one has its own reason."""
    gateway = Gateway(desk, desk.executors)
    first, second, bad = await swaps(desk)
    hop = bad.route.hops[0]
    greedy = msgspec.structs.replace(hop, amount_out=hop.amount_out + 1)
    route = msgspec.structs.replace(bad.route, hops=(greedy,))
    bad = msgspec.structs.replace(bad, route=route)
    fee = quote_for(await desk.node.head())

    answer = await gateway.submit_merged((first, second, bad), fee=fee)
    apart = [await gateway.submit(plan, fee=fee) for plan in (first, second, bad)]

    assert answer is None
    assert [InFlight, InFlight, Fill] == [type(one) for one in apart]
    assert isinstance(apart[2], Fill)
    assert "HopShort" in apart[2].missed
    assert 2 == len(desk.inbox.bundles)


async def test_merged_form_above_a_limit_is_tried_apart(desk: Desk) -> None:
    """The session's bound on one transaction's cost counts the tips of all parts."""
    gateway = Gateway(desk, desk.executors)
    plans = await swaps(desk, tip_wei=200 * MILLI)
    fee = quote_for(await desk.node.head())

    answer = await gateway.submit_merged(plans, fee=fee)
    apart = [await gateway.submit(plan, fee=fee) for plan in plans[:2]]

    assert answer is None
    assert [InFlight, InFlight] == [type(one) for one in apart]


async def test_result_that_is_short_for_one_part_stops_all(desk: Desk) -> None:
    """What the logs of the simulation show of every token must be what all parts want of it."""
    gateway = Gateway(desk, desk.executors)
    real = desk.simulator

    class Short:
        async def simulate(
            self, transactions: Sequence[Call], *, parent: Head, env: BlockEnv
        ) -> tuple[CallResult, ...]:
            results = await real.simulate(transactions, parent=parent, env=env)
            return tuple(
                msgspec.structs.replace(
                    one, logs=tuple(log for log in one.logs if log.address != USDT)
                )
                for one in results
            )

    desk.simulator = Short()

    answer = await gateway.submit_merged(await swaps(desk), fee=quote_for(await desk.node.head()))

    assert answer is None
    assert [] == desk.inbox.bundles


async def test_dry_mode_sends_nothing_merged_either(desk: Desk) -> None:
    """In a dry session the merged form is simulated, and every plan is told so."""
    desk.mode = Mode.DRY
    gateway = Gateway(desk, desk.executors)

    answer = await gateway.submit_merged(await swaps(desk), fee=quote_for(await desk.node.head()))

    assert answer is not None
    assert ["dry run: simulated, not sent"] * 3 == [
        one.missed for one in answer if isinstance(one, Fill)
    ]
    assert [] == desk.inbox.bundles


async def test_merged_form_that_was_not_mined_missed_for_every_part(desk: Desk) -> None:
    """Each plan's fill says so, nothing moved, and the nonces serve the next block's trades."""
    gateway = Gateway(desk, desk.executors)
    before = await desk.balances()
    flights = await merged(desk, gateway, await swaps(desk))

    change = await desk.seal()
    fills = [await gateway.settle(flight, change) for flight in flights]
    untouched = await desk.balances()
    again = await merged(desk, gateway, await swaps(desk))
    change = await desk.seal(*desk.inbox.bundles[-1])
    later = [await gateway.settle(flight, change) for flight in again]

    assert [False, False, False] == [fill.landed for fill in fills]
    assert all(fill.missed and not fill.changes for fill in fills)
    assert before == untouched
    assert [True, True, True] == [fill.landed for fill in later]
    assert [one.unsigned.nonce for one in flights[0].lease.signed] == [
        one.unsigned.nonce for one in again[0].lease.signed
    ]


async def test_left_over_allowances_are_made_exact_for_the_sum(desk: Desk) -> None:
    """What was approved before for one token goes to zero first; afterwards nothing is left."""
    executor = desk.executors[CAPITAL.address]
    data = encode_call("approve(address,uint256)", executor, 77)
    await desk.seal(await desk.sign(CAPITAL, to=WETH, data=data))
    gateway = Gateway(desk, desk.executors)

    flights = await merged(desk, gateway, await swaps(desk))
    change = await desk.seal(*desk.inbox.bundles[-1])
    fills = [await gateway.settle(flight, change) for flight in flights]

    assert 3 == len(fills[0].tx_hashes)
    assert [True, True, True] == [fill.landed for fill in fills]
    assert {} == await allowances(desk)


async def test_a_trade_of_the_same_block_stands_on_the_merged_one(desk: Desk) -> None:
    """A further bundle repeats the merged transaction once, however many plans share it."""
    gateway = Gateway(desk, desk.executors)
    first, second, third = await swaps(desk)
    flights = await merged(desk, gateway, (first, second))
    later = await gateway.submit(third, fee=quote_for(await desk.node.head()))
    assert isinstance(later, InFlight)
    shared, both = desk.inbox.bundles

    change = await desk.seal(*both)
    fills = [await gateway.settle(one, change) for one in (*flights, later)]

    assert shared == both[: len(shared)]
    assert len(both) == len(shared) + 2
    assert [True, True, True] == [fill.landed for fill in fills]
    assert () == fills[2].together


async def test_rehearsal_signs_nothing_and_tells_the_gas(desk: Desk) -> None:
    """What the plans would use together is told before anything is sent."""
    gateway = Gateway(desk, desk.executors)
    plans = await swaps(desk)
    fee = quote_for(await desk.node.head())

    results = await gateway.rehearse(plans, fee=fee)
    flights = await merged(desk, gateway, plans)
    change = await desk.seal(*desk.inbox.bundles[-1])
    fills = [await gateway.settle(flight, change) for flight in flights]

    receipts = [await desk.node.receipt(one) for one in fills[0].tx_hashes]
    assert [True] * 2 == [one.succeeded for one in results]
    assert [one.gas_used for one in receipts if one] == [one.gas_used for one in results]
    assert 1 == len(desk.inbox.bundles)
