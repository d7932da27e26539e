"""Orders that one path answers, because nothing a second one could add is worth its gas.

Most orders are small: a few products of prices tell what a search among all splits would.
"""

from collections.abc import Sequence

from toolkit.routing.cycles.sizing import Path
from toolkit.routing.rates import best_rate
from toolkit.routing.swaps.swap_order import Gas

MAX_HOPS = 2
"""On longer ways a token may be met again, and what it is worth there is no path's price."""

Lone = tuple[Path, tuple[int, ...]]


def lone_path(paths: Sequence[Path], amount_in: int, gas: Gas) -> Lone | None:
    """The path that leaves the most after gas, with its amounts; None where a split may leave more.

    A split has two swaps at least, and of no unit more comes out than of the first one into the
    best path.

    Args:
        paths: all ways of up to `MAX_HOPS` swaps.
        amount_in: to be spent, all of it.
        gas: what swaps cost.
    """
    units = {path: gas.base + sum(map(gas.of, path.pools)) for path in paths}
    costs = {each: gas.cost(each) for each in set(units.values())}
    found = [
        (amounts[-1] - costs[units[path]], path, amounts)
        for path in paths
        if (amounts := path.amounts(amount_in)) is not None
    ]
    if not found:
        return None
    net, path, amounts = min(
        found, key=lambda one: (-one[0], len(one[1].pools), [pool.id for pool in one[1].pools])
    )
    fewest = gas.base + 2 * min(gas.of(pool) for path in paths for pool in path.pools)
    most = best_rate(paths) * amount_in - gas.least * fewest
    return (path, amounts) if net >= most else None
