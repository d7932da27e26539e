"""How much of a wish is granted."""

import pytest

from tests.orchestrator.worlds import context_of, quiet_block, sells
from toolkit.model.units import PPM
from toolkit.orchestrator.deciding.covariance import Covariance
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.sizing import Size, Standing, sized

ETHER = 10**18


def size(amount: int, *, weight_ppm: int = PPM, confidence_ppm: int = PPM) -> Size:
    """Size a sale of WETH."""
    context = context_of(quiet_block())
    return sized(
        sells("a", amount).legs[0],
        standing=Standing(book={}, granted={}),
        weight_ppm=weight_ppm,
        confidence_ppm=confidence_ppm,
        market=context.market,
        limits=Limits(),
        readings=context.readings,
        covariance=Covariance(),
    )


@pytest.mark.parametrize(
    ("weight_ppm", "confidence_ppm", "amount_in", "limits_hit"),
    [
        (PPM, PPM, ETHER, ()),
        (PPM, 250_000, ETHER // 4, ("confidence",)),
        (500_000, 500_000, ETHER // 4, ("weight", "confidence")),
    ],
)
def test_weight_and_confidence_scale_a_wish(
    weight_ppm: int, confidence_ppm: int, amount_in: int, limits_hit: tuple[str, ...]
) -> None:
    """A swap's size is its wish times weight times confidence, and the verdict names both."""
    found = size(ETHER, weight_ppm=weight_ppm, confidence_ppm=confidence_ppm)

    assert (amount_in, limits_hit) == (found.amount_in, found.limits_hit)


def test_no_confidence_trades_nothing() -> None:
    """A wish of confidence 0 is a veto that says why."""
    found = size(ETHER, confidence_ppm=0)

    assert 0 == found.amount_in
    assert "cut by confidence" in found.why
