import random
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.pools.venue import ME, WIDEST, Refused, Venue, scatter
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolKind
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.ticks import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at_tick,
)

A, B, C, POOL = (Address("0x" + digit * 40) for digit in "abc1")
L = 10**18


def pool(**changes: Any) -> Concentrated:
    """A pool at price 1 with one position of 60 ticks each side, changed as asked."""
    fields: dict[str, Any] = {
        "id": POOL,
        "token0": A,
        "token1": B,
        "fee_ppm": 3000,
        "tick_spacing": 60,
        "sqrt_price_x96": 2**96,
        "tick": 0,
        "liquidity": L,
        "ticks": ((-60, L), (60, -L)),
    }
    return Concentrated(**(fields | changes))


def amount_or_none(ask: Callable[[], int], refusal: type[Exception]) -> int | None:
    """The amount, or None where it is refused."""
    try:
        return ask()
    except refusal:
        return None


@pytest.mark.parametrize("fee", [100, 500, 3000, 10000])
def test_every_quote_is_the_quoters(fee: int, revm: Callable[[], Venue], seed: int) -> None:
    """Both directions, exact in and out, with and without limit: QuoterV2's integer or revert."""
    rng = random.Random(seed + fee)
    venue = revm()
    tick = rng.randrange(-60_000, 60_000)
    address = venue.make_pool(fee, tick, rng.randrange(1000))
    state = venue.read_pool(address, fee, scatter(venue, fee, tick, rng, 25))
    refused = 0
    for _ in range(200):
        exact_in, down = rng.random() < 0.5, rng.random() < 0.5
        token_in, token_out = (state.token0, state.token1)[:: 1 if down else -1]
        amount = int(10 ** rng.uniform(0, 30 if fee != 100 else 26))
        limit = 0
        if rng.random() < 0.25:
            limit = sqrt_price_at_tick(tick + rng.randrange(-3000, 3000)) + rng.randrange(10**6)
        asked = partial(venue.quote3, fee, token_in, amount, exact_in=exact_in, limit=limit)
        theirs = amount_or_none(asked, Refused)
        quote, token = (state.quote_in, token_in) if exact_in else (state.quote_out, token_out)
        ours = amount_or_none(partial(quote, token, amount, sqrt_price_limit_x96=limit), PoolError)
        refused += ours is None

        assert ours == theirs, (seed, fee, exact_in, down, amount, limit)
    assert 0 < refused < 150


def test_amounts_that_overflow_the_precise_formula_are_the_quoters(
    revm: Callable[[], Venue], seed: int
) -> None:
    """Where amount x price leaves 256 bits the contract takes its second formula, or reverts."""
    rng = random.Random(seed)
    venue = revm()
    (fee, spacing), *_ = WIDEST.items()
    bound = MAX_TICK // spacing * spacing
    address = venue.make_pool(fee, 850_000)
    venue.mint(fee, -bound, bound, 2**58, 2**181)
    state = venue.read_pool(address, fee, {-bound, bound})
    answered = overflowed = 0
    for _ in range(200):
        exact_in, down = rng.random() < 0.7, rng.random() < 0.7
        token_in, token_out = (state.token0, state.token1)[:: 1 if down else -1]
        amount = int(2 ** rng.uniform(90, 170))
        asked = partial(venue.quote3, fee, token_in, amount, exact_in=exact_in)
        theirs = amount_or_none(asked, Refused)
        quote, token = (state.quote_in, token_in) if exact_in else (state.quote_out, token_out)
        ours = amount_or_none(partial(quote, token, amount), PoolError)
        answered += ours is not None
        overflowed += exact_in and down and amount * state.sqrt_price_x96 >= 2**256

        assert ours == theirs, (seed, exact_in, down, amount)
    assert answered > 50
    assert overflowed > 10


