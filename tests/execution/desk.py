"""One trading desk on the offline twin, whose blocks the test seals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
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
from toolkit.evm.simulator import Simulator, open_simulator
from toolkit.execution.calldata import BALANCE_OF, creation_code, encode_address_call
from toolkit.execution.planner import Declined, plan
from toolkit.gas.oracle import GasOracle
from toolkit.gas.rules import next_base_fee
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Address, Head, HeadChange, Mode
from toolkit.model.decision import Leg, Plan, Verdict
from toolkit.model.market import Hop, Route
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
    """A relay that takes everything, keeps what it was sent, and gives back what it is told to."""

    def __init__(self) -> None:
        self.bundles: list[list[str]] = []
        self.uuids: list[str] = []
        self.kept: set[str] = set()
        self.arrived = asyncio.Event()

    async def serve(self, request: web.Request) -> web.Response:
        asked = await request.json()
        uuid = asked["params"][0]["replacementUuid"]
        if asked["method"] == "eth_cancelBundle":
            kept = {"error": {"code": -32000, "message": "too late"}} if uuid in self.kept else {}
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": None} | kept)
        self.uuids.append(uuid)
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
            "gas": 5_000_000,
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


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
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
        mode=Mode.DEV,
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
        snapshot = msgspec.structs.replace(snapshot, pools=snapshot.pools | {after.id: after})
        held = out
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
        max_pools: int | None = None,  # noqa: ARG002 - the seam
        gas_price_wei: int = 0,  # noqa: ARG002 - the seam
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
