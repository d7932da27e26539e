"""Reports become words and counts without losing or inventing anything."""

import itertools

import msgspec
import pytest

from tests.testing.reports import (
    PRICE_KEY,
    account,
    assessment,
    block_hash,
    candidate,
    fill,
    report,
    verdict,
)
from toolkit.dashboard.rows import (
    LONGEST_LINE,
    Wording,
    agent_figures,
    block_row,
    counted,
    pause_spans,
    routes,
    stories,
)
from toolkit.model.bundle import MissCause
from toolkit.model.chain import ZERO_ADDRESS
from toolkit.model.decision import Fill, Leg, Plan, VetoCause
from toolkit.model.market import Funding, FundingKind, Hop, PoolKind, Route, Token
from toolkit.orchestrator.mainnet import DAI, USDC, WETH
from toolkit.orchestrator.records import BlockReport

WORDS = Wording({token.address: token for token in (WETH, USDC, DAI)})
PAUSED = (assessment(),)
OUTBID = f"{MissCause.OUTBID_CONFLICT.value}: 0xcc of 0xdd paid more"


def shared() -> tuple[Fill, Fill]:
    """Two plans that landed in one transaction."""
    common = {"together": ("100-0", "100-1"), "tx_hashes": (block_hash(7),)}
    one, other = (
        msgspec.structs.replace(
            fill(agent), verdict_id=f"100-{n}", gas_fee_wei=gas * 10**9, **common
        )
        for n, (agent, gas) in enumerate((("momentum", 2_000), ("rebalancing", 3_000)))
    )
    return one, other


def cycle() -> Leg:
    """One WETH through DAI and USDC back to WETH."""
    tokens = (WETH.address, DAI.address, USDC.address, WETH.address)
    hops = tuple(
        Hop(
            pool=account("1"),
            kind=PoolKind.CONSTANT_PRODUCT,
            token_in=one,
            token_out=other,
            amount_in=1,
            amount_out=1,
            fee_ppm=3000,
        )
        for one, other in itertools.pairwise(tokens)
    )
    route = Route(
        token_in=WETH.address,
        token_out=WETH.address,
        amount_in=10**18,
        amount_out=10**18 + 1,
        hops=hops,
        block_hash=block_hash(100),
        block_number=100,
    )
    return Leg(
        token_in=WETH.address, token_out=WETH.address, amount_in=route.amount_in, route=route
    )


def netted(*, approved: bool = True) -> BlockReport:
    """A block in which momentum buys what rebalancing sells."""
    sells = Leg(token_in=WETH.address, token_out=USDC.address, amount_in=10**18)
    both = verdict(
        "momentum",
        "rebalancing",
        approved=approved,
        cause=None if approved else VetoCause.NETTED_OUT,
        why="one buys what the other sells",
        netted_in=10**18,
    )
    return report(
        intents=(candidate("momentum"), candidate("rebalancing", sells)), verdicts=(both,)
    )


@pytest.mark.parametrize(
    ("token", "amount", "words", "signed"),
    [
        (WETH, 1_234_567_890_123_456_789, "1.2345 WETH", "+1.2345 WETH"),
        (USDC, 2_500_000, "2.5 USDC", "+2.5 USDC"),
        (USDC, -1_389_171_599, "-1389.1715 USDC", "-1389.1715 USDC"),
        (DAI, 0, "0 DAI", "0 DAI"),
    ],
)
def test_amounts_have_their_token_s_own_decimals(
    token: Token, amount: int, words: str, signed: str
) -> None:
    """Whole units with the symbol, cut after four digits; a sign where a change is meant."""
    assert words == WORDS.amount(token.address, amount)
    assert signed == WORDS.amount(token.address, amount, signed=True)


def test_the_native_token_is_known_as_eth() -> None:
    """The zero address needs no entry in a market's tokens."""
    assert "0.5 ETH" == WORDS.amount(ZERO_ADDRESS, 5 * 10**17)


def test_an_intent_names_what_is_given_for_what() -> None:
    """A swap names both tokens, a cycle every token on its way, several legs all of them."""
    swap = candidate("momentum").intent
    both = candidate("arbitrage", cycle(), *swap.legs).intent

    assert "momentum: 2000 USDC > WETH" == WORDS.intent(swap)
    assert "arbitrage: 1 WETH > DAI > USDC > WETH, 2000 USDC > WETH" == WORDS.intent(both)


