import msgspec
import pytest

from scripts.bench.simulator import Refused, simulate
from tests.routing.graphs import TOKENS, snapshot
from tests.routing.settling.test_repair import constant
from toolkit.model.errors import PoolError
from toolkit.model.market import Hop, PoolKind

A, B, C, *_ = TOKENS
POOL = constant(1, (A, B), 10**24, 10**24)
TAKEN = snapshot(POOL)


def hop(amount_in: int, amount_out: int) -> Hop:
    return Hop(
        pool=POOL.id,
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=A,
        token_out=B,
        amount_in=amount_in,
        amount_out=amount_out,
        fee_ppm=0,
    )


def test_balances_follow_the_pools_as_the_hops_leave_them() -> None:
    """The second hop through a pool gets what the first left."""
    first, after = POOL.swap_in(A, 10**20)
    second, _ = after.swap_in(A, 10**20)

    ended = simulate(TAKEN, [hop(10**20, first), hop(10**20, second)], {A: 3 * 10**20, C: 7})

    assert {A: 10**20, B: first + second, C: 7} == ended
    assert second < first


def test_a_short_token_and_a_wrong_amount_are_refused() -> None:
    """By a unit."""
    given = POOL.quote_in(A, 1000)

    with pytest.raises(Refused, match=r"hop 0: 1000 of .* are needed, 999 are there"):
        simulate(TAKEN, [hop(1000, given)], {A: 999})
    with pytest.raises(Refused, match=f"gives {given}, the hop says {given + 1}"):
        simulate(TAKEN, [hop(1000, given + 1)], {A: 1000})
    with pytest.raises(Refused, match="has other tokens"):
        simulate(TAKEN, [msgspec.structs.replace(hop(1000, given), token_out=C)], {A: 1000})
    with pytest.raises(PoolError, match="not among the 0 pools"):
        simulate(snapshot(), [hop(1000, given)], {A: 1000})
