"""Float curves of pools as `curves` has them: what comes out, at what rate, and what is worth it.

Shapes, of n edges as a `Graph` has them: `keep` (n) float64; `piece_start`, `piece_stop` (n)
int64; `pieces` (m, 4) float64. Edges without pieces must not be asked.
"""

import math

from toolkit.pools.kernels.jit import part
from toolkit.routing.curves import Floats, Ints


@part
def along_edge(
    edge: int, amount: float, keep: Floats, piece_start: Ints, piece_stop: Ints, pieces: Floats
) -> tuple[float, float, float]:
    """Return (output, rate, bend) of an edge at an input.

    The rate is the output's derivative; the bend says how fast it falls within the piece: t more
    input leaves rate / (1 + t bend)^2 of it.
    """
    low, high = piece_start[edge], piece_stop[edge]
    while high - low > 1:
        middle = (low + high) >> 1
        if pieces[middle, 0] <= amount:
            low = middle
        else:
            high = middle
    paid = (amount - pieces[low, 0]) * keep[edge]
    depth = pieces[low, 2] + paid
    given = pieces[low, 3] / depth
    return (
        pieces[low, 1] + paid * given,
        keep[edge] * given * (pieces[low, 2] / depth),
        (keep[edge] / depth),
    )


@part
def along_path(
    path: Ints,
    hops: int,
    amount: float,
    keep: Floats,
    piece_start: Ints,
    piece_stop: Ints,
    pieces: Floats,
) -> tuple[float, float, float]:
    """Return (output, rate, bend) of the first `hops` edges of `path` one after the other.

    Within one piece of each edge a path is a constant product formula itself, so its rate falls
    as that of an edge does.
    """
    rate, bend = 1.0, 0.0
    for hop in range(hops):
        amount, of_edge, bent = along_edge(path[hop], amount, keep, piece_start, piece_stop, pieces)
        bend += bent * rate
        rate *= of_edge
    return amount, rate, bend


@part
def surplus(
    edge: int,
    price_in: float,
    price_out: float,
    keep: Floats,
    piece_start: Ints,
    piece_stop: Ints,
    pieces: Floats,
) -> tuple[float, float]:
    """Return (input, gain) of the trade that is worth most at prices, (0, 0) if none is.

    The gain is price_out output - price_in input. Every edge is concave, so the input is where
    the rate has fallen to price_in / price_out.
    """
    wanted = price_in / price_out
    low, high = piece_start[edge], piece_stop[edge]
    # The last piece that begins above the wanted rate holds the best input.
    while high - low > 1:
        middle = (low + high) >> 1
        if keep[edge] * pieces[middle, 3] > wanted * pieces[middle, 2]:
            low = middle
        else:
            high = middle
    x, y = pieces[low, 2], pieces[low, 3]
    if keep[edge] * y <= wanted * x:
        return 0.0, 0.0
    paid = math.sqrt(x) * (math.sqrt(keep[edge] * y / wanted) - math.sqrt(x))
    if low + 1 < piece_stop[edge]:
        paid = min(paid, (pieces[low + 1, 0] - pieces[low, 0]) * keep[edge])
    amount = pieces[low, 0] + paid / keep[edge]
    given = pieces[low, 1] + paid * y / (x + paid)
    return amount, price_out * given - price_in * amount
