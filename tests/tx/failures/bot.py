"""A bot behind a node with a client's pool rules: what every failure case starts from."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.chain.heads import HeadFollower
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner, Signer
from toolkit.devnet.strict_node import StrictNode, open_strict_node
from toolkit.gas.oracle import GasOracle
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address, Hash, Head, Mode
from toolkit.model.errors import AlreadyKnown, ToolkitError
from toolkit.model.tx import (
    Attempt,
    FeeQuote,
    Outcome,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.model.units import ether
from toolkit.tx.destination import PublicNode, RawSender
from toolkit.tx.handle import Sent
from toolkit.tx.scheduler import FeeOracle, SchedulerConfig, TransactionScheduler

GWEI = 10**9
FRIEND = Address("0x" + "f1" * 20)
CHAIN_ID = 31_337


def payment(value: int = 1, **fields: Any) -> TransactionRequest:
    return TransactionRequest(to=FRIEND, value=value, **fields)


@dataclass(slots=True)
class Sending:
    """One hand-over to the node, and its refusal if there was one."""

    nonce: int
    tx_hash: Hash
    fee_cap: int
    tip: int
    error: ToolkitError | None = None


class Watched(PublicNode):
    """The public node, with a list of everything that was handed to it."""

    def __init__(self, node: RawSender) -> None:
        super().__init__(node)
        self.log: list[Sending] = []

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        unsigned = attempt.signed.unsigned
        entry = Sending(
            unsigned.nonce,
            attempt.signed.hash,
            unsigned.fee_cap,
            unsigned.max_priority_fee_per_gas or unsigned.gas_price,
        )
        self.log.append(entry)
        try:
            await super().send(attempt, target_block=target_block)
        except ToolkitError as error:
            entry.error = error
            raise

    def bids(self, nonce: int = 0) -> list[tuple[int, int]]:
        """Fee cap and tip of each attempt at a nonce, in the order they were first made."""
        made = ((each.fee_cap, each.tip) for each in self.log if each.nonce == nonce)
        return list(dict.fromkeys(made))

    def refusals(self) -> list[str]:
        """What the node answered instead of a hash, unless it has these very bytes."""
        errors = [each.error for each in self.log if each.error is not None]
        return [str(error) for error in errors if not isinstance(error, AlreadyKnown)]

    def hashes(self, nonce: int) -> list[Hash]:
        """The distinct attempts at a nonce, in the order they were first handed over."""
        return list(dict.fromkeys(each.tx_hash for each in self.log if each.nonce == nonce))


@dataclass(slots=True)
class Market:
    """An oracle that asks for what the test says."""

    cap: int
    tip: int = GWEI

    async def quote(
        self,
        urgency: Urgency = Urgency.SOON,  # noqa: ARG002 - of the protocol
        *,
        head: Head | None = None,
    ) -> FeeQuote:
        return FeeQuote(
            max_fee_per_gas=self.cap,
            max_priority_fee_per_gas=min(self.tip, self.cap),
            base_fee_per_gas=max(1, self.cap - self.tip),
            for_block=0 if head is None else head.number + 1,
        )


@dataclass(slots=True, kw_only=True)
class Bot:
    """One account with a scheduler, and a clock that the test turns."""

    node: StrictNode
    rpc: HttpRpc
    config: SchedulerConfig
    key: LocalSigner
    signer: Signer
    public: Watched
    oracle: FeeOracle
    path: Path | None = None
    memory: MemoryBackend = field(default_factory=MemoryBackend)
    journal: Journal = field(init=False)
    follower: HeadFollower = field(init=False)
    scheduler: TransactionScheduler = field(init=False)

    @property
    def address(self) -> Address:
        return self.key.address

    def reader(self) -> Node:
        """The node as the bot sees it."""
        return Node(self.rpc)

    async def start(self) -> None:
        self.journal = Journal(SqliteBackend(self.path) if self.path else self.memory)
        self.follower = HeadFollower(self.node.node)
        await self.follower.poll()
        self.scheduler = TransactionScheduler(
            self.reader(),
            signers=[self.signer],
            journal=self.journal,
            oracle=self.oracle,
            chain_id=CHAIN_ID,
            mode=Mode.DEV,
            config=self.config,
            public=self.public,
        )
        await self.scheduler.start()

    async def change(self, **parts: Any) -> None:
        """Start again with other parts: an oracle, a public node, a signer."""
        await self.stop()
        for name, part in parts.items():
            setattr(self, name, part)
        await self.start()

    async def stop(self) -> None:
        await self.scheduler.close()
        await self.journal.close()

    async def follow(self) -> None:
        """Let the bot see the newest head."""
        change = await self.follower.poll()
        if change is not None:
            await self.scheduler.on_head(change)

    async def seal(self, count: int = 1, *, base_fee_wei: int | None = None) -> None:
        """Mine blocks, each of them seen by the bot; of a base fee if one is given."""
        for _ in range(count):
            if base_fee_wei is not None:
                await self.set_base_fee(base_fee_wei)
            await self.node.seal()
            await self.follow()

    async def set_base_fee(self, base_fee_wei: int) -> None:
        """Of the next block."""
        await self.rpc.call("anvil_setNextBlockBaseFeePerGas", (hex(base_fee_wei),))

    async def settle(
        self, sent: Sequence[Sent], *, within: int = 12, base_fee_wei: int | None = None
    ) -> list[Outcome]:
        """Mine until each has ended, at most `within` blocks; how they ended."""
        for _ in range(within):
            await self.seal(base_fee_wei=base_fee_wei)
            if not self.scheduler.statistics().open:
                break
        assert not self.scheduler.statistics().open, f"still open after {within} blocks"
        return [await each.wait() for each in sent]

    async def chain_nonce(self) -> int:
        return await self.node.node.nonce(self.address)

    async def mined(self, outcome: Outcome) -> tuple[int, int]:
        """Nonce and value of the transaction that an outcome names."""
        assert outcome.tx_hash is not None
        found = await self.node.node.transaction(outcome.tx_hash)
        assert found is not None
        return int(found["nonce"], 16), int(found["value"], 16)

    async def received(self) -> int:
        """What the friend has been paid, in wei."""
        return await self.node.node.balance(FRIEND)

    async def by_hand(self, nonce: int, **fields: Any) -> SignedTransaction:
        """Send from the same key, outside of the scheduler."""
        signed = self.sign(nonce, **fields)
        await self.reader().send_raw(signed.raw)
        return signed

    def sign(self, nonce: int, **fields: Any) -> SignedTransaction:
        given: dict[str, Any] = {
            "type": 2,
            "chain_id": CHAIN_ID,
            "nonce": nonce,
            "to": FRIEND,
            "value": 1,
            "data": "0x",
            "gas": 21_000,
            "max_fee_per_gas": 50 * GWEI,
            "max_priority_fee_per_gas": 5 * GWEI,
        }
        return self.key.sign_transaction_now(UnsignedTransaction(**(given | fields)))


@asynccontextmanager
async def bot_on(
    node: StrictNode,
    *,
    account: int = 0,
    config: SchedulerConfig | None = None,
    oracle: FeeOracle | None = None,
    signer: Signer | None = None,
    rpc: type[HttpRpc] = HttpRpc,
    timeout_s: float = 5.0,
    journal: Path | None = None,
) -> AsyncIterator[Bot]:
    """A bot with one of the node's accounts; without a journal's path it is kept in memory."""
    client = rpc(node.rpc_url, timeout_s=timeout_s)
    key = node.accounts[account].signer
    bot = Bot(
        node=node,
        rpc=client,
        config=config or SchedulerConfig(max_cost_wei=ether("0.5")),
        key=key,
        signer=signer or key,
        public=Watched(Node(client)),
        oracle=oracle or GasOracle(node.node),
        path=journal,
    )
    try:
        await bot.start()
        yield bot
        await bot.stop()
    finally:
        await client.close()


@asynccontextmanager
async def open_bot(
    profile: str,
    *,
    config: SchedulerConfig | None = None,
    oracle: FeeOracle | None = None,
    signer: Signer | None = None,
    rpc: type[HttpRpc] = HttpRpc,
    timeout_s: float = 5.0,
    **node_options: Any,
) -> AsyncIterator[Bot]:
    """A bot on its own chain under a client's pool rules."""
    async with (
        open_strict_node(profile=profile, chain_id=CHAIN_ID, **node_options) as node,
        bot_on(
            node, config=config, oracle=oracle, signer=signer, rpc=rpc, timeout_s=timeout_s
        ) as bot,
    ):
        yield bot
