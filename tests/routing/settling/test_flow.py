import math

import numpy as np
import pytest

from tests.routing.graphs import TOKENS, snapshot
from tests.routing.settling.test_repair import constant, trading
from toolkit.model.chain import Address
from toolkit.routing.graph import Graph
from toolkit.routing.settling.flow import Flow, ends_of, flow_of, living, parts_of

A, B, C, D, *_ = TOKENS
GRAPH = Graph(
    snapshot(
        constant(1, (A, B), 10**24, 2 * 10**24),
        constant(2, (A, B), 10**24, 2 * 10**24),
        constant(3, (B, C), 10**24, 10**24),
        constant(4, (C, D), 10**24, 10**24),
        constant(5, (A, D), 10**24, 10**24),
    )
)
ENDS = ends_of(GRAPH, start=A, sell={}, want={A: 1.0})


def weighed(*ways: tuple[int, Address, float]) -> Flow:
    return flow_of(GRAPH, trading(GRAPH, *ways), ENDS)


def pools(flow: Flow) -> list[int]:
    return [int(GRAPH.pools[edge >> 1].id, 16) for edge in flow.edges]


def test_hops_that_lead_nowhere_are_dropped_with_those_before_them() -> None:
    """And hops that nothing pays for with those after them."""
    dead = weighed((1, A, 1e21), (2, B, 1e21), (3, B, 1e20), (4, C, 1e20))
    unpaid = weighed((1, A, 1e21), (2, B, 1e21), (4, C, 1e20), (5, D, 1e20))

    assert [1, 2] == pools(dead) == pools(unpaid)


def test_worth_follows_the_rates_that_hops_end_at() -> None:
    """One of the start is worth one of it, another token what its pools say in the end."""
    flow = weighed((1, A, 1e21), (2, B, 1e21))
    there = 2e24 * 1e24 / (1e24 + 1e21) ** 2
    back = 1e24 * 2e24 / (2e24 + 1e21) ** 2
    known = {token: at for at, token in enumerate(GRAPH.tokens)}

    assert 1.0 == flow.worth[known[A]]
    assert flow.worth[known[B]] == pytest.approx(math.sqrt(back / there))
    assert 0.0 == flow.worth[known[D]]


def test_parts_are_what_only_the_start_joins() -> None:
    """Pools between the same two tokens are one part."""
    flow = weighed((1, A, 1e21), (2, B, 1e21), (5, A, 1e20), (4, D, 1e20), (3, C, 1e20))
    start = GRAPH.tokens.index(A)

    assert 1 == len({*parts_of(flow, start)})
    assert pools(living(flow.without([0]), ENDS)) == [2, 3, 4, 5]


def test_a_scaled_flow_gives_what_its_curves_give() -> None:
    """Less of an input gives more than in proportion."""
    flow = weighed((1, A, 1e23), (2, B, 1e23))

    half = flow.scaled(GRAPH, 0.5)

    assert np.allclose(flow.taken / 2, half.taken)
    assert (half.given > flow.given / 2).all()
