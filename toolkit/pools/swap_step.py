"""One step of a concentrated pool's swap: a price move under constant liquidity.

Sources: SwapMath.sol `computeSwapStep`, SqrtPriceMath.sol, FullMath.sol, UnsafeMath.sol of
v3-core; those of v4-core give the same integers. Where Solidity wraps silently and the contract
relies on it, the wrap is spelt out. Its reverting checks are assertions here: within a step they
cannot fail, because a step that stops short of its target moves less than what reaches the
target, which fits.
"""

from toolkit.model.units import PPM, div_ceil

_UINT256 = 2**256


def swap_step(
    price: int, target: int, liquidity: int, remaining: int, fee_ppm: int
) -> tuple[int, int, int, int]:
    """Return (next price, amount in, amount out, fee), SwapMath.sol `computeSwapStep`.

    Prices are sqrt prices x 2^96. `remaining` is what is left of an exact input, or minus what
    is left of an exact output. The step ends at `target` or, short of it, where it is used up.
    """
    zero_for_one = price >= target
    if remaining >= 0:
        usable = remaining * (PPM - fee_ppm) // PPM
        amount_in = _delta_in_up(price, target, liquidity, zero_for_one=zero_for_one)
        if usable >= amount_in:
            after = target
        else:
            move = _price_after_0_up if zero_for_one else _price_after_1_down
            after = move(price, liquidity, usable, add=True)
    else:
        amount_out = _delta_out_down(price, target, liquidity, zero_for_one=zero_for_one)
        if -remaining >= amount_out:
            after = target
        else:
            move = _price_after_1_down if zero_for_one else _price_after_0_up
            after = move(price, liquidity, -remaining, add=False)
    amount_in = _delta_in_up(price, after, liquidity, zero_for_one=zero_for_one)
    amount_out = _delta_out_down(price, after, liquidity, zero_for_one=zero_for_one)
    if remaining < 0:
        amount_out = min(amount_out, -remaining)
    elif after != target:
        # Short of the target everything is taken: what buys no output is fee.
        return after, amount_in, amount_out, remaining - amount_in
    if not amount_in:
        return after, 0, amount_out, 0  # also where V4's fee is 100 %
    return after, amount_in, amount_out, div_ceil(amount_in * fee_ppm, PPM - fee_ppm)


def amount0_delta_up(lower: int, upper: int, liquidity: int) -> int:
    """Return token0 between two sqrt prices, rounded up: L (1/lower - 1/upper)."""
    return div_ceil(div_ceil((liquidity << 96) * (upper - lower), upper), lower)


def amount0_delta_down(lower: int, upper: int, liquidity: int) -> int:
    """Return token0 between two sqrt prices, rounded down."""
    return (liquidity << 96) * (upper - lower) // upper // lower


def amount1_delta_up(lower: int, upper: int, liquidity: int) -> int:
    """Return token1 between two sqrt prices, rounded up: L (upper - lower)."""
    return -(-liquidity * (upper - lower) >> 96)


def amount1_delta_down(lower: int, upper: int, liquidity: int) -> int:
    """Return token1 between two sqrt prices, rounded down."""
    return liquidity * (upper - lower) >> 96


def _delta_in_up(price: int, after: int, liquidity: int, *, zero_for_one: bool) -> int:
    if zero_for_one:
        return amount0_delta_up(after, price, liquidity)
    return amount1_delta_up(price, after, liquidity)


def _delta_out_down(price: int, after: int, liquidity: int, *, zero_for_one: bool) -> int:
    if zero_for_one:
        return amount1_delta_down(after, price, liquidity)
    return amount0_delta_down(price, after, liquidity)


def _price_after_0_up(price: int, liquidity: int, amount: int, *, add: bool) -> int:
    """`getNextSqrtPriceFromAmount0RoundingUp`: L P / (L ± amount P), with its overflow branch."""
    if amount == 0:
        return price
    numerator = liquidity << 96
    product = amount * price
    if not add:
        assert numerator > product, "more output than this liquidity holds"
        return div_ceil(numerator * price, numerator - product)
    # The contract takes the precise formula only if neither product nor sum wraps.
    if product < _UINT256 and numerator + product < _UINT256:
        return div_ceil(numerator * price, numerator + product)
    return div_ceil(numerator, numerator // price + amount)


def _price_after_1_down(price: int, liquidity: int, amount: int, *, add: bool) -> int:
    """`getNextSqrtPriceFromAmount1RoundingDown`: P ± amount / L."""
    if add:
        return price + (amount << 96) // liquidity
    quotient = div_ceil(amount << 96, liquidity)
    assert price > quotient, "more output than this liquidity holds"
    return price - quotient
