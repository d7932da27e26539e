"""Float search for profitable cycles, compiled. Shapes and meanings are those of `Arrays`."""

import math

import numpy as np

from toolkit.pools.kernels.jit import jit
from toolkit.routing.curves import Floats, Ints

_BISECTIONS = 60
_DOUBLINGS = 200
# Gas costs are estimates in here, so a near miss stays in: the integers decide.
_NEAR = 0.99


@jit
def walk(
    path: Ints, hops: int, amount: float, keep: Floats, piece_start: Ints, pieces: Floats
) -> tuple[float, float]:
    """Return (output, marginal rate) of `amount` through the first `hops` edges of `path`."""
    rate = 1.0
    for hop in range(hops):
        edge = path[hop]
        low = piece_start[edge]
        high = piece_start[edge + 1]
        while high - low > 1:
            middle = (low + high) >> 1
            if pieces[middle, 0] <= amount:
                low = middle
            else:
                high = middle
        paid = (amount - pieces[low, 0]) * keep[edge]
        depth = pieces[low, 2] + paid
        rate *= keep[edge] * pieces[low, 3] * pieces[low, 2] / (depth * depth)
        amount = pieces[low, 1] + paid * pieces[low, 3] / depth
    return amount, rate


@jit
def best_input(
    path: Ints, hops: int, max_input: float, keep: Floats, piece_start: Ints, pieces: Floats
) -> float:
    """Return the most profitable input of a cycle, 0 if none.

    Every edge is concave, so the rate falls with the input: the cycle can pay only if the rate
    at 0 exceeds 1, and pays most where it has fallen to 1.
    """
    if walk(path, hops, 0.0, keep, piece_start, pieces)[1] <= 1.0:
        return 0.0
    high = 1.0
    for _ in range(_DOUBLINGS):
        if high >= max_input or walk(path, hops, high, keep, piece_start, pieces)[1] <= 1.0:
            break
        high *= 2.0
    low = 0.0
    high = min(high, max_input)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if walk(path, hops, middle, keep, piece_start, pieces)[1] > 1.0:
            low = middle
        else:
            high = middle
    return high


@jit
def search(
    source: int,
    max_input: float,
    costs: Floats,
    token_start: Ints,
    edges: Ints,
    keep: Floats,
    piece_start: Ints,
    pieces: Floats,
    row_net: Floats,
    row_input: Floats,
    row_path: Ints,
) -> int:
    """Visit every cycle from `source` through distinct pools and tokens; keep the best rows.

    Each cycle is sized alone. `costs` (n_edges + 1) is what each edge costs in the source
    token's raw units and, at its end, what any cycle costs. Rows, in no order: `row_net`
    (n_rows) is profit net of costs, -inf where unused; `row_input` (n_rows) the input;
    `row_path` (n_rows, max_hops) the edges, -1 after the last.

    Returns:
        How many cycles were visited.
    """
    max_hops = row_path.shape[1]
    path = np.full(max_hops, -1, np.int64)
    node = np.full(max_hops + 1, source, np.int64)
    position = np.full(max_hops + 1, token_start[source], np.int64)
    row_net[:] = -math.inf
    count = 0
    depth = 0
    while depth >= 0:
        edge = position[depth]
        path[depth:] = -1
        if edge == token_start[node[depth] + 1]:
            depth -= 1
            continue
        position[depth] += 1
        target = edges[edge, 0]
        repeats = False
        for step in range(depth):
            repeats |= edges[path[step], 1] == edges[edge, 1] or node[step + 1] == target
        if repeats:
            continue
        path[depth] = edge
        if target != source:
            if depth + 1 < max_hops:
                depth += 1
                node[depth] = target
                position[depth] = token_start[target]
            continue
        count += 1
        amount = best_input(path, depth + 1, max_input, keep, piece_start, pieces)
        gain = walk(path, depth + 1, amount, keep, piece_start, pieces)[0] - amount
        cost = costs[-1] + costs[path[: depth + 1]].sum()
        worst = np.argmin(row_net)
        if gain > _NEAR * cost and gain - cost > row_net[worst]:
            row_net[worst] = gain - cost
            row_input[worst] = amount
            row_path[worst] = path
    return count
