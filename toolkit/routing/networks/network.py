"""Trades on many pools at once, with a cost of each pool used: few enough, and the right ones.

The dual with costs says which pools are worth their cost when all prices are at their best; what
it leaves open (pools used in part) is settled by trying: solve without costs on the pools kept,
leave out the chains of pools that do not pay, take in pools that would, as long as that gains.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.model.chain import Address
from toolkit.model.market import BEST_SO_FAR
from toolkit.pools.words import Flags
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph
from toolkit.routing.networks.branches import decide, shares
from toolkit.routing.networks.chains import Chains
from toolkit.routing.networks.dual import PAID, SURPLUS, Dual, Solved

_TEMPERATURES = (0.3, 0.1, 0.03)
_WARM, _LAST = _TEMPERATURES[1:]
_FREE = 0.0
_MOST_LIFT = 2.0
_LEAST_SHARE = 0.02
_LEAST_USE = 1e-6
_PART = 0.2
_LEAST = 1e-3
# Of what comes and goes of a token together: half of what comes, or of what goes.
_MAIN = 0.25
_TRIALS = 6
_SMALL = 3000
_FEW = 60
_BRANCHES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to trade, as floats, to be settled in integers.

    Attributes:
        inputs: (n_edges) raw units that go into each edge.
        prices: (n_tokens) of raw units in baskets, at which the pools used would trade so.
        value: baskets that the trades leave.
        cost: of the pools used and, where there are any, of the plan itself, in baskets.
        bound: no plan leaves more baskets after costs.
        flags: BEST_SO_FAR where time or steps ran out first.
    """

    inputs: Floats
    prices: Floats
    value: float
    cost: float
    bound: float
    flags: tuple[str, ...] = ()

    @property
    def net(self) -> float:
        """What is left after costs, in baskets."""
        return self.value - self.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Pools that trade when only they may; `net` is after their costs."""

    solved: Solved
    net: float

    @property
    def pools(self) -> Ints:
        return self.solved.chosen


class Network:
    """Plans over one graph for one purpose; keeps its prices, so that the next plan is quick.

    Where the graph has moved, the next plan is of its new state, and (but for the last digits)
    what a new network would answer.

    Args:
        graph: the pools.
        want: what a basket holds, raw units of each token.
        sell: raw units of what is there to be sold; none for an arbitrage.
        clock: seconds, of whatever beginning; needed for plans with a time budget.

    Raises:
        NoRoute: nothing is wanted, or a wanted token is in no pool.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        want: Mapping[Address, float],
        sell: Mapping[Address, float] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._graph = graph
        self._clock = clock
        self._deadline = math.inf
        self._dual = Dual(graph, want=want, sell=sell, is_late=self._is_late)
        self._prices: Floats | None = None
        self._lifts: dict[float, Floats] = {}

    def plan(self, costs: Floats, *, base_cost: float = 0.0, budget_s: float = math.inf) -> Plan:
        """Return the best trades found, and a bound on any.

        Args:
            costs: (n_pools) of using each pool, in baskets.
            base_cost: of using any, once.
            budget_s: seconds after which to answer with the best so far.
        """
        self._deadline = self._clock() + budget_s
        relaxed = self._relaxed(costs)
        idle, bound = self._dual.idle, self._dual.bound(relaxed.prices, costs)
        best = self._search(relaxed, costs)
        if costs.any() and len(best.pools) < _FEW:
            best, bound = self._decided(best, relaxed, costs, bound)
        solved = best.solved
        is_final = relaxed.is_final and solved.is_final and not self._is_late()
        inputs = np.zeros(len(self._graph.edge_in))
        value, cost = idle, 0.0
        if len(best.pools) and best.net - base_cost > idle:
            inputs[solved.edges] = solved.trades[:, 0]
            value, cost = solved.value, float(costs[best.pools].sum()) + base_cost
        return Plan(
            inputs=inputs,
            prices=solved.prices,
            value=value,
            cost=cost,
            bound=max(idle, bound - base_cost),
            flags=() if is_final else (BEST_SO_FAR,),
        )

    def bound(self, costs: Floats, *, base_cost: float = 0.0) -> float:
        """Return what no plan leaves more baskets than, without making one; as `Plan.bound`."""
        self._deadline = math.inf
        return self._most(self._relaxed(costs), costs, base_cost)

    def _most(self, relaxed: Solved, costs: Floats, base_cost: float) -> float:
        return max(self._dual.idle, self._dual.bound(relaxed.prices, costs) - base_cost)

    def _is_late(self) -> bool:
        return self._clock() > self._deadline

    def _relaxed(self, costs: Floats) -> Solved:
        """Minimise the dual with costs: from the last prices, or from the deepest pools' ones."""
        chosen = np.arange(len(self._graph.pools))
        temperatures: tuple[float, ...] = _TEMPERATURES if costs.any() else (_FREE,)
        if (prices := self._prices) is not None:
            temperatures = temperatures[1:] or temperatures
        else:
            prices = self._dual.reference()
        self._prices = None
        for temperature in temperatures:
            start = self._lifted(prices, _LAST) if temperature == _LAST else prices
            found = self._dual.minimise(start, chosen, costs, temperature=temperature)
            if temperature == _LAST:
                self._lift(_LAST, prices, found.prices)
            prices = found.prices
            if found.is_final and temperature in {_FREE, _WARM}:
                self._prices = prices
        return found

    def _lift(self, stage: float, before: Floats, after: Floats) -> None:
        """Keep how a stage changed prices: where pools change, most of that stays as it is."""
        with np.errstate(divide="ignore", invalid="ignore"):
            self._lifts[stage] = np.where(before > 0.0, after / before, 1.0)

    def _lifted(self, prices: Floats, stage: float) -> Floats:
        """Return where a stage is to begin: changed as it did last time."""
        if stage not in self._lifts:
            return prices
        return self._dual.scaled(prices * np.clip(self._lifts[stage], 1.0 / _MOST_LIFT, _MOST_LIFT))

    def _search(self, relaxed: Solved, costs: Floats) -> _Kept:
        pools = relaxed.chosen[self._likely(relaxed, costs)]
        best = self._kept(pools, self._lifted(relaxed.prices, _FREE), costs)
        self._lift(_FREE, relaxed.prices, best.solved.prices)
        for change in (self._fewer, self._more, self._fewer):
            best = change(best, costs)
        return best

    def _decided(
        self, best: _Kept, relaxed: Solved, costs: Floats, bound: float
    ) -> tuple[_Kept, float]:
        """Decide on the pools that the dual uses in part; also return the bound on all plans."""

        def attempt(solved: Solved, left: Floats) -> float:
            nonlocal best
            pools = solved.chosen[self._likely(solved, left)]
            found = self._fewer(self._kept(pools, solved.prices, costs), costs)
            if found.net > best.net:
                best = self._fewer(self._more(found, costs), costs)
            return best.net

        _, most = decide(
            self._dual,
            relaxed,
            costs,
            temperature=_LAST,
            most=_BRANCHES,
            attempt=attempt,
            reached=max(best.net, self._dual.idle),
        )
        return best, min(bound, most)

    def _likely(self, relaxed: Solved, costs: Floats) -> Flags:
        """Say which pools the dual uses at least in part (n).

        A deep pool may be used to a thousandth, and that thousandth be all that a token gets.
        """
        graph = self._graph
        share = shares(relaxed, costs, _LAST)
        flow = share * relaxed.trades[:, PAID]
        size = len(graph.tokens)
        into, out_of = graph.edge_in[relaxed.edges], graph.edge_out[relaxed.edges]
        through = np.bincount(into, flow, size) + np.bincount(out_of, flow, size)
        least = _LEAST_SHARE * np.minimum(through[into], through[out_of])
        likely: Flags = (share > _LEAST_SHARE) | ((flow > least) & (share > _LEAST_USE))
        return likely

    def _kept(self, pools: Ints, prices: Floats, costs: Floats) -> _Kept:
        """Let only some pools trade, and of these only such as trade more than next to nothing.

        A token that nothing needs has any price between those at which its pools would begin to
        trade, at either to the last digit: what a pool does there is rounding.
        """
        free = np.zeros(len(costs))
        while True:
            solved = self._dual.minimise(prices, pools, free)
            trading = self._trading(solved, costs)
            idle = (solved.edges >= 0) & ~trading
            pools, prices = pools[trading], solved.prices
            if not idle.any() or not solved.is_final:
                break
        return _Kept(
            solved=Solved(
                prices=solved.prices,
                value=solved.value,
                chosen=pools,
                edges=solved.edges[trading],
                trades=solved.trades[trading],
                is_final=solved.is_final,
            ),
            net=solved.value - float(costs[pools].sum()),
        )

    def _trading(self, solved: Solved, costs: Floats) -> Flags:
        """Say which pools trade more than next to nothing (n).

        A deep pool earns next to nothing of what is sold to it, and that may be all that comes of
        its token: it is no rounding where it is worth more than the pool costs.
        """
        graph, cost = self._graph, costs[solved.chosen]
        flow = np.where(solved.edges >= 0, solved.trades[:, PAID], 0.0)
        size = len(graph.tokens)
        into, out_of = graph.edge_in[solved.edges], graph.edge_out[solved.edges]
        through = np.bincount(into, flow, size) + np.bincount(out_of, flow, size)
        carries = (cost > 0.0) & (flow > cost)
        carries &= flow > _MAIN * np.minimum(through[into], through[out_of])
        earns = solved.trades[:, SURPLUS] > _LEAST * cost
        found: Flags = (solved.edges >= 0) & (earns | carries)
        return found

    def _fewer(self, best: _Kept, costs: Floats) -> _Kept:
        """Leave out chains that cost more than they are reckoned to bring, as long as that gains.

        Chains that leave together make each other dearer than each alone is reckoned: where too
        many did, a part of them is tried.
        """
        part = _PART
        for _ in range(_TRIALS + _SMALL // (1 + len(best.pools))):
            if not len(best.pools) or self._is_late():
                break
            chains = Chains.of(self._dual, best.solved)
            order = _paying(chains.saved(self._dual, best.solved, costs))
            picked = chains.apart(order, max(1, int(part * len(order))))
            if not picked:
                break
            rest = best.pools[chains.without(picked)]
            found = self._kept(rest, best.solved.prices, costs)
            # Nothing at all loses nothing, but is no way to where something pays.
            if found.net > best.net and len(found.pools):
                best = found
            elif len(picked) == 1:
                break
            else:
                part *= _PART
        return best

    def _more(self, best: _Kept, costs: Floats) -> _Kept:
        """Take in pools that would bring more than they cost, as long as that gains."""
        part = 1.0
        for _ in range(_TRIALS + _SMALL // (1 + len(best.pools))):
            if not len(best.pools) or self._is_late():
                break
            others = self._open(best, costs)
            order = _paying(self._dual.gains(best.solved, others) - costs[others.chosen])
            picked = others.chosen[order[: max(1, int(part * len(order)))]]
            if not len(picked):
                break
            pools = np.sort(np.concatenate([best.pools, picked]))
            found = self._kept(pools, best.solved.prices, costs)
            if found.net > best.net:
                best = found
            elif len(picked) == 1:
                break
            else:
                part *= _PART
        return best

    def _open(self, best: _Kept, costs: Floats) -> Solved:
        """What pools between tokens in use would do, of those that would earn their cost."""
        graph, solved = self._graph, best.solved
        known = np.zeros(len(graph.tokens), dtype=np.bool_)
        known[graph.edge_in[solved.edges]] = True
        known[graph.edge_out[solved.edges]] = True
        free = known[graph.edge_in[0::2]] & known[graph.edge_in[1::2]]
        free[best.pools] = False
        others = self._dual.respond(solved.prices, np.flatnonzero(free))
        pays = others.trades[:, SURPLUS] > costs[others.chosen]
        return self._dual.respond(solved.prices, others.chosen[pays])


def _paying(gains: Floats) -> Ints:
    """Places of the gains above 0, the highest first."""
    order = np.argsort(-gains, kind="stable")
    return order[gains[order] > 0]
