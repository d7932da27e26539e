"""On the offline twin: genuine pools and tokens, our executor, and blocks sealed by the test."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from tests.execution.desk import (
    BUILDER,
    CAPITAL,
    CHEAP,
    DAI,
    DEAR,
    ETHER,
    FLASH,
    GWEI,
    MOVER,
    POOL,
    USDC,
    USDT,
    WETH,
    Desk,
    open_desk,
    planned,
    quote_for,
    route_through,
)
from toolkit.devnet.calldata import encode_call
from toolkit.devnet.protocols import V2_ROUTER
from toolkit.evm.simulator import BlockEnv, Call, CallResult
from toolkit.execution.calldata import BALANCE_OF, encode_address_call
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.planner import TipPolicy, expected_gas
from toolkit.model.bundle import MissCause
from toolkit.model.chain import ZERO_ADDRESS, Address, Head, HeadChange, Mode
from toolkit.model.decision import Fill, Leg, Plan
from toolkit.model.errors import ConfigError
from toolkit.model.market import FundingKind


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two signers with an executor each, on a twin whose V2 pool is away from the rest."""
    async with open_desk() as desk:
        yield desk


async def arbitrage(
    desk: Desk, gateway: Gateway, *, kinds: tuple[FundingKind, ...] = tuple(FundingKind)
) -> Plan:
    """The V2 pool sells WETH dearer since the stranger bought some there."""
    snapshot = await desk.snapshot()
    route = route_through(snapshot, 30 * ETHER, (CHEAP, WETH), (DEAR, USDC))
    sources = [one for one in await gateway.flash_sources(snapshot) if one.kind in kinds]
    leg = Leg(token_in=WETH, token_out=WETH, amount_in=route.amount_in, route=route)
    return planned(leg, snapshot, sources=sources)


async def flying(gateway: Gateway, wish: Plan, desk: Desk) -> InFlight:
    head = await desk.node.head()
    answer = await gateway.submit(wish, fee=quote_for(head))
    assert isinstance(answer, InFlight), answer
    return answer


async def landed(desk: Desk, gateway: Gateway, wish: Plan) -> tuple[Fill, dict[str, int]]:
    """Execute in the next block; the fill, and the true changes of our balances."""
    before = await desk.balances()
    in_flight = await flying(gateway, wish, desk)
    fill = await gateway.settle(in_flight, await desk.seal(*desk.inbox.bundles[-1]))
    after = await desk.balances()
    changes = {token: after[token] - before[token] for token in before}
    return fill, {token: change for token, change in changes.items() if change}


@pytest.mark.parametrize("kind", [FundingKind.BALANCER, FundingKind.V2_FLASH, FundingKind.V3_FLASH])
async def test_flash_funded_arbitrage_is_exact_to_the_wei(desk: Desk, kind: FundingKind) -> None:
    """Borrowed from each kind of lender, predicted equals realised, changes equal balances, and
    the builder got exactly the tip and the priority fees."""
    gateway = Gateway(desk, desk.executors)
    wish = await arbitrage(desk, gateway, kinds=(kind,))
    paid = await desk.node.balance(BUILDER)

    fill, changes = await landed(desk, gateway, wish)

    receipt = await desk.node.receipt(fill.tx_hashes[0])
    assert receipt is not None
    base_fee = (await desk.node.head(receipt.block_hash)).base_fee_per_gas
    priority = receipt.gas_used * (receipt.effective_gas_price - base_fee)
    assert fill.landed
    assert kind is wish.funding.kind
    assert wish.minimum_profit == fill.predicted_out == fill.realised_out
    assert changes == fill.changes
    assert wish.tip_wei == fill.tip_wei > 0
    assert wish.tip_wei + priority == await desk.node.balance(BUILDER) - paid
    assert receipt.fee_wei == fill.gas_fee_wei
    assert receipt.gas_used < expected_gas(wish.route, kind, tip_wei=1) < wish.gas_limit
    assert fill.impact_bps > 1


