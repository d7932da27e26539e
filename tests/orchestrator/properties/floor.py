"""Five agents on a faulty chain, with one wallet or several: gateway, outbox, scheduler, lived.

The chain, its mempool and its faults are `toolkit.testing.fakes`; what is made up here is a market
that takes bundles or not, and event logs of swaps that do what their calldata says.
"""

import asyncio
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from eth_abi.abi import decode

from tests.execution.swaps import TOKENS, swap
from toolkit.bundles.submitter import Submitter
from toolkit.chain.node import Node
from toolkit.chain.signer import LocalSigner
from toolkit.evm.call import BlockEnv, Call, CallResult, SimulatedLog
from toolkit.execution.calldata import EXECUTE, EXECUTE_BATCH
from toolkit.execution.fills import TRANSFER
from toolkit.execution.gateway import BALANCER_VAULT, Gateway
from toolkit.execution.merging import together
from toolkit.execution.strays import SURE_BLOCKS
from toolkit.gas.oracle import GasOracle
from toolkit.gas.rules import MAX_TX_GAS
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import Bundle, BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash, Head, HeadChange, LogEntry, Mode, Receipt
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import NodeError, NodeUnavailable, ToolkitError
from toolkit.model.market import Funding, FundingKind, PoolKind
from toolkit.model.tx import (
    Attempt,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.orchestrator.sending.outbox import GatewayOutbox
from toolkit.testing.fakes import (
    ETHER,
    FRIEND,
    OWNER,
    Block,
    InlineJournal,
    Mempool,
    SlowSigner,
    World,
)
from toolkit.tx.handle import BundleLease, Sent
from toolkit.tx.scheduler import SchedulerConfig, TransactionScheduler

WALLETS = (OWNER, LocalSigner("0x" + "0b" * 32), LocalSigner("0x" + "0c" * 32))
"""The first holds the capital; flash-funded plans go from the others, where there are any."""
EXECUTORS = {
    one.address: Address(f"0x{0xE0 + place:02x}" + "e0" * 19) for place, one in enumerate(WALLETS)
}
AGENTS = ("anna", "bert", "cora", "dora", "emil")
CONFIG = SchedulerConfig(
    max_cost_wei=ETHER, max_in_flight=5, replace_after_blocks=2, finality_blocks=6
)
FAULTS = {
    "delay": 1.0,
    "skip": 0.1,
    "refused": 0.03,
    "lost_before": 0.03,
    "lost_after": 0.05,
    "dropped": 0.04,
    "cheap": 0.03,
    "stale": 0.03,
    "lag": 0.05,
    "unreachable": 0.003,
}
DRAIN_BLOCKS = 60
PROFIT = 1_000
"""Of a cycle with borrowed means."""
_HOPS = "(address,uint256,address,address,uint256,uint256)[]"
_LOANS = "(address,uint256)[]"
_HEAD = "uint256,bytes32,uint8,address,address,uint256,address,uint256,uint256"
_PLAN = f"({_HEAD},{_HOPS},{_LOANS})"
_BATCH = f"(uint256,bytes32,uint256,(address,uint256,uint256)[],{_HOPS})"


def carried(data: str) -> tuple[int, list[tuple[Any, ...]]] | None:
    """Read a call at the executor: its block and hops; None if it is another call."""
    known = {EXECUTE: (_PLAN, -2), EXECUTE_BATCH: (_BATCH, -1)}.get(data[:10])
    if known is None:
        return None
    kind, place = known
    (values,) = decode([kind], bytes.fromhex(data[10:]))
    return int(values[0]), list(values[place])


def swap_logs(unsigned: UnsignedTransaction) -> tuple[SimulatedLog, ...]:
    """Tell what the hops of a call move in and out of the executor."""
    logs: list[SimulatedLog] = []
    call, executor = carried(unsigned.data), unsigned.to or ""
    for pool, _, token_in, token_out, amount_in, amount_out in call[1] if call else ():
        for token, source, target, amount in (
            (token_in, executor, pool, amount_in),
            (token_out, pool, executor, amount_out),
        ):
            topics = (TRANSFER, *(Hash("0x" + "00" * 12 + one[2:]) for one in (source, target)))
            logs.append(
                SimulatedLog(address=Address(token), topics=topics, data=f"0x{amount:064x}")
            )
    return tuple(logs)


class Chain(World):
    """A world that is also read by block hash, and in which the executor's calls do something."""

    async def head(self, block: int | str = "latest") -> Head:
        """A block's header, also by its hash."""
        return (await self._at(block)).head

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        """The account's count, also as of a hash."""
        if isinstance(block, str) and block.startswith("0x"):
            return (await self._at(block)).counts.get(account, 0)
        return await super().nonce(account, block)

    async def call(self, *, data: str = "0x", **asked: Any) -> str:
        """No allowance of anything."""
        return await super().call(data=data, **asked) + "00" * 32

    async def block(self, block: int | str, *, full: bool) -> dict[str, Any]:
        """A block with its transactions."""
        assert full
        found = await self._at(block)
        return {"transactions": [await self.transaction(tx.hash) for tx in found.transactions]}

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """A receipt: a call for another block reverted, one for its own did what it says."""
        found = await super().receipt(tx_hash)
        if found is None:
            return None
        block, index = self._places[tx_hash]
        unsigned = block.transactions[index].unsigned
        call = carried(unsigned.data)
        if call is None:
            return found
        good = call[0] == block.head.number
        logs = tuple(
            LogEntry(
                address=log.address,
                topics=log.topics,
                data=log.data,
                block_number=block.head.number,
                block_hash=block.head.hash,
                transaction_hash=tx_hash,
                log_index=place,
            )
            for place, log in enumerate(swap_logs(unsigned))
        )
        return msgspec.structs.replace(found, succeeded=good, logs=logs if good else ())

    async def _at(self, block: int | str) -> Block:
        await self._asked()
        if block == "latest":
            return self.blocks[-1]
        if isinstance(block, int):
            return self.blocks[block]
        known = [one for one in self.blocks if one.head.hash == block]
        if not known:
            raise NodeUnavailable(f"no block {block}")
        return known[0]


class Stage:
    """A simulator in which every call does what it says."""

    async def simulate(
        self, transactions: Sequence[Call], *, parent: Head, env: BlockEnv
    ) -> tuple[CallResult, ...]:
        """Succeed, with the logs of the swaps; a nonce that is out of order is a mistake."""
        nonces = [unsigned.nonce for _, unsigned in transactions]
        assert nonces == list(range(nonces[0], nonces[0] + len(nonces))), "a gap was simulated"
        assert env.number == parent.number + 1
        return tuple(
            CallResult(succeeded=True, output="0x", gas_used=50_000, logs=swap_logs(unsigned))
            for _, unsigned in transactions
        )


@dataclass(eq=False)
class Flying:
    """A bundle at the relays, as its handle is asked."""

    bundle: Bundle
    lease: BundleLease
    result: "asyncio.Future[BundleResult]"

    @property
    def done(self) -> bool:
        """Whether its end is known."""
        return self.result.done()

    async def wait(self) -> BundleResult:
        """Wait for its end."""
        return await self.result


@dataclass(eq=False)
class Relays:
    """Takes every bundle, and ends each by what is in its block."""

    chain: Chain
    scheduler: TransactionScheduler
    own: frozenset[Address]
    live: list[Flying] = field(default_factory=list)
    past: list[BundleLease] = field(default_factory=list)  # of bundles that missed
    senders: dict[Hash, Address] = field(default_factory=dict)
    replaceable: bool = True

    def add_own(self, accounts: Collection[Address]) -> None:
        """Hear whose executors there are."""
        assert self.own == set(accounts)

    async def submit(self, bundle: Bundle, *, lease: BundleLease, **_: object) -> Flying:
        """Take it: one wallet's transactions, its own last."""
        await self.chain.pause()
        self.senders.update((tx.hash, tx.sender) for tx in lease.signed)
        assert 1 == len({self.senders[one] for one in bundle.hashes}), "a bundle of two wallets"
        made = Flying(bundle, lease, asyncio.get_running_loop().create_future())
        self.live.append(made)
        return made

    async def on_head(self, change: HeadChange) -> None:
        """End what was for a block that is here."""
        newest = max(head.number for head in change.added)
        for one in [one for one in self.live if one.bundle.target_block <= newest]:
            self.live.remove(one)
            result = self._ended(one.bundle)
            await self.scheduler.settle_bundle(one.lease, result)
            if isinstance(result, Missed):
                self.past.append(one.lease)
            one.result.set_result(result)

    def _ended(self, bundle: Bundle) -> BundleResult:
        block = self.chain.blocks[bundle.target_block]
        mined = [tx.hash for tx in block.transactions]
        if not set(bundle.hashes) <= set(mined):
            return Missed(
                bundle_hash=bundle.hashes[-1],
                target_block=bundle.target_block,
                cause=MissCause.OUTBID_CONFLICT,
                evidence="a rival",
            )
        return Landed(
            bundle_hash=bundle.hashes[-1],
            block_number=block.head.number,
            block_hash=block.head.hash,
            builder=FRIEND,
            fee_wei=0,
            tip_wei=0,
        )


@dataclass(kw_only=True)
class Trading:
    """What a session offers the gateway."""

    node: Node
    oracle: GasOracle
    simulator: Stage
    scheduler: TransactionScheduler
    submitter: Submitter
    mode: Mode = Mode.DEV
    chain_id: int = 1


class Public(Mempool):
    """The public pool; what is under a live bundle's nonce must not come here."""

    def __init__(self, floor: "Floor") -> None:
        super().__init__(floor.chain)
        self.floor = floor

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take an attempt, once nobody else lives on its nonce."""
        self.floor.alone(attempt)
        await super().send(attempt, target_block=target_block)


class Floor:
    """One seeded life of five agents' intents, on one account or on several."""

    def __init__(
        self, seed: int, *, intents: int, wallets: int = 1, faults: dict[str, float] | None = None
    ) -> None:
        self.rng = random.Random(seed)
        self.wallets = WALLETS[:wallets]
        self.executors = {one.address: EXECUTORS[one.address] for one in self.wallets}
        self.chain = Chain(self.rng, **(FAULTS if faults is None else faults))
        self.backend = MemoryBackend()
        self.public = Public(self)
        self.left = dict.fromkeys(AGENTS, intents)
        self.plans: dict[str, Plan] = {}
        self.fills: dict[str, list[Fill]] = {}
        self.sent: dict[str, Sent] = {}  # public requests by intent
        self.payments: dict[str, tuple[int, Address]] = {}  # value and wallet by intent
        self.signed: dict[Hash, SignedTransaction] = {}
        self.holders: dict[
            tuple[Address, int], tuple[str, tuple[SignedTransaction, ...]]
        ] = {}  # by wallet and nonce
        self.seen = self.chain.tip
        self.unheard: tuple[Head, ...] = ()
        self.serial = 0
        self.crashes = 0

    async def run(self) -> None:
        """Live until every intent was had and everything has ended."""
        await self.boot()
        while any(self.left.values()):
            await self.trade()
            self.build()
            if self.rng.random() < 0.08:
                self.reorg()
            if self.rng.random() < 0.1:
                await self.crash()  # what was sent is mined, and nobody has heard of it
            await self.follow()
            if self.rng.random() < 0.05:
                await self.crash()
        await self.drain()

    async def boot(self) -> None:
        """Start as any process does: from the journal and the chain alone."""
        self.journal = InlineJournal(self.backend)
        self.scheduler = TransactionScheduler(
            self.chain,
            signers=[SlowSigner(self.chain, one) for one in self.wallets],
            journal=self.journal,
            oracle=self.chain,
            chain_id=1,
            mode=Mode.DEV,
            config=CONFIG,
            public=self.public,
        )
        while not await came_through(self.scheduler.start()):
            pass
        self.seen, self.unheard = self.chain.tip, ()
        own = frozenset(self.executors) | frozenset(self.executors.values())
        self.relays = Relays(self.chain, self.scheduler, own)
        trading = Trading(
            node=cast("Node", self.chain),
            oracle=cast("GasOracle", self.chain),
            simulator=Stage(),
            scheduler=self.scheduler,
            submitter=cast("Submitter", self.relays),
        )
        self.gateway = Gateway(trading, self.executors)
        self.outbox = GatewayOutbox(self.gateway)
        self.outbox.resume([p for name, p in self.plans.items() if not self.fills[name]])

    async def crash(self) -> None:
        """Die; what was under way is asked after by the next process, payments by their key."""
        self.crashes += 1
        await self.journal.commit()
        self.journal.cut = True
        await self.boot()
        for name in self.payments:
            if name in self.sent:
                await self.pay(name)

    async def trade(self) -> None:
        """Some agents have a wish; swaps go as the orchestrator sends them, the rest publicly."""
        busy = [agent for agent in AGENTS if self.left[agent] and self.rng.random() < 0.6]
        plans: list[Plan] = []
        for agent in busy:
            self.left[agent] -= 1
            self.serial += 1
            name = f"{agent}-{self.serial}"
            if self.rng.random() < 0.15:
                self.payments[name] = self.serial, self.any_wallet().address
                await self.pay(name)
            else:
                plans.append(self.plan(name, agent))
        fee = await self.chain.quote(Urgency.NEXT_BLOCK)
        for group in together(plans, fee=fee, max_gas=MAX_TX_GAS, most=8):
            for plan in group:
                self.plans[plan.verdict_id], self.fills[plan.verdict_id] = plan, []
            self.told(await self.outbox.submit(group, fee))
            self.one_holder()

    def plan(self, name: str, agent: str) -> Plan:
        """A swap for the next block, or a cycle with borrowed means; its amounts name it."""
        tip = self.chain.tip
        token_in, token_out = self.rng.sample(TOKENS, 2)
        path = [(token_in, 10**6 + self.serial), (token_out, 10**9 + self.serial)]
        lent = self.any_wallet() is not OWNER
        if lent:
            path.append((token_in, 10**6 + self.serial + PROFIT))
        made = swap(path, name=name, agent=agent, first_pool=2 * self.serial, parent=tip.hash)
        made = msgspec.structs.replace(made, target_block=tip.number + 1)
        if not lent:
            return made
        loan = Funding(
            kind=FundingKind.BALANCER,
            token=token_in,
            amount=made.route.amount_in,
            lender=BALANCER_VAULT,
        )
        kind = PoolKind.CONSTANT_PRODUCT  # of which nobody has to ask the price
        hops = tuple(msgspec.structs.replace(hop, kind=kind) for hop in made.route.hops)
        route = msgspec.structs.replace(made.route, hops=hops)
        return msgspec.structs.replace(made, route=route, funding=loan, minimum_profit=PROFIT)

    def any_wallet(self) -> LocalSigner:
        """One of them; where there is one, nothing is drawn."""
        return self.wallets[0] if len(self.wallets) == 1 else self.rng.choice(self.wallets)

    async def pay(self, name: str) -> None:
        """A request that goes to the public pool, and is bid up or cancelled as it may be."""
        value, wallet = self.payments[name]
        try:
            sent = await self.scheduler.send(
                TransactionRequest(to=FRIEND, value=value, gas=21_000, sender=wallet),
                urgency=self.rng.choice(list(Urgency)),
                deadline_blocks=self.rng.choice([None, 3]),
                simulate=False,
                idempotency_key=name,
            )
        except ToolkitError:
            assert name not in self.sent, f"{name} was taken, and is refused now"
            return
        self.sent[name] = sent
        if self.rng.random() < 0.2:
            await sent.cancel()

    def build(self) -> None:
        """The market seals a block: the dearest bundle that fits, or what the pool has.

        Now and then a builder leaks what it was given, whole or in part, and it is mined late.
        """
        for one in self.relays.live:
            self.signed.update((tx.hash, tx) for tx in one.lease.signed)
        leaked = [lease.signed for lease in self.relays.past if self.is_next(lease.signed[0])]
        if leaked and self.rng.random() < 0.2:
            torn = self.rng.choice(leaked)
            self.chain.mine(only=torn[: self.rng.randint(1, len(torn))])
            return
        fitting: dict[Address, list[list[SignedTransaction]]] = {}
        for one in self.relays.live:
            signed = [self.signed[tx_hash] for tx_hash in one.bundle.hashes]
            if self.is_next(signed[0]) and one.bundle.target_block == self.chain.tip.number + 1:
                fitting.setdefault(signed[0].sender, []).append(signed)
        chosen = [
            tx
            for bundles in fitting.values()
            if self.rng.random() < 0.7
            for tx in self.rng.choice(bundles)
        ]
        if chosen:
            self.chain.mine(only=chosen)
        else:
            self.chain.mine(capacity=self.rng.randrange(4))

    def is_next(self, signed: SignedTransaction) -> bool:
        """Whether its account has come to its nonce."""
        return signed.unsigned.nonce == self.chain.spent_by(signed.sender)

    def reorg(self) -> None:
        """The last blocks are replaced."""
        change = self.chain.reorg(self.rng.randint(1, 2))
        self.unheard = (
            *self.unheard,
            *(h for h in change.reverted if h.number <= self.seen.number),
        )
        if change.added[0].number <= self.seen.number:
            self.seen = self.chain.blocks[change.added[0].number - 1].head

    async def follow(self) -> None:
        """One change of heads, as a session and the runtime feed it on."""
        new = tuple(block.head for block in self.chain.blocks[self.seen.number + 1 :])
        # A process that has just started is told where the chain is, as a session does.
        change = HeadChange(added=new or (self.chain.tip,), reverted=self.unheard)
        if not await came_through(self.scheduler.on_head(change)):
            return
        self.seen, self.unheard = change.added[-1], ()
        await self.relays.on_head(change)
        self.told(await self.outbox.settle(change))

    async def drain(self) -> None:
        """The faults end, and so does everything that is open; what leaked last becomes sure."""
        self.chain.faults = {}
        still = 0
        for _ in range(DRAIN_BLOCKS):
            self.chain.mine(capacity=10)
            await self.follow()
            lanes = self.scheduler.statistics().lanes
            busy = any(lane.queued or lane.in_flight or lane.leases for lane in lanes)
            still = 0 if busy or not all(self.fills.values()) else still + 1
            if still > SURE_BLOCKS:
                break
        await self.scheduler.close()
        await self.journal.close()

    def told(self, fills: Sequence[Fill]) -> None:
        """Keep what was told of each plan."""
        for fill in fills:
            self.fills[fill.verdict_id].append(fill)

    def one_holder(self) -> None:
        """No nonce is held by two live bundles, nor by a bundle and the public pool."""
        held: dict[tuple[Address, int], str] = {}
        # One for a block that is there may be unsettled yet: its lane may have heard, others not.
        for one in self.live_for(self.chain.tip.number + 1):
            for tx in one.lease.signed:
                place = tx.sender, tx.unsigned.nonce
                assert place not in held, f"{place}: {held[place]} and {one.lease.lease_id}"
                held[place] = one.lease.lease_id
                known = self.chain.pool_of.get(tx.sender, {}).get(tx.unsigned.nonce)
                assert known is None, f"{place}: {one.lease.lease_id} over {known}"

    def live_for(self, block: int) -> list[Flying]:
        """The bundles that this block or a later one may still hold."""
        return [one for one in self.relays.live if one.bundle.target_block >= block]

    def alone(self, attempt: Attempt) -> None:
        """A public attempt meets no live bundle on its nonce, nor another request's attempt."""
        place = attempt.signed.sender, attempt.signed.unsigned.nonce
        for one in self.live_for(self.chain.tip.number + 1):
            mine = {(tx.sender, tx.unsigned.nonce) for tx in one.lease.signed}
            assert place not in mine, f"{place}: public, and in a live bundle"
        name, before = self.holders.get(place, (attempt.request_id, ()))
        if name == attempt.request_id and before and before[-1].hash != attempt.signed.hash:
            old, new = before[-1].unsigned, attempt.signed.unsigned
            assert new.max_fee_per_gas * 100 >= old.max_fee_per_gas * 110, "a bump below a tenth"
        self.holders[place] = (attempt.request_id, (*before, attempt.signed))


async def came_through(asking: Any) -> bool:
    """Whether a question to the node was answered; it is asked again else."""
    try:
        await asking
    except NodeError:
        return False
    return True