@pytest.mark.parametrize("fee", [500, 3000])
def test_the_state_after_a_swap_is_the_contracts(
    fee: int, revm: Callable[[], Venue], seed: int
) -> None:
    """Real swaps one after another: price, tick and liquidity agree after each of them."""
    rng = random.Random(seed + fee)
    venue = revm()
    address = venue.make_pool(fee, 0)
    ticks = scatter(venue, fee, 0, rng, 15)
    state = venue.read_pool(address, fee, ticks)
    done = 0
    for _ in range(120):
        exact_in, down = rng.random() < 0.5, rng.random() < 0.5
        token_in, token_out = (state.token0, state.token1)[:: 1 if down else -1]
        amount = int(10 ** rng.uniform(3, 25))
        try:
            swapped = (
                state.swap(token_in, amount) if exact_in else state.swap_out(token_out, amount)
            )
        except PoolError:
            with pytest.raises(Refused):
                venue.swap3(fee, token_in, amount, exact_in=exact_in)
            continue
        venue.swap3(fee, token_in, amount, exact_in=exact_in)
        state = swapped.pool
        done += 1

        assert venue.read_pool(address, fee, ticks) == state, (seed, fee, exact_in, down, amount)
    assert done > 50


def test_real_swaps_on_anvil_pay_what_was_predicted(twin: tuple[str, Venue], seed: int) -> None:
    """On a node, balances change by exactly the amounts the pool value says."""
    rng = random.Random(seed)
    venue = twin[1]
    address = venue.make_pool(10000, 200)
    venue.mint(10000, -887_200, 887_200, 10**20)
    ticks = scatter(venue, 10000, 200, rng, 10) | {-887_200, 887_200}

    def balances() -> list[int]:
        return [
            venue.ask(token, "balanceOf(address)", ME, out="uint256")
            for token in (venue.token0, venue.token1)
        ]

    for _ in range(12):
        state = venue.read_pool(address, 10000, ticks)
        down = rng.random() < 0.5
        token_in = state.token0 if down else state.token1
        swapped = state.swap(token_in, int(10 ** rng.uniform(6, 24)))
        before = balances()
        venue.swap3(10000, token_in, swapped.amount_in, exact_in=True)
        changes = [after - earlier for earlier, after in zip(before, balances(), strict=True)]
        predicted = [-swapped.amount_in, swapped.amount_out][:: 1 if down else -1]

        assert changes == predicted, seed


