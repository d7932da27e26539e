import random

import numpy as np
import pytest

from toolkit.routing.curves import Floats, Ints
from toolkit.routing.kernels.sparse import (
    BITS,
    arrange,
    factorise,
    find,
    lay_out,
    resist,
    substitute,
)

# Kernels may have to be compiled first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Solver:
    """The kernels one after the other, as the systems of networks use them."""

    def __init__(self, size: int, ends: Ints) -> None:
        near = np.zeros((size, size // BITS + 1), dtype=np.int64)
        self.order: Ints = np.empty(size, dtype=np.int64)
        self.place: Ints = np.empty(size, dtype=np.int64)
        rows = np.empty((4, max(size, near.shape[1])), dtype=np.int64)
        entries = arrange(ends, near, self.order, self.place, rows)
        self.starts: Ints = np.empty(size + 1, dtype=np.int64)
        self.below: Ints = np.empty(entries, dtype=np.int64)
        lay_out(near, self.order, self.place, self.starts, self.below)
        self.spots = self.find(ends)

    def find(self, ends: Ints) -> Ints:
        spots: Ints = np.empty(len(ends), dtype=np.int64)
        find(self.starts, self.below, self.place[ends], spots)
        return spots

    def factorise(self, values: Floats, diagonal: Floats) -> None:
        self.lower: Floats = np.bincount(self.spots, values, len(self.below)).astype(np.float64)
        self.pivots: Floats = diagonal[self.order]
        scratch = np.empty((2, len(diagonal)), dtype=np.int64)
        factorise(self.starts, self.below, self.lower, self.pivots, scratch[0], scratch[1])

    def solve(self, values: Floats) -> Floats:
        inside = values[self.order]
        substitute(self.starts, self.below, self.lower, self.pivots, inside)
        return inside[self.place]

    def resist(self, pairs: Ints) -> Floats:
        found = np.empty(len(pairs))
        scratch = np.zeros(len(self.pivots))
        inside = self.place[pairs]
        resist(self.starts, self.below, self.lower, self.pivots, inside, scratch, found)
        return found


def system(rng: random.Random, size: int, pairs: int) -> tuple[Ints, Floats, Floats, Floats]:
    """(pairs, their entries, diagonal, the same as a full matrix): definite, pairs may repeat."""
    ends = np.array([rng.sample(range(size), 2) for _ in range(pairs)], dtype=np.int64)
    values = np.array([-(10.0 ** rng.uniform(-3, 3)) for _ in range(pairs)])
    full = np.zeros((size, size))
    for (one, other), value in zip(ends.tolist(), values.tolist(), strict=True):
        full[one, other] += value
        full[other, one] += value
    diagonal: Floats = np.abs(full).sum(axis=1) * 1.01 + 1e-3
    return ends, values, diagonal, full + np.diag(diagonal)


@pytest.mark.parametrize(("size", "pairs"), [(2, 1), (9, 6), (40, 90), (150, 260)])
def test_a_system_is_solved_as_in_full(size: int, pairs: int, seed: int) -> None:
    """In parts or in one, with pairs that repeat, over more unknowns than a word has bits."""
    rng = random.Random(seed)
    ends, values, diagonal, full = system(rng, size, pairs)
    solver = Solver(size, ends)
    solver.factorise(values, diagonal)
    right = np.array([rng.gauss(0, 1) for _ in range(size)])
    asked = np.array([rng.sample(range(size), 2) for _ in range(20)], dtype=np.int64)
    apart = np.eye(size)[asked[:, 0]] - np.eye(size)[asked[:, 1]]

    assert sorted(solver.order.tolist()) == list(range(size))
    assert (solver.spots >= 0).all()
    assert np.allclose(full @ solver.solve(right), right, rtol=0, atol=1e-9)
    expected = np.einsum("ij,ji->i", apart, np.linalg.solve(full, apart.T))
    assert np.allclose(expected, solver.resist(asked), rtol=1e-9)


def test_the_pattern_is_good_for_other_values(seed: int) -> None:
    """What is laid out once solves every system of these pairs, also where some are 0."""
    rng = random.Random(seed)
    ends, values, diagonal, _ = system(rng, 30, 60)
    solver = Solver(30, ends)
    rest = np.where(np.arange(60) % 3 > 0, values, 0.0)
    full = np.diag(diagonal)
    for (one, other), value in zip(ends.tolist(), rest.tolist(), strict=True):
        full[one, other] += value
        full[other, one] += value
    solver.factorise(rest, diagonal)
    right = np.ones(30)

    assert np.allclose(full @ solver.solve(right), right, rtol=0, atol=1e-9)


def test_what_nothing_holds_is_taken_out_and_the_rest_is_solved() -> None:
    """Two that only hold each other have no solution of their own: the later of them stays at 0."""
    ends = np.array([[0, 1], [2, 3]], dtype=np.int64)
    solver = Solver(4, ends)
    solver.factorise(np.array([-1.0, -1.0]), np.array([1.0, 1.0, 2.0, 2.0]))
    found = solver.solve(np.array([1.0, -1.0, 3.0, 0.0]))

    assert np.isfinite(found).all()
    assert np.allclose([2.0, 1.0], found[2:])
    assert 1.0 == pytest.approx(found[0] - found[1])


def test_a_pair_without_an_entry_is_not_found() -> None:
    """Nor one that is not in the pattern at all, or an unknown with itself."""
    solver = Solver(4, np.array([[0, 1], [2, 3]], dtype=np.int64))

    assert [-1, -1, -1] == solver.find(np.array([[0, 2], [1, 3], [3, 3]], dtype=np.int64)).tolist()
    spots = np.empty(1, dtype=np.int64)
    find(solver.starts, solver.below, np.array([[-1, 2]], dtype=np.int64), spots)
    assert [-1] == spots.tolist()
