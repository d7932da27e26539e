"""Constant product pools (Uniswap V2 and its forks with any fee), in the contract's own integers.

Sources: UniswapV2Pair.sol (`swap`, `_update`) and UniswapV2Library.sol (`getAmountOut`,
`getAmountIn`). The fee is in parts per million of the input; 3000 gives the 997/1000 of
Uniswap, 2500 the 9975/10000 of Pancake: the fractions are equal, so are the quotients.
"""

import msgspec

from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolKind
from toolkit.model.units import PPM
from toolkit.pools.pair import check_pair, is_zero_for_one

MAX_RESERVE = 2**112 - 1


class ConstantProduct(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="constant_product"
):
    """A pool that keeps reserve0 x reserve1 from falling; reserves in the tokens' smallest units.

    Its own quotes are for what arrives at the pool; `Snapshot` knows what tokens keep of transfers.

    Raises:
        PoolError: tokens unsorted, a reserve that does not fit uint112, a fee of 100 % or more.
    """

    id: Address
    token0: Address
    token1: Address
    reserve0: int
    reserve1: int
    fee_ppm: int = 3000

    def __post_init__(self) -> None:
        """Check what the contract's types guarantee."""
        check_pair(self.id, self.token0, self.token1, self.fee_ppm)
        if 0 <= self.reserve0 <= MAX_RESERVE and 0 <= self.reserve1 <= MAX_RESERVE:
            return
        for field, reserve in (("reserve0", self.reserve0), ("reserve1", self.reserve1)):
            if not 0 <= reserve <= MAX_RESERVE:
                raise PoolError(f"pool {self.id}: {field}: {reserve} does not fit uint112")

    @property
    def kind(self) -> PoolKind:
        """The family, for tables keyed by it."""
        return PoolKind.CONSTANT_PRODUCT

    def quote_in(self, token_in: Address, amount_in: int) -> int:
        """Return the output for an exact input, `UniswapV2Library.getAmountOut`.

        amount_out = amount_in (1e6 - fee) reserve_out / (reserve_in 1e6 + amount_in (1e6 - fee)),
        rounded down. It may be 0, which the library answers but the pair would not send.

        Raises:
            PoolError: unknown token, no liquidity, or an amount the pair would revert on.
        """
        reserve_in, reserve_out = self._reserves(token_in, "token_in")
        if amount_in <= 0 or reserve_in + amount_in > MAX_RESERVE:
            self._check_amount("amount_in", amount_in)
            self._check_balance(reserve_in + amount_in, amount_in)
        paid = amount_in * (PPM - self.fee_ppm)
        return paid * reserve_out // (reserve_in * PPM + paid)

    def quote_out(self, token_out: Address, amount_out: int) -> int:
        """Return the input for an exact output, `UniswapV2Library.getAmountIn`.

        amount_in = reserve_in amount_out 1e6 / ((reserve_out - amount_out) (1e6 - fee)),
        rounded down, + 1: so at most one unit more than the least that would do.

        Raises:
            PoolError: unknown token, no liquidity, or an amount the pair would revert on.
        """
        reserve_out, reserve_in = self._reserves(token_out, "token_out")
        self._check_amount("amount_out", amount_out)
        if amount_out >= reserve_out:
            raise PoolError(
                f"pool {self.id}: amount_out: {amount_out} is not below the reserve {reserve_out}"
            )
        owed = (reserve_out - amount_out) * (PPM - self.fee_ppm)
        amount_in = reserve_in * amount_out * PPM // owed + 1
        self._check_balance(reserve_in + amount_in, amount_in)
        return amount_in

    def fill_in(self, token_in: Address, amount_in: int) -> tuple[int, int]:
        """Return what the pool takes of `amount_in` (all of it) and what it gives for it."""
        return amount_in, self.quote_in(token_in, amount_in)

    def swap_in(self, token_in: Address, amount_in: int) -> tuple[int, "ConstantProduct"]:
        """Return the output and the pool after the swap.

        Raises:
            PoolError: as `quote_in`, and an output of 0 (INSUFFICIENT_OUTPUT_AMOUNT).
        """
        amount_out = self.quote_in(token_in, amount_in)
        if amount_out == 0:
            raise PoolError(f"pool {self.id}: amount_in: {amount_in} is too small to buy one unit")
        return amount_out, self._after(token_in, amount_in, amount_out)

    def swap_out(self, token_out: Address, amount_out: int) -> tuple[int, "ConstantProduct"]:
        """Return the input and the pool after the swap; errors as `quote_out`."""
        amount_in = self.quote_out(token_out, amount_out)
        token_in = self.token1 if token_out == self.token0 else self.token0
        return amount_in, self._after(token_in, amount_in, amount_out)

    def mid_price(self, token_in: Address) -> float:
        """Marginal price before fees, raw units out per raw unit in; for scores and signals only.

        Raises:
            PoolError: unknown token or no liquidity.
        """
        reserve_in, reserve_out = self._reserves(token_in, "token_in")
        return reserve_out / reserve_in

    def _reserves(self, token: Address, field: str) -> tuple[int, int]:
        """Return the reserve of `token` and the other one."""
        reserve0, reserve1 = self.reserve0, self.reserve1
        forward = token == self.token0 or is_zero_for_one(
            self.id, self.token0, self.token1, token, field
        )
        if not (reserve0 and reserve1):
            name = "reserve1" if reserve0 else "reserve0"
            raise PoolError(f"pool {self.id}: {name}: is 0, the pool has no liquidity")
        return (reserve0, reserve1) if forward else (reserve1, reserve0)

    def _check_amount(self, field: str, amount: int) -> None:
        if amount <= 0:
            raise PoolError(f"pool {self.id}: {field}: {amount} is not positive")

    def _check_balance(self, balance: int, amount: int) -> None:
        if balance > MAX_RESERVE:
            raise PoolError(
                f"pool {self.id}: amount_in: {amount} lifts the reserve beyond uint112 (OVERFLOW)"
            )

    def _after(self, token_in: Address, amount_in: int, amount_out: int) -> "ConstantProduct":
        forward = token_in == self.token0
        delta0, delta1 = (amount_in, -amount_out) if forward else (-amount_out, amount_in)
        after = ConstantProduct(
            id=self.id,
            token0=self.token0,
            token1=self.token1,
            reserve0=self.reserve0 + delta0,
            reserve1=self.reserve1 + delta1,
            fee_ppm=self.fee_ppm,
        )
        assert after.reserve0 * after.reserve1 >= self.reserve0 * self.reserve1
        return after
