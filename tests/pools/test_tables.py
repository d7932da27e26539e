import random

import msgspec
import numpy as np
import pytest

from tests.pools.test_packed import asked, snapshot, told
from tests.pools.ticked import A, B, amount_for, draw, limit_for, minted
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.concentrated_v4 import ConcentratedV4
from toolkit.pools.kernels.book import COUNT, INVERSE
from toolkit.pools.kernels.status import Status
from toolkit.pools.packed import Packed
from toolkit.pools.snapshot import WithTicks
from toolkit.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at_tick
from toolkit.pools.words import to_ints

# Whoever is first may have to compile.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
POOL = Address("0x" + "1" * 40)
REACHED = {
    Status.OK,
    Status.AMOUNT,
    Status.TOO_MUCH,
    Status.EMPTY,
    Status.LIMIT,
    Status.UNKNOWN_TICKS,
    Status.NOTHING,
}


def compare(
    packed: Packed, pools: list[WithTicks], rng: random.Random, each: int, why: object
) -> set[Status]:
    """Ask for random quotes of every pool, together and one by one."""
    state = snapshot(pools)
    seen: set[Status] = set()
    for exact_out in (False, True):
        drawn = [(pool, rng.random() < 0.5) for pool in pools for _ in range(each)]
        amounts = [amount_for(rng, pool, forward=way, exact_out=exact_out) for pool, way in drawn]
        limits = [limit_for(rng, pool, forward=way) for pool, way in drawn]
        quote = packed.quote_out if exact_out else packed.quote_in

        quotes = quote(
            packed.places(pool.id for pool, _ in drawn),
            np.array([way for _, way in drawn]),
            amounts,
            limits,
        )

        expected = [
            asked(state, pool, amount, limit, forward=way, exact_out=exact_out)
            for (pool, way), amount, limit in zip(drawn, amounts, limits, strict=True)
        ]
        assert expected == told(quotes, len(drawn)), why
        seen |= {Status(int(code)) for code in quotes.status}
    return seen


def filled(pool: WithTicks, amount: int, limit: int, *, forward: bool, exact_out: bool) -> int:
    """How much of an amount the pool itself takes or gives."""
    if exact_out:
        swapped = pool.swap_out(B if forward else A, amount, sqrt_price_limit_x96=limit)
        return swapped.amount_out
    return pool.swap(A if forward else B, amount, sqrt_price_limit_x96=limit).amount_in


def test_tables_answer_as_the_step_loop(seed: int) -> None:
    """Whatever the pool, the amount and the limit: the same integer or the same refusal."""
    rng = random.Random(seed)
    seen: set[Status] = set()
    for number in range(16):
        pools = [draw(rng, place, v4=place % 2 == 0) for place in range(1, 7)]

        seen |= compare(Packed.of(snapshot(pools)), pools, rng, 6, (seed, number))
    assert REACHED <= seen


def test_what_is_filled_is_told(seed: int) -> None:
    """Where liquidity or a limit ends a swap early, the batch tells how much was taken or given."""
    rng = random.Random(seed)
    short = 0
    for _ in range(40):
        pool = draw(rng, 1, v4=rng.random() < 0.5)
        packed = Packed.of(snapshot([pool]))
        for exact_out in (False, True):
            way = rng.random() < 0.5
            amount = amount_for(rng, pool, forward=way, exact_out=exact_out)
            limit = limit_for(rng, pool, forward=way)
            quote = packed.quote_out if exact_out else packed.quote_in
            quotes = quote(np.zeros(1, np.int64), np.array([way]), [amount], [limit])
            if quotes.amounts() == [None]:
                continue
            done = filled(pool, amount, limit, forward=way, exact_out=exact_out)
            short += done < amount

            assert [done] == to_ints(quotes.filled), (seed, pool)
    assert short > 5


