import random
import secrets

import msgspec
import pytest

from toolkit.model.chain import Address
from toolkit.model.tx import (
    AccessListItem,
    Authorization,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
    bumped,
)
from toolkit.tx import fees

ME = Address("0x" + "aa" * 20)
UNBOUNDED_WEI = 10**40


def _quote(cap: int, tip: int) -> FeeQuote:
    return FeeQuote(
        max_fee_per_gas=cap, max_priority_fee_per_gas=tip, base_fee_per_gas=1, for_block=1
    )


def _unsigned(cap: int, tip: int, *, gas: int = 50_000, kind: int = 2) -> UnsignedTransaction:
    return UnsignedTransaction(
        type=kind,
        chain_id=1,
        nonce=7,
        to=Address("0x" + "bb" * 20),
        value=5,
        data="0x1234",
        gas=gas,
        max_fee_per_gas=cap if kind == 2 else 0,
        max_priority_fee_per_gas=tip if kind == 2 else 0,
        gas_price=0 if kind == 2 else cap,
    )


def _geth(old: int, new: int) -> bool:
    """core/txpool/legacypool/list.go, Add: at least old * 110 / 100 rounded down, and above old."""
    return new > old and new >= old * 110 // 100


def _reth(old: int, new: int) -> bool:
    """transaction-pool/src/validate, is_underpriced: at least old * 110 / 100 rounded up."""
    return new >= -(-old * 110 // 100)


def _strict(old: int, new: int) -> bool:
    """Pools that want more than ten percent."""
    return new * 100 > old * 110


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (0, 1),
        (1, 2),
        (2, 3),
        (9, 10),
        (10, 12),
        (11, 13),
        (19, 21),
        (20, 23),
        (100, 111),
        (1_000_000_001, 1_100_000_002),
        (10**11, 110_000_000_001),
    ],
)
def test_the_smallest_bump(old: int, new: int) -> None:
    """One wei above ten percent, rounded so that every client takes it, down to 1 wei fees."""
    assert new == bumped(old)


def test_replacements_satisfy_every_pool_and_no_ceiling_is_passed() -> None:
    """Both fields rise enough for geth, reth and a strict pool, or there is no replacement."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    made = 0
    for _ in range(2_000):
        cap = rng.choice([rng.randint(1, 30), rng.randint(1, 10**12)])
        old = _unsigned(cap, rng.randint(0, cap), kind=rng.choice([0, 1, 2, 2]))
        market = rng.choice([rng.randint(1, 30), rng.randint(1, 10**12)])
        limit = rng.randint(1, 4 * cap) * old.gas
        quote = _quote(market, rng.randint(0, market))
        new = fees.replacement(old, quote, max_cost_wei=limit)
        if new is None:
            assert bumped(cap) * old.gas > limit
            continue
        made += 1
        before, after = (old.fee_cap, fees._tip(old)), (new.fee_cap, fees._tip(new))
        for rule in (_geth, _reth, _strict):
            assert all(rule(a, b) for a, b in zip(before, after, strict=True)), rule.__name__
        assert new.gas * new.fee_cap <= limit
        assert after[1] <= after[0]
        asked = fees.market(quote, old.type)[0]
        assert max(bumped(cap), min(asked, limit // old.gas)) == new.fee_cap
        same = {"max_fee_per_gas": 0, "max_priority_fee_per_gas": 0, "gas_price": 0}
        assert msgspec.structs.replace(old, **same) == msgspec.structs.replace(new, **same)
    assert made > 200


def test_a_replacement_never_passes_the_requests_own_cap() -> None:
    """The author's fee cap binds every attempt, not only the first."""
    old = _unsigned(100, 10)

    assert fees.replacement(old, _quote(500, 1), max_cost_wei=UNBOUNDED_WEI, own_cap=110) is None
    bounded = fees.replacement(old, _quote(500, 400), max_cost_wei=UNBOUNDED_WEI, own_cap=150)
    assert bounded is not None
    assert (150, 150) == (bounded.max_fee_per_gas, bounded.max_priority_fee_per_gas)


