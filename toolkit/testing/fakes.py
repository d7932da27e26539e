"""An honest model of a chain, its mempool and its failures, for tests of senders.

Everybody's bytes stay known: what was ever handed over may be mined by somebody, also the older
attempt of a replaced one. Every call may be delayed by a few turns of the loop, so one seed is one
interleaving. `World` answers what `toolkit.tx.observer.ChainQueries` and a fee oracle are asked.
"""

# ruff: noqa: ARG002 - the fakes take what the real ones take
import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from toolkit.chain.node import AccountLook
from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import Entry, Journal
from toolkit.model.chain import Address, Hash, Head, HeadChange, Receipt
from toolkit.model.errors import (
    AccountLimit,
    AlreadyKnown,
    CallReverted,
    ConfigError,
    InsufficientFunds,
    JournalUnavailable,
    LeaseLost,
    NodeTimeout,
    NodeUnavailable,
    NonceTooLow,
    PoolFull,
    RejectedByNode,
    ReplacementUnderpriced,
    SignerError,
    Underpriced,
)
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    AccessListItem,
    Attempt,
    Exposure,
    FeeQuote,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.testing.faults import FAULTS, QUIET
from toolkit.tx.fees import first_attempt

V = TypeVar("V")

OWNER = LocalSigner("0x" + "0a" * 32)
FRIEND = Address("0x" + "f1" * 20)
REVERTING = "0xdead"
"""Calldata that always reverts."""
ETHER = 10**18
GWEI = 10**9
_TAKEN = 0.6
"""How likely another branch has a transaction that somebody holds."""
_DEAR = 100 * GWEI
"""No pool makes up its mind against such a bid: near a lane's ceiling nothing can outbid it."""


class InlineJournal(Journal):
    """A journal that writes in the loop's own thread, a turn later: a seed decides every turn."""

    cut = False
    """Whether the process died: nothing is written any more."""

    def _begin_write(self) -> None:
        self._writing = True
        asyncio.get_running_loop().call_soon(self._write_inline, tuple(self._tail))

    def _write_inline(self, batch: Sequence[Entry]) -> None:
        if self.cut:
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._write(batch)
        except (JournalUnavailable, LeaseLost) as error:
            written.set_exception(error)
        else:
            written.set_result(None)
        self._written(batch, written)


class Block(msgspec.Struct, kw_only=True):
    """A sealed block; `counts` is how many transactions each account has sent as of it."""

    head: Head
    transactions: list[SignedTransaction]
    counts: dict[Address, int]

    @property
    def count(self) -> int:
        """How many the owner has sent."""
        return self.counts.get(OWNER.address, 0)


