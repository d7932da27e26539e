"""Transactions of bundles that have ended: alone or late, a block may still hold them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from toolkit.chain.node import Node
from toolkit.model.chain import Address, Hash, HeadChange, Receipt
from toolkit.model.decision import Plan
from toolkit.model.tx import SignedTransaction

WATCHED_BLOCKS = 64
"""After its target block a bundle's transactions are looked for: as deep as reorgs are followed."""
SURE_BLOCKS = 4
"""A nonce that is spent for so long without a receipt of ours was spent by somebody else."""


@dataclass(slots=True)
class Ended:
    """A bundle's own transactions, and where they were told to be mined."""

    plans: tuple[Plan, ...]
    sender: Address
    nonces: dict[Hash, int]  # of each transaction, in order
    told: dict[Hash, tuple[Hash, ...]] = field(default_factory=dict)  # hashes by block
    seen: dict[Hash, Receipt] = field(default_factory=dict)  # since the last reorg
    silent: dict[Hash, int] = field(default_factory=dict)  # nonce spent since, and no receipt
    decided: bool = False  # only a reorg can change what became of it


class Mined(NamedTuple):
    """What one block holds of an ended bundle; `whole` if that is all of it."""

    ended: Ended
    receipts: tuple[Receipt, ...]
    whole: bool

    @property
    def plans(self) -> tuple[Plan, ...]:
        """What the bundle carried."""
        return self.ended.plans


class Strays:
    """Looks for what returned to the public pool with a reorg, leaked, or was torn apart.

    Until another transaction has its nonce each of a bundle's is good for any block, where its
    guards make it fail and cost gas. One question a sender and head, more where a nonce was spent.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ended: list[Ended] = []

    def watch(
        self,
        plans: tuple[Plan, ...],
        signed: Sequence[SignedTransaction],
        *,
        mined: Hash | None = None,
    ) -> None:
        """Watch a bundle that has ended; `mined` is the block that it was told to be in."""
        nonces = {one.hash: one.unsigned.nonce for one in signed}
        if any(one.nonces == nonces for one in self._ended):
            return  # plans that share it end one by one
        self._ended.append(
            Ended(
                plans=plans,
                sender=signed[0].sender,
                nonces=nonces,
                told={} if mined is None else {mined: tuple(nonces)},
                decided=mined is not None,
            )
        )

    async def mined(self, change: HeadChange) -> tuple[Mined, ...]:
        """Return what blocks hold of ended bundles that was not told yet, up to the newest head.

        Raises:
            NodeError: the chain could not be read.
        """
        newest = change.added[-1]
        self._ended = [
            one
            for one in self._ended
            if one.plans[0].target_block + WATCHED_BLOCKS >= newest.number
        ]
        gone = {head.hash for head in change.reverted}
        if gone:
            for one in self._ended:
                one.told = {block: told for block, told in one.told.items() if block not in gone}
                one.decided, one.seen, one.silent = False, {}, {}
        open_now = [one for one in self._ended if not one.decided]
        senders = sorted({one.sender for one in open_now})
        counts = await asyncio.gather(*(self._node.nonce(one, newest.hash) for one in senders))
        spent = dict(zip(senders, counts, strict=True))
        asked = [one for one in open_now if spent[one.sender] > min(one.nonces.values())]
        found = await asyncio.gather(*(self._receipts(one) for one in asked))
        return tuple(
            mined
            for one, receipts in zip(asked, found, strict=True)
            for mined in _news(one, receipts, newest.number, spent[one.sender])
        )

    def told(self, news: Sequence[Mined]) -> None:
        """Note that these have been told of."""
        for one in news:
            hashes = tuple(receipt.transaction_hash for receipt in one.receipts)
            one.ended.told[one.receipts[0].block_hash] = hashes

    async def _receipts(self, one: Ended) -> tuple[Receipt, ...]:
        found = await asyncio.gather(*(self._node.receipt(hash_) for hash_ in one.nonces))
        return tuple(receipt for receipt in found if receipt is not None)


def _news(one: Ended, receipts: Sequence[Receipt], newest: int, spent: int) -> list[Mined]:
    """Note what is certain of a bundle now, and return what is new of it, block by block.

    A node may not have a receipt yet, or have it now and then: where a nonce is spent and nothing
    tells by what, a part is not told as such before that has stayed so.
    """
    one.seen |= {r.transaction_hash: r for r in receipts if r.block_number <= newest}
    here = one.seen
    unknown = [hash_ for hash_, nonce in one.nonces.items() if nonce < spent and hash_ not in here]
    one.silent = {hash_: one.silent.get(hash_, newest) for hash_ in unknown}
    if any(newest < since + SURE_BLOCKS for since in one.silent.values()):
        return []
    one.decided = spent > max(one.nonces.values())
    news: list[Mined] = []
    for block in dict.fromkeys(receipt.block_hash for receipt in here.values()):
        inside = tuple(here[h] for h in one.nonces if h in here and here[h].block_hash == block)
        hashes = tuple(receipt.transaction_hash for receipt in inside)
        if not set(hashes).issubset(one.told.get(block, ())):
            news.append(Mined(one, inside, whole=hashes == tuple(one.nonces)))
    return news
