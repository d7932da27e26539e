"""Constant product pools as arrays, and their quotes by the batch."""

import itertools
from collections.abc import Sequence
from math import gcd

import numpy as np

from toolkit.model.units import PPM
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.kernels.status import Status
from toolkit.pools.sharing import share_out
from toolkit.pools.words import Codes, Flags, Places, Words, to_words

# Below this many queries a thread costs more than it saves.
_SHARE = 16_384


class Pairs:
    """Reserves and fees, a row a pool.

    Attributes:
        reserves: (n_pools, 4) uint64: two limbs of reserve0, two of reserve1.
        fees: (n_pools, 2) uint64: the share of an input that is left after the fee, as a fraction
            in lowest terms, so that most denominators fit two limbs.
    """

    def __init__(self, pools: Sequence[ConstantProduct]) -> None:
        reserve0 = to_words([pool.reserve0 for pool in pools])
        reserve1 = to_words([pool.reserve1 for pool in pools])
        self.reserves = np.hstack([reserve0[:, :2], reserve1[:, :2]])
        self.fees = np.array([_kept(pool.fee_ppm) for pool in pools], np.uint64).reshape(-1, 2)

    def put(self, row: int, pool: ConstantProduct) -> None:
        """Replace a pool's state."""
        reserves = to_words([pool.reserve0, pool.reserve1])
        self.reserves[row] = reserves[:, :2].ravel()
        self.fees[row] = _kept(pool.fee_ppm)

    def quote(
        self,
        rows: Places,
        forward: Flags,
        amounts: Words,
        limits: Words | None,
        *,
        exact_out: bool,
        workers: int,
    ) -> tuple[Words, Words, Codes]:
        """Return (answers, what was filled of `amounts`, status), in the order of `rows`."""
        from toolkit.pools.kernels import constant_product as kernels  # noqa: PLC0415

        answers = np.zeros((len(rows), 4), np.uint64)
        status = np.full(len(rows), Status.ASK, np.int8)
        if not kernels.COMPILED:
            return answers, amounts.copy(), status
        kernel = kernels.quote_out if exact_out else kernels.quote_in

        def work(part: slice) -> None:
            kernel(
                rows[part],
                forward[part],
                amounts[part],
                self.reserves,
                self.fees,
                answers[part],
                status[part],
            )

        shares = max(1, min(workers, len(rows) // _SHARE))
        edges = [len(rows) * share // shares for share in range(shares + 1)]
        parts = [slice(low, high) for low, high in itertools.pairwise(edges)]
        share_out(work, parts)
        if limits is not None:
            limited = limits.any(axis=1)
            status[limited], answers[limited] = Status.HAS_NO_LIMIT, 0
        return answers, amounts, status


def _kept(fee_ppm: int) -> tuple[int, int]:
    common = gcd(PPM - fee_ppm, PPM)
    return (PPM - fee_ppm) // common, PPM // common
