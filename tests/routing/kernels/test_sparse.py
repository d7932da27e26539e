import random

import numpy as np

from toolkit.routing.curves import Floats, Ints
from toolkit.routing.kernels.sparse import (
    BITS,
    arrange,
    assemble,
    factorise,
    find,
    lay_out,
    resist,
    substitute,
)


class Pattern:
    """Where the entries of L are, for pairs of unknowns."""

    def __init__(self, pairs: Ints, size: int) -> None:
        near = np.zeros((size, size // BITS + 1), dtype=np.int64)
        self.order = np.empty(size, dtype=np.int64)
        self.place = np.empty(size, dtype=np.int64)
        self.entries = arrange(
            pairs, near, self.order, self.place, np.empty((4, size), dtype=np.int64)
        )
        self.starts = np.empty(size + 1, dtype=np.int64)
        self.below = np.empty(self.entries, dtype=np.int64)
        lay_out(near, self.order, self.place, self.starts, self.below)

    def spots(self, pairs: Ints) -> Ints:
        found = np.empty(len(pairs), dtype=np.int64)
        find(self.starts, self.below, self.place[pairs], found)
        return found


def drawn(rng: random.Random) -> tuple[Ints, Floats, int]:
    """Pairs of unknowns, some more than once, how much each holds, and how many unknowns."""
    size = rng.randrange(2, 150)
    pairs = [rng.sample(range(size), 2) for _ in range(rng.randrange(1, 3 * size))]
    held = [10 ** rng.uniform(-3, 3) for _ in pairs]
    return np.array(pairs), np.array(held), size


def dense(pairs: Ints, held: Floats, rest: float, size: int) -> Floats:
    """The matrix in full."""
    matrix = rest * np.eye(size)
    for (one, other), stiffness in zip(pairs.tolist(), held.tolist(), strict=True):
        matrix[[one, other], [one, other]] += stiffness
        matrix[one, other] -= stiffness
        matrix[other, one] -= stiffness
    return matrix


def test_factors_solve_and_resist_as_the_full_matrix_does(seed: int) -> None:
    """Over seeded systems of pairs, some repeated: solutions and resistances are numpy's."""
    rng = random.Random(seed)
    for _ in range(60):
        pairs, held, size = drawn(rng)
        pattern = Pattern(pairs, size)
        edge_in = pairs.reshape(-1)
        count = len(pairs)
        lower, diagonal = np.empty(pattern.entries), np.zeros(size)
        assert assemble(
            np.arange(count),
            2 * np.arange(count),
            np.stack([held, -held, held], axis=1),
            edge_in,
            pattern.spots(pairs),
            0.0,
            diagonal,
            lower,
        )
        pivots = (diagonal + 0.1)[pattern.order]
        scratch = np.empty((2, size), dtype=np.int64)
        factorise(pattern.starts, pattern.below, lower, pivots, scratch[0], scratch[1])
        right = np.array([rng.gauss(0, 1) for _ in range(size)])
        solved = right[pattern.order]
        substitute(pattern.starts, pattern.below, lower, pivots, solved)
        asked = np.array([rng.sample(range(size), 2) for _ in range(20)])
        resistances = np.empty(20)
        factors = (pattern.starts, pattern.below, lower, pivots)
        resist(*factors, pattern.place[asked], np.zeros(size), resistances)
        inverse = np.linalg.inv(dense(pairs, held, 0.1, size))

        np.testing.assert_allclose(
            solved, (inverse @ right)[pattern.order], rtol=1e-7, atol=1e-9 * np.abs(inverse).max()
        )
        for (one, other), resistance in zip(asked.tolist(), resistances.tolist(), strict=True):
            expected = inverse[one, one] + inverse[other, other] - 2 * inverse[one, other]
            np.testing.assert_allclose(resistance, expected, rtol=1e-6)


def test_a_pair_without_room_is_left_out_only_where_it_is_weak() -> None:
    """Beside pairs that hold both its ends a weak one adds to these alone; a strong one asks."""
    pairs = np.array([[0, 1], [1, 2], [0, 2]])
    pattern = Pattern(pairs[:2], 3)
    spots = pattern.spots(pairs)

    def assembled(held: list[float]) -> tuple[bool, list[float]]:
        blocks = np.array([[stiffness, -stiffness, stiffness] for stiffness in held])
        diagonal, lower = np.zeros(3), np.empty(pattern.entries)
        rows = np.arange(3)
        fits = assemble(rows, 2 * rows, blocks, pairs.reshape(-1), spots, 0.01, diagonal, lower)
        return fits, diagonal.tolist()

    assert [True, True, False] == (spots >= 0).tolist()
    assert (True, [1.0, 3.0, 2.0]) == assembled([1.0, 2.0, 0.0])
    assert (True, [1.0078125, 3.0, 2.0078125]) == assembled([1.0, 2.0, 0.0078125])
    assert not assembled([1.0, 2.0, 0.5])[0]
    assert not assembled([1.0, 0.0, 0.0078125])[0]
