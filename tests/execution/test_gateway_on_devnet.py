"""The whole way on the devnet: signed relays, three builders, a market, and the truth beside it."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.relay import Relay
from toolkit.bundles.submitter import Submitter
from toolkit.chain.node import Node
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.evm.simulator import Simulator, open_simulator
from toolkit.execution.calldata import creation_code
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.planner import Declined, TipPolicy, plan
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import MissCause
from toolkit.model.chain import MAINNET_WETH, Address, HeadChange, Mode
from toolkit.model.decision import Fill, Leg, Plan, Verdict
from toolkit.model.tx import FeeQuote, UnsignedTransaction, Urgency
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.router import Router
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.destination import PublicNode
from toolkit.tx.scheduler import TransactionScheduler

ETHER = 10**18
GWEI = 10**9


@dataclass(kw_only=True)
class Desk:
    """What a session offers the gateway, for one searcher."""

    node: Node
    simulator: Simulator
    oracle: GasOracle
    scheduler: TransactionScheduler
    submitter: Submitter
    chain_id: int
    mode: Mode = Mode.DEV

    async def on_head(self, change: HeadChange) -> None:
        await self.scheduler.on_head(change)
        await self.submitter.on_head(change)


async def open_desk(stack: AsyncExitStack, devnet: Devnet, signer: LocalSigner) -> Desk:
    node = Node(open_rpc(devnet.rpc_url))
    stack.push_async_callback(node.rpc.close)
    journal = Journal(MemoryBackend())
    stack.push_async_callback(journal.close)
    oracle, simulator = GasOracle(node), open_simulator(node)
    scheduler = TransactionScheduler(
        node,
        signers=(signer,),
        journal=journal,
        oracle=oracle,
        chain_id=devnet.chain_id,
        mode=Mode.DEV,
        config=SchedulerConfig(max_cost_wei=ETHER),
        public=PublicNode(node),
    )
    stack.push_async_callback(scheduler.close)
    relays = [Relay(relay.url, name=relay.name, auth=RelayAuth(signer)) for relay in devnet.relays]
    submitter = Submitter(
        relays,
        node=node,
        scheduler=scheduler,
        journal=journal,
        mode=Mode.DEV,
        own=frozenset(),
        simulator=simulator,
    )
    stack.push_async_callback(submitter.close)
    await scheduler.start()
    return Desk(
        node=node,
        simulator=simulator,
        oracle=oracle,
        scheduler=scheduler,
        submitter=submitter,
        chain_id=devnet.chain_id,
    )


async def open_gateways(devnet: Devnet, desks: dict[LocalSigner, Desk]) -> list[Gateway]:
    """Deploy an executor for each searcher by a public transaction."""
    hashes = []
    for signer, desk in desks.items():
        creation = UnsignedTransaction(
            type=2,
            chain_id=devnet.chain_id,
            nonce=await desk.node.nonce(signer.address),
            to=None,
            value=0,
            data=creation_code(MAINNET_WETH),
            gas=5_000_000,
            max_fee_per_gas=100 * GWEI,
            max_priority_fee_per_gas=GWEI,
        )
        hashes.append(await desk.node.send_raw(signer.sign_transaction_now(creation).raw))
    change = HeadChange(added=(await devnet.step(),))
    gateways = []
    for (signer, desk), tx_hash in zip(desks.items(), hashes, strict=True):
        await desk.on_head(change)
        receipt = await desk.node.receipt(tx_hash)
        assert receipt is not None
        assert receipt.contract_address is not None
        gateways.append(Gateway(desk, {signer.address: receipt.contract_address}))
    return gateways


async def best_plan(
    devnet: Devnet, gateway: Gateway, fee: FeeQuote, *, share_ppm: int
) -> Plan | None:
    snapshot = await devnet.snapshot()
    router = Router(snapshot)
    price = fee.base_fee_per_gas + fee.max_priority_fee_per_gas
    route = router.arbitrage(MAINNET_WETH, gas_price_wei=price)
    if route is None:
        return None
    leg = Leg(
        token_in=route.token_in,
        token_out=route.token_out,
        amount_in=route.amount_in,
        route=route,
    )
    verdict = Verdict(
        verdict_id=f"{route.block_number}-0",
        block_number=route.block_number,
        block_hash=route.block_hash,
        approved=True,
        intents=("i",),
        agents=("a",),
        legs=(leg,),
    )
    answer = plan(
        verdict,
        snapshot=snapshot,
        router=router,
        fee=fee,
        wrapped=MAINNET_WETH,
        sources=await gateway.flash_sources(snapshot),
        tip=TipPolicy(share_ppm=share_ppm),
    )
    return None if isinstance(answer, Declined) else answer


async def bid(desk: Desk, gateway: Gateway, devnet: Devnet, share_ppm: int) -> InFlight | None:
    head = await desk.node.head()
    fee = await desk.oracle.quote(Urgency.NEXT_BLOCK, head=head)
    wish = await best_plan(devnet, gateway, fee, share_ppm=share_ppm)
    if wish is None:
        return None
    answer = await gateway.submit(wish, fee=fee)
    assert isinstance(answer, InFlight), answer
    return answer


@pytest.mark.timeout(180)
async def test_every_end_agrees_with_the_market() -> None:
    """Two searchers bid for the same arbitrage over twelve blocks, one less than the other: what
    lands is exact to the wei, and each miss has the market's own cause, rival and values."""
    async with AsyncExitStack() as stack:
        devnet = await stack.enter_async_context(Devnet(DevnetConfig(seed=3)))
        signers = [account.signer for account in devnet.accounts[:2]]
        desks = {signer: await open_desk(stack, devnet, signer) for signer in signers}
        modest, keen = await open_gateways(devnet, desks)
        contested = 0
        for _ in range(12):
            flights = [
                (gateway, await bid(desk, gateway, devnet, share))
                for desk, gateway, share in zip(
                    desks.values(), (modest, keen), (300_000, 700_000), strict=True
                )
            ]
            change = HeadChange(added=(await devnet.step(),))
            for desk in desks.values():
                await desk.on_head(change)
            fills = [
                (flight, await gateway.settle(flight, change))
                for gateway, flight in flights
                if flight is not None
            ]
            for flight, fill in fills:
                agrees_with_market(devnet, flight, fill)
            contested += len(fills) == 2

        statistics = [desk.submitter.statistics() for desk in desks.values()]
        assert contested > 0
        assert statistics[1].landed > 0
        assert statistics[0].missed.get(MissCause.OUTBID_CONFLICT.value, 0) > 0


