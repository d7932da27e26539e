import pickle
import random
import secrets
import sys
from typing import Any

import msgspec
import pytest
import rlp
from eth_account import Account
from eth_account.messages import encode_defunct

from toolkit.chain.signer import (
    LocalSigner,
    authorities,
    authority_of,
    decode_transaction,
    recover_message,
)
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, SignerError
from toolkit.model.tx import AccessListItem, Authorization, UnsignedTransaction

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = "0x" + "4c" * 32
TRANSFER = UnsignedTransaction(
    type=2,
    chain_id=1,
    nonce=7,
    to=Address("0x" + "22" * 20),
    value=10**18,
    data="0x",
    gas=21_000,
    max_fee_per_gas=30 * 10**9,
    max_priority_fee_per_gas=10**9,
)

GRANT = LocalSigner(KEY).sign_authorization(chain_id=1, address=Address("0x" + "33" * 20), nonce=8)


def uint(rng: random.Random, bits: int) -> int:
    """Integers of every length up to `bits`, zero and the largest included."""
    return rng.choice((0, 1, 2**bits - 1, rng.getrandbits(rng.randint(1, bits))))


def random_transaction(rng: random.Random) -> UnsignedTransaction:
    """Any transaction of types 0, 1, 2 and 4 that a chain could see."""
    kind = rng.choice((0, 1, 2, 4))
    dynamic = kind in {2, 4}
    items = tuple(
        AccessListItem(
            address=Address("0x" + rng.randbytes(20).hex()),
            storage_keys=tuple(
                Hash("0x" + rng.randbytes(32).hex()) for _ in range(rng.randint(0, 3))
            ),
        )
        for _ in range(rng.randint(0, 3))
    )
    return UnsignedTransaction(
        type=kind,
        chain_id=rng.choice((1, 10, 31337, rng.randint(1, 2**32))),
        nonce=uint(rng, 63),
        to=None if kind != 4 and rng.random() < 0.3 else random_account(rng),
        value=uint(rng, 256),
        data="0x" + rng.randbytes(rng.choice((0, 1, 4, 68, 300))).hex(),
        gas=uint(rng, 63),
        max_fee_per_gas=uint(rng, 128) if dynamic else 0,
        max_priority_fee_per_gas=uint(rng, 128) if dynamic else 0,
        gas_price=0 if dynamic else uint(rng, 128),
        access_list=items if kind else (),
        authorization_list=random_grants(rng) if kind == 4 else (),
    )


def random_account(rng: random.Random) -> Address:
    """Any address."""
    return Address("0x" + rng.randbytes(20).hex())


def random_grants(rng: random.Random) -> tuple[Authorization, ...]:
    """One to three authorizations, signed by anybody or by nobody."""
    return tuple(
        Authorization(
            chain_id=rng.choice((0, 1, rng.randint(1, 2**32))),
            address=random_account(rng),
            nonce=uint(rng, 63),
            y_parity=rng.randint(0, 1),
            r=uint(rng, 256),
            s=uint(rng, 256),
        )
        for _ in range(rng.randint(1, 3))
    )


