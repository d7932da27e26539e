import random

import pytest

from tests.routing.graphs import TOKENS, market, snapshot
from tests.routing.settling.test_repair import constant
from tests.routing.swaps.test_split import singles
from toolkit.pools.constant_product import MAX_RESERVE
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.graph import Graph
from toolkit.routing.swaps.mesh import mesh_between
from toolkit.routing.swaps.single import SinglePaths
from toolkit.routing.swaps.swap_order import MOST

# Kernels may have to be compiled first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
A, B, C, D, *_ = TOKENS
DEEP = 10**24


def paths(taken: Snapshot, hops: int) -> SinglePaths:
    graph = Graph(taken)
    mesh = mesh_between(graph, graph.tokens.index(A), graph.tokens.index(B), hops)
    return SinglePaths(graph, mesh, hops)


def test_no_path_gives_more(seed: int) -> None:
    """Of one to three hops, by trying all of them; none where none takes the whole amount."""
    rng = random.Random(seed)
    for _ in range(15):
        taken = market(rng, tokens=4, pools=7, depth=(4, 22))
        amount = int(10 ** rng.uniform(2, 23))
        for hops in (1, 2, 3):
            found = paths(taken, hops).best(amount)

            assert max(singles(taken, amount, hops)) == (0 if found is None else found.amount_out)


def test_what_gives_less_may_be_all_that_the_next_pool_takes() -> None:
    """The best price for the first hop is of no use where the second has no room for it."""
    taken = snapshot(
        constant(1, (A, C), DEEP, 2 * DEEP),
        constant(2, (A, C), DEEP, DEEP),
        constant(3, (C, B), MAX_RESERVE - 15 * 10**20, DEEP),
    )
    found = paths(taken, 2).best(10**21)

    assert found is not None
    assert [2, 3] == [int(taken_by, 16) for taken_by in route(taken, found.fills)]


def route(taken: Snapshot, fills: tuple[tuple[int, int, int], ...]) -> list[str]:
    graph = Graph(taken)
    return [graph.pools[edge >> 1].id for edge, *_ in fills]


def test_no_token_is_passed_twice() -> None:
    """A detour back to a token is no path, however much it would gain."""
    taken = snapshot(
        constant(1, (A, C), DEEP, DEEP),
        constant(2, (C, D), DEEP, 3 * DEEP),
        constant(3, (D, C), DEEP, DEEP),
        constant(4, (C, B), DEEP, DEEP),
    )
    found = paths(taken, 4).best(10**20)

    assert found is not None
    assert 2 == len(found.fills)


def test_of_equal_paths_the_shorter_is_taken() -> None:
    """Then that of the lower pools."""
    one = snapshot(constant(1, (A, B), DEEP, DEEP), constant(2, (A, B), DEEP, DEEP))
    # Without fees and in so little of so much, another hop costs nothing but a unit's rounding.
    two = snapshot(
        constant(3, (A, C), DEEP, 2 * DEEP),
        constant(4, (C, B), DEEP, DEEP),
        constant(5, (A, B), 2 * DEEP, 4 * DEEP - 2 * 10**6),
    )
    direct = paths(two, 2).best(10**3)

    assert direct is not None
    assert 1 == len(direct.fills)
    (found,) = (plan for plan in [paths(one, 1).best(10**20)] if plan)
    assert f"0x{1:040x}" in route(one, found.fills)


def test_an_output_is_bought_by_the_path_that_needs_least(seed: int) -> None:
    """From any start; a millionth less buys less, on every path."""
    rng = random.Random(seed)
    bought = 0
    for _ in range(15):
        taken = market(rng, tokens=4, pools=7, depth=(14, 22))
        ways = paths(taken, 2)
        wanted = int(10 ** rng.uniform(6, 20))
        found = ways.bought(wanted, int(10 ** rng.uniform(0, 20)), MOST)
        if found is None:
            continue
        bought += 1
        less = found.amount_in - found.amount_in // 10**6 - 5

        assert wanted <= found.amount_out
        assert less < 1 or max(singles(taken, less, 2)) < wanted, seed
    assert bought > 3


def test_more_than_may_be_paid_or_is_there_is_not_bought() -> None:
    """None says so, and the most that may be paid is tried at last."""
    taken = snapshot(constant(1, (A, B), DEEP, DEEP))
    pool = taken.pools[constant(1, (A, B), 1, 1).id]
    ways, need = paths(taken, 1), pool.quote_out(B, 10**21)
    found = ways.bought(10**21, 10**9, need)

    assert found is not None
    assert need - 1 <= found.amount_in <= need
    assert ways.bought(10**21, 10**9, need - 10**6) is None
    assert ways.bought(DEEP, 10**20, MOST) is None
    assert ways.bought(10**21, 10**25, MOST) == found
