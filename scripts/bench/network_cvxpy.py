"""The peer of bounds: cvxpy with Clarabel, run by an environment of its own.

Reads problems, one a line: pools of two tokens each, their reserves as values and what is kept of
an input, and the token to earn. Answers each with the most that all pools together can give, the
seconds that cvxpy took, those of the solver in it, and what the solver says of its answer.

The solver ends as soon as no token is short by more than its tolerance, so that what it answers is
a little too much, and more or less so with the unit that values are in. Each problem is solved in
a few units, and the least is answered.
"""

import json
import sys
import time
import warnings

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_matrix

UNITS = (1.0, 0.1, 0.01)


def main() -> None:
    """Answer until there is nothing more to read."""
    warnings.simplefilter("ignore")  # that an answer may be inaccurate is in its status
    for line in sys.stdin:
        answers = [solved(unit, line) for unit in UNITS]
        print(json.dumps(min(answers, key=lambda answer: float(answer["gives"]))))
        sys.stdout.flush()


def solved(unit: float, line: str) -> dict[str, float | str]:
    """What the solver answers with values in a unit."""
    asked = problem(unit=unit, **json.loads(line))
    start = time.perf_counter()
    asked.solve(solver=cp.CLARABEL)
    return {
        "seconds": time.perf_counter() - start,
        "solver_seconds": float(asked.solver_stats.solve_time),
        "gives": float(asked.value) * unit,
        "status": asked.status,
    }


def problem(
    ends: list[list[int]],
    reserves: list[list[float]],
    keep: list[float],
    tokens: int,
    wanted: int,
    unit: float,
) -> cp.Problem:
    """The convex program in units of each pool's own reserves.

    A pool keeps its constant product: u v >= 1 with u = 1 + keep paid - given of one token and v
    of the other, which is the cone |(2, u - v)| <= u + v. No token may be short.
    """
    count = len(ends)
    columns = np.arange(count)
    left = np.zeros(tokens)
    sides = []
    for side in range(2):
        paid = cp.Variable(count, nonneg=True)
        given = cp.Variable(count, nonneg=True)
        held = csr_matrix(
            (np.array(reserves)[:, side] / unit, (np.array(ends)[:, side], columns)),
            (tokens, count),
        )
        left = left + held @ (given - paid)
        sides.append(1 + cp.multiply(np.array(keep), paid) - given)
    u, v = sides
    rules = [cp.SOC(u + v, cp.vstack([2 * np.ones(count), u - v]), axis=0), left >= 0]
    return cp.Problem(cp.Maximize(left[wanted]), rules)


if __name__ == "__main__":
    main()
