import random
import secrets
from functools import cache
from typing import Any

import pytest
import rlp
from eth_account import Account

from toolkit.chain.blob import BLOB_GAS, decode_blob, is_blob
from toolkit.chain.signer import LocalSigner, decode_transaction
from toolkit.model.errors import ConfigError
from toolkit.model.tx import UnsignedTransaction

KEY = "0x" + "4c" * 32
TO = "0x" + "22" * 20
FIELDS: dict[str, Any] = {
    "type": 3,
    "chainId": 1,
    "nonce": 7,
    "to": bytes.fromhex(TO[2:]),
    "value": 5,
    "data": "0x1234",
    "gas": 50_000,
    "maxFeePerGas": 30 * 10**9,
    "maxPriorityFeePerGas": 10**9,
    "maxFeePerBlobGas": 3 * 10**9,
    "accessList": [{"address": TO, "storageKeys": ["0x" + "01" * 32]}],
}


def hashes(count: int) -> list[str]:
    """Versioned hashes of nothing in particular."""
    return [f"0x01{n:062x}" for n in range(count)]


def canonical(**changes: Any) -> str:
    """The bytes as a block holds them, by eth-account."""
    fields = {**FIELDS, "blobVersionedHashes": hashes(2), **changes}
    return "0x" + bytes(Account.from_key(KEY).sign_transaction(fields).raw_transaction).hex()


@cache
def broadcast() -> str:
    """The bytes as they are broadcast today, with one blob and its cell proofs."""
    signed = Account.from_key(KEY).sign_transaction(FIELDS, blobs=[b"\0" * 131_072])
    return "0x" + bytes(signed.raw_transaction).hex()


def repacked(change: Any) -> str:
    """The broadcast form after a change to its outer list."""
    outer = list(rlp.decode(bytes.fromhex(broadcast()[4:])))
    change(outer)
    return f"0x03{rlp.encode(outer).hex()}"


