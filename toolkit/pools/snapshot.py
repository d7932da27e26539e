"""All pool states at one block hash, immutable."""

from collections.abc import Sequence

import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address, Head
from toolkit.model.errors import PoolError
from toolkit.model.market import Hop, PoolId, PoolKind, Token
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import POOL_MANAGER, ConcentratedV4
from toolkit.pools.constant_product import ConstantProduct

WithTicks = Concentrated | ConcentratedV4
"""Families whose liquidity is in ranges, and whose swaps may stop at a price."""
Pool = ConstantProduct | WithTicks

_COUNTING = (ConstantProduct,)  # that go by what arrived, whatever was sent


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes about a pool; `tick_spacing` is 0 where the kind has none.

    An id of 32 bytes is that of a V4 pool in `manager`; only those have `hooks`, and
    with a `dynamic_fee` their `fee_ppm` is not looked at.
    """

    id: PoolId
    kind: PoolKind
    token0: Address
    token1: Address
    fee_ppm: int = 3000
    tick_spacing: int = 0
    hooks: Address = ZERO_ADDRESS
    dynamic_fee: bool = False
    manager: Address = POOL_MANAGER


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A pool whose state cannot be told since a block, and why; nothing is quoted from it.

    `lasting` is what no reading mends: the pool is not what its spec says.
    """

    spec: PoolSpec
    why: str
    block_number: int
    lasting: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Pools and their tokens as of `block`. A changed pool makes a new snapshot.

    Those `aside` were followed until something was wrong with them: no state of theirs is here.
    """

    block: Head
    tokens: dict[Address, Token]
    pools: dict[PoolId, Pool]
    aside: dict[PoolId, SetAside] = {}

    def pool(self, pool: PoolId) -> Pool:
        """Return a pool's state.

        Raises:
            PoolError: the pool is not in this snapshot, or set aside, with the reason.
        """
        found = self.pools.get(pool)
        if found is None:
            if (aside := self.aside.get(pool)) is not None:
                raise PoolError(f"{aside.why} (set aside since block {aside.block_number})")
            raise PoolError(
                f"pool {pool}: id: not among the {len(self.pools)} pools of block "
                f"{self.block.number}"
            )
        return found

    def quote_in(
        self, pool: PoolId, token_in: Address, amount_in: int, *, sqrt_price_limit_x96: int = 0
    ) -> int:
        """Return what a trader gets for exactly `amount_in` sent to a pool, in smallest units.

        Where a token keeps a part of transfers, less arrives at the pool than is sent, and less
        at the trader than the pool gives. Where a price limit (0: none) is met, or the liquidity
        ends, a concentrated pool takes less than `amount_in`, and this is still its answer.

        Raises:
            PoolError: unknown pool or token, an amount its contract would revert on, a limit
                where there is none, or a token whose transfers arrive short at a pool that
                insists on its whole input.
        """
        state = self.pool(pool)
        coin_in, coin_out = self._coins(state, token_in)
        if coin_in is not None:
            amount_in = coin_in.arriving_up(amount_in)
        given = _quote_in(state, token_in, amount_in, sqrt_price_limit_x96)
        if coin_in is not None:
            _require_whole_input(state, coin_in)
        return given if coin_out is None else coin_out.arriving_up(given)

    def quote_out(
        self, pool: PoolId, token_out: Address, amount_out: int, *, sqrt_price_limit_x96: int = 0
    ) -> int:
        """Return what a trader sends to a pool to get `amount_out`, in smallest units.

        It is the contract's own answer (V2's `getAmountIn` may ask one unit too much). Where a
        token keeps a part of transfers no contract answers, and this is the least input of which
        at least `amount_out` arrives. Errors as `quote_in`.
        """
        state = self.pool(pool)
        coin_out, coin_in = self._coins(state, token_out)
        if amount_out > 0 and coin_out is not None:
            amount_out = coin_out.sending_up(amount_out)
        taken = _quote_out(state, token_out, amount_out, sqrt_price_limit_x96)
        if coin_in is not None:
            _require_whole_input(state, coin_in)
        if isinstance(state, _COUNTING) and (coin_in is not None or coin_out is not None):
            token_in = _other(state, token_out)
            if taken > 1 and state.quote_in(token_in, taken - 1) >= amount_out:
                taken -= 1  # the library always adds one
        return taken if coin_in is None else coin_in.sending_up(taken)

    def mid_price(self, pool: PoolId, token_in: Address) -> float:
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

    def without_transfer_fees(self) -> "Snapshot":
        """Return this snapshot less the pools of tokens that keep a part of transfers."""
        taxed = {token for token, of in self.tokens.items() if of.transfer_fee_ppm}
        if not taxed:
            return self
        pools = {
            address: pool
            for address, pool in self.pools.items()
            if pool.token0 not in taxed and pool.token1 not in taxed
        }
        return msgspec.structs.replace(self, pools=pools)

    def changed(self, since: "Snapshot") -> tuple[Pool, ...]:
        """Return the pools whose state differs from `since`, or which it lacks, by address."""
        return tuple(
            pool for address, pool in sorted(self.pools.items()) if since.pools.get(address) != pool
        )

    def _coins(self, pool: Pool, token: Address) -> tuple[Token | None, Token | None]:
        """Return `token` and the pool's other one, each only if it keeps a part of transfers."""
        known = self.tokens
        this, other = known.get(token), known.get(_other(pool, token))
        return (
            this if this is not None and this.transfer_fee_ppm else None,
            other if other is not None and other.transfer_fee_ppm else None,
        )


