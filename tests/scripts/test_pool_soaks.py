"""The soak of pool histories counts what it says, and its guards are where the table says."""

import random
from pathlib import Path

import pytest

from scripts.soak.mutants import Mutant
from scripts.soak.mutations import mutated
from scripts.soak.pool_histories import noticed, try_batch
from scripts.soak.pool_mutants import CHAINS, MUTANTS


def test_a_batch_says_what_came_up_in_it() -> None:
    """Thirty chains, three of them of genuine contracts, have reorgs and rebuilds in them."""
    pytest.importorskip("pyrevm", reason="the genuine contracts run in it")
    seed = random.SystemRandom().randrange(10**8) * 10
    print(f"seed {seed}")

    counts, failures = try_batch(10, (seed, 30))

    assert () == failures
    assert 3 == counts["chains of genuine contracts"]
    assert min(counts[what] for what in ("logs", "reorgs", "rebuilds")) > 0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_guard_is_where_the_table_says(mutant: Mutant) -> None:
    """Each guard's text is in its file exactly once, and the file still compiles without it."""
    root = Path(__file__).resolve().parents[2]

    compile(mutated(mutant), mutant.file, "exec")
    assert mutant.detector == CHAINS or (root / mutant.detector).is_file()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutant", MUTANTS[:2], ids=lambda mutant: mutant.name)
def test_a_missing_guard_is_noticed(mutant: Mutant) -> None:
    """Without undo, or with ticks that go when their net is 0, the first chains differ."""
    number, why = noticed(mutant, 0)

    assert 1 <= number <= 50
    assert "AssertionError" in why
