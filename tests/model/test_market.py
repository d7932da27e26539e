import random

import msgspec
import pytest

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import PoolError
from toolkit.model.market import Hop, PoolId, PoolKey, PoolKind, Route, Token

A = Address("0x" + "aa" * 20)


def token(transfer_fee_ppm: int) -> Token:
    return Token(address=A, symbol="A", decimals=18, transfer_fee_ppm=transfer_fee_ppm)


@pytest.mark.parametrize("fee", [0, 1, 10_000, 333_333, 500_000, 999_999])
def test_what_is_sent_is_the_least_that_arrives(fee: int) -> None:
    """Of what `sending_up` says enough arrives, and of one unit less too little."""
    rng = random.Random(fee)
    for wanted in [*range(1, 50), *(int(10 ** rng.uniform(1, 40)) for _ in range(100))]:
        sent = token(fee).sending_up(wanted)

        assert token(fee).arriving_up(sent) >= wanted
        assert token(fee).arriving_up(sent - 1) < wanted


def test_a_fee_is_rounded_down() -> None:
    """One percent of 199 is 1: 198 arrive; what bears no fee arrives whole."""
    assert [198, 99, 99, 1] == [token(10_000).arriving_up(sent) for sent in (199, 100, 99, 1)]
    assert 199 == token(0).arriving_up(199) == token(0).sending_up(199)


@pytest.mark.parametrize("fee", [-1, 10**6])
def test_a_transfer_of_which_nothing_arrives_is_no_token(fee: int) -> None:
    """A fee of everything or less than nothing names token and field."""
    with pytest.raises(PoolError, match=rf"token {A}: transfer_fee_ppm: {fee} is not between"):
        token(fee)


def test_a_token_without_a_fee_is_written_as_ever() -> None:
    """Journals of before a token's fee was known decode, and are written alike."""
    old = b'{"address":"0x%b","symbol":"A","decimals":18}' % (b"aa" * 20)

    assert token(0) == msgspec.json.decode(old, type=Token)
    assert old == msgspec.json.encode(token(0))


def route(token_out: Address, amount_out: int, gas_cost: int, bound: int | None) -> Route:
    return Route(
        token_in=A,
        token_out=token_out,
        amount_in=1000,
        amount_out=amount_out,
        hops=(),
        block_hash=Hash("0x" + "11" * 32),
        block_number=1,
        gas_cost=gas_cost,
        bound=bound,
    )


def test_what_a_route_leaves_is_after_gas_and_beside_its_bound() -> None:
    """A cycle leaves its profit less gas, a swap its amount less gas; the gap is to the bound."""
    cycle, swap = route(A, 1110, 10, 125), route(Address("0x" + "bb" * 20), 1110, 10, 1100)

    assert (100, 2000.0) == (cycle.net, cycle.gap_bps)
    assert (1100, 0.0) == (swap.net, swap.gap_bps)
    assert route(A, 1110, 10, None).gap_bps is None
    assert route(A, 1000, 0, 0).gap_bps == 0.0


def hop(pool: PoolId, key: PoolKey | None = None) -> Hop:
    return Hop(
        pool=pool,
        kind=PoolKind.CONCENTRATED,
        token_in=A,
        token_out=A,
        amount_in=1,
        amount_out=2,
        fee_ppm=3,
        key=key,
    )


def test_a_swap_calls_its_pool_or_the_manager_of_its_key() -> None:
    """A pool with an address is called itself, another by its key only."""
    number = Hash("0x" + "44" * 32)
    manager = Address("0x" + "55" * 20)
    key = PoolKey(fee=3, tick_spacing=60, hooks=A, manager=manager)

    assert (A, manager) == (hop(A).contract, hop(number, key).contract)
    with pytest.raises(PoolError, match=f"pool {number}: key: missing"):
        _ = hop(number).contract


def test_a_swap_without_a_key_is_written_as_ever() -> None:
    """Journals of before V4 pools could be traded in decode, and are written alike."""
    old = (
        b'{"pool":"%b","kind":"concentrated","token_in":"%b","token_out":"%b","amount_in":1,'
        b'"amount_out":2,"fee_ppm":3}' % ((b"0x" + b"aa" * 20,) * 3)
    )

    assert hop(A) == msgspec.json.decode(old, type=Hop)
    assert old == msgspec.json.encode(hop(A))
