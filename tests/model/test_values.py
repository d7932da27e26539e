"""Values normalise, hide secrets, and bump by the law of every client."""

import random
from typing import Any

import pytest

from toolkit.model.bundle import Bundle
from toolkit.model.chain import Hash, address, hash32
from toolkit.model.errors import ConfigError, NodeTimeout, RejectedByNode, ToolkitError
from toolkit.model.tx import (
    AccessListItem,
    Authorization,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    bumped,
)

RAW = "0x02f8c0ffee"


def test_addresses_and_hashes_are_lower_case_inside() -> None:
    """Any case is read; lower case is kept."""
    assert "0x" + "ab" * 20 == address("0x" + "AB" * 20)
    assert "0x" + "cd" * 32 == hash32("0x" + "Cd" * 32)


@pytest.mark.parametrize("text", ["", "0x", "ab" * 20, "0x" + "ab" * 19, "0x" + "zz" * 20])
def test_malformed_addresses_are_named(text: str) -> None:
    """A malformed address is quoted in the error."""
    with pytest.raises(ConfigError, match="40 hex digits") as caught:
        address(text)

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("read", [address, hash32])
@pytest.mark.parametrize("key", ["4f" * 32, "0x" + "4f" * 33, bytes.fromhex("4f" * 32)])
def test_what_may_be_a_key_is_not_quoted(read: Any, key: object) -> None:
    """A private key in the place of an address or a hash does not end up in the error."""
    with pytest.raises(ConfigError, match="hex digits") as caught:
        read(key)

    assert "4f" * 4 not in str(caught.value)
    assert "OOO" not in str(caught.value)


def test_raw_transactions_never_show_in_reprs() -> None:
    """Neither a signed transaction nor a bundle discloses its bytes."""
    unsigned = UnsignedTransaction(
        type=2, chain_id=1, nonce=0, to=None, value=0, data="0x", gas=21_000
    )
    signed = SignedTransaction(
        raw=RAW, hash=Hash("0x" + "00" * 32), sender=address("0x" + "11" * 20), unsigned=unsigned
    )
    bundle = Bundle(transactions=(RAW,), hashes=(signed.hash,), target_block=5)

    assert RAW not in repr(signed) + str(signed)
    assert RAW not in repr(bundle) + str(bundle)


def test_bump_law_satisfies_geth_and_reth() -> None:
    """A bump is strictly more and at least 110 %, rounded either way, down to 1 wei."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for old in [0, 1, 9, 10, 11, 99, 100, *(chance.randrange(10**13) for _ in range(500))]:
        new = bumped(old)

        assert new > old
        assert new >= old * 110 // 100
        assert 100 * new >= 110 * old
        assert new <= old * 110 // 100 + 1


def test_errors_that_are_also_builtins_inherit_both() -> None:
    """A bad setting is a ValueError, a node's silence a TimeoutError."""
    assert issubclass(ConfigError, ValueError)
    assert issubclass(NodeTimeout, TimeoutError)


def test_every_rejection_names_its_recovery() -> None:
    """Each way a node refuses a transaction says what a lane does about it."""
    kinds = RejectedByNode.__subclasses__()

    assert 10 == len(kinds)
    assert all("recovery" in kind.__dict__ or kind.__name__ == "GasLimitTooHigh" for kind in kinds)
    assert all(issubclass(kind, ToolkitError) for kind in kinds)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", 1.5),
        ("value", -1),
        ("value", None),
        ("value", True),
        ("value", 2**256),
        ("gas", -1),
        ("gas", 0),
        ("gas", 2.0),
        ("gas", 2**64),
        ("max_fee_per_gas", 2.5),
        ("max_fee_per_gas", 0),
        ("max_priority_fee_per_gas", "1"),
        ("to", "bob"),
        ("to", "0xzz"),
        ("sender", 5),
        ("data", "0x1"),
        ("data", "00"),
        ("data", "0x 00 "),
        ("data", b"\0"),
        ("access_list", ("x",)),
        ("access_list", ["x"]),
        ("type", 2.0),
    ],
)
def test_a_request_that_no_lane_could_sign_cannot_be_made(field: str, value: object) -> None:
    """A field of another type, or out of range, is refused with its name."""
    with pytest.raises(ConfigError, match=f"{field}|address"):
        TransactionRequest(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", 2**256),
        ("chain_id", -1),
        ("address", "0x12"),
        ("nonce", 2**64),
        ("nonce", float("nan")),
        ("y_parity", 256),
        ("y_parity", True),
        ("r", "1"),
        ("r", -1),
        ("s", 2**256),
        ("s", None),
    ],
)
def test_an_authorization_that_no_transaction_can_hold_cannot_be_made(
    field: str, value: object
) -> None:
    """Accepted into a lane it could neither be signed nor be got rid of, nor read back."""
    fields = {"chain_id": 1, "address": "0x" + "33" * 20, "nonce": 0, "y_parity": 0, "r": 1, "s": 1}

    with pytest.raises(ConfigError, match=field):
        Authorization(**fields | {field: value})  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize(
    ("account", "keys", "message"),
    [
        ("0x12", (), "address"),
        (None, (), "address"),
        ("0x" + "33" * 20, ("0x12",), "hash"),
        ("0x" + "33" * 20, (5,), "hash"),
        ("0x" + "33" * 20, "0x", "storage_keys"),
        ("0x" + "33" * 20, ["0x" + "00" * 32], "storage_keys"),
    ],
)
def test_an_access_list_item_is_an_address_and_words(
    account: object, keys: object, message: str
) -> None:
    """What is neither would be signed as something that no node can decode."""
    with pytest.raises(ConfigError, match=message):
        AccessListItem(address=account, storage_keys=keys)  # type: ignore[arg-type] # on purpose