@pytest.mark.timeout(180)
async def test_two_capital_trades_share_a_block() -> None:
    """The market takes the second trade's bundle, which repeats the first's: both land, exact."""
    async with AsyncExitStack() as stack:
        devnet = await stack.enter_async_context(Devnet(DevnetConfig(seed=3, flow=False)))
        signer = devnet.accounts[0].signer
        desk = await open_desk(stack, devnet, signer)
        (gateway,) = await open_gateways(devnet, {signer: desk})
        snapshot = await devnet.snapshot()
        fee = await desk.oracle.quote(Urgency.NEXT_BLOCK, head=snapshot.block)
        flights = [
            await trade(gateway, snapshot, fee, devnet.tokens[symbol].address)
            for symbol in ("WBTC", "DAI")
        ]

        change = HeadChange(added=(await devnet.step(),))
        await desk.on_head(change)
        fills = [await gateway.settle(flight, change) for flight in flights]

        assert [True, True] == [fill.landed for fill in fills]
        assert all(fill.predicted_out == fill.realised_out > 0 for fill in fills)


async def trade(gateway: Gateway, snapshot: Snapshot, fee: FeeQuote, bought: Address) -> InFlight:
    block = snapshot.block
    leg = Leg(token_in=MAINNET_WETH, token_out=bought, amount_in=ETHER)
    verdict = Verdict(
        verdict_id=f"{block.number}-{bought}",
        block_number=block.number,
        block_hash=block.hash,
        approved=True,
        intents=("i",),
        agents=("a",),
        legs=(leg,),
    )
    wish = plan(verdict, snapshot=snapshot, router=Router(snapshot), fee=fee, wrapped=MAINNET_WETH)
    assert isinstance(wish, Plan), wish
    answer = await gateway.submit(wish, fee=fee)
    assert isinstance(answer, InFlight), answer
    return answer


def agrees_with_market(devnet: Devnet, flight: InFlight, fill: Fill) -> None:
    slot = devnet.slots[-1]
    truth = {one.bundle_hash: one for one in slot.considered}
    mine = truth[flight.handle.bundle_hash]
    assert mine.included is fill.landed
    # The first tip to a fee recipient creates its account: 25,000 gas that only its builder knows.
    assert abs(mine.value_wei - flight.bid_wei) <= 25_000 * GWEI
    if fill.landed:
        assert fill.predicted_out == fill.realised_out
        assert mine.transactions == fill.tx_hashes
        return
    assert mine.cause is not None
    assert fill.missed.startswith(f"{mine.cause.value}: "), (mine, fill.missed)
    assert mine.rival is not None
    rival = truth[mine.rival]
    assert any(one in fill.missed for one in rival.transactions)
    assert f"paid the builder {rival.value_wei} wei" in fill.missed
    assert f"we offered {flight.bid_wei} wei" in fill.missed
