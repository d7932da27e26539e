"""All pool states at one block hash, immutable."""

from collections.abc import Sequence

import msgspec

from toolkit.model.chain import Address, Head
from toolkit.model.errors import PoolError
from toolkit.model.market import Hop, PoolKind, Token
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct

Pool = ConstantProduct | Concentrated


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes about a pool; `tick_spacing` is 0 where the kind has none."""

    id: Address
    kind: PoolKind
    token0: Address
    token1: Address
    fee_ppm: int = 3000
    tick_spacing: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Pools and their tokens as of `block`. A changed pool makes a new snapshot."""

    block: Head
    tokens: dict[Address, Token]
    pools: dict[Address, Pool]

    def pool(self, pool: Address) -> Pool:
        """Return a pool's state.

        Raises:
            PoolError: the pool is not in this snapshot.
        """
        found = self.pools.get(pool)
        if found is None:
            raise PoolError(
                f"pool {pool}: id: not among the {len(self.pools)} pools of block "
                f"{self.block.number}"
            )
        return found

    def quote_in(self, pool: Address, token_in: Address, amount_in: int) -> int:
        """Return a pool's exact output for an exact input, in smallest units.

        Raises:
            PoolError: unknown pool or token, or an amount its contract would revert on.
        """
        return self.pool(pool).quote_in(token_in, amount_in)

    def quote_out(self, pool: Address, token_out: Address, amount_out: int) -> int:
        """Return a pool's exact input for an exact output; errors as `quote_in`."""
        return self.pool(pool).quote_out(token_out, amount_out)

    def mid_price(self, pool: Address, token_in: Address) -> float:
        """Marginal price before fees, raw units out per raw unit in; for scores and signals only.

        Raises:
            PoolError: unknown pool or token, or no liquidity.
        """
        return self.pool(pool).mid_price(token_in)

    def gives(self, hops: Sequence[Hop]) -> bool:
        """Tell whether these hops, each in a pool of its own, give exactly what they say.

        False says only that they have to be looked at one after the other: two of them may go
        through one pool. Most routes are answered without making any pool as it is afterwards.
        """
        try:
            exact = [
                hop.amount_out > 0
                and (hop.amount_in, hop.amount_out)
                == self.pool(hop.pool).fill_in(hop.token_in, hop.amount_in)
                for hop in hops
            ]
        except PoolError:
            return False
        return all(exact) and len({hop.pool for hop in hops}) == len(hops)

    def with_pool(self, pool: Pool) -> "Snapshot":
        """Return this snapshot with one pool's state replaced: a hypothesis, not a block."""
        self.pool(pool.id)
        return msgspec.structs.replace(self, pools={**self.pools, pool.id: pool})

    def changed(self, since: "Snapshot") -> tuple[Pool, ...]:
        """Return the pools whose state differs from `since`, or which it lacks, by address."""
        return tuple(
            pool for address, pool in sorted(self.pools.items()) if since.pools.get(address) != pool
        )


def mid_price(pool: Pool, token_in: Address) -> float:
    """Marginal price before fees, raw units out per raw unit in; for scores and signals only.

    Raises:
        PoolError: the pool has no such token or no liquidity.
    """
    return pool.mid_price(token_in)
