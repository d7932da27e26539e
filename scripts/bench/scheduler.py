"""Accept, journal with fsync, sign, send: beside web3's own loop; and one lane's window kept full.

Both use the same stub of a node, in this process, that takes 1 ms for each answer. web3 asks for
each nonce, signs and sends, one transaction of a key after the other, and keeps no journal. With
blocks the same keys have windows of 16, and a caller goes on only when its receipt was read.
"""

import asyncio
import random
import selectors
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import AsyncWeb3
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.providers.async_base import AsyncBaseProvider
from web3.types import RPCEndpoint, RPCResponse, TxParams

from scripts.bench import restart
from scripts.bench.figures import Figure, Measured
from scripts.bench.stub_chain import RPC_S, BlockNode, StubNode, sealing
from scripts.bench.timing import versions
from toolkit.chain.hashing import checksum
from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address, HeadChange, Mode
from toolkit.model.tx import Confirmed, TransactionRequest, Urgency
from toolkit.testing.fakes import ETHER, FRIEND, GWEI, OWNER, InlineJournal, Mempool, World
from toolkit.tx.config import SchedulerConfig
from toolkit.tx.scheduler import TransactionScheduler

TIMEOUT_S = 400
KEYS = 16
TRANSACTIONS = 4_000
PEER_TRANSACTIONS = 480
CALLERS = 32
"""Calls of `send` under way at once: what one busy bot has, and few enough to see latency."""
WINDOW = 16
BLOCKS = 50
BLOCK_S = 12.0
DISTANCES_S = (0.001, 0.3, 1.0)
US, MS = 1e6, 1e3
_BLOCK: Any = {"number": "0x0", "baseFeePerGas": hex(10 * GWEI)}


class StubProvider(AsyncBaseProvider):
    """The same node as web3 asks it."""

    def __init__(self) -> None:
        super().__init__()
        self.nonces: Counter[str] = Counter()
        self.sent = 0

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer after 1 ms."""
        await asyncio.sleep(RPC_S)
        if method == "eth_getTransactionCount":
            sender = str(params[0]).lower()
            self.nonces[sender] += 1
            return {"jsonrpc": "2.0", "id": 1, "result": hex(self.nonces[sender] - 1)}
        if method == "eth_sendRawTransaction":
            self.sent += 1
            return {"jsonrpc": "2.0", "id": 1, "result": f"0x{self.sent:064x}"}
        if method == "eth_getBlockByNumber":
            return {"jsonrpc": "2.0", "id": 1, "result": _BLOCK}
        assert method == "eth_chainId", f"web3 asks for {method}"
        return {"jsonrpc": "2.0", "id": 1, "result": "0x1"}


class DistantWorld(World):
    """A healthy chain that is `distance_s` away: what is sent arrives that much later."""

    def __init__(self, distance_s: float) -> None:
        super().__init__(random.Random(0))  # noqa: S311 - its blocks' hashes
        self._distance_s = distance_s

    async def pause(self) -> None:
        """Be far away."""
        await asyncio.sleep(self._distance_s)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer, so that 10 minutes take as long as their work."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds since the loop began."""
        return self.now


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "deadlock: everybody waits for somebody"
        self._loop.now += max(0.0, timeout)
        return []


