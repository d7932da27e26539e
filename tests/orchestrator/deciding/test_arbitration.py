"""The deciding function, intent by intent and in every order."""

import itertools
import random

import msgspec
import pytest

from tests.orchestrator.worlds import (
    SIDE_POOL,
    TETHER_MARKET,
    buys,
    context_of,
    fresh_seeds,
    pair,
    proposed,
    quiet_block,
    sells,
)
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Intent, Leg, TradingState, Verdict, VetoCause
from toolkit.model.market import Hop, PoolKind, Route
from toolkit.orchestrator.capital.ledger import Ledger
from toolkit.orchestrator.deciding.arbitration import Arbitration, arbitrate
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.mainnet import USDC, USDT, WETH
from toolkit.orchestrator.market import Side
from toolkit.orchestrator.pausing.pauses import Assessment
from toolkit.testing.decide import GivenBlock, given, main_pool

ETHER = 10**18
DOLLAR = 10**6


def verdicts_of(result: Arbitration) -> list[Verdict]:
    """The bare verdicts."""
    return [ruling.verdict for ruling in result.rulings]


def cycle(block: GivenBlock, amount: int, *, pools: tuple[str, str], agent: str) -> Intent:
    """An exact cycle through two pools of a block's snapshot."""
    first, second = (block.snapshot.pools[pool] for pool in pools)  # type: ignore[index]
    out = first.quote_in(WETH.address, amount)
    back = second.quote_in(USDC.address, out)
    hops = tuple(
        Hop(
            pool=Address(pool.id),
            kind=PoolKind.CONSTANT_PRODUCT,
            token_in=token_in,
            token_out=token_out,
            amount_in=amount_in,
            amount_out=amount_out,
            fee_ppm=pool.fee_ppm,
        )
        for pool, token_in, token_out, amount_in, amount_out in (
            (first, WETH.address, USDC.address, amount, out),
            (second, USDC.address, WETH.address, out, back),
        )
    )
    route = Route(
        token_in=WETH.address,
        token_out=WETH.address,
        amount_in=amount,
        amount_out=back,
        hops=hops,
        block_hash=block.head.hash,
        block_number=block.head.number,
    )
    leg = Leg(token_in=WETH.address, token_out=WETH.address, amount_in=amount, route=route)
    return Intent(agent=agent, legs=(leg,), edge_wei=route.profit, inputs=("price/WETH-USDC",))


def gapped_block() -> GivenBlock:
    """A block with a gap of 2 % between two pools."""
    return given(1000, pools=[main_pool("2000"), pair(SIDE_POOL, 1960, 1000)])


def random_intents(rng: random.Random, count: int) -> list[Intent]:
    """Wishes in every direction and size, some absurd."""
    made: list[Intent] = []
    for index in range(count):
        quote = rng.choice([USDC.address, USDT.address])
        confidence = rng.choice([0.1, 0.5, 1.0, float("nan")] if rng.random() < 0.1 else [0.7])
        agent = f"agent{rng.randrange(4)}" if rng.random() < 0.4 else f"own{index}"
        if rng.random() < 0.5:
            amount = rng.choice([rng.randrange(1, 20_000 * DOLLAR), 10**40])
            made.append(buys(agent, amount, quote, confidence=confidence))
        else:
            made.append(sells(agent, rng.randrange(1, 9 * ETHER), quote, confidence=confidence))
    return made


def test_every_permutation_gives_the_same_bytes() -> None:
    """The verdicts of up to five intents do not depend on the order in which they arrive."""
    block = quiet_block()
    for seed in fresh_seeds(40):
        rng = random.Random(seed)
        intents = random_intents(rng, rng.randrange(1, 6))
        outputs = {
            msgspec.json.encode(arbitrate(context_of(block), proposed(block, *order)))
            for order in itertools.permutations(intents)
        }

        assert 1 == len(outputs), f"seed {seed}"


