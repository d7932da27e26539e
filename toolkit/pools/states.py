"""One pool's state as its contract tells it, at one block hash."""

from collections.abc import Iterable, Sequence

import msgspec

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.model.chain import Address, Head
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId, PoolKind
from toolkit.pools import abi
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, PoolSpec
from toolkit.pools.tick_walk import WORD
from toolkit.pools.ticks import MAX_TICK, MIN_TICK

# Bitmap words read of one pool. Spacings of 7 and more have no more than this and are read
# whole; spacing 1 gets 1024 around the price, a factor of 490,000 in price each way.
MAX_WORDS = 1024
_SLOT0_WORDS = 7
_TICK_WORDS = 8
_RESERVE_WORDS = 3


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


async def read_states(node: Node, specs: Sequence[PoolSpec], *, head: Head) -> dict[PoolId, Pool]:
    """Read pools whole: constants checked against the specs, then bitmap words, then ticks.

    Raises:
        PoolError: a contract that does not answer as its spec says; names pool and field.
    """
    calls = [
        (spec.id, abi.SELECTORS[name])
        for spec in specs
        for name in abi.CONSTANTS[spec.kind] + abi.STATE[spec.kind]
    ]
    answers = iter(await aggregate(node, calls, block=head.hash))
    states: dict[PoolId, Pool] = {}
    for spec in specs:
        _check_constants(spec, [next(answers) for _ in abi.CONSTANTS[spec.kind]])
        states[spec.id] = build(spec, [next(answers) for _ in abi.STATE[spec.kind]])
    hollow = [pool for pool in states.values() if isinstance(pool, Concentrated)]
    return states | {pool.id: pool for pool in await with_ticks(node, hollow, head=head)}


def build(spec: PoolSpec, replies: Sequence[str | None]) -> Pool:
    """Build a pool from the answers to `abi.STATE`; a concentrated one gets no ticks.

    Raises:
        PoolError: an answer is missing or cannot be a pool's.
    """
    if spec.kind is PoolKind.CONSTANT_PRODUCT:
        reserve0, reserve1, _ = _expect(spec.id, "getReserves", replies[0], _RESERVE_WORDS)
        return ConstantProduct(
            id=spec.id,
            token0=spec.token0,
            token1=spec.token1,
            reserve0=reserve0,
            reserve1=reserve1,
            fee_ppm=spec.fee_ppm,
        )
    slot0 = _expect(spec.id, "slot0", replies[0], _SLOT0_WORDS)
    tick = abi.signed(slot0[1])
    return Concentrated(
        id=spec.id,
        token0=spec.token0,
        token1=spec.token1,
        fee_ppm=spec.fee_ppm,
        tick_spacing=spec.tick_spacing,
        sqrt_price_x96=slot0[0],
        tick=tick,
        liquidity=_expect(spec.id, "liquidity", replies[1], 1)[0],
        ticks=(),
        known=known_range(tick, spec.tick_spacing),
    )


async def with_ticks(
    node: Node, pools: Sequence[Concentrated], *, head: Head
) -> list[Concentrated]:
    """Fill in every initialised tick of each pool's known range: two batches for all pools."""
    hollow = [msgspec.structs.replace(pool, ticks=(), gross=()) for pool in pools]
    return await _with_words(node, [(pool, _words_of(pool.known, pool)) for pool in hollow], head)


async def with_windows(
    node: Node, pools: Sequence[Concentrated], *, head: Head
) -> list[Concentrated]:
    """Move each pool's known range to where its price is now, reading only what is new in it."""
    wanted = []
    for pool in pools:
        known = known_range(pool.tick, pool.tick_spacing)
        inside = [at for at, (tick, _) in enumerate(pool.ticks) if known[0] <= tick <= known[1]]
        kept = msgspec.structs.replace(
            pool,
            known=known,
            ticks=tuple(pool.ticks[at] for at in inside),
            gross=tuple(pool.gross[at] for at in inside) if pool.gross else (),
        )
        had = set(_words_of(pool.known, pool))
        wanted.append((kept, [word for word in _words_of(known, pool) if word not in had]))
    return await _with_words(node, wanted, head)


