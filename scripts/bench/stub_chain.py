"""A node in this process that answers after 1 ms; with blocks, or without any."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from toolkit.chain.node import AccountLook
from toolkit.model.chain import Address, Hash, Head, HeadChange, Receipt
from toolkit.model.tx import Attempt, Exposure, SignedTransaction
from toolkit.testing.fakes import ETHER, World
from toolkit.tx.scheduler import TransactionScheduler

RPC_S = 0.001
BLOCK_S = (0.1, 0.2)


class StubNode(World):
    """A node that answers after 1 ms and a pool that takes everything; no block ever comes."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))  # noqa: S311 - its block's hash
        self.name, self.exposure = "public", Exposure.PUBLIC
        self.sent_at: dict[Hash, float] = {}

    async def pause(self) -> None:
        """Be 1 ms away."""
        await asyncio.sleep(RPC_S)

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take the bytes and note when they came."""
        del target_block
        self.sent_at[attempt.signed.hash] = time.perf_counter()
        await self.pause()


class BlockNode(StubNode):
    """The same with blocks of many accounts, each of which takes all that the pool has in order."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.gaps = rng
        self.waiting: dict[Address, dict[int, SignedTransaction]] = {}
        self.counts: list[Counter[Address]] = [Counter()]  # by block, of each account
        self.mined_in: dict[Hash, tuple[Head, int, Address]] = {}

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take the bytes into the pool."""
        signed = attempt.signed
        self.waiting.setdefault(signed.sender, {})[signed.unsigned.nonce] = signed
        await super().send(attempt, target_block=target_block)

    def seal(self) -> Head:
        """The next block, with everything that stands on no gap."""
        head, count = self.mine(), self.counts[-1].copy()
        place = 0
        for sender, waiting in self.waiting.items():
            while (signed := waiting.pop(count[sender], None)) is not None:
                count[sender] += 1
                self.mined_in[signed.hash] = (head, place, sender)
                place += 1
        self.counts.append(count)
        return head

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        """How many of an account's transactions are mined as of a block."""
        await self.pause()
        return self.counts[block if isinstance(block, int) else -1][account]

    async def balance(self, account: Address, block: int | str = "latest") -> int:
        """Always enough."""
        del account, block
        await self.pause()
        return 10**6 * ETHER

    async def look(self, account: Address, block: int, hashes: Sequence[Hash] = ()) -> AccountLook:
        """All about one account in one request, as a node with batches tells it."""
        await self.pause()
        return AccountLook(
            nonce=self.counts[block][account],
            balance_wei=10**6 * ETHER,
            receipts=tuple(self._receipt(tx_hash) for tx_hash in hashes),
        )

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """A mined transaction's receipt."""
        await self.pause()
        return self._receipt(tx_hash)

    def _receipt(self, tx_hash: Hash) -> Receipt | None:
        mined = self.mined_in.get(tx_hash)
        if mined is None:
            return None
        head, place, sender = mined
        return Receipt(
            transaction_hash=tx_hash,
            block_number=head.number,
            block_hash=head.hash,
            transaction_index=place,
            sender=sender,
            to=sender,
            succeeded=True,
            gas_used=21_000,
            effective_gas_price=head.base_fee_per_gas,
        )


@asynccontextmanager
async def sealing(node: BlockNode, scheduler: TransactionScheduler) -> AsyncIterator[None]:
    """Blocks every 100 to 200 ms, each told to the scheduler, until the block is left."""

    async def seal() -> None:
        while True:
            await asyncio.sleep(node.gaps.uniform(*BLOCK_S))
            await scheduler.on_head(HeadChange(added=(node.seal(),)))

    async with asyncio.TaskGroup() as group:
        sealer = group.create_task(seal())
        yield
        sealer.cancel()