async def throughput(seed: int, transactions: int = TRANSACTIONS) -> tuple[float, float]:
    """Send from all keys; seconds a transaction, and the 99th percentile of accept to sent."""
    rng = random.Random(seed)  # noqa: S311 - these keys hold nothing
    signers = [LocalSigner("0x" + rng.randbytes(32).hex()) for _ in range(KEYS)]
    node = StubNode()
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(SqliteBackend(Path(folder) / "journal.db"))
        config = SchedulerConfig(max_cost_wei=ETHER, max_in_flight=transactions)
        scheduler = TransactionScheduler(
            node,
            signers=signers,
            journal=journal,
            oracle=node,
            chain_id=1,
            mode=Mode.DEV,
            config=config,
            public=node,
        )
        await scheduler.start()

        async def caller(own: range) -> None:
            for number in own:
                request = _payment(signers[number % KEYS].address)
                asked = time.perf_counter()
                sent = await scheduler.send(request, simulate=False)
                assert sent.tx_hash is not None
                waits.append(node.sent_at[sent.tx_hash] - asked)

        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for first in range(CALLERS):
                group.create_task(caller(range(first, transactions, CALLERS)))
        taken = time.perf_counter() - start
        await scheduler.close()
        await journal.close()
    assert transactions == len(node.sent_at)
    return taken / transactions, sorted(waits)[len(waits) * 99 // 100]


async def mined_throughput(
    seed: int, transactions: int = TRANSACTIONS, in_flight: int = WINDOW
) -> tuple[float, float]:
    """The same with blocks: seconds a transaction, each sent when an earlier one's end is told.

    As many callers a key as its window has places; the second figure is accept to sent, p99.
    """
    rng = random.Random(seed)  # noqa: S311 - these keys hold nothing
    signers = [LocalSigner("0x" + rng.randbytes(32).hex()) for _ in range(KEYS)]
    node, callers = BlockNode(rng), KEYS * in_flight
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(SqliteBackend(Path(folder) / "journal.db"))
        scheduler = TransactionScheduler(
            node,
            signers=signers,
            journal=journal,
            oracle=node,
            chain_id=1,
            mode=Mode.DEV,
            config=SchedulerConfig(max_cost_wei=ETHER, max_in_flight=WINDOW),
            public=node,
        )
        await scheduler.start()

        async def caller(own: range) -> None:
            for number in own:
                request = _payment(signers[number % KEYS].address)
                asked = time.perf_counter()
                sent = await scheduler.send(request, simulate=False)
                outcome = await sent.wait()
                assert isinstance(outcome, Confirmed), outcome
                waits.append(node.sent_at[outcome.tx_hash] - asked)

        start = time.perf_counter()
        async with sealing(node, scheduler), asyncio.TaskGroup() as group:
            for first in range(callers):
                group.create_task(caller(range(first, transactions, callers)))
        taken = time.perf_counter() - start
        await scheduler.close()
        await journal.close()
    assert transactions == len(node.sent_at)
    return taken / transactions, sorted(waits)[len(waits) * 99 // 100]


async def peer_throughput(seed: int, transactions: int = PEER_TRANSACTIONS) -> float:
    """Send from the same keys with web3's signing middleware; seconds a transaction."""
    rng = random.Random(seed)  # noqa: S311 - these keys hold nothing
    accounts = [Account.from_key(rng.randbytes(32)) for _ in range(KEYS)]
    provider = StubProvider()
    web3 = AsyncWeb3(provider)
    web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(accounts), layer=0)

    async def loop(account: Any) -> None:
        for _ in range(transactions // KEYS):
            payment: TxParams = {
                "from": account.address,
                "to": checksum(FRIEND),
                "value": 1,  # type: ignore[typeddict-item]  # a NewType of int
                "gas": 21_000,
                "chainId": 1,
                "maxFeePerGas": 20 * GWEI,  # type: ignore[typeddict-item]
                "maxPriorityFeePerGas": GWEI,  # type: ignore[typeddict-item]
            }
            await web3.eth.send_transaction(payment)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for account in accounts:
            group.create_task(loop(account))
    taken = time.perf_counter() - start
    assert transactions == provider.sent
    return taken / transactions


def window(distance_s: float, blocks: int = BLOCKS) -> float:
    """Transactions a block that one lane with enough to do gets into a chain of 12 s blocks."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_window(DistantWorld(distance_s), blocks))


async def _window(world: World, blocks: int) -> float:
    journal = InlineJournal(MemoryBackend())
    scheduler = TransactionScheduler(
        world,
        signers=[OWNER],
        journal=journal,
        oracle=world,
        chain_id=1,
        mode=Mode.DEV,
        config=SchedulerConfig(max_cost_wei=ETHER, max_in_flight=WINDOW, max_queued=10_000),
        public=Mempool(world),
    )
    await scheduler.start()
    total = WINDOW * (blocks + 1)
    async with asyncio.TaskGroup() as group:
        for _ in range(total):
            request = _payment(OWNER.address)
            group.create_task(scheduler.send(request, simulate=False, urgency=Urgency.NEXT_BLOCK))
        for _ in range(blocks):
            await asyncio.sleep(BLOCK_S)
            head = world.mine(capacity=total)
            group.create_task(scheduler.on_head(HeadChange(added=(head,))))
    await scheduler.close()
    await journal.close()
    return world.spent / blocks


async def status_cost(in_flight: int = 1_000, rounds: int = 2_000) -> float:
    """Seconds for a handle's hash with many requests in flight."""
    world = World(random.Random(0))  # noqa: S311 - its block's hash
    journal = InlineJournal(MemoryBackend())
    scheduler = TransactionScheduler(
        world,
        signers=[OWNER],
        journal=journal,
        oracle=world,
        chain_id=1,
        mode=Mode.DEV,
        config=SchedulerConfig(max_cost_wei=ETHER, max_in_flight=in_flight),
        public=Mempool(world),
    )
    await scheduler.start()
    sent = [await scheduler.send(_payment(OWNER.address), simulate=False) for _ in range(in_flight)]
    start = time.perf_counter()
    for number in range(rounds):
        assert sent[number % in_flight].tx_hash is not None
    taken = time.perf_counter() - start
    await scheduler.close()
    await journal.close()
    return taken / rounds


def _payment(sender: Address) -> TransactionRequest:
    return TransactionRequest(to=FRIEND, value=1, gas=21_000, sender=sender)


async def measure(seed: int) -> Measured:
    """Measure throughput beside the peer's, then the window at three distances."""
    await throughput(seed, 200)  # warm
    a_transaction, slowest = await throughput(seed)
    mined, mined_slowest = await mined_throughput(seed)
    peer = await peer_throughput(seed)
    full = await asyncio.to_thread(lambda: [window(distance) for distance in DISTANCES_S])
    status = await status_cost()
    short = tuple(
        Figure(
            name=f"places of {WINDOW} a block left free by one busy lane, node {d * MS:g} ms away",
            unit="",
            target=0.5,
            ours=WINDOW - mean,
        )
        for d, mean in zip(DISTANCES_S, full, strict=True)
    )
    return Measured(
        figures=(
            Figure(
                name=f"a transaction, accepted to sent, {KEYS} keys, fsync (1,000/s)",
                unit="µs",
                target=1_000,
                ours=a_transaction * US,
                peer=peer * US,
                peer_name="web3 signing middleware, no journal",
            ),
            Figure(
                name=f"accepted to sent, 99th percentile, {CALLERS} at once",
                unit="ms",
                target=50,
                ours=slowest * MS,
            ),
            Figure(
                name=f"the same with windows of {WINDOW} that blocks of 100-200 ms reopen,"
                f" receipts read (at most {KEYS * WINDOW} a block)",
                unit="µs",
                target=1_000,
                ours=mined * US,
            ),
            Figure(
                name=f"of these, accepted to sent, 99th percentile, {KEYS * WINDOW} at once as a"
                " block comes",
                unit="ms",
                ours=mined_slowest * MS,
            ),
            *short,
            *await restart.figures(seed),
            Figure(name="the hash of one of 1,000 in flight", unit="µs", ours=status * US),
        ),
        peers=versions("web3", "eth-account"),
        not_covered=(
            "a node behind a network: the stub answers in this process, 1 ms later",
            "a web3 loop that waits for receipts: beside the one with blocks there is no peer",
            "windows in real time: their 12 s blocks and distances are on a virtual clock",
        ),
    )