async def _with_words(
    node: Node, wanted: Sequence[tuple[Concentrated, Sequence[int]]], head: Head
) -> list[Concentrated]:
    """Add to each pool the ticks of the given words of its bitmap."""
    asked = [(pool, word) for pool, words in wanted for word in words]
    bitmaps = await aggregate(
        node,
        [(pool.id, abi.call_with("tickBitmap(int16)", word)) for pool, word in asked],
        block=head.hash,
    )
    ticks = [
        (pool.id, (word * WORD + bit) * pool.tick_spacing)
        for (pool, word), answer in zip(asked, bitmaps, strict=True)
        for bit in _bits(_expect(pool.id, "tickBitmap", answer, 1)[0])
    ]
    found: dict[Address, list[tuple[int, int, int]]] = {pool.id: [] for pool, _ in wanted}
    for owner, tick, net, gross in await _read_ticks(node, ticks, head=head):
        found[owner].append((tick, net, gross))
    return [_joined(pool, found[pool.id]) for pool, _ in wanted]


def _joined(pool: Concentrated, more: Sequence[tuple[int, int, int]]) -> Concentrated:
    """Add ticks, (tick, net, gross), to those that the pool has."""
    old = [(tick, net, gross) for (tick, net), gross in zip(pool.ticks, pool.gross, strict=True)]
    every = sorted((*old, *more))
    return msgspec.structs.replace(
        pool,
        ticks=tuple((tick, net) for tick, net, _ in every),
        gross=tuple(gross for _, _, gross in every),
    )


async def _read_ticks(
    node: Node, ticks: Iterable[tuple[Address, int]], *, head: Head
) -> list[tuple[Address, int, int, int]]:
    """Read (pool, tick) pairs whose bit is set: (pool, tick, net, gross)."""
    asked = list(ticks)
    answers = await aggregate(
        node, [(pool, abi.call_with("ticks(int24)", tick)) for pool, tick in asked], block=head.hash
    )
    read = []
    for (pool, tick), answer in zip(asked, answers, strict=True):
        # Pool.ticks: liquidityGross, liquidityNet, ...; gross is 0 exactly if not initialised.
        gross, net, *_ = _expect(pool, "ticks", answer, _TICK_WORDS)
        if not gross:
            raise PoolError(f"pool {pool}: ticks: {tick} is in the bitmap, but not initialised")
        read.append((pool, tick, abi.signed(net), gross))
    return read


def _words_of(known: tuple[int, int], pool: Concentrated) -> range:
    low, high = (tick // pool.tick_spacing // WORD for tick in known)
    return range(low, high + 1)


def _bits(word: int) -> list[int]:
    return [bit for bit in range(WORD) if word >> bit & 1] if word else []


def _check_constants(spec: PoolSpec, replies: Sequence[str | None]) -> None:
    wanted: tuple[tuple[str, str | int], ...] = (
        ("token0", spec.token0),
        ("token1", spec.token1),
        ("fee_ppm", spec.fee_ppm),
        ("tick_spacing", spec.tick_spacing),
    )
    for (field, want), reply in zip(wanted, replies, strict=False):
        word = _expect(spec.id, field, reply, 1)[0]
        actual = abi.to_address(word) if isinstance(want, str) else abi.signed(word)
        if actual != want:
            raise PoolError(f"pool {spec.id}: {field}: the contract says {actual}, the spec {want}")


def _expect(pool: Address, field: str, answer: str | None, count: int) -> tuple[int, ...]:
    found = abi.words(answer)
    if len(found) != count:
        raise PoolError(
            f"pool {pool}: {field}: {len(found)} words instead of {count}; "
            "is it a pool of this kind, deployed at this block?"
        )
    return found
