"""Pool states at the head and what undoes each of the last blocks.

States are immutable, so what undoes a block is the states that it replaced: exact by construction,
and a reorg costs as much as the blocks touched.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

import msgspec

from toolkit.model.chain import Hash, Head, LogEntry
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId
from toolkit.pools import events
from toolkit.pools.snapshot import Pool, SetAside, Snapshot

T = TypeVar("T")

KEPT_BLOCKS = 64  # two epochs: what is older is final


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """The head before a block, and the states as of then of the pools that the block changed."""

    block: Head
    pools: dict[PoolId, Pool]


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that goes forward block by block, and back over the last `depth` of them.

    `undos` are oldest first, the last one undoes the snapshot's own block. `again` is the block
    from which a pool set aside is read once more; the next one unless named.
    """

    snapshot: Snapshot
    undos: tuple[Undo, ...] = ()
    depth: int = KEPT_BLOCKS
    again: dict[PoolId, int] = {}

    def __post_init__(self) -> None:
        """Check the one number."""
        if self.depth < 0:
            raise PoolError(f"depth: {self.depth} blocks cannot be kept; 0 keeps none")

    @property
    def reach(self) -> dict[Hash, int]:
        """The blocks at hand: the numbers of the head and of those that `back` can go to."""
        kept = (*(undo.block for undo in self.undos), self.snapshot.block)
        return {block.hash: block.number for block in kept}

    def forward(self, block: Head, logs: Iterable[LogEntry]) -> "Followed":
        """Return this at the next block, given the logs of all pools in it, in any order.

        Logs of other contracts and of pools that are not in the snapshot are passed over.

        Raises:
            PoolError: `block` is not the child of the head, a log is of another block or given
                twice, or cannot have happened in the pool's state; nothing is changed then.
        """
        head = self.snapshot.block
        if block.parent_hash != head.hash or block.number != head.number + 1:
            raise PoolError(
                f"block {block.number} {block.hash}: parent_hash: it does not follow "
                f"block {head.number} {head.hash}; go back, or load"
            )
        pools = self.snapshot.pools
        changed: dict[PoolId, Pool] = {}
        for log in _ordered(logs, block):
            pool = events.pool_of(pools, log)
            if pool is not None:
                changed[pool.id] = events.apply(changed.get(pool.id, pool), log)
        changed = {address: pool for address, pool in changed.items() if pool != pools[address]}
        undo = Undo(block=head, pools={address: pools[address] for address in changed})
        return msgspec.structs.replace(
            self,
            snapshot=msgspec.structs.replace(self.snapshot, block=block, pools=pools | changed),
            undos=(*self.undos, undo)[-self.depth :] if self.depth else (),
        )

    def back(self, to: Hash) -> "Followed | None":
        """Return this as it was at an earlier block; None where that is deeper than is kept."""
        pools = dict(self.snapshot.pools)
        for left in range(len(self.undos), -1, -1):
            block = self.undos[left].block if left < len(self.undos) else self.snapshot.block
            if left < len(self.undos):
                pools |= self.undos[left].pools
            if block.hash == to:
                return msgspec.structs.replace(
                    self,
                    snapshot=msgspec.structs.replace(self.snapshot, block=block, pools=pools),
                    undos=self.undos[:left],
                )
        return None

    def corrected(self, pools: Mapping[PoolId, Pool], *, since: Hash) -> "Followed":
        """Return this with states of the head that were read and not followed.

        Nothing is known of them between `since`, an earlier block at hand, and the head, so the
        blocks between can no longer be gone back to; `since` itself and those before it can.
        """
        if not pools:
            return self
        hashes = (*(undo.block.hash for undo in self.undos), self.snapshot.block.hash)
        start = hashes.index(since) if since in hashes else len(hashes)
        merged: tuple[Undo, ...] = self.undos[:start] if start < len(hashes) else ()
        if start < len(self.undos):
            before = {address: self.snapshot.pools[address] for address in pools}
            for undo in reversed(self.undos[start:]):
                before |= undo.pools
            merged = (*merged, Undo(block=self.undos[start].block, pools=before))
        states = self.snapshot.pools | dict(pools)
        return msgspec.structs.replace(
            self, snapshot=msgspec.structs.replace(self.snapshot, pools=states), undos=merged
        )

    def without(self, aside: Iterable[SetAside]) -> "Followed":
        """Return this with pools set aside: at the head, and wherever `back` goes to."""
        gone = {one.spec.id: one for one in aside}
        if not gone:
            return self
        undos = tuple(
            msgspec.structs.replace(undo, pools=_less(undo.pools, gone)) for undo in self.undos
        )
        states = msgspec.structs.replace(
            self.snapshot,
            pools=_less(self.snapshot.pools, gone),
            aside=self.snapshot.aside | gone,
        )
        return msgspec.structs.replace(self, snapshot=states, undos=undos)

    def regained(self, pools: Mapping[PoolId, Pool]) -> "Followed":
        """Return this with pools that were set aside and could be read at the head.

        Nothing is known of them before it, so nothing before it can be gone back to.
        """
        if not pools:
            return self
        states = msgspec.structs.replace(
            self.snapshot,
            pools=self.snapshot.pools | dict(pools),
            aside=_less(self.snapshot.aside, pools),
        )
        again = _less(self.again, pools)
        return msgspec.structs.replace(self, snapshot=states, undos=(), again=again)


def _less(held: Mapping[PoolId, T], gone: Collection[PoolId]) -> dict[PoolId, T]:
    return {name: one for name, one in held.items() if name not in gone}


def _ordered(logs: Iterable[LogEntry], block: Head) -> list[LogEntry]:
    """Sort a block's logs as the chain wrote them."""
    ordered = sorted(logs, key=lambda log: log.log_index)
    before = -1
    for log in ordered:
        if log.block_hash != block.hash:
            raise PoolError(
                f"pool {log.address}: block_hash: a log of block {log.block_hash}, "
                f"not of {block.hash}"
            )
        if log.log_index == before:
            raise PoolError(f"pool {log.address}: log_index: {before} is given twice")
        before = log.log_index
    return ordered
