import msgspec
import pytest

from tests.routing.graphs import HEAD, TOKENS, snapshot
from tests.routing.settling.test_repair import constant
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import PoolError, StaleSnapshot
from toolkit.model.market import Hop, PoolKind, Route
from toolkit.pools.constant_product import MAX_RESERVE, ConstantProduct
from toolkit.pools.snapshot import Snapshot
from toolkit.routing.verify import Moved, verify

A, B, *_ = TOKENS
FIRST = constant(1, (A, B), 10**24, 10**24)
SECOND = constant(2, (A, B), 10**24, 2 * 10**24)
TAKEN = snapshot(FIRST, SECOND)


def route(*ways: tuple[ConstantProduct, Address, int]) -> Route:
    """Swaps one after the other, each with the amounts of the pools as the others leave them."""
    states = {FIRST.id: FIRST, SECOND.id: SECOND}
    hops = []
    for pool, token, amount in ways:
        given, states[pool.id] = states[pool.id].swap_in(token, amount)
        hops.append(
            Hop(
                pool=pool.id,
                kind=PoolKind.CONSTANT_PRODUCT,
                token_in=token,
                token_out=B if token == A else A,
                amount_in=amount,
                amount_out=given,
                fee_ppm=0,
            )
        )
    return Route(
        token_in=hops[0].token_in,
        token_out=hops[-1].token_out,
        amount_in=hops[0].amount_in,
        amount_out=hops[-1].amount_out,
        hops=tuple(hops),
        block_hash=HEAD.hash,
        block_number=HEAD.number,
    )


def with_reserve(pool: ConstantProduct, reserve0: int) -> Snapshot:
    return snapshot(
        *(
            msgspec.structs.replace(one, reserve0=reserve0) if one is pool else one
            for one in (FIRST, SECOND)
        )
    )


def test_a_route_of_the_same_pools_has_not_moved() -> None:
    """Also where two hops go through one pool, the second on what the first leaves."""
    there_and_back = route((SECOND, A, 10**20), (FIRST, B, 10**20), (SECOND, A, 10**18))

    assert verify(there_and_back, TAKEN, same_block=True) == ()


def test_the_hop_that_moved_is_named_with_the_wei() -> None:
    """Hops through other pools are as they were, even where they spend what it brings."""
    asked = route((SECOND, A, 10**20), (FIRST, B, 10**20))
    now = with_reserve(SECOND, 10**24 + 10**18)
    said = asked.hops[0].amount_out
    gives = now.pools[SECOND.id].quote_in(A, 10**20)

    assert verify(asked, now) == (
        Moved(hop=0, pool=SECOND.id, said=said, now=gives, difference=gives - said),
    )
    assert gives < said


def test_a_later_hop_through_a_pool_that_moved_is_judged_on_what_the_first_leaves() -> None:
    """Both are named, and the second by what it gives after the first."""
    asked = route((SECOND, A, 10**20), (FIRST, B, 10**20), (SECOND, A, 10**18))
    now = with_reserve(SECOND, 10**24 - 10**18)
    _, after = now.pools[SECOND.id].swap_in(A, 10**20)

    first, last = verify(asked, now)

    assert (0, 2) == (first.hop, last.hop)
    assert after.quote_in(A, 10**18) == last.now
    assert last.now - last.said == last.difference > 0


def test_a_hop_that_the_pool_no_longer_takes_gives_nothing() -> None:
    """Its pool says why, and the hops after it are looked at all the same."""
    asked = route((FIRST, B, 10**20), (SECOND, A, 10**20))
    now = snapshot(msgspec.structs.replace(FIRST, reserve1=MAX_RESERVE), SECOND)

    (moved,) = verify(asked, now)

    assert (0, 0, -asked.hops[0].amount_out) == (moved.hop, moved.now, moved.difference)
    assert "OVERFLOW" in moved.why


def test_another_block_is_stale_only_where_the_same_one_is_asked_for() -> None:
    """The error names both blocks."""
    asked = route((FIRST, A, 10**20))
    later = msgspec.structs.replace(
        TAKEN, block=msgspec.structs.replace(HEAD, number=10, hash=Hash("0x" + "33" * 32))
    )

    assert verify(asked, later) == ()
    with pytest.raises(StaleSnapshot, match=f"of block 9 .{HEAD.hash}.*of 10 .0x33"):
        verify(asked, later, same_block=True)


def test_a_pool_that_is_gone_is_an_error() -> None:
    """Before any hop is judged."""
    with pytest.raises(PoolError, match=SECOND.id):
        verify(route((FIRST, A, 10**20), (SECOND, A, 1000)), snapshot(FIRST))
