"""Constant product quotes by the batch, in the contract's integers; see pools/constant_product.py.

Shapes, of n queries and p pools: `pools` (n) int64, rows of the pools' arrays; `forward` (n)
bool, whether token0 goes in; `amounts` (n, 4) uint64; `reserves` (p, 4) uint64, two limbs of
reserve0, two of reserve1; `fees` (p, 2) uint64, what is left of the fee's fraction: 997 of 1000.
Written: `answers` (n, 4) uint64, whose
upper limbs are 0 already, and `status` (n) int8.
"""

import numpy as np
import numpy.typing as npt

from toolkit.pools.kernels.jit import COMPILED, inlined, jit, part
from toolkit.pools.kernels.status import Status
from toolkit.pools.kernels.u256 import (
    ONE,
    ZERO,
    Limbs,
    add,
    divide,
    divide_to_reserve,
    is_zero,
    less,
    mul_div_down,
    product,
    shift_left,
    subtract,
)

__all__ = ["COMPILED", "quote_in", "quote_out"]

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

_RESERVE_BITS = np.uint64(112)
_TOP = np.uint64(1 << 48)  # in the second limb: 2^112
_ZERO_RESERVE = int(Status.ZERO_RESERVE)
_AMOUNT = int(Status.AMOUNT)
_OVERFLOW = int(Status.OVERFLOW)
_TOO_MUCH = int(Status.TOO_MUCH)


@jit
def quote_in(
    pools: Places,
    forward: Flags,
    amounts: Words,
    reserves: Words,
    fees: Words,
    answers: Words,
    status: Codes,
) -> None:
    """UniswapV2Library.sol `getAmountOut`, and the pair's own limit on its balance."""
    for query in range(pools.shape[0]):
        pool = pools[query]
        first = 0 if forward[query] else 2
        reserve_in = (reserves[pool, first], reserves[pool, first + 1])
        reserve_out = (reserves[pool, 2 - first], reserves[pool, 3 - first])
        amount = (amounts[query, 0], amounts[query, 1])
        if is_zero(reserve_in) or is_zero(reserve_out):
            status[query] = _ZERO_RESERVE
        elif is_zero(amount) and amounts[query, 2] | amounts[query, 3] == ZERO:
            status[query] = _AMOUNT
        elif (
            amounts[query, 2] | amounts[query, 3] != ZERO
            or amount[1] >= _TOP
            or add(reserve_in, amount)[1] >= _TOP
        ):
            status[query] = _OVERFLOW
        else:
            paid = product(amount, (fees[pool, 0],))
            depth = add(product(reserve_in, (fees[pool, 1],)), paid)
            if depth[2] == ZERO:
                answer = mul_div_down(paid[:2], reserve_out, depth[:2])
            else:
                answer = _long_quotient(product(paid, reserve_out), depth)
            answers[query, 0], answers[query, 1] = answer[0], answer[1]
            status[query] = 0


@jit
def quote_out(
    pools: Places,
    forward: Flags,
    amounts: Words,
    reserves: Words,
    fees: Words,
    answers: Words,
    status: Codes,
) -> None:
    """UniswapV2Library.sol `getAmountIn`; `forward` still says whether token0 goes in."""
    for query in range(pools.shape[0]):
        pool = pools[query]
        first = 0 if forward[query] else 2
        reserve_in = (reserves[pool, first], reserves[pool, first + 1])
        reserve_out = (reserves[pool, 2 - first], reserves[pool, 3 - first])
        amount = (amounts[query, 0], amounts[query, 1])
        if is_zero(reserve_in) or is_zero(reserve_out):
            status[query] = _ZERO_RESERVE
        elif is_zero(amount) and amounts[query, 2] | amounts[query, 3] == ZERO:
            status[query] = _AMOUNT
        elif amounts[query, 2] | amounts[query, 3] != ZERO or not less(amount, reserve_out):
            status[query] = _TOO_MUCH
        else:
            owed = product(subtract(reserve_out, amount), (fees[pool, 0],))
            wanted = product(product(reserve_in, amount), (fees[pool, 1],))
            status[query] = _OVERFLOW
            if less(wanted, shift_left((owed[0], owed[1], owed[2], ZERO, ZERO), _RESERVE_BITS)):
                answer = add(_quotient(wanted, owed), (ONE,))
                if add(answer, reserve_in)[1] < _TOP:
                    answers[query, 0], answers[query, 1] = answer[0], answer[1]
                    status[query] = 0


@part
def _quotient(wide: Limbs, divisor: Limbs) -> Limbs:
    """floor(wide / divisor), below 2^112, of five limbs, of which four are in use, and three."""
    if divisor[2] == ZERO:
        return divide_to_reserve(wide[:4], divisor[:2])
    return _long_quotient(wide, divisor)


@inlined
def _long_quotient(wide: Limbs, divisor: Limbs) -> Limbs:
    """The same where a fee of many digits on great reserves makes a divisor of up to 133 bits."""
    return divide((*wide, ZERO, ZERO, ZERO, ZERO), (*divisor, ZERO, ZERO))[0][:2]
