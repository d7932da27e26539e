"""The convex dual of trading on many pools at once: its value is what no plan can exceed.

To sell `sell`, get as many baskets `want` as possible: maximise b with b want <= sell + what the
pools give and take. For any prices nu >= 0 with want . nu = 1, no plan gets more than

    sell . nu + sum_i max(0, arb_i(nu) - c_i)

after costs of c_i baskets for each pool i that it uses, where arb_i(nu) is the most that pool i
alone earns at these prices (weak duality; it holds with fixed costs too, because a pool that is
used earns at most arb_i(nu) - c_i and one that is not earns 0). The best prices are found by
Newton's method on relative changes of prices. An arbitrage wants its start token and sells nothing.

Sources: Angeris, Evans, Chitra, Boyd, "Optimal Routing for Constant Function Market Makers";
Diamandis et al., arXiv 2302.04938, sections 3 and 4.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.model.chain import Address
from toolkit.model.errors import NoRoute
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.graph import Graph
from toolkit.routing.networks.laplacian import Laplacian

PAID, GOT, SURPLUS, CURVATURE = 2, 3, 4, 5
"""Columns of `Solved.trades`, as values at its prices; raw input and output come before them."""

_STEPS = 150
_TRIES = 60
_SINGLE_TRIES = 8
_LONGEST = 0.5
_LEAST_CUT = 0.1
_ARMIJO = 1e-4
# Relative to what pools earn at the reference prices: enough that a token without curvature (but
# perhaps with a slope, that of rounding) does not run away, too little to slow down any other.
_REST = 1e-9
_FINE = 1e-18
# Beside what else holds both tokens of a pool: too little to be worth a new pattern.
_WEAK = 1e-3
# Of rounding in a sum: of the values traded, and of the sum itself.
_TRADE_NOISE = 1e-15
_SUM_NOISE = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """Prices and what the chosen pools do at them.

    Attributes:
        prices: (n_tokens) of raw units, in baskets.
        value: the sum that was minimised, in baskets.
        chosen: (n) places of the pools it was minimised over.
        edges: (n) the edge that each trades along, or -1.
        trades: (n, 6) as the kernel `respond` writes them.
        is_final: False where time or steps ran out first.
    """

    prices: Floats
    value: float
    chosen: Ints
    edges: Ints
    trades: Floats
    is_final: bool


@dataclass(slots=True, kw_only=True)
class _Point:
    prices: Floats
    value: float
    slopes: Floats
    edges: Ints
    trades: Floats
    blocks: Floats


class Dual:
    """The dual problem on a graph, which may move; nothing of a former state is kept.

    Args:
        graph: the pools.
        want: what a basket holds, raw units of each token.
        sell: raw units of what is there to be sold.
        is_late: whether to stop and answer with what there is; asked once a step.

    Attributes:
        fixed: indices of the tokens sold or wanted.
        idle: baskets that there are without any trade.

    Raises:
        NoRoute: nothing is wanted, or a wanted token is in no pool.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        want: Mapping[Address, float],
        sell: Mapping[Address, float] | None = None,
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self.graph = graph
        self.is_late = is_late
        self._index = {token: at for at, token in enumerate(graph.tokens)}
        self._want = self._amounts(want)
        self._sell = self._amounts({t: a for t, a in (sell or {}).items() if t in self._index})
        if not self._want.any():
            raise NoRoute("nothing is wanted: name at least one token with a positive weight")
        # Sums that are rounded off are of many pools, the others of few: each has its pattern.
        self._rounded = Laplacian(graph, self._want, weak=_WEAK)
        self._plain = Laplacian(graph, self._want)
        wanted = self._want > 0
        self.idle = float((self._sell[wanted] / self._want[wanted]).min())
        self.fixed: frozenset[int] = frozenset(np.flatnonzero(self._want + self._sell).tolist())

    def reference(self) -> Floats:
        """Price tokens along the deepest pools, beginning with what is wanted; 0: out of reach."""
        from toolkit.routing.kernels.dual import span  # noqa: PLC0415 - numba loads at first use

        graph = self.graph
        prices = np.zeros(len(graph.tokens))
        for token in np.flatnonzero(self._want):
            if not prices[token]:
                prices[token] = 1.0 / self._want[token]
                span(
                    prices,
                    graph.token_start,
                    graph.out_edges,
                    graph.edge_out,
                    graph.piece_start,
                    graph.piece_stop,
                    graph.pieces,
                    np.empty(len(prices)),
                )
        return self.scaled(prices)

    def scaled(self, prices: Floats) -> Floats:
        """Return prices in baskets: want . prices = 1."""
        found: Floats = prices / (self._want @ prices)
        return found

    def minimise(
        self, prices: Floats, chosen: Ints, costs: Floats, *, temperature: float = 0.0
    ) -> Solved:
        """Find the best prices for some pools, beginning at `prices`.

        Args:
            prices: (n_tokens), want . prices = 1.
            chosen: places of the pools that count.
            costs: (n_pools) of using each pool, in baskets.
            temperature: how far max(0, s) is rounded off, as a multiple of the pool's cost: towards
                0 the sum becomes the exact one, and hard to minimise from far away.
        """
        point = self._at(prices, chosen, costs, temperature)
        rest = max(point.value * _REST, np.finfo(np.float64).tiny)
        system = self._rounded if temperature else self._plain
        for _ in range(_STEPS):
            if self.is_late():
                return self._solved(point, chosen, is_final=False)
            held = self._want * point.prices
            system.factorise(chosen, point.edges, point.blocks, rest, held)
            move = system.move(point.slopes)
            fall = -float(point.slopes @ move)
            noise = _TRADE_NOISE * point.trades[:, GOT].sum() + _SUM_NOISE * abs(point.value)
            if (longest := np.abs(move).max(initial=0.0)) > _LONGEST:
                move = np.clip(move, -_LONGEST, _LONGEST)
                move = np.maximum(move - held @ move, -_LONGEST)
            stepped = self._step(point, move, held, noise, (chosen, costs, temperature))
            if stepped is None:
                return self._solved(point, chosen, is_final=fall <= _SUM_NOISE * point.value)
            point = stepped
            if longest <= _LONGEST and fall <= max(noise, _FINE * point.value):
                return self._solved(point, chosen, is_final=True)
        return self._solved(point, chosen, is_final=False)

    def bound(self, prices: Floats, costs: Floats, *, chosen: Ints | None = None) -> float:
        """Return what no plan (of the chosen pools) can exceed after costs, in baskets.

        Any prices give a valid one.

        Rounded upwards by more than the floats can be off. Costs that every plan has once, however
        many pools it uses, are not in it.
        """
        if chosen is None:
            chosen = np.arange(len(self.graph.pools))
        point = self._at(self.scaled(prices), chosen, costs, 0.0)
        slack = _TRADE_NOISE * point.trades[:, [PAID, GOT]].sum() + _SUM_NOISE * point.value
        return point.value + float(slack)

    def respond(self, prices: Floats, chosen: Ints) -> Solved:
        """Return what pools do at prices."""
        point = self._at(prices, chosen, np.zeros(len(self.graph.pools)), 0.0)
        return self._solved(point, chosen, is_final=True)

    def losses(
        self, solved: Solved, ends: Ints, surplus: Floats, through: Floats, stiffness: Floats
    ) -> Floats:
        """Estimate how much the value falls if pools, or chains of them, were left out (n).

        What leaves takes its surplus s with it, and what then flows elsewhere moves prices:
        s + v^2 R / (2 (1 - w R)), with v the value that went through, w the curvature and R the
        resistance between the ends. To second order; s alone is a proved lower bound.

        Args:
            solved: minimised over the pools that stay or leave.
            ends: (n, 2) tokens.
            surplus: (n) s.
            through: (n) v.
            stiffness: (n) w.
        """
        resistances = self._resistances(solved, ends)
        # A pool at its end is not stiff (0), and may be all that holds its token (infinite).
        with np.errstate(divide="ignore", invalid="ignore"):
            leaning = 1.0 - stiffness * resistances
            bent = through * through * resistances / (2.0 * leaning)
        lost: Floats = surplus + np.where(leaning > 0.0, bent, np.inf)
        return lost

    def gains(self, solved: Solved, others: Solved) -> Floats:
        """Estimate how much the value rises if other pools joined the chosen ones.

        As `losses`: s - v^2 R / (2 (1 + w R)), and s alone is a proved upper bound.

        Args:
            solved: minimised over the chosen pools.
            others: what pools between tokens that the chosen ones trade would do at its prices.
        """
        graph, trades = self.graph, others.trades
        pools = others.chosen
        ends = np.stack([graph.edge_in[2 * pools], graph.edge_out[2 * pools]], axis=1)
        resistances = self._resistances(solved, ends)
        through = trades[:, PAID] * trades[:, GOT]
        with np.errstate(divide="ignore"):  # either may be 0, as in `losses`
            bent = through / (2.0 / resistances + 2.0 * trades[:, CURVATURE])
        gained: Floats = trades[:, SURPLUS] - bent
        return gained

    def _resistances(self, solved: Solved, ends: Ints) -> Floats:
        weights = solved.trades[:, CURVATURE]
        self._plain.factorise(
            solved.chosen,
            solved.edges,
            np.stack([weights, -weights, weights], axis=1),
            max(solved.value * _REST, np.finfo(np.float64).tiny),
            self._want * solved.prices,
        )
        return self._plain.resistances(ends)

    def _step(
        self,
        point: _Point,
        move: Floats,
        held: Floats,
        noise: float,
        problem: tuple[Ints, Floats, float],
    ) -> _Point | None:
        """Go along a direction as far as the value falls enough; None where it does not.

        Where a few tokens run into pools that did not trade before, shortening the whole step
        would stop all the others. So a token whose slope has turned beyond what it was goes only
        as far as its own slope, taken as a line, says.
        """
        trial = move
        share = 1.0
        for count in range(1, _TRIES + 1):
            found = self._at(point.prices * (1.0 + share * trial), *problem)
            if found.value <= point.value + _ARMIJO * share * (point.slopes @ trial) + noise:
                return found
            before = np.abs(point.slopes * trial)
            after = found.slopes * trial
            over = after > before
            if count < _SINGLE_TRIES and over.any():
                cut = before[over] / (before[over] + after[over])
                trial = trial.copy()
                trial[over] *= np.maximum(cut, _LEAST_CUT)
                trial -= held @ trial
            else:
                trial = move
                share *= 0.5
        return None

    def _at(self, prices: Floats, chosen: Ints, costs: Floats, temperature: float) -> _Point:
        from toolkit.routing.kernels.dual import (  # noqa: PLC0415 - numba loads at first use
            respond,
            weigh,
        )

        graph = self.graph
        edges = np.empty(len(chosen), dtype=np.int64)
        trades = np.empty((len(chosen), 6))
        blocks = np.empty((len(chosen), 3))
        respond(
            prices,
            chosen,
            graph.edge_in,
            graph.keep,
            graph.piece_start,
            graph.piece_stop,
            graph.pieces,
            edges,
            trades,
        )
        slopes = prices * self._sell
        value = float(slopes.sum())
        value += weigh(chosen, costs, temperature, graph.edge_in, edges, trades, slopes, blocks)
        return _Point(
            prices=prices, value=value, slopes=slopes, edges=edges, trades=trades, blocks=blocks
        )

    def _solved(self, point: _Point, chosen: Ints, *, is_final: bool) -> Solved:
        return Solved(
            prices=point.prices,
            value=point.value,
            chosen=chosen,
            edges=point.edges,
            trades=point.trades,
            is_final=is_final,
        )

    def _amounts(self, amounts: Mapping[Address, float]) -> Floats:
        found = np.zeros(len(self._index))
        for token, amount in amounts.items():
            if token not in self._index:
                raise NoRoute(f"no pool that a route may go through has token {token}")
            if amount < 0:
                raise NoRoute(f"token {token}: {amount} is negative")
            found[self._index[token]] = amount
        return found


def cooled(
    dual: Dual, prices: Floats, chosen: Ints, costs: Floats, temperatures: Sequence[float]
) -> Solved:
    """Minimise at falling temperatures, each from where the last one ended."""
    solved = dual.minimise(prices, chosen, costs, temperature=temperatures[0])
    for temperature in temperatures[1:]:
        solved = dual.minimise(solved.prices, chosen, costs, temperature=temperature)
    return solved