def test_a_swap_stops_at_the_edge_of_each_bitmap_word() -> None:
    """Rounding happens at word edges too, so their absence would give another integer.

    The same liquidity with an extra initialised tick of net 0 on the edges quotes the same; the
    sum of one long step would be larger.
    """
    ticks = ((-20_000, 10**9), (20_000, -(10**9)))
    plain = pool(tick_spacing=1, fee_ppm=500, liquidity=10**9, ticks=ticks)
    edges = tuple((word * 256, 0) for word in range(-78, 1))
    marked = pool(
        tick_spacing=1,
        fee_ppm=500,
        liquidity=10**9,
        ticks=tuple(sorted(ticks + edges)),
    )
    amount = 10**9
    one_step = amount * 999_500 // 10**6
    unbroken = 10**9 - -(-(10**9) * 10**9 // (10**9 + one_step))

    assert plain.quote_in(A, amount) == marked.quote_in(A, amount)
    assert plain.quote_in(A, amount) < unbroken


def test_an_initialised_tick_without_net_liquidity_counts(seed: int) -> None:
    """Two positions that meet cancel in net, yet the contract stops and rounds there."""
    rng = random.Random(seed)
    meeting = pool(liquidity=10**9, ticks=((-120, 10**9), (-60, 0), (60, -(10**9))))
    merged = pool(liquidity=10**9, ticks=((-120, 10**9), (60, -(10**9))))
    amounts = [rng.randrange(4 * 10**6, 6 * 10**6) for _ in range(200)]

    assert any(meeting.quote_in(A, amount) != merged.quote_in(A, amount) for amount in amounts)


def test_liquidity_may_end_and_begin_again() -> None:
    """A swap crosses a gap without liquidity for free and goes on behind it."""
    gapped = pool(ticks=((-180, L), (-120, -L), (-60, L), (60, -L)))
    first = pool().swap(A, 10**17)
    through = gapped.swap(A, 10**17)

    assert through.amount_in > first.amount_in
    assert -180 <= first.pool.tick or first.pool.liquidity == 0
    assert gapped.quote_in(A, first.amount_in) == first.amount_out


def test_a_partial_fill_is_told_apart() -> None:
    """Past the last liquidity QuoterV2 answers with what there is; swap_in refuses it."""
    taken, given = pool().fill_in(A, 10**20)

    assert pool().quote_in(A, 10**20) == given
    assert taken < 10**20
    with pytest.raises(PoolError, match=f"{POOL}: amount_in: liquidity ends after {taken}"):
        pool().swap_in(A, 10**20)


def test_exact_input_and_exact_output_agree(seed: int) -> None:
    """What an exact output costs buys at least that output, and one unit less does not."""
    rng = random.Random(seed)
    for _ in range(200):
        token_in, token_out = rng.choice([(A, B), (B, A)])
        wanted = rng.randrange(1000, 10**15)
        cost = pool().quote_out(token_out, wanted)

        assert pool().quote_in(token_in, cost) >= wanted
        assert pool().quote_in(token_in, cost - 2) <= wanted


def test_swap_in_and_quote_in_agree_and_leave_the_pool_alone() -> None:
    """A swap gives the quoted amount and a new value; the old one is unchanged."""
    before = pool()
    amount, after = before.swap_in(A, 10**15)

    assert amount == before.quote_in(A, 10**15)
    assert (before, after == before) == (pool(), False)
    assert after.kind is PoolKind.CONCENTRATED


class TestKnownRange:
    """A pool of which only some bitmap words were read."""

    ticks = ((-600_000, L), (-60, L), (60, -L), (600_000, -L))
    whole = pool(liquidity=2 * L, ticks=ticks)
    part = pool(liquidity=2 * L, ticks=ticks[1:3], known=(-61_440, 61_380))

    @pytest.mark.parametrize("token", [A, B])
    def test_inside_it_quotes_alike(self, token: Address) -> None:
        """A swap that ends inside the known words needs no other."""
        assert self.part.quote_in(token, 10**18) == self.whole.quote_in(token, 10**18)
        assert self.part.quote_out(token, 10**17) == self.whole.quote_out(token, 10**17)

    @pytest.mark.parametrize("token", [A, B])
    def test_beyond_it_refuses_instead_of_guessing(self, token: Address) -> None:
        """A swap that would leave the known words fails and says so."""
        with pytest.raises(PoolError, match="ticks: the swap leaves the known ticks"):
            self.part.quote_in(token, 10**23)
        with pytest.raises(PoolError, match="ticks: the swap leaves the known ticks"):
            self.part.quote_out(token, 2 * 10**19)

    @pytest.mark.parametrize("known", [(2, 61_380), (-61_440, -1)])
    @pytest.mark.parametrize("token", [A, B])
    def test_a_price_beyond_it_refuses_either_way(
        self, token: Address, known: tuple[int, int]
    ) -> None:
        """The way back into the known ticks leads over unknown ones."""
        ticks = tuple(at for at in self.part.ticks if known[0] <= at[0] <= known[1])
        beside = msgspec.structs.replace(self.part, ticks=ticks, known=known)

        with pytest.raises(PoolError, match=r"known: .* does not reach the price, whose tick is 0"):
            beside.quote_in(token, 10**15)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"token0": B, "token1": A}, "token0"),
        ({"token1": A}, "token0"),
        ({"fee_ppm": 10**6}, "fee_ppm"),
        ({"fee_ppm": -1}, "fee_ppm"),
        ({"tick_spacing": 0}, "tick_spacing"),
        ({"liquidity": 2**128}, "liquidity"),
        ({"liquidity": -1}, "liquidity"),
        ({"sqrt_price_x96": MIN_SQRT_PRICE - 1}, "sqrt_price_x96"),
        ({"sqrt_price_x96": MAX_SQRT_PRICE}, "sqrt_price_x96"),
        ({"tick": 1}, "tick"),
        ({"tick": -2}, "tick"),
        ({"ticks": ((60, -L), (-60, L))}, "ticks"),
        ({"ticks": ((60, 1), (60, 1))}, "ticks"),
        ({"ticks": ((61, 1),)}, "ticks"),
        ({"ticks": ((887_280, 1),)}, "ticks"),
        ({"ticks": ((60, 2**127),)}, "ticks"),
        ({"known": (MIN_TICK - 1, MAX_TICK)}, "known"),
        ({"known": (10, -10)}, "known"),
    ],
)
def test_impossible_states_are_refused(changes: dict[str, Any], field: str) -> None:
    """A state that the contract could not hold names the pool and the field."""
    with pytest.raises(PoolError, match=f"pool {POOL}: {field}: "):
        pool(**changes)


