import random
import secrets
from typing import Any

import pytest
from eth_account import Account
from hexbytes import HexBytes

from toolkit.chain.signer import LocalSigner
from toolkit.chain.tx_params import read_params, request_of
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError
from toolkit.model.tx import AccessListItem, TransactionRequest, UnsignedTransaction

TO = Address("0x" + "ab" * 20)
KEY = Hash("0x" + "0f" * 32)
SECRET = "0x" + "4c" * 32
GRANT = LocalSigner(SECRET).sign_authorization(chain_id=1, address=TO, nonce=3)
GRANTED: dict[str, Any] = {
    "chainId": 1,
    "address": TO,
    "nonce": 3,
    "yParity": GRANT.y_parity,
    "r": GRANT.r,
    "s": GRANT.s,
}


def test_integers_hex_and_bytes_mean_the_same() -> None:
    """web3 passes quantities and data around in several forms; all read alike."""
    plain = {"to": TO, "value": 10, "gas": 21_000, "data": "0x0102", "maxFeePerGas": 5, "nonce": 3}
    formed = {
        "to": bytes.fromhex(TO[2:]),
        "value": "0xa",
        "gas": "0x5208",
        "data": HexBytes("0x0102"),
        "maxFeePerGas": "0x5",
        "nonce": "0x3",
    }

    expected = TransactionRequest(to=TO, value=10, gas=21_000, data="0x0102", max_fee_per_gas=5)
    assert (expected, 3) == read_params(plain, chain_id=1) == read_params(formed, chain_id=1)


@pytest.mark.parametrize("to", [None, "", "0x", b""])
def test_nobody_to_send_to_creates_a_contract(to: object) -> None:
    """web3 writes a creation as an empty `to`."""
    assert read_params({"to": to, "data": "0x60"}, chain_id=1)[0].to is None


@pytest.mark.parametrize(
    ("params", "kind", "cap"),
    [
        ({}, 2, None),
        ({"maxFeePerGas": 7}, 2, 7),
        ({"gasPrice": 7}, 0, 7),
        ({"gasPrice": 7, "accessList": [{"address": TO, "storageKeys": [KEY]}]}, 1, 7),
        ({"gasPrice": 7, "type": "0x1"}, 1, 7),
        ({"maxFeePerGas": 7, "type": 2}, 2, 7),
        ({"type": 2}, 2, None),
        ({"type": 0}, 0, None),
    ],
)
def test_the_type_follows_from_the_fees(params: dict[str, Any], kind: int, cap: int | None) -> None:
    """gasPrice means a legacy type, with an access list type 1; otherwise type 2."""
    request, _ = read_params({"to": TO, **params}, chain_id=1)

    assert (kind, cap) == (request.type, request.max_fee_per_gas)


def test_access_lists_are_kept() -> None:
    """Keys come as hex or bytes."""
    items = [{"address": TO, "storageKeys": [KEY, HexBytes(KEY)]}]

    request, _ = read_params({"to": TO, "accessList": items}, chain_id=1)

    assert (AccessListItem(address=TO, storage_keys=(KEY, KEY)),) == request.access_list


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gasLimit": 5}, "'gasLimit' is not known"),
        ({"a": 1, "b": 2}, "'a' and 1 more is not known: leave it out; known are accessList"),
        ({"x" * 999: 1}, r"x… \(1001 characters\) is not known"),
        ({5: 1, "a": 2}, "5 and 1 more is not known"),
        ({"chainId": 2}, "for chain 2"),
        ({"type": 2, "gasPrice": 5}, "fees of another type"),
        ({"type": 0, "maxFeePerGas": 5}, "fees of another type"),
        ({"gasPrice": 5, "maxPriorityFeePerGas": 5}, "one kind of fees"),
        ({"data": "0x01", "input": "0x02"}, "data and input differ"),
        ({"data": "0x1"}, "neither bytes nor 0x hex"),
        ({"data": 5}, "neither bytes nor 0x hex"),
        ({"value": "10"}, "value is '10'"),
        ({"value": "0xzz"}, "value is '0xzz'"),
        ({"value": True}, "value is True"),
        ({"gas": -1}, "gas is -1"),
        ({"accessList": [{"address": TO}]}, "accessList"),
        ({"accessList": [5]}, "accessList"),
        ({"accessList": [{"address": TO, "storageKeys": ["0x01"]}]}, "64 hex digits"),
        ({"to": "vitalik.eth"}, "40 hex digits"),
        ({"authorizationList": [5]}, "authorizationList"),
        ({"authorizationList": [{"address": TO}]}, "authorizationList"),  # of any chain?
        ({"authorizationList": [{**GRANTED, "address": "0x12"}]}, "40 hex digits"),
        ({"authorizationList": [{**GRANTED, "r": -1}]}, "r is -1"),
        ({"authorizationList": [GRANTED], "gasPrice": 5}, "type 4 has the fees of another type"),
        ({"type": 4, "gasPrice": 5}, "type 4 has the fees of another type"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(params: dict[str, Any], message: str) -> None:
    """Unknown keys and malformed values name the key, and nothing is guessed."""
    with pytest.raises(ConfigError, match=message) as caught:
        read_params(params, chain_id=1)

    assert "\n" not in str(caught.value)


def test_authorizations_are_read_as_eth_account_and_as_nodes_give_them() -> None:
    """eth-account's model, its integers and a node's hex give the same type 4 request."""
    theirs = Account.from_key(SECRET).sign_authorization(
        {"chainId": 1, "address": TO, "nonce": 3},
    )
    for listed in ([theirs], [GRANTED], [{**GRANTED, "chainId": "0x1", "nonce": "0x3"}]):
        request, _ = read_params({"to": TO, "authorizationList": listed}, chain_id=1)

        assert (4, (GRANT,)) == (request.type, request.authorization_list)


def test_a_signed_transaction_asks_for_what_it_says() -> None:
    """For 300 random transactions, the request has every field but the nonce."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    signer = LocalSigner("0x" + "4c" * 32)
    for _ in range(300):
        kind = rng.choice((0, 1, 2, 4))
        dynamic = kind in {2, 4}
        unsigned = UnsignedTransaction(
            type=kind,
            chain_id=1,
            nonce=rng.getrandbits(20),
            to=TO if kind == 4 else rng.choice((None, TO)),
            authorization_list=(GRANT,) if kind == 4 else (),
            value=rng.getrandbits(90),
            data="0x" + rng.randbytes(rng.randint(0, 50)).hex(),
            gas=rng.getrandbits(24),
            max_fee_per_gas=rng.getrandbits(60) if dynamic else 0,
            max_priority_fee_per_gas=rng.getrandbits(50) if dynamic else 0,
            gas_price=0 if dynamic else rng.getrandbits(60),
        )
        request = request_of(signer.sign_transaction_now(unsigned))

        assert (kind, signer.address, unsigned.to) == (request.type, request.sender, request.to)
        assert (unsigned.value, unsigned.data) == (request.value, request.data)
        assert (unsigned.gas, unsigned.fee_cap) == (request.gas, request.max_fee_per_gas)
        assert unsigned.authorization_list == request.authorization_list
        tip = unsigned.max_priority_fee_per_gas if dynamic else None
        assert tip == request.max_priority_fee_per_gas
