"""Pool states as their contracts tell them, at one block hash."""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from toolkit.chain.multicall import aggregate
from toolkit.chain.node import Node
from toolkit.model.chain import Hash, Head
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolId, PoolKind, has_contract
from toolkit.pools import abi, manager
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.misfits import SOLIDLY
from toolkit.pools.snapshot import Pool, PoolSpec, WithTicks
from toolkit.pools.tick_walk import refuse
from toolkit.pools.windows import expect, known_range, with_ticks

_SLOT0_WORDS = 7
_RESERVE_WORDS = 3


def spec_of(pool: Pool) -> PoolSpec:
    """Return what never changes about a pool; a dynamic fee is the one in force."""
    spec = PoolSpec(
        id=pool.id,
        kind=pool.kind,
        token0=pool.token0,
        token1=pool.token1,
        fee_ppm=pool.fee_ppm,
        tick_spacing=pool.tick_spacing if isinstance(pool, WithTicks) else 0,
    )
    if not isinstance(pool, ConcentratedV4):
        return spec
    return msgspec.structs.replace(
        spec, hooks=pool.hooks, dynamic_fee=pool.dynamic_fee, manager=pool.manager
    )


async def read_states(node: Node, specs: Sequence[PoolSpec], *, head: Head) -> dict[PoolId, Pool]:
    """Read pools whole: constants checked against the specs, then bitmap words, then ticks.

    Three batches for all pools, and as many for those of V4's PoolManagers.

    Raises:
        PoolError: a contract that does not answer as its spec says; names pool and field.
    """
    bare = await read_bare(node, specs, head=head)
    hollow = [pool for pool in bare.values() if isinstance(pool, WithTicks)]
    return bare | {pool.id: pool for pool in await with_ticks(node, hollow, head=head)}


async def read_bare(node: Node, specs: Sequence[PoolSpec], *, head: Head) -> dict[PoolId, Pool]:
    """Read pools without their ticks: one batch, and one for V4's.

    Raises:
        PoolError: as `read_states`.
    """
    calls = [
        (spec.id, abi.SELECTORS[name])
        for spec in specs
        if has_contract(spec.id)
        for name in (*abi.CONSTANTS[spec.kind], *abi.STATE[spec.kind], *_foreign(spec))
    ]
    slots = [
        (spec.manager, place(Hash(spec.id)))
        for spec in specs
        if not has_contract(spec.id)
        for place in (manager.slot0_of, manager.liquidity_of)
    ]
    answers = iter(await aggregate(node, calls, block=head.hash))
    told = iter(await manager.read_slots(node, slots, head=head))
    states: dict[PoolId, Pool] = {}
    for spec in specs:
        if not has_contract(spec.id):
            states[spec.id] = build_v4(spec, next(told), next(told))
            continue
        _check_constants(spec, [next(answers) for _ in abi.CONSTANTS[spec.kind]])
        states[spec.id] = _build(spec, [next(answers) for _ in abi.STATE[spec.kind]])
        for name in _foreign(spec):
            if abi.words(next(answers)):
                raise PoolError(f"pool {spec.id}: kind: it answers {name}, {SOLIDLY}")
    return states


def _foreign(spec: PoolSpec) -> tuple[str, ...]:
    """What is asked of a pool only to see that it is no other kind's."""
    name = abi.FOREIGN.get(spec.kind)
    return () if name is None else (name,)


def _build(spec: PoolSpec, replies: Sequence[str | None]) -> Pool:
    """Build a pool of its own contract from the answers to `abi.STATE`, without ticks."""
    assert has_contract(spec.id)
    if spec.kind is PoolKind.CONSTANT_PRODUCT:
        reserve0, reserve1, _ = expect(spec.id, "getReserves", replies[0], _RESERVE_WORDS)
        return ConstantProduct(
            id=spec.id,
            token0=spec.token0,
            token1=spec.token1,
            reserve0=reserve0,
            reserve1=reserve1,
            fee_ppm=spec.fee_ppm,
        )
    if spec.kind is not PoolKind.CONCENTRATED:
        assert_never(spec.kind)
    slot0 = expect(spec.id, "slot0", replies[0], _SLOT0_WORDS)
    tick = abi.signed(slot0[1])
    return Concentrated(
        id=spec.id,
        token0=spec.token0,
        token1=spec.token1,
        fee_ppm=spec.fee_ppm,
        tick_spacing=spec.tick_spacing,
        sqrt_price_x96=slot0[0],
        tick=tick,
        liquidity=expect(spec.id, "liquidity", replies[1], 1)[0],
        ticks=(),
        known=known_range(tick, spec.tick_spacing),
    )


def build_v4(spec: PoolSpec, first: int, liquidity: int) -> ConcentratedV4:
    """Build a pool from its words in the PoolManager, without ticks; its id binds its spec."""
    state = manager.slot0(first)
    pool = ConcentratedV4(
        id=Hash(spec.id),
        token0=spec.token0,
        token1=spec.token1,
        fee_ppm=state.lp_fee_ppm if spec.dynamic_fee else spec.fee_ppm,
        tick_spacing=spec.tick_spacing,
        sqrt_price_x96=state.sqrt_price_x96,
        tick=state.tick,
        liquidity=liquidity,
        ticks=(),
        known=known_range(state.tick, spec.tick_spacing),
        hooks=spec.hooks,
        protocol_fee_ppm=state.protocol_fee_ppm,
        dynamic_fee=spec.dynamic_fee,
        manager=spec.manager,
    )
    pool.check_id()
    if state.sqrt_price_x96 and state.lp_fee_ppm != pool.fee_ppm:
        refuse(pool, "fee_ppm", f"the contract says {state.lp_fee_ppm}, the spec {spec.fee_ppm}")
    return pool


def _check_constants(spec: PoolSpec, replies: Sequence[str | None]) -> None:
    wanted: tuple[tuple[str, str | int], ...] = (
        ("token0", spec.token0),
        ("token1", spec.token1),
        ("fee_ppm", spec.fee_ppm),
        ("tick_spacing", spec.tick_spacing),
    )
    for (field, want), reply in zip(wanted, replies, strict=False):
        word = expect(spec.id, field, reply, 1)[0]
        actual = abi.to_address(word) if isinstance(want, str) else abi.signed(word)
        if actual != want:
            raise PoolError(f"pool {spec.id}: {field}: the contract says {actual}, the spec {want}")
