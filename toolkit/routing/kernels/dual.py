"""What pools would trade at given prices, and how much that is worth; compiled floats.

Prices are of raw units. At prices nu a pool trades where one direction's marginal rate exceeds
nu_in / nu_out, as far as it does, and earns arb(nu) = nu_out out - nu_in in, which is convex in nu.
Slopes are with respect to relative changes of prices: nu_t d/dnu_t, so that they are values too.
"""

import math

from toolkit.pools.kernels.jit import jit, part
from toolkit.routing.curves import Floats, Ints

EDGE_NONE = -1


@part
def _beyond(rate: float, low: int, high: int, keep: float, pieces: Floats) -> int:
    """Return the last of the pieces low .. high - 1 that begins at more than a marginal rate.

    The first is known to; rates fall from piece to piece.
    """
    while high - low > 1:
        middle = (low + high) >> 1
        if keep * pieces[middle, 3] > rate * pieces[middle, 2]:
            low = middle
        else:
            high = middle
    return low


@jit
def respond(
    prices: Floats,
    chosen: Ints,
    edge_in: Ints,
    keep: Floats,
    piece_start: Ints,
    piece_stop: Ints,
    pieces: Floats,
    edges: Ints,
    trades: Floats,
) -> None:
    """Let the chosen pools trade at prices.

    Arrays:
        prices: (n_tokens) of raw units.
        chosen: (n) places of pools.
        edge_in, keep, piece_start, piece_stop, pieces: as `Graph` has them.
        edges: (n), written: the direction taken, or -1.
        trades: (n, 6), written: raw input and output, their values, the surplus (the difference of
            these, but not worked out as one), and its curvature w: with respect to relative
            changes (d_in, d_out) of prices it is w (d_in - d_out)^2.
    """
    for row in range(chosen.shape[0]):
        edges[row] = EDGE_NONE
        trades[row] = 0.0
        for edge in range(2 * chosen[row], 2 * chosen[row] + 2):
            first = piece_start[edge]
            stop = piece_stop[edge]
            into = prices[edge_in[edge]]
            out_of = prices[edge_in[edge ^ 1]]
            left = keep[edge]
            if first == stop or not left * pieces[first, 3] * out_of > pieces[first, 2] * into:
                continue
            rate = into / out_of
            at = _beyond(rate, first, stop, left, pieces)
            x = pieces[at, 2]
            y = pieces[at, 3]
            depth = math.sqrt(left * x * y / rate)
            amount = pieces[at, 0] + (depth - x) / left
            curvature = 0.5 * into * depth / left
            if at + 1 < stop and amount > pieces[at + 1, 0]:
                # The rate jumps here, so that small changes of prices change nothing.
                amount = pieces[at + 1, 0]
                depth = x + (amount - pieces[at, 0]) * left
                curvature = 0.0
            given = pieces[at, 1] + (depth - x) * y / depth
            edges[row] = edge
            trades[row, 0] = amount
            trades[row, 1] = given
            trades[row, 2] = amount * into
            trades[row, 3] = given * out_of
            trades[row, 4] = (
                (math.sqrt(y * out_of) - math.sqrt(x * into / left)) ** 2
                + pieces[at, 1] * out_of
                - pieces[at, 0] * into
                if curvature > 0.0
                else given * out_of - amount * into
            )
            trades[row, 5] = curvature
            break


