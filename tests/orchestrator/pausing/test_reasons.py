"""Several reasons to wait are one assessment, and two answers differ by a share."""

import random

import pytest

from tests.orchestrator.worlds import buys, fresh_seeds, sells
from toolkit.model.decision import Intent
from toolkit.orchestrator.pausing.pauses import Effect
from toolkit.orchestrator.pausing.reasons import Part, composed, disagreement


def part(
    differs: float, *, effect: Effect = "pause", tolerance: float = 0.05, until: int = 10
) -> Part:
    """One reason to wait."""
    return Part(
        because=(f"{until}-0",),
        effect=effect,
        differs=differs,
        tolerance=tolerance,
        until_block=until,
        why=f"{effect} {differs} until {until}",
    )


def test_pauses_compose_by_the_largest() -> None:
    """Any reason pauses, in any order, and the pause ends with the last of them."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        parts = [part(rng.random() / 5, until=rng.randrange(99)) for _ in range(rng.randint(1, 5))]
        mixed = parts[:]
        rng.shuffle(mixed)

        found = composed("a", parts)

        assert found == composed("a", mixed), f"seed {seed}"
        assert any(one.differs > 0.05 for one in parts) == found.paused, f"seed {seed}"
        assert max(one.until_block for one in parts) == found.until_block, f"seed {seed}"
        assert all(name in found.because for one in parts for name in one.because), f"seed {seed}"


def test_a_discount_leaves_just_what_is_tolerated() -> None:
    """Twice the tolerated share counts half; the strongest discount rules; nothing is paused."""
    found = composed("a", [part(0.1, effect="discount"), part(0.2, effect="discount")])

    assert (False, 0.25) == (found.paused, found.scale)
    assert 1.0 == composed("a", [part(0.04, effect="discount")]).scale


def test_a_subtraction_neither_pauses_nor_discounts() -> None:
    """What is taken out of readings is told, and that is all."""
    found = composed("a", [part(0.0, effect="subtract")])

    assert (False, 1.0, True) == (found.paused, found.scale, found.subtracted)
    assert "subtract 0.0 until 10" == found.why


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((), (), 0.0),
        ((buys("a", 1000),), (buys("a", 1000),), 0.0),
        ((buys("a", 1000),), (), 1.0),
        ((buys("a", 1000),), (sells("a", 1000),), 1.0),
        ((buys("a", 1000),), (buys("a", 900),), 0.1),
        ((buys("a", 1000),), (buys("a", 1000, confidence=0.5),), 0.5),
        ((buys("a", 600), buys("a", 400)), (buys("a", 1000),), 0.0),
        (("noise",), (buys("a", 1000),), 1.0),
        (("noise",), ("noise",), 1.0),
        ((buys("a", 1000, confidence=float("nan")),), (buys("a", 1000),), 1.0),
    ],
)
def test_answers_differ_by_the_share_that_one_lacks(
    one: tuple[Intent, ...], other: tuple[Intent, ...], expected: float
) -> None:
    """Amounts count by pair and confidence; no answer at all is wholly another one."""
    assert expected == pytest.approx(disagreement(one, other))
    assert expected == pytest.approx(disagreement(other, one))
