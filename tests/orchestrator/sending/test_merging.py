"""Swaps of several agents in one block: one transaction, a fill for each, and who comes first."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import pytest

from tests.execution import swaps as swaps_made_up
from tests.orchestrator.worlds import (
    SIDE_POOL,
    TETHER_MARKET,
    context_of,
    pair,
    proposed,
    sells,
)
from toolkit.execution.planner import PlanLimits
from toolkit.model.chain import Address
from toolkit.model.decision import Fill, Intent, Leg, Plan, Reservation, Verdict
from toolkit.model.errors import ConfigError
from toolkit.model.market import FundingKind, PoolId
from toolkit.orchestrator import records
from toolkit.orchestrator.arguments import known_priority
from toolkit.orchestrator.audit.replay import replay
from toolkit.orchestrator.deciding.arbitration import arbitrate
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import USDC, USDT, WETH
from toolkit.orchestrator.sending.merging import Merged, contested, sendings
from toolkit.pools.constant_product import ConstantProduct
from toolkit.reasoning.agent import Agent, View
from toolkit.testing.decide import Decided, GivenBlock, decide, given, main_pool, price_series

ETHER = 10**18
DOLLAR = 10**6
CAPITAL = {WETH.address: 50 * ETHER, USDC.address: 10**5 * DOLLAR, USDT.address: 10**5 * DOLLAR}


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """Sells one WETH for a token, every block."""

    name: str
    bought: Address
    amount: int = ETHER

    def on_block(self, view: View) -> Iterable[Intent]:
        """Return the one wish."""
        view.price("price/WETH-USDC")
        leg = Leg(token_in=WETH.address, token_out=self.bought, amount_in=self.amount)
        return (Intent(agent=self.name, legs=(leg,), edge_wei=0),)


SELLERS = (Seller(name="dollars", bought=USDC.address), Seller(name="tethers", bought=USDT.address))


def tether_pair() -> ConstantProduct:
    """A pool of WETH and USDT at 2000."""
    found = pair(SIDE_POOL, 2000.0, 1000)
    return msgspec.structs.replace(
        found,
        token0=WETH.address,
        token1=USDT.address,
        reserve0=found.reserve1,
        reserve1=found.reserve0,
    )


def blocks(count: int = 4) -> list[GivenBlock]:
    """A market that stands still."""
    past = price_series([2000.0] * 5, before=1000)
    return [
        given(
            1000 + number,
            pools=[main_pool("2000"), tether_pair()],
            readings=past if number == 0 else (),
            tokens=TETHER_MARKET.tokens,
        )
        for number in range(count)
    ]


def run(
    agents: Sequence[Agent] = SELLERS, *, lands: Callable[[Plan], bool] | None = None
) -> Decided:
    """Let agents trade."""
    return decide(agents, blocks(), capital=CAPITAL, market=TETHER_MARKET, lands=lands)


def merged_records(decided: Decided) -> list[Merged]:
    """What the journal says went together."""
    return [
        msgspec.json.decode(entry.data, type=Merged)
        for entry in decided.journal
        if entry.kind == records.MERGED
    ]


def fills(decided: Decided) -> list[Fill]:
    """Every outcome."""
    return [fill for report in decided.reports for fill in report.fills]


def test_swaps_of_two_agents_are_one_sending_and_two_fills() -> None:
    """Each block's two swaps go together; the journal names both, what is approved, and the worst
    that it may cost; each verdict has its own fill, and the ledger is the chain."""
    decided = run()
    told = merged_records(decided)
    plans = {plan.verdict_id: plan for report in decided.reports for plan in report.plans}

    assert [("1000-0", "1000-1"), ("1001-0", "1001-1")] == [one.verdicts for one in told][:2]
    assert {WETH.address: 2 * ETHER} == told[0].approvals
    assert sum(plans[name].gas_limit for name in told[0].verdicts) == told[0].gas_limit
    assert [("dollars",), ("tethers",)] == sorted(fill.agents for fill in fills(decided)[:2])
    assert {("1000-0", "1000-1")} == {fill.together for fill in fills(decided)[:2]}
    assert all(fill.landed for fill in fills(decided))
    assert [] == [report.head.number for report in decided.reports if report.discrepancies]


def test_what_goes_together_is_within_what_was_reserved() -> None:
    """The worst that the journal tells of a merged sending is at most what its plans hold."""
    decided = run()
    held = {
        planned.plan.verdict_id: planned.reservation.gas_wei
        for planned in (
            msgspec.json.decode(entry.data, type=records.Planned)
            for entry in decided.journal
            if entry.kind == records.PLAN
        )
    }

    told = merged_records(decided)

    assert told
    for one in told:
        assert one.worst_gas_wei <= sum(held[name] for name in one.verdicts)


def test_a_replay_groups_the_same() -> None:
    """What went together is decided, so it is recomputed and compared like any decision."""
    decided = run()

    assert replay(decided.journal, agents=SELLERS).identical
    assert any(entry.kind == records.MERGED for entry in decided.journal)


def test_they_land_together_or_not_at_all() -> None:
    """If one cannot land, the other does not either; from then on they go apart, and what cannot
    land holds nobody back. All capital of what missed is free again."""

    def lands(plan: Plan) -> bool:
        return plan.agents != ("tethers",)

    decided = run(lands=lands)
    told = [(fill.agents, fill.landed) for fill in fills(decided)]

    assert {(("dollars",), False), (("tethers",), False)} == set(told[:2])
    assert {(("dollars",), True), (("tethers",), False)} == set(told[2:4])
    assert 1 == len(merged_records(decided))
    sold = sum(fill.landed for fill in fills(decided)) * ETHER
    assert CAPITAL[WETH.address] - sold == decided.reports[-1].balances[WETH.address]


def test_one_agent_alone_shares_with_nobody() -> None:
    """A block with one swap has no merged sending and a fill without company."""
    decided = run(SELLERS[:1])

    assert [] == merged_records(decided)
    assert {()} == {fill.together for fill in fills(decided)}


def approved(priority: dict[str, int], *, capital: int = 10**30, limit: int = 4) -> list[Verdict]:
    """What is approved of two wishes for two pairs, in order."""
    block = blocks(1)[0]
    wishes = proposed(
        block,
        sells("dollars", ETHER),
        sells("tethers", ETHER, USDT.address),
    )
    free = {**context_of(block).free, WETH.address: capital}
    context = context_of(block, limits=Limits(max_plans=limit), free=free, priority=priority)
    rulings = arbitrate(context, wishes).rulings
    return [ruling.verdict for ruling in rulings if ruling.verdict.approved]


@pytest.mark.parametrize("first", ["dollars", "tethers"])
def test_who_has_priority_gets_what_is_scarce(first: str) -> None:
    """The last place for a plan, and the last capital, go to the higher number; with enough of
    both, it only goes first."""
    priority = {first: 1}

    by_place = approved(priority, limit=1)
    by_capital = approved(priority, capital=ETHER)
    enough = approved(priority)

    assert [(first,)] == [verdict.agents for verdict in by_place]
    assert [(first,)] == [verdict.agents for verdict in by_capital]
    assert (first,) == enough[0].agents
    assert 2 == len(enough)


def test_priority_of_nobody_is_refused() -> None:
    """A priority for an agent that does not run names it and those that do."""
    with pytest.raises(ConfigError, match=r"names ghost; the agents are dollars, tethers"):
        known_priority({"ghost": 1}, SELLERS)


def test_a_veto_never_comes_before_an_approval() -> None:
    """However high its agent's priority is."""
    block = blocks(1)[0]
    wishes = proposed(
        block,
        sells("dollars", 1),
        sells("tethers", ETHER, USDT.address),
    )

    rulings = arbitrate(context_of(block, priority={"dollars": 9}), wishes).rulings

    assert [True, False] == [ruling.verdict.approved for ruling in rulings]


