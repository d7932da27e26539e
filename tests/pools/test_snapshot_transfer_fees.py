"""Tokens that keep a part of every transfer, on the genuine contracts.

The token is Uniswap's own DeflatingERC20, which burns a hundredth, rounded down, of what is sent.
"""

import itertools
import json
import random
from collections.abc import Callable
from functools import partial

import pytest

from tests.pools.venue import ME, UNISWAP, Refused, Revm, Venue, calldata
from tests.pools.venue_v4 import VenueV4
from toolkit.chain.hashing import keccak
from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.model.errors import PoolError
from toolkit.model.market import Token
from toolkit.pools.snapshot import Pool, PoolSpec, Snapshot

DEFLATING = "v2-periphery/build/DeflatingERC20.json"
FEE_PPM = 10_000
HEAD = Head(
    number=1,
    hash=ZERO_HASH,
    parent_hash=ZERO_HASH,
    timestamp=1,
    base_fee_per_gas=0,
    gas_limit=0,
    gas_used=0,
)


TAXED = [(True, False), (False, True), (True, True)]


def burn(venue: Venue, *, burning: tuple[bool, bool]) -> None:
    """Give tokens of the venue the code of the deflating one; both keep balances alike."""
    from pyrevm import AccountInfo

    assert isinstance(venue.machine, Revm)
    built = json.loads((UNISWAP / DEFLATING).read_text())
    code = bytes.fromhex(built["evm"]["deployedBytecode"]["object"])
    for token in itertools.compress((venue.token0, venue.token1), burning):
        venue.machine.evm.insert_account_info(token, AccountInfo(nonce=1, code=code))


def snapshot(venue: Venue, pool: Pool, *, burning: tuple[bool, bool]) -> Snapshot:
    """The pool, its tokens described as they are."""
    tokens = {
        token: Token(
            address=token, symbol="DTT", decimals=18, transfer_fee_ppm=FEE_PPM if burns else 0
        )
        for token, burns in zip((venue.token0, venue.token1), burning, strict=True)
    }
    return Snapshot(block=HEAD, tokens=tokens, pools={pool.id: pool})


def moved(venue: Venue, act: Callable[[], object]) -> dict[Address, int]:
    """What an act adds to the trader's balance of each token."""

    def held() -> dict[Address, int]:
        return {
            token: venue.ask(token, "balanceOf(address)", ME, out="uint256")
            for token in (venue.token0, venue.token1)
        }

    before = held()
    act()
    return {token: balance - before[token] for token, balance in held().items()}


def swap2(venue: Venue, path: list[Address], amount: int) -> int:
    """What the trader has more after the router's swap for tokens that keep a part."""
    name = "swapExactTokensForTokensSupportingFeeOnTransferTokens"
    types = "(uint256,uint256,address[],address,uint256)"
    data = calldata(name + types, amount, 0, path, ME, 2**64)
    return moved(venue, partial(venue.machine.send, venue.router2, data))[path[1]]


@pytest.mark.parametrize("burning", TAXED)
def test_a_v2_swap_gives_the_quote_to_the_unit(
    revm: Callable[[], Venue], seed: int, burning: tuple[bool, bool]
) -> None:
    """Exact in: what the router's trader gets, whichever token keeps a part; small amounts too."""
    rng = random.Random(seed)
    venue = revm()
    pair = venue.make_pair(10**20, 3 * 10**17)
    burn(venue, burning=burning)
    for _ in range(40):
        taken = snapshot(venue, venue.read_pair(pair), burning=burning)
        path = [venue.token0, venue.token1][:: rng.choice([1, -1])]
        amount = int(10 ** rng.uniform(3, 17))

        assert taken.quote_in(pair, path[0], amount) == swap2(venue, path, amount), seed


@pytest.mark.parametrize("burning", TAXED)
def test_a_v2_exact_output_costs_the_least_that_delivers_it(
    revm: Callable[[], Venue], seed: int, burning: tuple[bool, bool]
) -> None:
    """Exact out: what it costs delivers the amount on the pair; one unit less does not."""
    rng = random.Random(seed)
    venue = revm()
    pair = venue.make_pair(10**20, 3 * 10**17)
    burn(venue, burning=burning)
    for _ in range(40):
        taken = snapshot(venue, venue.read_pair(pair), burning=burning)
        path = [venue.token0, venue.token1][:: rng.choice([1, -1])]
        wanted = int(10 ** rng.uniform(1, 16))
        cost = taken.quote_out(pair, path[1], wanted)

        assert cost == 1 or taken.quote_in(pair, path[0], cost - 1) < wanted, seed
        assert swap2(venue, path, cost) >= wanted, seed


