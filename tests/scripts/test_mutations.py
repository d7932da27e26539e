"""The table of guards follows the code, and a guard that is missing is noticed."""

from pathlib import Path

import pytest

from scripts.soak.mutants import SIMULATION, Mutant
from scripts.soak.mutations import MUTANTS, caught_after, failing, mutated, without
from scripts.soak.properties import mutants
from toolkit.model.errors import DataError
from toolkit.testing.worlds import WORLDS


@pytest.mark.parametrize("mutant", [*MUTANTS, *mutants()], ids=lambda mutant: mutant.name)
def test_every_guard_is_where_the_table_says(mutant: Mutant) -> None:
    """Each guard's text is in its file exactly once, and the file still compiles without it."""
    compile(mutated(mutant), mutant.file, "exec")


def test_a_guard_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """The table cannot silently fall behind the code."""
    (tmp_path / "toolkit").mkdir()
    (tmp_path / "toolkit" / "a.py").write_text("x = 1\nx = 1\n")

    with pytest.raises(DataError, match=r"is 0 times in toolkit/a\.py"):
        mutated(Mutant("m", "a.py", "y = 1", ""), tmp_path)
    with pytest.raises(DataError, match="is 2 times"):
        mutated(Mutant("m", "a.py", "x = 1", ""), tmp_path)


def test_only_the_copy_is_changed() -> None:
    """The package itself stays as it is; everything else in the copy is the package's own."""
    mutant = MUTANTS[0]
    with without(mutant) as folder:
        changed = (folder / "toolkit" / mutant.file).read_text()
        linked = (folder / "toolkit" / "model").resolve()

    assert mutant.guard not in changed
    assert "model" == linked.name
    mutated(mutant)


@pytest.mark.timeout(120)
def test_a_missing_guard_is_noticed() -> None:
    """Without durability before the send, the first schedules fail."""
    name = "nothing is sent at once that is not durable"
    mutant = next(one for one in MUTANTS if one.name == name)

    number, why = caught_after(mutant, 0, mutant.worlds)

    assert 1 <= number <= 20
    assert "durable" in why


def test_every_detector_is_there() -> None:
    """What must notice is a schedule of a known world, and no guard stands twice."""
    assert {SIMULATION} == {mutant.detector for mutant in MUTANTS}
    assert {name for mutant in MUTANTS for name in mutant.worlds} <= WORLDS.keys()
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS})


@pytest.mark.timeout(120)
def test_a_missing_guard_is_noticed_by_its_test() -> None:
    """Other tables name tests that must notice; on the package as it is they pass."""
    blobs = next(one for one in MUTANTS if one.name == "blobs are refused")
    mutant = blobs._replace(detector="tests/tx/test_preflight.py")

    assert "" == failing(None, (mutant.detector,))
    assert failing(mutant, (mutant.detector,)).startswith("tests/tx/test_preflight.py::")
