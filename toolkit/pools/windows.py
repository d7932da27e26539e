"""What is known of a pool's ticks: read whole, or moved with the price, as of one block hash."""

from collections.abc import Sequence

import msgspec

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.model.chain import Head
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId
from toolkit.pools import abi, manager
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import WithTicks
from toolkit.pools.tick_walk import WORD, refuse
from toolkit.pools.ticks import MAX_TICK, MIN_TICK

# Bitmap words read of one pool. Spacings of 7 and more have no more than this and are read
# whole; spacing 1 gets 1024 around the price, a factor of 490,000 in price each way.
MAX_WORDS = 1024
_TICK_WORDS = 8


def known_range(tick: int, spacing: int) -> tuple[int, int]:
    """Return the ticks whose bitmap words are read for a pool at `tick`, inclusive."""
    first, last = MIN_TICK // spacing // WORD, MAX_TICK // spacing // WORD
    if last - first < MAX_WORDS:
        return MIN_TICK, MAX_TICK
    middle = tick // spacing // WORD
    low = max(middle - MAX_WORDS // 2, first)
    high = min(middle + MAX_WORDS // 2 - 1, last)
    return (
        max(low * WORD * spacing, MIN_TICK),
        min((high * WORD + WORD - 1) * spacing, MAX_TICK),
    )


def has_moved(pool: WithTicks) -> bool:
    """Whether a partly known pool's price has left the middle word of what is known."""
    whole = pool.known == (MIN_TICK, MAX_TICK)
    return not whole and pool.known != known_range(pool.tick, pool.tick_spacing)


async def with_ticks(node: Node, pools: Sequence[WithTicks], *, head: Head) -> list[WithTicks]:
    """Fill in every initialised tick of each pool's known range: two batches for all pools.

    Raises:
        PoolError: a contract that does not answer as such a pool; names pool and field.
    """
    hollow = [msgspec.structs.replace(pool, ticks=(), gross=()) for pool in pools]
    return await _with_words(node, [(pool, _words_of(pool.known, pool)) for pool in hollow], head)


async def with_windows(node: Node, pools: Sequence[WithTicks], *, head: Head) -> list[WithTicks]:
    """Move each pool's known range to where its price is now, reading only what is new in it.

    Raises:
        PoolError: as `with_ticks`.
    """
    wanted = []
    for pool in pools:
        known = known_range(pool.tick, pool.tick_spacing)
        had = _whole_words_of(pool)
        inside = [
            at
            for at, (tick, _) in enumerate(pool.ticks)
            if known[0] <= tick <= known[1] and tick // pool.tick_spacing // WORD in had
        ]
        kept = msgspec.structs.replace(
            pool,
            known=known,
            ticks=tuple(pool.ticks[at] for at in inside),
            gross=tuple(pool.gross[at] for at in inside),
        )
        wanted.append((kept, [word for word in _words_of(known, pool) if word not in had]))
    return await _with_words(node, wanted, head)


async def _with_words(
    node: Node, wanted: Sequence[tuple[WithTicks, Sequence[int]]], head: Head
) -> list[WithTicks]:
    """Add to each pool the ticks of given words of its bitmap, as far as they are in `known`."""
    asked = [(pool, word) for pool, words in wanted for word in words]
    ticks = [
        (pool, tick)
        for (pool, word), bits in zip(asked, await _read_words(node, asked, head), strict=True)
        for bit in bits_of(bits)
        if pool.known[0] <= (tick := (word * WORD + bit) * pool.tick_spacing) <= pool.known[1]
    ]
    found: dict[PoolId, list[tuple[int, int, int]]] = {pool.id: [] for pool, _ in wanted}
    for (pool, tick), (net, gross) in zip(ticks, await _read_ticks(node, ticks, head), strict=True):
        if not gross:
            refuse(pool, "ticks", f"{tick} is in the bitmap, but not initialised")
        found[pool.id].append((tick, net, gross))
    return [_joined(pool, found[pool.id]) for pool, _ in wanted]


def _joined(pool: WithTicks, more: Sequence[tuple[int, int, int]]) -> WithTicks:
    """Add ticks, (tick, net, gross), to those that the pool has."""
    old = [(tick, net, gross) for (tick, net), gross in zip(pool.ticks, pool.gross, strict=True)]
    every = sorted((*old, *more))
    return msgspec.structs.replace(
        pool,
        ticks=tuple((tick, net) for tick, net, _ in every),
        gross=tuple(gross for _, _, gross in every),
    )


async def _read_words(node: Node, asked: Sequence[tuple[WithTicks, int]], head: Head) -> list[int]:
    """Read (pool, word of its bitmap) pairs."""
    slots = [
        (pool.manager, manager.word_of(pool.id, word))
        for pool, word in asked
        if isinstance(pool, ConcentratedV4)
    ]
    calls = [
        (pool.id, abi.call_with("tickBitmap(int16)", word))
        for pool, word in asked
        if isinstance(pool, Concentrated)
    ]
    told = iter(await manager.read_slots(node, slots, head=head))
    replies = iter(await aggregate(node, calls, block=head.hash))
    return [
        next(told)
        if isinstance(pool, ConcentratedV4)
        else expect(pool.id, "tickBitmap", next(replies), 1)[0]
        for pool, _ in asked
    ]


async def _read_ticks(
    node: Node, asked: Sequence[tuple[WithTicks, int]], head: Head
) -> list[tuple[int, int]]:
    """Read (net, gross) of (pool, tick) pairs."""
    slots = [
        (pool.manager, manager.tick_of(pool.id, tick))
        for pool, tick in asked
        if isinstance(pool, ConcentratedV4)
    ]
    calls = [
        (pool.id, abi.call_with("ticks(int24)", tick))
        for pool, tick in asked
        if isinstance(pool, Concentrated)
    ]
    told = iter(await manager.read_slots(node, slots, head=head))
    replies = iter(await aggregate(node, calls, block=head.hash))
    read = []
    for pool, _ in asked:
        if isinstance(pool, ConcentratedV4):
            read.append(manager.tick_liquidity(next(told)))
            continue
        # Pool.ticks: liquidityGross, liquidityNet, ...
        gross, net, *_ = expect(pool.id, "ticks", next(replies), _TICK_WORDS)
        read.append((abi.signed(net), gross))
    return read


def expect(pool: PoolId, field: str, answer: str | None, count: int) -> tuple[int, ...]:
    """Split an answer into just so many words.

    Raises:
        PoolError: there are more or fewer; names pool and field.
    """
    found = abi.words(answer)
    if len(found) != count:
        raise PoolError(
            f"pool {pool}: {field}: {len(found)} words instead of {count}; "
            "is it a pool of this kind, deployed at this block?"
        )
    return found


def _words_of(known: tuple[int, int], pool: WithTicks) -> range:
    low, high = (tick // pool.tick_spacing // WORD for tick in known)
    return range(low, high + 1)


def _whole_words_of(pool: WithTicks) -> range:
    """The words all of whose ticks are known: a file's `known` may begin and end within one."""
    words = _words_of(pool.known, pool)
    low = max(words[0] * WORD * pool.tick_spacing, MIN_TICK)
    high = min((words[-1] * WORD + WORD - 1) * pool.tick_spacing, MAX_TICK)
    return range(words[0] + (low < pool.known[0]), words[-1] + 1 - (high > pool.known[1]))


def bits_of(word: int) -> list[int]:
    """Name the bits of a bitmap's word that are set, lowest first."""
    return [bit for bit in range(WORD) if word >> bit & 1] if word else []
