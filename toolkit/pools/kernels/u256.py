"""Exact integers of many 64-bit limbs for numba: 256 bits and what their products need.

A number is a tuple of limbs, the least first; its length is part of its type. Sums, differences
and shifts are one wide operation of LLVM; products are the school's, limb by limb. Division is
Knuth's algorithm D with a reciprocal instead of a divide instruction (Möller and Granlund,
"Improved division by invariant integers", IEEE Transactions on Computers 60 (2011): algorithm 4
divides three limbs by two, algorithm 6 makes its reciprocal). LLVM's own wide division is right
as well, and some thirty times slower. What is known to be below 2^112 has a faster way.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from toolkit.pools.kernels.jit import inlined, part

Limb = np.uint64
Limbs = tuple[np.uint64, ...]
Typed = tuple[Any, Callable[..., Any]]
"""What an intrinsic answers numba: its signature, and the function that writes its LLVM code."""

BITS = 64
ZERO = np.uint64(0)
ONE = np.uint64(1)
FULL = np.uint64(2**64 - 1)

_LIMB = ir.IntType(BITS)
_PAIR = ir.IntType(2 * BITS)
_WITHIN = np.uint64(BITS - 1)
_MAGIC = np.uint64(0x7FD00)  # 2^19 - 3 x 2^8, the start of a reciprocal's Newton steps
_DIGIT = np.uint64(56)
_TO_TOP = np.uint64(256 - 112 - 128)
_HALF = np.uint64(BITS // 2)
_SHIFTS = tuple(np.uint64(bits) for bits in (55, 24, 11, 40, 13, 60, 47, 31))


def _limbs(count: int) -> Any:
    return types.UniTuple(types.uint64, count)


def _joined(builder: Any, value: Any, width: ir.IntType) -> Any:
    """One wide integer of an array of limbs."""
    wide = ir.Constant(width, 0)
    for place in range(value.type.count):
        limb = builder.zext(builder.extract_value(value, place), width)
        wide = builder.or_(wide, builder.shl(limb, ir.Constant(width, place * BITS)))
    return wide


def _parted(builder: Any, wide: Any, count: int) -> Any:
    """An array of the lowest limbs of a wide integer."""
    limbs = [
        builder.trunc(builder.lshr(wide, ir.Constant(wide.type, place * BITS)), _LIMB)
        for place in range(count)
    ]
    return cgutils.pack_array(builder, limbs)


def _width(*counts: int) -> ir.IntType:
    return ir.IntType(BITS * max(counts))


def _sum(_context: Any, a: Any, b: Any) -> Typed:
    def write(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
        width = _width(a.count)
        left, right = (_joined(builder, value, width) for value in values)
        return _parted(builder, builder.add(left, right), a.count)

    return _limbs(a.count)(a, b), write


def _difference(_context: Any, a: Any, b: Any) -> Typed:
    def write(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
        width = _width(a.count)
        left, right = (_joined(builder, value, width) for value in values)
        return _parted(builder, builder.sub(left, right), a.count)

    return _limbs(a.count)(a, b), write


def _is_less(_context: Any, a: Any, b: Any) -> Typed:
    def write(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
        width = _width(a.count, b.count)
        left, right = (_joined(builder, value, width) for value in values)
        return builder.icmp_unsigned("<", left, right)

    return types.boolean(a, b), write


def _product(_context: Any, a: Any, b: Any) -> Typed:
    def write(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
        left, right = (
            [builder.zext(builder.extract_value(value, place), _PAIR) for place in range(count)]
            for value, count in zip(values, (a.count, b.count), strict=True)
        )
        limbs = [ir.Constant(_PAIR, 0)] * (a.count + b.count)
        for row, factor in enumerate(left):
            carry = ir.Constant(_PAIR, 0)
            for column, other in enumerate(right, start=row):
                # (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1: it always fits.
                wide = builder.add(builder.mul(factor, other), limbs[column])
                wide = builder.add(wide, carry)
                limbs[column] = builder.zext(builder.trunc(wide, _LIMB), _PAIR)
                carry = builder.lshr(wide, ir.Constant(_PAIR, BITS))
            limbs[row + b.count] = carry
        return cgutils.pack_array(builder, [builder.trunc(limb, _LIMB) for limb in limbs])

    return _limbs(a.count + b.count)(a, b), write


def _shifted_left(_context: Any, a: Any, _bits: Any) -> Typed:
    def write(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
        width = _width(a.count)
        wide = _joined(builder, values[0], width)
        return _parted(builder, builder.shl(wide, builder.zext(values[1], width)), a.count)

    return _limbs(a.count)(a, types.uint64), write


def _leading_zeros(_context: Any, a: Any) -> Typed:
    def write(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
        width = _width(a.count)
        wide = _joined(builder, values[0], width)
        return builder.trunc(builder.ctlz(wide, ir.Constant(ir.IntType(1), 0)), _LIMB)

    return types.uint64(a), write


def _is_zero(_context: Any, a: Any) -> Typed:
    def write(_: Any, builder: Any, _signature: Any, values: Any) -> Any:
        width = _width(a.count)
        wide = _joined(builder, values[0], width)
        return builder.icmp_unsigned("==", wide, ir.Constant(width, 0))

    return types.boolean(a), write


def _apart(_context: Any) -> Typed:
    def write(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), write


apart = cast(Callable[[], None], intrinsic(_apart))
"""Keep the part that says so out of its callers: copies of what is long take seconds to compile."""
add = cast(Callable[[Limbs, Limbs], Limbs], intrinsic(_sum))
"""a + b of a's length, modulo 2^(64 len(a)); b is not longer."""
subtract = cast(Callable[[Limbs, Limbs], Limbs], intrinsic(_difference))
"""a - b of a's length, modulo 2^(64 len(a)); b is not longer."""
less = cast(Callable[[Limbs, Limbs], bool], intrinsic(_is_less))
"""a < b, of any lengths."""
product = cast(Callable[[Limbs, Limbs], Limbs], intrinsic(_product))
"""a x b, whole: len(a) + len(b) limbs."""
shift_left = cast(Callable[[Limbs, np.uint64], Limbs], intrinsic(_shifted_left))
"""a x 2^bits of a's length; bits < 64 len(a)."""
leading_zeros = cast(Callable[[Limbs], np.uint64], intrinsic(_leading_zeros))
"""How many of a's highest bits are 0."""
is_zero = cast(Callable[[Limbs], bool], intrinsic(_is_zero))
"""a = 0."""


