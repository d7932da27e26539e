import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.pools.venue import ME, Refused, Venue, calldata
from toolkit.model.chain import Address
from toolkit.model.errors import PoolError
from toolkit.model.market import PoolKind
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct

A, B, C, POOL = (Address("0x" + digit * 40) for digit in "abc1")


def pool(**changes: Any) -> ConstantProduct:
    """A pool of 10^18 and 2 x 10^18, changed as asked."""
    fields: dict[str, Any] = {
        "id": POOL,
        "token0": A,
        "token1": B,
        "reserve0": 10**18,
        "reserve1": 2 * 10**18,
    }
    return ConstantProduct(**(fields | changes))


def random_pool(rng: random.Random) -> ConstantProduct:
    return pool(
        reserve0=int(2 ** rng.uniform(1, 112)) - 1, reserve1=int(2 ** rng.uniform(1, 112)) - 1
    )


def test_every_quote_is_the_routers(revm: Callable[[], Venue], seed: int) -> None:
    """Random reserves and amounts: getAmountOut and getAmountIn of the genuine Router02."""
    rng = random.Random(seed)
    venue = revm()
    answered = 0
    for _ in range(600):
        state = random_pool(rng)
        token_in, token_out, reserves = rng.choice(
            [
                (A, B, (state.reserve0, state.reserve1)),
                (B, A, (state.reserve1, state.reserve0)),
            ]
        )
        amount = int(2 ** rng.uniform(0, 112))
        exact_in = rng.random() < 0.5
        name = "getAmountOut" if exact_in else "getAmountIn"
        try:
            theirs = venue.ask(
                venue.router2, f"{name}(uint256,uint256,uint256)", amount, *reserves, out="uint256"
            )
        except Refused:
            theirs = None
        quote, token = (state.quote_in, token_in) if exact_in else (state.quote_out, token_out)
        try:
            ours: int | None = quote(token, amount)
        except PoolError:
            ours = None
            grown = reserves[0] + (amount if exact_in or theirs is None else theirs)
            # The library does not look at uint112; the pair reverts there, and so do we.
            assert theirs is None or grown > MAX_RESERVE, (seed, state, exact_in, amount)
            continue
        answered += 1

        assert ours == theirs, (seed, state, exact_in, amount)
    assert answered > 200


def test_the_pair_gives_the_quote_and_not_one_unit_more(
    revm: Callable[[], Venue], seed: int
) -> None:
    """Real swaps: the pair's K check passes at the quoted output, fails at one more."""
    rng = random.Random(seed)
    venue = revm()
    pair = venue.make_pair(10**20, 3 * 10**15)
    state = venue.read_pair(pair)
    for _ in range(100):
        down = rng.random() < 0.5
        token_in = state.token0 if down else state.token1
        amount = int(10 ** rng.uniform(6, 16))
        given, after = state.swap_in(token_in, amount)
        venue.machine.send(token_in, calldata("transfer(address,uint256)", pair, amount))
        for extra in (1, 0):
            outputs = (0, given + extra) if down else (given + extra, 0)
            swap = calldata("swap(uint256,uint256,address,bytes)", *outputs, ME, b"")
            if extra:
                with pytest.raises(Refused, match=b" K\0".hex()):
                    venue.machine.send(pair, swap)
            else:
                venue.machine.send(pair, swap)
        state = venue.read_pair(pair)

        assert after == state, seed


def test_reserves_beyond_uint112_fail_where_the_pair_reverts(revm: Callable[[], Venue]) -> None:
    """The last unit that still fits uint112 is quoted and swapped; the next one is refused."""
    venue = revm()
    pair = venue.make_pair(2**111, 2**111)
    state = venue.read_pair(pair)
    room = MAX_RESERVE - state.reserve0
    given = state.quote_in(state.token0, room)
    swap = calldata("swap(uint256,uint256,address,bytes)", 0, given, ME, b"")

    with pytest.raises(PoolError, match="uint112"):
        state.quote_in(state.token0, room + 1)
    venue.machine.send(state.token0, calldata("transfer(address,uint256)", pair, room + 1))
    with pytest.raises(Refused, match=b"OVERFLOW".hex()):
        venue.machine.send(pair, swap)