def test_no_class_leaves_with_both_a_buy_and_a_sell() -> None:
    """Whatever is wished, approved legs of one netting class all go one way."""
    block = quiet_block()
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        result = arbitrate(
            context_of(block), proposed(block, *random_intents(rng, rng.randrange(2, 9)))
        )
        sides: dict[str, set[Side]] = {}
        for verdict in verdicts_of(result):
            for leg in verdict.legs:
                name, side = TETHER_MARKET.netting_class(leg.token_in, leg.token_out)
                sides.setdefault(name, set()).add(side)

        assert all(len(found) == 1 for found in sides.values()), f"seed {seed}"


def test_every_intent_is_named_by_a_verdict() -> None:
    """Nothing that was wished disappears without a verdict that names it."""
    block = quiet_block()
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        result = arbitrate(context_of(block), proposed(block, *random_intents(rng, 6)))
        named = {
            name for verdict in verdicts_of(result) for name in (*verdict.intents, *verdict.losers)
        }

        assert {candidate.intent_id for candidate in result.candidates} <= named, f"seed {seed}"


def test_opposed_wishes_become_one_leg_that_names_both() -> None:
    """A buy of 3 WETH worth and a sale of 1 WETH leave one buy of the difference."""
    block = quiet_block()

    result = arbitrate(
        context_of(block), proposed(block, buys("a", 6000 * DOLLAR), sells("b", ETHER))
    )

    (ruling,) = result.rulings
    assert ruling.verdict.approved
    assert ("1000/a/0", "1000/b/0") == ruling.verdict.intents
    (leg,) = ruling.verdict.legs
    assert (USDC.address, WETH.address, 4000 * DOLLAR) == (
        leg.token_in,
        leg.token_out,
        leg.amount_in,
    )
    assert 2000 * DOLLAR == ruling.verdict.netted_in
    assert {
        ("a", WETH.address, ETHER),
        ("a", USDC.address, -2000 * DOLLAR),
        ("b", WETH.address, -ETHER),
        ("b", USDC.address, 2000 * DOLLAR),
    } == {(move.agent, move.token, move.change) for move in ruling.transfers}
    assert [("a", 4000 * DOLLAR)] == [(s.agent, s.amount_in) for s in ruling.shares]


def test_wishes_that_cancel_are_netted_out() -> None:
    """Equal and opposite wishes trade inside and leave nothing for the market."""
    block = quiet_block()

    result = arbitrate(
        context_of(block), proposed(block, buys("a", 2000 * DOLLAR), sells("b", ETHER))
    )

    (ruling,) = result.rulings
    assert (False, VetoCause.NETTED_OUT) == (ruling.verdict.approved, ruling.verdict.cause)
    assert () == ruling.verdict.legs
    assert 4 == len(ruling.transfers)


def test_another_stable_is_the_same_class() -> None:
    """A buy with USDC meets a sale for USDT: the seller gets the USDC that is paid."""
    block = quiet_block()

    result = arbitrate(
        context_of(block),
        proposed(block, buys("a", 6000 * DOLLAR), sells("b", ETHER, USDT.address)),
    )

    (ruling,) = result.rulings
    assert (USDC.address, 4000 * DOLLAR) == (
        ruling.verdict.legs[0].token_in,
        ruling.verdict.legs[0].amount_in,
    )
    assert ("b", USDC.address, 2000 * DOLLAR) in {
        (move.agent, move.token, move.change) for move in ruling.transfers
    }


def test_transfers_never_create_a_unit() -> None:
    """What changes hands inside adds up to 0 in every token, for any wishes."""
    block = quiet_block()
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        result = arbitrate(context_of(block), proposed(block, *random_intents(rng, 8)))
        ledger = Ledger()
        ledger.open({})
        for ruling in result.rulings:
            ledger.transfer(ruling.transfers)  # raises if they do not add up
            for leg in ruling.verdict.legs:
                assert leg.amount_in == sum(share.amount_in for share in ruling.shares)

        assert all(total == 0 for total in ledger.expected().values()), f"seed {seed}"


