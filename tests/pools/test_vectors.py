"""The genuine bytecode's answers to random questions: our quotes are the same integers."""

import pytest

from tests.pools.oracle.batches import mismatches
from tests.pools.oracle.counts import counted
from tests.pools.oracle.vectors import FAMILIES, Vector, mismatch, vectors

QUICK = 600
NO_WHEEL = "pyrevm has no wheel here; the Anvil tests still run"
WANTED = ("token0 in", "token1 in", "exact in", "exact out", "reverts", "answers", "gives nothing")
WANTED_OF_TICKS = ("under a price limit", "filled in part", "cross ticks", "pass a gap")


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def drawn(request: pytest.FixtureRequest, seed: int) -> list[Vector]:
    """Fresh vectors of one family."""
    pytest.importorskip("pyrevm", reason=NO_WHEEL)
    return vectors(request.param, seed, QUICK)


def test_every_answer_is_the_contracts(drawn: list[Vector]) -> None:
    """Amounts, state afterwards and reverts equal those of the contract's own code."""
    assert [] == [wrong for vector in drawn if (wrong := mismatch(vector))]


@pytest.mark.timeout(300)  # kernels that no run has compiled yet take a while
def test_every_answer_of_the_kernels_is_the_contracts(drawn: list[Vector]) -> None:
    """What is compiled gives the contract's integers and refuses where it reverts."""
    assert [] == mismatches(drawn)


def test_the_vectors_go_where_it_is_difficult(drawn: list[Vector]) -> None:
    """Both directions, both kinds, reverts, limits, ticks and gaps are among any 600."""
    counts = counted(drawn)
    wanted = WANTED if "cross ticks" not in counts else WANTED + WANTED_OF_TICKS

    assert [] == [name for name in wanted if counts[name] < QUICK // 200]


def test_vectors_are_those_of_their_seed(seed: int) -> None:
    """A seed that failed is drawn again alike, whatever was drawn in between."""
    pytest.importorskip("pyrevm", reason=NO_WHEEL)
    first = vectors("v3", seed, 30)
    vectors("v3", seed + 1, 30)

    assert first == vectors("v3", seed, 30)
    assert first != vectors("v3", seed + 2, 30)


def test_a_wrong_unit_is_noticed(drawn: list[Vector]) -> None:
    """A contract that answered one unit more or less, or stopped elsewhere, would be reported."""
    answered = [vector for vector in drawn if vector.amounts is not None]
    for vector in answered[:20]:
        assert vector.amounts is not None
        taken, given = vector.amounts
        for amounts in ((taken + 1, given), (taken, given + 1), None):
            other = Vector(
                pool=vector.pool, question=vector.question, amounts=amounts, after=vector.after
            )

            assert "the contract says" in mismatch(other)
            assert 1 == len(mismatches([other]))
