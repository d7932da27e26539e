"""Pools in a row, which only feed one another: they are used together or not at all."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from toolkit.pools.words import Flags
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.networks.dual import CURVATURE, GOT, PAID, SURPLUS, Dual, Solved

# Of the pools of a token, one in so many may go at a time (and one more).
_CROWD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """The trading pools of a solution, grouped along tokens that just two of them have.

    Attributes:
        group: (n) the chain of each row of the solution; -1: none.
        ends: (n_chains, 2) tokens at the ends of each.
        degrees: (n_tokens) how many trading pools have each token.
    """

    group: Ints
    ends: Ints
    degrees: Ints

    @classmethod
    def of(cls, dual: Dual, solved: Solved) -> "Chains":
        """Group the pools of a solution, every one of which trades."""
        from toolkit.routing.kernels.dual import link  # noqa: PLC0415 - numba loads at first use

        graph = dual.graph
        sides = np.stack([graph.edge_in[solved.edges], graph.edge_out[solved.edges]], axis=1)
        degrees = np.bincount(sides.ravel(), minlength=len(graph.tokens))
        joint = (degrees == 2).astype(np.int64)  # noqa: PLR2004 - one that feeds, one that is fed
        joint[list(dual.fixed)] = 0
        group = np.empty(len(sides), dtype=np.int64)
        ends = np.empty((len(sides), 2), dtype=np.int64)
        count = link(sides, joint, np.empty((len(joint), 2), dtype=np.int64), group, ends)
        return cls(group=group, ends=ends[:count], degrees=degrees)

    def saved(self, dual: Dual, solved: Solved, costs: Floats) -> Floats:
        """Estimate what is gained by leaving out each chain: its costs less what it brings."""
        rows = np.flatnonzero(self.group >= 0)
        group, trades, size = self.group[rows], solved.trades[rows], len(self.ends)
        count = np.bincount(group, minlength=size)
        through = np.bincount(group, np.sqrt(trades[:, PAID] * trades[:, GOT]), size) / count
        with np.errstate(divide="ignore"):
            softness = np.bincount(group, 1.0 / trades[:, CURVATURE], size)
        losses = dual.losses(
            solved,
            self.ends,
            surplus=np.bincount(group, trades[:, SURPLUS], size).astype(np.float64),
            through=through,
            stiffness=1.0 / softness,
        )
        saved: Floats = np.bincount(group, costs[solved.chosen[rows]], size) - losses
        return saved

    def apart(self, order: Ints, most: int) -> list[int]:
        """Pick chains, first come first served, so that no token loses many at a time."""
        room = 1 + self.degrees // _CROWD
        picked: list[int] = []
        for at, (one, other) in zip(order.tolist(), self.ends[order].tolist(), strict=True):
            if len(picked) == most:
                break
            if room[one] > 0 and room[other] > 0:
                room[one] -= 1
                room[other] -= 1
                picked.append(at)
        return picked

    def without(self, picked: Collection[int]) -> Flags:
        """Return which rows stay when some chains leave (n)."""
        gone = np.zeros(len(self.ends) + 1, dtype=np.bool_)
        gone[list(picked)] = True
        return ~gone[self.group]
