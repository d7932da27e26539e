"""Pools that the dual would use in part, decided one by one, with a bound for either way.

Where few pools pay, a cost that is spread over a share of a pool is far from one that is paid in
full or not at all: the dual's bound is then above what any plan can leave, and what it proposes is
below. Using a pool for certain makes its cost sunk: the dual with a cost of 0, less the cost,
bounds all plans that use it; the dual without the pool bounds all others.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from toolkit.pools.words import Flags
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.networks.dual import SURPLUS, Dual, Solved

_UNDECIDED = 0.02
_CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class _Branch:
    """Plans that use some pools for certain, and others not at all (these are not chosen)."""

    solved: Solved
    certain: tuple[int, ...]
    bound: float


def shares(solved: Solved, costs: Floats, temperature: float) -> Floats:
    """Return how far each pool is used where the sum was rounded off (n), between 0 and 1."""
    heat = temperature * costs[solved.chosen]
    excess = solved.trades[:, SURPLUS] - costs[solved.chosen]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = np.where(heat > 0.0, 1.0 / (1.0 + np.exp(-excess / heat)), 1.0)
    share[solved.edges < 0] = 0.0
    return share


def decide(
    dual: Dual,
    solved: Solved,
    costs: Floats,
    *,
    temperature: float,
    most: int,
    attempt: Callable[[Solved, Floats], float],
    reached: float,
) -> tuple[float, float]:
    """Branch where the bound is highest, until what was reached is near it.

    Args:
        dual: the problem.
        solved: minimised over all pools at `temperature`.
        costs: (n_pools) of using each pool, in baskets.
        temperature: of all further sums.
        most: branchings at most.
        attempt: what a plan over the pools used leaves; also given the costs not yet sunk.
        reached: what a plan is known to leave.

    Returns:
        What is reached at last, and what no plan exceeds, both in baskets.
    """
    bound = dual.bound(solved.prices, costs)
    waiting = [(-bound, 0, _Branch(_worth_it(solved, costs, bound - reached), (), bound))]
    closed = reached
    for count in range(most):
        if not waiting or -waiting[0][0] <= reached * (1.0 + _CLOSE) or dual.is_late():
            break
        branch = heapq.heappop(waiting)[2]
        left = _left(costs, branch.certain)
        share = shares(branch.solved, left, temperature)
        doubt = np.minimum(share, 1.0 - share)
        if not len(doubt) or doubt.max() < _UNDECIDED:
            closed = max(closed, branch.bound)
            continue
        place = int(branch.solved.chosen[doubt.argmax()])
        chosen = branch.solved.chosen
        for used in (True, False):
            certain = (*branch.certain, place) if used else branch.certain
            pools = chosen if used else chosen[chosen != place]
            left = _left(costs, certain)
            found = dual.minimise(branch.solved.prices, pools, left, temperature=temperature)
            sunk = float(costs[list(certain)].sum())
            bound = min(branch.bound, dual.bound(found.prices, left, chosen=pools) - sunk)
            if bound > reached:
                reached = max(reached, attempt(found, left))
                rest = _worth_it(found, left, bound - reached)
                waiting_number = 2 * count + 1 + used
                heapq.heappush(waiting, (-bound, waiting_number, _Branch(rest, certain, bound)))
    return reached, max(reached, closed, *(branch.bound for *_, branch in waiting), 0.0)


def _left(costs: Floats, certain: tuple[int, ...]) -> Floats:
    left = costs.copy()
    left[list(certain)] = 0.0
    return left


def _worth_it(solved: Solved, costs: Floats, room: float) -> Solved:
    """Leave out pools whose use would push the bound below what is reached already."""
    stays: Flags = solved.trades[:, SURPLUS] >= costs[solved.chosen] - room
    places: Ints = np.flatnonzero(stays)
    return replace(
        solved,
        chosen=solved.chosen[places],
        edges=solved.edges[places],
        trades=solved.trades[places],
    )