@part
def reciprocal(high: Limb, low: Limb) -> Limb:
    """floor((2^192 - 1) / d) - 2^64 of d = (low, high), whose highest bit is set: algorithm 6."""
    return _with_low(reciprocal_of_limb(high), high, low)


@inlined
def reciprocal_of_limb(high: Limb) -> Limb:
    """floor((2^128 - 1) / d) - 2^64 of a limb whose highest bit is set: algorithm 2."""
    odd = high & ONE
    upper = (high >> _SHIFTS[1]) + ONE
    half = (high >> ONE) + odd
    first = _MAGIC // (high >> _SHIFTS[0])
    second = (first << _SHIFTS[2]) - (first * first * upper >> _SHIFTS[3]) - ONE
    third = (second << _SHIFTS[4]) + (second * ((ONE << _SHIFTS[5]) - second * upper) >> _SHIFTS[6])
    error = (third >> ONE) * odd - third * half
    fourth = (third << _SHIFTS[7]) + (product((third,), (error,))[1] >> ONE)
    wide = product((fourth,), (high,))
    return fourth - add(wide, (high, high))[1]


@part
def _with_low(inverse: Limb, high: Limb, low: Limb) -> Limb:
    """Correct by counts and not by branches: which way they go is chance, and costs most of all."""
    rest = high * inverse + low
    once = np.uint64(rest < low)
    twice = once & np.uint64(rest >= high)
    inverse -= once + twice
    rest -= high * (once + twice)
    wide = product((inverse,), (low,))
    rest += wide[1]
    once = np.uint64(rest < wide[1])
    twice = once & np.uint64(not less((wide[0], rest), (low, high)))
    return inverse - once - twice


