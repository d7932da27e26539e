"""A scheduler over a world, with everything needed to restart it."""

from collections.abc import Callable, Sequence

import msgspec

from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import HeadChange, Mode
from toolkit.model.tx import (
    FeeQuote,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
)
from toolkit.testing.fakes import ETHER, FRIEND, GWEI, OWNER, Mempool, World
from toolkit.tx.scheduler import (
    Destination,
    SchedulerConfig,
    Stage,
    TransactionScheduler,
)

CONFIG = SchedulerConfig(max_cost_wei=ETHER // 10)
PAYMENT = TransactionRequest(to=FRIEND, value=1)
FEE = FeeQuote(
    max_fee_per_gas=50 * GWEI,
    max_priority_fee_per_gas=GWEI,
    base_fee_per_gas=10 * GWEI,
    for_block=1,
)


class Forger:
    """A remote signer that signs something else."""

    address = OWNER.address

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        other = msgspec.structs.replace(unsigned, value=unsigned.value + 1)
        return OWNER.sign_transaction_now(other)

    async def sign_message(self, text: bytes) -> str:
        return OWNER.sign_message_now(text)


class Desk:
    """A scheduler over a faultless world, with everything needed to restart it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.public: Destination = Mempool(world)
        self.backend: MemoryBackend | SqliteBackend = MemoryBackend()
        self.signers: list[LocalSigner | Forger] = [OWNER]
        self.mode = Mode.DEV
        self.config = CONFIG
        self.others: Sequence[Destination] = ()
        self.on_stage: Callable[[Stage], None] | None = None
        self.scheduler: TransactionScheduler
        self.journal: Journal

    async def open(self) -> TransactionScheduler:
        self.journal = Journal(self.backend)
        self.scheduler = TransactionScheduler(
            self.world,
            signers=self.signers,
            journal=self.journal,
            oracle=self.world,
            chain_id=1,
            mode=self.mode,
            config=self.config,
            public=self.public,
            destinations=self.others,
            on_stage=self.on_stage,
        )
        await self.scheduler.start()
        return self.scheduler

    async def close(self) -> None:
        await self.scheduler.close()
        await self.journal.close()

    async def mine(self, *, capacity: int = 16) -> None:
        head = self.world.mine(capacity=capacity)
        await self.scheduler.on_head(HeadChange(added=(head,)))

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.journal.entries()]

    def prepared(self) -> int:
        return self.kinds().count("tx.prepared")
