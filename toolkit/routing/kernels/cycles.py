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
from toolkit.routing.kernels.shapes import Ahead, Curves, Links, Rows, Weights
from toolkit.routing.kernels.walk import along_path, surplus

_SLACK = 1e-13
"""Of an amount: many times what rounding of the few steps to it can do."""
_BLUR = 1e-15
_SETTLING, _SWEEPS = 6, 12
_DAMPING = 0.1
_STEPS = 100
_CLOSE = 1e-9


@jit
def estimate_prices(source: int, links: Links, curves: Curves, prices: Floats) -> None:
    """Write what one unit of each token is worth in the source's; 0 where no pool leads to it.

    First by the deepest pool towards the source, then by all pools, in proportion to their depth:
    towards their mean, then so that little is left to gain beyond their fees.
    """
    order = np.empty(prices.shape[0], np.int64)
    count = _price_by_deepest(source, links, curves, prices, order)
    logs = np.zeros(prices.shape[0])
    edges = links.edge_out.shape[0]
    rates, depths = np.full(edges, -math.inf), np.zeros(edges)
    for place in range(count):
        token = order[place]
        logs[token] = math.log(prices[token])
        for at in range(links.token_start[token], links.token_start[token + 1]):
            edge = links.out_edges[at]
            if _is_open(edge, curves):
                x, y = _reserves(edge, curves)
                other = prices[links.edge_out[edge]]
                if curves.piece_start[edge] < curves.piece_stop[edge]:
                    rates[edge] = math.log(curves.keep[edge] * y / x)
                depths[edge] = math.sqrt(prices[token] * x) * math.sqrt(other * y)
    for sweep in range(_SETTLING + _SWEEPS):
        for place in range(1, count):
            token = order[place]
            logs[token] += _pull(token, sweep < _SETTLING, links, rates, depths, logs)
    for place in range(1, count):
        prices[order[place]] = math.exp(logs[order[place]])


@part
def _price_by_deepest(
    source: int, links: Links, curves: Curves, prices: Floats, order: Ints
) -> int:
    """Price tokens from the source on; writes their order, and returns how many there are."""
    queued = np.zeros(prices.shape[0], np.bool_)
    prices[:] = 0.0
    prices[source] = 1.0
    order[0], count = source, 1
    queued[source] = True
    place = 0
    while place < count:
        token = order[place]
        deepest = 0.0
        for at in range(links.token_start[token], links.token_start[token + 1]):
            edge = links.out_edges[at]
            other = links.edge_out[edge]
            if not _is_open(edge, curves):
                continue
            x, y = _reserves(edge, curves)
            if not queued[other]:
                queued[other] = True
                order[count] = other
                count += 1
            elif token != source and prices[other] * y > deepest:
                deepest = prices[other] * y
                prices[token] = deepest / x
        place += 1
    return count


@part
def _is_open(edge: int, curves: Curves) -> bool:
    """Whether something comes out of an edge, or of the other way through its pool."""
    here = curves.piece_stop[edge] - curves.piece_start[edge]
    back = curves.piece_stop[edge ^ 1] - curves.piece_start[edge ^ 1]
    return bool(here + back > 0)


@part
def _reserves(edge: int, curves: Curves) -> tuple[float, float]:
    """What an edge's first piece has of the token that goes in, and of the one that comes out."""
    first = curves.piece_start[edge]
    if first < curves.piece_stop[edge]:
        return curves.pieces[first, 2], curves.pieces[first, 3]
    first = curves.piece_start[edge ^ 1]
    return curves.pieces[first, 3], curves.pieces[first, 2]


