import random
from typing import Any

import msgspec
import pytest

from toolkit.execution.planner import (
    APPROVE_GAS,
    DEFAULT_LIMITS,
    Declined,
    FlashSource,
    PlanLimits,
    TipPolicy,
    Ways,
    expected_gas,
    paid_tip_wei,
    pair_sources,
    plan,
    worst_gas_wei,
)
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.decision import Leg, Plan, Verdict, VetoCause
from toolkit.model.errors import ConfigError, NoRoute
from toolkit.model.market import FLASH, FundingKind, Hop, Loan, PoolKind, Route
from toolkit.model.tx import FeeQuote
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.router import Router

WETH = Address("0x" + "c0" * 20)
USDC = Address("0x" + "a0" * 20)
DAI = Address("0x" + "60" * 20)
CHEAP, DEAR, LENDER = (Address("0x" + f"{n:040x}") for n in (1, 2, 3))
VAULT = Address("0x" + "ba" * 20)
ETHER = 10**18
HEAD = Head(
    number=100,
    hash=Hash("0x" + "01" * 32),
    parent_hash=Hash("0x" + "00" * 32),
    timestamp=1000,
    base_fee_per_gas=10**9,
    gas_limit=30_000_000,
    gas_used=0,
)
FEE = FeeQuote(
    max_fee_per_gas=3 * 10**9,
    max_priority_fee_per_gas=10**8,
    base_fee_per_gas=10**9,
    for_block=101,
)


def pair(pool: Address, usdc: int, weth: int) -> ConstantProduct:
    return ConstantProduct(id=pool, token0=USDC, token1=WETH, reserve0=usdc, reserve1=weth)


def market(price_gap_percent: int = 5) -> Snapshot:
    pools = [
        pair(CHEAP, 3_000_000 * 10**6, 1000 * ETHER),
        pair(DEAR, 3_000_000 * 10**4 * (100 + price_gap_percent), 1000 * ETHER),
        pair(LENDER, 30_000_000 * 10**6, 10_000 * ETHER),
    ]
    return Snapshot(block=HEAD, tokens={}, pools={pool.id: pool for pool in pools})


def route_through(snapshot: Snapshot, amount: int, *steps: tuple[Address, Address]) -> Route:
    hops = []
    token, held = steps[0][1], amount
    for pool, token_in in steps:
        state = snapshot.pools[pool]
        out, after = state.swap_in(token_in, held)
        token = state.token0 if token_in == state.token1 else state.token1
        hops.append(
            Hop(
                pool=pool,
                kind=PoolKind.CONSTANT_PRODUCT,
                token_in=token_in,
                token_out=token,
                amount_in=held,
                amount_out=out,
                fee_ppm=3000,
            )
        )
        snapshot = msgspec.structs.replace(snapshot, pools=snapshot.pools | {after.id: after})
        held = out
    return Route(
        token_in=steps[0][1],
        token_out=token,
        amount_in=amount,
        amount_out=held,
        hops=tuple(hops),
        block_hash=HEAD.hash,
        block_number=HEAD.number,
    )


def cycle(snapshot: Snapshot, amount: int = 5 * ETHER) -> Route:
    return route_through(snapshot, amount, (DEAR, WETH), (CHEAP, USDC))


def verdict_on(*legs: Leg, **fields: Any) -> Verdict:
    filled: dict[str, Any] = {
        "verdict_id": "100-0",
        "block_number": 100,
        "block_hash": HEAD.hash,
        "approved": True,
        "intents": ("a-1",),
        "agents": ("a",),
        "legs": legs,
    }
    return Verdict(**(filled | fields))


def leg_of(route: Route) -> Leg:
    return Leg(
        token_in=route.token_in,
        token_out=route.token_out,
        amount_in=route.amount_in,
        route=route,
    )


