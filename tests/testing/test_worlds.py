"""Every kind of world ends in the truth, on fresh seeds."""

import secrets

import pytest

from toolkit.testing.worlds import WORLDS

FRESH_SEEDS = {
    "chaotic": 20,
    "crowded": 30,
    "delegated": 30,
    "delegating": 30,
    "file": 10,
    "hung": 30,
    "moved": 20,
    "power": 20,
    "refused": 30,
    "rivals": 30,
    "silent": 30,
    "told": 30,
}
"""How many lives of a world are lived here; the others are quick, or have a test of their own."""

FAILED_BEFORE = (
    ("lives", 500_204),
    ("lives", 500_853),
    ("lives", 2_893_405_305),
    ("stubborn", 1_919_921_779),
    ("stubborn", 4_117_633_267),
    ("halted", 943),
    ("halted", 6_123),
    ("lagging", 5_942),
)
"""Lives that once broke an invariant; they are lived for ever."""


@pytest.mark.parametrize(("world", "seed"), FAILED_BEFORE)
def test_a_life_that_once_failed(world: str, seed: int) -> None:
    """A seed that broke an invariant once does not break it again."""
    WORLDS[world](seed)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("world", sorted(WORLDS))
def test_every_life_ends_in_the_truth(world: str) -> None:
    """No life breaks an invariant; the first note of a failure names its seed."""
    base = secrets.randbits(32)
    seeds = FRESH_SEEDS.get(world, 60)
    print(f"{world}: seeds {base}..{base + seeds - 1}")

    lived = [WORLDS[world](seed) for seed in range(base, base + seeds)]

    assert seeds == sum(one.schedules + one.thin for one in lived)
    assert 0 < sum(one.events for one in lived)


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_one_seed_is_one_life(world: str) -> None:
    """The same seed lives the same life again, to the last event."""
    first, second = (WORLDS[world](11).counts() for _ in range(2))

    assert first == second
