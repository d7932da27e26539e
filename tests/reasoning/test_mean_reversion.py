"""The agent that trades against a price's distance from its own mean."""

import math

import pytest

from tests.reasoning.test_agent import view
from tests.reasoning.test_agents import only
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.reasoning.agent import LinearSignal
from toolkit.reasoning.mean_reversion import MeanReversion

ETHER = 10**18
AGENT = MeanReversion(base=WETH.address, quote=USDC.address)


def strayed(step: float) -> list[float]:
    """A calm price that has just left its mean."""
    calm = [2000.0 * (1 + 1e-4 * math.sin(n)) for n in range(200)]
    return [*calm, calm[-1] * (1 + step)]


def test_it_sells_what_is_dear_and_buys_what_is_cheap() -> None:
    """A price above its mean is sold in clips, one below is bought at the price of the view."""
    dear = only(AGENT.on_block(view(strayed(5e-3)))).legs[0]
    cheap = only(AGENT.on_block(view(strayed(-5e-3)))).legs[0]

    assert (WETH.address, USDC.address, ETHER) == (dear.token_in, dear.token_out, dear.amount_in)
    price = math.floor(strayed(-5e-3)[-1] * 10**9)
    assert (USDC.address, price * ETHER * 10**6 // (10**9 * ETHER)) == (
        cheap.token_in,
        cheap.amount_in,
    )


def test_it_stops_at_its_target_and_leaves_when_the_price_is_back() -> None:
    """Holding the target it rests; holding something near the mean it trades it away."""
    held = view(strayed(-5e-3), positions={WETH.address: AGENT.max_position_wei})
    back = view([*strayed(0.0)[:-1], 2000.0], positions={WETH.address: ETHER})

    assert [] == list(AGENT.on_block(held))
    assert (WETH.address, ETHER) == (
        only(AGENT.on_block(back)).legs[0].token_in,
        only(AGENT.on_block(back)).legs[0].amount_in,
    )


def test_it_is_silent_without_history_or_movement() -> None:
    """Fewer samples than the window, or a price that never moved, give no intent."""
    assert [] == list(AGENT.on_block(view([2000.0] * 10)))
    assert [] == list(AGENT.on_block(view([2000.0] * 200)))


def test_it_declares_the_filter_that_it_decides_by() -> None:
    """Its kernel is the price minus its mean: the weights sum to 0 over the window."""
    assert isinstance(AGENT, LinearSignal)
    assert AGENT.window == len(AGENT.kernel())
    assert abs(sum(AGENT.kernel())) < 1e-12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 1}, "1 < window < memory, not 1, 240"),
        ({"window": 240}, "1 < window < memory"),
        ({"threshold_sds": 3.0}, "threshold_sds < full_sds, not 3.0, 2.5"),
        ({"threshold_sds": 0.0}, "threshold_sds < full_sds"),
    ],
)
def test_it_refuses_figures_that_mean_nothing(changes: dict[str, float], words: str) -> None:
    """Windows and thresholds must be in order."""
    with pytest.raises(ConfigError, match=words):
        MeanReversion(base=WETH.address, quote=USDC.address, **changes)  # type: ignore[arg-type]
