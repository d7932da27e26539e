"""The three agents of the main job."""

import math

import msgspec
import pytest

from tests.reasoning.test_agent import view
from toolkit.model.chain import Address
from toolkit.model.decision import Intent
from toolkit.model.errors import ConfigError
from toolkit.model.market import Route
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.reasoning.agent import View
from toolkit.reasoning.arbitrage import CyclicArbitrage
from toolkit.reasoning.momentum import Momentum
from toolkit.reasoning.rebalancing import Rebalancer

ETHER = 10**18
MOMENTUM = Momentum(base=WETH.address, quote=USDC.address)
REBALANCER = Rebalancer(base=WETH.address, quote=USDC.address)


def rising(*, step: float, count: int = 150) -> list[float]:
    """A calm price that then rises (or falls) by `step` a sample for a while."""
    calm = [2000.0 * (1 + 1e-4 * math.sin(n)) for n in range(count)]
    return calm + [calm[-1] * (1 + step) ** n for n in range(1, 11)]


def only(intents: object) -> Intent:
    """The one intent there must be."""
    (intent,) = list(intents)  # type: ignore[call-overload]
    assert isinstance(intent, Intent)
    return intent


def test_momentum_buys_a_rise_in_clips() -> None:
    """A rise makes it buy one clip, paid in the quote at the price of the view."""
    leg = only(MOMENTUM.on_block(view(rising(step=1e-3)))).legs[0]

    assert (USDC.address, WETH.address) == (leg.token_in, leg.token_out)
    price = rising(step=1e-3)[-1]
    assert math.floor(price * 10**9) * ETHER * 10**6 // (10**9 * ETHER) == leg.amount_in


def test_momentum_sells_a_fall_and_stops_at_its_target() -> None:
    """A fall makes it sell; holding the target already, it wants nothing."""
    seen = view(rising(step=-1e-3))
    leg = only(MOMENTUM.on_block(seen)).legs[0]
    target = -MOMENTUM.max_position_wei  # far beyond full_sds
    held = view(rising(step=-1e-3), positions={WETH.address: target})

    assert (WETH.address, ETHER) == (leg.token_in, leg.amount_in)
    assert [] == list(MOMENTUM.on_block(held))


def test_momentum_leaves_when_the_signal_is_gone() -> None:
    """With a position and no signal it trades back to nothing."""
    calm = [2000.0 * (1 + 1e-4 * math.sin(n)) for n in range(200)]
    flat = [*calm, *[calm[-1]] * 45]
    seen = view(flat, positions={WETH.address: 3 * ETHER // 2})

    leg = only(MOMENTUM.on_block(seen)).legs[0]

    assert (WETH.address, ETHER) == (leg.token_in, leg.amount_in)


def test_momentum_is_silent_without_history_or_movement() -> None:
    """Fewer samples than the window, or a price that never moved, give no intent."""
    assert [] == list(MOMENTUM.on_block(view([2000.0] * 10)))
    assert [] == list(MOMENTUM.on_block(view([2000.0] * 200)))


def test_momentum_depends_only_on_the_filter() -> None:
    """Scaling all prices changes the payment, not the decision."""
    prices = rising(step=1e-3)
    one, other = (only(MOMENTUM.on_block(view([k * p for p in prices]))) for k in (1, 2))

    assert one.reason == other.reason
    assert one.legs[0].token_in == other.legs[0].token_in


def test_momentum_refuses_a_filter_that_is_none() -> None:
    """Spans and windows must be in order."""
    with pytest.raises(ConfigError, match="fast < slow < window"):
        Momentum(base=WETH.address, quote=USDC.address, fast=30, slow=5)


@pytest.mark.parametrize(
    ("weth", "usdc", "token_in", "amount"),
    [
        (60, 80_000, WETH.address, 5 * ETHER),  # holds 120k of 200k: half of the way is 10k
        (40, 120_000, USDC.address, 10_000 * 10**6),
    ],
)
def test_the_rebalancer_trades_a_part_of_the_gap(
    weth: int, usdc: int, token_in: Address, amount: int
) -> None:
    """Outside the band it trades half of the way back to the target, in exact integers."""
    balances = {WETH.address: weth * ETHER, USDC.address: usdc * 10**6}

    leg = only(REBALANCER.on_block(view([2000.0], balances=balances))).legs[0]

    assert (token_in, amount) == (leg.token_in, leg.amount_in)


@pytest.mark.parametrize(("weth", "usdc"), [(50, 100_000), (51, 99_000), (0, 0)])
def test_the_rebalancer_rests_inside_its_band(weth: int, usdc: int) -> None:
    """In the band, or with nothing at all, it wants nothing."""
    balances = {WETH.address: weth * ETHER, USDC.address: usdc * 10**6}

    assert [] == list(REBALANCER.on_block(view([2000.0], balances=balances)))


@pytest.mark.parametrize("changes", [{"target_bps": 0}, {"band_bps": 10_001}, {"step_bps": -1}])
def test_the_rebalancer_refuses_impossible_shares(changes: dict[str, int]) -> None:
    """Shares are basis points of a whole."""
    with pytest.raises(ConfigError, match=r"must be in 1\.\.10000"):
        msgspec.structs.replace(REBALANCER, **changes)


class OneRoute:
    """A router that knows one cycle."""

    def __init__(self, profit: int) -> None:
        self.route = Route(
            token_in=WETH.address,
            token_out=WETH.address,
            amount_in=ETHER,
            amount_out=ETHER + profit,
            hops=(),
            block_hash=view([1.0]).block.hash,
            block_number=1000,
        )

    def arbitrage(self, token: Address, **_: object) -> Route | None:
        """The one."""
        assert token == WETH.address
        return self.route

    def swap(self, *_: object, **__: object) -> Route:
        """The same."""
        return self.route


def seen_with(profit: int) -> View:
    """A view whose router offers a cycle."""
    return view([2000.0], router=OneRoute(profit))


def test_arbitrage_wants_a_cycle_that_pays_its_gas() -> None:
    """The edge is the cycle's exact gain, and the leg carries its route."""
    intent = only(CyclicArbitrage().on_block(seen_with(10**17)))

    assert 10**17 == intent.edge_wei
    assert intent.legs[0].route is not None
    assert ("pools",) == intent.inputs


def test_arbitrage_passes_over_what_does_not_pay() -> None:
    """A gain of no more than its gas is not worth a nonce."""
    cost = 11 * 10**9 * CyclicArbitrage().base_gas

    assert [] == list(CyclicArbitrage().on_block(seen_with(cost)))
    assert 1 == len(list(CyclicArbitrage().on_block(seen_with(cost + 1))))