@part
def three_by_two(upper: Limbs, last: Limb, divisor: Limbs, inverse: Limb) -> tuple[Limb, Limbs]:
    """Divide (last, *upper) by a normalised two-limb divisor: algorithm 4.

    Returns:
        (quotient, remainder); `upper` must be less than the divisor.
    """
    estimate = add(product((inverse,), (upper[1],)), upper)
    quotient = estimate[1]
    rest: Limbs = (last, upper[0] - quotient * divisor[1])
    rest = subtract(subtract(rest, product((divisor[0],), (quotient,))), divisor)
    back = np.uint64(rest[1] >= estimate[0])  # as likely as not, so no branch
    quotient += ONE - back
    rest = add(rest, (divisor[0] * back, divisor[1] * back))
    if not less(rest, divisor):
        quotient += ONE
        rest = subtract(rest, divisor)
    return quotient, rest


@part
def divide(dividend: Limbs, divisor: Limbs) -> tuple[Limbs, bool]:
    """Divide nine limbs by five, where the quotient is known to fit four.

    Returns:
        (quotient rounded down, whether that lost anything).
    """
    apart()
    bits = leading_zeros(divisor)
    divisor = shift_left(divisor, bits)
    dividend = shift_left(dividend, bits)
    inverse = reciprocal(divisor[4], divisor[3])
    third, rest = _digit(dividend[3], dividend[4:], divisor, inverse)
    second, rest = _digit(dividend[2], rest, divisor, inverse)
    first, rest = _digit(dividend[1], rest, divisor, inverse)
    zeroth, rest = _digit(dividend[0], rest, divisor, inverse)
    return (zeroth, first, second, third), not is_zero(rest)


@part
def _digit(last: Limb, rest: Limbs, divisor: Limbs, inverse: Limb) -> tuple[Limb, Limbs]:
    """One limb of the quotient of (last, *rest) and the remainder; rest < divisor."""
    if rest[-1] == ZERO and rest[-2] < divisor[-1]:
        return ZERO, (last, *rest[:-1])
    if rest[-1] == divisor[-1] and rest[-2] == divisor[-2]:
        digit = FULL
    else:
        digit, _ = three_by_two(rest[-2:], rest[-3], divisor[-2:], inverse)
    window = (last, *rest)
    taken = product((digit,), divisor)
    if less(window, taken):  # the two leading limbs promised one too many
        digit -= ONE
        taken = subtract(taken, divisor)
    return digit, subtract(window, taken)[:-1]


@inlined
def divide_by_limb(dividend: Limbs, divisor: Limb) -> tuple[Limbs, bool]:
    """Divide four limbs by one that is not 0.

    Returns:
        (quotient rounded down, whether that lost anything).
    """
    bits = leading_zeros((divisor,))
    divisor <<= bits
    inverse = reciprocal_of_limb(divisor)
    wide = shift_left((*dividend, ZERO), bits & _WITHIN)
    third, second, rest = ZERO, ZERO, wide[2]
    if wide[3] | wide[4] != ZERO or rest >= divisor:
        third, rest = two_by_one(wide[4], wide[3], divisor, inverse)
        second, rest = two_by_one(rest, wide[2], divisor, inverse)
    first, rest = two_by_one(rest, wide[1], divisor, inverse)
    zeroth, rest = two_by_one(rest, wide[0], divisor, inverse)
    return (zeroth, first, second, third), rest != ZERO


@inlined
def two_by_one(upper: Limb, last: Limb, divisor: Limb, inverse: Limb) -> tuple[Limb, Limb]:
    """Divide (last, upper) by a normalised limb that is greater than `upper`: algorithm 4 of one.

    Returns:
        (quotient, remainder).
    """
    estimate = add(product((inverse,), (upper,)), (last, upper))
    quotient = estimate[1] + ONE
    rest = last - quotient * divisor
    back = np.uint64(rest > estimate[0])
    quotient -= back
    rest += divisor * back
    if rest >= divisor:
        quotient += ONE
        rest -= divisor
    return quotient, rest


