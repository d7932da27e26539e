import secrets
from random import Random

import pytest

from toolkit.gas.rules import (
    MAX_TX_GAS,
    base_fee_after,
    base_fee_upper_bound,
    calldata_floor,
    charged_gas,
    intrinsic_gas,
    next_base_fee,
    prepaid_gas,
)
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Head
from toolkit.model.errors import ConfigError
from toolkit.model.tx import AccessListItem


def reference_base_fee(parent_base_fee: int, gas_used: int, gas_limit: int) -> int:
    """The specification's own wording of EIP-1559, kept apart from the implementation."""
    parent_gas_target = gas_limit // 2
    if gas_used == parent_gas_target:
        return parent_base_fee
    if gas_used > parent_gas_target:
        gas_used_delta = gas_used - parent_gas_target
        delta = max(parent_base_fee * gas_used_delta // parent_gas_target // 8, 1)
        return parent_base_fee + delta
    gas_used_delta = parent_gas_target - gas_used
    return parent_base_fee - parent_base_fee * gas_used_delta // parent_gas_target // 8


@pytest.mark.parametrize(
    ("base_fee", "gas_used", "gas_limit", "expected"),
    [
        (1_000_000_000, 15_000_000, 30_000_000, 1_000_000_000),
        (1_000_000_000, 30_000_000, 30_000_000, 1_125_000_000),
        (1_000_000_000, 0, 30_000_000, 875_000_000),
        (1_000_000_000, 21_000, 30_000_000, 875_175_000),
        (7, 30_000_000, 30_000_000, 8),  # the rise is at least one wei
        (0, 30_000_000, 30_000_000, 1),  # even from nothing
        (0, 0, 30_000_000, 0),
        (7, 0, 30_000_000, 7),  # the fall is rounded down to nothing
        (1_000_000_000, 30_000_001, 30_000_001, 1_125_000_008),  # an odd limit passes 1/8
    ],
)
def test_base_fee_after_follows_eip_1559(
    base_fee: int, gas_used: int, gas_limit: int, expected: int
) -> None:
    """The next base fee is the specification's integer for rows worked out by hand."""
    fee = base_fee_after(base_fee_per_gas=base_fee, gas_used=gas_used, gas_limit=gas_limit)

    assert expected == fee


def test_base_fee_after_equals_the_specification() -> None:
    """The next base fee equals the EIP's own procedure for 5,000 random headers."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    for _ in range(5_000):
        base_fee = rng.choice([rng.randrange(50), rng.randrange(10**12), rng.randrange(1 << 128)])
        gas_limit = rng.randrange(2, 60_000_000)
        gas_used = rng.choice([0, gas_limit, gas_limit // 2, rng.randrange(gas_limit + 1)])

        fee = base_fee_after(base_fee_per_gas=base_fee, gas_used=gas_used, gas_limit=gas_limit)

        assert reference_base_fee(base_fee, gas_used, gas_limit) == fee


def test_next_base_fee_reads_the_head() -> None:
    """A head's own fields decide the next base fee."""
    head = Head(
        number=1,
        hash=ZERO_HASH,
        parent_hash=ZERO_HASH,
        timestamp=0,
        base_fee_per_gas=1_000_000_000,
        gas_limit=30_000_000,
        gas_used=30_000_000,
    )

    fee = next_base_fee(head)

    assert 1_125_000_000 == fee


@pytest.mark.parametrize(
    ("base_fee", "gas_used", "gas_limit"), [(-1, 0, 100), (1, 101, 100), (1, -1, 100), (1, 0, 1)]
)
def test_impossible_headers_are_refused(base_fee: int, gas_used: int, gas_limit: int) -> None:
    """A header that no valid block has is refused with its values in the message."""
    with pytest.raises(ConfigError, match=f"gas limit {gas_limit}"):
        base_fee_after(base_fee_per_gas=base_fee, gas_used=gas_used, gas_limit=gas_limit)


def test_upper_bound_holds_for_every_chain_and_is_reached_by_full_blocks() -> None:
    """No sequence of valid blocks passes the bound; full ones under an even limit nearly meet it.

    Gas limits move as far as validity allows and every usage is drawn, the extremes included.
    """
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    for _ in range(500):
        start = fee = rng.choice([0, 1, rng.randrange(100), rng.randrange(10**12)])
        start_limit = limit = rng.randrange(5_000, 60_000_000)
        blocks = rng.randrange(1, 12)
        for _ in range(blocks):
            used = rng.choice([limit, limit, rng.randrange(limit + 1)])
            fee = base_fee_after(base_fee_per_gas=fee, gas_used=used, gas_limit=limit)
            step = limit // 1024 - 1
            limit = max(5_000, limit + rng.choice([-step, -step, 0, step]))

        bound = base_fee_upper_bound(start, gas_limit=start_limit, blocks=blocks)

        assert fee <= bound
        assert bound <= start * 1.1251**blocks + 8 * blocks


def test_upper_bound_of_no_blocks_is_the_fee() -> None:
    """A fee that is already fixed needs no headroom."""
    assert 17 == base_fee_upper_bound(17, gas_limit=30_000_000, blocks=0)


@pytest.mark.parametrize(
    ("data", "prepaid", "floor"),
    [
        ("0x", 21_000, 21_000),
        ("0x00", 21_004, 21_010),
        ("0xff", 21_016, 21_040),
        ("0x00ff", 21_020, 21_050),
    ],
)
def test_calldata_is_priced_by_tokens(data: str, prepaid: int, floor: int) -> None:
    """Zero bytes are one token and others four, at 4 gas prepaid and 10 gas in the floor."""
    assert prepaid == prepaid_gas(data=data)
    assert floor == calldata_floor(data)
    assert max(prepaid, floor) == intrinsic_gas(data=data)


def test_creation_access_list_and_authorizations_are_prepaid() -> None:
    """A creation pays 32,000 and 2 a started word, EIP-2930 entries and 7702 tuples their own."""
    access_list = (
        AccessListItem(address=ZERO_ADDRESS, storage_keys=(ZERO_HASH, ZERO_HASH)),
        AccessListItem(address=ZERO_ADDRESS),
    )

    assert 21_000 + 33 * 4 + 32_000 + 2 * 2 == prepaid_gas(data="0x" + "00" * 33, creates=True)
    assert 21_000 + 2 * 2_400 + 2 * 1_900 == prepaid_gas(access_list=access_list)
    assert 21_000 + 2 * 25_000 == prepaid_gas(authorizations=2)


def test_charged_gas_caps_the_refund_and_keeps_the_floor() -> None:
    """At most a fifth comes back (EIP-3529), and never below the calldata floor (EIP-7623)."""
    assert 100_000 - 4_800 == charged_gas(spent=100_000, refund=4_800, data="0x")
    assert 80_000 == charged_gas(spent=100_000, refund=40_000, data="0x")
    assert 21_000 + 40 * 1_000 == charged_gas(spent=38_000, refund=0, data="0x" + "ff" * 1_000)


def test_transaction_gas_cap_is_two_to_the_24() -> None:
    """EIP-7825's cap on one transaction is 16,777,216 gas."""
    assert 16_777_216 == MAX_TX_GAS
