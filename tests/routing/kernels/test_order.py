import math

import numpy as np

from toolkit.routing.curves import Floats
from toolkit.routing.kernels.order import arrange

Line = tuple[int, int, float, float]
"""The token that goes in, the one that comes out, how much of each."""


def arranged(
    hops: list[Line], held: list[float], *, lends: bool, room: int = 20
) -> tuple[list[tuple[int, float]], int, Floats]:
    """(steps, hops in need, what is lent)."""
    source, target, taken, given = (np.array(column) for column in zip(*hops, strict=True))
    steps, shares = np.zeros(room, np.int64), np.zeros(room)
    lent = np.zeros(len(held))
    weight: Floats = np.bincount(source, weights=taken, minlength=len(held)).astype(np.float64)
    written, needy = arrange(
        source.astype(np.int64),
        target.astype(np.int64),
        taken.astype(np.float64),
        given.astype(np.float64),
        weight,
        lends,
        np.array(held, dtype=np.float64),
        lent,
        steps,
        shares,
    )
    return list(zip(steps[:written].tolist(), shares[:written].tolist(), strict=True)), needy, lent


def test_the_first_hop_that_is_paid_for_runs_first() -> None:
    """One that is not waits for what the others bring."""
    hops: list[Line] = [(1, 2, 5, 5), (0, 1, 2, 2), (0, 1, 3, 3)]

    steps, needy, lent = arranged(hops, [math.inf, 0, 0], lends=False)

    assert [(1, 1.0), (2, 1.0), (0, 1.0)] == steps
    assert (0, 0.0) == (needy, lent.sum())


def test_of_a_circle_a_part_is_run_with_what_is_at_hand() -> None:
    """Again and again, until the rest of a hop is paid for."""
    hops: list[Line] = [(0, 1, 10, 10), (1, 0, 8, 8)]

    steps, needy, _ = arranged(hops, [4, 0], lends=False)

    assert 0 == needy
    assert [0, 1, 0, 1] == [hop for hop, _ in steps][:4]
    run = np.bincount([hop for hop, _ in steps], weights=[share for _, share in steps])
    assert np.allclose(1.0, run)


def test_a_circle_is_lent_what_its_least_hop_lacks() -> None:
    """In the token that most is taken of."""
    hops: list[Line] = [(0, 1, 9, 10), (1, 0, 10, 9)]

    steps, needy, lent = arranged(hops, [4, 0], lends=True)

    assert [(1, 1.0), (0, 1.0)] == steps
    assert (0, [0.0, 10.0]) == (needy, lent.tolist())


def test_without_room_or_anything_at_hand_hops_stay_in_need() -> None:
    """They are counted, and nothing is made up."""
    circle: list[Line] = [(0, 1, 10, 10), (1, 0, 10, 10)]

    assert ([], 2) == arranged(circle, [0, 0], lends=False)[:2]
    assert 2 == arranged(circle, [1, 0], lends=False, room=3)[1]


def test_an_error_of_floats_is_no_shortage() -> None:
    """What lacks less than floats can tell of all that is taken of a token is there."""
    hops: list[Line] = [(0, 1, 1.0, 1.0), (0, 1, 1e-9, 1e-9)]

    steps, needy, _ = arranged(hops, [1.0 + 1e-9 - 1e-13, 0], lends=False)

    assert [(0, 1.0), (1, 1.0)] == steps
    assert 0 == needy
