"""Who has to leave a pool that is too full: pure choices, nothing is removed here."""

import heapq
from collections.abc import Iterable, Mapping, Sequence

from toolkit.devnet.pooled import Held, PooledTransaction
from toolkit.model.chain import Address

Price = tuple[int, int, int]


def price(tx: PooledTransaction, base_fee_wei: int) -> Price:
    """The order of geth's priced list: effective tip at the next block, fee cap, tip cap."""
    return tx.tip(base_fee_wei), tx.fee_cap, tx.tip_cap


def slots(tx: PooledTransaction, slot_bytes: int) -> int:
    """How many slots of a pool a transaction's size takes up (legacypool numSlots)."""
    return -(-tx.size // slot_bytes)


def cheapest(
    pool: Iterable[PooledTransaction], *, base_fee_wei: int, slot_bytes: int, needed: int
) -> tuple[PooledTransaction, ...]:
    """The cheapest transactions that free `needed` slots, of two equal ones the later nonce."""
    chosen = []
    for tx in sorted(pool, key=lambda tx: (price(tx, base_fee_wei), -tx.nonce, tx.hash)):
        if needed <= 0:
            break
        chosen.append(tx)
        needed -= slots(tx, slot_bytes)
    return tuple(chosen)


def fair_lengths(
    lengths: Mapping[Address, int], *, limit: int, guaranteed: int
) -> dict[Address, int]:
    """How many executable transactions each account keeps (legacypool truncatePending).

    The largest are cut one by one, all offenders alike, until the total is within `limit`; nobody
    is cut below `guaranteed`, even if the total stays above the limit.
    """
    kept = dict(lengths)
    total = sum(kept.values())
    offenders: list[Address] = []
    for account in sorted(kept, key=lambda account: (-kept[account], account)):
        if total <= limit or kept[account] <= guaranteed:
            break
        offenders.append(account)
        while total > limit and len(offenders) > 1 and kept[offenders[-2]] > kept[account]:
            for other in offenders[:-1]:
                kept[other] -= 1
                total -= 1
    while total > limit and offenders and kept[offenders[-1]] > guaranteed:
        for account in offenders:
            kept[account] -= 1
            total -= 1
    return kept


def queue_cuts(
    lengths: Iterable[tuple[Address, int]], *, limit: int
) -> tuple[tuple[Address, int], ...]:
    """How many queued transactions to take from which account (legacypool truncateQueue).

    Args:
        lengths: accounts with how many they have queued, the longest silent first.
        limit: for all of them.
    """
    ordered = tuple(lengths)
    excess = sum(length for _, length in ordered) - limit
    cuts = []
    for account, length in ordered:
        if excess <= 0:
            break
        cuts.append((account, min(length, excess)))
        excess -= length
    return tuple(cuts)


def worst_ends(
    chains: Iterable[Sequence[Held]], *, base_fee_wei: int, excess: int
) -> tuple[Held, ...]:
    """The cheapest of the accounts' last executable ones, `excess` times (reth pending.rs).

    Of two equal ones the later to come goes first.
    """

    def end(account: list[Held]) -> tuple[Price, int, list[Held]]:
        return price(account[-1].tx, base_fee_wei), -account[-1].order, account

    ends = [end(list(each)) for each in chains if each]
    heapq.heapify(ends)
    chosen: list[Held] = []
    while ends and len(chosen) < excess:
        _, _, account = heapq.heappop(ends)
        chosen.append(account.pop())
        if account:
            heapq.heappush(ends, end(account))
    return tuple(chosen)


def longest_silent(
    chains: Iterable[tuple[int, Sequence[Held]]], *, excess: int
) -> tuple[Held, ...]:
    """The last ones of the accounts that sent least recently, `excess` of them (reth parked.rs).

    Args:
        chains: for each account its latest order of arrival and its transactions by nonce.
        excess: how many have to leave.
    """
    ordered = sorted(chains, key=lambda each: each[0])
    last_first = (held for _, account in ordered for held in reversed(account))
    return tuple(held for _, held in zip(range(excess), last_first, strict=False))
