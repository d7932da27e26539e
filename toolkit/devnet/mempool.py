"""The public transaction pool of a node, as a pure state machine under a client's rules.

It has no clock and does no I/O: who calls it says what the head is and how accounts stand there.
A refused transaction leaves it as it was; `add`, `advance` and `clear` name everything that left.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.devnet import pool_limits
from toolkit.devnet.pool_admission import (
    AccountState,
    Applicant,
    ChainState,
    PoolRefusal,
    examine,
    refuse,
)
from toolkit.devnet.pool_contents import PoolContents, SenderQueue, covers_fees
from toolkit.devnet.pool_rules import PoolRules, Reason
from toolkit.devnet.pooled import Held, PooledTransaction, pooled
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import DevnetError

__all__ = [
    "AccountState",
    "Added",
    "ChainState",
    "Mempool",
    "PoolRefusal",
    "PoolStatus",
    "PooledTransaction",
    "Reason",
    "pooled",
]


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What admission did beside taking the transaction in.

    `evicted` may name the new one itself: geth answers a gapped transaction beyond an account's
    queue with its hash, and drops it.
    """

    replaced: Hash | None = None
    evicted: tuple[Hash, ...] = ()


class PoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How many transactions are executable and how many are not, as `txpool_status` counts."""

    pending: int
    queued: int


class Mempool:
    """Public transactions under one client's rules.

    Args:
        rules: `pool_rules.GETH`, `RETH` or `STRICT`.
        chain: the head, with the fees of the block that comes next.
    """

    def __init__(self, rules: PoolRules, chain: ChainState) -> None:
        self._contents = PoolContents(rules, chain)

    def __len__(self) -> int:
        """How many transactions it holds."""
        return len(self._contents.by_hash)

    @property
    def rules(self) -> PoolRules:
        """The client's rules."""
        return self._contents.rules

    @property
    def chain(self) -> ChainState:
        """The head it was last told of."""
        return self._contents.chain

    def add(self, tx: PooledTransaction, account: AccountState, *, local: bool = False) -> Added:
        """Take a transaction in, as one that came over JSON-RPC.

        Args:
            tx: the transaction.
            account: how its sender stands at the head.
            local: the node signed it itself (`eth_sendTransaction`); reth does not count an
                account's slots then, geth makes no difference.

        Raises:
            PoolRefusal: the client's own words and code; nothing has changed then.
        """
        applicant = self._applicant(tx, account, local=local)
        examine(applicant, self.rules.rpc_checks)
        return self._admit(applicant)

    def advance(
        self,
        chain: ChainState,
        accounts: Mapping[Address, AccountState],
        *,
        mined: Iterable[Hash] = (),
        returned: Iterable[PooledTransaction] = (),
    ) -> tuple[Hash, ...]:
        """Follow the chain to a new head.

        Args:
            chain: the new head.
            accounts: the senders that stand otherwise than before; those of `returned` always.
            mined: hashes of the new branch's transactions.
            returned: transactions of blocks that a reorg took off the chain, to be pooled again.

        Returns:
            Hashes that left without having been mined, in the order they left: stale ones,
            unaffordable ones, those too old, over a limit, or `returned` and refused.

        Raises:
            DevnetError: `accounts` lacks the sender of a returned transaction.
        """
        contents, confirmed = self._contents, frozenset(mined)
        contents.chain = chain
        contents.take_all(confirmed)
        for address, state in accounts.items():
            if address in contents.senders:
                contents.senders[address].state = state
        dropped = self._drop_unfit()
        for queue in contents.senders.values():
            contents.settle(queue)
        dropped += self._pool_again(returned, accounts, confirmed)
        dropped += self._drop_aged()
        return tuple(dropped + self._trim(tuple(contents.senders)))

    def remove(self, tx_hash: Hash) -> PooledTransaction | None:
        """Drop one; what follows it is no longer executable. None: it was not there."""
        return self._contents.take(tx_hash)

    def clear(self) -> tuple[Hash, ...]:
        """Drop everything, as a node that restarts does; the hashes."""
        return self._contents.clear()

    def get(self, tx_hash: Hash) -> PooledTransaction | None:
        """The transaction with this hash, if it is pooled."""
        return self._contents.by_hash.get(tx_hash)

    def pending(self, sender: Address | None = None) -> tuple[PooledTransaction, ...]:
        """What is executable by the client's own notion, in nonce order account by account.

        geth counts what is capped below the base fee as pending too; `candidates` does not.
        """
        return tuple(each.tx for queue in self._queues(sender) for each in queue.executable())

    def queued(self, sender: Address | None = None) -> tuple[PooledTransaction, ...]:
        """What is not pending, in nonce order account by account."""
        return tuple(each.tx for queue in self._queues(sender) for each in queue.waiting())

    def pending_nonce(self, sender: Address, chain_nonce: int) -> int:
        """The account's next nonce after what is pooled without a gap from `chain_nonce` on."""
        queue = self._contents.senders.get(sender)
        return chain_nonce if queue is None else chain_nonce + queue.run_from(chain_nonce)

    def status(self) -> PoolStatus:
        """Count pending and queued."""
        pending = self._contents.pending
        return PoolStatus(pending=pending, queued=len(self) - pending)

    def candidates(self, base_fee_wei: int) -> tuple[PooledTransaction, ...]:
        """What a block at this base fee may contain, in nonce order account by account.

        Each can be executed after those before it: no gap, caps above both fees, and the worst
        cost of all of them covered. What they add up to in gas is the packer's business.
        """
        chain = msgspec.structs.replace(self.chain, base_fee_wei=base_fee_wei)
        found: list[PooledTransaction] = []
        for queue in self._contents.senders.values():
            funded = queue.state.balance_wei
            run = queue.run_from(queue.state.nonce)
            for nonce in range(queue.state.nonce, queue.state.nonce + run):
                tx = queue.held[nonce].tx
                funded -= tx.worst_cost_wei
                if funded < 0 or tx.gas > chain.gas_limit or not covers_fees(tx, chain):
                    break
                found.append(tx)
        return tuple(found)

    def _queues(self, sender: Address | None) -> tuple[SenderQueue, ...]:
        if sender is None:
            return tuple(self._contents.senders.values())
        queue = self._contents.senders.get(sender)
        return () if queue is None else (queue,)

    def _applicant(
        self, tx: PooledTransaction, account: AccountState, *, local: bool = False
    ) -> Applicant:
        contents = self._contents
        queue = contents.senders.get(tx.sender)
        held = {} if queue is None else queue.held
        return Applicant(
            tx=tx,
            rules=self.rules,
            chain=self.chain,
            account=account,
            local=local,
            known=tx.hash in contents.by_hash,
            own={nonce: each.tx for nonce, each in held.items() if nonce >= account.nonce},
            executable=0 if queue is None else queue.run_from(account.nonce),
            grants=tx.sender in contents.grants,
            pooled_by=contents.pooled_by,
        )

    def _admit(self, applicant: Applicant) -> Added:
        examine(applicant, self.rules.checks)
        room = self._room(applicant)
        touched = {self._contents.by_hash[each].sender for each in room} | {applicant.tx.sender}
        self._contents.take_all(room)
        replaced = self._contents.insert(applicant.tx, applicant.account)
        if applicant.tx.hash in self._subpool_excess():
            self._contents.take(applicant.tx.hash)
            if replaced is not None:
                self._contents.insert(replaced, applicant.account)
            raise refuse(self.rules, Reason.POOL_FULL, {})
        return Added(
            replaced=None if replaced is None else replaced.hash,
            evicted=room + tuple(self._trim(touched)),
        )

    def _room(self, applicant: Applicant) -> tuple[Hash, ...]:
        """Whom geth turns out of a full pool for a better one, or why it does not."""
        rules, tx, base_fee = self.rules, applicant.tx, self.chain.base_fee_wei
        size = pool_limits.slots(tx, rules.slot_bytes)
        needed = self._contents.slots + size - rules.global_slots - rules.global_queue
        if rules.has_subpools or tx.is_blob or needed <= 0:
            return ()
        victims = pool_limits.cheapest(
            self._contents.plain(),
            base_fee_wei=base_fee,
            slot_bytes=rules.slot_bytes,
            needed=needed,
        )
        if pool_limits.price(tx, base_fee) <= pool_limits.price(victims[0], base_fee):
            raise refuse(rules, Reason.POOL_UNDERPRICED, {})
        if sum(pool_limits.slots(each, rules.slot_bytes) for each in victims) < needed:
            raise refuse(rules, Reason.POOL_FULL, {})
        if tx.nonce > applicant.next_nonce and any(map(self._is_pending, victims)):
            raise refuse(rules, Reason.FUTURE_REPLACES_PENDING, {})
        return tuple(each.hash for each in victims)

    def _is_pending(self, tx: PooledTransaction) -> bool:
        return tx.nonce < self._contents.senders[tx.sender].next_nonce

    def _drop_unfit(self) -> list[Hash]:
        """Drop what is stale, and where the client does so, what its sender cannot pay for."""
        gone = []
        for queue in self._contents.senders.values():
            for nonce, each in sorted(queue.held.items()):
                unfit = each.tx.worst_cost_wei > queue.state.balance_wei or (
                    each.tx.gas > self.chain.gas_limit
                )
                if nonce < queue.state.nonce or (unfit and not self.rules.has_subpools):
                    gone.append(each.tx.hash)
        self._contents.take_all(gone)
        return gone

    def _pool_again(
        self,
        returned: Iterable[PooledTransaction],
        accounts: Mapping[Address, AccountState],
        confirmed: frozenset[Hash],
    ) -> list[Hash]:
        dropped: list[Hash] = []
        for tx in sorted(returned, key=lambda each: (each.sender, each.nonce)):
            if tx.hash in confirmed or self.get(tx.hash) is not None:
                continue
            if tx.sender not in accounts:
                raise DevnetError(
                    f"transaction {tx.hash} returns to the pool without the state of its sender"
                    f" {tx.sender}: give it in accounts"
                )
            try:
                added = self._admit(self._applicant(tx, accounts[tx.sender]))
            except PoolRefusal:  # safe to drop: the caller is told by its hash
                dropped.append(tx.hash)
            else:
                dropped += () if added.replaced is None else (added.replaced,)
                dropped += added.evicted
        return dropped

    def _drop_aged(self) -> list[Hash]:
        """Drop what waited for longer than its lifetime, in geth with all its sender queued."""
        oldest = self.chain.number - self.rules.lifetime_blocks
        gone = []
        for queue in self._contents.senders.values():
            whole = not self.rules.has_subpools
            gone += [
                each.tx.hash
                for each in queue.waiting()
                if (queue.beat[0] if whole else each.block) < oldest
            ]
        self._contents.take_all(gone)
        return gone

    def _trim(self, touched: Iterable[Address]) -> list[Hash]:
        """Bring the pool back within its limits; `touched` are whose own queue may be too long."""
        if self.rules.has_subpools:
            gone = list(self._subpool_excess())
            self._contents.take_all(gone)
            return gone
        return self._trim_accounts(touched) + self._trim_pending() + self._trim_queued()

    def _trim_accounts(self, touched: Iterable[Address]) -> list[Hash]:
        """What an account has queued beyond its limit, and blobs behind a gap (both geth)."""
        gone = []
        for address in touched:
            queue = self._contents.senders.get(address)
            if queue is not None:
                kept = 0 if queue.is_blob else self.rules.account_queue
                gone += [each.tx.hash for each in queue.waiting()[kept:]]
        self._contents.take_all(gone)
        return gone

    def _trim_pending(self) -> list[Hash]:
        rules = self.rules
        if self._contents.pending <= rules.global_slots:
            return []
        plain = {
            address: queue.pending
            for address, queue in self._contents.senders.items()
            if not queue.is_blob
        }
        kept = pool_limits.fair_lengths(
            plain, limit=rules.global_slots, guaranteed=rules.guaranteed_slots
        )
        gone = [
            each.tx.hash
            for address, length in kept.items()
            for each in self._contents.senders[address].executable()[length:]
        ]
        self._contents.take_all(gone)
        return gone

    def _trim_queued(self) -> list[Hash]:
        contents = self._contents
        if self.status().queued <= self.rules.global_queue:
            return []
        silent_first = sorted(contents.senders, key=lambda each: contents.senders[each].beat)
        waiting = {address: contents.senders[address].waiting() for address in silent_first}
        cuts = pool_limits.queue_cuts(
            ((address, len(each)) for address, each in waiting.items() if each),
            limit=self.rules.global_queue,
        )
        gone = [
            each.tx.hash
            for address, count in cuts
            for each in reversed(waiting[address][len(waiting[address]) - count :])
        ]
        contents.take_all(gone)
        return gone

    def _subpool_excess(self) -> tuple[Hash, ...]:
        """Whom reth discards of sub-pools that are too full."""
        limit = self.rules.subpool_slots
        if limit is None or len(self) <= limit:
            return ()
        queues = self._contents.senders.values()
        plain = [queue for queue in queues if not queue.is_blob]
        blobs = [queue.executable() + queue.waiting() for queue in queues if queue.is_blob]
        pending = [queue.executable() for queue in plain]
        basefee = [(queue.latest, queue.waiting()[: queue.below_base_fee]) for queue in plain]
        queued = [(queue.latest, queue.waiting()[queue.below_base_fee :]) for queue in plain]
        base_fee = self.chain.base_fee_wei
        gone = [
            *_worst(pending, limit=limit, base_fee_wei=base_fee),
            *_silent(basefee, limit=limit),
            *_silent(queued, limit=limit),
            *_worst(blobs, limit=limit, base_fee_wei=base_fee),
        ]
        return tuple(each.tx.hash for each in gone)


_Chain = tuple[Held, ...]


def _worst(chains: Sequence[_Chain], *, limit: int, base_fee_wei: int) -> _Chain:
    excess = sum(map(len, chains)) - limit
    return pool_limits.worst_ends(chains, base_fee_wei=base_fee_wei, excess=excess)


def _silent(chains: Sequence[tuple[int, _Chain]], *, limit: int) -> _Chain:
    excess = sum(len(each) for _, each in chains) - limit
    return pool_limits.longest_silent(chains, excess=max(excess, 0))
