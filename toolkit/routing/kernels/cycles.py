"""Float search for cycles that pay, bounded by what prices leave to gain. Proposals, no money.

Amounts are in values: an amount of a token times its price, so that the source token's own unit
counts everywhere. An edge gives at most V R / (1 + V B) for a value V, its rate R and bend B as
`weigh` has them; a path of such edges is of that form too, and gains at most

    (sqrt(R) - 1)^2 / B,    at V = (sqrt(R) - 1) / B

A cycle's profit is the sum of what each of its edges gains at the prices, so at most the sum of
their surpluses, whatever the prices are: good ones make that bound tight, and none makes it wrong
(weak duality). Every bound is rounded outward.
"""

import math

import numpy as np

from toolkit.pools.kernels.jit import jit, part
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.kernels.prices import reserves
from toolkit.routing.kernels.shapes import Ahead, Curves, Links, Live, Rows, Weights
from toolkit.routing.kernels.walk import along_path, surplus

_SLACK = 1e-13
"""Of an amount: many times what rounding of the few steps to it can do."""
_BLUR = 1e-15
_STEPS = 100
_CLOSE = 1e-9


@jit
def weigh(which: Ints, links: Links, curves: Curves, prices: Floats, weights: Weights) -> None:
    """Write, for the edges that `which` names, what the search goes by."""
    for place in range(which.shape[0]):
        edge = which[place]
        first, stop = curves.piece_start[edge], curves.piece_stop[edge]
        price_in, price_out = prices[links.edge_in[edge]], prices[links.edge_out[edge]]
        weights.gains[edge], weights.rates[edge] = -math.inf, 0.0
        weights.bends[edge], weights.blurs[edge] = 0.0, 0.0
        if first == stop or price_in == 0.0 or price_out == 0.0:
            continue
        x, y = reserves(edge, curves)
        weights.rates[edge] = curves.keep[edge] * y / x * (price_out / price_in)
        weights.bends[edge] = _bend(edge, curves) / price_in
        if stop > first + 1:
            for piece in range(first, stop):
                x, y = curves.pieces[piece, 2], curves.pieces[piece, 3]
                weights.blurs[edge] += _BLUR * (x * price_in + y * price_out)
        amount, gain = surplus(
            edge,
            price_in,
            price_out,
            curves.keep,
            curves.piece_start,
            curves.piece_stop,
            curves.pieces,
        )
        slack = _SLACK * (amount * price_in + gain)
        weights.gains[edge] = gain + slack + weights.blurs[edge]


@part
def _bend(edge: int, curves: Curves) -> float:
    """The highest b, rounded down, for which an edge gives at most u r / (1 + u b) for any u.

    Its rate r is that of the first piece, and b the least of r / output - 1 / u. Within a piece
    that is lowest at one of its ends or where its slope is 0; in the first one it is the same
    everywhere.
    """
    first, stop = curves.piece_start[edge], curves.piece_stop[edge]
    left = curves.keep[edge]
    rate = left * curves.pieces[first, 3] / curves.pieces[first, 2]
    least = left / curves.pieces[first, 2]
    for piece in range(first + 1, stop):
        into, out = curves.pieces[piece, 0], curves.pieces[piece, 1]
        x, y = curves.pieces[piece, 2], curves.pieces[piece, 3]
        least = min(least, _bend_at(into, out, rate))
        end = curves.pieces[piece + 1, 0] if piece + 1 < stop else math.inf
        apart = math.sqrt(rate * left * x * y) - left * (out + y)
        flat = (out * (x - left * into) - left * into * y) / apart if apart != 0.0 else 0.0
        if into < flat < end:
            paid = left * (flat - into)
            least = min(least, _bend_at(flat, out + paid * y / (x + paid), rate))
    if stop > first + 1:  # what it tends to as u grows without end
        least = min(least, (1.0 - _SLACK) * rate / (out + y))
    return float(max(0.0, least))


@part
def _bend_at(amount: float, out: float, rate: float) -> float:
    return rate / out - 1.0 / amount - _SLACK * (rate / out)


@jit
def complete(
    source: int, links: Links, weights: Weights, costs: Floats, touched: Ints, ahead: Ahead
) -> None:
    """Write how a path from each token may go on to the source, by how many hops it has left."""
    ahead.worth[:] = -math.inf
    ahead.rate[:] = 0.0
    for at in range(links.token_start[source], links.token_start[source + 1]):
        edge = links.out_edges[at] ^ 1
        token = links.edge_in[edge]
        for state in range(1 - touched[edge], 2):
            worth = weights.gains[edge] - costs[edge]
            ahead.worth[state, 1:, token] = max(ahead.worth[state, 1, token], worth)
            ahead.rate[state, 1:, token] = max(ahead.rate[state, 1, token], weights.rates[edge])
    for hops in range(2, ahead.worth.shape[1]):
        for edge in range(costs.shape[0]):
            token, other = links.edge_in[edge], links.edge_out[edge]
            if source in (token, other) or weights.rates[edge] == 0.0:
                continue
            for state in range(2):
                after = 1 if state == 1 or touched[edge] else 0
                worth = weights.gains[edge] - costs[edge] + ahead.worth[after, hops - 1, other]
                rate = weights.rates[edge] * ahead.rate[after, hops - 1, other]
                ahead.worth[state, hops, token] = max(ahead.worth[state, hops, token], worth)
                ahead.rate[state, hops, token] = max(ahead.rate[state, hops, token], rate)


