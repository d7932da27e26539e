"""On the offline twin: genuine pools and tokens, our executor, and blocks sealed by the test."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiohttp import web

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.relay import Relay
from toolkit.bundles.submitter import Submitter
from toolkit.chain.node import Node
from toolkit.chain.rpc import open_rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.calldata import encode_call
from toolkit.devnet.pools import POOLS
from toolkit.devnet.protocols import V2_ROUTER
from toolkit.devnet.tokens import TOKENS
from toolkit.devnet.twin import Funding as Endowment
from toolkit.devnet.twin import TwinConfig, build_twin
from toolkit.evm.simulator import BlockEnv, Call, CallResult, Simulator, open_simulator
from toolkit.execution.calldata import BALANCE_OF, creation_code, encode_address_call
from toolkit.execution.gateway import Gateway, InFlight
from toolkit.execution.planner import Declined, TipPolicy, expected_gas, plan
from toolkit.gas.oracle import GasOracle
from toolkit.gas.rules import next_base_fee
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import MissCause
from toolkit.model.chain import ZERO_ADDRESS, Address, Head, HeadChange, Mode
from toolkit.model.decision import Fill, Leg, Plan, Verdict
from toolkit.model.errors import ConfigError
from toolkit.model.market import FundingKind, Hop, Route
from toolkit.model.tx import FeeQuote, UnsignedTransaction
from toolkit.pools.snapshot import Snapshot
from toolkit.pools.sync import load
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.destination import PublicNode
from toolkit.tx.scheduler import TransactionScheduler

ETHER = 10**18
GWEI = 10**9
WETH, USDC, USDT, DAI = (TOKENS[name].address for name in ("WETH", "USDC", "USDT", "DAI"))
POOL = {pool.name: pool.address for pool in POOLS}
CHEAP, DEAR = POOL["V2 USDC/WETH"], POOL["V3 USDC/WETH 0.05%"]
CAPITAL, FLASH, MOVER = (LocalSigner(f"0x{number:064x}") for number in (11, 12, 13))
BUILDER = Address("0x" + "b0" * 20)


class Inbox:
    """A relay that takes everything and keeps what it was sent."""

    def __init__(self) -> None:
        self.bundles: list[list[str]] = []
        self.arrived = asyncio.Event()

    async def serve(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.bundles.append(asked["params"][0]["txs"])
        self.arrived.set()
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": None})


@dataclass(kw_only=True)
class Desk:
    """What a session offers the gateway, and the hands of the only builder."""

    node: Node
    simulator: Simulator
    oracle: GasOracle
    scheduler: TransactionScheduler
    submitter: Submitter
    inbox: Inbox
    executors: dict[Address, Address]
    chain_id: int = 1
    mode: Mode = Mode.DEV

    @property
    def own(self) -> frozenset[Address]:
        return frozenset(self.executors) | frozenset(self.executors.values())

    async def seal(self, *raws: str) -> HeadChange:
        for raw in raws:
            await self.node.send_raw(raw)
        await self.node.rpc.call("evm_mine", [])
        head = await self.node.head()
        assert len(raws) == len(await self.node.receipts(head.hash))
        change = HeadChange(added=(head,))
        await self.scheduler.on_head(change)
        return change

    async def sign(self, signer: LocalSigner, **fields: Any) -> str:
        filled: dict[str, Any] = {
            "type": 2,
            "chain_id": 1,
            "nonce": await self.node.nonce(signer.address),
            "value": 0,
            "to": None,
            "data": "0x",
            "gas": 3_000_000,
            "max_fee_per_gas": 100 * GWEI,
            "max_priority_fee_per_gas": GWEI,
        }
        return signer.sign_transaction_now(UnsignedTransaction(**(filled | fields))).raw

    async def snapshot(self) -> Snapshot:
        head = await self.node.head()
        specs = [pool.spec for pool in POOLS]
        return await load(self.node, specs, tuple(TOKENS.values()), head=head)

    async def balances(self) -> dict[str, int]:
        """Of all our accounts together, by token, native as the zero address."""
        found = {ZERO_ADDRESS: 0, WETH: 0, USDC: 0, USDT: 0, DAI: 0}
        for account in self.own:
            found[ZERO_ADDRESS] += await self.node.balance(account)
            for token in (WETH, USDC, USDT, DAI):
                data = encode_address_call(BALANCE_OF, account)
                found[token] += int(await self.node.call(to=token, data=data), 16)
        return {str(token): amount for token, amount in found.items()}

    async def swap_away(self, token_in: Address, token_out: Address, amount: int) -> str:
        """A stranger's trade in the V2 pool, which moves its price."""
        data = encode_call(
            "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
            amount,
            0,
            [token_in, token_out],
            MOVER.address,
            2**40,
        )
        return await self.sign(MOVER, to=V2_ROUTER, data=data, max_priority_fee_per_gas=2 * GWEI)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two signers with an executor each, on the twin, whose V2 pool is 2 % away from the rest."""
    rich = (("ETH", 100 * ETHER), ("WETH", 500 * ETHER), ("USDC", 10**12), ("USDT", 10**12))
    endowed = [
        Endowment(account=CAPITAL.address, amounts=rich),
        Endowment(account=FLASH.address, amounts=(("ETH", 100 * ETHER),)),
        Endowment(account=MOVER.address, amounts=rich, spenders=(V2_ROUTER,)),
    ]
    async with AsyncExitStack() as stack:
        inbox = Inbox()
        app = web.Application()
        app.router.add_post("/", inbox.serve)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        twin = await build_twin(TwinConfig(funded=tuple(endowed)))
        anvil = await stack.enter_async_context(twin.anvil)
        node = Node(open_rpc(anvil.url))
        stack.push_async_callback(node.rpc.close)
        await node.rpc.call("anvil_setCoinbase", [BUILDER])
        await node.rpc.call("anvil_mine", [hex(64)])  # as deep as the scheduler looks back
        journal = Journal(MemoryBackend())
        stack.push_async_callback(journal.close)
        built = _desk(node, journal, inbox, Relay(url, auth=RelayAuth(MOVER), name="inbox"))
        stack.push_async_callback(built.scheduler.close)
        stack.push_async_callback(built.submitter.close)
        await _prepare(built)
        yield built


def _desk(node: Node, journal: Journal, inbox: Inbox, relay: Relay) -> Desk:
    oracle = GasOracle(node)
    simulator = open_simulator(node)
    scheduler = TransactionScheduler(
        node,
        signers=(CAPITAL, FLASH),
        journal=journal,
        oracle=oracle,
        chain_id=1,
        mode=Mode.DEV,
        config=SchedulerConfig(max_cost_wei=ETHER),
        public=PublicNode(node),
    )
    submitter = Submitter(
        [relay],
        node=node,
        scheduler=scheduler,
        journal=journal,
        own=frozenset(),
        simulator=simulator,
    )
    return Desk(
        node=node,
        simulator=simulator,
        oracle=oracle,
        scheduler=scheduler,
        submitter=submitter,
        inbox=inbox,
        executors={},
    )


async def _prepare(desk: Desk) -> None:
    deployments = [await desk.sign(signer, data=creation_code(WETH)) for signer in (CAPITAL, FLASH)]
    await desk.scheduler.start()
    change = await desk.seal(*deployments, await desk.swap_away(USDC, WETH, 5 * 10**11))
    receipts = await desk.node.receipts(change.added[0].hash)
    assert all(one.succeeded for one in receipts)
    for receipt in receipts[:2]:
        assert receipt.contract_address is not None
        desk.executors[receipt.sender] = receipt.contract_address


def route_through(snapshot: Snapshot, amount: int, *steps: tuple[Address, Address]) -> Route:
    hops = []
    token, held, block = steps[0][1], amount, snapshot.block
    for pool, token_in in steps:
        state = snapshot.pools[pool]
        out, after = state.swap_in(token_in, held)
        token = state.token0 if token_in == state.token1 else state.token1
        hops.append(
            Hop(
                pool=pool,
                kind=state.kind,
                token_in=token_in,
                token_out=token,
                amount_in=held,
                amount_out=out,
                fee_ppm=state.fee_ppm,
            )
        )
        snapshot, held = snapshot.with_pool(after), out
    return Route(
        token_in=steps[0][1],
        token_out=token,
        amount_in=amount,
        amount_out=held,
        hops=tuple(hops),
        block_hash=block.hash,
        block_number=block.number,
    )


class OneWay:
    """A router that knows one path of pools between any two tokens it is asked about."""

    def __init__(self, snapshot: Snapshot, *pools: Address) -> None:
        self.snapshot = snapshot
        self.pools = pools

    def swap(
        self,
        token_in: Address,
        token_out: Address,
        amount_in: int,
        *,
        max_hops: int = 2,  # noqa: ARG002 - the seam
    ) -> Route:
        steps, token = [], token_in
        for pool in self.pools:
            state = self.snapshot.pools[pool]
            steps.append((pool, token))
            token = state.token0 if token == state.token1 else state.token1
        assert token_out == token
        return route_through(self.snapshot, amount_in, *steps)


def quote_for(head: Head) -> FeeQuote:
    base_fee = next_base_fee(head)
    return FeeQuote(
        max_fee_per_gas=2 * base_fee + GWEI,
        max_priority_fee_per_gas=GWEI // 10,
        base_fee_per_gas=base_fee,
        for_block=head.number + 1,
    )


def planned(leg: Leg, snapshot: Snapshot, *, via: tuple[Address, ...] = (), **fields: Any) -> Plan:
    head = snapshot.block
    verdict = Verdict(
        verdict_id=f"{head.number}-0",
        block_number=head.number,
        block_hash=head.hash,
        approved=True,
        intents=("i",),
        agents=("a",),
        legs=(leg,),
    )
    answer = plan(
        verdict,
        snapshot=snapshot,
        router=OneWay(snapshot, *via),
        fee=quote_for(head),
        wrapped=WETH,
        **fields,
    )
    assert not isinstance(answer, Declined), answer
    return answer


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
    """The vault, every V3 pool's balance and every pair's reserve of WETH, as of the snapshot."""
    gateway = Gateway(desk, desk.executors)
    snapshot = await desk.snapshot()

    sources = await gateway.flash_sources(snapshot)

    for source in sources:
        data = encode_address_call(BALANCE_OF, source.lender)
        assert source.available == int(await desk.node.call(to=WETH, data=data), 16)
    with_weth = [pool for pool in snapshot.pools.values() if WETH in {pool.token0, pool.token1}]
    assert len(with_weth) + 1 == len(sources)
    assert {500, 3000} == {s.fee_ppm for s in sources if s.kind is FundingKind.V3_FLASH}
