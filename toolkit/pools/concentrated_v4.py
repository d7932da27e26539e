"""Concentrated liquidity pools of Uniswap V4, in the PoolManager's own integers.

Sources: v4-core's PoolManager.sol and Pool.sol `swap`, ProtocolFeeLibrary.sol, LPFeeLibrary.sol,
Hooks.sol, PoolId.sol. A quote is what `PoolManager.swap` answers: unlike V3's periphery it does
not mind a swap that moves no tokens.
"""

from typing import NoReturn

import msgspec

from toolkit.chain.hashing import keccak
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolKey, PoolKind, has_contract
from toolkit.model.units import PPM
from toolkit.pools.pair import check_lower, check_sorted, is_zero_for_one
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

POOL_MANAGER = Address("0x000000000004444c5dc75cb358380d2e3de08a90")
"""The PoolManager of Ethereum mainnet; other chains have it elsewhere."""
MAX_SPACING = 2**15 - 1
MAX_PROTOCOL_FEE_PPM = 1000
DYNAMIC_FEE = 0x800000
"""What a pool's key has as its fee if the fee in force is its hook's to set."""

_MAX_IN = 2**255  # the least int256 is an exact input too
_MAX_OUT = 2**255 - 1
_INT128 = 2**127
# The last 14 bits of a hook's address say when it is called (Hooks.sol).
_HOOK_BITS = 2**14 - 1
_SWAP_HOOK_BITS = 1 << 7 | 1 << 6  # before and after a swap
_NEEDS = ((1 << 3, 1 << 7), (1 << 2, 1 << 6), (1 << 1, 1 << 10), (1 << 0, 1 << 8))


