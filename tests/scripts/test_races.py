"""Races of the author with the chain, in small."""

import secrets

import pytest

from scripts.soak.races import race
from toolkit.testing.coverage import Coverage

RACES = 200


@pytest.mark.timeout(120)
def test_what_is_told_is_what_the_chain_has() -> None:
    """Whatever clashes, each request's outcome is the chain's, and every kind of end occurs."""
    first = secrets.randbits(32)
    print(f"seeds {first}..{first + RACES - 1}")

    counts, failures = race((first, RACES))

    assert () == failures
    ends = Coverage.of_counts(counts).ends
    reached = ["Confirmed", "Cancelled", "Replaced", "Expired", "Reverted"]
    assert [] == [name for name in reached if not ends[name]]
