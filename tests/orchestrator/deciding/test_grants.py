"""What is granted of exchanges: Kelly and risk budgets in the deciding function."""

import random

import msgspec
import pytest

from tests.orchestrator.worlds import buys, context_of, fresh_seeds, proposed, quiet_block, sells
from toolkit.model.chain import ZERO_ADDRESS
from toolkit.model.decision import Intent, TradingState, Verdict, VetoCause
from toolkit.model.units import PPM
from toolkit.orchestrator.capital.elsewhere import Elsewhere, Link
from toolkit.orchestrator.deciding.arbitration import Ruling, arbitrate
from toolkit.orchestrator.deciding.claims import Belief
from toolkit.orchestrator.deciding.context import Context
from toolkit.orchestrator.deciding.covariance import Covariance
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import USDC, WBTC, WETH
from toolkit.orchestrator.market import Market
from toolkit.testing.decide import OFFLINE_MARKET

ETHER = 10**18
DOLLAR = 10**6
BLOCK = quiet_block()
POOR = {WETH.address: 4 * ETHER, USDC.address: 0, ZERO_ADDRESS: 0}
STORM = Covariance(moments={(WETH.address, WETH.address): 10**14})  # 1 % a block


def ruled(context: Context, *intents: Intent) -> list[Ruling]:
    """What becomes of some wishes."""
    return list(arbitrate(context, proposed(BLOCK, *intents)).rulings)


def verdict(context: Context, *intents: Intent) -> Verdict:
    """What becomes of some wishes, where that is one verdict."""
    (ruling,) = ruled(context, *intents)
    return ruling.verdict


def claiming(intent: Intent, edge_wei: int) -> Intent:
    """The same wish with another claim."""
    return msgspec.structs.replace(intent, edge_wei=edge_wei)


def amount(one: Verdict) -> int:
    """How much goes to the market."""
    return sum(leg.amount_in for leg in one.legs)


def test_a_thin_edge_gets_a_small_stake() -> None:
    """A sale whose edge hardly pays for its risk is cut to what Kelly gives, which is named."""
    context = context_of(BLOCK, free={**POOR, ZERO_ADDRESS: ETHER})

    found = verdict(context, claiming(sells("a", 4 * ETHER), 4 * 10**12))  # 1 ppm

    expected = 5 / 4 * 1e-6 / (100 * 500e-6**2 + 1e-12)
    assert expected == pytest.approx(amount(found) / ETHER, rel=1e-5)
    assert ("kelly",) == found.limits_hit


def test_two_agents_of_one_idea_share_its_stake() -> None:
    """Together they sell hardly more than one of them would, and each the same."""
    context = context_of(BLOCK, free={**POOR, ZERO_ADDRESS: ETHER})
    wish = claiming(sells("a", 4 * ETHER), 4 * 10**12)
    alone = amount(verdict(context, wish))

    (ruling,) = ruled(context, wish, msgspec.structs.replace(wish, agent="b"))

    first, second = (share.amount_in for share in ruling.shares)
    assert first == pytest.approx(second, rel=1e-6)
    assert alone <= amount(ruling.verdict) < alone * 101 // 100


def test_a_wish_without_a_claim_is_no_bet() -> None:
    """A rebalancing claims no edge: it is bound by the limits, and Kelly leaves it alone."""
    context = context_of(BLOCK, free={**POOR, ZERO_ADDRESS: ETHER})

    found = verdict(context, claiming(sells("a", 4 * ETHER), 0))

    assert (4 * ETHER, ()) == (amount(found), found.limits_hit)


def test_an_agent_whose_claims_came_to_nothing_is_refused() -> None:
    """Who has been wrong often enough has no edge left, whatever it claims next."""
    context = context_of(BLOCK, beliefs={"a": Belief(mean_ppm=-1000, variance_ppm=1000)})

    found = verdict(context, sells("a", ETHER))

    assert VetoCause.NO_EDGE == found.cause
    assert "-1000 ppm of its claims came true" in found.why


def test_an_agent_without_an_edge_may_still_leave() -> None:
    """Kelly never keeps an agent from giving back what it holds."""
    context = context_of(
        BLOCK,
        books={"a": {WETH.address: 2 * ETHER}},
        beliefs={"a": Belief(mean_ppm=0, variance_ppm=PPM)},
    )

    found = verdict(context, sells("a", 3 * ETHER))

    assert (2 * ETHER, ("kelly",)) == (amount(found), found.limits_hit)


