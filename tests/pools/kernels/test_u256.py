import itertools
import random
from collections.abc import Iterator

import numba
import numpy as np
import pytest

from toolkit.pools.kernels import u256
from toolkit.pools.kernels.jit import jit
from toolkit.pools.words import Words

FULL = 2**64 - 1
SPECIAL = (0, 1, 2, 2**32, 2**63 - 1, 2**63, 2**63 + 1, FULL - 1, FULL)
COUNT = 4000
MOST = 2**112
pytestmark = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="intrinsics exist in compiled code only"
)


@jit
def every_operation(given: Words, found: Words) -> None:
    """Columns of `given`: a (4 limbs), b (4), n (9), d (5); of `found`: the answers, in turn."""
    for row in range(given.shape[0]):
        g = given[row]
        a = (g[0], g[1], g[2], g[3])
        b = (g[4], g[5], g[6], g[7])
        n = (g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15], g[16])
        d = (g[17], g[18], g[19], g[20], g[21])
        pair = (b[0], b[1] | u256.ONE)
        quotient, lost = u256.divide(n, d)
        by_pair, pair_lost = u256.divide_by_pair(a, pair)
        by_limb, limb_lost = u256.divide_by_limb(a, b[0] | u256.ONE)
        wide = (
            *u256.add(a, b),
            *u256.subtract(a, b),
            *u256.product(a, b),
            *u256.shift_left(a, b[0] & np.uint64(255)),
            *quotient,
            *by_pair,
            *by_limb,
            u256.leading_zeros(a),
            np.uint64(u256.less(a, b)),
            np.uint64(u256.is_zero(a)),
            np.uint64(lost),
            np.uint64(pair_lost),
            np.uint64(limb_lost),
        )
        for place in range(len(wide)):
            found[row, place] = wide[place]


@jit
def fast_quotients(given: Words, found: Words) -> None:
    """Columns of `given`: dividend (4 limbs), divisor (2); of `found`: the quotient (2)."""
    for row in range(given.shape[0]):
        g = given[row]
        quotient = u256.divide_to_reserve((g[0], g[1], g[2], g[3]), (g[4], g[5]))
        found[row, 0], found[row, 1] = quotient[0], quotient[1]


@jit
def fast_shares(given: Words, found: Words) -> None:
    """Columns of `given`: share, factor, whole of two limbs each; of `found`: the quotient (2)."""
    for row in range(given.shape[0]):
        g = given[row]
        quotient = u256.mul_div_down((g[0], g[1]), (g[2], g[3]), (g[4], g[5]))
        found[row, 0], found[row, 1] = quotient[0], quotient[1]


@jit
def inverses(given: Words, found: Words) -> None:
    """A high limb in each row; of `found`: its inverse."""
    for row in range(given.shape[0]):
        found[row, 0] = u256.inverse(given[row, 0])


@jit
def reciprocal_of(high: np.uint64, low: np.uint64) -> np.uint64:
    """The part on its own."""
    return u256.reciprocal(high, low)


def drawn(rng: random.Random, limbs: int) -> int:
    """A number whose limbs are as often extreme as random, of any length up to `limbs`."""
    length = rng.randint(1, limbs)
    parts = [rng.choice(SPECIAL) if rng.random() < 0.5 else rng.getrandbits(64)] * length
    if rng.random() < 0.7:
        parts = [
            rng.choice(SPECIAL) if rng.random() < 0.5 else rng.getrandbits(64)
            for _ in range(length)
        ]
    return sum(part << 64 * place for place, part in enumerate(parts))