@pytest.mark.parametrize(
    ("sold", "bought", "amount", "via"),
    [
        (WETH, USDC, 3 * ETHER, (DEAR,)),
        (USDC, WETH, 5 * 10**9, (CHEAP,)),
        (USDT, DAI, 10**9, (POOL["V3 USDC/USDT 0.01%"], POOL["V3 DAI/USDC 0.01%"])),
    ],
)
async def test_own_capital_swap_is_exact_to_the_wei(
    desk: Desk, sold: Address, bought: Address, amount: int, via: tuple[Address, ...]
) -> None:
    """An approval of exactly the input and the swap land together; nothing else moves, and the
    allowance is used up."""
    gateway = Gateway(desk, desk.executors)
    leg = Leg(token_in=sold, token_out=bought, amount_in=amount)
    wish = planned(leg, await desk.snapshot(), via=via, tip=TipPolicy(swap_wei=10**15))

    fill, changes = await landed(desk, gateway, wish)

    assert fill.landed
    assert 2 == len(fill.tx_hashes)
    assert wish.route.amount_out == fill.predicted_out == fill.realised_out
    assert changes == fill.changes
    assert -amount == fill.changes[sold]
    assert -(fill.gas_fee_wei + 10**15) == fill.changes[ZERO_ADDRESS]
    executor = desk.executors[CAPITAL.address]
    allowance = encode_call("allowance(address,address)", CAPITAL.address, executor)
    assert 0 == int(await desk.node.call(to=sold, data=allowance), 16)
    assert {} == {
        token: held
        for token in (WETH, USDC, USDT, DAI)
        if (
            held := int(
                await desk.node.call(to=token, data=encode_address_call(BALANCE_OF, executor)), 16
            )
        )
    }


async def test_left_over_allowance_is_reset_first(desk: Desk) -> None:
    """USDT refuses to change a non-zero allowance: it goes to zero, then to the exact input."""
    executor = desk.executors[CAPITAL.address]
    data = encode_call("approve(address,uint256)", executor, 77)
    await desk.seal(await desk.sign(CAPITAL, to=USDT, data=data))
    gateway = Gateway(desk, desk.executors)
    leg = Leg(token_in=USDT, token_out=USDC, amount_in=10**9)
    wish = planned(leg, await desk.snapshot(), via=(POOL["V3 USDC/USDT 0.01%"],))

    fill, changes = await landed(desk, gateway, wish)

    assert fill.landed
    assert 3 == len(fill.tx_hashes)
    assert changes == fill.changes


async def test_tip_of_own_capital_counts_as_cost(desk: Desk) -> None:
    """The tip that travels as value is within max_cost_wei, or nothing is signed."""
    gateway = Gateway(desk, desk.executors)
    leg = Leg(token_in=WETH, token_out=USDC, amount_in=ETHER)
    wish = planned(leg, await desk.snapshot(), via=(DEAR,), tip=TipPolicy(swap_wei=ETHER))

    fill = await gateway.submit(wish, fee=quote_for(await desk.node.head()))

    assert isinstance(fill, Fill)
    assert fill.missed.startswith("limit: ")
    assert "a tip of 1 ether" in fill.missed
    assert [] == desk.inbox.bundles


async def test_stale_plan_is_stopped_by_simulation(desk: Desk) -> None:
    """A plan whose result is not to be had on its parent is not signed, not leased, not sent."""
    gateway = Gateway(desk, desk.executors)
    wish = await arbitrage(desk, gateway)
    greedy = msgspec.structs.replace(wish, minimum_profit=wish.minimum_profit + 1)
    starved = msgspec.structs.replace(wish, gas_limit=150_000)

    fills = [
        await gateway.submit(one, fee=quote_for(await desk.node.head()))
        for one in (greedy, starved)
    ]

    for fill in fills:
        assert isinstance(fill, Fill)
        assert not fill.landed
        assert fill.missed.startswith("simulation: ")
    assert isinstance(fills[0], Fill)
    assert "ProfitTooLow" in fills[0].missed
    assert str(wish.minimum_profit) in fills[0].missed
    assert [] == desk.inbox.bundles
    assert 0 == desk.submitter.statistics().submitted


