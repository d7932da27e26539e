"""How each family of pools is written in a pools file: one row of `FORMATS`.

Amounts, prices and liquidity are decimal strings, fees and ticks integers. Tokens may come in any
order, and what is a token's goes with it; whatever else has a direction is the contract's, whose
token0 is the lower address.

Beyond the published format a concentrated pool may have `known` (the ticks within which it is
known whole; without it quotes would run on beyond them), `gross` (what keeps each tick alive, for
following events) and, of V4, `dynamic_fee` and `manager` (another chain's PoolManager). Each is
left out where it says nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.market import PoolKind
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import POOL_MANAGER, ConcentratedV4
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.pools.fields import Fields
from toolkit.pools.snapshot import Pool
from toolkit.pools.ticks import MAX_TICK, MIN_TICK

_V3, _V4 = "v3", "v4"
_WHOLE = (MIN_TICK, MAX_TICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One family's fields beside those of every pool (`id`, `kind`, `gas`, `flash`).

    Attributes:
        read: makes a pool of its fields, taking `id` and each other that it knows.
        write: the fields of a pool, in the order they are written.
    """

    read: Callable[[Fields], Pool]
    write: Callable[[Pool], dict[str, object]]


def _read_constant_product(fields: Fields) -> Pool:
    pool = fields.address("id")
    tokens = fields.addresses("tokens", count=2)
    reserves = fields.integers("reserves", count=2)
    for place, reserve in enumerate(reserves):
        if not 0 <= reserve <= MAX_RESERVE:
            fields.refuse(f"reserves[{place}]", f"{reserve} does not fit uint112")
    (token0, reserve0), (token1, reserve1) = sorted(zip(tokens, reserves, strict=True))
    return ConstantProduct(
        id=pool,
        token0=token0,
        token1=token1,
        reserve0=reserve0,
        reserve1=reserve1,
        fee_ppm=fields.integer("fee_ppm"),
    )


def _write_constant_product(pool: Pool) -> dict[str, object]:
    assert isinstance(pool, ConstantProduct)
    return {
        "tokens": [pool.token0, pool.token1],
        "reserves": [str(pool.reserve0), str(pool.reserve1)],
        "fee_ppm": pool.fee_ppm,
    }


class _Curve(TypedDict):
    """What V3 and V4 write alike."""

    token0: Address
    token1: Address
    fee_ppm: int
    tick_spacing: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    ticks: tuple[tuple[int, int], ...]
    known: tuple[int, int]
    gross: tuple[int, ...]


def _read_concentrated(fields: Fields) -> Pool:
    variant = fields.text("variant") if fields.has("variant") else _V3
    if variant == _V3:
        return Concentrated(id=fields.address("id"), **_read_curve(fields))
    if variant != _V4:
        fields.refuse("variant", f"unknown variant: {variant} (known: {_V3}, {_V4})")
    return ConcentratedV4(
        id=fields.hash("id"),
        **_read_curve(fields),
        hooks=fields.address("hooks") if fields.has("hooks") else ZERO_ADDRESS,
        protocol_fee_ppm=_pair(fields, "protocol_fee_ppm", otherwise=(0, 0)),
        dynamic_fee=fields.has("dynamic_fee") and fields.flag("dynamic_fee"),
        manager=fields.address("manager") if fields.has("manager") else POOL_MANAGER,
    )


def _read_curve(fields: Fields) -> _Curve:
    token0, token1 = sorted(fields.addresses("tokens", count=2))
    return _Curve(
        token0=token0,
        token1=token1,
        fee_ppm=fields.integer("fee_ppm"),
        tick_spacing=fields.integer("tick_spacing"),
        sqrt_price_x96=fields.integer("sqrt_price_x96"),
        tick=fields.integer("tick"),
        liquidity=fields.integer("liquidity"),
        ticks=fields.pairs("ticks"),
        known=_pair(fields, "known", otherwise=_WHOLE),
        gross=fields.integers("gross") if fields.has("gross") else (),
    )


def _write_concentrated(pool: Pool) -> dict[str, object]:
    assert isinstance(pool, Concentrated | ConcentratedV4)
    written: dict[str, object] = {} if isinstance(pool, Concentrated) else {"variant": _V4}
    written |= {
        "tokens": [pool.token0, pool.token1],
        "fee_ppm": pool.fee_ppm,
        "tick_spacing": pool.tick_spacing,
        "sqrt_price_x96": str(pool.sqrt_price_x96),
        "tick": pool.tick,
        "liquidity": str(pool.liquidity),
        "ticks": [[tick, str(net)] for tick, net in pool.ticks],
    }
    if pool.known != _WHOLE:
        written["known"] = pool.known
    if pool.gross:
        written["gross"] = [str(liquidity) for liquidity in pool.gross]
    if isinstance(pool, ConcentratedV4):
        if pool.hooks != ZERO_ADDRESS:
            written["hooks"] = pool.hooks
        if pool.protocol_fee_ppm != (0, 0):
            written["protocol_fee_ppm"] = pool.protocol_fee_ppm
        if pool.dynamic_fee:
            written["dynamic_fee"] = True
        if pool.manager != POOL_MANAGER:
            written["manager"] = pool.manager
    return written


def _pair(fields: Fields, name: str, *, otherwise: tuple[int, int]) -> tuple[int, int]:
    if not fields.has(name):
        return otherwise
    first, second = fields.integers(name, count=2)
    return first, second


FORMATS: Mapping[str, Format] = {
    PoolKind.CONSTANT_PRODUCT.value: Format(
        read=_read_constant_product, write=_write_constant_product
    ),
    PoolKind.CONCENTRATED.value: Format(read=_read_concentrated, write=_write_concentrated),
}