def test_three_hundred_blob_transactions_read_as_eth_account_signed_them() -> None:
    """Hash, sender and every field of random canonical transactions are what was signed."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(300):
        account = Account.from_key(rng.randbytes(32))
        fields: dict[str, Any] = {
            **FIELDS,
            "chainId": rng.choice((1, 10, 2**40)),
            "nonce": rng.choice((0, 1, 2**63)),
            "value": rng.getrandbits(rng.randint(1, 256)),
            "data": "0x" + rng.randbytes(rng.randint(0, 80)).hex(),
            "gas": rng.getrandbits(40),
            "maxFeePerGas": rng.getrandbits(64),
            "maxPriorityFeePerGas": rng.getrandbits(60),
            "maxFeePerBlobGas": rng.getrandbits(64),
            "accessList": FIELDS["accessList"] * rng.randint(0, 2),
            "blobVersionedHashes": hashes(rng.randint(1, 21)),
        }
        signed = account.sign_transaction(fields)

        found = decode_blob("0x" + bytes(signed.raw_transaction).hex())

        assert "0x" + bytes(signed.hash).hex() == found.hash
        assert account.address.lower() == found.sender
        assert (fields["chainId"], fields["nonce"]) == (found.chain_id, found.nonce)
        assert (fields["gas"], TO, fields["value"]) == (found.gas, found.to, found.value)
        assert fields["data"] == found.data
        caps = (found.max_fee_per_gas, found.max_priority_fee_per_gas, found.max_fee_per_blob_gas)
        assert (
            fields["maxFeePerGas"],
            fields["maxPriorityFeePerGas"],
            fields["maxFeePerBlobGas"],
        ) == caps
        assert tuple(fields["blobVersionedHashes"]) == found.versioned_hashes
        assert len(fields["accessList"]) == len(found.access_list)
        assert (False, len(signed.raw_transaction)) == (found.with_sidecar, found.size)


def test_the_broadcast_form_is_the_same_transaction() -> None:
    """With its sidecar it has the hash, sender and size of its canonical form."""
    found = decode_blob(broadcast())
    bare = "0x03" + rlp.encode(rlp.decode(bytes.fromhex(broadcast()[4:]))[0]).hex()
    alone = decode_blob(bare)

    assert (True, 1, BLOB_GAS) == (found.with_sidecar, found.blobs, found.blob_gas)
    assert (alone.hash, alone.sender, alone.size) == (found.hash, found.sender, found.size)
    assert Account.from_key(KEY).address.lower() == found.sender
    assert 50_000 * 30 * 10**9 + BLOB_GAS * 3 * 10**9 + 5 == found.worst_cost_wei


def test_the_former_broadcast_form_is_read_too() -> None:
    """EIP-4844's own wrapper, one proof a blob and no version, is the same transaction."""

    def former(outer: list[Any]) -> None:
        outer[:] = [outer[0], outer[2], outer[3], outer[4][:1]]

    assert decode_blob(broadcast()).hash == decode_blob(repacked(former)).hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda outer: outer.__setitem__(1, b"\x02"), "unknown version"),
        (lambda outer: outer.pop(), "not blobs, commitments and proofs"),
        (lambda outer: outer[2].append(outer[2][0]), "another number of blobs than 1"),
        (lambda outer: outer[2].clear(), "another number of blobs than 1"),
        (lambda outer: outer[4].pop(), "another number of proofs than 128"),
        (lambda outer: outer.__setitem__(3, [b"\xc0" + b"\1" * 47]), "not its commitment's"),
        (lambda outer: outer.__setitem__(3, [b"short"]), "ValueError"),
        (lambda outer: outer.__setitem__(2, [b"short"]), "ValueError"),
    ],
)
def test_a_sidecar_that_is_not_the_transactions_is_refused(change: Any, said: str) -> None:
    """Another version, number, size or commitment is one clear line without the bytes."""
    with pytest.raises(ConfigError, match=said) as caught:
        decode_blob(repacked(change))

    assert 150 > len(str(caught.value))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({5: b""}, "no recipient"),
        ({10: []}, "no blob"),
        ({10: b""}, "no blob"),
        ({10: [b"\x02" + b"\0" * 31]}, "version 0x02"),
        ({10: [b"\x01"]}, "ValueError"),
        ({1: b"\0\1"}, "ValueError"),
        ({1: b"\1" * 9}, "above 64 bits"),
        ({4: b"\1" * 9}, "above 64 bits"),
        ({11: b"\x02"}, "SignerError"),
        ({13: b"\xff" * 32}, "SignerError"),
        ({8: b"x"}, "ValueError"),
        ({13: b"\1", 14: b""}, "15 fields"),
    ],
)
def test_what_is_no_blob_transaction_is_one_clear_line(changes: dict[int, Any], said: str) -> None:
    """Each broken rule of EIP-4844 is told, and never guessed around."""
    fields = list(rlp.decode(bytes.fromhex(canonical()[4:])))
    for place, value in changes.items():
        fields[place : place + 1] = [value]

    with pytest.raises(ConfigError, match=said) as caught:
        decode_blob("0x03" + rlp.encode(fields).hex())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", ["", "0x", "0x03", "0x0380", "0x03zz", "0x03c0", "0x03c1c0", 5])
def test_bytes_that_are_nothing_are_one_clear_line(raw: Any) -> None:
    """Not hex, not RLP, an empty list, lists within lists: ConfigError."""
    with pytest.raises(ConfigError):
        decode_blob(raw)


def test_other_types_are_not_taken_for_blobs() -> None:
    """Each decoder refuses the other's types by name."""
    plain = UnsignedTransaction(
        type=2, chain_id=1, nonce=0, to=None, value=0, data="0x", gas=21_000, max_fee_per_gas=1
    )
    raw = LocalSigner(KEY).sign_transaction_now(plain).raw

    assert (False, True) == (is_blob(raw), is_blob(canonical()))
    with pytest.raises(ConfigError, match="begins 0x03"):
        decode_blob(raw)
    with pytest.raises(ConfigError, match="type 3"):
        decode_transaction(canonical())