def test_in_a_storm_an_agents_risk_budget_cuts_its_trade() -> None:
    """Where the price moves 1 % a block, a budget of 2 ether of risk is 2.36 ether of exposure."""
    context = context_of(BLOCK, covariance=STORM)

    found = verdict(context, claiming(sells("a", 5 * ETHER), 0))

    assert 2 / (0.01 * 7200**0.5) == pytest.approx(amount(found) / ETHER, rel=1e-6)
    assert ("agent_risk_wei",) == found.limits_hit


def test_a_risk_budget_is_no_cage() -> None:
    """Beyond its budget an agent may go all the way back, and as far again as the budget."""
    context = context_of(
        BLOCK, covariance=STORM, books={"a": {WETH.address: 5 * ETHER}}, limits=Limits()
    )

    found = verdict(context, claiming(sells("a", 5 * ETHER), 0))
    more = verdict(context, claiming(buys("a", 2000 * DOLLAR), 0))

    assert 5 * ETHER == amount(found)
    assert VetoCause.LIMIT == more.cause
    assert "agent_risk_wei" in more.why


def test_all_agents_together_have_a_budget_per_asset() -> None:
    """What several agents hold of one asset, net, is bounded as well; the way back is not."""
    books = {name: {WETH.address: 2 * ETHER} for name in ("b", "c")}
    context = context_of(BLOCK, covariance=STORM, books={**books, "a": {}})

    cut = verdict(context, claiming(buys("a", 4000 * DOLLAR), 0))
    back = verdict(context, claiming(sells("b", 2 * ETHER), 0))

    room = 4 / (0.01 * 7200**0.5) - 4
    assert room == pytest.approx(amount(cut) / DOLLAR / 2000, rel=1e-5)
    assert ("class_risk_wei",) == cut.limits_hit
    assert (2 * ETHER, ()) == (amount(back), back.limits_hit)


def test_who_hedged_the_others_may_still_leave() -> None:
    """A way back passes the common budget even where it leaves the others exposed."""
    books = {"a": {WETH.address: -2 * ETHER}, "b": {WETH.address: 7 * ETHER}}
    context = context_of(BLOCK, covariance=STORM, books=books, state=TradingState.REDUCING)

    found = verdict(context, claiming(buys("a", 4000 * DOLLAR), 0))

    assert (4000 * DOLLAR, ()) == (amount(found), found.limits_hit)


def test_where_the_common_budget_is_used_up_the_veto_says_so() -> None:
    """A purchase that the agents' common risk leaves no room for is vetoed with the figures."""
    books = {"b": {WETH.address: 9 * ETHER}}
    context = context_of(BLOCK, covariance=STORM, books=books)

    found = verdict(context, claiming(buys("a", 4000 * DOLLAR), 0))

    assert VetoCause.LIMIT == found.cause
    assert "all agents' risk in it leaves 0 wei" in found.why


def elsewhere(book: int) -> tuple[Elsewhere, ...]:
    """Another chain, at which agent a holds some WETH."""
    return (
        Elsewhere(
            chain="other",
            block_number=1,
            observed_at=BLOCK.head.timestamp,
            state=TradingState.ACTIVE,
            pnl_wei=0,
            books={"a": {WETH.address: book}},
            balances={},
            link=Link(transfer_blocks=0, haircut_ppm=500_000),
        ),
    )


def test_what_an_agent_holds_on_another_chain_counts() -> None:
    """Exposure there fills the position here in full; what would offset it counts half."""
    limits = Limits(max_position_wei=4 * ETHER)
    wish = claiming(sells("a", 5 * ETHER), 0)

    short = verdict(context_of(BLOCK, limits=limits, elsewhere=elsewhere(-3 * ETHER)), wish)
    long = verdict(context_of(BLOCK, limits=limits, elsewhere=elsewhere(2 * ETHER)), wish)

    assert (ETHER, ("max_position_wei",)) == (amount(short), short.limits_hit)
    assert 5 * ETHER == amount(long)


def test_other_chains_count_for_the_common_budget() -> None:
    """All agents' net exposure to an asset is that of all chains."""
    context = context_of(BLOCK, covariance=STORM, elsewhere=elsewhere(9 * ETHER))

    found = verdict(context, claiming(buys("b", 2000 * DOLLAR), 0))

    assert VetoCause.LIMIT == found.cause