def test_a_cancellation_is_an_empty_self_transfer_that_outbids() -> None:
    """It keeps the nonce, pays nobody, carries nothing, and bumps both fields."""
    old = _unsigned(100, 10)

    cancel = fees.cancellation(old, _quote(50, 1), sender=ME, max_cost_wei=UNBOUNDED_WEI)

    assert cancel is not None
    assert (7, ME, 0, "0x", 21_000) == (
        cancel.nonce,
        cancel.to,
        cancel.value,
        cancel.data,
        cancel.gas,
    )
    assert (111, 12) == (cancel.max_fee_per_gas, cancel.max_priority_fee_per_gas)


def test_a_cancellation_has_its_own_smaller_cost() -> None:
    """A transfer costs 21,000 gas, so it can be outbid where the request itself cannot."""
    old = _unsigned(100, 10, gas=5_000_000)
    limit = 5_000_000 * 100

    assert fees.replacement(old, _quote(1, 1), max_cost_wei=limit) is None
    assert fees.cancellation(old, _quote(1, 1), sender=ME, max_cost_wei=limit) is not None


def test_first_attempt_takes_the_authors_fees_over_the_quote() -> None:
    """Set fields win, unset ones come from the quote, and a tip never exceeds its cap."""
    request = TransactionRequest(to=ME, gas=21_000)
    own = msgspec.structs.replace(request, max_fee_per_gas=30, max_priority_fee_per_gas=0)
    capped = msgspec.structs.replace(request, max_fee_per_gas=5)
    legacy = msgspec.structs.replace(request, type=0)

    def first(asked: TransactionRequest) -> UnsignedTransaction:
        return fees.first_attempt(asked, _quote(100, 9), chain_id=1, nonce=3)

    assert (100, 9) == (first(request).max_fee_per_gas, first(request).max_priority_fee_per_gas)
    assert (30, 0) == (first(own).max_fee_per_gas, first(own).max_priority_fee_per_gas)
    assert (5, 5) == (first(capped).max_fee_per_gas, first(capped).max_priority_fee_per_gas)
    assert (2 + 9, 0) == (first(legacy).gas_price, first(legacy).max_fee_per_gas)


GRANT = Authorization(chain_id=1, address=ME, nonce=0, y_parity=0, r=1, s=1)
LISTED = AccessListItem(address=ME)


@pytest.mark.parametrize("kind", [0, 1])
def test_what_pays_its_whole_price_bids_no_headroom(kind: int) -> None:
    """One price for both fields: the base fee after one more full block, and the tip."""
    request = TransactionRequest(to=ME, gas=21_000, type=kind)
    quote = FeeQuote(
        max_fee_per_gas=1_000, max_priority_fee_per_gas=7, base_fee_per_gas=100, for_block=1
    )
    first = fees.first_attempt(request, quote, chain_id=1, nonce=0)

    assert (113 + 7, 120, 0) == (first.gas_price, first.fee_cap, first.max_fee_per_gas)
    assert not fees.outbids(quote, first)
    capped = msgspec.structs.replace(quote, max_fee_per_gas=110)
    assert 110 == fees.first_attempt(request, capped, chain_id=1, nonce=0).gas_price
    own = msgspec.structs.replace(request, max_fee_per_gas=500)
    assert 500 == fees.first_attempt(own, quote, chain_id=1, nonce=0).gas_price
    risen = msgspec.structs.replace(quote, base_fee_per_gas=200)
    again = fees.replacement(first, risen, max_cost_wei=UNBOUNDED_WEI)
    assert again is not None
    assert 225 + 7 == again.gas_price