def test_the_better_of_two_cycles_through_one_pool_wins() -> None:
    """Two cycles that need the same pool conflict; the smaller edge loses, and both are named."""
    block = gapped_block()
    main, side = sorted(block.snapshot.pools, key=lambda pool: pool == SIDE_POOL)
    big = cycle(block, 3 * ETHER, pools=(main, side), agent="a")
    small = cycle(block, ETHER, pools=(main, side), agent="b")

    result = arbitrate(context_of(block), proposed(block, small, big))

    winner, loser = verdicts_of(result)
    assert (True, ("1000/a/0",), ("1000/b/0",)) == (
        winner.approved,
        winner.intents,
        winner.losers,
    )
    assert (VetoCause.LOST_CONFLICT, ("1000/b/0",)) == (loser.cause, loser.intents)
    assert "1000/a/0" in loser.why


def test_a_boast_does_not_win_a_pool() -> None:
    """Cycles are ranked by what their routes gain, however large an edge an agent claims."""
    block = gapped_block()
    main, side = sorted(block.snapshot.pools, key=lambda pool: pool == SIDE_POOL)
    big = cycle(block, 3 * ETHER, pools=(main, side), agent="a")
    small = cycle(block, ETHER, pools=(main, side), agent="b")
    boast = msgspec.structs.replace(small, edge_wei=10**50)

    winner, loser = verdicts_of(arbitrate(context_of(block), proposed(block, boast, big)))

    assert (("1000/a/0",), ("1000/b/0",)) == (winner.intents, loser.intents)


def test_a_cycle_with_false_amounts_is_refused() -> None:
    """A route whose amounts are not the pools' own never reaches the planner."""
    block = gapped_block()
    main, side = sorted(block.snapshot.pools, key=lambda pool: pool == SIDE_POOL)
    honest = cycle(block, ETHER, pools=(main, side), agent="a")
    route = honest.legs[0].route
    assert route is not None
    last = msgspec.structs.replace(route.hops[1], amount_out=route.amount_out + 1)
    lie = msgspec.structs.replace(
        route, hops=(route.hops[0], last), amount_out=route.amount_out + 1
    )
    leg = msgspec.structs.replace(honest.legs[0], route=lie)
    intent = msgspec.structs.replace(honest, legs=(leg,), edge_wei=lie.profit)

    (verdict,) = verdicts_of(arbitrate(context_of(block), proposed(block, intent)))

    assert VetoCause.INVALID == verdict.cause
    assert "amount_out" in verdict.why


def test_an_exchange_cannot_avoid_netting_by_bringing_a_route() -> None:
    """A plain exchange that comes with a route is netted and routed anew like any other."""
    block = quiet_block()
    pool = block.snapshot.pools[next(iter(block.snapshot.pools))]
    hop = Hop(
        pool=Address(pool.id),
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=WETH.address,
        token_out=USDC.address,
        amount_in=ETHER,
        amount_out=pool.quote_in(WETH.address, ETHER),
        fee_ppm=3000,
    )
    route = Route(
        token_in=WETH.address,
        token_out=USDC.address,
        amount_in=ETHER,
        amount_out=hop.amount_out,
        hops=(hop,),
        block_hash=block.head.hash,
        block_number=1000,
    )
    leg = Leg(token_in=WETH.address, token_out=USDC.address, amount_in=ETHER, route=route)
    smuggled = Intent(agent="b", legs=(leg,), edge_wei=1, inputs=("price/WETH-USDC",))

    result = arbitrate(context_of(block), proposed(block, buys("a", 6000 * DOLLAR), smuggled))

    (verdict,) = verdicts_of(result)
    assert ("1000/a/0", "1000/b/0") == verdict.intents


@pytest.mark.parametrize(
    ("changes", "cause", "words"),
    [
        ({"inputs": ("price/XYZ",)}, VetoCause.STALE, "no reading"),
        ({"inputs": ("old",)}, VetoCause.STALE, "3 blocks old; at most 1"),
    ],
)
def test_intents_on_bad_readings_are_stale(
    changes: dict[str, object], cause: VetoCause, words: str
) -> None:
    """No decision rests on a reading that is missing or older than its maximum age."""
    block = quiet_block()
    context = context_of(block)
    old = msgspec.structs.replace(context.readings["price/WETH-USDC"], key="old", block_number=997)
    context = context_of(block, readings={**context.readings, "old": old})
    intent = msgspec.structs.replace(buys("a", 2000 * DOLLAR), **changes)

    (verdict,) = verdicts_of(arbitrate(context, proposed(block, intent)))

    assert cause == verdict.cause
    assert words in verdict.why


