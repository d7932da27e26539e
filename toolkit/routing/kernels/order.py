"""The order of hops in which what is at hand pays for the next, compiled. Floats, no money.

Of n hops: `taken` and `given` (n) float64, what goes in and comes out, in worth, so that tokens
compare; `source` and `target` (n) int64, their tokens' places among those that are at hand by the
piece. Of the hops that can run the first goes first.
"""

import numpy as np

from toolkit.pools.kernels.jit import jit, part
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.kernels.walk import along_edge

# Of what a hop takes, and of all that is taken of its token: what is less than both together is an
# error of floats, and no shortage.
_NEAR = 1e-9
_NOISE = 1e-12


@jit
def weigh(
    edges: Ints,
    amounts: Floats,
    keep: Floats,
    piece_start: Ints,
    piece_stop: Ints,
    pieces: Floats,
    given: Floats,
    rates: Floats,
) -> None:
    """Write what `edges` (n) give for `amounts` (n), and at what rate in the end; 0 without any."""
    for place in range(edges.shape[0]):
        edge = edges[place]
        given[place] = 0.0
        rates[place] = 0.0
        if piece_start[edge] < piece_stop[edge]:
            found = along_edge(edge, amounts[place], keep, piece_start, piece_stop, pieces)
            given[place] = found[0]
            rates[place] = found[1]


@jit
def arrange(
    source: Ints,
    target: Ints,
    taken: Floats,
    given: Floats,
    weight: Floats,
    lends: bool,
    held: Floats,
    lent: Floats,
    steps: Ints,
    shares: Floats,
) -> tuple[int, int]:
    """Line hops up so that each is paid by what is at hand: (steps written, hops in need).

    Of those that can run the first comes first. Where none can, either the token of the greatest
    `weight` (n_tokens) is lent what its least hop lacks, or a part of a hop is run with what is at
    hand, the most of it, and the rest later. `held` and `lent` (n_tokens) are changed; `steps`
    and `shares` (room) take each step's hop and how much of it; hops in need are those that did
    not come to run, for lack of room or of anything to run them with.
    """
    count = taken.shape[0]
    rest = np.ones(count)
    # Of those not done yet each knows the next one; the last entry is where they begin.
    following = np.arange(1, count + 2)
    following[count] = 0
    open_hops = count
    written = 0
    while open_hops > 0 and written < steps.shape[0]:
        hop, before, runs = _choice(source, taken, rest, following, weight, held, lends)
        if hop < 0:
            break
        token = source[hop]
        share = rest[hop]
        if not runs and lends:
            lent[token] += taken[hop] * share - held[token]
            held[token] = taken[hop] * share
        elif not runs:
            share = held[token] / taken[hop]
        held[token] = max(0.0, held[token] - taken[hop] * share)
        held[target[hop]] += given[hop] * share
        steps[written] = hop
        shares[written] = share
        written += 1
        rest[hop] -= share
        if rest[hop] <= _NEAR:
            following[before] = following[hop]
            open_hops -= 1
    return written, open_hops


@part
def _choice(
    source: Ints,
    taken: Floats,
    rest: Floats,
    following: Ints,
    weight: Floats,
    held: Floats,
    lends: bool,
) -> tuple[int, int, bool]:
    """(the hop that runs next, the one before it in the list, whether it is paid for).

    Where none is paid for, the one to help; -1 for none.
    """
    count: int = taken.shape[0]
    stuck = -1
    before_stuck = -1
    before = count
    hop: int = following[before]
    while hop < count:
        token = source[hop]
        needed = taken[hop] * rest[hop]
        slack = _NEAR * needed + _NOISE * weight[token]
        if needed - slack <= held[token]:
            return hop, before, True
        if lends:
            helps = stuck < 0 or _first(hop, stuck, source, taken, weight)
        else:
            most = 0.0 if stuck < 0 else held[source[stuck]]
            helps = bool(held[token] > max(slack, most))
        if helps:
            stuck = hop
            before_stuck = before
        before = hop
        hop = following[hop]
    return stuck, before_stuck, False


@part
def _first(hop: int, other: int, source: Ints, taken: Floats, weight: Floats) -> bool:
    """Whether `hop` is to be lent to rather than `other`: the weightier token, then the less."""
    mine, its = weight[source[hop]], weight[source[other]]
    return bool(mine > its or (mine == its and taken[hop] < taken[other]))
