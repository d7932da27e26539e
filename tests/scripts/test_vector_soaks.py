"""The soak of vectors finds nothing in a batch, and its guards are where the table says."""

import random
from pathlib import Path

import pytest

from scripts.soak.mutants import Mutant
from scripts.soak.mutations import mutated
from scripts.soak.vector_mutants import MUTANTS
from scripts.soak.vectors import check, noticed
from tests.pools.oracle.vectors import FAMILIES


@pytest.fixture(autouse=True)
def _needs_pyrevm() -> None:
    pytest.importorskip("pyrevm", reason="the genuine contracts run in it")


def test_a_batch_is_of_one_family_and_counted() -> None:
    """Three batches in a row are of three families, and what they say adds up."""
    seed = random.SystemRandom().randrange(10**8) * 100
    print(f"seed {seed}")

    seen = set()
    for batch in range(3):
        counts, failures = check((seed + 100 * batch, 40))
        families = {name.partition(":")[0] for name in counts}

        assert () == failures
        assert 1 == len(families)
        (family,) = families
        seen.add(family)
        answered, reverted = counts[f"{family}: answers"], counts[f"{family}: reverts"]
        assert isinstance(answered, int)
        assert isinstance(reverted, int)
        assert 40 == answered + reverted
    assert set(FAMILIES) == seen


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_guard_is_where_the_table_says(mutant: Mutant) -> None:
    """Each guard's text is in its file exactly once, and the file still compiles without it."""
    root = Path(__file__).resolve().parents[2]

    compile(mutated(mutant), mutant.file, "exec")
    assert mutant.detector in FAMILIES or (root / mutant.detector).is_file()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutant", MUTANTS[:1], ids=lambda mutant: mutant.name)
def test_a_missing_guard_is_noticed(mutant: Mutant) -> None:
    """A fee that is rounded down is a wrong integer within the first vectors."""
    number, why = noticed(mutant, mutant.detector, 0)

    assert 1 <= number <= 300
    assert "the contract" in why
