import random
from collections import Counter

from msgspec.structs import replace

from tests.execution.swaps import TOKENS, swap
from tests.routing import graphs
from toolkit.model.chain import Address, Hash
from toolkit.model.market import FLASH, FundingKind, PoolKey, Route
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.snapshot import hop_through
from toolkit.routing.gas import GasTable, gas_table, gas_units, uses_of, walked

A, B, C = TOKENS[:3]
OWN, BALANCER = FundingKind.OWN, FundingKind.BALANCER
EMPTIED, RESTORED, CLEARED = 19_900, 2_800, 4_800
KEY = PoolKey(fee=1, tick_spacing=1, hooks=A, manager=Address("0x" + "44" * 20))


def table(**parts: float) -> GasTable:
    return GasTable(source="a test", parts=parts, tokens={})


def cycle(profit: int = 2) -> Route:
    """Through a pair, then a V3 pool, then a pair."""
    return swap([(A, 10), (B, 100), (C, 7), (A, 10 + profit)]).route


def test_every_slot_that_is_filled_is_counted_once() -> None:
    """A chain on a loan: each token comes once, two are emptied on the way, the input at the end
    together with its gain."""
    uses = uses_of(cycle(), {}, BALANCER)

    assert (
        Counter(
            balancer=1,
            fills=4,
            v2=2,
            v2_pool=2,
            v3=1,
            v3_pool=1,
            v3_side=1,
            slots=6,
            swept=1,
            owner=1,
        )
        == +uses.parts
    )
    assert {("moves", A): 5, ("moves", B): 2, ("moves", C): 2} == {
        key: count for key, count in uses.tokens.items() if key[0] == "moves"
    }
    # The vault's lock and balance, two pairs' locks, and every filled slot once.
    assert 2 * RESTORED + 2 * RESTORED + 4 * EMPTIED == uses.refund


def test_own_input_gives_its_allowance_back() -> None:
    """Nothing is repaid, and the owner's balance is touched twice but cold once."""
    uses = uses_of(cycle(), {}, OWN)

    assert (1, 1, 1) == (uses.parts["own"], uses.parts["swept"], uses.parts["owner"])
    assert CLEARED + 2 * RESTORED + 4 * EMPTIED == uses.refund


def test_a_pool_is_dearer_the_first_time() -> None:
    """The same pool again, the same way or back, touches no new slot; the other way one."""
    there, back = swap([(A, 10), (B, 100)]).route, cycle()
    first = back.hops[1]
    again = replace(back, hops=(first, first))
    around = replace(
        back, hops=(first, replace(first, token_in=first.token_out, token_out=first.token_in))
    )

    assert (2, 1, 1, 2) == tuple(
        uses_of(again, {}, OWN).parts[part] for part in ("v3", "v3_pool", "v3_side", "slots")
    )
    assert 2 == uses_of(around, {}, OWN).parts["v3_side"]
    assert 2 == uses_of(there, {}, OWN).parts["slots"]


def test_pools_of_one_manager_share_its_balances() -> None:
    """Two V4 pools are two pools and one contract."""
    (hop,) = swap([(A, 10), (B, 100)]).route.hops
    one = replace(hop, pool=Hash("0x" + "01" * 32), kind=cycle().hops[1].kind, key=KEY)
    two = replace(one, pool=Hash("0x" + "02" * 32))
    parts = uses_of(replace(cycle(), hops=(one, two)), {}, OWN).parts

    assert (2, 2, 1, 2) == tuple(parts[of] for of in ("v4", "v4_pool", "v4_manager", "slots"))


def test_a_pool_that_lends_asks_for_both_its_tokens() -> None:
    """Also of one that the route never moves, which is touched for that only."""
    lender = replace(graphs.pair(random.Random(1), (A, TOKENS[3]), 1e6, 0.0), fee_ppm=3000)
    alone = uses_of(cycle(), {}, FundingKind.V2_FLASH, lender=lender.id)
    told = uses_of(cycle(), {lender.id: lender}, FundingKind.V2_FLASH, lender=lender.id)

    assert {("asks", A): 1, ("asks", TOKENS[3]): 1, ("touched", TOKENS[3]): 1} == {
        **(told.tokens - alone.tokens)
    }


