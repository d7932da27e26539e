import random
from collections.abc import Callable

import msgspec
import pytest

from tests.execution.swaps import FEE, PARENT, TOKENS, pool, random_swaps, swap
from tests.orchestrator.worlds import fresh_seeds
from toolkit.execution.merging import (
    Asset,
    assets,
    attributed,
    expected_changes,
    merged_gas_limit,
    merged_worst_gas_wei,
    pulls,
    require_mergeable,
    together,
)
from toolkit.execution.planner import expected_gas, worst_gas_wei
from toolkit.gas.rules import MAX_TX_GAS
from toolkit.model.chain import ZERO_ADDRESS, Hash
from toolkit.model.decision import Fill, Plan
from toolkit.model.errors import ConfigError
from toolkit.model.market import FundingKind, Loan

A, B, C, D, _ = TOKENS
BLOCK = Hash("0x" + "02" * 32)
TX = Hash("0x" + "03" * 32)
SEEDS = 200


def whole(
    plans: tuple[Plan, ...], gas_wei: int, *, landed: bool = True, beside: dict[str, int]
) -> Fill:
    """What one transaction did for all of these plans, and `beside` that."""
    tips = sum(plan.tip_wei for plan in plans) if landed else 0
    moved: list[tuple[str, int]] = [(ZERO_ADDRESS, -gas_wei - tips), *beside.items()]
    for plan in plans if landed else ():
        moved += expected_changes(plan).items()
    changes: dict[str, int] = {}
    for token, change in moved:
        changes[token] = changes.get(token, 0) + change
    return Fill(
        verdict_id=plans[0].verdict_id,
        agents=plans[0].agents,
        landed=landed,
        block_number=101,
        block_hash=BLOCK,
        tx_hashes=(TX,),
        changes=changes,
        gas_fee_wei=gas_wei,
        tip_wei=tips,
        missed="" if landed else "mined, but reverted",
    )


def test_a_token_is_pulled_once_for_all_who_sell_it() -> None:
    """Two swaps that sell one token take one sum of it; what they buy is returned in one sum."""
    plans = (
        swap([(A, 10), (B, 100)]),
        swap([(A, 5), (C, 7)], first_pool=1),
        swap([(D, 3), (B, 50)], first_pool=2),
    )

    found = assets(plans)

    assert (
        Asset(token=A, pull=15, minimum=0),
        Asset(token=B, pull=0, minimum=150),
        Asset(token=C, pull=0, minimum=7),
        Asset(token=D, pull=3, minimum=0),
    ) == found
    assert ((A, 15), (D, 3)) == pulls(plans)


def test_what_one_part_bought_another_spends() -> None:
    """Only what is missing is pulled, and only what is left is returned."""
    plans = (
        swap([(A, 10), (B, 100)]),
        swap([(B, 70), (C, 7)], first_pool=1),
        swap([(B, 50), (D, 5)], first_pool=2),
    )

    found = {asset.token: (asset.pull, asset.minimum) for asset in assets(plans)}

    assert {A: (10, 0), B: (20, 0), C: (0, 7), D: (0, 5)} == found


def test_a_later_part_cannot_pay_for_an_earlier_one() -> None:
    """What is bought only afterwards has to be pulled first."""
    plans = (swap([(B, 70), (C, 7)]), swap([(A, 10), (B, 100)], first_pool=1))

    found = {asset.token: (asset.pull, asset.minimum) for asset in assets(plans)}

    assert {A: (10, 0), B: (70, 100), C: (0, 7)} == found


def test_between_its_hops_a_token_is_neither_pulled_nor_kept() -> None:
    """The middle of a route is listed, so that nothing of it can stay behind."""
    found = assets((swap([(A, 10), (B, 100), (C, 9)]),))

    assert (
        Asset(token=A, pull=10, minimum=0),
        Asset(token=B, pull=0, minimum=0),
        Asset(token=C, pull=0, minimum=9),
    ) == found