class ConcentratedV4(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="concentrated_v4"
):
    """A pool of the PoolManager; the zero address among its tokens is the native currency.

    `fee_ppm` is the liquidity providers' fee in force, up to 100 %, whether the key fixes it or
    a hook sets it (`dynamic_fee`); `protocol_fee_ppm` are the PoolManager's for token0 going in
    and for token1. `ticks`, `known`, `gross` and `sqrt_price_x96` are as in `Concentrated`;
    `manager` is the PoolManager that holds the pool. Pools whose hook is called at swaps are
    states like others, but cannot be quoted.

    Raises:
        PoolError: a field that the contract could not hold; names pool and field.
    """

    id: Hash
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
    hooks: Address = ZERO_ADDRESS
    protocol_fee_ppm: tuple[int, int] = (0, 0)
    dynamic_fee: bool = False
    manager: Address = POOL_MANAGER

    def __post_init__(self) -> None:
        """Check what the contract's types and invariants guarantee."""
        if has_contract(self.id):
            self._refuse("id", "is an address; a V4 pool's is 32 bytes")
        check_sorted(self.id, self.token0, self.token1)
        check_lower(self.id, "manager", self.manager)
        if not 0 <= self.fee_ppm <= PPM:
            self._refuse("fee_ppm", f"{self.fee_ppm} is not between 0 and {PPM}")
        if not all(0 <= fee <= MAX_PROTOCOL_FEE_PPM for fee in self.protocol_fee_ppm):
            why = f"{self.protocol_fee_ppm} are not both between 0 and {MAX_PROTOCOL_FEE_PPM}"
            self._refuse("protocol_fee_ppm", why)
        self._check_hooks()
        check_state(self, max_spacing=MAX_SPACING)

    @property
    def kind(self) -> PoolKind:
        """The family, for tables keyed by it."""
        return PoolKind.CONCENTRATED

    @property
    def key(self) -> PoolKey:
        """What the manager is told, beside the tokens, to find the pool."""
        fee = DYNAMIC_FEE if self.dynamic_fee else self.fee_ppm
        return PoolKey(
            fee=fee, tick_spacing=self.tick_spacing, hooks=self.hooks, manager=self.manager
        )

    @property
    def is_hooked(self) -> bool:
        """Whether a hook is called at swaps, and may change what they give."""
        return bool(int(self.hooks, 16) & _SWAP_HOOK_BITS)

    def swap_fee_ppm(self, *, zero_for_one: bool) -> int:
        """Return the whole fee on the input, ProtocolFeeLibrary.sol `calculateSwapFee`.

        protocol + lp - protocol lp / 1e6, the quotient rounded down: 100 % already from an lp
        fee of 999,999 on, if there is a protocol fee.
        """
        protocol = self.protocol_fee_ppm[0 if zero_for_one else 1]
        return protocol + self.fee_ppm - protocol * self.fee_ppm // PPM

    def quote_in(self, token_in: Address, amount_in: int, *, sqrt_price_limit_x96: int = 0) -> int:
        """Return the output for an exact input, `PoolManager.swap`.

        Where the liquidity ends or the limit (0: none) is met the pool takes less than
        `amount_in`, perhaps nothing, and this is still its answer; `fill_in` tells how much.

        Raises:
            PoolError: unknown token, not initialised, beyond `known`, a hook that would be
                called, or the contract reverts.
        """
        return exact_in(self, token_in, amount_in, sqrt_price_limit_x96).given

    def quote_out(
        self, token_out: Address, amount_out: int, *, sqrt_price_limit_x96: int = 0
    ) -> int:
        """Return the input for an exact output, `PoolManager.swap`.

        With a limit the pool may give less than `amount_out`; without one that is an error, as
        it is V4Quoter's.

        Raises:
            PoolError: as `quote_in`, more output than the pool has, or a fee of 100 %.
        """
        return exact_out(self, token_out, amount_out, sqrt_price_limit_x96).taken

    def fill_in(self, token_in: Address, amount_in: int) -> tuple[int, int]:
        """Return what the pool takes of `amount_in` and what it gives; errors as `quote_in`."""
        walked = exact_in(self, token_in, amount_in)
        return walked.taken, walked.given

    def swap_in(self, token_in: Address, amount_in: int) -> tuple[int, "ConcentratedV4"]:
        """Return the output and the pool after the swap of all of `amount_in`.

        Raises:
            PoolError: as `quote_in`, and where the liquidity ends before `amount_in` is taken.
        """
        swapped = whole_in(self, token_in, amount_in)
        return swapped.amount_out, swapped.pool

    def swap(
        self, token_in: Address, amount_in: int, *, sqrt_price_limit_x96: int = 0
    ) -> Swapped["ConcentratedV4"]:
        """Swap an exact input up to a price limit (0: none), `PoolManager.swap`.

        Raises:
            PoolError: as `quote_in`.
        """
        return after(self, exact_in(self, token_in, amount_in, sqrt_price_limit_x96))

    def swap_out(
        self, token_out: Address, amount_out: int, *, sqrt_price_limit_x96: int = 0
    ) -> Swapped["ConcentratedV4"]:
        """Swap for an exact output up to a price limit (0: none); errors as `quote_out`."""
        return after(self, exact_out(self, token_out, amount_out, sqrt_price_limit_x96))

    def mid_price(self, token_in: Address) -> float:
        """Marginal price before fees, raw units out per raw unit in; for scores and signals only.

        Raises:
            PoolError: unknown token or not initialised.
        """
        forward = is_zero_for_one(self.id, self.token0, self.token1, token_in, "token_in")
        return mid_price(self, zero_for_one=forward)

    def check_id(self) -> None:
        """Refuse an id that is not that of this key.

        Raises:
            PoolError: names the id that the fields give.
        """
        wanted = pool_id(self.token0, self.token1, self.key.fee, self.tick_spacing, self.hooks)
        if self.id != wanted:
            self._refuse("id", f"tokens, fee, spacing and hooks are those of {wanted}")

    def walked(self, field: str, amount: int, limit: int, *, zero_for_one: bool) -> Walked:
        """Run `PoolManager.swap`; `field` says if `amount` is an exact input or output.

        Raises:
            PoolError: the manager reverts, a hook would be called, or the swap leaves what is
                known.
        """
        is_input = field == "amount_in"
        if not 0 < amount <= (_MAX_IN if is_input else _MAX_OUT):
            most = "2^255" if is_input else "2^255 - 1"
            self._refuse(field, f"{amount} is not between 1 and {most}")
        if self.is_hooked:
            self._refuse("hooks", f"{self.hooks} is called at swaps, so no quote would be exact")
        check_initialised(self)
        fee_ppm = self.swap_fee_ppm(zero_for_one=zero_for_one)
        if fee_ppm == PPM and not is_input:
            self._refuse("fee_ppm", "a fee of 100 % buys no output (InvalidFeeForExactOut)")
        limit = self._price_limit(limit, zero_for_one=zero_for_one)
        specified = amount if is_input else -amount
        walked = walk(self, specified, limit, fee_ppm, zero_for_one=zero_for_one)
        if walked.taken > _INT128 or walked.given >= _INT128:
            why = f"taking {walked.taken} for {walked.given} does not fit int128"
            self._refuse(field, f"{why} (SafeCastOverflow)")
        return walked

    def _price_limit(self, limit: int, *, zero_for_one: bool) -> int:
        """Check a price limit, or supply V4Quoter's for 0."""
        price, least, most = self.sqrt_price_x96, MIN_SQRT_PRICE + 1, MAX_SQRT_PRICE - 1
        limit = limit or (least if zero_for_one else most)
        if limit >= price if zero_for_one else limit <= price:
            why = f"the price is {price} already (PriceLimitAlreadyExceeded)"
            self._refuse("sqrt_price_limit_x96", f"{limit} leaves no room, {why}")
        if not least <= limit <= most:
            why = f"is not between {least} and {most} (PriceLimitOutOfBounds)"
            self._refuse("sqrt_price_limit_x96", f"{limit} {why}")
        return limit

    def _check_hooks(self) -> None:
        """Hooks.sol `isValidHookAddress`: which addresses `initialize` takes."""
        bits = int(self.hooks, 16) & _HOOK_BITS
        if self.hooks == ZERO_ADDRESS:
            if self.dynamic_fee:
                self._refuse("dynamic_fee", "needs a hook that sets the fee")
        elif not (bits or self.dynamic_fee):
            self._refuse("hooks", f"{self.hooks} is never called: its last 14 bits are 0")
        if any(bits & result and not bits & call for result, call in _NEEDS):
            self._refuse("hooks", f"{self.hooks} would return amounts of calls it does not get")

    def _refuse(self, field: str, why: str) -> NoReturn:
        refuse(self, field, why)


def pool_id(
    token0: Address, token1: Address, fee: int, tick_spacing: int, hooks: Address = ZERO_ADDRESS
) -> Hash:
    """Return a V4 pool's id, keccak256(abi.encode(PoolKey)); `fee` is the key's.

    Raises:
        PoolError: a number that the key has no room for.
    """
    for field, number, size in (("fee", fee, 24), ("tick_spacing", tick_spacing, 23)):
        if not 0 <= number < 1 << size:
            raise PoolError(f"pool of {token0} and {token1}: {field}: {number} does not fit")
    words = (int(token0, 16), int(token1, 16), fee, tick_spacing, int(hooks, 16))
    return Hash("0x" + keccak(b"".join(word.to_bytes(32, "big") for word in words)).hex())
