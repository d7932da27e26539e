"""Constant product pools as arrays, and their quotes by the batch."""

import itertools
from collections.abc import Sequence
from math import gcd

import numpy as np

from toolkit.model.units import PPM
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.sharing import share_out
from toolkit.pools.words import Batch, Places, to_words

# Below this many queries a thread costs more than it saves.
_SHARE = 16_384


class Pairs:
    """Reserves and fees, a row a pool.

    Attributes:
        pairs: (n_pools, 6) uint64: two limbs of reserve0, two of reserve1, and the share of an
            input that is left after the fee, as a fraction in lowest terms, so that most
            denominators fit two limbs.
    """

    def __init__(self, pools: Sequence[ConstantProduct]) -> None:
        reserve0 = to_words([pool.reserve0 for pool in pools])
        reserve1 = to_words([pool.reserve1 for pool in pools])
        kept = np.array([_kept(pool.fee_ppm) for pool in pools], np.uint64).reshape(-1, 2)
        self.pairs = np.hstack([reserve0[:, :2], reserve1[:, :2], kept])

    def put(self, row: int, pool: ConstantProduct) -> None:
        """Replace a pool's state."""
        reserves = to_words([pool.reserve0, pool.reserve1])
        self.pairs[row] = (*reserves[:, :2].ravel(), *_kept(pool.fee_ppm))

    def quote(self, which: Places, batch: Batch, *, workers: int) -> None:
        """Answer the queries of a batch that `which` names."""
        from toolkit.pools.kernels import constant_product as kernels  # noqa: PLC0415

        if not kernels.COMPILED:
            return

        def work(part: Places) -> None:
            kernels.quote(
                part,
                batch.pools,
                batch.forward,
                batch.amounts,
                batch.limits,
                not batch.exact_out,
                batch.rows,
                self.pairs,
                batch.answers,
                batch.status,
            )

        shares = max(1, min(workers, len(which) // _SHARE))
        edges = [len(which) * share // shares for share in range(shares + 1)]
        share_out(work, [which[low:high] for low, high in itertools.pairwise(edges)])


def _kept(fee_ppm: int) -> tuple[int, int]:
    common = gcd(PPM - fee_ppm, PPM)
    return (PPM - fee_ppm) // common, PPM // common