def changed(rng: random.Random, pool: WithTicks) -> WithTicks:
    """The pool after some event: a swap, liquidity that comes or goes, another fee."""
    kind = rng.random()
    try:
        if kind < 0.5:
            way = rng.random() < 0.5
            amount = amount_for(rng, pool, forward=way, exact_out=False)
            limit = limit_for(rng, pool, forward=way)
            return pool.swap(A if way else B, amount, sqrt_price_limit_x96=limit).pool
        if kind < 0.9:
            nets = dict(pool.ticks)
            for tick, net in minted(rng, pool).items():
                nets[tick] = nets.get(tick, 0) + net
                if not nets[tick]:
                    del nets[tick]
            if rng.random() < 0.3 and nets:  # all that begins or ends somewhere goes
                del nets[rng.choice(list(nets))]
            inside = sum(net for tick, net in nets.items() if tick <= pool.tick)
            return msgspec.structs.replace(
                pool, ticks=tuple(sorted(nets.items())), liquidity=inside
            )
        if isinstance(pool, ConcentratedV4):
            fees = (rng.choice([0, 1000]), rng.choice([0, 7]))
            return msgspec.structs.replace(pool, protocol_fee_ppm=fees)
        return msgspec.structs.replace(pool, fee_ppm=rng.randrange(10**6))
    except PoolError:
        return pool


def test_tables_follow_events_and_their_undoing(seed: int) -> None:
    """After every event, and after going back, quotes are those of the state that was put."""
    rng = random.Random(seed)
    for number in range(25):
        past: list[WithTicks] = [draw(rng, 1, v4=number % 2 == 0)]
        packed = Packed.of(snapshot(past))
        for step in range(12):
            if rng.random() < 0.2:
                del past[rng.randrange(len(past)) + 1 :]
            else:
                past.append(changed(rng, past[-1]))
            packed.put(past[-1])

            compare(packed, past[-1:], rng, 3, (seed, number, step))


def wide(spacing: int = 10, positions: int = 100) -> Concentrated:
    """Nested positions around price 1, every tick of the middle initialised."""
    nets: dict[int, int] = {}
    for place in range(1, positions + 1):
        nets[-place * spacing] = 10**18 + place
        nets[place * spacing] = -(10**18) - place
    inside = sum(net for tick, net in nets.items() if tick <= 5)
    return Concentrated(
        id=POOL,
        token0=A,
        token1=B,
        fee_ppm=500,
        tick_spacing=spacing,
        sqrt_price_x96=sqrt_price_at_tick(5) + 7,
        tick=5,
        liquidity=inside,
        ticks=tuple(sorted(nets.items())),
    )


def rows(packed: Packed) -> list[int]:
    """How many stops each direction's table has."""
    return [int(count) for count in packed.tables.book.run[:, COUNT]]


def test_a_swap_leaves_the_tables_alone() -> None:
    """After swaps to and fro within what is known of the stops, no row is made anew."""
    pool = wide()
    packed = Packed.of(snapshot([pool]))
    both = np.array([True, False])
    twice = np.zeros(2, np.int64)
    packed.quote_in(twice, both, [10**30, 10**30])
    before = rows(packed)
    # Whoever makes a row writes its inverse; who only reads what has been made needs none.
    packed.tables.book.row[:, INVERSE] = 0
    for token_in, amount in ((A, 10**17), (B, 2 * 10**17), (A, 3 * 10**17), (B, 10**17)):
        pool = pool.swap(token_in, amount).pool
        packed.put(pool)

        quotes = packed.quote_in(twice, both, [10**19, 10**19])

        assert [pool.quote_in(A, 10**19), pool.quote_in(B, 10**19)] == quotes.amounts()
    assert before == rows(packed)
    assert min(before) > 100
    assert not packed.tables.book.row[:, INVERSE].any()


def test_new_liquidity_cuts_the_tables_where_it_begins() -> None:
    """A position far below the price leaves all stops that are nearer, and those above."""
    pool = wide()
    packed = Packed.of(snapshot([pool]))
    both = np.array([True, False])
    packed.quote_in(np.zeros(2, np.int64), both, [10**30, 10**30])
    down, up = rows(packed)

    far = msgspec.structs.replace(
        pool, ticks=tuple(sorted({**dict(pool.ticks), -700: 7 * 10**18, -690: 1}.items()))
    )
    packed.put(far)

    assert 60 < rows(packed)[0] < down
    assert up == rows(packed)[1]


