"""Concentrated liquidity pools (Uniswap V3 and its forks), in the contract's own integers.

Sources: UniswapV3Pool.sol `swap`; the quotes are those of QuoterV2.sol. Tick spacing is a field of
its own and not implied by the fee.
"""

from typing import NoReturn

import msgspec

from toolkit.model.chain import Address
from toolkit.model.market import PoolKind
from toolkit.pools.pair import check_pair, is_zero_for_one
from toolkit.pools.swaps import Swapped, after, exact_in, exact_out, whole_in
from toolkit.pools.tick_walk import (
    Walked,
    check_initialised,
    check_state,
    mid_price,
    refuse,
    walk,
)
from toolkit.pools.ticks import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK

MAX_SPACING = 2**14 - 1  # UniswapV3Factory.sol enableFeeAmount
_MAX_AMOUNT = 2**255 - 1


class Concentrated(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="concentrated"):
    """A pool whose liquidity L changes at ticks.

    `ticks` are (tick, liquidity net), rising, of every initialised tick between the two ticks of
    `known` (inclusive), also those whose net is 0: the contract stops there too. A swap that would
    need a tick outside `known` fails. `sqrt_price_x96` 0 means not initialised.

    `gross` is the liquidity of all positions that begin or end at each of `ticks`, in their order:
    a tick is initialised while it is not 0, whatever its net. It is () where the source does not
    tell it (a pools file); no quote needs it, but events that remove liquidity do.

    Raises:
        PoolError: a field that the contract could not hold; names pool and field.
    """

    id: Address
    token0: Address
    token1: Address
    fee_ppm: int
    tick_spacing: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    ticks: tuple[tuple[int, int], ...]
    known: tuple[int, int] = (MIN_TICK, MAX_TICK)
    gross: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check what the contract's types and invariants guarantee."""
        check_pair(self.id, self.token0, self.token1, self.fee_ppm)
        check_state(self, max_spacing=MAX_SPACING)

    @property
    def kind(self) -> PoolKind:
        """The family, for tables keyed by it."""
        return PoolKind.CONCENTRATED

    def quote_in(self, token_in: Address, amount_in: int, *, sqrt_price_limit_x96: int = 0) -> int:
        """Return the output for an exact input, QuoterV2 `quoteExactInputSingle`.

        Where the liquidity ends or the limit (0: none) is met the pool takes less than
        `amount_in` and this is still its answer; `fill_in` tells how much it takes.

        Raises:
            PoolError: unknown token, not initialised, beyond `known`, or the contract reverts.
        """
        return exact_in(self, token_in, amount_in, sqrt_price_limit_x96).given

    def quote_out(
        self, token_out: Address, amount_out: int, *, sqrt_price_limit_x96: int = 0
    ) -> int:
        """Return the input for an exact output, QuoterV2 `quoteExactOutputSingle`.

        With a limit the pool may give less than `amount_out`; without one that is an error.

        Raises:
            PoolError: as `quote_in`, and more output than the pool has.
        """
        return exact_out(self, token_out, amount_out, sqrt_price_limit_x96).taken

    def fill_in(self, token_in: Address, amount_in: int) -> tuple[int, int]:
        """Return what the pool takes of `amount_in` and what it gives; errors as `quote_in`."""
        walked = exact_in(self, token_in, amount_in)
        return walked.taken, walked.given

    def swap_in(self, token_in: Address, amount_in: int) -> tuple[int, "Concentrated"]:
        """Return the output and the pool after the swap of all of `amount_in`.

        Raises:
            PoolError: as `quote_in`, and where the liquidity ends before `amount_in` is taken.
        """
        swapped = whole_in(self, token_in, amount_in)
        return swapped.amount_out, swapped.pool

    def swap(
        self, token_in: Address, amount_in: int, *, sqrt_price_limit_x96: int = 0
    ) -> Swapped["Concentrated"]:
        """Swap an exact input up to a price limit (0: none), UniswapV3Pool.sol `swap`.

        Raises:
            PoolError: as `quote_in`.
        """
        return after(self, exact_in(self, token_in, amount_in, sqrt_price_limit_x96))

    def swap_out(
        self, token_out: Address, amount_out: int, *, sqrt_price_limit_x96: int = 0
    ) -> Swapped["Concentrated"]:
        """Swap for an exact output up to a price limit (0: none); errors as `quote_out`."""
        return after(self, exact_out(self, token_out, amount_out, sqrt_price_limit_x96))

    def mid_price(self, token_in: Address) -> float:
        """Marginal price before fees, raw units out per raw unit in; for scores and signals only.

        Raises:
            PoolError: unknown token or not initialised.
        """
        forward = is_zero_for_one(self.id, self.token0, self.token1, token_in, "token_in")
        return mid_price(self, zero_for_one=forward)

    def walked(self, field: str, amount: int, limit: int, *, zero_for_one: bool) -> Walked:
        """Run UniswapV3Pool.sol `swap`; `field` says if `amount` is an exact input or output.

        Raises:
            PoolError: the periphery or the pool reverts, or the swap leaves what is known.
        """
        if not 0 < amount <= _MAX_AMOUNT:
            self._refuse(field, f"{amount} is not between 1 and 2^255 - 1")
        limit = self._price_limit(limit, zero_for_one=zero_for_one)
        specified = amount if field == "amount_in" else -amount
        walked = walk(self, specified, limit, self.fee_ppm, zero_for_one=zero_for_one)
        if not walked.taken:  # the periphery's callbacks refuse a swap that moves no tokens
            self._refuse("liquidity", "there is none between the price and its limit")
        return walked

    def _price_limit(self, limit: int, *, zero_for_one: bool) -> int:
        """Check a price limit (SPL), or supply the Quoter's for 0."""
        check_initialised(self)
        price = self.sqrt_price_x96
        if not self.liquidity and not self.ticks:
            self._refuse("liquidity", "is 0 at every tick, the pool has no liquidity")
        if not limit:
            limit = MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1
        low, high = (MIN_SQRT_PRICE, price) if zero_for_one else (price, MAX_SQRT_PRICE)
        if not low < limit < high:
            self._refuse("sqrt_price_limit_x96", f"{limit} is not between {low} and {high} (SPL)")
        return limit

    def _refuse(self, field: str, why: str) -> NoReturn:
        refuse(self, field, why)