def for_eth_account(tx: UnsignedTransaction) -> dict[str, object]:
    """The same transaction as eth-account takes it."""
    fields: dict[str, object] = {
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "value": tx.value,
        "data": tx.data,
        "gas": tx.gas,
        "to": bytes.fromhex(tx.to[2:]) if tx.to else b"",
    }
    if tx.type in {2, 4}:
        fields["maxFeePerGas"] = tx.max_fee_per_gas
        fields["maxPriorityFeePerGas"] = tx.max_priority_fee_per_gas
    else:
        fields["gasPrice"] = tx.gas_price
    if tx.type:
        fields["type"] = tx.type
        fields["accessList"] = [
            {"address": item.address, "storageKeys": list(item.storage_keys)}
            for item in tx.access_list
        ]
    if tx.type == 4:
        fields["authorizationList"] = [
            {
                "chainId": grant.chain_id,
                "address": bytes.fromhex(grant.address[2:]),
                "nonce": grant.nonce,
                "yParity": grant.y_parity,
                "r": grant.r,
                "s": grant.s,
            }
            for grant in tx.authorization_list
        ]
    return fields


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_signatures_are_byte_equal_to_eth_account() -> None:
    """Raw bytes, hash and sender equal eth-account's for 10,000 random transactions."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    for case in range(10_000):
        if case % 500 == 0:
            key = rng.randint(1, ORDER - 1).to_bytes(32, "big")
            ours, theirs = LocalSigner(key), Account.from_key(key)
        unsigned = random_transaction(rng)
        expected = theirs.sign_transaction(for_eth_account(unsigned))

        signed = ours.sign_transaction_now(unsigned)

        assert "0x" + expected.raw_transaction.hex() == signed.raw, (seed, case)
        assert "0x" + expected.hash.hex() == signed.hash
        assert theirs.address.lower() == signed.sender


def test_what_was_signed_decodes_to_itself() -> None:
    """Decoding gives back every field, the hash and the recovered sender."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    signer = LocalSigner(rng.randint(1, ORDER - 1).to_bytes(32, "big"))
    for _ in range(500):
        signed = signer.sign_transaction_now(random_transaction(rng))

        assert signed == decode_transaction(signed.raw)


def test_a_changed_byte_never_decodes_to_the_same_sender_and_hash() -> None:
    """Whatever byte is flipped, the result is refused or is another transaction."""
    signed = LocalSigner(KEY).sign_transaction_now(TRANSFER)
    blob = bytearray.fromhex(signed.raw[2:])
    for place in range(len(blob)):
        changed = blob.copy()
        changed[place] ^= 0x01
        try:
            decoded = decode_transaction("0x" + changed.hex())
        except ConfigError:
            continue

        assert signed.hash != decoded.hash
        assert (signed.sender, signed.unsigned) != (decoded.sender, decoded.unsigned)


@pytest.mark.parametrize("front", [b"", b"\x02"])
def test_lists_within_lists_are_no_transaction(front: bytes) -> None:
    """Thousands of them, in a few bytes each: one line, and pyrlp is not asked, which needs a
    frame and a copy of the rest for each; of 300,000 bytes it read for a minute."""
    prefixes, size = list[bytes](), 0
    while size < 20_000:
        prefixes.append(rlp.codec.length_prefix(size, 0xC0))
        size += len(prefixes[-1])
    blob = front + b"".join(reversed(prefixes))

    deepest = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # as py-ecc raises it
    try:
        with pytest.raises(ConfigError, match="ValueError while decoding") as caught:
            decode_transaction("0x" + blob.hex())
    finally:
        sys.setrecursionlimit(deepest)
    assert "lists within lists" == str(caught.value.__context__)


def test_an_unprotected_legacy_transaction_decodes_with_chain_id_zero() -> None:
    """v 27 or 28 means no chain id; the sender is still recovered."""
    account = Account.from_key(KEY)
    fields = {"nonce": 1, "gasPrice": 5, "gas": 21_000, "to": b"\x22" * 20, "value": 3, "data": b""}
    raw = "0x" + account.sign_transaction(fields).raw_transaction.hex()

    decoded = decode_transaction(raw)

    assert 0 == decoded.unsigned.chain_id
    assert account.address.lower() == decoded.sender


def test_the_mirrored_signature_is_refused() -> None:
    """EIP-2: s above half the order is not a valid transaction."""
    signed = LocalSigner(KEY).sign_transaction_now(TRANSFER)
    fields = rlp.decode(bytes.fromhex(signed.raw[4:]))
    v, s = int.from_bytes(fields[-3], "big"), int.from_bytes(fields[-1], "big")
    mirrored = [*fields[:-3], b"" if v else b"\x01", fields[-2], (ORDER - s).to_bytes(32, "big")]

    with pytest.raises(ConfigError, match="not a signed transaction"):
        decode_transaction("0x02" + rlp.encode(mirrored).hex())