class OnlyPool:
    """A router that knows one pool."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def swap(
        self,
        token_in: Address,
        token_out: Address,
        amount_in: int,
        *,
        max_hops: int = 2,  # noqa: ARG002 - the seam
        max_pools: int | None = None,  # noqa: ARG002 - the seam
        gas_price_wei: int = 0,  # noqa: ARG002 - the seam
    ) -> Route:
        if DAI in {token_in, token_out}:
            raise NoRoute(f"no path from {token_in} to {token_out}")
        return route_through(self.snapshot, amount_in, (CHEAP, token_in))


def planned(verdict: Verdict, snapshot: Snapshot, **fields: Any) -> Plan | Declined:
    filled: dict[str, Any] = {
        "snapshot": snapshot,
        "router": OnlyPool(snapshot),
        "fee": FEE,
        "wrapped": WETH,
        "sources": pair_sources(snapshot, WETH),
    }
    return plan(verdict, **(filled | fields))


def made(answer: Plan | Declined) -> Plan:
    assert isinstance(answer, Plan), answer
    return answer


def vetoed(answer: Plan | Declined) -> VetoCause:
    assert isinstance(answer, Declined), answer
    cause, why = answer
    assert why
    return cause


def test_arbitrage_divides_its_profit_to_the_wei() -> None:
    """Profit = flash fee + tip + minimum kept, exactly, and the tip is the share after gas."""
    snapshot = market()
    route = cycle(snapshot)

    result = made(planned(verdict_on(leg_of(route)), snapshot))

    gas_wei = expected_gas(route, FundingKind.V2_FLASH, tip_wei=1) * 1_100_000_000
    net = route.profit - result.funding.fee - gas_wei
    assert route.profit == result.funding.fee + result.tip_wei + result.minimum_profit
    assert net * 600_000 // 1_000_000 == result.tip_wei
    assert (101, HEAD.hash) == (result.target_block, result.parent_hash)
    assert route == result.route


def test_profit_is_divided_exactly_on_many_markets() -> None:
    """On 300 random markets the parts add up, or the plan is declined because nothing is left."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(300):
        snapshot = market(rng.randrange(1, 12))
        route = cycle(snapshot, rng.randrange(10**12, 40 * ETHER))
        tip = TipPolicy(share_ppm=rng.randrange(1_000_001), floor_wei=rng.randrange(10**16))

        result = planned(verdict_on(leg_of(route)), snapshot, tip=tip)

        if isinstance(result, Plan):
            assert route.profit == result.funding.fee + result.tip_wei + result.minimum_profit
            assert result.tip_wei >= tip.floor_wei
            assert result.minimum_profit > 0
        else:
            assert VetoCause.NO_EDGE == result.cause


def test_cheapest_lender_outside_the_route_is_taken() -> None:
    """Balancer before a pair, a pair before nothing; never a pool the route trades with."""
    snapshot = market()
    verdict = verdict_on(leg_of(cycle(snapshot)))
    vault = FlashSource(kind=FundingKind.BALANCER, lender=VAULT, token=WETH, available=5 * ETHER)
    pairs = pair_sources(snapshot, WETH)

    free = made(planned(verdict, snapshot, sources=(*pairs, vault)))
    poor = msgspec.structs.replace(vault, available=5 * ETHER - 1)
    lent = made(planned(verdict, snapshot, sources=(*pairs, poor)))

    assert (FundingKind.BALANCER, VAULT, 0) == (
        free.funding.kind,
        free.funding.lender,
        free.funding.fee,
    )
    assert (FundingKind.V2_FLASH, LENDER) == (lent.funding.kind, lent.funding.lender)
    assert VetoCause.NO_CAPITAL == vetoed(planned(verdict, snapshot, sources=(poor, *pairs[:2])))


def test_of_equally_cheap_lenders_the_one_with_most_is_taken() -> None:
    """The fee decides, then how much there is, then the address, in whatever order they come."""
    snapshot = market()
    verdict = verdict_on(leg_of(cycle(snapshot)))
    near, deep, deepest, dear = (
        FlashSource(
            kind=FundingKind.V3_FLASH,
            lender=Address("0x" + f"{lender:040x}"),
            token=WETH,
            available=available * ETHER,
            fee_ppm=fee_ppm,
        )
        for lender, available, fee_ppm in ((20, 6, 100), (22, 9, 100), (21, 9, 100), (23, 90, 500))
    )

    for turn in range(4):
        sources = [near, deep, deepest, dear]
        sources = [*sources[turn:], *sources[:turn]]
        assert deepest.lender == made(planned(verdict, snapshot, sources=sources)).funding.lender