@part
def _onward(source: int, state: int, left: int, token: int, ahead: Ahead) -> tuple[float, float]:
    """The most that what follows can add, and its highest rate; 0 where it leads nowhere."""
    if token == source:
        return 0.0, float(state)
    return ahead.worth[state, left, token], ahead.rate[state, left, token]


@part
def _live_edges(
    source: int,
    must: int,
    needed: float,
    links: Links,
    weights: Weights,
    costs: Floats,
    touched: Ints,
    ahead: Ahead,
) -> Live:
    """Return the edges that a cycle which leaves more than `needed` may take.

    A path from the source to a token is worth at most what the best one is, and its rate at most
    the highest, be that two paths.
    """
    hops, tokens = ahead.worth.shape[1:]
    states = 2 if must else 1
    live = Live(
        np.zeros((2, hops, tokens + 1), np.int64),
        np.empty(states * hops * costs.shape[0], np.int64),
        np.empty(states * hops * costs.shape[0]),
    )
    worth, rate = np.full((2, 2, tokens), -math.inf), np.zeros((2, 2, tokens))
    worth[0, 1 - must, source], rate[0, 1 - must, source] = 0.0, 1.0
    count = 0
    for depth in range(hops):
        here, there = depth & 1, 1 - (depth & 1)
        worth[there], rate[there] = -math.inf, 0.0
        for state in range(2 - states, 2):
            for token in range(tokens):
                first = count
                live.start[state, depth, token] = first
                if rate[here, state, token] == 0.0:
                    continue
                for at in range(links.token_start[token], links.token_start[token + 1]):
                    edge = links.out_edges[at]
                    target = links.edge_out[edge]
                    after = 1 if state == 1 or touched[edge] else 0
                    more, times = _onward(source, after, hops - depth - 1, target, ahead)
                    gain = weights.gains[edge] - costs[edge]
                    so_far = worth[here, state, token] + gain
                    reach = rate[here, state, token] * weights.rates[edge]
                    if so_far + more <= needed or reach * times * (1.0 + _SLACK) <= 1.0:
                        continue
                    live.edge[count], live.worth[count] = edge, gain + more
                    count += 1
                    if target != source:
                        worth[there, after, target] = max(worth[there, after, target], so_far)
                        rate[there, after, target] = max(rate[there, after, target], reach)
                _put_in_order(first, count, live)
            live.start[state, depth, tokens] = count
    return live


@part
def _put_in_order(first: int, stop: int, live: Live) -> None:
    """Sort by worth, the most first: Shell's way, which is soon compiled."""
    gap = 1
    while gap < stop - first:
        gap = 3 * gap + 1
    while gap > 1:
        gap //= 3
        for place in range(first + gap, stop):
            edge, worth = live.edge[place], live.worth[place]
            at = place
            while at >= first + gap and live.worth[at - gap] < worth:
                live.edge[at], live.worth[at] = live.edge[at - gap], live.worth[at - gap]
                at -= gap
            live.edge[at], live.worth[at] = edge, worth


@part
def _most(rate: float, bend: float) -> float:
    """The most that a path of this rate and bend can gain, rounded up."""
    over = math.sqrt(rate) * (1.0 + _SLACK) - 1.0
    if over <= 0.0:
        return 0.0
    return math.inf if bend == 0.0 else over * over / bend * (1.0 + _SLACK)


@jit
def size_path(
    path: Ints, hops: int, max_input: float, curves: Curves
) -> tuple[float, float, float]:
    """Return a cycle's best input, the most that any can gain, and the bend there.

    In the token's smallest units. The rate falls with the input and the cycle pays most where it
    is 1. Within the pieces that an input falls into 1 / sqrt(rate) is linear, so a step to where
    that is 1 ends the search or leads on to other pieces; a step that leaves what is still in
    doubt halves that instead. What is in doubt at the end counts as gained.
    """
    low, high = 0.0, max_input
    amount = 0.0
    for _ in range(_STEPS):
        _, rate, bend = _along(path, hops, amount, curves)
        if rate > 1.0:
            low = amount
        else:
            high = amount
        if high - low <= 2.0 * _CLOSE * high:
            break
        step = (math.sqrt(rate) - 1.0) / bend
        if abs(step) < _CLOSE * amount:
            # Beyond the best input, so that what is in doubt ends on both sides of it.
            step = math.copysign(_CLOSE * amount, step)
        amount += step
        if not low < amount < high:
            amount = max_input if high == max_input <= amount else 0.5 * (low + high)
    if high > 0.0:
        amount = min(max(amount + (math.sqrt(rate) - 1.0) / bend, low), high)
    out, rate, bend = _along(path, hops, amount, curves)
    doubt = max((rate - 1.0) * (high - amount), (1.0 - rate) * (amount - low))
    return amount, out - amount + doubt + _SLACK * amount, bend


