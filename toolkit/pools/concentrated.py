"""Concentrated liquidity pools (Uniswap V3 and its forks), in the contract's own integers.

Sources: UniswapV3Pool.sol `swap`, TickBitmap.sol, Tick.sol, LiquidityMath.sol; the quotes are
those of QuoterV2.sol. Tick spacing is a field of its own and not implied by the fee.
"""

from bisect import bisect_right
from operator import itemgetter
from typing import NoReturn

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolKind
from toolkit.pools.pair import check_pair, is_zero_for_one
from toolkit.pools.swap_step import swap_step
from toolkit.pools.ticks import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)

MAX_LIQUIDITY = 2**128 - 1
_MAX_NET = 2**127 - 1
_MAX_AMOUNT = 2**255 - 1
WORD = 256  # ticks, counted in spacings, per word of the pool's bitmap
_tick_of = itemgetter(0)


class Swapped(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool took and gave, and its state afterwards."""

    amount_in: int
    amount_out: int
    pool: "Concentrated"


class Concentrated(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="concentrated"):
    """A pool whose liquidity L changes at ticks.

    `ticks` are (tick, liquidity net), rising, of every initialised tick between the two ticks of
    `known` (inclusive), also those whose net is 0: the contract stops there too. A swap that would
    need a tick outside `known` fails. `sqrt_price_x96` 0 means not initialised.

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

    def __post_init__(self) -> None:
        """Check what the contract's types and invariants guarantee."""
        check_pair(self.id, self.token0, self.token1, self.fee_ppm)
        if not 0 < self.tick_spacing < 2**14:  # UniswapV3Factory.sol enableFeeAmount
            self._refuse("tick_spacing", f"{self.tick_spacing} is not between 1 and 16383")
        if not 0 <= self.liquidity <= MAX_LIQUIDITY:
            self._refuse("liquidity", f"{self.liquidity} does not fit uint128")
        if not MIN_TICK <= self.known[0] <= self.known[1] <= MAX_TICK:
            self._refuse("known", f"{self.known} is no range within {MIN_TICK}..{MAX_TICK}")
        if self.sqrt_price_x96:
            self._check_price()
        self._check_ticks()

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
        forward = is_zero_for_one(self.id, self.token0, self.token1, token_in, "token_in")
        self._check_amount("amount_in", amount_in)
        return self._swap(amount_in, sqrt_price_limit_x96, zero_for_one=forward)[1]

    def quote_out(
        self, token_out: Address, amount_out: int, *, sqrt_price_limit_x96: int = 0
    ) -> int:
        """Return the input for an exact output, QuoterV2 `quoteExactOutputSingle`.

        With a limit the pool may give less than `amount_out`; without one that is an error.

        Raises:
            PoolError: as `quote_in`, and more output than the pool has.
        """
        return self.swap_out(
            token_out, amount_out, sqrt_price_limit_x96=sqrt_price_limit_x96
        ).amount_in

    def fill_in(self, token_in: Address, amount_in: int) -> tuple[int, int]:
        """Return what the pool takes of `amount_in` and what it gives; errors as `quote_in`."""
        forward = is_zero_for_one(self.id, self.token0, self.token1, token_in, "token_in")
        self._check_amount("amount_in", amount_in)
        taken, given, *_ = self._swap(amount_in, 0, zero_for_one=forward)
        return taken, given

    def swap_in(self, token_in: Address, amount_in: int) -> tuple[int, "Concentrated"]:
        """Return the output and the pool after the swap of all of `amount_in`.

        Raises:
            PoolError: as `quote_in`, and where the liquidity ends before `amount_in` is taken.
        """
        swapped = self.swap(token_in, amount_in)
        if swapped.amount_in != amount_in:
            self._refuse("amount_in", f"liquidity ends after {swapped.amount_in} of {amount_in}")
        return swapped.amount_out, swapped.pool

    def swap(self, token_in: Address, amount_in: int, *, sqrt_price_limit_x96: int = 0) -> Swapped:
        """Swap an exact input up to a price limit (0: none), UniswapV3Pool.sol `swap`.

        Raises:
            PoolError: as `quote_in`.
        """
        forward = is_zero_for_one(self.id, self.token0, self.token1, token_in, "token_in")
        self._check_amount("amount_in", amount_in)
        return self._swapped(amount_in, sqrt_price_limit_x96, zero_for_one=forward)

    def swap_out(
        self, token_out: Address, amount_out: int, *, sqrt_price_limit_x96: int = 0
    ) -> Swapped:
        """Swap for an exact output up to a price limit (0: none); errors as `quote_out`."""
        backward = is_zero_for_one(self.id, self.token0, self.token1, token_out, "token_out")
        self._check_amount("amount_out", amount_out)
        swapped = self._swapped(-amount_out, sqrt_price_limit_x96, zero_for_one=not backward)
        if not sqrt_price_limit_x96 and swapped.amount_out != amount_out:
            self._refuse("amount_out", f"only {swapped.amount_out} of {amount_out} can be bought")
        return swapped

    def mid_price(self, token_in: Address) -> float:
        """Marginal price before fees, raw units out per raw unit in; for scores and signals only.

        Raises:
            PoolError: unknown token or not initialised.
        """
        forward = is_zero_for_one(self.id, self.token0, self.token1, token_in, "token_in")
        if not self.sqrt_price_x96:
            self._refuse("sqrt_price_x96", "is 0, the pool is not initialised")
        root = self.sqrt_price_x96 / 2**96
        return root * root if forward else 1 / (root * root)

    def _swapped(self, specified: int, limit: int, *, zero_for_one: bool) -> Swapped:
        taken, given, price, tick, liquidity = self._swap(
            specified, limit, zero_for_one=zero_for_one
        )
        after = msgspec.structs.replace(self, sqrt_price_x96=price, tick=tick, liquidity=liquidity)
        return Swapped(amount_in=taken, amount_out=given, pool=after)

    def _swap(
        self, specified: int, limit: int, *, zero_for_one: bool
    ) -> tuple[int, int, int, int, int]:
        """Run the step loop of UniswapV3Pool.sol; `specified` > 0 is an exact input.

        Returns:
            (taken, given, sqrt price, tick, liquidity) after the swap.
        """
        limit = self._price_limit(limit, zero_for_one=zero_for_one)
        price, tick, liquidity = self.sqrt_price_x96, self.tick, self.liquidity
        remaining, calculated = specified, 0
        while remaining != 0 and price != limit:
            start = price
            # Without liquidity nothing is rounded on the way: pass over empty words at once.
            reach = tick if liquidity else tick_at_sqrt_price(limit)
            index, stop = self._next_stop(tick, reach, zero_for_one=zero_for_one)
            stop_price = sqrt_price_at_tick(stop)
            target = max(stop_price, limit) if zero_for_one else min(stop_price, limit)
            price, paid, got, fee = swap_step(price, target, liquidity, remaining, self.fee_ppm)
            remaining -= paid + fee if specified > 0 else -got
            calculated += got if specified > 0 else paid + fee
            if price == stop_price:
                if index is not None:
                    net = self.ticks[index][1]
                    liquidity = self._crossed(liquidity, -net if zero_for_one else net)
                tick = stop - 1 if zero_for_one else stop
            elif price != start:
                tick = tick_at_sqrt_price(price)
        done = abs(specified - remaining)
        taken, given = (done, calculated) if specified > 0 else (calculated, done)
        if not taken:  # the periphery's callbacks refuse a swap that moves no tokens
            self._refuse("liquidity", "there is none between the price and its limit")
        return taken, given, price, tick, liquidity

    def _next_stop(self, tick: int, reach: int, *, zero_for_one: bool) -> tuple[int | None, int]:
        """Return (index in `ticks` or None, tick) of the next stop from `tick`.

        TickBitmap.sol `nextInitializedTickWithinOneWord`: the pool also stops at the edge of each
        bitmap word, initialised or not, at word x 256 going down, at word x 256 + 255 going up
        (in spacings), and at ±887272. The word is that of `reach`, `tick` itself or beyond it.
        """
        spacing, ticks = self.tick_spacing, self.ticks
        index = bisect_right(ticks, tick, key=_tick_of)
        if zero_for_one:
            index -= 1
            edge = max(min(tick, reach) // spacing // WORD * WORD * spacing, MIN_TICK)
            if index >= 0 and ticks[index][0] >= edge:
                return index, ticks[index][0]
            if edge < self.known[0]:
                self._refuse("ticks", f"the swap leaves the known ticks from {self.known[0]}")
            return None, edge
        word = max(tick // spacing + 1, reach // spacing) // WORD
        edge = min((word * WORD + WORD - 1) * spacing, MAX_TICK)
        if index < len(ticks) and ticks[index][0] <= edge:
            return index, ticks[index][0]
        if edge > self.known[1]:
            self._refuse("ticks", f"the swap leaves the known ticks up to {self.known[1]}")
        return None, edge

    def _crossed(self, liquidity: int, net: int) -> int:
        """Add signed net liquidity, LiquidityMath.sol `addDelta`."""
        after = liquidity + net
        if not 0 <= after <= MAX_LIQUIDITY:
            self._refuse("ticks", f"liquidity {after} after a tick leaves uint128 (LS/LA)")
        return after

    def _price_limit(self, limit: int, *, zero_for_one: bool) -> int:
        """Check a price limit (SPL), or supply the Quoter's for 0."""
        price = self.sqrt_price_x96
        if not price:
            self._refuse("sqrt_price_x96", "is 0, the pool is not initialised")
        if not self.liquidity and not self.ticks:
            self._refuse("liquidity", "is 0 at every tick, the pool has no liquidity")
        if not limit:
            limit = MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1
        low, high = (MIN_SQRT_PRICE, price) if zero_for_one else (price, MAX_SQRT_PRICE)
        if not low < limit < high:
            self._refuse("sqrt_price_limit_x96", f"{limit} is not between {low} and {high} (SPL)")
        return limit

    def _check_amount(self, field: str, amount: int) -> None:
        if not 0 < amount <= _MAX_AMOUNT:
            self._refuse(field, f"{amount} is not between 1 and 2^255 - 1")

    def _check_price(self) -> None:
        try:
            tick = tick_at_sqrt_price(self.sqrt_price_x96)
        except PoolError as error:
            raise PoolError(f"pool {self.id}: sqrt_price_x96: {error}") from None
        # Having crossed a tick downwards exactly, the contract stores the tick below it.
        crossed = sqrt_price_at_tick(tick) == self.sqrt_price_x96 and self.tick == tick - 1
        if self.tick != tick and not crossed:
            self._refuse("tick", f"{self.tick} does not belong to the price, whose tick is {tick}")

    def _check_ticks(self) -> None:
        before = self.known[0] - 1
        for tick, net in self.ticks:
            if not before < tick <= self.known[1]:
                self._refuse("ticks", f"{tick} is out of order or outside {self.known}")
            if tick % self.tick_spacing:
                self._refuse("ticks", f"{tick} is no multiple of the spacing {self.tick_spacing}")
            if not -_MAX_NET <= net <= _MAX_NET:
                self._refuse("ticks", f"the net liquidity {net} at {tick} does not fit int128")
            before = tick

    def _refuse(self, field: str, why: str) -> NoReturn:
        raise PoolError(f"pool {self.id}: {field}: {why}")
