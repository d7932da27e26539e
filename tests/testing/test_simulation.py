import random
import secrets

import pytest

from toolkit.model.errors import ConfigError
from toolkit.testing.fakes import World
from toolkit.testing.simulation import Schedule, chaotic_world, run_many, run_one

FRESH_SEEDS = 200
FAILED_BEFORE = (31, 299, 379, 1167, 19_800_051, 20_100_100)
"""Seeds that once broke an invariant; they run for ever."""


@pytest.mark.parametrize("seed", FAILED_BEFORE)
def test_a_schedule_that_once_failed(seed: int) -> None:
    """A seed that broke an invariant once does not break it again."""
    run_one(chaotic_world, seed)


@pytest.mark.timeout(240)
def test_every_schedule_ends_in_the_truth() -> None:
    """Under faults, reorgs, crashes and rivals every request ends once, as the chain says."""
    base = secrets.randbits(32)
    print(f"seeds {base}..")

    coverage = run_many(chaotic_world, range(base, base + FRESH_SEEDS))

    print(coverage)
    reached = ["Confirmed", "Reverted", "Expired", "Cancelled", "Replaced", "failed"]
    bundles = ["lease landed", "lease missed"]
    assert [] == [name for name in [*reached, *bundles] if not coverage.ends[name]]
    assert [] == [name for name in ("crash", "reorg", "delegate") if not coverage.actions[name]]
    assert FRESH_SEEDS == coverage.schedules + coverage.thin
    assert coverage.schedules > FRESH_SEEDS * 9 // 10
    assert 0 < coverage.effects["Observed => Halt"]


def test_one_seed_is_one_interleaving() -> None:
    """A seed lives the same life each time, to the last event, also inside a running loop."""
    first, second = (run_one(chaotic_world, 7).counts() for _ in range(2))

    assert first == second


async def test_schedules_run_inside_a_loop() -> None:
    """A test that is a coroutine itself may call it."""
    assert 1 == run_many(chaotic_world, [7]).schedules


def test_a_failing_schedule_names_its_seed() -> None:
    """Whoever reads the failure can live that life again."""

    class Broken(Schedule):
        async def run(self) -> None:
            raise AssertionError("broken on purpose")

    with pytest.raises(AssertionError) as failed:
        run_many(chaotic_world, [7], schedule=Broken)

    assert ["seed 7"] == failed.value.__notes__


def test_a_deadlock_is_a_failure() -> None:
    """Waiting for what nobody will do ends at once, and not by a timeout."""

    class Waiting(Schedule):
        async def run(self) -> None:
            import asyncio

            await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="deadlock"):
        run_one(chaotic_world, 1, schedule=Waiting)


def test_a_quiet_life_is_thin() -> None:
    """A schedule without enough faults is checked, and counts as thin."""
    coverage = run_many(World, [7])

    assert coverage.faults == {}
    assert 1 == coverage.schedules + coverage.thin


def test_an_unknown_fault_is_refused() -> None:
    """A misspelt fault would make every schedule pass."""
    with pytest.raises(ConfigError, match="no fault is named 'lagg'"):
        World(random.Random(1), lagg=1.0)
