"""What netting saved, in fees and gas that were not paid."""

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec
import pytest

from tests.orchestrator.worlds import (
    SIDE_POOL,
    buys,
    context_of,
    fresh_seeds,
    proposed,
    quiet_block,
    sells,
)
from toolkit.execution.planner import expected_gas, expected_gas_price
from toolkit.model.chain import ZERO_HASH, Address
from toolkit.model.decision import Intent, Verdict
from toolkit.model.market import Hop, PoolKind, Route
from toolkit.orchestrator.deciding.arbitration import arbitrate, unsent
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.deciding.waste import Crossed, fees_up, saved_gas, saved_wei
from toolkit.orchestrator.mainnet import USDC, USDT, WETH
from toolkit.pools.constant_product import ConstantProduct
from toolkit.reasoning.agent import View
from toolkit.testing.decide import (
    PRICE_KEY,
    Decided,
    GivenBlock,
    decide,
    given,
    main_pool,
)

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
        ways=context.ways,
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


A, B, C, D = (Address(f"0x{digit * 40}") for digit in "abcd")


def hop(token_in: Address, token_out: Address, amounts: tuple[int, int], fee_ppm: int) -> Hop:
    """A swap in a pool of its own."""
    return Hop(
        pool=Address("0x" + "ee" * 20),
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=token_in,
        token_out=token_out,
        amount_in=amounts[0],
        amount_out=amounts[1],
        fee_ppm=fee_ppm,
    )


def route(amount: int, *hops: Hop) -> Route:
    """From A, whatever comes out."""
    return Route(
        token_in=A,
        token_out=hops[-1].token_out,
        amount_in=amount,
        amount_out=sum(one.amount_out for one in hops),
        hops=hops,
        block_hash=ZERO_HASH,
        block_number=1,
    )


@pytest.mark.parametrize(
    ("amount", "fees", "expected"), [(10**6, [3000], 3000), (1, [3000], 1), (10**6, [500, 1], 501)]
)
def test_fees_are_rounded_up_hop_by_hop(amount: int, fees: list[int], expected: int) -> None:
    """A pool takes its fee of every hop, and never less than it says."""
    tokens = (A, B, C)
    amounts = (amount, 7 * amount, 3)
    path = [
        hop(tokens[at], tokens[at + 1], (amounts[at], amounts[at + 1]), fee)
        for at, fee in enumerate(fees)
    ]

    assert expected == fees_up(route(amount, *path))


def test_each_part_of_a_split_pays_its_own_pools() -> None:
    """What a token was bought for is shared out by amount, the last that sells it has the rest."""
    parts = (
        hop(A, B, (600_000, 70), 3000),  # 1800
        hop(A, C, (400_000, 50), 500),  # 200; C is bought for 400,000
        hop(A, C, (100_000, 10), 10_000),  # 1000; and for 100,000 more
        hop(C, B, (20, 3), 100),  # a third of 500,000 is 166,666.67: 16.7
        hop(C, B, (40, 4), 200),  # the rest is 333,333.33 and more: 66.7
    )
    expected = 1800 + 200 + 1000 + 17 + 67

    assert expected == fees_up(route(1_100_000, *parts))
    assert expected == fees_up(route(1_100_000, *parts[3:], *parts[:3]))


def test_fees_in_a_circle_are_counted_as_they_come() -> None:
    """Once round, and each pool on the way has its fee; what nothing was paid for has none."""
    around = (hop(B, C, (9, 9), 5000), hop(C, B, (9, 9), 5000))

    assert 1 + 5 + 5 == fees_up(route(1000, *around, hop(A, B, (1000, 9), 1000)))
    assert 0 == fees_up(route(1000, *around))