def missed(plan: Plan, *, landed: bool = False) -> tuple[Fill, records.Planned]:
    """What became of a plan."""
    fill = Fill(verdict_id=plan.verdict_id, agents=plan.agents, landed=landed, block_number=101)
    held = Reservation(
        verdict_id=plan.verdict_id,
        token=plan.route.token_in,
        amount=plan.route.amount_in,
        gas_wei=1,
        expires_block=101,
    )
    return fill, records.Planned(plan=plan, reservation=held, log_moves={})


def swaps(count: int) -> list[Plan]:
    """Swaps in pools of their own."""
    tokens = swaps_made_up.TOKENS
    return [
        swaps_made_up.swap([(tokens[0], 10 + n), (tokens[1], 100)], name=f"100-{n}", first_pool=n)
        for n in range(count)
    ]


def names(groups: Sequence[Sequence[Plan]]) -> list[list[str]]:
    """Who goes with whom."""
    return [[plan.verdict_id for plan in group] for group in groups]


def sent(plans: Sequence[Plan], *, pools: frozenset[PoolId], turn: int = 0) -> list[list[str]]:
    """How plans are grouped where these pools are contested."""
    fee, limits = swaps_made_up.FEE, PlanLimits()
    return names(sendings(plans, fee=fee, limits=limits, pools=pools, turn=turn))


def test_a_swap_that_may_be_taken_away_takes_nobody_with_it() -> None:
    """Through a pool where an own swap has just missed it goes alone, after those that share."""
    first, second, third = plans = swaps(3)

    pools = contested([missed(first), missed(second, landed=True)])

    assert {first.route.hops[0].pool} == pools
    assert [["100-1", "100-2"], ["100-0"]] == sent(plans, pools=pools)
    assert [["100-0", "100-1", "100-2"]] == sent(plans, pools=frozenset())
    assert third not in (first, second)


def test_of_several_contested_each_is_first_at_its_turn() -> None:
    """A later one stands on the nonces of those before it: none has to wait for ever."""
    plans = swaps(3)
    pools = contested(map(missed, plans))

    firsts = {sent(plans, pools=pools, turn=turn)[0][0] for turn in range(3)}

    assert {"100-0", "100-1", "100-2"} == firsts


def test_what_is_not_ours_to_lose_contests_nothing() -> None:
    """A lost flash loan says nothing about own swaps, nor does a fill without a plan."""
    (plan,) = swaps(1)
    funding = msgspec.structs.replace(plan.funding, kind=FundingKind.BALANCER)
    lost, planned = missed(msgspec.structs.replace(plan, funding=funding))

    assert frozenset() == contested([(lost, planned), (lost, None)])


def test_after_a_miss_together_each_goes_alone_in_the_next_block() -> None:
    """Nobody knows which part was taken away: the next block's swaps through these pools go apart,
    and share again once they have landed."""

    def lands(plan: Plan) -> bool:
        return plan.target_block != 1001

    decided = run(lands=lands)

    blocks_of = [{name[:4] for name in one.verdicts} for one in merged_records(decided)]
    assert [{"1000"}, {"1002"}, {"1003"}] == blocks_of
    assert [False] * 2 + [True] * 4 == [fill.landed for fill in fills(decided)]
