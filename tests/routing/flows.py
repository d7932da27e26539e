"""Optimal flows over random markets, found without the code under test, and what they are worth."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from scripts.bench.markets import Market, mixed, published
from toolkit.model.chain import Address, Hash
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.snapshot import Pool, Snapshot
from toolkit.routing.curves import Floats
from toolkit.routing.graph import Graph

_STEPS = 150
_FARTHEST = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """Inputs of edges in raw units, what they leave of what is wanted, and how far off balance."""

    trades: Floats
    value: float
    residual: float


def draw(rng: random.Random, *, pools: int = 60, tokens: int = 12) -> Market:
    """A market of either generator; of the second one every other pool with ticks is V4's."""
    seed = rng.randrange(2**32)
    if rng.random() < 0.5:
        return published(pools, tokens, seed=seed, hubs=3)
    made = mixed(pools, tokens, seed=seed)
    states = (
        _in_manager(pool) if isinstance(pool, Concentrated) and int(pool.id, 16) % 2 else pool
        for pool in made.snapshot.pools.values()
    )
    return replace(made, snapshot=with_pools(made.snapshot, states))


def with_pools(taken: Snapshot, pools: Iterable[Pool]) -> Snapshot:
    return msgspec.structs.replace(taken, pools={pool.id: pool for pool in pools})


def solve(graph: Graph, *, wanted: Address, sell: Mapping[Address, int] | None = None) -> Solved:
    """Minimise the convex dual by damped Newton steps, one price a token; `wanted` costs 1."""
    count = len(graph.tokens)
    index = {token: at for at, token in enumerate(graph.tokens)}
    held = np.zeros(count)
    for token, amount in (sell or {}).items():
        held[index[token]] = amount
    free = np.arange(count) != index[wanted]
    logs = _guess(graph, index[wanted])
    damping, now = 1e-3, _dual(graph, logs, held)
    for _ in range(_STEPS):
        hessian = now.hessian[np.ix_(free, free)]
        scale = np.diag(np.diag(hessian) + 1e-9 * now.value + 1e-300)
        move = np.zeros(count)
        move[free] = -np.linalg.solve(hessian + damping * scale, now.slope[free])
        move *= min(1.0, _FARTHEST / max(float(np.abs(move).max()), 1e-300))
        then = _dual(graph, logs + move, held)
        if then.value <= now.value * (1 + 1e-15):
            logs, now, damping = logs + move, then, max(damping / 5, 1e-12)
        else:
            damping *= 8
        if np.abs(now.slope[free]).max() < 1e-13 * now.value or damping > 1e12:
            break
    residual = float(np.abs(now.slope[free]).max()) / max(now.value, 1e-300)
    return Solved(trades=now.trades, value=now.value, residual=residual)


@dataclass(frozen=True, slots=True)
class _At:
    value: float
    slope: Floats
    hessian: Floats
    trades: Floats


def _dual(graph: Graph, logs: Floats, held: Floats) -> _At:
    prices = np.exp(logs)
    value, slope = float(prices @ held), prices * held
    hessian = np.diag(slope.copy())
    trades = np.zeros(len(graph.edge_in))
    for edge in range(len(trades)):
        a, b = int(graph.edge_in[edge]), int(graph.edge_out[edge])
        rows = graph.pieces[graph.piece_start[edge] : graph.piece_stop[edge]]
        taken, given, bend = _best(rows, float(graph.keep[edge]), prices[a] / prices[b])
        if taken <= 0:
            continue
        trades[edge] = taken
        value += prices[b] * given - prices[a] * taken
        slope[a] -= prices[a] * taken
        slope[b] += prices[b] * given
        if bend > 0:
            for one, other, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
                hessian[one, other] += sign * prices[a] / (2 * bend)
    return _At(value, slope, hessian, trades)


def _best(rows: Floats, keep: float, wanted: float) -> tuple[float, float, float]:
    """(input, output, bend) where the rate has fallen to `wanted`; no bend at a corner."""
    taken, given, bend = 0.0, 0.0, 0.0
    for before, out, x, y in rows:
        if keep * y <= wanted * x:
            break
        paid = (keep * x * y / wanted) ** 0.5 - x
        taken, given, bend = before + paid / keep, out + paid * y / (x + paid), keep / (x + paid)
        following = rows[rows[:, 0] > before]
        if len(following) and taken > following[0, 0]:
            taken, given, bend = following[0, 0], following[0, 1], 0.0
    return float(taken), float(given), float(bend)


def _guess(graph: Graph, wanted: int) -> Floats:
    """Prices along the deepest pools, outwards from the wanted token."""
    logs = np.zeros(len(graph.tokens))
    seen = {wanted}
    edges = [
        edge
        for edge in range(len(graph.edge_in))
        if graph.piece_start[edge] < graph.piece_stop[edge]
    ]
    while True:
        ahead = [
            edge
            for edge in edges
            if graph.edge_in[edge] in seen and graph.edge_out[edge] not in seen
        ]
        if not ahead:
            return logs

        def depth(edge: int) -> float:
            return float(graph.pieces[graph.piece_start[edge], 2]) * float(
                np.exp(logs[graph.edge_in[edge]])
            )

        edge = max(ahead, key=depth)
        x, y = graph.pieces[graph.piece_start[edge], 2:]
        logs[graph.edge_out[edge]] = logs[graph.edge_in[edge]] + np.log(x / y)
        seen.add(int(graph.edge_out[edge]))


def _in_manager(v3: Concentrated) -> ConcentratedV4:
    fields = {name: getattr(v3, name) for name in Concentrated.__struct_fields__ if name != "id"}
    return ConcentratedV4(id=Hash("0x" + v3.id[2:].rjust(64, "4")), **fields)