@pytest.mark.parametrize("place", [1, 2, 3, 4, 6, 10, 11])
def test_integers_with_leading_zeros_are_refused(place: int) -> None:
    """One transaction has one encoding: padded integers would give it another hash."""
    signed = LocalSigner(KEY).sign_transaction_now(TRANSFER)
    fields = list(rlp.decode(bytes.fromhex(signed.raw[4:])))
    fields[place] = b"\0" + fields[place]

    with pytest.raises(ConfigError, match="not a signed transaction"):
        decode_transaction("0x02" + rlp.encode(fields).hex())


@pytest.mark.parametrize(
    "raw", ["", "0x", "0xzz", "0x00", "0x03c0", "0x04c0", "0x02", "0x02c0", "0xc0", "0xf8"]
)
def test_bytes_that_are_no_transaction_are_one_clear_error(raw: str) -> None:
    """Anything else than a signed type 0, 1, 2 or 4 is a ConfigError in one line."""
    with pytest.raises(ConfigError) as caught:
        decode_transaction(raw)

    assert "\n" not in str(caught.value)


def test_trailing_bytes_are_refused() -> None:
    """A second reading of the same bytes must not exist."""
    signed = LocalSigner(KEY).sign_transaction_now(TRANSFER)

    with pytest.raises(ConfigError):
        decode_transaction(signed.raw + "00")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("0x" + "11" * 31, "has 31 bytes, not 32"),
        ("11" * 33, "has 33 bytes, not 32"),
        (b"", "has 0 bytes"),
        ("0x" + "77" * 31 + "zz", "is not hex"),
        (b"\0" * 32, "zero or not below the order"),
        (ORDER.to_bytes(32, "big"), "zero or not below the order"),
        ("ff" * 32, "zero or not below the order"),
        (None, "is a NoneType: give 64 hex digits or 32 bytes"),
        (32, "is a int: give 64 hex digits or 32 bytes"),
    ],
)
def test_a_bad_key_is_one_clear_line_without_the_key(key: Any, message: str) -> None:
    """SignerError says what is wrong and never quotes the key or keeps it in its cause."""
    with pytest.raises(SignerError, match=message) as caught:
        LocalSigner(key)

    text = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "\n" not in str(caught.value)
    for secret in ("1111", "7777", "ffff", "fffe"):
        assert secret not in text


def test_the_largest_and_smallest_keys_sign() -> None:
    """1 and order - 1 are keys."""
    for number in (1, ORDER - 1):
        key = number.to_bytes(32, "big")

        assert Account.from_key(key).address.lower() == LocalSigner(key).address


def test_no_repr_and_no_pickle_holds_the_key() -> None:
    """The key leaves the signer in no way that Python offers by default."""
    signer = LocalSigner(KEY)

    assert f"LocalSigner({signer.address})" == repr(signer)
    with pytest.raises(SignerError, match="cannot be pickled"):
        pickle.dumps(signer)


@pytest.mark.parametrize(
    "change",
    [
        {"type": 3},
        {"type": 5},
        {"type": 4},
        {"type": 4, "to": None, "authorization_list": (GRANT,)},
        {"authorization_list": (GRANT,)},
        {"type": 0, "access_list": (AccessListItem(address=Address("0x" + "11" * 20)),)},
        {"nonce": -1},
        {"nonce": 2**64},
        {"gas": 2**64},
        {"value": 2**256},
        {"value": -1},
        {"chain_id": 2**256},
        {"max_priority_fee_per_gas": 2**256},
        {"to": Address("0x1234")},
        {"data": "0x123"},
    ],
)
def test_a_transaction_that_cannot_exist_is_not_signed(change: dict[str, object]) -> None:
    """Out-of-range numbers, malformed hex and unknown types are SignerErrors."""
    with pytest.raises(SignerError, match="cannot be signed"):
        LocalSigner(KEY).sign_transaction_now(msgspec.structs.replace(TRANSFER, **change))