@pytest.mark.parametrize("exact_in", [True, False])
def test_a_v3_pool_refuses_an_input_that_arrives_short(
    revm: Callable[[], Venue],
    exact_in: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The pool's own balance check reverts (IIA), and the quote says so with token and pool."""
    venue = revm()
    pool = venue.make_pool(3000, 1234)
    venue.mint(3000, -6000, 6000, 10**20)
    taken = snapshot(venue, venue.read_pool(pool, 3000, {-6000, 6000}), burning=(True, False))
    burn(venue, burning=(True, False))
    ask = (
        partial(taken.quote_in, pool, venue.token0, 10**15)
        if exact_in
        else partial(taken.quote_out, pool, venue.token1, 10**15)
    )

    with pytest.raises(Refused, match=b"IIA".hex()):
        venue.swap3(3000, venue.token0, 10**15, exact_in=exact_in)
    with pytest.raises(PoolError, match=rf"pool {pool}: token_in: {venue.token0} .*10000 ppm.*IIA"):
        ask()


@pytest.mark.parametrize("exact_in", [True, False])
def test_a_v4_manager_refuses_an_input_that_arrives_short(
    revm: Callable[[], Venue],
    exact_in: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What was settled is less than what is owed, and the quote says so with token and pool."""
    venue = VenueV4(revm())
    spec, tokens = _filled_v4(venue)
    taken = snapshot(venue.venue, venue.read_pool(spec, {-6000, 6000}), burning=(True, False))
    burn(venue.venue, burning=(True, False))
    ask = (
        partial(taken.quote_in, spec.id, tokens[0], 10**15)
        if exact_in
        else partial(taken.quote_out, spec.id, tokens[1], 10**15)
    )

    with pytest.raises(Refused, match=keccak(b"CurrencyNotSettled()")[:4].hex()):
        venue.swap(spec, -(10**15) if exact_in else 10**15, zero_for_one=True)
    with pytest.raises(PoolError, match=rf"pool {spec.id}: token_in: {tokens[0]} .*NotSettled"):
        ask()


def test_a_v4_pool_gives_a_token_that_keeps_a_part(revm: Callable[[], Venue], seed: int) -> None:
    """Bought exactly in or out, the trader has the quote, or at least what was asked for."""
    rng = random.Random(seed)
    venue = VenueV4(revm())
    spec, (token0, token1) = _filled_v4(venue)
    burning = (True, False)
    burn(venue.venue, burning=burning)
    for _ in range(10):
        taken = snapshot(venue.venue, venue.read_pool(spec, {-6000, 6000}), burning=burning)
        amount = int(10 ** rng.uniform(3, 18))
        quote = taken.quote_in(spec.id, token1, amount)
        sold = moved(venue.venue, partial(venue.swap, spec, -amount, zero_for_one=False))

        assert quote == sold[token0], seed
    for _ in range(10):
        taken = snapshot(venue.venue, venue.read_pool(spec, {-6000, 6000}), burning=burning)
        wanted = int(10 ** rng.uniform(1, 18))
        cost = taken.quote_out(spec.id, token0, wanted)
        sent = taken.tokens[token0].sending_up(wanted)
        bought = moved(venue.venue, partial(venue.swap, spec, sent, zero_for_one=False))

        assert cost == -bought[token1], seed
        assert wanted <= bought[token0] <= wanted + 1, seed


def _filled_v4(venue: VenueV4) -> tuple[PoolSpec, tuple[Address, Address]]:
    spec = venue.make_pool(3000, 60, 1234)
    venue.modify(spec, -6000, 6000, 10**21)
    return spec, (spec.token0, spec.token1)


def test_a_v3_pool_gives_a_token_that_keeps_a_part(revm: Callable[[], Venue], seed: int) -> None:
    """Bought exactly in or out, the trader has the quote, or at least what was asked for."""
    rng = random.Random(seed)
    venue = revm()
    pool = venue.make_pool(3000, 1234)
    venue.mint(3000, -6000, 6000, 10**20)
    burning = (True, False)
    burn(venue, burning=burning)
    for _ in range(10):
        taken = snapshot(venue, venue.read_pool(pool, 3000, {-6000, 6000}), burning=burning)
        amount = int(10 ** rng.uniform(3, 18))
        quote = taken.quote_in(pool, venue.token1, amount)
        sell = partial(venue.swap3, 3000, venue.token1, amount, exact_in=True)

        assert quote == moved(venue, sell)[venue.token0], seed
    for _ in range(10):
        taken = snapshot(venue, venue.read_pool(pool, 3000, {-6000, 6000}), burning=burning)
        wanted = int(10 ** rng.uniform(1, 18))
        cost = taken.quote_out(pool, venue.token0, wanted)
        buy = partial(
            venue.swap3,
            3000,
            venue.token1,
            taken.tokens[venue.token0].sending_up(wanted),
            exact_in=False,
        )
        change = moved(venue, buy)

        assert cost == -change[venue.token1], seed
        assert wanted <= change[venue.token0] <= wanted + 1, seed