def test_a_veto_names_who_and_why() -> None:
    """Agents, cause and reason, in this order."""
    refused = verdict("momentum", approved=False, cause=VetoCause.PAUSED, why="its own impact")

    assert "momentum: paused: its own impact" == WORDS.veto(refused)


def test_a_fill_names_changes_or_the_reason_of_a_miss() -> None:
    """Token changes with sign, without gas and zeros; a miss has its cause and evidence."""
    changes = {USDC.address: -2_000_000, WETH.address: 10**15, DAI.address: 0, ZERO_ADDRESS: -9}
    landed = fill("rebalancing", changes=changes, agents=("momentum", "rebalancing"))

    assert "momentum+rebalancing: -2 USDC, +0.001 WETH" == WORDS.fill(landed)
    assert f"arbitrage: {OUTBID}" == WORDS.fill(fill(landed=False, missed=OUTBID))


def test_a_row_says_what_happened_in_its_block() -> None:
    """Each kind of line has its own place; P&L is in USDC, costs are gas and tips together."""
    changes = {WETH.address: 10**18}
    happened = report(
        intents=(candidate("momentum"),),
        verdicts=(verdict("momentum"), verdict("rebalancing", approved=False, why="no")),
        fills=(
            fill(changes=changes, gas_fee_wei=70, tip_wei=30),
            fill("momentum", landed=False, missed="late: too late", gas_fee_wei=5),
        ),
        paused=(assessment("momentum"), assessment("rebalancing", paused=False)),
        pnl_wei={"arbitrage": 10**15, "momentum": -(10**15) // 3},
    )

    row = block_row(happened, WORDS, price_key=PRICE_KEY)

    assert (100, 1_200, 1_500_000_000, 2_000.0) == (
        *(row.number, row.timestamp, row.base_fee_wei, row.price),
    )
    assert ("momentum: 2000 USDC > WETH",) == row.intended
    assert ("rebalancing: refused: no",) == row.vetoed
    assert ("arbitrage: +1 WETH",) == row.landed
    assert ("momentum: late: too late",) == row.missed
    assert ("momentum",) == row.paused
    assert {"arbitrage": 2.0, "momentum": -0.67} == row.pnl_usd
    assert 105 == row.cost_wei


def test_a_row_cuts_long_lines_and_a_story_does_not() -> None:
    """A line of the table has a length; what is told once is told in full."""
    why = "x" * 300
    vetoed = report(
        verdicts=(verdict("momentum", approved=False, cause=VetoCause.LIMIT, why=why),),
        fills=(fill(landed=False, missed=why),),
    )

    row = block_row(vetoed, WORDS, price_key=PRICE_KEY)

    assert [LONGEST_LINE, LONGEST_LINE] == [len(row.vetoed[0]), len(row.missed[0])]
    assert row.vetoed[0].endswith("x… (317 characters)")
    told = f"block 100, verdict 100-0: momentum: limit: {why}"
    assert (("first veto", told),) == stories([vetoed], WORDS)


def test_a_block_without_the_price_shows_none() -> None:
    """A price that was not read is 0, and so is what is valued at it; another is not taken."""
    unread = report(prices={"price/WBTC-USDC": 60_000.0}, pnl_wei={"arbitrage": 10**18})

    row = block_row(unread, WORDS, price_key=PRICE_KEY)

    assert (0.0, {"arbitrage": 0.0}) == (row.price, row.pnl_usd)
    assert 0.0 == agent_figures([unread], price_key=PRICE_KEY)["arbitrage"]["pnl_usd"]


@pytest.mark.parametrize(
    ("pattern", "spans"),
    [
        ("....", []),
        (".##.", [(101, 103)]),
        ("##..", [(100, 102)]),
        (".#.#", [(101, 102), (103, None)]),
        ("####", [(100, None)]),
    ],
)
def test_pauses_are_stretches_of_blocks(pattern: str, spans: list[tuple[int, int | None]]) -> None:
    """A pause begins with its first block and ends with the first free one, or not at all."""
    reports = [
        report(100 + index, paused=(assessment(paused=mark == "#"),))
        for index, mark in enumerate(pattern)
    ]

    assert spans == pause_spans(reports, "momentum")
    assert [] == pause_spans(reports, "rebalancing")
    counts = counted(reports)
    assert (len(spans), sum(end is not None for _, end in spans)) == (
        counts["momentum_pauses"],
        counts["momentum_pauses_ended"],
    )


def test_nothing_counts_as_nothing() -> None:
    """A run of quiet blocks, or of none, has zeros everywhere."""
    assert {0} == set(counted([]).values())
    assert {0} == set(counted([report(), report(101)]).values())


def test_everything_is_counted_once_for_each_agent_in_it() -> None:
    """Landed fills by agent, misses by cause, vetoes and netted conflicts by verdict."""
    reports = [
        netted(),
        report(
            101,
            fills=(
                fill(),
                fill(),
                fill(agents=("momentum", "rebalancing")),
                fill("momentum"),
                *shared(),
                fill(landed=False, missed=OUTBID),
                fill(landed=False, missed="underpriced: by nobody"),
            ),
            verdicts=(verdict("arbitrage"), verdict("momentum", approved=False)),
            paused=PAUSED,
        ),
        netted(approved=False),
        report(103, quarantined={"odd": "it raised"}),
    ]

    counts = counted(reports)

    assert {
        "landed_arbitrage_bundles": 2,
        "bundles_lost_to_a_rival": 1,
        "bundles_missed": 2,
        "momentum_trades": 3,
        "rebalancing_trades": 2,
        "momentum_pauses": 1,
        "momentum_pauses_ended": 1,
        "merged_transactions": 1,
        "vetoes": 2,
        "netted_conflicts": 2,
        "intents": 4,
        "quarantined": 1,
    } == counts


@pytest.mark.parametrize(
    "mine",
    [verdict("momentum", netted_in=5), verdict("momentum", "rebalancing", netted_in=0)],
    ids=["one agent against itself", "two agents of one mind"],
)
def test_netting_is_a_conflict_only_between_agents_that_oppose(mine: object) -> None:
    """One agent's own legs, or two agents that want the same, are no conflict."""
    assert 0 == counted([report(verdicts=(mine,))])["netted_conflicts"]


def test_figures_of_agents_come_from_all_blocks_and_the_last_book() -> None:
    """Intents, those approved and those landed add up; P&L is the last block's, at its price."""
    again = msgspec.structs.replace(candidate("momentum"), intent_id="101/momentum/0")
    reports = [
        report(
            intents=(candidate("momentum"), candidate("arbitrage")),
            verdicts=(
                verdict("momentum"),
                verdict("arbitrage", approved=False, verdict_id="100-1"),
            ),
            pnl_wei={"arbitrage": 5, "momentum": 5},
        ),
        report(
            101,
            intents=(again,),
            verdicts=(verdict("momentum", verdict_id="101-0", intents=(again.intent_id,)),),
            fills=(fill("momentum"), fill("arbitrage", landed=False, verdict_id="100-1")),
            prices={"price/WBTC-USDC": 60_000.0, PRICE_KEY: 2_100.0},
            pnl_wei={"rebalancing": 0, "momentum": -(10**17), "arbitrage": 10**18},
        ),
    ]

    figures = agent_figures(reports, price_key=PRICE_KEY)

    assert ["arbitrage", "momentum", "rebalancing"] == list(figures)
    assert {
        "intents": 2,
        "approved": 2,
        "landed": 1,
        "pnl_wei": str(-(10**17)),
        "pnl_usd": -210.0,
    } == figures["momentum"]
    assert (1, 0, 0, 2_100.0) == tuple(
        figures["arbitrage"][key] for key in ("intents", "approved", "landed", "pnl_usd")
    )


def test_an_intent_counts_once_however_many_verdicts_it_is_in() -> None:
    """What is approved is never more than what was wished, nor is what landed."""
    shared = ("100/momentum/0", "100/rebalancing/0")
    happened = report(
        intents=(candidate("momentum"), candidate("rebalancing"), candidate("arbitrage")),
        verdicts=(
            verdict("momentum", "rebalancing"),
            verdict("momentum", "rebalancing", verdict_id="100-1", intents=shared),
            verdict("momentum", verdict_id="100-2"),
            verdict("arbitrage", verdict_id="100-3", intents=("100/arbitrage/*",)),
        ),
        fills=(
            fill("momentum", agents=("momentum", "rebalancing"), verdict_id="100-0"),
            fill("momentum", agents=("momentum", "rebalancing"), verdict_id="100-1"),
            fill("momentum", verdict_id="100-2"),
        ),
        pnl_wei={"arbitrage": 0, "momentum": 0, "rebalancing": 0},
    )

    figures = agent_figures([happened], price_key=PRICE_KEY)

    assert {"arbitrage": [1, 0, 0], "momentum": [1, 1, 1], "rebalancing": [1, 1, 1]} == {
        name: [own[key] for key in ("intents", "approved", "landed")]
        for name, own in figures.items()
    }


def test_a_conflict_says_what_changed_hands() -> None:
    """Who met, and how much they kept off the market; all of it where nothing was left."""
    leg = Leg(token_in=WETH.address, token_out=USDC.address, amount_in=10**17)
    left = verdict("momentum", "rebalancing", legs=(leg,), netted_in=10**18)
    none = verdict("momentum", "rebalancing", approved=False, netted_in=10**18)

    assert "momentum+rebalancing: 1 WETH among themselves" == WORDS.conflict(left)
    assert ("momentum+rebalancing: all of it among themselves",) == block_row(
        report(verdicts=(none,)), WORDS, price_key=PRICE_KEY
    ).netted


def test_a_row_makes_the_text_of_others_inert() -> None:
    """A reason that clears the screen is shown as what it is."""
    vetoed = verdict("momentum", approved=False, cause=VetoCause.LIMIT, why="\x1b[2J\nowned")

    row = block_row(report(verdicts=(vetoed,)), WORDS, price_key=PRICE_KEY)

    assert ("momentum: limit: \\x1b[2J owned",) == row.vetoed
    assert "\\x1b[2J owned" in stories([report(verdicts=(vetoed,))], WORDS)[0][1]


def test_stories_tell_the_first_of_each_kind() -> None:
    """A conflict with both intents, a veto, a loss and a pause; later ones add nothing."""
    lost = fill(landed=False, missed=OUTBID)
    reports = [
        netted(),
        report(101, verdicts=(verdict("momentum", approved=False, why="first"),)),
        report(102, fills=(lost, *shared()), paused=PAUSED),
        netted(),
        report(
            104,
            verdicts=(verdict("momentum", approved=False, why="second"),),
            fills=(msgspec.structs.replace(lost, block_number=104),),
            paused=PAUSED,
        ),
    ]

    told = dict(stories(reports, WORDS))

    assert {
        "first netted conflict": "block 100, verdict 100-0: momentum: 2000 USDC > WETH against "
        "rebalancing: 1 WETH > USDC. one buys what the other sells",
        "first veto": "block 101, verdict 100-0: momentum: refused: first",
        "first bundle lost to a rival": f"block 101: {OUTBID}",
        "first shared transaction": f"block {shared()[0].block_number}: verdicts 100-0 and 100-1 "
        f"in {block_hash(7)}; gas shared: momentum 2,000 gwei, rebalancing 3,000 gwei",
        "first pause": "block 102: momentum waits for verdict 99-0, 99-1; without the pause 4.6% "
        "of its decisions would flip (tolerance 3%); predicted end block 112",
    } == told


def test_a_quiet_run_has_no_stories() -> None:
    """Approved verdicts, misses without a rival and agents that are not paused are no story."""
    quiet = report(
        verdicts=(verdict("arbitrage"),),
        fills=(fill(landed=False, missed="late: too late"),),
        paused=(assessment(paused=False),),
    )

    assert () == stories([quiet], WORDS)


def planned(verdict_id: str, route: Route) -> Plan:
    return Plan(
        verdict_id=verdict_id,
        agents=("arbitrage",),
        route=route,
        funding=Funding(kind=FundingKind.OWN, token=route.token_in, amount=route.amount_in),
        minimum_profit=0,
        tip_wei=0,
        gas_limit=1,
        target_block=101,
        parent_hash=block_hash(100),
    )


def test_pictures_are_of_the_best_cycle_and_the_longest_route_that_landed() -> None:
    """What missed is not shown, however good; one route that is both is shown once."""
    poor = cycle().route
    assert poor is not None
    best = msgspec.structs.replace(poor, amount_out=10**18 + 9)
    longest = msgspec.structs.replace(poor, token_in=DAI.address, hops=poor.hops * 2)
    dreamt = msgspec.structs.replace(longest, amount_out=10**20, hops=poor.hops * 3)
    plans = [planned(str(at), route) for at, route in enumerate((poor, best, longest, dreamt))]
    ends = [fill(verdict_id=str(at), landed=at < 3) for at in range(4)]
    reports = [report(100, plans=tuple(plans)), report(101, fills=tuple(ends))]
    alone = [report(100, plans=(plans[1],)), report(101, fills=(ends[1],))]

    assert [best, longest] == [route for _, route in routes(reports)]
    assert (("The best cycle that landed, in block 101", best),) == routes(alone)
    assert () == routes([report(100, plans=(plans[3],)), report(101, fills=(ends[3],))])
