"""degenbot's exact quote functions, unmodified, as the quotes benchmark's peer.

Runs in an environment of its own, so it imports nothing of ours. Its first line of input is a JSON
job; each further line names one of the job's works, and is answered with the seconds that all its
quotes took and their amounts. Pools of degenbot need a node: its step functions are driven by the
loop below instead, over stops that were looked up beforehand, which flatters them.
"""

import json
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from degenbot.uniswap.v2_functions import constant_product_calc_exact_in
from degenbot.uniswap.v3_libraries.swap_math import compute_swap_step

Stops = list[tuple[int, int]]


def main() -> None:
    """Do the works as often as asked."""
    job = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        name = line.strip()
        work = pairs(job["pairs"]) if name == "pairs" else ticked(job["ticked"], job[name])
        start = time.perf_counter()
        amounts = work()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "amounts": [str(one) for one in amounts]}))
        sys.stdout.flush()


def pairs(rows: list[list[str]]) -> Callable[[], list[int]]:
    """Rows of amount in, reserve in, reserve out, fee in millionths."""
    given = [
        (int(amount), int(into), int(out), Fraction(int(fee), 10**6))
        for amount, into, out, fee in rows
    ]
    return lambda: [constant_product_calc_exact_in(*row) for row in given]


def ticked(pool: dict[str, Any], work: dict[str, Any]) -> Callable[[], list[int]]:
    """Exact inputs along the stops of the work's direction."""
    stops = [(int(price), int(net)) for price, net in work["stops"]]
    amounts = [int(amount) for amount in work["amounts"]]
    price, liquidity, fee = int(pool["price"]), int(pool["liquidity"]), int(pool["fee"])
    return lambda: [along(stops, amount, price, liquidity, fee) for amount in amounts]


def along(stops: Stops, remaining: int, price: int, liquidity: int, fee: int) -> int:
    """What an exact input buys."""
    bought = 0
    for target, net in stops:
        price, paid, got, charged = compute_swap_step(price, target, liquidity, remaining, fee)
        remaining -= paid + charged
        bought += got
        if remaining == 0 or price != target:
            break
        liquidity += net
    return bought


if __name__ == "__main__":
    main()
