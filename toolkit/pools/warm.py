"""Exact kernels by family: made ready ahead of their first quote."""

import numpy as np

from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Head
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.packed import Packed
from toolkit.pools.snapshot import Pool, Snapshot

_OTHER = Address("0x" + "f" * 40)
_POOLS: dict[str, Pool] = {
    "constant_product": ConstantProduct(
        id=ZERO_ADDRESS, token0=ZERO_ADDRESS, token1=_OTHER, reserve0=10**6, reserve1=10**6
    ),
    "concentrated": Concentrated(
        id=ZERO_ADDRESS,
        token0=ZERO_ADDRESS,
        token1=_OTHER,
        fee_ppm=3000,
        tick_spacing=60,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=10**6,
        ticks=((-60, 10**6), (60, -(10**6))),
    ),
}
FAMILIES = tuple(_POOLS)
"""What can be made ready; V4 shares the kernels of concentrated pools."""


def warm_up(family: str) -> None:
    """Compile a family's kernels, or load them from the cache, by a quote each way."""
    pool = _POOLS[family]
    head = Head(
        number=0,
        hash=ZERO_HASH,
        parent_hash=ZERO_HASH,
        timestamp=0,
        base_fee_per_gas=0,
        gas_limit=0,
        gas_used=0,
    )
    packed = Packed.of(Snapshot(block=head, tokens={}, pools={pool.id: pool}))
    for quote in (packed.quote_in, packed.quote_out):
        answer = quote(np.zeros(1, np.int64), np.array([True]), [1000])
        assert not answer.refused