class Silent:
    """A simulator in which everything succeeds and nothing happens."""

    async def simulate(
        self,
        transactions: Sequence[Call],
        *,
        parent: Head,  # noqa: ARG002 - the seam
        env: BlockEnv,  # noqa: ARG002 - the seam
    ) -> tuple[CallResult, ...]:
        return tuple(CallResult(succeeded=True, output="0x", gas_used=1) for _ in transactions)


async def test_short_result_is_stopped_by_simulation(desk: Desk) -> None:
    """Success is not enough: the logs must show at least the planned result in our accounts."""
    desk.simulator = Silent()
    gateway = Gateway(desk, desk.executors)
    wish = await arbitrage(desk, gateway)

    fill = await gateway.execute(wish, fee=quote_for(await desk.node.head()))

    assert f"simulation: result 0 is below the planned {wish.minimum_profit}" == fill.missed
    assert [] == desk.inbox.bundles


async def test_dry_mode_sends_nothing(desk: Desk) -> None:
    """In a dry session everything up to simulation happens, and no relay is spoken to."""
    desk.mode = Mode.DRY
    gateway = Gateway(desk, desk.executors)

    fill = await gateway.execute(
        await arbitrage(desk, gateway), fee=quote_for(await desk.node.head())
    )

    assert "dry run: simulated, not sent" == fill.missed
    assert [] == desk.inbox.bundles


async def test_contestable_bundles_leave_the_capital_lane_alone(desk: Desk) -> None:
    """Flash-funded plans go from the second signer, so that a lost one blocks no capital trade:
    the trade lands in the very block in which the arbitrage is lost."""
    gateway = Gateway(desk, desk.executors)
    contested = await flying(gateway, await arbitrage(desk, gateway), desk)
    leg = Leg(token_in=USDT, token_out=USDC, amount_in=10**9)
    trade = planned(leg, await desk.snapshot(), via=(POOL["V3 USDC/USDT 0.01%"],))
    sure = await flying(gateway, trade, desk)

    change = await desk.seal(*desk.inbox.bundles[-1])
    fills = [await gateway.settle(one, change) for one in (contested, sure)]

    assert (FLASH.address, CAPITAL.address) == (contested.sender, sure.sender)
    assert [False, True] == [fill.landed for fill in fills]


async def test_lost_auction_names_rival_and_spends_nothing(desk: Desk) -> None:
    """A rival who traded in our pools and paid the builder more is the cause, with both values;
    our balances do not move, and the nonce is free for the next block."""
    gateway = Gateway(desk, desk.executors)
    before = await desk.balances()
    in_flight = await flying(gateway, await arbitrage(desk, gateway), desk)
    data = encode_call(
        "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
        *(10 * ETHER, 0, [WETH, USDC], MOVER.address, 2**40),
    )
    rival = await desk.sign(
        MOVER,
        to=V2_ROUTER,
        data=data,
        max_priority_fee_per_gas=10**5 * GWEI,
        gas=300_000,
        max_fee_per_gas=2 * 10**5 * GWEI,
    )

    fill = await gateway.settle(in_flight, await desk.seal(rival))
    after = await desk.balances()
    again, _ = await landed(desk, gateway, await arbitrage(desk, gateway))

    assert not fill.landed
    assert {} == fill.changes
    assert before == after
    assert fill.missed.startswith(MissCause.OUTBID_CONFLICT.value)
    assert f"we offered {in_flight.bid_wei} wei" in fill.missed
    assert again.landed
    assert 0 == (await desk.node.transaction(again.tx_hashes[0]) or {"nonce": "0x0"})[
        "nonce"
    ].count("0x2")


