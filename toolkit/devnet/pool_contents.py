"""What a pool holds: by hash, and account by account in nonce order, with what is executable."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from toolkit.devnet.pool_admission import AccountState, ChainState
from toolkit.devnet.pool_limits import slots
from toolkit.devnet.pool_rules import PoolRules
from toolkit.devnet.pooled import Held, PooledTransaction
from toolkit.model.chain import Address, Hash


@dataclass(slots=True, kw_only=True, eq=False)
class SenderQueue:
    """One account's transactions; the first `pending` from its nonce on are executable."""

    state: AccountState
    held: dict[int, Held] = field(default_factory=dict)
    pending: int = 0
    below_base_fee: bool = False  # reth: the one after these waits for the base fee only
    beat: tuple[int, int] = (0, 0)  # block and order of the last sign of life (geth)

    @property
    def next_nonce(self) -> int:
        """The nonce after the executable ones."""
        return self.state.nonce + self.pending

    @property
    def last_nonce(self) -> int:
        """Of the executable ones; -1 if there is none."""
        return self.next_nonce - 1 if self.pending else -1

    @property
    def is_blob(self) -> bool:
        """Whether the account is held by the blob pool."""
        return any(each.tx.is_blob for each in self.held.values())

    def run_from(self, nonce: int) -> int:
        """How many there are from `nonce` on without a gap."""
        last = nonce
        while last in self.held:
            last += 1
        return last - nonce

    @property
    def latest(self) -> int:
        """The order of what came last."""
        return max(each.order for each in self.held.values())

    def executable(self) -> tuple[Held, ...]:
        """The executable ones in nonce order."""
        return tuple(self.held[nonce] for nonce in range(self.state.nonce, self.next_nonce))

    def waiting(self) -> tuple[Held, ...]:
        """The others in nonce order."""
        return tuple(self.held[nonce] for nonce in sorted(self.held) if nonce >= self.next_nonce)

    def settle(self, rules: PoolRules, chain: ChainState) -> None:
        """Work out anew what is executable by the client's notion."""
        run = self.run_from(self.state.nonce)
        self.pending, self.below_base_fee = run, False
        if not rules.has_subpools:
            return
        self.pending, funded = 0, self.state.balance_wei
        for nonce in range(self.state.nonce, self.state.nonce + run):
            tx = self.held[nonce].tx
            funded -= tx.worst_cost_wei
            if funded < 0:
                return
            if not covers_fees(tx, chain):
                self.below_base_fee = tx.fee_cap < chain.base_fee_wei
                return
            self.pending += 1


def covers_fees(tx: PooledTransaction, chain: ChainState) -> bool:
    """Whether both of its caps are at least the next block's fees."""
    return tx.fee_cap >= chain.base_fee_wei and (
        not tx.is_blob or tx.blob_fee_cap >= chain.blob_base_fee_wei
    )


class PoolContents:
    """The transactions of a pool; it keeps order and enforces nothing."""

    def __init__(self, rules: PoolRules, chain: ChainState) -> None:
        self.rules = rules
        self.chain = chain
        self.by_hash: dict[Hash, PooledTransaction] = {}
        self.senders: dict[Address, SenderQueue] = {}
        self.grants: Counter[Address] = Counter()  # authorities of pooled set-code transactions
        self.slots = 0  # that all but the blobs take up
        self.pending = 0  # executable ones of all accounts
        self._order = 0

    def insert(self, tx: PooledTransaction, account: AccountState) -> PooledTransaction | None:
        """Put a transaction in, at its sender's new state; the one that had its nonce."""
        queue = self.senders.setdefault(tx.sender, SenderQueue(state=account))
        first, replaced = not queue.held, queue.held.get(tx.nonce)
        was_pending = queue.state.nonce <= tx.nonce < queue.next_nonce
        if replaced is not None:
            self._forget(replaced.tx)
        self._order += 1
        queue.state = account
        queue.held[tx.nonce] = Held(tx, self.chain.number, self._order)
        self.by_hash[tx.hash] = tx
        self.grants.update(tx.authorities)
        self.slots += self._slots_of(tx)
        self.settle(queue)
        if first or was_pending:
            queue.beat = (self.chain.number, self._order)
        return None if replaced is None else replaced.tx

    def take(self, tx_hash: Hash) -> PooledTransaction | None:
        """Take a transaction out; what came after it may no longer be executable."""
        tx = self.by_hash.get(tx_hash)
        if tx is None:
            return None
        self._forget(tx)
        queue = self.senders[tx.sender]
        del queue.held[tx.nonce]
        self.settle(queue)
        if not queue.held:
            del self.senders[tx.sender]
        return tx

    def take_all(self, hashes: Iterable[Hash]) -> None:
        """Take several out."""
        for tx_hash in tuple(hashes):
            self.take(tx_hash)

    def settle(self, queue: SenderQueue) -> None:
        """Work out an account anew; a promotion is a sign of life."""
        before, count = queue.last_nonce, queue.pending
        queue.settle(self.rules, self.chain)
        self.pending += queue.pending - count
        if queue.pending and queue.last_nonce > before:
            queue.beat = (self.chain.number, self._order)

    def clear(self) -> tuple[Hash, ...]:
        """Take everything out."""
        hashes = tuple(self.by_hash)
        self.by_hash.clear()
        self.senders.clear()
        self.grants.clear()
        self.slots = self.pending = 0
        return hashes

    def pooled_by(self, account: Address) -> tuple[int, bool]:
        """How many transactions an account has here, and whether they are blobs."""
        queue = self.senders.get(account)
        return (0, False) if queue is None else (len(queue.held), queue.is_blob)

    def plain(self) -> Iterator[PooledTransaction]:
        """All that are no blobs."""
        return (tx for tx in self.by_hash.values() if not tx.is_blob)

    def _forget(self, tx: PooledTransaction) -> None:
        del self.by_hash[tx.hash]
        self.slots -= self._slots_of(tx)
        self.grants.subtract(tx.authorities)
        for authority in tx.authorities:
            if not self.grants[authority]:
                del self.grants[authority]

    def _slots_of(self, tx: PooledTransaction) -> int:
        return 0 if tx.is_blob else slots(tx, self.rules.slot_bytes)