def test_an_asset_without_a_price_is_not_exchanged() -> None:
    """A position that nobody can value has no bound, so none is begun."""
    market = Market(
        wrapped=WETH.address,
        tokens=(USDC, WETH, WBTC),
        stables=(USDC.address,),
        prices=OFFLINE_MARKET.prices,
    )
    leg = msgspec.structs.replace(buys("a", 2000 * DOLLAR).legs[0], token_out=WBTC.address)
    wish = msgspec.structs.replace(buys("a", 2000 * DOLLAR), legs=(leg,))

    found = verdict(context_of(BLOCK, market=market), wish)

    assert VetoCause.LIMIT == found.cause
    assert f"no price to size {WBTC.address} by" == found.why


def test_no_agents_risk_ever_exceeds_its_budget() -> None:
    """Whatever is wished in a block, and whatever of it is executed, no budget is overrun."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        sigma = rng.randrange(1, 20) * 10**6
        known = Covariance(moments={(WETH.address, WETH.address): sigma**2})
        context = context_of(BLOCK, covariance=known)
        wishes = [
            (buys("a", rng.randrange(1, 9000) * DOLLAR), sells("a", rng.randrange(1, 5 * ETHER)))[
                rng.random() < 0.5
            ]
            for _ in range(4)
        ]
        rulings = ruled(context, *wishes)
        worst = {"buy": 0.0, "sell": 0.0}
        for one in rulings:
            parts = [(part.token_in, part.amount_in) for part in one.inside]
            parts += [(leg.token_in, leg.amount_in) for leg in one.verdict.legs]
            for token_in, size in parts:
                side, unit = ("sell", ETHER) if token_in == WETH.address else ("buy", 2000 * DOLLAR)
                worst[side] += size / unit

        for exposure in worst.values():
            assert exposure * sigma / 1e9 * 7200**0.5 <= 2 + 1e-6, f"seed {seed}"


def test_what_a_leg_claims_is_on_record() -> None:
    """A ruling keeps each share's claim per unit, and what it is worth, for later judgement."""
    (ruling,) = ruled(context_of(BLOCK), claiming(sells("a", 2 * ETHER), ETHER // 500))

    (claim,) = ruling.claims
    assert ("1000/a/0", 10**6, 2 * ETHER) == (claim.intent, claim.edge_ppb, claim.staked_wei)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kelly_ppm": PPM + 1}, "only loses"),
        ({"agent_risk_wei": 0}, "must be positive"),
        ({"max_trade_wei": 1e18}, "must be an integer"),
        ({"max_gas_wei": True}, "must be an integer"),
        ({"min_trade_wei": 10, "max_trade_wei": 20, "max_position_wei": 5}, "could ever be traded"),
    ],
)
def test_limits_that_cannot_be_are_refused(changes: dict[str, object], words: str) -> None:
    """A bound that nothing can keep, or that bounds nothing, is named at the start."""
    with pytest.raises(ValueError, match=words):
        Limits(**changes)  # type: ignore[arg-type]


def test_honest_claims_of_usual_size_are_not_throttled() -> None:
    """A basis point of edge on one ether, of a hundred, passes Kelly's defaults whole."""
    free = {WETH.address: 50 * ETHER, USDC.address: 100_000 * DOLLAR, ZERO_ADDRESS: ETHER}

    found = verdict(context_of(BLOCK, free=free), claiming(sells("a", ETHER), ETHER // 10_000))

    assert (ETHER, ()) == (amount(found), found.limits_hit)


def test_wealth_on_another_chain_counts_as_far_as_it_can_be_brought() -> None:
    """What Kelly may stake grows with holdings elsewhere, less what it takes to bring them."""
    poor = {**POOR, ZERO_ADDRESS: ETHER}
    there = (msgspec.structs.replace(elsewhere(0)[0], balances={WETH.address: 10 * ETHER}),)
    wish = claiming(sells("a", 4 * ETHER), 4 * 10**12)

    alone = amount(verdict(context_of(BLOCK, free=poor), wish))
    together = amount(verdict(context_of(BLOCK, free=poor, elsewhere=there), wish))

    assert together == pytest.approx(alone * 2, rel=1e-6)