def test_a_table_grows_as_far_as_a_swap_goes() -> None:
    """Spacing 1 and liquidity to the very ends: thousands of empty words, each a stop."""
    pool = Concentrated(
        id=POOL,
        token0=A,
        token1=B,
        fee_ppm=3000,
        tick_spacing=1,
        sqrt_price_x96=2**96,
        tick=0,
        liquidity=10**18,
        ticks=((MIN_TICK, 10**18), (MAX_TICK, -(10**18))),
    )
    packed = Packed.of(snapshot([pool]))
    for way, token in ((True, A), (False, B)):
        quotes = packed.quote_in(np.zeros(1, np.int64), np.array([way]), [2**250])

        assert [pool.quote_in(token, 2**250)] == quotes.amounts()
    assert min(rows(packed)) > 3400


@pytest.mark.parametrize("known", [(60, 61_380), (-61_440, -60)])
def test_a_price_beyond_the_known_ticks_is_refused_as_one_by_one(known: tuple[int, int]) -> None:
    """A swap by others may have left the known ticks before they were read anew."""
    pool = msgspec.structs.replace(wide(60), known=(MIN_TICK, MAX_TICK))
    ticks = tuple((at, net) for at, net in pool.ticks if known[0] <= at <= known[1])
    beside = msgspec.structs.replace(pool, known=known, ticks=ticks, gross=())
    packed = Packed.of(snapshot([pool]))
    both = packed.places([pool.id] * 2), np.array([True, False]), [1, 1]
    assert [0, 0] == packed.quote_in(*both).amounts()

    packed.put(beside)

    quotes = packed.quote_in(*both)
    assert [None, None] == quotes.amounts()
    assert "does not reach the price" in str(quotes.refusal(1))


def test_threads_share_what_pools_they_have(seed: int) -> None:
    """Two workers give what one gives, though each continues tables of its own."""
    rng = random.Random(seed)
    pools = [draw(rng, number) for number in range(1, 9)]
    alone, shared = (Packed.of(snapshot(pools), workers=count) for count in (1, 2))
    places = np.array([rng.randrange(len(pools)) for _ in range(10_000)])
    forward = np.array([rng.random() < 0.5 for _ in places])
    amounts = [int(2 ** rng.uniform(0, 200)) for _ in places]

    one, two = (packed.quote_in(places, forward, amounts) for packed in (alone, shared))

    assert (one.status == two.status).all()
    assert (one.words == two.words).all()


def alone(liquidity: int, ticks: tuple[tuple[int, int], ...], tick: int) -> Concentrated:
    return Concentrated(
        id=POOL,
        token0=A,
        token1=B,
        fee_ppm=3000,
        tick_spacing=60,
        sqrt_price_x96=sqrt_price_at_tick(tick),
        tick=tick,
        liquidity=liquidity,
        ticks=ticks,
    )


@pytest.mark.parametrize("times", [1, 2**20, 2**30])
def test_a_step_that_comes_out_even_is_not_rounded(times: int) -> None:
    """Between the prices of ticks 60 and 0 an amount of token0 can be whole, and stays it."""
    liquidity = sqrt_price_at_tick(60) * times
    pool = alone(liquidity, ((-600, liquidity), (0, 0), (60, 0), (1200, -liquidity)), 100)
    packed = Packed.of(snapshot([pool]))
    limit = sqrt_price_at_tick(0)
    even = pool.swap(A, 2**250, sqrt_price_limit_x96=limit)

    quotes = packed.quote_in(np.zeros(1, np.int64), np.array([True]), [2**250], [limit])

    assert [even.amount_out] == quotes.amounts()
    assert [even.amount_in] == to_ints(quotes.filled)


def test_an_output_that_ends_on_a_broken_tick_is_refused() -> None:
    """With much liquidity a price rounds onto the stop before all is bought: it is crossed too."""
    pool = alone(2**120, ((-60, 2**127 - 1), (60, -(2**119))), -30)
    packed = Packed.of(snapshot([pool]))
    whole = 2**120 * (sqrt_price_at_tick(-30) - sqrt_price_at_tick(-60)) >> 96
    amounts = [whole - 2**30, whole - 1, whole, whole + 1]

    quotes = packed.quote_out(np.zeros(4, np.int64), np.ones(4, np.bool_), amounts)

    state = snapshot([pool])
    expected = [asked(state, pool, amount, forward=True, exact_out=True) for amount in amounts]
    assert expected == told(quotes, 4)
    assert [Status.OK] + [Status.BROKEN_TICKS] * 3 == list(quotes.status)