def test_an_id_with_capitals_is_refused() -> None:
    """Logs name a pool in lower case: one of another name would never hear of its own."""
    with pytest.raises(PoolError, match=r"id: 0xaB.* has capitals; write it in lower case"):
        pool(id="0x" + "aB" * 20)


def test_the_tick_below_a_crossed_boundary_is_a_valid_state() -> None:
    """After crossing a tick downwards exactly, the contract stores the tick below it."""
    assert pool(tick=-1).tick == -1


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda p: p.quote_in(C, 1), "token_in"),
        (lambda p: p.quote_out(C, 1), "token_out"),
        (lambda p: p.mid_price(C), "token_in"),
        (lambda p: p.quote_in(A, 0), "amount_in"),
        (lambda p: p.quote_in(A, -1), "amount_in"),
        (lambda p: p.quote_in(A, 2**255), "amount_in"),
        (lambda p: p.quote_out(A, 0), "amount_out"),
        (lambda p: p.quote_out(A, 2**255), "amount_out"),
        (lambda p: p.quote_out(B, 10**18), "amount_out"),
        (lambda p: p.quote_in(A, 1, sqrt_price_limit_x96=2**96), "sqrt_price_limit_x96"),
        (lambda p: p.quote_in(B, 1, sqrt_price_limit_x96=2**96), "sqrt_price_limit_x96"),
        (lambda p: p.quote_in(A, 1, sqrt_price_limit_x96=MIN_SQRT_PRICE), "sqrt_price_limit_x96"),
        (lambda p: p.quote_in(B, 1, sqrt_price_limit_x96=MAX_SQRT_PRICE), "sqrt_price_limit_x96"),
    ],
)
def test_impossible_questions_are_refused(
    ask: Callable[[Concentrated], object], field: str
) -> None:
    """A question that the contract would revert on names the pool and the argument."""
    with pytest.raises(PoolError, match=f"pool {POOL}: {field}: "):
        ask(pool())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"liquidity": 0, "ticks": ()}, "liquidity"),
        ({"liquidity": 0, "ticks": ((60, L), (120, -L))}, "liquidity"),
        ({"sqrt_price_x96": 0}, "sqrt_price_x96"),
        ({"liquidity": 1, "ticks": ((-60, 2), (60, -1))}, "ticks"),
    ],
)
def test_a_pool_without_liquidity_is_refused(changes: dict[str, Any], field: str) -> None:
    """No liquidity, none in this direction, not initialised, or ticks that do not add up."""
    with pytest.raises(PoolError, match=f"pool {POOL}: {field}: "):
        pool(**changes).quote_in(A, 10**6)


def test_mid_price_is_before_fees_and_inverts() -> None:
    """The mid price is raw units out per raw unit in, whichever way one looks."""
    shifted = pool(sqrt_price_x96=2 * 2**96, tick=13863, ticks=((13800, L), (13920, -L)))

    assert shifted.mid_price(A) == 4.0
    assert shifted.mid_price(B) == 0.25
    with pytest.raises(PoolError, match="sqrt_price_x96"):
        pool(sqrt_price_x96=0).mid_price(A)


def test_a_pool_survives_encoding() -> None:
    """States are plain values: encoded and decoded they are equal."""
    assert msgspec.json.decode(msgspec.json.encode(pool()), type=Concentrated) == pool()