def test_what_an_agent_looked_at_counts_even_if_it_does_not_say_so() -> None:
    """An agent cannot shed a stale reading by leaving it out of its inputs."""
    block = quiet_block()
    context = context_of(block)
    old = msgspec.structs.replace(context.readings["price/WETH-USDC"], key="old", block_number=990)
    context = context_of(block, readings={**context.readings, "old": old})
    (proposal,) = proposed(block, buys("a", 2000 * DOLLAR))
    looked = type(proposal)(
        agent="a",
        intent=proposal.intent,
        touched=("old",),
        block_number=1000,
        block_hash=block.head.hash,
    )

    (verdict,) = verdicts_of(arbitrate(context, [looked]))

    assert VetoCause.STALE == verdict.cause


def test_late_and_orphaned_intents_are_vetoed() -> None:
    """An intent past its deadline, or made on a block that is gone, does nothing."""
    block = quiet_block()
    gone = Hash("0x" + "99" * 32)
    context = context_of(block, canonical={1000: block.head.hash, 998: gone})
    intent = buys("a", 2000 * DOLLAR)
    (now,) = proposed(block, intent)
    late = type(now)(agent="a", intent=intent, touched=(), block_number=998, block_hash=gone)
    orphan = type(now)(
        agent="a", intent=intent, touched=(), block_number=998, block_hash=block.head.hash
    )

    assert VetoCause.DEADLINE == verdicts_of(arbitrate(context, [late]))[0].cause
    assert VetoCause.STALE == verdicts_of(arbitrate(context, [orphan]))[0].cause


def test_a_paused_agent_is_vetoed_with_the_predicted_end() -> None:
    """The veto of a paused agent says because of what, and until when."""
    block = quiet_block()
    paused = Assessment(
        agent="a",
        paused=True,
        because=("990-0",),
        contamination=1e-3,
        flip_probability=0.2,
        tolerance=0.05,
        until_block=1012,
        why="own impact of 990-0; free from block 1012",
    )

    result = arbitrate(
        context_of(block, paused={"a": paused}),
        proposed(block, buys("a", 2000 * DOLLAR), buys("b", 2000 * DOLLAR)),
    )

    free, veto = verdicts_of(result)
    assert (True, ("b",)) == (free.approved, free.agents)
    assert VetoCause.PAUSED == veto.cause
    assert "990-0" in veto.why
    assert "1012" in veto.why


def test_a_halt_vetoes_everything_and_says_why() -> None:
    """While halted nothing is approved, not even what would shrink a position."""
    block = quiet_block()

    (verdict,) = verdicts_of(
        arbitrate(context_of(block, halted="drawdown"), proposed(block, sells("a", ETHER)))
    )

    assert (VetoCause.HALTED, "drawdown") == (verdict.cause, verdict.why)


def test_limits_cut_and_are_named() -> None:
    """A wish above the largest trade is cut to it, and the verdict says so."""
    block = quiet_block()

    (ruling,) = arbitrate(context_of(block), proposed(block, sells("a", 9 * ETHER))).rulings

    assert Limits().max_trade_wei == ruling.verdict.legs[0].amount_in
    assert ("max_trade_wei",) == ruling.verdict.limits_hit


def test_a_position_at_its_limit_may_only_shrink() -> None:
    """An agent that holds all it may cannot buy more, but it can sell."""
    block = quiet_block()
    books = {"a": {WETH.address: Limits().max_position_wei}}
    context = context_of(block, books=books)

    (more,) = verdicts_of(arbitrate(context, proposed(block, buys("a", 2000 * DOLLAR))))
    (less,) = verdicts_of(arbitrate(context, proposed(block, sells("a", ETHER))))

    assert (VetoCause.LIMIT, True) == (more.cause, "max_position_wei" in more.why)
    assert less.approved


