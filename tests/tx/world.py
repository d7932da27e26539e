"""An honest model of a chain, its mempool and its failures, for the scheduler's tests.

Everybody's bytes stay known: what was ever handed over may be mined by somebody, also the older
attempt of a replaced one. Every call may be delayed by a few loop turns, so one seed is one
interleaving. Reorgs never remove a stranger's transaction (see the limits in `tx/lane.py`).
"""

# ruff: noqa: ARG002 - the fakes take what the real ones take
import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import Entry, Journal
from toolkit.model.chain import Address, Hash, Head, HeadChange, Receipt
from toolkit.model.errors import (
    AlreadyKnown,
    CallReverted,
    InsufficientFunds,
    NodeTimeout,
    NodeUnavailable,
    NonceTooLow,
    PoolFull,
    ReplacementUnderpriced,
    Underpriced,
)
from toolkit.model.tx import (
    Attempt,
    Exposure,
    FeeQuote,
    SignedTransaction,
    TransactionRequest,
    Urgency,
)
from toolkit.tx.fees import first_attempt

OWNER = LocalSigner("0x" + "0a" * 32)
FRIEND = Address("0x" + "f1" * 20)
REVERTING = "0xdead"
ETHER = 10**18
GWEI = 10**9


class InlineJournal(Journal):
    """A journal that writes in the loop's own thread, so that a seed decides every turn."""

    def _begin_write(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch: Sequence[Entry] = tuple(self._tail)
        self._backend.write(batch)
        future.set_result(None)
        self._written(batch, future)
        return future


class Block(msgspec.Struct, kw_only=True):
    head: Head
    transactions: list[SignedTransaction]


class World:
    """One account's chain. `faults` are probabilities by the name that `_fault` asks."""

    def __init__(self, rng: random.Random, **faults: float) -> None:
        self.rng = rng
        self.faults = faults
        self.base_fee = 10 * GWEI
        self.balance_wei = 100 * ETHER
        self.blocks = [Block(head=self._header(0, "0x" + "00" * 32), transactions=[])]
        self.known: dict[int, list[SignedTransaction]] = {}  # by nonce, everything ever seen
        self.pool: dict[int, SignedTransaction] = {}  # by nonce, what the node would mine
        self.foreign: set[Hash] = set()
        self.sends = 0

    # The chain.

    @property
    def tip(self) -> Head:
        return self.blocks[-1].head

    @property
    def spent(self) -> int:
        return sum(len(block.transactions) for block in self.blocks)

    def mine(self, *, capacity: int = 4, only: Sequence[SignedTransaction] = ()) -> Head:
        """Seal the next block with what the pool offers in nonce order, or with `only`."""
        nonce, chosen = self.spent, list(only)
        while not only and len(chosen) < capacity and nonce in self.pool:
            offered = self.pool[nonce]
            if offered.unsigned.fee_cap < self.base_fee or self._fault("skip"):
                break
            chosen.append(offered)
            nonce += 1
        for mined in chosen:
            self.pool.pop(mined.unsigned.nonce, None)
        header = self._header(len(self.blocks), self.tip.hash)
        self.blocks.append(Block(head=header, transactions=chosen))
        for stale in [n for n in self.pool if n < self.spent]:
            del self.pool[stale]
        return header

    def reorg(self, depth: int) -> HeadChange:
        """Replace the last blocks, as far as no stranger is in them; swap attempts at will."""
        gone: list[Block] = []
        while len(gone) < depth and len(self.blocks) > 1:
            if any(tx.hash in self.foreign for tx in self.blocks[-1].transactions):
                break
            gone.append(self.blocks.pop())
        added = []
        for _ in range(len(gone) + 1):
            choice = self._other_branch()
            added.append(self.mine(only=choice) if choice else self.mine(capacity=0))
        return HeadChange(added=tuple(added), reverted=tuple(block.head for block in gone))

    def spend_outside(self) -> Head:
        """Mine a stranger's transaction on the account's next nonce."""
        nonce = self.spent
        request = TransactionRequest(to=FRIEND, value=nonce, gas=21_000)
        signed = self.sign(request, nonce=nonce, fee=self.base_fee + 99 * GWEI)
        self.foreign.add(signed.hash)
        return self.mine(only=[signed])

    def sign(self, request: TransactionRequest, *, nonce: int, fee: int) -> SignedTransaction:
        quote = FeeQuote(
            max_fee_per_gas=fee, max_priority_fee_per_gas=fee, base_fee_per_gas=1, for_block=1
        )
        return OWNER.sign_transaction_now(first_attempt(request, quote, chain_id=1, nonce=nonce))

    def mined(self) -> dict[Hash, int]:
        return {tx.hash: b.head.number for b in self.blocks for tx in b.transactions}

    # The node's questions, as `ChainQueries` has them.

    async def head(self, block: int | str = "latest") -> Head:
        await self._delay()
        return self.tip if isinstance(block, str) else self.blocks[block].head

    async def balance(self, account: Address, block: int | str = "latest") -> int:
        await self._delay()
        return self.balance_wei

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        await self._delay()
        upto = len(self.blocks) - 1 if isinstance(block, str) else block
        if self._fault("stale"):
            upto = max(0, upto - 1)
        return sum(len(b.transactions) for b in self.blocks[: upto + 1])

    async def call(
        self,
        *,
        to: Address | None,
        data: str = "0x",
        sender: Address | None = None,
        value: int = 0,
        block: int | str = "latest",
    ) -> str:
        await self._delay()
        if data == REVERTING:
            raise CallReverted("nonce too low, says the contract")
        return "0x"

    async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
        await self.call(to=request.to, data=request.data)
        return 21_000 if request.data == "0x" else 60_000

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        await self._delay()
        if self._fault("lag"):
            return None
        for block in self.blocks:
            for index, tx in enumerate(block.transactions):
                if tx.hash == tx_hash:
                    return _receipt(block, index, tx)
        return None

    async def receipts(self, block: int | str) -> tuple[Receipt, ...]:
        await self._delay()
        found = self.blocks[int(block)]
        return tuple(_receipt(found, i, tx) for i, tx in enumerate(found.transactions))

    async def transaction(self, tx_hash: Hash) -> dict[str, Any] | None:
        await self._delay()
        for block in self.blocks:
            for tx in block.transactions:
                if tx.hash == tx_hash:
                    return {"nonce": hex(tx.unsigned.nonce)}
        return None

    async def quote(self, urgency: Urgency = Urgency.SOON, *, head: Head | None = None) -> FeeQuote:
        return FeeQuote(
            max_fee_per_gas=self.base_fee * (9 + urgency.blocks) // 8 + GWEI,
            max_priority_fee_per_gas=GWEI,
            base_fee_per_gas=self.base_fee,
            for_block=self.tip.number + 1,
        )

    # The mempool.

    async def take(self, signed: SignedTransaction) -> None:
        """Admit by geth's rules, with faults before and after the admission."""
        self.sends += 1
        await self._delay()
        if self._fault("refused"):
            raise NodeUnavailable("connection refused", sent=False)
        if self._fault("lost_before"):
            raise NodeTimeout("no answer; never arrived")
        self._admit(signed)
        if self._fault("lost_after"):
            raise NodeTimeout("no answer; but it arrived")
        if self._fault("dropped"):
            self.pool.pop(signed.unsigned.nonce, None)

    def _admit(self, signed: SignedTransaction) -> None:
        new = signed.unsigned
        old = self.pool.get(new.nonce)
        if new.nonce < self.spent:
            raise NonceTooLow("nonce too low")
        if old is not None and old.hash == signed.hash:
            raise AlreadyKnown("already known")
        if new.worst_cost_wei > self.balance_wei:
            raise InsufficientFunds("insufficient funds for gas * price + value")
        if self._fault("full"):
            raise PoolFull("txpool is full")
        if self._fault("cheap"):
            raise Underpriced("transaction underpriced")
        if old is not None and not _outbids(signed, old):
            raise ReplacementUnderpriced("replacement transaction underpriced")
        self.pool[new.nonce] = signed
        if signed not in self.known.setdefault(new.nonce, []):
            self.known[new.nonce].append(signed)

    def _other_branch(self) -> list[SignedTransaction]:
        nonce, choice = self.spent, []
        while self.known.get(nonce) and self.rng.random() < 0.6:
            choice.append(self.rng.choice(self.known[nonce]))
            nonce += 1
        return choice

    def _header(self, number: int, parent: str) -> Head:
        return Head(
            number=number,
            hash=Hash(f"0x{self.rng.getrandbits(256):064x}"),
            parent_hash=Hash(parent),
            timestamp=12 * number,
            base_fee_per_gas=self.base_fee,
            gas_limit=30_000_000,
            gas_used=15_000_000,
        )

    def _fault(self, name: str) -> bool:
        return self.rng.random() < self.faults.get(name, 0.0)

    async def _delay(self) -> None:
        for _ in range(self.rng.randrange(3) if self.faults.get("delay") else 0):
            await asyncio.sleep(0)


class Mempool:
    """The world's public mempool, or a private relay into it, as a destination."""

    def __init__(
        self, world: World, *, name: str = "public", exposure: Exposure = Exposure.PUBLIC
    ) -> None:
        self.world = world
        self.name = name
        self.exposure = exposure

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        await self.world.take(attempt.signed)


def _outbids(new: SignedTransaction, old: SignedTransaction) -> bool:
    fees = ("max_fee_per_gas", "max_priority_fee_per_gas")
    return all(
        getattr(new.unsigned, fee) > getattr(old.unsigned, fee)
        and getattr(new.unsigned, fee) * 100 >= getattr(old.unsigned, fee) * 110
        for fee in fees
    )


def _receipt(block: Block, index: int, tx: SignedTransaction) -> Receipt:
    return Receipt(
        transaction_hash=tx.hash,
        block_number=block.head.number,
        block_hash=block.head.hash,
        transaction_index=index,
        sender=tx.sender,
        to=tx.unsigned.to,
        succeeded=tx.unsigned.data != REVERTING,
        gas_used=21_000,
        effective_gas_price=block.head.base_fee_per_gas,
    )