def test_loans_are_given_back() -> None:
    """What an order misses comes and goes once more, and fills a slot of its own."""
    late = replace(cycle(), hops=cycle().hops[::-1], flags=(FLASH,))
    lent, own = uses_of(late, {}, BALANCER), uses_of(late, {}, OWN)

    assert (2, 0) == (lent.parts["loans"], lent.parts["lock"])
    assert (2, 1) == (own.parts["loans"], own.parts["lock"])
    assert 4 == lent.tokens["moves", B]


def test_ticks_that_a_swap_crosses_are_counted_on_its_states() -> None:
    """As many as lie between the prices before and after, either way; without states none."""
    pool = graphs.concentrated(random.Random(3), (A, B), 1e18, 0.0)
    far = 10**17
    for token in (A, B):
        out, after = pool.swap_in(token, far)
        hop = hop_through(pool, token, far, out)
        route = replace(cycle(), token_in=token, token_out=hop.token_out, amount_in=far)
        route = replace(route, hops=(hop,), amount_out=out)
        low, high = sorted((pool.tick, after.tick))

        crossed, _ = walked(pool, after)
        assert [tick for tick, _ in pool.ticks if low < tick <= high] == crossed
        parts = uses_of(route, {pool.id: pool}, OWN).parts
        assert len(crossed) == parts["v3_tick"] > 0
        assert (0, 1, 1) == (parts["v3_tick_again"], parts["v3_crosses"], parts["v3_observed"])
        assert 0 == uses_of(route, {}, OWN).parts["v3_tick"]


def test_a_tick_that_is_crossed_back_is_cheaper() -> None:
    """Its slots are written already."""
    pool = graphs.concentrated(random.Random(3), (A, B), 1e18, 0.0)
    there, moved = pool.swap_in(A, 10**17)
    back, _ = moved.swap_in(B, there)
    hops = (hop_through(pool, A, 10**17, there), hop_through(pool, B, there, back))
    parts = uses_of(replace(cycle(), hops=hops), {pool.id: pool}, OWN).parts

    assert parts["v3_tick"] == parts["v3_tick_again"] > 0


def test_at_most_a_fifth_is_given_back() -> None:
    """Where more slots are emptied than that is worth, the rest is lost (EIP-3529)."""
    uses = uses_of(cycle(), {}, BALANCER)

    assert 1_000_000 - uses.refund == gas_units(cycle(), table=table(balancer=1e6))
    assert 8_000 == gas_units(cycle(), table=table(balancer=10_000))


def test_a_token_may_have_parts_of_its_own() -> None:
    """A proxy's transfers cost more than a plain token's."""
    plain = table(balancer=1e6, moves=10.0)
    dear = replace(plain, tokens={B: {"moves": 1_000.0}})

    assert 2 * 990 == gas_units(cycle(), table=dear) - gas_units(cycle(), table=plain)


def test_a_tip_costs_more_where_it_is_unwrapped() -> None:
    """Own input brings it along, a loan takes it out of the gain."""
    parts = table(own=1e6, balancer=1e6, tip=10.0, tip_unwrapped=100.0)

    for funding, cost in ((OWN, 10), (BALANCER, 100)):
        plain = gas_units(cycle(), funding=funding, table=parts)
        assert cost == gas_units(cycle(), funding=funding, tipped=True, table=parts) - plain


def test_the_table_that_ships_has_every_part() -> None:
    """All parts that are counted have been measured, on a twin, and none is below zero."""
    shipped = gas_table()
    wanted = {kind.value for kind in FundingKind}
    wanted |= {"fills", "slots", "v2_pool", "v3", "v3_tick", "v4", "v4_tick", "tip", "loans"}

    assert wanted <= shipped.parts.keys()
    assert "scripts.gas" in shipped.source
    for parts in (shipped.parts, *shipped.tokens.values()):
        assert all(value >= 0 for value in parts.values())
    assert 100_000 < gas_units(cycle()) < 500_000


def test_a_state_of_another_time_is_no_obstacle() -> None:
    """Where the pool does not take the amount, nothing more is counted of it."""
    pool = graphs.concentrated(random.Random(3), (A, B), 1e6, 0.0)
    assert isinstance(pool, Concentrated)
    hop = hop_through(pool, A, 10**40, 1)
    route = replace(cycle(), hops=(hop,))

    assert uses_of(route, {}, OWN).parts == +uses_of(route, {pool.id: pool}, OWN).parts
