"""How each family of pools is written in a pools file: one row of `FORMATS`.

Amounts, prices and liquidity are decimal strings, fees and ticks integers. Tokens may come in any
order, and what is a token's goes with it; whatever else has a direction is the contract's, whose
token0 is the lower address.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolkit.model.market import PoolKind
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.pools.fields import Fields
from toolkit.pools.snapshot import Pool
from toolkit.pools.ticks import MAX_TICK, MIN_TICK

_V3 = "v3"


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


def _read_concentrated(fields: Fields) -> Pool:
    variant = fields.text("variant") if fields.has("variant") else _V3
    if variant != _V3:
        fields.refuse("variant", f"unknown: {variant} (known: {_V3})")
    pool = fields.address("id")
    token0, token1 = sorted(fields.addresses("tokens", count=2))
    return Concentrated(
        id=pool,
        token0=token0,
        token1=token1,
        fee_ppm=fields.integer("fee_ppm"),
        tick_spacing=fields.integer("tick_spacing"),
        sqrt_price_x96=fields.integer("sqrt_price_x96"),
        tick=fields.integer("tick"),
        liquidity=fields.integer("liquidity"),
        ticks=fields.pairs("ticks"),
        known=_known(fields),
    )


def _write_concentrated(pool: Pool) -> dict[str, object]:
    assert isinstance(pool, Concentrated)
    written: dict[str, object] = {
        "tokens": [pool.token0, pool.token1],
        "fee_ppm": pool.fee_ppm,
        "tick_spacing": pool.tick_spacing,
        "sqrt_price_x96": str(pool.sqrt_price_x96),
        "tick": pool.tick,
        "liquidity": str(pool.liquidity),
        "ticks": [[tick, str(net)] for tick, net in pool.ticks],
    }
    return written if pool.known == (MIN_TICK, MAX_TICK) else {**written, "known": [*pool.known]}


def _known(fields: Fields) -> tuple[int, int]:
    """Where the ticks are those of a part of the curve: without it, quotes would run beyond."""
    if not fields.has("known"):
        return MIN_TICK, MAX_TICK
    low, high = fields.integers("known", count=2)
    return low, high


FORMATS: Mapping[str, Format] = {
    PoolKind.CONSTANT_PRODUCT.value: Format(
        read=_read_constant_product, write=_write_constant_product
    ),
    PoolKind.CONCENTRATED.value: Format(read=_read_concentrated, write=_write_concentrated),
}