@jit
def weigh(
    chosen: Ints,
    costs: Floats,
    temperature: float,
    edge_in: Ints,
    edges: Ints,
    trades: Floats,
    slopes: Floats,
    blocks: Floats,
) -> float:
    """Add up what the trades are worth after costs, with slopes and curvature.

    Each pool adds f(s - c), s its surplus and c its cost: f(z) = t log(1 + exp(z / t)) with
    t = temperature c, which is max(0, z) rounded off, and f(z) = max(0, z) where t is 0.

    Arrays:
        costs: (n_pools).
        slopes: (n_tokens), added to.
        blocks: (n, 3), written: second derivatives (in, in), (in, out), (out, out).
    """
    total = 0.0
    # Rounded off it is not 0 where a pool does not trade either, so that the sum does not jump
    # where trading begins.
    idle = temperature * math.log1p(math.exp(-1.0 / temperature)) if temperature > 0.0 else 0.0
    for row in range(chosen.shape[0]):
        blocks[row, 0] = 0.0
        blocks[row, 1] = 0.0
        blocks[row, 2] = 0.0
        edge = edges[row]
        cost = costs[chosen[row]]
        if edge < 0:
            total += cost * idle
            continue
        excess = trades[row, 4] - cost
        heat = temperature * cost
        bend = 0.0
        share = 1.0 if excess > 0.0 else 0.0
        total += max(excess, 0.0)
        if heat > 0.0:
            small = math.exp(-abs(excess) / heat)
            total += heat * math.log1p(small)
            share = (1.0 if excess > 0.0 else small) / (1.0 + small)
            bend = small / (1.0 + small) ** 2 / heat
        paid = trades[row, 2]
        got = trades[row, 3]
        slopes[edge_in[edge]] -= share * paid
        slopes[edge_in[edge ^ 1]] += share * got
        stiff = share * trades[row, 5]
        blocks[row, 0] = stiff + bend * paid * paid
        blocks[row, 1] = -stiff - bend * paid * got
        blocks[row, 2] = stiff + bend * got * got
    return total


@jit
def span(
    prices: Floats,
    token_start: Ints,
    out_edges: Ints,
    edge_out: Ints,
    piece_start: Ints,
    piece_stop: Ints,
    pieces: Floats,
    depths: Floats,
) -> None:
    """Price tokens along the deepest pools, beginning with those that have a price.

    Arrays:
        prices: (n_tokens); 0 where none is known, written where one is found.
        token_start, out_edges, edge_out, piece_start, piece_stop, pieces: as `Graph` has them.
        depths: (n_tokens) scratch.
    """
    size = prices.shape[0]
    depths[:] = 0.0
    for token in range(size):
        if prices[token] > 0.0:
            depths[token] = math.inf
    for _ in range(size):
        token = 0
        for other in range(size):
            if depths[other] > depths[token]:
                token = other
        if not depths[token] > 0.0:
            break
        depths[token] = -1.0
        for at in range(token_start[token], token_start[token + 1]):
            edge = out_edges[at]
            first = piece_start[edge]
            other = edge_out[edge]
            here = 2
            if first == piece_stop[edge] or pieces[first, 3] <= 0.0:
                first = piece_start[edge ^ 1]
                here = 3
                if first == piece_stop[edge ^ 1] or pieces[first, 3] <= 0.0:
                    continue
            depth = prices[token] * pieces[first, here]
            if depth > depths[other] >= 0.0:
                depths[other] = depth
                prices[other] = depth / pieces[first, 5 - here]


@jit
def link(sides: Ints, joint: Ints, rows: Ints, group: Ints, ends: Ints) -> int:
    """Number the chains that trades form along tokens which exactly two of them have.

    Arrays:
        sides: (n, 2) the two tokens of each trade.
        joint: (n_tokens) not 0 where chains go on.
        rows: (n_tokens, 2) scratch.
        group: (n), written: the chain of each trade; -1 in a ring that nothing else touches.
        ends: (n, 2), written from the start: the two tokens at the ends of each chain.

    Returns:
        How many chains there are.
    """
    rows[:] = -1
    group[:] = -1
    for row in range(sides.shape[0]):
        for side in range(2):
            token = sides[row, side]
            rows[token, 0 if rows[token, 0] < 0 else 1] = row
    count = 0
    for row in range(sides.shape[0]):
        inner = 0 if joint[sides[row, 0]] else 1
        if group[row] >= 0 or joint[sides[row, 1 - inner]]:
            continue
        at = row
        token = sides[row, inner]
        group[at] = count
        while joint[token]:
            at = rows[token, 1] if rows[token, 0] == at else rows[token, 0]
            group[at] = count
            token = sides[at, 0] + sides[at, 1] - token
        ends[count, 0] = sides[row, 1 - inner]
        ends[count, 1] = token
        count += 1
    return count