@part
def _along(path: Ints, hops: int, amount: float, curves: Curves) -> tuple[float, float, float]:
    return along_path(
        path, hops, amount, curves.keep, curves.piece_start, curves.piece_stop, curves.pieces
    )


@part
def _can_pay(
    rate: float, times: float, bend: float, bound: float, more: float, needed: float
) -> bool:
    """Whether a path of this rate and bend, that gains at most `bound`, may pay what is needed.

    `times` and `more` are the best that the rate and the gain can be from there on.
    """
    if rate * times * (1.0 + _SLACK) <= 1.0 or bound + more <= needed:
        return False
    return _most(rate * times, bend) > needed


@part
def _passed(target: int, node: Ints, depth: int) -> bool:
    passed = False
    for step in range(1, depth + 1):
        passed |= node[step] == target
    return passed


@part
def _replace(row: int, most: float, path: Ints, hops: int, rows: Rows) -> int:
    """Put a cycle into a row, and return which row is the worst then."""
    rows.most[row] = most
    rows.path[row, :hops] = path[:hops]
    rows.path[row, hops:] = -1
    return int(np.argmin(rows.most))


@jit
def search(
    source: int,
    must: int,
    threshold: float,
    once: float,
    max_input: float,
    links: Links,
    curves: Curves,
    weights: Weights,
    costs: Floats,
    touched: Ints,
    ahead: Ahead,
    rows: Rows,
) -> float:
    """Find the cycles from `source` that may leave more than `threshold`; keep the best rows.

    Cycles pass no token twice, and only they count that go through an edge of which `touched`
    (n) is not 0, if `must`. Each costs `once`, and `costs` (n) by edge, or more.

    Returns:
        What no cycle that is not in the rows exceeds.
    """
    hops = rows.path.shape[1]
    # Sums of the same in another order differ by less than this part of what they are made of.
    dear = once + hops * costs.max()
    needed = threshold + once - _SLACK * (threshold + dear)
    live = _live_edges(source, must, needed, links, weights, costs, touched, ahead)
    path = np.full(hops, -1, np.int64)
    node = np.full(hops + 1, source, np.int64)
    position = np.full(hops + 1, live.start[1 - must, 0, source], np.int64)
    state = np.full(hops + 1, 1 - must, np.int64)
    rate, bend = np.ones(hops + 1), np.zeros(hops + 1)
    bound, cost, blur = np.zeros(hops + 1), np.full(hops + 1, once), np.zeros(hops + 1)
    rows.most[:] = -math.inf
    worst = 0
    depth = 0
    while depth >= 0:
        place = position[depth]
        needed = threshold + cost[depth] - _SLACK * (threshold + dear)
        if (
            place == live.start[state[depth], depth, node[depth] + 1]
            or bound[depth] + live.worth[place] <= needed
        ):
            depth -= 1
            continue
        edge = live.edge[place]
        position[depth] += 1
        target = links.edge_out[edge]
        if target == source and edge == path[0] ^ 1:
            continue  # back through the same pool is no cycle
        after = 1 if state[depth] == 1 or touched[edge] else 0
        more, times = _onward(source, after, hops - depth - 1, target, ahead)
        spent = cost[depth] + costs[edge]
        needed = threshold + spent
        reach = rate[depth] * weights.rates[edge]
        bent = bend[depth] + weights.bends[edge] * rate[depth]
        limit = bound[depth] + weights.gains[edge]
        blurred = blur[depth] + weights.blurs[edge]
        if not _can_pay(reach, times, bent, limit, more, needed - blurred):
            continue
        limit = min(limit, _most(reach, bent) + blurred)
        if limit + more <= needed:
            continue
        path[depth] = edge
        if target != source:
            if not _passed(target, node, depth):
                depth += 1
                node[depth], position[depth] = target, live.start[after, depth, target]
                state[depth], rate[depth], bend[depth] = after, reach, bent
                bound[depth], cost[depth], blur[depth] = limit, spent, blurred
            continue
        most = size_path(path, depth + 1, max_input, curves)[1] + blurred - spent
        if most > threshold:
            worst = _replace(worst, most, path, depth + 1, rows)
            threshold = max(threshold, rows.most[worst])
    return threshold