@part
def divide_by_pair(dividend: Limbs, divisor: Limbs) -> tuple[Limbs, bool]:
    """Divide four limbs by two that are not 0.

    Returns:
        (quotient rounded down, whether that lost anything).
    """
    apart()
    bits = leading_zeros(divisor)
    divisor = shift_left(divisor, bits)
    wide = shift_left((*dividend, ZERO, ZERO), bits)
    inverse = reciprocal(divisor[1], divisor[0])
    third, rest = _pair_digit(wide[3], wide[4:], divisor, inverse)
    second, rest = _pair_digit(wide[2], rest, divisor, inverse)
    first, rest = _pair_digit(wide[1], rest, divisor, inverse)
    zeroth, rest = _pair_digit(wide[0], rest, divisor, inverse)
    return (zeroth, first, second, third), not is_zero(rest)


@part
def _pair_digit(last: Limb, rest: Limbs, divisor: Limbs, inverse: Limb) -> tuple[Limb, Limbs]:
    if rest[1] == ZERO and rest[0] < divisor[1]:
        return ZERO, (last, rest[0])
    return three_by_two(rest, last, divisor, inverse)


@inlined
def divide_to_reserve(dividend: Limbs, divisor: Limbs) -> Limbs:
    """floor(a / b) of four limbs and two, where the quotient is known to be below 2^112."""
    low, high = divisor[0], divisor[1]
    first, second, third, fourth = dividend[0], dividend[1], dividend[2], dividend[3]
    if high == ZERO:  # then three limbs are enough for the dividend
        low, high = ZERO, low
        first, second, third, fourth = ZERO, first, second, third
    bits = leading_zeros((high,)) & _WITHIN  # which tells LLVM that limbs only shift a little
    wide = shift_left((first, second, third, fourth), bits)
    return _normal_quotient(wide, shift_left((low, high), bits))


@inlined
def mul_div_down(share: Limbs, factor: Limbs, whole: Limbs) -> Limbs:
    """floor(share factor / whole) of two limbs each, where share < whole and factor < 2^112."""
    bits = leading_zeros(whole)
    wide = product(shift_left(share, bits), factor)
    return _normal_quotient(wide, shift_left(whole, bits))


@inlined
def _normal_quotient(wide: Limbs, divisor: Limbs) -> Limbs:
    """Divide four limbs by two whose highest bit is set, where the quotient is below 2^112.

    Digits of 56 bits leave room for estimates that are a little too small, so that only the end
    needs a correction. With what `inverse` lacks and what the shifts drop, the upper one lacks
    less than 1 + 2^-3, which the lower one makes good; and this less than 1.
    """
    scale = inverse(divisor[1])
    upper = product((shift_left(wide, _TO_TOP)[3],), (scale,))[1] >> np.uint64(7)
    rest = subtract(wide[:3], shift_left(product((upper,), divisor), _DIGIT))
    lower = product((shift_left(rest, np.uint64(7))[2],), (scale,))[1] >> np.uint64(6)
    rest = subtract(rest, product((lower,), divisor))
    lower += np.uint64(not less(rest, divisor))
    return add(shift_left((upper, ZERO), _DIGIT), (lower,))


@inlined
def inverse(high: Limb) -> Limb:
    """2^127 / (high + 1), too small by less than 2^-60 of it; the highest bit of `high` is set.

    Half of it by a divide instruction, the rest by one of Newton's steps.
    """
    half = FULL // ((high >> _HALF) + ONE)
    lacks = subtract(subtract((ZERO, ONE << _HALF), product((half,), (high,))), (half,))
    more = product((half,), (lacks[0],))[1] + half * lacks[1]
    return (half << np.uint64(31)) + (more >> ONE)


@part
def rounded_up(divided: tuple[Limbs, bool]) -> Limbs:
    """Return the quotient, one more where the division lost something."""
    quotient, lost = divided
    return add(quotient, (ONE,)) if lost else quotient