def test_a_thousand_authorizations_are_equal_to_eth_account() -> None:
    """Parity, r and s equal eth-account's (0x05 magic), and recover to the authority."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    for case in range(1_000):
        if case % 100 == 0:
            key = rng.randint(1, ORDER - 1).to_bytes(32, "big")
            ours, theirs = LocalSigner(key), Account.from_key(key)
        chain_id, code, nonce = rng.choice((0, 1, 2**40)), random_account(rng), uint(rng, 63)
        expected = theirs.sign_authorization(
            {"chainId": chain_id, "address": bytes.fromhex(code[2:]), "nonce": nonce}
        )

        grant = ours.sign_authorization(chain_id=chain_id, address=code, nonce=nonce)

        assert (expected.y_parity, expected.r, expected.s) == (grant.y_parity, grant.r, grant.s)
        assert ours.address == authority_of(grant), (seed, case)


@pytest.mark.parametrize(
    "change",
    [
        {"y_parity": 2},
        {"y_parity": 2, "r": 2, "s": 1},  # recovers to an account on the curve, and on no chain
        {"r": 0},
        {"s": 0},
        {"s": ORDER - GRANT.s, "y_parity": 1 - GRANT.y_parity},  # EIP-2: the mirrored one
        {"r": ORDER},
        {"nonce": 2**64 - 1},
    ],
)
def test_an_authorization_that_the_chain_skips_has_no_authority(change: dict[str, int]) -> None:
    """What EIP-7702 skips delegates nobody; the transaction around it still decodes."""
    skipped = msgspec.structs.replace(GRANT, **change)
    assert authority_of(skipped) is None

    listed = (GRANT, skipped, GRANT)
    tx = msgspec.structs.replace(TRANSFER, type=4, authorization_list=listed)
    decoded = decode_transaction(LocalSigner(KEY).sign_transaction_now(tx).raw)

    assert listed == decoded.unsigned.authorization_list
    assert (LocalSigner(KEY).address,) == authorities(decoded.unsigned)


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": -1},
        {"nonce": 2**64 - 1},
        {"chain_id": -1},
        {"chain_id": 2**256},
        {"address": "0x"},
    ],
)
def test_an_authorization_that_cannot_exist_is_not_signed(change: dict[str, Any]) -> None:
    """Numbers out of range and malformed addresses are SignerErrors in one line."""
    fields: dict[str, Any] = {"chain_id": 1, "address": GRANT.address, "nonce": 0, **change}

    with pytest.raises(SignerError, match="authorization cannot be signed") as caught:
        LocalSigner(KEY).sign_authorization(**fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "change"),
    [(0, b"\0\1"), (5, b""), (6, b"\0"), (9, []), (9, b""), (9, [[b"\1"]]), (9, [b"\1" * 6])],
)
def test_a_set_code_transaction_with_a_broken_field_is_refused(place: int, change: object) -> None:
    """No recipient, no authorization, or a padded integer: no encoding of a transaction."""
    tx = msgspec.structs.replace(TRANSFER, type=4, authorization_list=(GRANT,))
    fields = list(rlp.decode(bytes.fromhex(LocalSigner(KEY).sign_transaction_now(tx).raw[4:])))
    fields[place] = change

    with pytest.raises(ConfigError, match="not a signed transaction"):
        decode_transaction("0x04" + rlp.encode(fields).hex())


def test_legacy_transactions_without_a_chain_id_are_not_signed() -> None:
    """Without EIP-155 the same bytes would be valid on every chain."""
    with pytest.raises(SignerError, match="chain id"):
        LocalSigner(KEY).sign_transaction_now(msgspec.structs.replace(TRANSFER, type=0, chain_id=0))


async def test_messages_are_signed_as_eip_191() -> None:
    """Message signatures equal eth-account's and recover to the signer."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    signer, account = LocalSigner(KEY), Account.from_key(KEY)
    for _ in range(200):
        text = rng.randbytes(rng.randint(0, 100))
        expected = account.sign_message(encode_defunct(primitive=text)).signature

        signature = await signer.sign_message(text)

        assert "0x" + expected.hex() == signature
        assert signer.address == recover_message(text, signature)


@pytest.mark.parametrize("signature", ["0x", "0x12", "0x" + "00" * 65, "0x" + "ff" * 65, "zz"])
def test_a_broken_signature_recovers_to_nobody(signature: str) -> None:
    """recover_message raises SignerError instead of inventing an account."""
    with pytest.raises(SignerError):
        recover_message(b"text", signature)