@pytest.mark.parametrize("amount", [1, 996, 997, 5 * ETHER, 12_345_678_901_234_567_891])
def test_flash_fees_are_the_contracts_own(amount: int) -> None:
    """A pair is repaid the least that passes its check; a V3 pool's fee is rounded up."""
    pair_fee = FlashSource(
        kind=FundingKind.V2_FLASH, lender=LENDER, token=WETH, available=amount + 1
    ).fee(amount)
    pool_fee = FlashSource(
        kind=FundingKind.V3_FLASH, lender=LENDER, token=WETH, available=amount, fee_ppm=500
    ).fee(amount)

    assert (amount + pair_fee) * 997 >= amount * 1000
    assert (amount + pair_fee - 1) * 997 < amount * 1000
    assert -(-amount * 500 // 1_000_000) == pool_fee


def test_lender_must_have_enough() -> None:
    """A pair keeps one unit; a vault can be emptied."""
    source = FlashSource(kind=FundingKind.V2_FLASH, lender=LENDER, token=WETH, available=10)

    assert source.lends(9)
    assert not source.lends(10)
    assert msgspec.structs.replace(source, kind=FundingKind.BALANCER).lends(10)


def test_own_capital_is_routed_with_exact_minimum() -> None:
    """A swap leg takes the router's path, own funding and the predicted output as its minimum."""
    snapshot = market()
    leg = Leg(token_in=WETH, token_out=USDC, amount_in=ETHER)

    result = made(planned(verdict_on(leg), snapshot, tip=TipPolicy(swap_wei=7)))

    assert (FundingKind.OWN, WETH, ETHER, None, 0) == (
        result.funding.kind,
        result.funding.token,
        result.funding.amount,
        result.funding.lender,
        result.funding.fee,
    )
    assert snapshot.pools[CHEAP].quote_in(WETH, ETHER) == result.minimum_profit
    assert 7 == result.tip_wei


def test_own_capital_is_split_where_that_leaves_more_after_gas() -> None:
    """A large order goes through every pool that is worth its gas; a small one through one."""
    snapshot = market(price_gap_percent=0)
    orders = [Leg(token_in=WETH, token_out=USDC, amount_in=amount) for amount in (10**15, 10**21)]
    router = Router(snapshot, native=WETH)

    small, large = (made(planned(verdict_on(leg), snapshot, router=router)) for leg in orders)

    assert [LENDER] == [hop.pool for hop in small.route.hops]
    assert {CHEAP, DEAR, LENDER} == {hop.pool for hop in large.route.hops}
    alone = max(pool.quote_in(WETH, 10**21) for pool in snapshot.pools.values())
    assert alone < large.route.amount_out == large.minimum_profit
    assert 10**21 == large.funding.amount == sum(hop.amount_in for hop in large.route.hops)


def test_a_split_keeps_to_the_limits_of_a_plan() -> None:
    """No more swaps than a plan may have, and none where their gas costs more than they bring."""
    snapshot = market(price_gap_percent=0)
    verdict = verdict_on(Leg(token_in=WETH, token_out=USDC, amount_in=10**20))
    dear = msgspec.structs.replace(FEE, base_fee_per_gas=10**15, max_fee_per_gas=10**16)
    router = Router(snapshot, native=WETH)

    free, two, one, poor = (
        made(planned(verdict, snapshot, router=router, **fields))
        for fields in (
            {},
            {"limits": PlanLimits(max_hops=2)},
            {"limits": PlanLimits(max_hops=1, swap_hops=2)},
            {"fee": dear},
        )
    )

    assert [3, 2, 1, 1] == [len(plan.route.hops) for plan in (free, two, one, poor)]


def test_gas_that_nothing_prices_does_not_keep_a_swap_back() -> None:
    """Where no pool leads from what is bought to the native token, gas does not count."""
    pools = [pair(CHEAP, 3_000_000 * 10**6, 1000 * ETHER), pair(DEAR, 10**12, 10**21)]
    snapshot = Snapshot(block=HEAD, tokens={}, pools={pool.id: pool for pool in pools})
    ways = Ways(router=Router(snapshot, native=DAI), gas_price_wei=10**9)

    assert 0 == ways.route(WETH, USDC, ETHER).gas_cost
    with pytest.raises(NoRoute, match=DAI):
        ways.route(WETH, DAI, ETHER)


def test_one_of_several_legs_is_planned_by_name() -> None:
    """A verdict of two legs needs the leg named; each gives its own plan."""
    snapshot = market()
    legs = [Leg(token_in=WETH, token_out=USDC, amount_in=ETHER * n) for n in (1, 2)]
    verdict = verdict_on(*legs)

    plans = [made(planned(verdict, snapshot, leg=leg)) for leg in legs]

    assert [ETHER, 2 * ETHER] == [one.route.amount_in for one in plans]
    assert VetoCause.INVALID == vetoed(planned(verdict, snapshot))
    assert VetoCause.INVALID == vetoed(planned(verdict_on(), snapshot))


def test_no_edge_after_gas_and_fee() -> None:
    """A cycle whose profit gas eats up, or the tip's floor does, is declined for lack of edge."""
    snapshot = market()
    verdict = verdict_on(leg_of(cycle(snapshot)))
    dear = msgspec.structs.replace(
        FEE, base_fee_per_gas=10**13, max_fee_per_gas=10**14, max_priority_fee_per_gas=10**12
    )

    assert VetoCause.NO_EDGE == vetoed(planned(verdict, snapshot, fee=dear))
    assert VetoCause.NO_EDGE == vetoed(planned(verdict, snapshot, tip=TipPolicy(floor_wei=ETHER)))
    assert VetoCause.NO_EDGE == vetoed(
        planned(verdict, snapshot, tip=TipPolicy(share_ppm=1_000_000))
    )


def test_stale_inputs_are_declined() -> None:
    """Another block, other fees or moved pools: nothing is planned on what is no longer true."""
    snapshot = market()
    leg = leg_of(cycle(snapshot))
    elsewhere = verdict_on(leg, block_hash=Hash("0x" + "ff" * 32))
    cheaper = pair(CHEAP, 3_000_000 * 10**6, 1001 * ETHER)
    moved = msgspec.structs.replace(snapshot, pools=snapshot.pools | {CHEAP: cheaper})
    gone = msgspec.structs.replace(snapshot, pools={DEAR: snapshot.pools[DEAR]})

    assert VetoCause.STALE == vetoed(planned(elsewhere, snapshot))
    assert VetoCause.STALE == vetoed(
        planned(verdict_on(leg), snapshot, fee=msgspec.structs.replace(FEE, for_block=102))
    )
    assert VetoCause.STALE == vetoed(planned(verdict_on(leg), moved))
    assert VetoCause.STALE == vetoed(planned(verdict_on(leg), gone))


def test_what_cannot_be_executed_is_declined() -> None:
    """Each malformed wish has its cause: no route, no amount, wrong token, too long, too dear."""
    snapshot = market()
    route = cycle(snapshot)
    leg = leg_of(route)
    spread = msgspec.structs.replace(route, amount_out=route.amount_out + 1)
    greedy = msgspec.structs.replace(route, amount_in=route.amount_in - 1)
    dollars = route_through(snapshot, 10**9, (CHEAP, USDC), (DEAR, WETH))
    more = route_through(snapshot, route.hops[0].amount_out + 1, (CHEAP, USDC))
    overspent = msgspec.structs.replace(
        route, hops=(route.hops[0], *more.hops), amount_out=more.amount_out
    )

    cases = [
        (VetoCause.NO_ROUTE, Leg(token_in=WETH, token_out=DAI, amount_in=1), {}),
        (VetoCause.INVALID, Leg(token_in=WETH, token_out=USDC, amount_in=0), {}),
        (VetoCause.INVALID, Leg(token_in=WETH, token_out=WETH, amount_in=1), {}),
        (VetoCause.INVALID, msgspec.structs.replace(leg, amount_in=1), {}),
        (VetoCause.INVALID, leg_of(spread), {}),
        (VetoCause.INVALID, leg_of(greedy), {}),
        (VetoCause.INVALID, leg_of(dollars), {}),
        (VetoCause.INVALID, leg_of(overspent), {}),
        (VetoCause.LIMIT, leg, {"limits": PlanLimits(max_hops=1)}),
        (VetoCause.LIMIT, leg, {"limits": PlanLimits(max_gas=200_000)}),
    ]

    for cause, bad, fields in cases:
        assert cause == vetoed(planned(verdict_on(bad), snapshot, **fields))


def test_a_pool_without_a_contract_of_its_own_is_declined() -> None:
    """A V4 pool is called by its key; of one whose key is not there that is said."""
    snapshot = market()
    number = Address("0x" + "44" * 32)
    whole = cycle(snapshot)
    hops = (msgspec.structs.replace(whole.hops[0], pool=number), *whole.hops[1:])
    route = msgspec.structs.replace(whole, hops=hops)
    answer = planned(verdict_on(leg_of(route)), snapshot)

    assert isinstance(answer, Declined)
    assert VetoCause.INVALID is answer.cause
    assert f"pool {number} has no address" in answer.why


def flash_order(snapshot: Snapshot, amount: int = 5 * ETHER) -> Route:
    """The cycle with its second hop first: it sells USDC that the other one brings."""
    route = cycle(snapshot, amount)
    return msgspec.structs.replace(route, hops=route.hops[::-1], flags=(FLASH,))


def vaults(*lent: tuple[Address, Address, int], fee_ppm: int = 0) -> tuple[FlashSource, ...]:
    return tuple(
        FlashSource(
            kind=FundingKind.BALANCER, lender=of, token=token, available=amount, fee_ppm=fee_ppm
        )
        for of, token, amount in lent
    )


def test_what_an_order_spends_before_it_has_it_is_borrowed() -> None:
    """The vault lends the input and the USDC that the first hop sells, by rising token."""
    snapshot = market()
    route = flash_order(snapshot)
    sold = route.hops[0].amount_in

    lent = made(
        planned(
            verdict_on(leg_of(route)),
            snapshot,
            sources=vaults((VAULT, WETH, 5 * ETHER), (VAULT, USDC, sold)),
        )
    )

    loans = (Loan(token=USDC, amount=sold), Loan(token=WETH, amount=5 * ETHER))
    assert (VAULT, tuple(sorted(loans, key=lambda loan: loan.token))) == (
        lent.funding.lender,
        lent.loans,
    )
    assert made(planned(verdict_on(leg_of(cycle(snapshot))), snapshot)).loans == ()


def test_own_capital_borrows_only_what_it_misses() -> None:
    """A swap in an order that no own capital runs keeps its input and borrows the rest."""
    snapshot = market()
    there = route_through(snapshot, 5 * ETHER, (DEAR, WETH), (CHEAP, USDC), (LENDER, WETH))
    hops = (there.hops[1], there.hops[0], there.hops[2])
    route = msgspec.structs.replace(there, hops=hops, flags=(FLASH,))
    sold = hops[0].amount_in

    own = made(
        planned(
            verdict_on(leg_of(route)),
            snapshot,
            sources=vaults((LENDER, USDC, sold), (VAULT, USDC, sold)),
        )
    )

    assert (FundingKind.OWN, LENDER, 5 * ETHER) == (
        own.funding.kind,
        own.funding.lender,
        own.funding.amount,
    )
    assert (Loan(token=USDC, amount=sold),) == own.loans


def test_of_several_vaults_the_one_with_most_of_the_scarcest_token_lends() -> None:
    """What a route misses comes from where the least of it could be lent the most times."""
    snapshot = market()
    there = route_through(snapshot, 5 * ETHER, (DEAR, WETH), (CHEAP, USDC), (LENDER, WETH))
    hops = (there.hops[1], there.hops[0], there.hops[2])
    verdict = verdict_on(leg_of(msgspec.structs.replace(there, hops=hops, flags=(FLASH,))))
    sold = hops[0].amount_in

    def lends(*lent: tuple[Address, Address, int]) -> Address | None:
        return made(planned(verdict, snapshot, sources=vaults(*lent))).funding.lender

    assert VAULT == lends((LENDER, USDC, 2 * sold), (VAULT, USDC, 3 * sold))
    assert VAULT == lends((VAULT, USDC, 3 * sold), (LENDER, USDC, 2 * sold))
    assert LENDER == lends((VAULT, USDC, 2 * sold), (LENDER, USDC, 2 * sold))
    assert LENDER == lends((VAULT, WETH, 9 * sold), (LENDER, USDC, sold))


def test_loans_that_nobody_gives_at_once_are_declined() -> None:
    """Too little of one token, two vaults with one token each, a fee, or a pair that lends one."""
    snapshot = market()
    route = flash_order(snapshot)
    sold = route.hops[0].amount_in
    for sources in (
        vaults((VAULT, WETH, 5 * ETHER), (VAULT, USDC, sold - 1)),
        vaults((VAULT, WETH, 5 * ETHER), (LENDER, USDC, sold)),
        vaults((VAULT, WETH, 5 * ETHER), (VAULT, USDC, sold), fee_ppm=1),
        pair_sources(snapshot, WETH),
    ):
        answer = planned(verdict_on(leg_of(route)), snapshot, sources=sources)

        assert vetoed(answer) is VetoCause.NO_CAPITAL


def test_what_runs_in_no_order_is_declined() -> None:
    """Without the flag nothing is borrowed; with it the input is not, nor what no hop brings."""
    snapshot = market()
    borrowing = flash_order(snapshot)
    whole = cycle(snapshot)
    plain = msgspec.structs.replace(borrowing, flags=())
    poor = msgspec.structs.replace(
        whole, flags=(FLASH,), amount_in=4 * ETHER, amount_out=whole.amount_out - ETHER
    )
    more = route_through(snapshot, whole.hops[1].amount_in + 1, (CHEAP, USDC)).hops[0]
    missing = msgspec.structs.replace(
        borrowing, hops=(more, whole.hops[0]), amount_out=more.amount_out
    )

    assert (VetoCause.INVALID, "hop 0 spends more than the route has") == planned(
        verdict_on(leg_of(plain)), snapshot
    )
    assert (VetoCause.INVALID, "hop 0 spends more than the route has") == planned(
        verdict_on(leg_of(poor)), snapshot
    )
    assert (VetoCause.INVALID, f"hops end 1 short of {USDC}") == planned(
        verdict_on(leg_of(missing)), snapshot
    )


def test_veto_is_passed_on() -> None:
    """A verdict that was not approved keeps its cause."""
    verdict = verdict_on(approved=False, cause=VetoCause.PAUSED, why="momentum is paused")

    assert (VetoCause.PAUSED, "momentum is paused") == planned(verdict, market())


def test_gas_limit_is_the_sum_of_parts_with_margin() -> None:
    """The limit grows with hops, funding and tip, by the configured margin."""
    snapshot = market()
    result = made(planned(verdict_on(leg_of(cycle(snapshot))), snapshot))

    gas = expected_gas(result.route, result.funding.kind, tip_wei=result.tip_wei)
    assert gas * (100 + DEFAULT_LIMITS.gas_margin_percent) // 100 == result.gas_limit


def test_a_route_that_was_reckoned_dearer_counts_for_more() -> None:
    """Ticks that it crosses are in no sum over hops; what was reckoned lower changes nothing."""
    route = cycle(market())
    plain = expected_gas(route, FundingKind.BALANCER, tip_wei=1)
    dearer, cheaper = (msgspec.structs.replace(route, gas_units=plain + of) for of in (7, -7))

    assert plain + 7 == expected_gas(dearer, FundingKind.BALANCER, tip_wei=1)
    assert plain == expected_gas(cheaper, FundingKind.BALANCER, tip_wei=1)


def test_worst_gas_of_own_capital_counts_approvals_and_tip() -> None:
    """Own capital may need two approvals and pays its tip itself; a borrower needs neither."""
    snapshot = market()
    swap = verdict_on(Leg(token_in=WETH, token_out=USDC, amount_in=ETHER))
    own = made(planned(swap, snapshot, tip=TipPolicy(swap_wei=7)))
    lent = made(planned(verdict_on(leg_of(cycle(snapshot))), snapshot))

    assert (own.gas_limit + 2 * APPROVE_GAS) * FEE.max_fee_per_gas + 7 == worst_gas_wei(own, FEE)
    assert lent.gas_limit * FEE.max_fee_per_gas == worst_gas_wei(lent, FEE)
    assert (7, 0) == (paid_tip_wei(own), paid_tip_wei(lent))
    assert lent.tip_wei > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: TipPolicy(share_ppm=1_000_001),
        lambda: TipPolicy(share_ppm=-1),
        lambda: TipPolicy(floor_wei=-1),
        lambda: PlanLimits(max_gas=1 << 25),
        lambda: PlanLimits(max_hops=0),
        lambda: PlanLimits(gas_margin_percent=-1),
        lambda: PlanLimits(max_merged=0),
    ],
)
def test_settings_out_of_range_are_refused(make: Any) -> None:
    """Policies and limits that cannot be meant are refused where they are written."""
    with pytest.raises(ConfigError):
        make()
