import numpy as np
import pytest

from tests.routing.graphs import TOKENS, snapshot
from tests.routing.settling.test_repair import constant
from toolkit.model.chain import Address
from toolkit.routing.graph import Graph
from toolkit.routing.networks.chains import Chains
from toolkit.routing.networks.dual import SURPLUS, Dual, Solved

# Kernels may have to be compiled first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
A, B, C, D, E, _ = TOKENS


def solved(*pools: tuple[Address, Address, int]) -> tuple[Dual, Solved]:
    """Pools numbered from 1, each with 10^24 of its first token and so many of its second."""
    taken = snapshot(
        *(constant(at, (a, b), 10**24, there) for at, (a, b, there) in enumerate(pools, start=1))
    )
    graph = Graph(taken)
    dual = Dual(graph, want={A: 1.0})
    every = np.arange(len(graph.pools))
    found = dual.minimise(dual.reference(), every, np.zeros(len(every)))
    assert (found.edges >= 0).all()
    return dual, found


RING = ((A, B, 10**24), (B, C, 10**24), (C, A, 11 * 10**23))


def test_pools_in_a_row_are_one_chain() -> None:
    """From the token where it begins to that where it ends; the start token joins nothing."""
    dual, found = solved(*RING)

    chains = Chains.of(dual, found)

    start = dual.graph.tokens.index(A)
    assert [0, 0, 0] == chains.group.tolist()
    assert [[start, start]] == chains.ends.tolist()


def test_a_chain_ends_where_three_pools_meet() -> None:
    """Two pools side by side are two chains, and so is each way to them and on."""
    dual, found = solved(RING[0], RING[1], RING[1], RING[2])

    chains = Chains.of(dual, found)

    assert 4 == len({*chains.group.tolist()}) == len(chains.ends)
    assert [2, 3, 3] == chains.degrees.tolist()


def test_a_chain_that_is_all_there_is_saves_its_costs_less_its_value() -> None:
    """Nothing else can take over what it does."""
    dual, found = solved(*RING)
    chains = Chains.of(dual, found)
    costs = np.array([1e20, 2e20, 3e20])

    (saved,) = chains.saved(dual, found, costs)

    assert found.value == pytest.approx(found.trades[:, SURPLUS].sum())
    assert saved <= 6e20 - found.value * (1 - 1e-9)


def test_leaving_one_of_two_that_do_the_same_costs_little_more_than_its_surplus() -> None:
    """The other takes over: the estimate lies between the surplus and all there is."""
    dual, found = solved(RING[0], RING[1], RING[1], RING[2])
    chains = Chains.of(dual, found)
    losses = -chains.saved(dual, found, np.zeros(4))
    less = dual.minimise(found.prices, np.array([0, 1, 3]), np.zeros(4))
    twin = int(chains.group[2])

    assert found.trades[2, SURPLUS] <= losses[twin] < 0.5 * found.value
    assert found.value - less.value == pytest.approx(losses[twin], rel=0.25)


def test_few_chains_of_a_token_leave_at_a_time() -> None:
    """First come first served, one of up to six pools of a token, and no more than asked for."""
    chains = Chains(
        group=np.array([0, 1, 2, -1]),
        ends=np.array([[0, 1], [0, 2], [3, 4]]),
        degrees=np.array([5, 2, 2, 1, 1]),
    )
    many = Chains(group=chains.group, ends=chains.ends, degrees=np.array([6, 2, 2, 1, 1]))
    order = np.array([1, 0, 2])

    assert [1, 2] == chains.apart(order, 3)
    assert [1] == chains.apart(order, 1)
    assert [1, 0, 2] == many.apart(order, 3)


def test_what_is_in_no_chain_stays() -> None:
    """A ring that nothing touches is in none, whichever chains leave."""
    chains = Chains(
        group=np.array([0, 1, 0, -1]), ends=np.array([[0, 1], [0, 2]]), degrees=np.ones(3, np.int64)
    )

    assert [False, True, False, True] == chains.without([0]).tolist()
    assert [False, False, False, True] == chains.without([0, 1]).tolist()
    assert [True] * 4 == chains.without([]).tolist()
