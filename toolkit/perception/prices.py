"""Prices read from pools: the exact state of one pool, never an average of unknown ones."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Protocol

import msgspec

from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError, PoolError
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot

RECORDED_QUALITY = 0.5
"""Quality of prices that were given to us instead of read from a block."""


class PriceSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where the price of one whole `base` in whole `quote` is read."""

    key: str  # e.g. "price/WETH-USDC"
    pool: Address
    base: Address
    quote: Address
    max_age_blocks: int = 1


class PricePoint(Protocol):
    """A price somebody recorded: seconds since 1970 and whole quote per whole base."""

    @property
    def timestamp(self) -> int:
        """When it was seen."""
        ...

    @property
    def price(self) -> float:
        """The price."""
        ...


def price_of(snapshot: Snapshot, source: PriceSource) -> float:
    """Return the pool's marginal price in whole quote per whole base, before fees.

    Computed exactly and rounded once, so every machine reads the same float.

    Raises:
        ConfigError: a token of the source is unknown.
        PoolError: the pool is unknown, has no such token or no liquidity.
    """
    try:
        base, quote = snapshot.tokens[source.base], snapshot.tokens[source.quote]
    except KeyError as error:
        raise ConfigError(f"{source.key}: token {error} is not in this market") from None
    pool = snapshot.pool(source.pool)
    ratio = _other_per(pool, source.base) * Fraction(10) ** (base.decimals - quote.decimals)
    return float(ratio)


def _other_per(pool: Pool, token: Address) -> Fraction:
    """Return the other token's units per unit of `token` at the margin, exactly."""
    pool.mid_price(token)  # refuses a foreign token and a pool without liquidity
    if isinstance(pool, ConstantProduct):
        one_per_zero = Fraction(pool.reserve1, pool.reserve0)
    else:
        one_per_zero = Fraction(pool.sqrt_price_x96**2, 2**192)
    return one_per_zero if token == pool.token0 else 1 / one_per_zero


def price_readings(snapshot: Snapshot, sources: Iterable[PriceSource]) -> tuple[Reading, ...]:
    """Read every price that has one; a pool without liquidity gives none, so its key grows old."""
    head = snapshot.block
    found: list[Reading] = []
    for source in sources:
        try:
            price = price_of(snapshot, source)
        except PoolError:
            continue  # safe because a missing reading is vetoed as stale, never guessed
        found.append(_reading(source, price, number=head.number, head=head))
    return tuple(found)


def seeded(
    source: PriceSource, points: Sequence[PricePoint], *, before: Head
) -> tuple[Reading, ...]:
    """Turn recorded prices into readings of the blocks before `before`, one sample a block.

    They carry no block hash, because no chain of ours saw them, and a lower quality.
    """
    first = before.number - len(points)
    return tuple(
        Reading(
            key=source.key,
            value=point.price,
            source=source.pool,
            block_number=first + index,
            block_hash=ZERO_HASH,
            observed_at=point.timestamp,
            max_age_blocks=source.max_age_blocks,
            quality=RECORDED_QUALITY,
        )
        for index, point in enumerate(points)
    )


def _reading(source: PriceSource, price: float, *, number: int, head: Head) -> Reading:
    return Reading(
        key=source.key,
        value=price,
        source=source.pool,
        block_number=number,
        block_hash=head.hash,
        observed_at=head.timestamp,
        max_age_blocks=source.max_age_blocks,
    )
