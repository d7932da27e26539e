"""The peer of splits: cvxpy with Clarabel, run by an environment of its own.

Reads a job, one line: by name, the pools of a split (reserves in whole tokens, what is kept of an
input) and the amount. Then, for each line that names one, answers what it gives and the seconds
that a solve takes once cvxpy has compiled the problem.
"""

import json
import sys
import time

import cvxpy as cp
import numpy as np


def main() -> None:
    """Answer until there is nothing more to read."""
    job = json.loads(sys.stdin.readline())
    problems = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in problems:
            problems[name] = problem(**job[name])
            problems[name][0].solve(solver=cp.CLARABEL)
        asked, scale = problems[name]
        start = time.perf_counter()
        asked.solve(solver=cp.CLARABEL)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "gives": float(asked.value) * scale}))
        sys.stdout.flush()


def problem(
    into: list[float], out: list[float], keep: list[float], amount: float
) -> tuple[cp.Problem, float]:
    """The convex program in units of each pool's own reserves, and the scale of its value.

    A pool keeps its constant product: geo_mean(1 + keep paid, 1 - given) >= 1.
    """
    count, whole = len(into), float(np.sum(out))
    paid = cp.Variable(count, nonneg=True)
    given = cp.Variable(count, nonneg=True)
    rules = [
        cp.geo_mean(cp.hstack([1 + keep[pool] * paid[pool], 1 - given[pool]])) >= 1
        for pool in range(count)
    ]
    rules.append(np.array(into) / amount @ paid <= 1)
    return cp.Problem(cp.Maximize(np.array(out) / whole @ given), rules), whole


if __name__ == "__main__":
    main()
