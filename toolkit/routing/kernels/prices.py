"""What tokens are worth in one of them: estimates that make bounds tight, and none makes wrong."""

import math

import numpy as np

from toolkit.pools.kernels.jit import jit, part
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.kernels.shapes import Curves, Links

_SETTLING, _SWEEPS, _REFINING = 6, 12, 2
_DAMPING = 0.1


@jit
def estimate_prices(
    source: int, are_old: int, links: Links, curves: Curves, prices: Floats
) -> None:
    """Write what one unit of each token is worth in the source's; 0 where no pool leads to it.

    First by the deepest pool towards the source, then by all pools, in proportion to their depth:
    towards their mean, then so that little is left to gain beyond their fees. Where `are_old`, what
    is there was estimated before pools moved a little, and only the last of this is done.
    """
    order = np.empty(prices.shape[0], np.int64)
    count, to_mean, sweeps = 0, 0, _REFINING
    if are_old:
        for token in range(prices.shape[0]):
            if prices[token] > 0.0 and token != source:
                order[count] = token
                count += 1
    else:
        count, to_mean, sweeps = (
            _price_by_deepest(source, links, curves, prices, order),
            _SETTLING,
            _SWEEPS,
        )
        order[: count - 1] = order[1:count].copy()
        count -= 1
    _settle(order[:count], to_mean, sweeps, links, curves, prices)


@part
def _settle(
    order: Ints, to_mean: int, sweeps: int, links: Links, curves: Curves, prices: Floats
) -> None:
    """Move the prices of tokens, one after the other, to where their pools see them."""
    logs = np.zeros(prices.shape[0])
    edges = links.edge_out.shape[0]
    rates, depths = np.full(edges, -math.inf), np.zeros(edges)
    for token in np.flatnonzero(prices):
        logs[token] = math.log(prices[token])
        for at in range(links.token_start[token], links.token_start[token + 1]):
            edge = links.out_edges[at]
            if _is_open(edge, curves):
                x, y = reserves(edge, curves)
                other = prices[links.edge_out[edge]]
                if curves.piece_start[edge] < curves.piece_stop[edge]:
                    rates[edge] = math.log(curves.keep[edge] * y / x)
                depths[edge] = math.sqrt(prices[token] * x) * math.sqrt(other * y)
    for sweep in range(to_mean + sweeps):
        for place in range(order.shape[0]):
            token = order[place]
            logs[token] += _pull(token, sweep < to_mean, links, rates, depths, logs)
    for place in range(order.shape[0]):
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
            x, y = reserves(edge, curves)
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
def reserves(edge: int, curves: Curves) -> tuple[float, float]:
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
