"""What a trader asks of a pool with ticks, and gets: alike for Uniswap V3 and V4.

Which amounts and limits a contract takes, and its fee, are each family's own (`walked`).
"""

from typing import Generic, Protocol, TypeVar

import msgspec

from toolkit.model.chain import Address
from toolkit.pools.pair import is_zero_for_one
from toolkit.pools.tick_walk import Ticked, Walked, moved, refuse


class Swapping(Ticked, Protocol):
    """A pool of two tokens that a swap walks over."""

    @property
    def token0(self) -> Address:
        """The token with the lower address."""
        ...

    @property
    def token1(self) -> Address:
        """The other one."""
        ...

    def walked(self, field: str, amount: int, limit: int, *, zero_for_one: bool) -> Walked:
        """Run the contract's `swap` up to a price limit (0: none).

        `field`, "amount_in" or "amount_out", says which of them `amount` is exactly.

        Raises:
            PoolError: the contract reverts, or the swap leaves what is known.
        """
        ...


S = TypeVar("S", bound=Swapping)


class Swapped(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """What a pool took and gave, and its state afterwards."""

    amount_in: int
    amount_out: int
    pool: S


def exact_in(pool: Swapping, token_in: Address, amount_in: int, limit: int = 0) -> Walked:
    """Swap an exact input; the pool takes less where its liquidity ends or the limit is met.

    Raises:
        PoolError: unknown token, or as `Swapping.walked`.
    """
    forward = is_zero_for_one(pool.id, pool.token0, pool.token1, token_in, "token_in")
    return pool.walked("amount_in", amount_in, limit, zero_for_one=forward)


def exact_out(pool: Swapping, token_out: Address, amount_out: int, limit: int = 0) -> Walked:
    """Swap for an exact output; with a limit the pool may give less.

    Raises:
        PoolError: as `exact_in`, and without a limit more output than the pool has.
    """
    backward = is_zero_for_one(pool.id, pool.token0, pool.token1, token_out, "token_out")
    walked = pool.walked("amount_out", amount_out, limit, zero_for_one=not backward)
    if not limit and walked.given != amount_out:
        refuse(pool, "amount_out", f"only {walked.given} of {amount_out} can be bought")
    return walked


def whole_in(pool: S, token_in: Address, amount_in: int) -> Swapped[S]:
    """Swap all of an exact input.

    Raises:
        PoolError: as `exact_in`, and where the liquidity ends before all is taken.
    """
    walked = exact_in(pool, token_in, amount_in)
    if walked.taken != amount_in:
        refuse(pool, "amount_in", f"liquidity ends after {walked.taken} of {amount_in}")
    return after(pool, walked)


def after(pool: S, walked: Walked) -> Swapped[S]:
    """Return what a swap moved, and the pool as it leaves it."""
    taken, given, price, tick, liquidity = walked
    return Swapped(amount_in=taken, amount_out=given, pool=moved(pool, price, tick, liquidity))
