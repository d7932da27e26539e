"""An amount spent in V2 pools side by side, compiled: in limbs, to the last unit."""

import numpy as np

from toolkit.pools.kernels.constant_product import amount_in, amount_out
from toolkit.pools.kernels.jit import inlined, jit, part
from toolkit.pools.kernels.u256 import FULL, ONE, ZERO, Limbs, add, is_zero, less, subtract
from toolkit.pools.words import Words
from toolkit.routing.curves import Floats

_LIMB = 2.0**64
_COARSE = 4.0  # units out a unit in, beyond which no unit of input can be saved
_FEW = 2.0**20  # of a share so small a unit matters
_TIMES = 4  # further units bought for what outputs can do without, per pool


@jit
def share_pairs(pairs: Words, shares: Floats, total: Words, amounts: Words, given: Words) -> bool:
    """Spend exactly `total` in V2 pools, about as `shares` say, and buy the most units for it.

    Of n pools: `pairs` (n, 6) as in kernels/constant_product.py, the token that goes in first;
    `shares` (n) in smallest units; `total` (2). Written: `amounts` and `given` (n, 2). Where a
    unit of output costs many of input, what an output can do without is collected and spent where
    it buys a further unit. False: a pool cannot take its share.
    """
    count = pairs.shape[0]
    rest: Limbs = (total[0], total[1])
    deepest, depth, sold, bought = 0, -1.0, 0.0, 0.0
    for row in range(count):
        high = np.uint64(shares[row] / _LIMB)
        share: Limbs = (np.uint64(shares[row] - high * _LIMB), high)
        if less(rest, share):
            share = rest
        rest = subtract(rest, share)
        amounts[row, 0], amounts[row, 1] = share[0], share[1]
        sold += shares[row]
        size = (pairs[row, 0] + pairs[row, 1] * _LIMB) * (pairs[row, 2] + pairs[row, 3] * _LIMB)
        if shares[row] > 0.0 and size > depth:
            deepest, depth = row, size
    if sold < count * _FEW and rest[0] <= np.uint64(count):
        _round_up(rest[0], shares, amounts)
        rest = (ZERO, ZERO)
    for row in range(count):
        if row == deepest:
            _put(amounts, row, add(_limbs(amounts, row), rest))
        if not _quote(pairs, row, amounts, given):
            return False
        bought += given[row, 0] + given[row, 1] * _LIMB
    rest = (ZERO, ZERO)
    if bought <= _COARSE * sold:
        rest = _refine(pairs, amounts, given)
    for row in range(count):
        if not _quote(pairs, row, amounts, given):
            return False
        if is_zero(_limbs(given, row)) and row != deepest:
            rest = add(rest, _limbs(amounts, row))
            _put(amounts, row, (ZERO, ZERO))
    _put(amounts, deepest, add(_limbs(amounts, deepest), rest))
    return _quote(pairs, deepest, amounts, given)


@part
def _round_up(units: np.uint64, shares: Floats, amounts: Words) -> None:
    """Give a unit each to those whose shares were cut the most."""
    for _ in range(units):
        best = 0
        for row in range(1, shares.shape[0]):
            if shares[row] - amounts[row, 0] > shares[best] - amounts[best, 0]:
                best = row
        amounts[best, 0] += ONE


@part
def _refine(pairs: Words, amounts: Words, given: Words) -> Limbs:
    """Reduce amounts to what their outputs need, and buy further units where they cost least.

    Returns:
        what is left over.
    """
    count = pairs.shape[0]
    costs = np.empty((count, 2), np.uint64)
    spare: Limbs = (ZERO, ZERO)
    for row in range(count):
        amount, need = _limbs(amounts, row), _needed(pairs, row, _limbs(given, row))
        if less(amount, need):
            need = amount
        spare = add(spare, subtract(amount, need))
        _put(amounts, row, need)
        _put(costs, row, _step(pairs, row, amounts, given))
    for _ in range(_TIMES * count):
        best = 0
        for row in range(1, count):
            if less(_limbs(costs, row), _limbs(costs, best)):
                best = row
        cost = _limbs(costs, best)
        if less(spare, cost):
            break
        spare = subtract(spare, cost)
        _put(amounts, best, add(_limbs(amounts, best), cost))
        _put(given, best, add(_limbs(given, best), (ONE,)))
        _put(costs, best, _step(pairs, best, amounts, given))
    return spare


@part
def _step(pairs: Words, row: int, amounts: Words, given: Words) -> Limbs:
    """What one unit more of output costs in a pool; too much to pay where there is none."""
    need = _needed(pairs, row, add(_limbs(given, row), (ONE,)))
    amount = _limbs(amounts, row)
    return subtract(need, amount) if less(amount, need) else (ZERO, ZERO)


@part
def _needed(pairs: Words, row: int, output: Limbs) -> Limbs:
    """The contract's input for an output, which may be one unit more than needed."""
    if is_zero(output):
        return ZERO, ZERO
    into, out = (pairs[row, 0], pairs[row, 1]), (pairs[row, 2], pairs[row, 3])
    code, need = amount_in((*output, ZERO, ZERO), into, out, pairs[row, 4], pairs[row, 5])
    return need if code == 0 else (FULL, FULL)


@part
def _quote(pairs: Words, row: int, amounts: Words, given: Words) -> bool:
    """Write what a pool gives for its amount; False where it would revert."""
    amount = _limbs(amounts, row)
    _put(given, row, (ZERO, ZERO))
    if is_zero(amount):
        return True
    into, out = (pairs[row, 0], pairs[row, 1]), (pairs[row, 2], pairs[row, 3])
    code, output = amount_out((*amount, ZERO, ZERO), into, out, pairs[row, 4], pairs[row, 5])
    _put(given, row, output)
    return code == 0


@inlined
def _limbs(rows: Words, row: int) -> Limbs:
    return rows[row, 0], rows[row, 1]


@inlined
def _put(rows: Words, row: int, number: Limbs) -> None:
    rows[row, 0], rows[row, 1] = number[0], number[1]
