from typing import Any

import pytest
from eth_account import Account

from toolkit.chain.signer import LocalSigner
from toolkit.devnet.pooled import pooled
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError
from toolkit.model.tx import AccessListItem, UnsignedTransaction

KEY = "0x" + "4c" * 32
SIGNER = LocalSigner(KEY)
TO = Address("0x" + "22" * 20)
ITEM = AccessListItem(address=TO)
FIELDS: dict[str, Any] = {"chain_id": 7, "nonce": 3, "to": TO, "value": 5, "gas": 90_000}
CAPS: dict[str, Any] = {"max_fee_per_gas": 30, "max_priority_fee_per_gas": 2}


@pytest.mark.parametrize(
    ("kind", "fees", "caps"),
    [(0, {"gas_price": 9}, (9, 9)), (1, {"gas_price": 9}, (9, 9)), (2, CAPS, (30, 2))],
)
def test_signed_bytes_become_a_pooled_transaction(
    kind: int, fees: dict[str, Any], caps: tuple[int, int]
) -> None:
    """Everything the pool's rules look at is what was signed."""
    unsigned = UnsignedTransaction(
        type=kind,
        data="0x1234",
        access_list=(ITEM,) if kind else (),
        **FIELDS,
        **fees,
    )
    signed = SIGNER.sign_transaction_now(unsigned)

    found = pooled(signed.raw)

    assert (signed.hash, signed.sender, signed.raw) == (found.hash, found.sender, found.raw)
    assert (kind, 3, 90_000, *caps) == (
        found.type,
        found.nonce,
        found.gas,
        found.fee_cap,
        found.tip_cap,
    )
    assert (TO, 5, "0x1234", 7) == (found.to, found.value, found.data, found.chain_id)
    assert unsigned.worst_cost_wei == found.worst_cost_wei
    assert len(signed.raw) // 2 - 1 == found.size
    assert 21_000 + 2 * 16 + (2_400 if kind else 0) == found.prepaid_gas
    assert 21_000 + 2 * 40 == found.floor_gas


def test_an_authorization_is_counted_and_named() -> None:
    """The accounts that a set-code transaction delegates are known with their count."""
    owner = LocalSigner("0x" + "5d" * 32)
    grant = owner.sign_authorization(chain_id=7, address=TO, nonce=0)
    unsigned = UnsignedTransaction(
        type=4, data="0x", authorization_list=(grant, grant), **FIELDS, **CAPS
    )

    found = pooled(SIGNER.sign_transaction_now(unsigned).raw)

    assert (4, 2) == (found.type, found.authorizations)
    assert {owner.address} == set(found.authorities)
    assert 21_000 + 2 * 25_000 == found.prepaid_gas


@pytest.mark.parametrize("sidecar", [True, False])
def test_a_blob_transaction_with_and_without_its_blobs(*, sidecar: bool) -> None:
    """Both forms give the same transaction; its worst cost includes the blobs' gas."""
    fields: dict[str, Any] = {
        "type": 3,
        "chainId": 7,
        "nonce": 3,
        "to": bytes.fromhex(TO[2:]),
        "value": 5,
        "data": "0x",
        "gas": 30_000,
        "maxFeePerGas": 40,
        "maxPriorityFeePerGas": 2,
        "maxFeePerBlobGas": 6,
    }
    blobs = [b"\0" * 131_072]
    if sidecar:
        signed = Account.from_key(KEY).sign_transaction(fields, blobs=blobs)
    else:
        hashes = [f"0x01{1:062x}"]
        signed = Account.from_key(KEY).sign_transaction(fields | {"blobVersionedHashes": hashes})

    found = pooled("0x" + bytes(signed.raw_transaction).hex())

    assert (3, 1, 40, 2, 6) == (
        found.type,
        found.blobs,
        found.fee_cap,
        found.tip_cap,
        found.blob_fee_cap,
    )
    assert 30_000 * 40 + 131_072 * 6 + 5 == found.worst_cost_wei
    assert (SIGNER.address, True) == (found.sender, found.is_blob)
    assert (found.size > 131_072) is sidecar


def test_a_type_0_without_replay_protection_has_chain_id_0() -> None:
    """A signature that is good for every chain is recognised (geth refuses it over RPC)."""
    signed = Account.from_key(KEY).sign_transaction(
        {"nonce": 0, "to": TO, "value": 0, "gas": 21_000, "gasPrice": 1}
    )

    assert 0 == pooled("0x" + bytes(signed.raw_transaction).hex()).chain_id


@pytest.mark.parametrize("raw", ["0x", "0x02c0", "0x03c0", "0x05" + "00" * 40])
def test_what_is_no_transaction_is_refused(raw: str) -> None:
    """Bytes that are no signed transaction give one clear line."""
    with pytest.raises(ConfigError, match="raw transaction"):
        pooled(raw)


def test_the_bytes_are_in_no_repr() -> None:
    """A pooled transaction names itself without its bytes."""
    unsigned = UnsignedTransaction(type=2, data="0x", **FIELDS, **CAPS)
    signed = SIGNER.sign_transaction_now(unsigned)

    assert signed.raw not in repr(pooled(signed.raw))
    assert signed.hash in repr(pooled(signed.raw))
