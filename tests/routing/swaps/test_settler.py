import random
from graphlib import CycleError

import numpy as np
import pytest

from tests.routing.graphs import TOKENS, concentrated, snapshot
from tests.routing.settling.test_repair import constant
from toolkit.model.chain import Address
from toolkit.pools.constant_product import MAX_RESERVE
from toolkit.pools.snapshot import Pool
from toolkit.routing.graph import Graph
from toolkit.routing.swaps.mesh import SOURCE, TARGET, Mesh, mesh_between
from toolkit.routing.swaps.settler import Plan, Settler, circle, groups_of, order_of
from toolkit.routing.swaps.shares import Spender

A, B, C, D, *_ = TOKENS
DEEP = 10**24
Way = tuple[int, Address, float]


def laid(*pools: Pool, hops: int = 3) -> tuple[Graph, Mesh]:
    graph = Graph(snapshot(*pools))
    return graph, mesh_between(graph, graph.tokens.index(A), graph.tokens.index(B), hops)


def settler(graph: Graph, mesh: Mesh, *ways: Way) -> Settler:
    """What sends after flows given as (pool by number, token that goes in, how much)."""
    flows = np.zeros((3, len(mesh.edge)))
    for number, token, amount in ways:
        for place, edge in enumerate(mesh.edge.tolist()):
            pool = graph.pools[edge >> 1]
            if int(pool.id, 16) == number and graph.tokens[graph.edge_in[edge]] == token:
                flows[0, place] = amount
    return Settler(Spender(graph), mesh, flows)


def told(graph: Graph, plan: Plan | None) -> dict[int, tuple[int, int]]:
    """What each pool takes and gives."""
    assert plan is not None
    return {int(graph.pools[edge >> 1].id, 16): (taken, given) for edge, taken, given in plan.fills}


def test_an_amount_goes_as_flows_do_and_all_of_it_comes_through() -> None:
    """Also another amount than that of the flows; what is bought on the way is sold to the unit."""
    direct, there, back = (
        constant(1, (A, B), DEEP, DEEP),
        constant(2, (A, C), DEEP, DEEP),
        constant(3, (C, B), DEEP, DEEP),
    )
    graph, mesh = laid(direct, there, back)
    sends = settler(graph, mesh, (1, A, 3e20), (2, A, 1e20), (3, C, 1e20))

    plan = sends.send(8 * 10**20)

    found = told(graph, plan)
    assert 4e20 == sends.amount
    assert 6 * 10**20 == pytest.approx(found[1][0], rel=1e-9)
    assert 8 * 10**20 == found[1][0] + found[2][0]
    assert found[2][1] == found[3][0]
    assert plan is not None
    assert found[1][1] + found[3][1] == plan.amount_out


def test_where_a_pool_is_full_others_of_its_token_take_more() -> None:
    """Flows may say a little more than a pair has room for."""
    full = constant(1, (A, B), MAX_RESERVE - 10**20, DEEP)
    graph, mesh = laid(
        full,
        constant(2, (A, C), DEEP, DEEP),
        constant(3, (C, B), DEEP, DEEP),
    )
    sends = settler(graph, mesh, (1, A, 2e20), (2, A, 1e20), (3, C, 1e20))

    found = told(graph, sends.send(3 * 10**20))

    assert 3 * 10**20 == found[2][0] + found.get(1, (0, 0))[0]
    assert found.get(1, (0, 0))[0] <= 10**20


def test_less_is_bought_of_what_cannot_all_be_sold() -> None:
    """The rest goes another way; where there is none, there is no plan."""
    ending = concentrated(random.Random(1), (B, C), 1e18, 0.01)
    most, _ = ending.fill_in(C, 10**30)
    ways = constant(2, (A, C), DEEP, DEEP), ending
    graph, mesh = laid(constant(1, (A, B), DEEP, DEEP), *ways)
    share = most * 1.0001
    there = (2, A, share), (int(ending.id, 16), C, share)
    sends = settler(graph, mesh, (1, A, 5 * share), *there)
    alone, only = laid(*ways)
    stuck = settler(alone, only, *there)

    found = told(graph, sends.send(int(6 * share)))

    assert int(6 * share) == found[1][0] + found[2][0]
    assert 0.999 * most < found[2][1] == found[int(ending.id, 16)][0] <= most
    assert stuck.send(int(share)) is None


def test_what_the_source_cannot_sell_is_no_plan() -> None:
    """Nor is one that would give nothing at all."""
    full, mesh = laid(constant(1, (A, B), MAX_RESERVE - 10, DEEP))
    coarse, thin = laid(constant(1, (A, B), DEEP, 10**6))

    assert settler(full, mesh, (1, A, 1e20)).send(10**20) is None
    assert settler(coarse, thin, (1, A, 1e9)).send(10**9) is None


def test_tokens_come_after_all_that_buys_them() -> None:
    """Through one token after the other; what goes round in a circle has no order."""
    graph, mesh = laid(
        constant(1, (A, C), DEEP, DEEP),
        constant(2, (C, D), DEEP, DEEP),
        constant(3, (D, B), DEEP, DEEP),
        constant(4, (C, B), DEEP, DEEP),
        constant(5, (A, D), DEEP, DEEP),
    )
    known = {graph.tokens[token]: place for place, token in enumerate(mesh.token.tolist())}
    flows = np.zeros((3, len(mesh.edge)))
    ends = list(zip(mesh.tail.tolist(), mesh.head.tolist(), strict=True))
    for pair in ((A, C), (C, D), (D, B), (C, B), (A, D)):
        flows[0, ends.index((known[pair[0]], known[pair[1]]))] = 1.0
    groups = groups_of(mesh, flows)
    flows[0, ends.index((known[D], known[C]))] = 1.0
    flows[0, ends.index((known[A], known[C]))] = 0.4
    around = groups_of(mesh, flows)

    assert [SOURCE, known[C], known[D], TARGET] == order_of(groups)
    assert [] == circle(groups)
    assert (SOURCE, known[C]) not in around
    assert {(known[C], known[D]), (known[D], known[C])} == {ends[edge] for edge in circle(around)}
    with pytest.raises(CycleError):
        order_of(around)
