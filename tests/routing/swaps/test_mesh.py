import random

import numpy as np

from tests.routing.graphs import TOKENS, concentrated, market, snapshot
from tests.routing.settling.test_repair import constant
from toolkit.model.chain import Address
from toolkit.pools.constant_product import MAX_RESERVE
from toolkit.routing.graph import Graph
from toolkit.routing.swaps.mesh import SOURCE, TARGET, Mesh, mesh_between

A, B, C, D, E, F = TOKENS
DEEP = 10**24
GRAPH = Graph(
    snapshot(
        constant(1, (A, B), DEEP, DEEP),
        constant(2, (A, C), DEEP, DEEP),
        constant(3, (C, B), DEEP, DEEP),
        constant(4, (C, D), DEEP, DEEP),
        constant(5, (D, B), DEEP, DEEP),
        constant(6, (A, E), DEEP, DEEP),
        constant(7, (A, B), DEEP, 0),
    )
)


def between(graph: Graph, source: Address, target: Address, hops: int) -> Mesh:
    return mesh_between(graph, graph.tokens.index(source), graph.tokens.index(target), hops)


def used(mesh: Mesh) -> set[tuple[int, Address]]:
    """Pools by number, with the token that goes in."""
    return {
        (int(GRAPH.pools[edge >> 1].id, 16), GRAPH.tokens[GRAPH.edge_in[edge]])
        for edge in mesh.edge.tolist()
    }


def test_all_edges_on_short_ways_are_in_it_and_no_others() -> None:
    """A way may be as long as asked; what leads nowhere, or cannot trade, is on none."""
    two = {(1, A), (2, A), (3, C)}

    assert {(1, A)} == used(between(GRAPH, A, B, 1))
    assert two == used(between(GRAPH, A, B, 2))
    assert two | {(4, C), (5, D)} == used(between(GRAPH, A, B, 3))


def test_nothing_comes_back_to_what_is_sold_or_leaves_what_is_bought() -> None:
    """However long ways may be."""
    mesh = between(GRAPH, A, B, 9)

    assert SOURCE not in mesh.head
    assert TARGET not in mesh.tail


def test_without_a_way_there_are_no_edges() -> None:
    """Only the two tokens are left."""
    mesh = between(GRAPH, E, B, 1)

    assert 0 == len(mesh.edge)
    assert [GRAPH.tokens.index(E), GRAPH.tokens.index(B)] == mesh.token.tolist()


def test_edges_are_found_by_the_token_that_they_take_and_give(seed: int) -> None:
    """Each once, with the graph's own rows and fee."""
    graph = Graph(market(random.Random(seed), tokens=5, pools=14, depth=(18, 22)))
    mesh = between(graph, A, B, 3)
    for token in range(len(mesh.token)):
        leaving = mesh.tail[mesh.start[token] : mesh.start[token + 1]]
        entering = mesh.head[mesh.into[mesh.into_start[token] : mesh.into_start[token + 1]]]

        assert {token} >= {*leaving.tolist(), *entering.tolist()}
    assert len(mesh.edge) == mesh.start[-1] == mesh.into_start[-1] == len({*mesh.into.tolist()})
    assert np.array_equal(graph.edge_in[mesh.edge], mesh.token[mesh.tail])
    assert np.array_equal(graph.edge_out[mesh.edge], mesh.token[mesh.head])
    assert np.array_equal(graph.keep[mesh.edge], mesh.keep)
    assert np.array_equal(graph.piece_start[mesh.edge], mesh.first)
    assert np.array_equal(graph.piece_stop[mesh.edge], mesh.stop)


def test_a_pair_has_room_for_what_its_balance_can_count() -> None:
    """As far as floats can tell; curves tell it of other pools."""
    full = constant(1, (A, B), MAX_RESERVE - 10**20 - 1, DEEP)
    brim = constant(2, (A, B), MAX_RESERVE, DEEP)
    ticks = concentrated(random.Random(1), (A, B), 1e18, 0.1)
    graph = Graph(snapshot(full, brim, ticks))
    mesh = between(graph, A, B, 1)
    room = {
        graph.pools[edge >> 1].id: at
        for edge, at in zip(mesh.edge.tolist(), mesh.room.tolist(), strict=True)
    }

    assert abs(room[full.id] - 10**20) <= 2**60
    assert 0.0 == room[brim.id]
    assert np.inf == room[ticks.id]
