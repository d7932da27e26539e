"""What is to be traded on each edge, as floats: cleaned of what cannot run, and weighed."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, NoRoute
from toolkit.pools.words import Flags
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Where a flow may begin and end, by token indices.

    Attributes:
        start: the token that is lent at will and given back, of an arbitrage; None of a swap.
        sell: what is at hand, in smallest units.
        want: the weight of each wanted token.
    """

    start: int | None
    sell: Mapping[int, int]
    want: Mapping[int, float]

    @property
    def sources(self) -> set[int]:
        """Tokens that are there before any hop."""
        return {*self.sell} if self.start is None else {*self.sell, self.start}

    @property
    def sinks(self) -> set[int]:
        """Tokens that may be left in the end."""
        return {*self.want} if self.start is None else {*self.want, self.start}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Hops that are to run, in no order, and what a unit of each of their tokens is worth.

    Attributes:
        edges: (n) of the graph, rising; one of a pool at most.
        taken, given: (n) what goes in and, by the curves, comes out; raw units.
        source, target: (n) token indices.
        worth: (n_tokens) of a raw unit, by the rates that the flow ends at; 0 of other tokens.
    """

    edges: Ints
    taken: Floats
    given: Floats
    source: Ints
    target: Ints
    worth: Floats

    @property
    def spent(self) -> Floats:
        """What each hop takes, in worth."""
        return self.taken * self.worth[self.source]

    @property
    def brought(self) -> Floats:
        """What each hop gives, in worth."""
        return self.given * self.worth[self.target]

    def scaled(self, graph: Graph, factor: float | Floats) -> "Flow":
        """Return the flow with a share of every input, or of each its own."""
        taken = self.taken * factor
        given, _ = weighed(graph, self.edges, taken)
        return replace(self, taken=taken, given=given)

    def without(self, dropped: Collection[int]) -> "Flow":
        """Return the flow less some hops, by their places."""
        rest = np.ones(len(self.edges), dtype=np.bool_)
        rest[np.fromiter(dropped, dtype=np.int64)] = False
        return Flow(
            edges=self.edges[rest],
            taken=self.taken[rest],
            given=self.given[rest],
            source=self.source[rest],
            target=self.target[rest],
            worth=self.worth,
        )


def ends_of(
    graph: Graph,
    *,
    start: Address | None,
    sell: Mapping[Address, int],
    want: Mapping[Address, float],
) -> Ends:
    """Look tokens up in a graph; what no pool has is left out.

    Raises:
        ConfigError: nothing wanted, a weight or an amount that is none.
    """
    if not want and start is None:
        raise ConfigError("want: nothing is wanted; name a token")
    for token, weight in want.items():
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(f"want: {weight} of {token} is no weight; give one above 0")
    for token, amount in sell.items():
        if amount < 0:
            raise ConfigError(f"sell: {amount} of {token} is negative")
    known = {token: at for at, token in enumerate(graph.tokens)}
    if start is not None and start not in known:
        raise NoRoute(f"no pool has token {start}, which the route is to begin with")
    return Ends(
        start=None if start is None else known[start],
        sell={known[token]: amount for token, amount in sell.items() if token in known},
        want={known[token]: weight for token, weight in want.items() if token in known},
    )


def flow_of(graph: Graph, trades: Floats, ends: Ends) -> Flow:
    """Weigh the trades of a graph, and drop those that can give nothing or lead nowhere.

    Raises:
        ConfigError: not one amount for every edge, or one that is no amount.
    """
    if trades.shape != graph.edge_in.shape:
        raise ConfigError(f"trades: {trades.shape[0]} amounts, but {len(graph.edge_in)} edges")
    if not np.isfinite(trades).all() or (trades < 0).any():
        wrong = int(np.flatnonzero(~(np.isfinite(trades) & (trades >= 0)))[0])
        pool = graph.pools[wrong >> 1].id
        raise ConfigError(f"trades: {trades[wrong]} into pool {pool} is no amount")
    amounts = _one_way(graph, trades)
    edges = np.flatnonzero(amounts >= 1)
    given, rates = weighed(graph, edges, amounts[edges])
    # What gives nothing runs into nothing: where the liquidity ended, the rate is 0.
    used = given >= 1
    edges, given, rates = edges[used], given[used], rates[used]
    source, target = graph.edge_in[edges], graph.edge_out[edges]
    lives = _leads_on(source, target, ends)
    edges, given, rates = edges[lives], given[lives], rates[lives]
    source, target = source[lives], target[lives]
    taken = amounts[edges]
    marginal = np.where(rates > 0, rates, given / taken)
    return Flow(
        edges=edges,
        taken=taken,
        given=given,
        source=source,
        target=target,
        worth=_worth(len(graph.tokens), source, target, np.log(marginal), taken, ends),
    )


def living(flow: Flow, ends: Ends) -> Flow:
    """Drop the hops of a flow that nothing pays for, or whose output leads nowhere."""
    lives = _leads_on(flow.source, flow.target, ends)
    return flow if lives.all() else flow.without(np.flatnonzero(~lives).tolist())


def parts_of(flow: Flow, start: int) -> list[int]:
    """Number the parts of a flow that only the start token joins: of each hop, its part."""
    parent = list(range(len(flow.worth)))

    def root(token: int) -> int:
        while parent[token] != token:
            parent[token] = token = parent[parent[token]]
        return token

    ends = list(zip(flow.source.tolist(), flow.target.tolist(), strict=True))
    for source, target in ends:
        if start not in (source, target):
            parent[root(source)] = root(target)
    return [root(target if source == start else source) for source, target in ends]


def weighed(graph: Graph, edges: Ints, amounts: Floats) -> tuple[Floats, Floats]:
    """Return what edges give for inputs by their curves, and at what rate in the end; raw units."""
    from toolkit.routing.kernels.order import weigh  # noqa: PLC0415 - numba loads at first use

    given, rates = np.zeros(len(edges)), np.zeros(len(edges))
    weigh(
        edges,
        amounts,
        graph.keep,
        graph.piece_start,
        graph.piece_stop,
        graph.pieces,
        given,
        rates,
    )
    return given, rates


def _one_way(graph: Graph, trades: Floats) -> Floats:
    """Take back what a pool is to trade both ways, which only pays its fee twice."""
    both = np.flatnonzero((trades[0::2] > 0) & (trades[1::2] > 0))
    if not len(both):
        return trades
    amounts = trades.copy()
    for pool in both:
        forward, backward = 2 * pool, 2 * pool + 1
        edges = np.array([forward, backward])
        (there, back), _ = weighed(graph, edges, trades[edges])
        if back < trades[forward]:
            amounts[forward], amounts[backward] = trades[forward] - back, 0.0
        else:
            amounts[forward], amounts[backward] = 0.0, max(0.0, trades[backward] - there)
    return amounts


def _leads_on(source: Ints, target: Ints, ends: Ends) -> Flags:
    """Which hops have something that brings their input, and something to bring their output to."""
    lives = np.ones(len(source), dtype=np.bool_)
    sources, sinks = list(ends.sources), list(ends.sinks)
    while True:
        comes = np.isin(source, [*np.unique(target[lives]), *sources])
        goes = np.isin(target, [*np.unique(source[lives]), *sinks])
        kept = lives & comes & goes
        if kept.sum() == lives.sum():
            return kept
        lives = kept


def _worth(
    count: int, source: Ints, target: Ints, logs: Floats, taken: Floats, ends: Ends
) -> Floats:
    """Carry worth along the hops, from the wanted tokens outwards, a layer of tokens at a time.

    At an optimum every hop between two tokens says the same. Sums are exact, so that no order of
    pools or tokens changes them.
    """
    near: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for a, b, log in zip(source.tolist(), target.tolist(), logs.tolist(), strict=True):
        near[b].append((a, log))
        near[a].append((b, -log))
    found: dict[int, float] = {}
    seeds = [*sorted(ends.sinks, key=lambda token: -len(near[token]))]
    volume = np.bincount(source, weights=taken, minlength=count)
    seeds += np.argsort(-volume, kind="stable").tolist()
    for seed in seeds:
        if seed in found or not near[seed]:
            continue
        found[seed] = 0.0
        layer = [seed]
        while layer:
            told: dict[int, list[float]] = {}
            for token in layer:
                for other, log in near[token]:
                    if other not in found:
                        told.setdefault(other, []).append(found[token] + log)
            for token, logs_of in told.items():
                found[token] = math.fsum(logs_of) / len(logs_of)
            layer = list(told)
    worth = np.zeros(count)
    for token, log in found.items():
        worth[token] = math.exp(min(max(log, -600.0), 600.0))
    return worth