async def two_trades(desk: Desk, gateway: Gateway) -> tuple[InFlight, InFlight]:
    """Two trades with own capital in pools of their own, for the same block."""
    snapshot = await desk.snapshot()
    first = planned(Leg(token_in=WETH, token_out=USDC, amount_in=ETHER), snapshot, via=(DEAR,))
    second = planned(
        Leg(token_in=WETH, token_out=USDT, amount_in=2 * ETHER),
        snapshot,
        via=(POOL["V3 WETH/USDT 0.05%"],),
    )
    second = msgspec.structs.replace(second, verdict_id=f"{snapshot.block.number}-1")
    return await flying(gateway, first, desk), await flying(gateway, second, desk)


async def test_two_trades_of_one_signer_land_in_one_block(desk: Desk) -> None:
    """The second trade's bundle repeats the first's, whose nonces it stands on; each fill tells
    its own transactions and changes, which together are what the balances did."""
    gateway = Gateway(desk, desk.executors)
    before = await desk.balances()
    flights = await two_trades(desk, gateway)
    alone, both = desk.inbox.bundles

    change = await desk.seal(*both)
    fills = [await gateway.settle(flight, change) for flight in flights]
    after = await desk.balances()

    assert alone == both[: len(alone)]
    assert [True, True] == [fill.landed for fill in fills]
    assert [2, 2] == [len(fill.tx_hashes) for fill in fills]
    for token in before:
        told = sum(fill.changes.get(token, 0) for fill in fills)
        assert told == after[token] - before[token]
    assert all(fill.predicted_out == fill.realised_out for fill in fills)


async def test_what_every_bundle_of_is_given_back_is_withdrawn(desk: Desk) -> None:
    """A plan whose transactions stand in another bundle too may land with that one."""
    gateway = Gateway(desk, desk.executors)
    flights = await two_trades(desk, gateway)
    first, second = (flight.plan.verdict_id for flight in flights)
    desk.inbox.kept = {desk.inbox.uuids[1]}

    one_kept = await gateway.withdraw()
    desk.inbox.kept = {desk.inbox.uuids[0]}
    other_kept = await gateway.withdraw()
    desk.inbox.kept = set()
    none_kept = await gateway.withdraw()
    change = await desk.seal()
    fills = [await gateway.settle(one, change) for one in flights]

    assert () == one_kept
    assert (second,) == other_kept
    assert (first, second) == none_kept
    assert [MissCause.CANCELLED.value] * 2 == [one.missed.split(":")[0] for one in fills]
    assert () == await gateway.withdraw()


async def test_first_trade_lands_without_the_second(desk: Desk) -> None:
    """If only the first bundle is mined, the second missed as a whole: it is not partial, and its
    nonces are free for the next block."""
    gateway = Gateway(desk, desk.executors)
    flights = await two_trades(desk, gateway)

    change = await desk.seal(*desk.inbox.bundles[0])
    fills = [await gateway.settle(flight, change) for flight in flights]
    again = [await gateway.settle(flight, change) for flight in flights]
    later, _ = await landed(desk, gateway, await _third(desk))

    assert [True, False] == [fill.landed for fill in fills]
    assert not fills[1].missed.startswith(MissCause.PARTIAL.value)
    assert fills == again
    assert later.landed


async def _third(desk: Desk) -> Plan:
    leg = Leg(token_in=USDC, token_out=WETH, amount_in=10**9)
    return planned(leg, await desk.snapshot(), via=(CHEAP,))


async def test_second_trade_in_the_same_pool_is_stopped(desk: Desk) -> None:
    """A plan that the one ahead of it would spoil is not sent: it is simulated behind it."""
    gateway = Gateway(desk, desk.executors)
    leg = Leg(token_in=WETH, token_out=USDC, amount_in=ETHER)
    wish = planned(leg, await desk.snapshot(), via=(DEAR,))
    await flying(gateway, wish, desk)

    fill = await gateway.submit(wish, fee=quote_for(await desk.node.head()))

    assert isinstance(fill, Fill)
    assert "HopShort" in fill.missed
    assert 1 == len(desk.inbox.bundles)