def divisions(rng: random.Random) -> Iterator[tuple[int, int]]:
    """(dividend, divisor) whose digits are easily guessed one too high, and rests of any size."""
    while True:
        divisor, quotient = drawn(rng, 5) or 1, drawn(rng, 4)
        rest = rng.choice([0, 1, divisor - 1, divisor // 2, rng.randrange(divisor)]) % divisor
        yield quotient * divisor + rest, divisor


def words(rows: list[list[tuple[int, int]]]) -> Words:
    """Rows of (number, limbs) as one array."""
    flat = b"".join(value.to_bytes(8 * limbs, "little") for row in rows for value, limbs in row)
    return np.frombuffer(flat, dtype="<u8").reshape(len(rows), -1).copy()


def numbers(found: Words, *limbs: int) -> Iterator[tuple[int, ...]]:
    """The rows of an array as numbers of so many limbs each."""
    for row in found:
        raw, at, parts = row.tobytes(), 0, []
        for count in limbs:
            parts.append(int.from_bytes(raw[8 * at : 8 * (at + count)], "little"))
            at += count
        yield tuple(parts)


def test_every_operation_is_pythons(seed: int) -> None:
    """Sums, products, shifts, comparisons and divisions, on extremes and chance alike."""
    rng = random.Random(seed)
    cases = [(drawn(rng, 4), drawn(rng, 4), *next(divisions(rng))) for _ in range(COUNT)]
    cases += [(a, b, 0, 1) for a in SPECIAL for b in SPECIAL]
    given = words([[(a, 4), (b, 4), (n, 9), (d, 5)] for a, b, n, d in cases])
    found = np.zeros((len(cases), 38), dtype=np.uint64)

    every_operation(given, found)

    wrap = 2**256
    for (a, b, n, d), row in zip(
        cases, numbers(found, 4, 4, 8, 4, 4, 4, 4, 1, 1, 1, 1, 1, 1), strict=True
    ):
        pair = (b & FULL) | ((b >> 64 & FULL | 1) << 64)
        limb = b & FULL | 1
        expected = (
            (a + b) % wrap,
            (a - b) % wrap,
            a * b,
            (a << (b & 255)) % wrap,
            n // d,
            a // pair,
            a // limb,
            256 - a.bit_length(),
            int(a < b),
            int(a == 0),
            int(n % d > 0),
            int(a % pair > 0),
            int(a % limb > 0),
        )
        assert expected == row, (seed, a, b, n, d)


def test_quotients_below_a_reserve_are_pythons(seed: int) -> None:
    """The fast way of dividing four limbs by two, wherever its answer is below 2^112."""
    rng = random.Random(seed)
    cases = []
    for _ in range(COUNT):
        divisor, quotient = drawn(rng, 2) or 1, drawn(rng, 2) % MOST
        rest = rng.choice([0, 1, divisor - 1, rng.randrange(divisor)]) % divisor
        cases.append((quotient * divisor + rest, divisor))
    cases += [((MOST - 1) * divisor + divisor - 1, divisor) for divisor in SPECIAL if divisor]
    found = np.zeros((len(cases), 2), dtype=np.uint64)

    fast_quotients(words([[(a, 4), (b, 2)] for a, b in cases]), found)

    for (a, b), (quotient,) in zip(cases, numbers(found, 2), strict=True):
        assert a // b == quotient, (seed, a, b)


def shares(rng: random.Random) -> Iterator[tuple[int, int, int]]:
    """(share, factor, whole), products just below a multiple of the whole and just at it."""
    while True:
        whole, factor = drawn(rng, 2) or 1, drawn(rng, 2) % MOST or 1
        quotient = rng.choice([1, drawn(rng, 2), factor - 1, rng.randrange(factor)]) % factor
        share = -(-quotient * whole // factor)
        yield share % whole, factor, whole
        yield (share - 1) % whole, factor, whole
        yield drawn(rng, 2) % whole, factor, whole


def test_mul_div_is_pythons(seed: int) -> None:
    """A share of the whole times a factor below 2^112, rounded down."""
    rng = random.Random(seed)
    cases = list(itertools.islice(shares(rng), 3 * COUNT))
    cases += [(2**k - 1, MOST - 1, 2**k) for k in range(1, 128)]
    found = np.zeros((len(cases), 2), dtype=np.uint64)

    fast_shares(words([[(value, 2) for value in case] for case in cases]), found)

    for (share, factor, whole), (quotient,) in zip(cases, numbers(found, 2), strict=True):
        assert share * factor // whole == quotient, (seed, share, factor, whole)


def test_inverses_lack_no_more_than_quotients_allow(seed: int) -> None:
    """Never too large, and less than 2^-60 too small, worst where a half has just been passed."""
    rng = random.Random(seed)
    halves = [rng.randrange(2**31, 2**32) for _ in range(COUNT)] + [2**31, 2**31 + 1, 2**32 - 1]
    cases = [half << 32 | low for half in halves for low in (0, 1, rng.getrandbits(32), 2**32 - 1)]
    found = np.zeros((len(cases), 1), dtype=np.uint64)

    inverses(words([[(case, 1)] for case in cases]), found)

    for high, (inverse,) in zip(cases, numbers(found, 1), strict=True):
        lacks = 2**127 - inverse * (high + 1)
        assert 0 <= lacks < 2**67, (seed, high)


@pytest.mark.parametrize("high", [2**63, 2**63 + 1, FULL - 1, FULL, 0xAAAA_AAAA_AAAA_AAAB])
def test_reciprocals_are_the_definitions(high: int) -> None:
    """floor((2^192 - 1) / d) - 2^64 for divisors at the edges of the low limb."""
    found = [int(reciprocal_of(np.uint64(high), np.uint64(low))) for low in SPECIAL]

    assert [(2**192 - 1) // (high << 64 | low) - 2**64 for low in SPECIAL] == found
