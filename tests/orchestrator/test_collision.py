"""A life of five agents with 200 intents each; the table's property has many small ones."""

import pytest

from tests.orchestrator.properties.f07_collision import check
from tests.orchestrator.worlds import fresh_seeds


@pytest.mark.timeout(120)
def test_a_thousand_intents_of_five_agents_never_collide() -> None:
    """Through drops, lag, stale counts, reorgs and restarts each intent is mined once or known not
    to be; and the life is not thin: bundles land, share transactions, and processes die."""
    (seed,) = fresh_seeds(1)

    floor = check(seed, intents=200)

    fills = [fill for fills in floor.fills.values() for fill in fills]
    assert 1000 == len(floor.plans) + len(floor.payments)
    assert sum(fill.landed for fill in fills) > 40
    assert sum(bool(fill.together) for fill in fills) > 20
    assert floor.crashes > 4
    assert len(floor.payments) > 80