async def test_reorg_after_landing_is_told(desk: Desk) -> None:
    """If the block that held the trade is gone before it was read, the trade did not happen."""
    gateway = Gateway(desk, desk.executors)
    in_flight = await flying(gateway, await _third(desk), desk)
    change = await desk.seal(*desk.inbox.bundles[-1])
    await desk.submitter.on_head(change)
    await desk.node.rpc.call("anvil_rollback", [1])
    await desk.node.rpc.call("anvil_mine", ["0x1"])

    fill = await gateway.settle(in_flight, change)

    assert not fill.landed
    assert fill.missed.startswith(MissCause.REORGED.value)


async def test_same_bundle_is_useless_in_another_block(desk: Desk) -> None:
    """A leaked bundle that somebody mines a block later reverts on its guard and loses only gas."""
    gateway = Gateway(desk, desk.executors)
    in_flight = await flying(gateway, await arbitrage(desk, gateway), desk)
    before = await desk.balances()
    raws = desk.inbox.bundles[-1]

    await desk.seal()
    change = await desk.seal(*raws)
    after = await desk.balances()

    receipts = await desk.node.receipts(change.added[0].hash)
    assert [False] == [one.succeeded for one in receipts]
    changes = {token: after[token] - before[token] for token in before}
    assert {str(ZERO_ADDRESS): -receipts[0].fee_wei} == {t: c for t, c in changes.items() if c}
    assert not in_flight.handle.done


async def test_execute_waits_for_heads_that_others_feed(desk: Desk) -> None:
    """On a chain that moves by itself, execute returns the fill once the head was told."""
    gateway = Gateway(desk, desk.executors)
    wish = await arbitrage(desk, gateway)

    task = asyncio.create_task(gateway.execute(wish, fee=quote_for(await desk.node.head())))
    await desk.inbox.arrived.wait()
    await desk.submitter.on_head(await desk.seal(*desk.inbox.bundles[-1]))
    fill = await task

    assert fill.landed
    assert fill.predicted_out == fill.realised_out


async def test_settling_too_early_is_refused(desk: Desk) -> None:
    """A change that does not reach the target block ends nothing."""
    gateway = Gateway(desk, desk.executors)
    in_flight = await flying(gateway, await arbitrage(desk, gateway), desk)

    with pytest.raises(ConfigError, match="settle later"):
        await gateway.settle(in_flight, HeadChange(added=()))


async def test_gateway_needs_an_executor(desk: Desk) -> None:
    """Without an executor nothing can be executed, which is said at once."""
    with pytest.raises(ConfigError, match="no executor"):
        Gateway(desk, {})


async def test_own_accounts_are_told_to_the_submitter(desk: Desk) -> None:
    """Signers and executors of the gateway count as own in the refusal of sandwiches."""
    Gateway(desk, desk.executors)

    assert desk.own <= desk.submitter.own


async def test_flash_sources_are_read_from_the_chain(desk: Desk) -> None:
    """Every V3 pool's balance and every pair's reserve of WETH, and what the vault has of all."""
    gateway = Gateway(desk, desk.executors)
    snapshot = await desk.snapshot()

    sources = await gateway.flash_sources(snapshot)

    for source in sources:
        data = encode_address_call(BALANCE_OF, source.lender)
        assert source.available == int(await desk.node.call(to=source.token, data=data), 16)
    with_weth = [pool for pool in snapshot.pools.values() if WETH in {pool.token0, pool.token1}]
    lent = [one for one in sources if one.kind is FundingKind.BALANCER]
    assert len(with_weth) + len(lent) == len(sources)
    ends = {end for pool in snapshot.pools.values() for end in (pool.token0, pool.token1)}
    assert {WETH} < {one.token for one in lent} <= ends
    assert {500, 3000} == {s.fee_ppm for s in sources if s.kind is FundingKind.V3_FLASH}