def test_a_split_pays_between_its_dearest_and_cheapest_pools() -> None:
    """Over random networks in any order: fees as rationals, but for some units of rounding."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        amount = rng.randrange(1, 10**24)
        cut = rng.randrange(amount + 1)
        low, high = sorted(rng.randrange(10**6) for _ in range(2))
        fees = [rng.randint(low, high) for _ in range(4)]
        brought = rng.randrange(1, 10**12), rng.randrange(1, 10**30)
        parts = [
            hop(A, B, (cut, brought[0]), fees[0]),
            hop(A, B, (amount - cut, brought[1]), fees[1]),
            hop(B, C, (brought[0], 1), fees[2]),
            hop(B, D, (brought[1], 1), fees[3]),
        ]
        rng.shuffle(parts)

        found = fees_up(route(amount, *parts))

        assert 2 * amount * low <= (found + 2) * 10**6, seed
        assert found * 10**6 <= 2 * amount * high + 6 * 10**6, seed
        share = Fraction(brought[0], sum(brought)) * amount
        rates = [Fraction(part) for part in (cut, amount - cut, share, amount - share)]
        exact = sum(part * fee for part, fee in zip(rates, fees, strict=True)) / 10**6
        assert -2 < found - exact < 6, seed


def test_what_no_pool_takes_would_have_paid_nothing() -> None:
    """A trade without a path costs no fee, whatever its size."""
    context = context_of(quiet_block())
    part = Crossed(intent="i", token_in=USDC.address, token_out=USDT.address, amount_in=10**9)

    found = saved_wei(
        [part],
        None,
        (),
        ways=context.ways,
        market=context.market,
        readings=context.readings,
    )

    assert 0 == found


class Wishing(msgspec.Struct, frozen=True, kw_only=True):
    """Wishes for one trade a block."""

    name: str
    wish: Intent

    def on_block(self, view: View) -> Iterable[Intent]:
        """Wish for it."""
        view.price(PRICE_KEY)
        return (msgspec.structs.replace(self.wish, inputs=()),)


def decided(wishes: Sequence[Intent]) -> Decided:
    """One block in which these wishes meet."""
    agents = [Wishing(name=wish.agent, wish=wish) for wish in wishes]
    capital = {WETH.address: 100 * ETHER, USDC.address: 10**6 * DOLLAR}
    return decide(agents, [quiet_block()], capital=capital)


def one_plan_wei(run: Decided) -> int:
    """What the gas of the block's one plan is expected to cost."""
    ((plan,), fee) = run.reports[0].plans, run.reports[0].fee
    gas = expected_gas(plan.route, plan.funding.kind, tip_wei=plan.tip_wei)
    return gas * expected_gas_price(fee)


def test_a_plan_for_two_saves_the_gas_of_a_plan() -> None:
    """Wishes of one side in one leg, and a smaller one of the other inside it, need no plan."""
    of_one_side = decided([buys("a", 2000 * DOLLAR), buys("b", 2000 * DOLLAR)])
    opposed = decided([buys("a", 6000 * DOLLAR), sells("b", ETHER)])

    told = [run.verdicts[0].saved_gas_wei for run in (of_one_side, opposed)]

    assert [one_plan_wei(of_one_side), one_plan_wei(opposed)] == told
    assert 0 == of_one_side.verdicts[0].saved_wei


def test_wishes_that_cancel_out_save_the_gas_of_both_plans() -> None:
    """Where nothing is left to trade no gas is paid at all."""
    alone = decided([buys("a", 2000 * DOLLAR)])
    both = decided([buys("a", 2000 * DOLLAR), sells("b", ETHER)])

    assert () == both.reports[0].plans
    assert 2 * one_plan_wei(alone) == both.verdicts[0].saved_gas_wei
    assert 0 == alone.verdicts[0].saved_gas_wei


def test_gas_is_saved_only_where_a_plan_would_have_been() -> None:
    """What no pool takes needs no gas; a tip is what every plan with own capital pays for."""
    context = context_of(quiet_block())
    lost = Crossed(intent="i", token_in=USDC.address, token_out=USDT.address, amount_in=10**9)
    made = Crossed(intent="i", token_in=USDC.address, token_out=WETH.address, amount_in=10**9)

    def gas(part: Crossed, tip_wei: int) -> int:
        return saved_gas(
            [part],
            (),
            None,
            ways=context.ways,
            swap_tip_wei=tip_wei,
        )

    assert [0, 0] == [gas(lost, 0), gas(lost, 1)]
    assert 0 < gas(made, 0) < gas(made, 1)
