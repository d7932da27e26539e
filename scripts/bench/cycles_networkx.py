"""Best cycles by networkx, as the peer of the cycles benchmark: all simple paths, then all pools.

Runs in an environment of its own, so it imports nothing of ours. Its first line of input is a JSON
job: `pools` as rows of two tokens by number, two reserves and the millionths of the input that
are left after the fee. Each further line is a largest number of hops, answered with the seconds
that it took and the best cycle from token 0.
"""

import itertools
import json
import math
import sys
import time
from collections.abc import Iterator

import networkx as nx

Edge = tuple[int, int, int]
"""Reserve in, reserve out, millionths left."""


def main() -> None:
    """Search as often as asked."""
    job = json.loads(sys.stdin.readline())
    rows = [tuple(map(int, row)) for row in job["pools"]]
    for line in sys.stdin:
        start = time.perf_counter()
        profit, amount, path = best_cycle(rows, int(line))
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "profit": str(profit), "amount": str(amount), "path": path}
        print(json.dumps(answer))
        sys.stdout.flush()


def best_cycle(rows: list[tuple[int, ...]], hops: int) -> tuple[int, int, list[int]]:
    """Profit, input and pools of the best of all cycles."""
    graph = nx.DiGraph()
    edges: dict[tuple[int, int], dict[int, Edge]] = {}
    for pool, (first, second, reserve0, reserve1, left) in enumerate(rows):
        graph.add_edges_from([(first, second), (second, first)])
        edges.setdefault((first, second), {})[pool] = (reserve0, reserve1, left)
        edges.setdefault((second, first), {})[pool] = (reserve1, reserve0, left)
    best: tuple[float, float, tuple[int, ...]] = (0.0, 0.0, ())
    for tokens in token_cycles(graph, hops):
        ways = [edges[ends] for ends in itertools.pairwise(tokens)]
        for pools in itertools.product(*ways):
            if len(set(pools)) == len(pools):
                found = sized([way[pool] for way, pool in zip(ways, pools, strict=True)])
                if found[0] > best[0]:
                    best = (*found, pools)
                    chosen = [way[pool] for way, pool in zip(ways, pools, strict=True)]
    if not best[2]:
        return 0, 0, []
    profit, amount = climbed(chosen, max(1, int(best[1])))
    return profit, amount, list(best[2])


def token_cycles(graph: "nx.DiGraph[int]", hops: int) -> Iterator[list[int]]:
    """Token 0, the tokens between, and token 0 again."""
    for last in list(graph.predecessors(0)):
        for path in nx.all_simple_paths(graph, 0, last, cutoff=hops - 1):
            yield [*path, 0]


def sized(edges: list[Edge]) -> tuple[float, float]:
    """The profit and the best input of a chain x rate / (1 + x bend), in floats."""
    rate, bend = 1.0, 0.0
    for into, out, left in edges:
        bend += rate * left / (into * 1e6)
        rate *= left * out / (into * 1e6)
    if rate <= 1:
        return 0.0, 0.0
    root = math.sqrt(rate)
    return (root - 1) ** 2 / bend, (root - 1) / bend


def climbed(edges: list[Edge], start: int) -> tuple[int, int]:
    """The integer profit and its input, by steps of powers of two."""

    def profit(amount: int) -> int:
        out = amount
        for into, reserve, left in edges:
            out = out * left * reserve // (into * 10**6 + out * left)
        return out - amount

    best, step = (profit(start), start), 1 << max(0, start.bit_length() - 20)
    while step:
        tried = [(profit(amount), amount) for amount in (best[1] - step, best[1] + step) if amount]
        if max(tried)[0] > best[0]:
            best = max(tried)
        else:
            step >>= 1
    return best


if __name__ == "__main__":
    main()
