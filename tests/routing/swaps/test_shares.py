import random

import msgspec
import pytest

from tests.routing.graphs import TOKENS, concentrated, snapshot
from tests.routing.settling.test_repair import constant
from toolkit.model.chain import Address
from toolkit.pools.constant_product import MAX_RESERVE
from toolkit.routing.graph import Graph
from toolkit.routing.swaps.shares import Spender, spend

# Kernels may have to be compiled first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
A, B, *_ = TOKENS
DEEP = 10**24
ALIKE = [constant(number, (A, B), DEEP, DEEP) for number in (1, 2, 3)]


def test_shares_are_kept_and_the_whole_amount_is_spent() -> None:
    """Every amount is the pools' own; what shares round off goes where the most goes."""
    filled = spend(ALIKE, A, 6 * 10**20 + 2, [1e20, 2e20, 3e20])

    assert [10**20, 2 * 10**20, 3 * 10**20 + 2] == [taken for taken, _ in filled]
    assert filled == [
        pool.fill_in(A, taken) for pool, (taken, _) in zip(ALIKE, filled, strict=True)
    ]


def test_few_units_go_where_shares_lack_most() -> None:
    """Of amounts so small that one unit matters none is given to the largest only for its size."""
    even = [constant(number, (A, B), 10**6, 10**9) for number in (1, 2, 3)]

    assert [2, 1, 2] == [taken for taken, _ in spend(even, A, 5, [1.9, 1.2, 1.9])]


def test_shares_that_come_to_more_than_there_is_are_cut() -> None:
    """The last ones are."""
    filled = spend(ALIKE, A, 10**20, [8e19, 8e19, 8e19])

    assert 10**20 == sum(taken for taken, _ in filled)
    assert all(taken >= 0 for taken, _ in filled)


def test_what_a_full_pool_does_not_take_others_do() -> None:
    """Where they cannot either, it is left over, and nothing was put in for nothing."""
    full = constant(4, (A, B), MAX_RESERVE - 10, DEEP)
    ending = concentrated(random.Random(1), (A, B), 1e9, 0.01)
    most, _ = ending.fill_in(A, 10**30)

    assert [(0, 0), ALIKE[1].fill_in(A, 10**20)] == spend([full, ALIKE[1]], A, 10**20, [6e19, 4e19])
    (taken, given), *rest = spend([ending, full], A, 10**20, [1e20, 0.0])
    assert (taken, given) == ending.fill_in(A, most)
    assert [(0, 0)] == rest


def test_what_buys_no_unit_is_spent_where_it_buys_one() -> None:
    """A contract would refuse an output of nothing."""
    coarse = [constant(1, (A, B), DEEP, 10**6), constant(2, (A, B), DEEP, 10**6)]
    filled = spend(coarse, A, 18 * 10**17, [9e17, 9e17])

    assert [(0, 0), (18 * 10**17, 1)] == sorted(filled)


def test_what_an_output_can_do_without_buys_a_further_unit() -> None:
    """Each takes no more than its units need, as long as the rest together is worth another one."""
    coarse = [constant(number, (A, B), DEEP, 10**6) for number in (1, 2, 3)]
    filled = spend(coarse, A, 42 * 10**17, [14e17] * 3)

    assert 42 * 10**17 == sum(taken for taken, _ in filled)
    assert 4 == sum(given for _, given in filled)
    assert 3 == sum(pool.fill_in(A, 14 * 10**17)[1] for pool in coarse)


def test_nothing_is_spent_on_pools_that_refuse_all() -> None:
    """Neither a pool without reserves nor one without liquidity is an error."""
    empty = constant(1, (A, B), 0, 0)
    hollow = msgspec.structs.replace(
        concentrated(random.Random(1), (A, B), 1e18, 0.0), liquidity=0, ticks=()
    )

    assert [(0, 0), (0, 0)] == spend([empty, hollow], A, 10**18, [5e17, 5e17])


@pytest.mark.parametrize("token", [A, B])
def test_a_spender_follows_a_graph_that_moves(token: Address) -> None:
    """The compiled shares are of what pools are now, whichever token goes in."""
    pools = [constant(number, (A, B), DEEP, 2 * DEEP) for number in range(1, 11)]
    graph = Graph(snapshot(*pools))
    spender = Spender(graph)
    edges = [2 * place + (token == B) for place in range(10)]
    before = spender.spend(edges, 10**22, [1e21] * 10)
    moved = [msgspec.structs.replace(pool, reserve1=DEEP) for pool in pools[:5]] + pools[5:]
    graph.move(snapshot(*moved))
    after = spender.spend(edges, 10**22, [1e21] * 10)

    for filled, states in ((before, pools), (after, moved)):
        assert 10**22 == sum(taken for _, taken, _ in filled)
        assert filled == [
            (edge, *states[edge >> 1].fill_in(token, taken)) for edge, taken, _ in filled
        ]
