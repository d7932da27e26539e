"""Our bound on what all pools together give, beside what Clarabel says is the optimum.

Without gas both are the value of one convex program, so they should be the same; with gas the
optimum of the pools that a plan uses, less their gas, must not exceed the plan's bound either.
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec
import numpy as np

from scripts.bench.checkout import ROOT
from scripts.bench.figures import Figure
from scripts.bench.markets import Market, published
from toolkit.pools.constant_product import ConstantProduct
from toolkit.routing.curves import Floats
from toolkit.routing.graph import Graph
from toolkit.routing.networks.dual import Dual
from toolkit.routing.networks.network import Network, Plan

SIZES = (100, 300, 1000)
SEEDS = 3
MOST_ABOVE = 1e-6
REPEATS = 5
_ETHER = 1e18
_PEER_TIMEOUT_S = 600


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The peer's line on one problem: its optimum in ether, and what it took."""

    seconds: float
    solver_seconds: float
    gives: float
    status: str


def beside_clarabel(python: Path, seed: int, gas: float) -> list[Figure]:
    """Solve markets of constant product pools, and have the peer solve the same.

    Raises:
        RuntimeError: the peer failed.
    """
    figures: list[Figure] = []
    for size in SIZES:
        cases = [_Case(published(size, size // 5, seed=seed + more), gas) for more in range(SEEDS)]
        answers = _asked(python, [case.problem() for case in cases])
        above = max(one.gives / case.bound - 1 for case, one in zip(cases, answers, strict=True))
        paying = [case for case in cases if case.used]
        with_gas = _asked(python, [case.problem(case.used) for case in paying])
        over = max(
            (one.gives - case.gas_cost) / case.gas_bound - 1
            for case, one in zip(paying, with_gas, strict=True)
        )
        what = f"{size:,} V2 pools, {SEEDS} markets"
        unsure = sum(one.status != "optimal" for one in answers)
        figures += [
            Figure(
                name=f"{what}: Clarabel's optimum above our bound (it is unsure of {unsure})",
                unit="",
                target=MOST_ABOVE,
                ours=above,
            ),
            Figure(
                name=f"{what} with gas: Clarabel's optimum of our pools above our bound",
                unit="",
                target=MOST_ABOVE,
                ours=over,
            ),
            Figure(
                name=f"{what}: a plan with its bound, without gas",
                unit="ms",
                ours=1e3 * median(case.seconds() for case in cases),
                peer=1e3 * median(one.seconds for one in answers),
                peer_name="cvxpy and Clarabel",
            ),
        ]
    return figures


class _Case:
    """A market, our plans on it, and its convex program in ether's worth of everything."""

    def __init__(self, market: Market, gas: float) -> None:
        self._native = market.native
        self._graph = Graph(market.snapshot)
        costs = np.full(len(self._graph.pools), gas)
        self.bound = self._plan(np.zeros(len(costs))).bound / _ETHER
        with_gas = self._plan(costs)
        self.used: list[int] = (np.flatnonzero(with_gas.inputs) >> 1).tolist()
        self.gas_bound = with_gas.bound / _ETHER
        self.gas_cost = gas * len(self.used) / _ETHER

    def seconds(self) -> float:
        """What a plan without gas takes, on a graph that is there."""
        free = np.zeros(len(self._graph.pools))
        return median(_taken(lambda: self._plan(free)) for _ in range(REPEATS))

    def problem(self, places: Sequence[int] | None = None) -> dict[str, object]:
        """Describe the program of some pools, or of all."""
        graph = self._graph
        worth = Dual(graph, want={self._native: 1.0}).reference() / _ETHER
        ends, reserves, keep = [], [], []
        for place in range(len(graph.pools)) if places is None else places:
            pool = graph.pools[place]
            assert isinstance(pool, ConstantProduct)
            one, other = int(graph.edge_in[2 * place]), int(graph.edge_in[2 * place + 1])
            ends.append([one, other])
            reserves.append([pool.reserve0 * worth[one], pool.reserve1 * worth[other]])
            keep.append(1 - pool.fee_ppm / 1e6)
        return {
            "ends": ends,
            "reserves": reserves,
            "keep": keep,
            "tokens": len(graph.tokens),
            "wanted": graph.tokens.index(self._native),
        }

    def _plan(self, costs: Floats) -> Plan:
        return Network(self._graph, want={self._native: 1.0}).plan(costs)


def _taken(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _asked(python: Path, problems: Sequence[dict[str, object]]) -> list[Answer]:
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("network_cvxpy.py"))],
        input="".join(json.dumps(problem) + "\n" for problem in problems),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        timeout=_PEER_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError("the peer ended; what it said last is above")
    return [msgspec.json.decode(line, type=Answer) for line in done.stdout.splitlines()]