def test_a_set_code_transaction_keeps_its_delegations_but_not_in_its_cancellation() -> None:
    """Type 4 bids like type 2; what outbids it carries nothing and bumps both fields."""
    request = TransactionRequest(
        to=ME, gas=60_000, type=4, authorization_list=(GRANT,), access_list=(LISTED,)
    )
    first = fees.first_attempt(request, _quote(100, 10), chain_id=1, nonce=7)
    again = fees.replacement(first, _quote(100, 10), max_cost_wei=UNBOUNDED_WEI)
    cancel = fees.cancellation(first, _quote(100, 10), sender=ME, max_cost_wei=UNBOUNDED_WEI)

    assert again is not None
    assert cancel is not None
    assert ((GRANT,), (LISTED,), 4) == (again.authorization_list, again.access_list, again.type)
    assert ((), (), 2, 7) == (
        cancel.authorization_list,
        cancel.access_list,
        cancel.type,
        cancel.nonce,
    )
    for bid in (again, cancel):
        assert (111, 12) == (bid.max_fee_per_gas, bid.max_priority_fee_per_gas)


def test_another_payload_outbids_across_types() -> None:
    """Pools take a gas price as cap and tip, so both fields of what replaces it rise above it."""
    request = TransactionRequest(to=ME, gas=30_000, value=3)
    legacy = msgspec.structs.replace(request, type=0)

    newer = fees.revision(
        _unsigned(100, 0, kind=0), request, _quote(50, 1), max_cost_wei=UNBOUNDED_WEI
    )
    older = fees.revision(_unsigned(100, 95), legacy, _quote(50, 1), max_cost_wei=UNBOUNDED_WEI)

    assert newer is not None
    assert older is not None
    assert (111, 111, 3, 30_000, 7) == (
        newer.max_fee_per_gas,
        newer.max_priority_fee_per_gas,
        newer.value,
        newer.gas,
        newer.nonce,
    )
    assert (111, 0) == (older.gas_price, older.max_fee_per_gas)


def test_another_payload_obeys_its_own_cap_and_the_ceiling() -> None:
    """Where the bump does not fit below either, there is no attempt."""
    request = TransactionRequest(to=ME, gas=30_000, max_fee_per_gas=110)
    old = _unsigned(100, 10)

    assert fees.revision(old, request, _quote(50, 1), max_cost_wei=UNBOUNDED_WEI) is None
    roomy = msgspec.structs.replace(request, max_fee_per_gas=200)
    assert fees.revision(old, roomy, _quote(50, 1), max_cost_wei=30_000 * 110) is None
    bid = fees.revision(old, roomy, _quote(900, 1), max_cost_wei=UNBOUNDED_WEI)
    assert bid is not None
    assert 200 == bid.max_fee_per_gas


def test_a_floor_raises_a_quote_but_not_above_its_bound() -> None:
    """What the author wishes is bid up to the ceiling; what the market asks stays asked."""
    assert (30, 5) == _caps(fees.at_least(_quote(20, 5), _quote(30, 2), most=100))
    assert (25, 5) == _caps(fees.at_least(_quote(20, 5), _quote(30, 2), most=25))
    assert (20, 5) == _caps(fees.at_least(_quote(20, 5), _quote(30, 9), most=3))


def _caps(quote: FeeQuote) -> tuple[int, int]:
    return quote.max_fee_per_gas, quote.max_priority_fee_per_gas


@pytest.mark.parametrize(
    ("urgency", "left", "expected"),
    [
        (Urgency.RELAXED, None, Urgency.RELAXED),
        (Urgency.RELAXED, 10, Urgency.RELAXED),
        (Urgency.RELAXED, 9, Urgency.SOON),
        (Urgency.RELAXED, 2, Urgency.NEXT_BLOCK),
        (Urgency.SOON, 3, Urgency.SOON),
        (Urgency.SOON, 0, Urgency.NEXT_BLOCK),
        (Urgency.NEXT_BLOCK, 50, Urgency.NEXT_BLOCK),
    ],
)
def test_a_near_deadline_makes_urgent(
    urgency: Urgency, left: int | None, expected: Urgency
) -> None:
    """The fee follows the wish until the deadline asks for more."""
    assert expected is fees.urgency_by_deadline(urgency, blocks_left=left)