class World:
    """A chain as few accounts see it: blocks, a mempool by geth's rules, a fee market, and faults.

    Most lives have one account, OWNER, whose pool is `pool`; others join by sending.

    Args:
        rng: the only source of chance.
        faults: probability a call of each fault in `toolkit.testing.faults.FAULTS`.

    Raises:
        ConfigError: a fault that is not known.
    """

    def __init__(self, rng: random.Random, **faults: float) -> None:
        unknown = sorted(faults.keys() - FAULTS.keys())
        if unknown:
            raise ConfigError(f"no fault is named {unknown[0]!r}; there are {', '.join(FAULTS)}")
        self.rng = rng
        self.faults = faults
        self.struck: Counter[str] = Counter()  # faults that happened, by name
        self.base_fee = 10 * GWEI
        self.balance_wei = 100 * ETHER
        genesis = self._header(0, "0x" + "00" * 32)
        self.blocks = [Block(head=genesis, transactions=[], counts={})]
        # By account and nonce: everything ever seen, and what the node would mine.
        self.known_of: dict[Address, dict[int, list[SignedTransaction]]] = {OWNER.address: {}}
        self.pool_of: dict[Address, dict[int, SignedTransaction]] = {OWNER.address: {}}
        self.foreign: dict[Hash, SignedTransaction] = {}
        self.sends = 0
        self.delegated = False  # whether the account runs code (EIP-7702)
        self._refusals: dict[Hash, str] = {}  # what the pool has made up its mind about
        self._places: dict[Hash, tuple[Block, int]] = {}
        self._undone: dict[Hash, int] = {}  # under how many blocks each was that a reorg took back

    # The chain.

    @property
    def tip(self) -> Head:
        """The newest block."""
        return self.blocks[-1].head

    @property
    def spent(self) -> int:
        """How many transactions of the owner are mined."""
        return self.blocks[-1].count

    def spent_by(self, account: Address) -> int:
        """How many transactions of an account are mined."""
        return self.blocks[-1].counts.get(account, 0)

    @property
    def known(self) -> dict[int, list[SignedTransaction]]:
        """Everything of the owner's that was ever seen, by nonce."""
        return self.known_of[OWNER.address]

    @property
    def pool(self) -> dict[int, SignedTransaction]:
        """What of the owner's the node would mine, by nonce."""
        return self.pool_of[OWNER.address]

    def mine(self, *, capacity: int = 4, only: Sequence[SignedTransaction] = ()) -> Head:
        """Seal the next block with what the pool offers in nonce order, or with `only`."""
        chosen = list(only) or self._offered(capacity)
        counts = dict(self.blocks[-1].counts)
        for mined in chosen:
            self.spend(counts, mined)
        block = Block(
            head=self._header(len(self.blocks), self.tip.hash), transactions=chosen, counts=counts
        )
        for index, mined in enumerate(chosen):
            self._places[mined.hash] = (block, index)
        self.blocks.append(block)
        for account, pool in self.pool_of.items():
            for stale in [n for n in pool if n < counts.get(account, 0)]:
                del pool[stale]
        return block.head

    def spend(self, counts: dict[Address, int], mined: SignedTransaction) -> None:
        """Count the nonces that a transaction spends where it is mined."""
        counts[mined.sender] = counts.get(mined.sender, 0) + 1

    def _offered(self, capacity: int) -> list[SignedTransaction]:
        """What the pools offer to a block, each account's in nonce order."""
        chosen: list[SignedTransaction] = []
        counts = dict(self.blocks[-1].counts)
        for account, pool in self._anyhow(self.pool_of):
            while len(chosen) < capacity and (offered := pool.get(counts.get(account, 0))):
                if offered.unsigned.fee_cap < self.base_fee or self.strikes("skip"):
                    break
                chosen.append(offered)
                self.spend(counts, offered)
        return chosen

    def _anyhow(self, by_account: dict[Address, V]) -> list[tuple[Address, V]]:
        """The accounts in any order; where there is one, nothing is drawn."""
        ordered = list(by_account.items())
        if len(ordered) > 1:
            self.rng.shuffle(ordered)
        return ordered

    def reorg(self, depth: int, *, strangers: bool = False) -> HeadChange:
        """Replace the last blocks by one more; other attempts, or none, may be mined in them.

        Without `strangers` it ends above the newest block that has a stranger's transaction.
        """
        gone: list[Block] = []
        while len(gone) < depth and len(self.blocks) > 1:
            alien = any(tx.hash in self.foreign for tx in self.blocks[-1].transactions)
            if alien and not strangers:
                break
            gone.append(self.blocks.pop())
            for tx in gone[-1].transactions:
                del self._places[tx.hash]
                self._undone[tx.hash] = max(len(gone), self._undone.get(tx.hash, 0))
        added = []
        for _ in range(len(gone) + 1):
            choice = self._other_branch()
            added.append(self.mine(only=choice) if choice else self.mine(capacity=0))
        return HeadChange(added=tuple(added), reverted=tuple(block.head for block in gone))

    def undone(self, depth: int) -> frozenset[Hash]:
        """The transactions that a reorg has taken back from under so many blocks, or more."""
        return frozenset(tx for tx, under in self._undone.items() if under >= depth)

    def spend_outside(self, request: TransactionRequest | None = None) -> Head:
        """Mine a stranger's transaction on the account's next nonce: `request`, or a payment.

        Its gas is set here; a stranger bids well above the market.
        """
        nonce = self.spent
        if request is None:
            request = TransactionRequest(to=FRIEND, value=nonce)
        request = msgspec.structs.replace(request, gas=100_000, type=2)
        signed = self.sign(request, nonce=nonce, fee=self.base_fee + 99 * GWEI)
        self.foreign[signed.hash] = signed
        self.known.setdefault(nonce, []).append(signed)
        return self.mine(only=[signed])

    def sign(self, request: TransactionRequest, *, nonce: int, fee: int) -> SignedTransaction:
        """Sign as somebody else does who has the account's key."""
        quote = FeeQuote(
            max_fee_per_gas=fee, max_priority_fee_per_gas=fee, base_fee_per_gas=1, for_block=1
        )
        return OWNER.sign_transaction_now(first_attempt(request, quote, chain_id=1, nonce=nonce))

    def mined(self) -> Mapping[Hash, int]:
        """Block number of every mined transaction."""
        return {tx_hash: block.head.number for tx_hash, (block, _) in self._places.items()}

    def reverted(self) -> frozenset[Hash]:
        """The mined transactions that failed."""
        mined = (tx for block in self.blocks for tx in block.transactions)
        return frozenset(tx.hash for tx in mined if tx.unsigned.data == REVERTING)

    def faults_struck(self) -> int:
        """How many faults have happened that no healthy chain has."""
        return sum(count for name, count in self.struck.items() if name not in QUIET)

    # The node's questions, as `ChainQueries` has them.

    async def head(self, block: int | str = "latest") -> Head:
        """A block's header."""
        await self._asked()
        return self.tip if isinstance(block, str) else self.blocks[block].head

    async def balance(self, account: Address, block: int | str = "latest") -> int:
        """The account's balance, the same at every block."""
        await self._asked()
        return self.balance_wei

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        """An account's count as of a block, or of the one before when the node is stale."""
        await self._asked()
        upto = len(self.blocks) - 1 if isinstance(block, str) else block
        if self.strikes("stale"):
            upto = max(0, upto - 1)
        return self.blocks[min(upto, len(self.blocks) - 1)].counts.get(account, 0)

    async def call(
        self,
        *,
        to: Address | None,
        data: str = "0x",
        sender: Address | None = None,
        value: int = 0,
        gas: int | None = None,
        access_list: Sequence[AccessListItem] = (),
        block: int | str = "latest",
    ) -> str:
        """Succeed with nothing, or revert where the calldata is `REVERTING`."""
        await self._asked()
        if data == REVERTING:
            raise CallReverted("nonce too low, says the contract")
        return "0x"

    async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
        """21,000 for a payment, 60,000 for a call; reverts as `call` does."""
        await self.call(to=request.to, data=request.data)
        return 21_000 if request.data == "0x" else 60_000

    async def code(self, account: Address, block: int | str = "latest") -> str:
        """The account's code: a delegation, or none."""
        await self._asked()
        return f"0xef0100{'c0' * 20}" if self.delegated else "0x"

    async def receipt(self, tx_hash: Hash) -> Receipt | None:
        """The receipt of a mined transaction, or None while the node lags."""
        await self._asked()
        place = self._places.get(tx_hash)
        if self.strikes("lag") or place is None:
            return None
        return _receipt(*place)

    async def receipts(self, block: int | str) -> tuple[Receipt, ...]:
        """Every receipt of a block."""
        await self._asked()
        found = self.blocks[int(block)]
        return tuple(_receipt(found, index) for index in range(len(found.transactions)))

    async def transaction(self, tx_hash: Hash) -> dict[str, Any] | None:
        """A mined transaction as a node gives it."""
        await self._asked()
        place = self._places.get(tx_hash)
        if place is None:
            return None
        block, index = place
        tx = block.transactions[index]
        unsigned = tx.unsigned
        return {
            "hash": tx.hash,
            "from": tx.sender,
            "nonce": hex(unsigned.nonce),
            "to": unsigned.to,
            "value": hex(unsigned.value),
            "input": unsigned.data,
            "blockNumber": hex(block.head.number),
        }

    async def quote(self, urgency: Urgency = Urgency.SOON, *, head: Head | None = None) -> FeeQuote:
        """An eighth of the base fee for every block that may pass, and a tip of one gwei."""
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
        await self.pause()
        if self.strikes("refused"):
            raise NodeUnavailable("connection refused", sent=False)
        if self.strikes("lost_before"):
            raise NodeTimeout("no answer; never arrived")
        self._admit(signed)
        if self.strikes("lost_after"):
            raise NodeTimeout("no answer; but it arrived")
        if self.strikes("dropped"):
            self.pool_of[signed.sender].pop(signed.unsigned.nonce, None)

    async def pause(self) -> None:
        """What a call waits before it is answered: a few turns of the loop, where faults say so."""
        for _ in range(self.rng.randrange(3) if self.faults.get("delay") else 0):
            await asyncio.sleep(0)

    def _admit(self, signed: SignedTransaction) -> None:
        new = signed.unsigned
        pool = self.pool_of.setdefault(signed.sender, {})
        known = self.known_of.setdefault(signed.sender, {})
        old = pool.get(new.nonce)
        if new.nonce < self.spent_by(signed.sender):
            raise NonceTooLow("nonce too low")
        if old is not None and old.hash == signed.hash:
            raise AlreadyKnown("already known")
        if new.worst_cost_wei > self.balance_wei:
            raise InsufficientFunds("insufficient funds for gas * price + value")
        self.require_few(signed)
        if self.strikes("full"):
            raise PoolFull("txpool is full")
        if self._refusals.get(signed.hash) is None:
            outbid = new.fee_cap < _DEAR
            self._refusals[signed.hash] = (
                "banned"
                if outbid and self.strikes("banned")
                else "cheap"
                if outbid and self.strikes("cheap")
                else ""
            )
        if self._refusals[signed.hash] == "banned":
            raise RejectedByNode("transaction type not supported")
        if self._refusals[signed.hash] == "cheap":
            raise Underpriced("transaction underpriced")
        if old is not None and not outbids(signed, old):
            raise ReplacementUnderpriced("replacement transaction underpriced")
        pool[new.nonce] = signed
        if signed not in known.setdefault(new.nonce, []):
            known[new.nonce].append(signed)

    def require_few(self, signed: SignedTransaction) -> None:
        """An account that runs code has one transaction in the pool.

        Raises:
            AccountLimit, AlreadyReserved: this one would be another.
        """
        pool = self.pool_of[signed.sender]
        if self.delegated and pool and signed.unsigned.nonce not in pool:
            raise AccountLimit("in-flight transaction limit reached for delegated accounts")

    def _other_branch(self) -> list[SignedTransaction]:
        choice: list[SignedTransaction] = []
        counts = dict(self.blocks[-1].counts)
        for account, known in self._anyhow(self.known_of):
            while (held := known.get(counts.get(account, 0))) and self.rng.random() < _TAKEN:
                choice.append(self.rng.choice(held))
                self.spend(counts, choice[-1])
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

    def strikes(self, name: str) -> bool:
        """Draw whether a fault happens now."""
        rate = self.faults.get(name, 0.0)
        struck = rate > 0.0 and self.rng.random() < rate
        if struck:
            self.struck[name] += 1
        return struck

    async def _asked(self) -> None:
        await self.pause()
        if self.strikes("unreachable"):
            raise NodeUnavailable("connection refused", sent=False)


