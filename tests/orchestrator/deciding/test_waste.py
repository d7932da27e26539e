"""What netting saved, in fees that were not paid."""

import pytest

from tests.orchestrator.worlds import (
    SIDE_POOL,
    buys,
    context_of,
    proposed,
    quiet_block,
    sells,
)
from toolkit.model.decision import Verdict
from toolkit.orchestrator.deciding.arbitration import arbitrate, unsent
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.waste import Crossed, fee_of, saved_wei
from toolkit.orchestrator.mainnet import USDC, USDT, WETH
from toolkit.pools.constant_product import ConstantProduct
from toolkit.testing.decide import GivenBlock, given, main_pool

ETHER = 10**18
DOLLAR = 10**6


def conflict(block: GivenBlock, bought: int, sold: int) -> Verdict:
    """The verdict of one purchase and one sale."""
    wishes = proposed(block, buys("a", bought), sells("b", sold))
    return arbitrate(context_of(block), wishes).rulings[0].verdict


def test_equal_and_opposite_wishes_save_both_fees() -> None:
    """Who trades inside pays no pool: what is saved is 0.3 % of either side."""
    verdict = conflict(quiet_block(), 2000 * DOLLAR, ETHER)

    assert 2 * ETHER * 3 // 1000 == verdict.saved_wei


def test_the_rest_still_pays() -> None:
    """A purchase of 6000 meets a sale of 2000: the fee on twice the smaller side is saved."""
    verdict = conflict(quiet_block(), 6000 * DOLLAR, ETHER)

    assert 2 * ETHER * 3 // 1000 == verdict.saved_wei


def test_nothing_is_saved_where_nothing_is_opposed() -> None:
    """Wishes of one side are one trade, and its fee is the same."""
    block = quiet_block()
    wishes = proposed(block, buys("a", 2000 * DOLLAR), buys("b", 2000 * DOLLAR))

    (ruling,) = arbitrate(context_of(block), wishes).rulings

    assert 0 == ruling.verdict.saved_wei


def test_a_leg_that_is_not_executed_saves_only_what_was_inside() -> None:
    """Where the net leg falls away its amounts are in neither sum."""
    block = quiet_block()
    context = context_of(block)
    (ruling,) = arbitrate(
        context, proposed(block, buys("a", 6000 * DOLLAR), sells("b", ETHER))
    ).rulings

    kept = unsent(
        ruling,
        snapshot=context.snapshot,
        market=context.market,
        readings=context.readings,
    )

    assert 2 * ETHER * 3 // 1000 == kept.verdict.saved_wei
    assert () == kept.claims


def test_a_dear_pool_for_the_net_leg_is_told_as_a_loss() -> None:
    """What each alone gets in a cheap shallow pool, all together may only get in a dear one."""
    block = given(
        1000,
        pools=[
            main_pool("2000"),
            ConstantProduct(
                id=SIDE_POOL,
                token0=USDC.address,
                token1=WETH.address,
                reserve0=200_000 * DOLLAR,
                reserve1=100 * ETHER,
                fee_ppm=100,
            ),
        ],
    )
    context = context_of(block, limits=Limits(min_trade_wei=1))
    wishes = [buys(f"a{i}", 200 * DOLLAR) for i in range(8)]
    dust = sells("b", 10**15)

    verdicts = [r.verdict for r in arbitrate(context, proposed(block, *wishes, dust)).rulings]

    assert 0 > sum(verdict.saved_wei for verdict in verdicts)


@pytest.mark.parametrize(
    ("amount", "fees", "expected"), [(10**6, [3000], 3000), (1, [3000], 1), (10**6, [500, 1], 501)]
)
def test_fees_are_rounded_up_hop_by_hop(amount: int, fees: list[int], expected: int) -> None:
    """A pool takes its fee of every hop, and never less than it says."""
    assert expected == fee_of(amount, fees)


def test_what_no_pool_takes_would_have_paid_nothing() -> None:
    """A trade without a path costs no fee, whatever its size."""
    context = context_of(quiet_block())
    part = Crossed(intent="i", token_in=USDC.address, token_out=USDT.address, amount_in=10**9)

    found = saved_wei(
        [part],
        None,
        (),
        snapshot=context.snapshot,
        market=context.market,
        readings=context.readings,
    )

    assert 0 == found
