"""Candidate cycles for a token: enumerated and ranked in floats, to be settled in integers."""

import math
from dataclasses import dataclass

import numpy as np

from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.routing.arrays import Arrays, Floats

# Rows the search keeps; what the integers then rank.
MAX_CANDIDATES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A cycle as pool indices of `Arrays`, with its estimated input and net profit, raw units."""

    pools: tuple[int, ...]
    amount_in: float
    net: float


def find_cycles(
    arrays: Arrays, token: Address, *, max_hops: int, max_input: float, costs: Floats
) -> tuple[Candidate, ...]:
    """Return the most promising cycles from `token`, best first, by estimated net profit.

    `costs` (n_edges + 1) is what each edge and, last, any cycle costs, in the token's raw units.
    Compiles the kernels at the first call of a process, or loads them from numba's cache.
    """
    from toolkit.routing.kernels.cycles import search  # noqa: PLC0415 - numba loads at first use

    net = np.empty(MAX_CANDIDATES)
    amount = np.zeros(MAX_CANDIDATES)
    path = np.full((MAX_CANDIDATES, max_hops), -1, dtype=np.int64)
    search(
        arrays.tokens.index(token),
        max_input,
        costs,
        arrays.token_start,
        arrays.edges,
        arrays.keep,
        arrays.piece_start,
        arrays.pieces,
        net,
        amount,
        path,
    )
    found = [
        Candidate(
            pools=tuple(int(arrays.edges[edge, 1]) for edge in path[row] if edge >= 0),
            amount_in=float(amount[row]),
            net=float(net[row]),
        )
        for row in range(MAX_CANDIDATES)
        if math.isfinite(net[row])
    ]
    return tuple(sorted(found, key=lambda cycle: (-cycle.net, len(cycle.pools), cycle.pools)))


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache, by searching an empty graph."""
    empty = Arrays(
        tokens=(ZERO_ADDRESS,),
        pools=(),
        token_start=np.zeros(2, dtype=np.int64),
        edges=np.empty((0, 2), dtype=np.int64),
        keep=np.empty(0),
        piece_start=np.zeros(1, dtype=np.int64),
        pieces=np.empty((0, 4)),
    )
    find_cycles(empty, ZERO_ADDRESS, max_hops=2, max_input=1.0, costs=np.zeros(1))
