"""Constant product quotes by the batch, in the contract's integers; see pools/constant_product.py.

Shapes, of n queries, q places and p pools: `which` (k) int64, the queries to answer; `pools` (n)
int64, their pools' places; `forward` (n) bool, whether token0 goes in; `amounts` (n, 4) uint64;
`limits` (n, 4) uint64 or (0, 4); `rows` (q) int64, the row of each place's pool in `pairs` (p, 6)
uint64: two limbs of reserve0, two of reserve1, and what is left of the fee's fraction: 997, 1000.
Written: `answers` (n, 4) uint64, whose upper limbs are 0 already, and `status` (n) int8.
"""

import numpy as np

from toolkit.pools.kernels.jit import COMPILED, inlined, jit
from toolkit.pools.kernels.status import Status
from toolkit.pools.kernels.u256 import (
    ONE,
    ZERO,
    Limb,
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
from toolkit.pools.words import Codes, Flags, Places, Words

__all__ = ["COMPILED", "amount_in", "amount_out", "quote"]

_RESERVE_BITS = np.uint64(112)
_TOP = np.uint64(1 << 48)  # in the second limb: 2^112
_MOST: Limbs = (ZERO, _TOP)
_NOTHING: Limbs = (ZERO, ZERO)
_OK = int(Status.OK)
_ZERO_RESERVE = int(Status.ZERO_RESERVE)
_AMOUNT = int(Status.AMOUNT)
_OVERFLOW = int(Status.OVERFLOW)
_TOO_MUCH = int(Status.TOO_MUCH)
_HAS_NO_LIMIT = int(Status.HAS_NO_LIMIT)


@jit
def quote(
    which: Places,
    pools: Places,
    forward: Flags,
    amounts: Words,
    limits: Words,
    exact_in: bool,
    rows: Places,
    pairs: Words,
    answers: Words,
    status: Codes,
) -> None:
    """Answer the queries that `which` names."""
    for place in range(which.shape[0]):
        query = np.uint64(which[place])  # without a sign nothing counts from the end
        row = np.uint64(rows[np.uint64(pools[query])])
        reserve0, reserve1 = (pairs[row, 0], pairs[row, 1]), (pairs[row, 2], pairs[row, 3])
        into, out = (reserve0, reserve1) if forward[query] else (reserve1, reserve0)
        kept, whole = pairs[row, 4], pairs[row, 5]
        amount = (amounts[query, 0], amounts[query, 1], amounts[query, 2], amounts[query, 3])
        answer = _NOTHING
        if limits.shape[0] and (
            limits[query, 0] | limits[query, 1] | limits[query, 2] | limits[query, 3] != ZERO
        ):
            code = _HAS_NO_LIMIT
        elif is_zero(into) or is_zero(out):
            code = _ZERO_RESERVE
        elif is_zero(amount):
            code = _AMOUNT
        elif exact_in:
            code, answer = amount_out(amount, into, out, kept, whole)
        else:
            code, answer = amount_in(amount, into, out, kept, whole)
        answers[query, 0], answers[query, 1] = answer[0], answer[1]
        status[query] = code


@inlined
def amount_out(
    amount: Limbs, into: Limbs, out: Limbs, kept: Limb, whole: Limb
) -> tuple[int, Limbs]:
    """UniswapV2Library.sol `getAmountOut`, and the pair's own limit on its balance."""
    if not less(amount, _MOST) or add(into, amount[:2])[1] >= _TOP:
        return _OVERFLOW, _NOTHING
    paid = product(amount[:2], (kept,))
    depth = add(product(into, (whole,)), paid)
    if depth[2] == ZERO:
        return _OK, mul_div_down(paid[:2], out, depth[:2])
    return _OK, _long_quotient(product(paid, out), depth)


@inlined
def amount_in(amount: Limbs, into: Limbs, out: Limbs, kept: Limb, whole: Limb) -> tuple[int, Limbs]:
    """UniswapV2Library.sol `getAmountIn`, and the pair's own limit on its balance."""
    if not less(amount, out):
        return _TOO_MUCH, _NOTHING
    owed = product(subtract(out, amount[:2]), (kept,))
    wanted = product(product(into, amount[:2]), (whole,))
    if not less(wanted, shift_left((owed[0], owed[1], owed[2], ZERO, ZERO), _RESERVE_BITS)):
        return _OVERFLOW, _NOTHING
    if owed[2] == ZERO:
        answer = divide_to_reserve(wanted[:4], owed[:2])
    else:
        answer = _long_quotient(wanted, owed)
    answer = add(answer, (ONE,))
    return (_OK, answer) if add(answer, into)[1] < _TOP else (_OVERFLOW, _NOTHING)


@inlined
def _long_quotient(wide: Limbs, divisor: Limbs) -> Limbs:
    """Divide where a fee of many digits on great reserves makes a divisor of up to 133 bits."""
    return divide((*wide, ZERO, ZERO, ZERO, ZERO), (*divisor, ZERO, ZERO))[0][:2]
