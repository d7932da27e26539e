import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.routing.graphs import TOKENS, cycles, market, ternary
from toolkit.routing.arrays import build_arrays
from toolkit.routing.optimizer import path_of
from toolkit.routing.search import MAX_CANDIDATES, Candidate, find_cycles, warm_up

A, *_ = TOKENS
ROOT = Path(__file__).resolve().parents[3]


def test_every_paying_cycle_is_found_and_sized(seed: int) -> None:
    """The float search misses none that integers show to pay, and estimates it to a millionth."""
    rng = random.Random(seed)
    compared = 0
    for _ in range(30):
        taken = market(rng, tokens=4, pools=6, depth=(18, 22))
        if A not in taken.tokens:
            continue
        arrays = build_arrays(taken)
        costs = np.zeros(len(arrays.edges) + 1)
        found: dict[tuple[str, ...], Candidate] = {
            tuple(arrays.pools[pool].id for pool in cycle.pools): cycle
            for cycle in find_cycles(arrays, A, max_hops=3, max_input=1e24, costs=costs)
        }
        for cycle in cycles(taken, A, 3):
            best, _ = ternary(cycle, A, 10**24)
            if best > 10**6:
                name = tuple(pool.id for pool in cycle)

                assert found[name].net == pytest.approx(best, rel=1e-6, abs=1e7), seed
                compared += 1
    assert compared > 20


def test_costs_and_the_largest_input_are_respected(seed: int) -> None:
    """Net is gain minus the costs of edges and cycle; no input exceeds the bound."""
    rng = random.Random(seed)
    for _ in range(20):
        taken = market(rng, tokens=3, pools=8, depth=(18, 20))
        if A not in taken.tokens:
            continue
        arrays = build_arrays(taken)
        free = np.zeros(len(arrays.edges) + 1)
        dear = np.full(len(arrays.edges) + 1, 1e13)
        ask = partial(find_cycles, arrays, A, max_hops=3, max_input=1e17)
        gains = {cycle.pools: cycle.net for cycle in ask(costs=free)}
        for cycle in ask(costs=dear):
            cost = 1e13 * (len(cycle.pools) + 1)
            assert cycle.amount_in <= 1e17
            assert cycle.net == pytest.approx(gains[cycle.pools] - cost, rel=1e-9, abs=1e3)
            assert cycle.net > -0.01 * cost


def test_a_cycle_passes_no_token_twice(seed: int) -> None:
    """Longer cycles lead through distinct tokens and pools: a loop within would be a cycle too."""
    rng = random.Random(seed)
    found = 0
    for _ in range(10):
        taken = market(rng, tokens=4, pools=12, depth=(18, 20), noise=0.1, v3=0.0)
        arrays = build_arrays(taken)
        costs = np.zeros(len(arrays.edges) + 1)
        for cycle in find_cycles(arrays, A, max_hops=4, max_input=1e24, costs=costs):
            path = path_of([arrays.pools[pool] for pool in cycle.pools], A)
            found += len(cycle.pools) == 4

            assert path.tokens[0] == path.tokens[-1] == A
            assert len(set(path.tokens)) == len(cycle.pools) == len(set(cycle.pools))
    assert found > 0


def test_more_cycles_than_rows_keep_the_best(seed: int) -> None:
    """With more paying cycles than rows, the rows hold the most profitable ones."""
    rng = random.Random(seed)
    taken = market(rng, tokens=3, pools=24, depth=(18, 20), noise=0.1, v3=0.0)
    arrays = build_arrays(taken)
    costs = np.zeros(len(arrays.edges) + 1)
    found = find_cycles(arrays, A, max_hops=3, max_input=1e24, costs=costs)
    best = max(ternary(cycle, A, 10**22)[0] for cycle in cycles(taken, A, 2))

    assert len(found) == MAX_CANDIDATES
    assert found[0].net >= best * (1 - 1e-9)
    assert [cycle.net for cycle in found] == sorted((c.net for c in found), reverse=True)


def test_the_compiled_kernel_is_the_python_one() -> None:
    """With compiling disabled the same market gives the same candidates."""
    program = (
        "import random, numpy as np\n"
        "from tests.routing.graphs import market, TOKENS\n"
        "from toolkit.routing.arrays import build_arrays\n"
        "from toolkit.routing.search import find_cycles\n"
        "arrays = build_arrays(market(random.Random(5), tokens=4, pools=10, depth=(18, 22)))\n"
        "costs = np.zeros(len(arrays.edges) + 1)\n"
        "found = find_cycles(arrays, TOKENS[0], max_hops=3, max_input=1e24, costs=costs)\n"
        "print([(c.pools, f'{c.net:.9e}', f'{c.amount_in:.6e}') for c in found])\n"
    )
    printed = []
    for disabled in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(done.stdout)

    assert "e+" in printed[0]
    assert printed[0] == printed[1]


def test_warming_up_needs_no_market() -> None:
    """Compiling ahead works on an empty graph."""
    warm_up()