def test_what_is_pulled_and_returned_is_what_all_parts_change() -> None:
    """For any swaps: minimum - pull of each token is the sum of the parts' changes, never is more
    pulled than the parts have reserved, and running the hops in order never lacks a token."""
    for seed in fresh_seeds(SEEDS):
        plans = random_swaps(random.Random(seed))
        found = assets(plans)

        held = {asset.token: asset.pull for asset in found}
        for hop in (hop for plan in plans for hop in plan.route.hops):
            held[hop.token_in] -= hop.amount_in
            held[hop.token_out] += hop.amount_out
            assert held[hop.token_in] >= 0, seed
        assert held == {asset.token: asset.minimum for asset in found}, seed
        for asset in found:
            net = sum(expected_changes(plan).get(asset.token, 0) for plan in plans)
            reserved = sum(p.funding.amount for p in plans if p.funding.token == asset.token)
            assert asset.pull <= reserved, seed
            assert net == asset.minimum - asset.pull, seed


def test_the_merged_form_needs_no_more_than_its_parts_have_reserved() -> None:
    """At worst, with every approval and every tip, for any swaps that are put together."""
    for seed in fresh_seeds(SEEDS):
        plans = random_swaps(random.Random(seed))
        for group in together(plans, fee=FEE, max_gas=MAX_TX_GAS, most=8):
            reserved = sum(worst_gas_wei(plan, FEE) for plan in group)

            assert merged_worst_gas_wei(group, FEE) <= reserved, seed
            assert merged_gas_limit(group) <= MAX_TX_GAS, seed


def test_every_plan_is_sent_once_and_in_its_order() -> None:
    """Grouping loses nobody, doubles nobody, and keeps the order of standing within a group."""
    for seed in fresh_seeds(SEEDS):
        rng = random.Random(seed)
        plans = random_swaps(rng)
        groups = together(
            plans, fee=FEE, max_gas=rng.choice([600_000, MAX_TX_GAS]), most=rng.randint(1, 8)
        )

        assert sorted(p.verdict_id for p in plans) == sorted(
            p.verdict_id for group in groups for p in group
        ), seed
        for group in groups:
            assert sorted(group, key=plans.index) == list(group), seed
        assert sorted(groups, key=lambda group: plans.index(group[0])) == list(groups), seed


def borrowed(plan: Plan) -> Plan:
    funding = msgspec.structs.replace(plan.funding, kind=FundingKind.BALANCER)
    return msgspec.structs.replace(plan, funding=funding)


@pytest.mark.parametrize(
    "apart",
    [
        borrowed,
        lambda _: swap([(A, 10), (B, 100), (A, 11)], first_pool=7),
        lambda p: msgspec.structs.replace(p, parent_hash=BLOCK),
        lambda p: msgspec.structs.replace(p, target_block=102),
        lambda _: swap([(C, 10), (D, 100)], first_pool=0),
    ],
    ids=["borrowed capital", "a cycle", "another parent", "another block", "a pool in common"],
)
def test_what_must_not_share_a_transaction_stays_apart(apart: Callable[[Plan], Plan]) -> None:
    """It is grouped alone, and refused where somebody insists."""
    first = swap([(A, 10), (B, 100)])
    other = apart(swap([(A, 5), (C, 7)], name="100-1", first_pool=1))

    groups = together((first, other), fee=FEE, max_gas=MAX_TX_GAS, most=8)

    assert ((first,), (other,)) == groups
    with pytest.raises(ConfigError, match="100-0"):
        require_mergeable((first, other))


def test_one_plan_alone_is_not_merged() -> None:
    """A batch of one is refused: a plan alone has a form of its own."""
    with pytest.raises(ConfigError, match="only several"):
        require_mergeable((swap([(A, 10), (B, 100)]),))


def test_a_plan_with_loans_is_not_merged() -> None:
    """A batch borrows nothing."""
    plain = swap([(A, 10), (B, 100)])
    lent = msgspec.structs.replace(
        swap([(A, 10), (B, 100)], name="100-1", first_pool=1), loans=(Loan(token=C, amount=1),)
    )

    with pytest.raises(ConfigError, match="needs loans of several tokens: send it alone"):
        require_mergeable((plain, lent))
    assert [1, 1] == [
        len(group) for group in together((plain, lent), fee=FEE, max_gas=MAX_TX_GAS, most=3)
    ]