def hop_through(pool: Pool, token_in: Address, amount_in: int, amount_out: int) -> Hop:
    """Return the swap of `amount_in` of one of a pool's tokens for `amount_out` of the other."""
    return Hop(
        pool=pool.id,
        kind=pool.kind,
        token_in=token_in,
        token_out=_other(pool, token_in),
        amount_in=amount_in,
        amount_out=amount_out,
        fee_ppm=pool.fee_ppm,
        key=pool.key if isinstance(pool, ConcentratedV4) else None,
    )


def mid_price(pool: Pool, token_in: Address) -> float:
    """Marginal price before fees, raw units out per raw unit in; for scores and signals only.

    Raises:
        PoolError: the pool has no such token or no liquidity.
    """
    return pool.mid_price(token_in)


def _other(pool: Pool, token: Address) -> Address:
    return pool.token1 if token == pool.token0 else pool.token0


def _quote_in(pool: Pool, token_in: Address, amount_in: int, limit: int) -> int:
    if not limit:
        return pool.quote_in(token_in, amount_in)
    if isinstance(pool, WithTicks):
        return pool.quote_in(token_in, amount_in, sqrt_price_limit_x96=limit)
    raise _no_limit(pool, limit)


def _quote_out(pool: Pool, token_out: Address, amount_out: int, limit: int) -> int:
    if not limit:
        return pool.quote_out(token_out, amount_out)
    if isinstance(pool, WithTicks):
        return pool.quote_out(token_out, amount_out, sqrt_price_limit_x96=limit)
    raise _no_limit(pool, limit)


def _no_limit(pool: Pool, limit: int) -> PoolError:
    return PoolError(
        f"pool {pool.id}: sqrt_price_limit_x96: {limit} given, but a {pool.kind.value} pool has "
        "no price limit; ask without one"
    )


def _require_whole_input(pool: Pool, token: Token) -> None:
    """Refuse what the contract reverts on because less than the whole input arrives.

    A V3 pool compares its balance with what it asked for (IIA), V4's manager what was settled with
    what is owed. A payer of its own could send more; the routers pay exactly what is asked.
    """
    if not isinstance(pool, _COUNTING):
        check = "CurrencyNotSettled" if isinstance(pool, ConcentratedV4) else "IIA"
        raise PoolError(
            f"pool {pool.id}: token_in: {token.address} ({token.symbol}) keeps "
            f"{token.transfer_fee_ppm} ppm of each transfer, so less arrives than the contract "
            f"insists on ({check}); only its output may be such a token"
        )
