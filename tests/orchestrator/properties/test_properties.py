"""Each property of the table holds for 200 seeds nobody chose, and for every seed that failed."""

import pytest

from tests.orchestrator.properties.table import names, property_named
from tests.orchestrator.worlds import fresh_seeds

SEEDS = 200


@pytest.mark.parametrize("name", names())
def test_property_holds(name: str) -> None:
    """The property says so itself: its module's first line."""
    one = property_named(name)

    for seed in (*one.seeds, *fresh_seeds(SEEDS)):
        try:
            one.check(seed)
        except AssertionError as error:
            raise AssertionError(f"{one.name}, seed {seed}: {one.says}\n{error}") from error
