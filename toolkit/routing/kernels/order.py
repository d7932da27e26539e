"""The order of hops in which what is at hand pays for the next, compiled. Floats, no money.

Of n hops: `taken` and `given` (n) float64, what goes in and comes out, in worth, so that tokens
compare; `source` and `target` (n) int64, their tokens' places among those that are at hand by the
piece. `rank` (n) float64 says which of the hops that can run goes first.
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
    rank: Floats,
    weight: Floats,
    lends: bool,
    held: Floats,
    lent: Floats,
    steps: Ints,
    shares: Floats,
) -> tuple[int, int]:
    """Line hops up so that each is paid by what is at hand: (steps written, hops in need).

    Of those that can run the highest `rank` comes first. Where none can, either the token of the
    greatest `weight` is lent what its least hop lacks, or a part of a hop is run with what is at
    hand, the most of it, and the rest later. `held` and `lent` (n_tokens) are changed; `steps`
    and `shares` (room) take each step's hop and how much of it; hops in need are those that did
    not come to run, for lack of room or of anything to run them with.
    """
    count = taken.shape[0]
    rest = np.ones(count)
    open_hops = count
    written = 0
    while open_hops > 0 and written < steps.shape[0]:
        best, stuck = _choice(source, taken, rest, rank, weight, held, lends)
        if best < 0 and stuck < 0:
            break
        share = 0.0
        if best >= 0:
            share = rest[best]
        elif lends:
            best = stuck
            share = rest[best]
            lent[source[best]] += taken[best] * share - held[source[best]]
            held[source[best]] = taken[best] * share
        else:
            best = stuck
            share = held[source[best]] / taken[best]
        held[source[best]] = max(0.0, held[source[best]] - taken[best] * share)
        held[target[best]] += given[best] * share
        steps[written] = best
        shares[written] = share
        written += 1
        rest[best] -= share
        if rest[best] <= _NEAR:
            rest[best] = 0.0
            open_hops -= 1
    return written, open_hops


@part
def _choice(
    source: Ints,
    taken: Floats,
    rest: Floats,
    rank: Floats,
    weight: Floats,
    held: Floats,
    lends: bool,
) -> tuple[int, int]:
    """(the hop that runs next, the one to help where none can), -1 for none."""
    best = -1
    stuck = -1
    for hop in range(taken.shape[0]):
        if rest[hop] <= 0.0:
            continue
        token = source[hop]
        needed = taken[hop] * rest[hop]
        slack = _NEAR * needed + _NOISE * weight[token]
        if needed - slack <= held[token]:
            if best < 0 or rank[hop] > rank[best]:
                best = hop
        elif lends:
            if stuck < 0 or _first(hop, stuck, source, taken, weight):
                stuck = hop
        elif held[token] > slack and (stuck < 0 or held[token] > held[source[stuck]]):
            stuck = hop
    return best, stuck


@part
def _first(hop: int, other: int, source: Ints, taken: Floats, weight: Floats) -> bool:
    """Whether `hop` is to be lent to rather than `other`: the weightier token, then the less."""
    mine, its = weight[source[hop]], weight[source[other]]
    return bool(mine > its or (mine == its and taken[hop] < taken[other]))
