import random

import numpy as np
import pytest

from tests.routing.flows import draw, solve
from toolkit.routing.graph import Graph
from toolkit.routing.settling.fewer import fewer
from toolkit.routing.settling.flow import ends_of, flow_of


@pytest.mark.parametrize("most", [1, 5, 20])
def test_the_ways_left_are_whole_and_trade_no_more_than_before(most: int, seed: int) -> None:
    """Every hop left has something that pays for it and leads somewhere."""
    market = draw(random.Random(seed))
    graph = Graph(market.snapshot)
    solved = solve(graph, wanted=market.native)
    ends = ends_of(graph, start=market.native, sell={}, want={market.native: 1.0})
    whole = flow_of(graph, solved.trades, ends)

    left = fewer(graph, whole, ends, most=most)

    before = dict(zip(whole.edges.tolist(), whole.taken.tolist(), strict=True))
    assert len(left.edges) <= most
    assert all(
        taken <= before[edge] * (1 + 1e-12)
        for edge, taken in zip(left.edges.tolist(), left.taken.tolist(), strict=True)
    )
    assert {*left.target.tolist()} <= {*left.source.tolist(), ends.start}
    assert {*left.source.tolist()} <= {*left.target.tolist(), ends.start}


def test_a_flow_with_room_is_left_alone(seed: int) -> None:
    """To the last bit."""
    market = draw(random.Random(seed))
    graph = Graph(market.snapshot)
    ends = ends_of(graph, start=market.native, sell={}, want={market.native: 1.0})
    whole = flow_of(graph, solve(graph, wanted=market.native).trades, ends)

    left = fewer(graph, whole, ends, most=len(whole.edges))

    assert np.array_equal(whole.taken, left.taken)