class BatchingWorld(World):
    """A world whose node answers everything about an account in one request."""

    async def look(self, account: Address, block: int, hashes: Sequence[Hash] = ()) -> AccountLook:
        """Count, balance and receipts at once; each may be wrong as it is when asked alone."""
        nonce = await self.nonce(account, block)
        receipts = [await self.receipt(tx_hash) for tx_hash in hashes]
        return AccountLook(nonce=nonce, balance_wei=self.balance_wei, receipts=tuple(receipts))


class Mempool:
    """The world's public mempool, or a private relay into it, as a destination."""

    def __init__(
        self, world: World, *, name: str = "public", exposure: Exposure = Exposure.PUBLIC
    ) -> None:
        self.world = world
        self.name = name
        self.exposure = exposure

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Hand the attempt to the world's pool."""
        await self.world.take(attempt.signed)


class SlowSigner:
    """A signer that lets other things happen while it signs, and fails as the world says."""

    def __init__(self, world: World, signer: LocalSigner = OWNER) -> None:
        self.address = signer.address
        self._world = world
        self._signer = signer

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign after up to three turns of the loop.

        Raises:
            SignerError: the world's fault "unsigned" struck; "forged" makes it sign a wei more.
        """
        for _ in range(self._world.rng.randrange(4)):
            await asyncio.sleep(0)
        if self._world.strikes("unsigned"):
            raise SignerError("the device was pulled out")
        if self._world.strikes("forged"):
            unsigned = msgspec.structs.replace(unsigned, value=unsigned.value + 1)
        return self._signer.sign_transaction_now(unsigned)

    async def sign_message(self, text: bytes) -> str:
        """Sign a message at once."""
        return self._signer.sign_message_now(text)


def outbids(new: SignedTransaction, old: SignedTransaction) -> bool:
    """Whether geth takes `new` in place of `old`: above on both fields, and by a tenth."""
    fees = ((new.unsigned.fee_cap, old.unsigned.fee_cap), (_tip(new), _tip(old)))
    return all(mine > theirs and mine >= theirs * 110 // 100 for mine, theirs in fees)


def _tip(signed: SignedTransaction) -> int:
    unsigned = signed.unsigned
    dynamic = unsigned.type in DYNAMIC_FEE_TYPES
    return unsigned.max_priority_fee_per_gas if dynamic else unsigned.gas_price


def _receipt(block: Block, index: int) -> Receipt:
    tx = block.transactions[index]
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