def test_swaps_on_anvil_end_in_the_predicted_reserves(twin: tuple[str, Venue], seed: int) -> None:
    """On a node, exact-in and exact-out swaps through the router leave the predicted state."""
    rng = random.Random(seed)
    venue = twin[1]
    pair = venue.make_pair(5 * 10**21, 7 * 10**18)
    for _ in range(16):
        state = venue.read_pair(pair)
        path = [state.token0, state.token1][:: rng.choice([1, -1])]
        amount = int(10 ** rng.uniform(9, 17))
        if rng.random() < 0.5:
            name = "swapExactTokensForTokens"
            _, after = state.swap_in(path[0], amount)
            bound = 0
        else:
            name = "swapTokensForExactTokens"
            _, after = state.swap_out(path[1], amount)
            bound = 2**200
        venue.machine.send(
            venue.router2,
            calldata(
                f"{name}(uint256,uint256,address[],address,uint256)", amount, bound, path, ME, 2**64
            ),
        )

        assert venue.read_pair(pair) == after, seed


@pytest.mark.parametrize(
    ("fee_ppm", "numerator", "denominator"),
    [(3000, 997, 1000), (2500, 9975, 10000), (0, 1, 1), (10_000, 99, 100)],
)
def test_any_fee_equals_its_forks_fraction(
    fee_ppm: int, numerator: int, denominator: int, seed: int
) -> None:
    """Parts per million round like the fraction a fork hard-codes."""
    rng = random.Random(seed)
    for _ in range(300):
        state = msgspec.structs.replace(random_pool(rng), fee_ppm=fee_ppm)
        amount = rng.randrange(1, 10**15)
        if not (state.reserve0 and state.reserve1) or state.reserve0 + amount > MAX_RESERVE:
            continue
        paid = amount * numerator
        expected = paid * state.reserve1 // (state.reserve0 * denominator + paid)

        assert state.quote_in(A, amount) == expected, (seed, state, amount)


def test_exact_output_costs_at_most_one_unit_too_much(seed: int) -> None:
    """getAmountIn buys at least the output; two units less buys less."""
    rng = random.Random(seed)
    for _ in range(300):
        wanted = rng.randrange(1, 10**17)
        cost = pool().quote_out(B, wanted)

        assert pool().quote_in(A, cost) >= wanted
        assert cost <= 2 or pool().quote_in(A, cost - 2) < wanted


def test_a_swap_leaves_the_pool_alone() -> None:
    """A swap gives a new value with the amounts moved."""
    before = pool()
    given, after = before.swap_in(B, 10**9)

    assert (after.reserve0, after.reserve1) == (10**18 - given, 2 * 10**18 + 10**9)
    assert before == pool()
    assert after.kind is PoolKind.CONSTANT_PRODUCT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"token0": B, "token1": A}, "token0"),
        ({"fee_ppm": 10**6}, "fee_ppm"),
        ({"reserve0": -1}, "reserve0"),
        ({"reserve1": 2**112}, "reserve1"),
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


@pytest.mark.parametrize(
    ("changes", "ask", "field"),
    [
        ({"reserve0": 0}, lambda p: p.quote_in(A, 1), "reserve0"),
        ({"reserve1": 0}, lambda p: p.quote_out(B, 1), "reserve1"),
        ({"reserve1": 0}, lambda p: p.mid_price(A), "reserve1"),
        ({}, lambda p: p.quote_in(C, 1), "token_in"),
        ({}, lambda p: p.quote_out(C, 1), "token_out"),
        ({}, lambda p: p.quote_in(A, 0), "amount_in"),
        ({}, lambda p: p.quote_in(A, -5), "amount_in"),
        ({}, lambda p: p.quote_in(A, 2**128), "amount_in"),
        ({}, lambda p: p.quote_in(A, 2**255), "amount_in"),
        ({}, lambda p: p.quote_out(A, 0), "amount_out"),
        ({}, lambda p: p.quote_out(A, 10**18), "amount_out"),
        ({"reserve0": 2**111}, lambda p: p.quote_out(B, 2 * 10**18 - 1), "amount_in"),
        ({"reserve0": 10**30}, lambda p: p.swap_in(A, 1), "amount_in"),
    ],
)
def test_impossible_questions_are_refused(
    changes: dict[str, Any], ask: Callable[[ConstantProduct], object], field: str
) -> None:
    """A question that the pair would revert on names the pool and the field."""
    with pytest.raises(PoolError, match=f"pool {POOL}: {field}: "):
        ask(pool(**changes))


def test_mid_price_is_before_fees_and_inverts() -> None:
    """The mid price is raw units out per raw unit in, whichever way one looks."""
    assert (pool().mid_price(A), pool().mid_price(B)) == (2.0, 0.5)