def test_groups_end_where_the_bound_or_the_gas_does() -> None:
    """Neither more plans than allowed nor more gas than one transaction may have."""
    plans = tuple(swap([(A, 10), (B, 100)], name=f"100-{n}", first_pool=n) for n in range(5))
    room = 2 * plans[0].gas_limit

    by_number = together(plans, fee=FEE, max_gas=MAX_TX_GAS, most=3)
    by_gas = together(plans, fee=FEE, max_gas=room, most=8)

    assert [3, 2] == [len(group) for group in by_number]
    assert [2, 2, 1] == [len(group) for group in by_gas]


def test_fills_of_the_parts_add_up_to_the_whole_to_the_wei() -> None:
    """Changes, gas and tips: whatever the chain gave beside the plans, and also if it reverted."""
    for seed in fresh_seeds(SEEDS):
        rng = random.Random(seed)
        plans = random_swaps(rng)
        beside: dict[str, int] = {
            token: rng.randint(-(10**6), 10**6) for token in rng.sample(TOKENS, 2)
        }
        landed = rng.random() < 0.8
        one = whole(plans, rng.randint(0, 10**16), landed=landed, beside=beside if landed else {})

        fills = attributed(plans, one)

        told: dict[str, int] = {}
        for fill in fills:
            for token, change in fill.changes.items():
                told[token] = told.get(token, 0) + change
        assert {t: c for t, c in one.changes.items() if c} == {
            t: c for t, c in told.items() if c
        }, seed
        assert one.gas_fee_wei == sum(fill.gas_fee_wei for fill in fills), seed
        assert one.tip_wei == sum(fill.tip_wei for fill in fills), seed
        assert [plan.verdict_id for plan in plans] == [fill.verdict_id for fill in fills], seed
        assert [landed] * len(plans) == [fill.landed for fill in fills], seed


def test_each_part_is_told_its_own_swap() -> None:
    """On the planned parent a fill is the plan: its own token amounts, tip, and share of gas."""
    plans = (
        swap([(A, 10), (B, 100)], agent="x", tip_wei=7),
        swap([(B, 70), (C, 7)], name="100-1", agent="y", first_pool=1),
    )
    gas = [expected_gas(p.route, FundingKind.OWN, tip_wei=p.tip_wei) for p in plans]

    first, second = attributed(plans, whole(plans, sum(gas), beside={}))

    assert {A: -10, B: 100, ZERO_ADDRESS: -gas[0] - 7} == first.changes
    assert {B: -70, C: 7, ZERO_ADDRESS: -gas[1]} == second.changes
    assert (100, 100, 7) == (first.predicted_out, first.realised_out, first.tip_wei)
    assert (7, 7, 0) == (second.predicted_out, second.realised_out, second.tip_wei)
    assert (("x",), ("y",)) == (first.agents, second.agents)
    assert ("100-0", "100-1") == first.together == second.together
    assert (TX,) == first.tx_hashes == second.tx_hashes


def test_who_reverted_together_paid_for_the_gas_together() -> None:
    """A transaction that failed cost gas only; nobody's tokens moved and no tip was paid."""
    plans = (
        swap([(A, 10), (B, 100)], tip_wei=5),
        swap([(C, 10), (B, 100)], name="100-1", first_pool=1, tip_wei=5),
    )

    fills = attributed(plans, whole(plans, 101, landed=False, beside={}))

    assert [51, 50] == [fill.gas_fee_wei for fill in fills]
    assert [{ZERO_ADDRESS: -51}, {ZERO_ADDRESS: -50}] == [fill.changes for fill in fills]
    assert ["mined, but reverted"] * 2 == [fill.missed for fill in fills]
    assert [0, 0] == [fill.tip_wei for fill in fills]


def test_pools_of_a_made_up_swap_are_its_own() -> None:
    """The helper keeps its word: plans of one draw never share a pool."""
    plans = random_swaps(random.Random(1))
    pools = [hop.pool for plan in plans for hop in plan.route.hops]

    assert len(set(pools)) == len(pools)
    assert pool(0) == pools[0]
    assert PARENT == plans[0].parent_hash