def test_capital_goes_to_the_best_first_and_is_never_promised_twice() -> None:
    """Approved legs of one block never need more than is free."""
    block = quiet_block()
    free = {WETH.address: 4 * ETHER, USDC.address: 0, USDT.address: 0, ZERO_ADDRESS: ETHER}
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        wishes = [
            sells(f"a{i}", rng.randrange(ETHER // 50, 4 * ETHER), rng.choice([USDC, USDT]).address)
            for i in range(4)
        ]
        result = arbitrate(context_of(block, free=free), proposed(block, *wishes))
        spent = sum(leg.amount_in for verdict in verdicts_of(result) for leg in verdict.legs)

        assert 4 * ETHER >= spent, f"seed {seed}"
        assert spent > 0


def test_without_capital_or_gas_nothing_is_approved() -> None:
    """No free token, no free native token: no approval."""
    block = quiet_block()
    broke = {WETH.address: 0, USDC.address: 0, ZERO_ADDRESS: ETHER}
    gasless = {WETH.address: 10 * ETHER, USDC.address: 0, ZERO_ADDRESS: 0}

    for free in (broke, gasless):
        (verdict,) = verdicts_of(
            arbitrate(context_of(block, free=free), proposed(block, sells("a", ETHER)))
        )

        assert VetoCause.NO_CAPITAL == verdict.cause


def test_weights_scale_wishes() -> None:
    """A weight of one half grants half, and the verdict shows it."""
    block = quiet_block()

    (ruling,) = arbitrate(
        context_of(block, weights={"a": 0.5}), proposed(block, sells("a", 2 * ETHER))
    ).rulings

    assert ETHER == ruling.verdict.legs[0].amount_in
    assert {"a": 0.5} == ruling.verdict.weights
    assert ("weight",) == ruling.verdict.limits_hit


def test_confidence_scales_what_is_granted() -> None:
    """An agent a quarter sure of its sale gets a quarter of it, and the verdict says why."""
    block = quiet_block()
    result = arbitrate(context_of(block), proposed(block, sells("a", ETHER, confidence=0.25)))
    (verdict,) = verdicts_of(result)

    assert (ETHER // 4, ("confidence",)) == (verdict.legs[0].amount_in, verdict.limits_hit)


def test_reducing_admits_the_way_back_and_no_further() -> None:
    """While REDUCING an agent may undo what it holds, not a unit more, and nobody may add."""
    block = quiet_block()
    context = context_of(block, books={"a": {WETH.address: 2 * ETHER}}, state=TradingState.REDUCING)
    wishes = [sells("a", 3 * ETHER), sells("b", ETHER), buys("c", 2000 * DOLLAR)]

    way_back, *vetoes = verdicts_of(arbitrate(context, proposed(block, *wishes)))

    assert (True, 2 * ETHER, ("exposure",)) == (
        way_back.approved,
        way_back.legs[0].amount_in,
        way_back.limits_hit,
    )
    assert {VetoCause.REDUCING} == {veto.cause for veto in vetoes}


def test_reducing_counts_what_was_granted_in_the_same_block() -> None:
    """Two sales of one position, while REDUCING, never sell more than the position."""
    block = quiet_block()
    context = context_of(block, books={"a": {WETH.address: 2 * ETHER}}, state=TradingState.REDUCING)

    (ruling,) = arbitrate(
        context, proposed(block, sells("a", ETHER), sells("a", 3 * ETHER))
    ).rulings

    assert 2 * ETHER == ruling.verdict.legs[0].amount_in


def test_a_purchase_makes_no_room_for_a_sale_of_the_same_block() -> None:
    """A position bound holds whichever of a block's trades are executed in the end."""
    block = quiet_block()
    books = {"a": {WETH.address: -Limits().max_position_wei}}
    limits = Limits(max_trade_wei=ETHER)
    context = context_of(block, books=books, limits=limits)

    result = arbitrate(context, proposed(block, buys("a", 2000 * DOLLAR), sells("a", ETHER)))

    assert {(True, None), (False, VetoCause.LIMIT)} == {
        (verdict.approved, verdict.cause) for verdict in verdicts_of(result)
    }


def test_no_cycle_starts_while_reducing() -> None:
    """A cycle lowers nothing: while REDUCING it waits."""
    block = gapped_block()
    main, side = sorted(block.snapshot.pools, key=lambda pool: pool == SIDE_POOL)
    wish = cycle(block, ETHER, pools=(main, side), agent="a")

    (verdict,) = verdicts_of(
        arbitrate(context_of(block, state=TradingState.REDUCING), proposed(block, wish))
    )

    assert VetoCause.REDUCING == verdict.cause


def test_a_halted_state_says_why() -> None:
    """HALTED vetoes everything with the evidence it was given."""
    block = quiet_block()
    context = context_of(block, state=TradingState.HALTED, state_why="drawdown of 3 ether")

    (verdict,) = verdicts_of(arbitrate(context, proposed(block, sells("a", ETHER))))

    assert (VetoCause.HALTED, "drawdown of 3 ether") == (verdict.cause, verdict.why)


def test_a_probe_admits_exactly_its_size() -> None:
    """Of any wishes that raise exposures, a half-open probe admits its size, once, in total."""
    block = quiet_block()
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        probe = rng.randrange(ETHER // 10, 3 * ETHER)
        wishes = [sells(f"a{i}", rng.randrange(3 * ETHER, 5 * ETHER)) for i in range(3)]
        context = context_of(block, probe_wei=probe, limits=Limits(min_trade_wei=1))
        result = arbitrate(context, proposed(block, *rng.sample(wishes, 3)))
        sold = sum(leg.amount_in for verdict in verdicts_of(result) for leg in verdict.legs)

        assert probe == sold, f"seed {seed}"


def test_a_probe_does_not_stop_the_way_back() -> None:
    """A half-open probe bounds what raises exposures; what lowers them passes beside it."""
    block = quiet_block()
    books = {"a": {WETH.address: 2 * ETHER}}
    context = context_of(block, books=books, probe_wei=ETHER // 2)

    (ruling,) = arbitrate(context, proposed(block, sells("a", 4 * ETHER))).rulings

    assert 2 * ETHER + ETHER // 2 == ruling.verdict.legs[0].amount_in


def test_a_probe_is_for_cycles_too() -> None:
    """A cycle is admitted by a probe that is as large as its input, and takes it up."""
    block = gapped_block()
    main, side = sorted(block.snapshot.pools, key=lambda pool: pool == SIDE_POOL)
    wish = cycle(block, ETHER, pools=(main, side), agent="a")
    wishes = proposed(block, wish, sells("b", ETHER))

    whole, nothing_left = verdicts_of(arbitrate(context_of(block, probe_wei=ETHER), wishes))
    swap, too_large = verdicts_of(arbitrate(context_of(block, probe_wei=ETHER - 1), wishes))

    assert (True, ("a",)) == (whole.approved, whole.agents)
    assert VetoCause.REDUCING == nothing_left.cause
    assert (ETHER - 1, VetoCause.REDUCING) == (swap.legs[0].amount_in, too_large.cause)


def test_a_discount_scales_the_weight() -> None:
    """A discounting pause leaves its share of the weight, and the verdict names it."""
    block = quiet_block()
    context = context_of(block, weights={"a": 0.5}, scales={"a": 0.5})

    (ruling,) = arbitrate(context, proposed(block, sells("a", 4 * ETHER))).rulings

    assert ETHER == ruling.verdict.legs[0].amount_in
    assert {"a": 0.25} == ruling.verdict.weights
    assert ("discount", "weight") == ruling.verdict.limits_hit


def test_an_agent_discounted_to_nothing_starts_no_cycle() -> None:
    """Where a discount leaves nothing of an agent's weight, its cycles are vetoed as well."""
    block = gapped_block()
    main, side = sorted(block.snapshot.pools, key=lambda pool: pool == SIDE_POOL)
    wish = cycle(block, ETHER, pools=(main, side), agent="a")

    (verdict,) = verdicts_of(arbitrate(context_of(block, scales={"a": 0.0}), proposed(block, wish)))

    assert VetoCause.LIMIT == verdict.cause
