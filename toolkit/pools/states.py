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
    asked = [(pool, word) for pool in pools for word in _words_of(pool)]
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
    nets = await read_nets(node, ticks, head=head)
    return [
        msgspec.structs.replace(
            pool,
            ticks=tuple(
                (tick, net)
                for (owner, tick), net in nets.items()
                if owner == pool.id and net is not None
            ),
        )
        for pool in pools
    ]


async def read_nets(
    node: Node, ticks: Iterable[tuple[Address, int]], *, head: Head
) -> dict[tuple[Address, int], int | None]:
    """Read the net liquidity of (pool, tick) pairs; None where the tick is not initialised."""
    asked = list(ticks)
    answers = await aggregate(
        node, [(pool, abi.call_with("ticks(int24)", tick)) for pool, tick in asked], block=head.hash
    )
    nets: dict[tuple[Address, int], int | None] = {}
    for (pool, tick), answer in zip(asked, answers, strict=True):
        # Pool.ticks: liquidityGross, liquidityNet, ...; gross is 0 exactly if not initialised.
        gross, net, *_ = _expect(pool, "ticks", answer, _TICK_WORDS)
        nets[pool, tick] = abi.signed(net) if gross else None
    return nets


def _words_of(pool: Concentrated) -> range:
    low, high = pool.known
    return range(low // pool.tick_spacing // WORD, high // pool.tick_spacing // WORD + 1)


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
