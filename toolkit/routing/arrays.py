"""A snapshot as arrays of floats: the graph that the kernels search. Proposals only, no money."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.model.chain import Address
from toolkit.model.market import PoolId
from toolkit.model.units import PPM
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.pools.ticks import MAX_SQRT_PRICE, MIN_SQRT_PRICE, sqrt_price_at_tick

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Liquidity changes looked at per pool and direction; beyond them a pool counts as exhausted.
MAX_PIECES = 128
_Q96 = float(2**96)

Routable = ConstantProduct | Concentrated


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """Directed edges (a pool in one direction), grouped by the token that goes in.

    Edge e gives, for input u in its piece j (the last that begins at or below u), with
    d = (u - pieces[j, 0]) keep[e]:

        out(u) = pieces[j, 1] + d y / (x + d),    x = pieces[j, 2],  y = pieces[j, 3]

    which is the constant product formula on the virtual reserves x (in) and y (out) at the start
    of the piece. A last piece with y = 0 says that the liquidity has ended.

    Attributes:
        tokens: addresses, rising; their places are the token indices.
        pools: states, by rising address; their places are the pool indices.
        token_start: (n_tokens + 1); edges of token t are token_start[t] .. token_start[t+1] - 1.
        edges: (n_edges, 2): index of the token that comes out, index of the pool.
        keep: (n_edges) share of the input left after the fee.
        piece_start: (n_edges + 1); pieces of edge e are piece_start[e] .. piece_start[e+1] - 1.
        pieces: (n_pieces, 4): input before the piece, output before it, x, y; raw units.
    """

    tokens: tuple[Address, ...]
    pools: tuple[Routable, ...]
    token_start: Ints
    edges: Ints
    keep: Floats
    piece_start: Ints
    pieces: Floats


def build_arrays(snapshot: Snapshot) -> Arrays:
    """Lay a snapshot out as arrays, leaving out pools that cannot be traded at all.

    The order depends on addresses only, not on the order of the snapshot's pools.
    """
    pools = tuple(pool for pool in routable(snapshot) if _is_liquid(pool))
    tokens = tuple(sorted({token for pool in pools for token in (pool.token0, pool.token1)}))
    index = {token: place for place, token in enumerate(tokens)}
    edges = sorted(
        (index[start], number, index[end], start == pool.token0)
        for number, pool in enumerate(pools)
        for start, end in ((pool.token0, pool.token1), (pool.token1, pool.token0))
    )
    pieces: list[tuple[float, float, float, float]] = []
    piece_start = [0]
    for _, number, _, forward in edges:
        pieces += _pieces(pools[number], forward=forward)
        piece_start.append(len(pieces))
    starts = np.searchsorted([edge[0] for edge in edges], np.arange(len(tokens) + 1))
    targets = [(end, number) for _, number, end, _ in edges]
    return Arrays(
        tokens=tokens,
        pools=pools,
        token_start=starts.astype(np.int64),
        edges=np.array(targets, dtype=np.int64).reshape(-1, 2),
        keep=np.array([_keep(pools[number]) for _, number in targets], dtype=np.float64),
        piece_start=np.array(piece_start, dtype=np.int64),
        pieces=np.array(pieces, dtype=np.float64).reshape(-1, 4),
    )


def routable(snapshot: Snapshot) -> list[Routable]:
    """Return the pools that a route may go through, by address; `unroutable` tells of the others.

    Of a further family an edge and its pieces are needed first.
    """
    found = (pool for _, pool in sorted(snapshot.pools.items()))
    return [pool for pool in found if isinstance(pool, Routable) and not _obstacle(pool)]


def unroutable(snapshot: Snapshot) -> dict[PoolId, str]:
    """Say of each pool that no route goes through, by address, why not."""
    found = ((name, _obstacle(pool)) for name, pool in sorted(snapshot.pools.items()))
    return {name: f"pool {name}: {why}" for name, why in found if why}


def _obstacle(pool: Pool) -> str:
    """Why no route may go through a pool; "" where one may."""
    if isinstance(pool, ConstantProduct):
        return ""
    if not isinstance(pool, Concentrated):
        return "kind: it has no address of its own, by which the executor calls a pool"
    low, high = (sqrt_price_at_tick(tick) for tick in pool.known)
    if pool.sqrt_price_x96 and not low <= pool.sqrt_price_x96 <= high:
        return (
            f"known: its price, at tick {pool.tick}, is beyond the ticks {pool.known} known of it"
        )
    return ""


def _is_liquid(pool: Routable) -> bool:
    if isinstance(pool, ConstantProduct):
        return pool.reserve0 > 0 and pool.reserve1 > 0
    return pool.sqrt_price_x96 > 0 and (pool.liquidity > 0 or bool(pool.ticks))


def _keep(pool: Routable) -> float:
    return (PPM - pool.fee_ppm) / PPM


def _pieces(pool: Routable, *, forward: bool) -> list[tuple[float, float, float, float]]:
    """(input before, output before, x, y) of each piece in one direction."""
    if isinstance(pool, ConstantProduct):
        reserves = (float(pool.reserve0), float(pool.reserve1))
        return [(0.0, 0.0, *(reserves if forward else reserves[::-1]))]
    keep = _keep(pool)
    taken = given = 0.0
    pieces = []
    for liquidity, start, end in _segments(pool, forward=forward):
        # Seen from the token that goes in, the price root falls from `start` to `end`.
        pieces.append((taken, given, liquidity / start, liquidity * start))
        taken += liquidity * (1 / end - 1 / start) / keep
        given += liquidity * (start - end)
    return [*pieces, (taken, given, 1.0, 0.0)]


def _segments(pool: Concentrated, *, forward: bool) -> Iterator[tuple[float, float, float]]:
    """(liquidity, price root at the start, at the end) of each stretch that has liquidity.

    Roots are of tokens out per token in, so that both directions read alike: they fall.
    """
    if forward:
        marks = [mark for mark in reversed(pool.ticks) if mark[0] <= pool.tick]
        last = max(sqrt_price_at_tick(pool.known[0]), MIN_SQRT_PRICE)
    else:
        marks = [mark for mark in pool.ticks if mark[0] > pool.tick]
        last = min(sqrt_price_at_tick(pool.known[1]), MAX_SQRT_PRICE)
    liquidity, price = pool.liquidity, pool.sqrt_price_x96
    steps = [(sqrt_price_at_tick(tick), -net if forward else net) for tick, net in marks]
    for stop, net in [*steps[:MAX_PIECES], *([(last, 0)] if len(steps) <= MAX_PIECES else [])]:
        if liquidity > 0 and stop != price:
            yield (
                float(liquidity),
                price / _Q96 if forward else _Q96 / price,
                stop / _Q96 if forward else _Q96 / stop,
            )
        liquidity, price = liquidity + net, stop
