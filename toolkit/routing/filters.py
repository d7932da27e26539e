"""Which pools routes may go through: lists of what is allowed or denied, and no dust."""

import heapq

import msgspec

from toolkit.model.chain import Address
from toolkit.model.checks import require_integer
from toolkit.model.market import PoolId
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.curves import Floats, pieces


class PoolFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What routes keep to. Everything is allowed by default.

    Attributes:
        only_pools, only_tokens: where given, nothing else; a pool needs both of its tokens there.
        without_pools, without_tokens: never these.
        minimum_depth_wei: of a pool, the least that can be bought from its poorer side, valued in
            the wrapped native token. Prices of pools with less are mirages: nothing is behind
            them. A pool whose tokens have no way to the native token has no depth.

    Raises:
        ConfigError: a depth that is no integer from 0 on.
    """

    only_pools: frozenset[PoolId] | None = None
    without_pools: frozenset[PoolId] = frozenset()
    only_tokens: frozenset[Address] | None = None
    without_tokens: frozenset[Address] = frozenset()
    minimum_depth_wei: int = 0

    def __post_init__(self) -> None:
        require_integer("filter.minimum_depth_wei", self.minimum_depth_wei, most=2**128 - 1)

    def allows(self, pool: Pool) -> bool:
        """Whether the lists allow a pool."""
        tokens = {pool.token0, pool.token1}
        return (
            (self.only_pools is None or pool.id in self.only_pools)
            and pool.id not in self.without_pools
            and (self.only_tokens is None or tokens <= self.only_tokens)
            and not tokens & self.without_tokens
        )

    def apply(self, snapshot: Snapshot, native: Address) -> Snapshot:
        """Return a snapshot with the pools that are allowed and deep enough.

        Whether a pool is deep is asked of all pools, also of those that are not allowed: what a
        token is worth does not depend on who may trade it.
        """
        kept = {name: pool for name, pool in snapshot.pools.items() if self.allows(pool)}
        if self.minimum_depth_wei:
            depth = depths(snapshot, native)
            kept = {
                name: pool
                for name, pool in kept.items()
                if depth.get(name, 0.0) >= self.minimum_depth_wei
            }
        if len(kept) == len(snapshot.pools):
            return snapshot
        return msgspec.structs.replace(snapshot, pools=kept)


def depths(snapshot: Snapshot, native: Address) -> dict[PoolId, float]:
    """Value what can be bought from the poorer side of each pool, in wei of the native token.

    A token is priced where the most stands behind its price: by the deepest pool to what is priced
    already, beginning with the native token. Pools that nothing leads to are left out.
    """
    sides: dict[PoolId, tuple[float, float]] = {}
    rates: dict[PoolId, tuple[float, float]] = {}  # before fees, of token0 and of token1 going in
    pools_of: dict[Address, list[Pool]] = {}
    for name, pool in sorted(snapshot.pools.items()):
        forward, backward = (pieces(pool, forward=way) for way in (True, False))
        if len(forward) and len(backward):
            sides[name] = _buyable(backward), _buyable(forward)
            rates[name] = _rate(forward), _rate(backward)
            for token in (pool.token0, pool.token1):
                pools_of.setdefault(token, []).append(pool)
    prices = {native: 1.0}
    waiting: list[tuple[float, PoolId, Address]] = []

    def reach(token: Address) -> None:
        for pool in pools_of.get(token, ()):
            other = pool.token1 if token == pool.token0 else pool.token0
            if other not in prices:
                behind = sides[pool.id][token != pool.token0] * prices[token]
                heapq.heappush(waiting, (-behind, pool.id, other))

    reach(native)
    while waiting:
        _, name, token = heapq.heappop(waiting)
        if token in prices:
            continue
        pool = snapshot.pools[name]
        other = pool.token1 if token == pool.token0 else pool.token0
        prices[token] = rates[name][token != pool.token0] * prices[other]
        reach(token)
    return {
        name: min(
            amount * prices[token]
            for amount, token in zip(amounts, (pool.token0, pool.token1), strict=True)
        )
        for name, amounts in sides.items()
        if (pool := snapshot.pools[name]).token0 in prices and pool.token1 in prices
    }


def _buyable(curve: Floats) -> float:
    """All that ever comes out of a curve: what stood before its last piece, and that piece's."""
    return float(curve[-1, 1] + curve[-1, 3])


def _rate(curve: Floats) -> float:
    return float(curve[0, 3] / curve[0, 2])