@part
def _pull(
    token: int, to_mean: bool, links: Links, rates: Floats, depths: Floats, logs: Floats
) -> float:
    """By how much the logarithm of a token's price is too low, as its pools see it."""
    pull, weight = 0.0, 0.0
    for at in range(links.token_start[token], links.token_start[token + 1]):
        edge = links.out_edges[at]
        apart = logs[links.edge_out[edge]] - logs[token]
        sold, bought = rates[edge] + apart, rates[edge ^ 1] - apart
        depth = depths[edge]
        if to_mean:
            if math.isfinite(sold) and math.isfinite(bought):
                pull += depth * 0.5 * (sold - bought)
                weight += depth
        else:
            pull += depth * (max(sold, 0.0) - max(bought, 0.0))
            weight += depth if max(sold, bought) > 0.0 else _DAMPING * depth
    return pull / weight if weight > 0.0 else 0.0


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
        x, y = _reserves(edge, curves)
        weights.rates[edge] = curves.keep[edge] * y / x * (price_out / price_in)
        if stop == first + 1:
            weights.bends[edge] = curves.keep[edge] / x / price_in
        else:
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


@jit
def complete(
    source: int, links: Links, weights: Weights, costs: Floats, touched: Ints, ahead: Ahead
) -> None:
    """Write how a path from each token may go on to the source, by how many hops it has left."""
    ahead.worth[:] = -math.inf
    ahead.rate[:] = 0.0
    for hops in range(1, ahead.worth.shape[1]):
        for edge in range(costs.shape[0]):
            token, other = links.edge_in[edge], links.edge_out[edge]
            if token == source or weights.rates[edge] == 0.0:
                continue
            for state in range(2):
                after = 1 if state == 1 or touched[edge] else 0
                more, times = 0.0, 1.0
                if other != source:
                    more, times = (
                        ahead.worth[after, hops - 1, other],
                        ahead.rate[after, hops - 1, other],
                    )
                elif after == 0:
                    continue
                worth = weights.gains[edge] - costs[edge] + more
                rate = weights.rates[edge] * times
                ahead.worth[state, hops, token] = max(ahead.worth[state, hops, token], worth)
                ahead.rate[state, hops, token] = max(ahead.rate[state, hops, token], rate)


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
    path = np.full(hops, -1, np.int64)
    node = np.full(hops + 1, source, np.int64)
    position = np.full(hops + 1, links.token_start[source], np.int64)
    state = np.full(hops + 1, 1 - must, np.int64)
    rate, bend = np.ones(hops + 1), np.zeros(hops + 1)
    bound, cost, blur = np.zeros(hops + 1), np.full(hops + 1, once), np.zeros(hops + 1)
    rows.most[:] = -math.inf
    worst = 0
    depth = 0
    while depth >= 0:
        if position[depth] == links.token_start[node[depth] + 1]:
            depth -= 1
            continue
        edge = links.out_edges[position[depth]]
        position[depth] += 1
        target = links.edge_out[edge]
        left = hops - depth - 1
        after = 1 if state[depth] == 1 or touched[edge] else 0
        more, times = ahead.worth[after, left, target], ahead.rate[after, left, target]
        if target == source:
            # Back through the same pool is no cycle.
            more, times = 0.0, float(after) if edge != path[0] ^ 1 else 0.0
        spent = cost[depth] + costs[edge]
        needed = threshold + spent
        reach = rate[depth] * weights.rates[edge]
        bent = bend[depth] + weights.bends[edge] * rate[depth]
        limit = bound[depth] + weights.gains[edge]
        if not _can_pay(reach, times, bent, limit, more, needed):
            continue
        blurred = blur[depth] + weights.blurs[edge]
        limit = min(limit, _most(reach, bent) + blurred)
        if limit + more <= needed:
            continue
        path[depth] = edge
        if target != source:
            if not _passed(target, node, depth):
                depth += 1
                node[depth], position[depth] = target, links.token_start[target]
                state[depth], rate[depth], bend[depth] = after, reach, bent
                bound[depth], cost[depth], blur[depth] = limit, spent, blurred
            continue
        most = size_path(path, depth + 1, max_input, curves)[1] + blurred - spent
        if most > threshold:
            rows.most[worst] = most
            rows.path[worst, : depth + 1] = path[: depth + 1]
            rows.path[worst, depth + 1 :] = -1
            worst = int(np.argmin(rows.most))
            threshold = max(threshold, rows.most[worst])
    return threshold
