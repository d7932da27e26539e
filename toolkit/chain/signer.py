"""Signing and decoding of transactions of types 0, 1 and 2, on native secp256k1.

The layouts are those of EIP-155 (type 0), EIP-2930 (type 1) and EIP-1559 (type 2). RLP comes from
pyrlp, the curve from libsecp256k1 through coincurve, whose nonces are RFC 6979: the same input
gives the same bytes as eth-account. A key lives in its signer only: it is in no repr and no error.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import rlp
from coincurve import PrivateKey, PublicKey
from rlp.codec import encode_raw, length_prefix

from toolkit.chain.hashing import keccak
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, SignerError
from toolkit.model.tx import AccessListItem, SignedTransaction, UnsignedTransaction

KEY_BYTES = 32
_MAX_UINT64 = 2**64 - 1
_MAX_UINT256 = 2**256 - 1
# Half of the curve's order: EIP-2 refuses the mirrored signature above it.
_MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_ADDRESS_BYTES = 20
_LEGACY, _ACCESS_LIST, _DYNAMIC_FEE = 0, 1, 2
_FIELDS = {_LEGACY: 6, _ACCESS_LIST: 8, _DYNAMIC_FEE: 9}
_SIGNATURE_FIELDS = 3
_LIST_OFFSET = 0xC0


class Signer(Protocol):
    """What can sign for one account; a remote one may take its time or refuse."""

    @property
    def address(self) -> Address:
        """The account it signs for."""
        ...

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign; SignerError when it cannot."""
        ...

    async def sign_message(self, text: bytes) -> str:
        """Sign per EIP-191 (`personal_sign`); 65 bytes r, s, v as 0x hex."""
        ...


class LocalSigner:
    """A private key in this process.

    Raises:
        SignerError: the key is not 32 bytes (64 hex digits), is zero, or is not below the order
            of secp256k1. The message never contains the key.
    """

    __slots__ = ("_key", "address")

    def __init__(self, key: str | bytes) -> None:
        self._key = PrivateKey(_secret(key))
        self.address = account_of(self._key.public_key)

    def __repr__(self) -> str:
        """Name the account, never the key."""
        return f"LocalSigner({self.address})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse: a pickled signer would be a key on disk."""
        raise SignerError(f"signer of {self.address} cannot be pickled: its key stays in memory")

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """As `sign_transaction_now`."""
        return self.sign_transaction_now(unsigned)

    async def sign_message(self, text: bytes) -> str:
        """As `sign_message_now`."""
        return self.sign_message_now(text)

    def sign_transaction_now(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign without leaving the thread, about 50 us.

        Raises:
            SignerError: a field is out of range, or the type is not 0, 1 or 2.
        """
        if unsigned.chain_id < 1:
            raise SignerError(
                f"transaction cannot be signed: chain id {unsigned.chain_id} protects nothing"
            )
        payload = _payload(unsigned)
        head = b"" if unsigned.type == _LEGACY else bytes((unsigned.type,))
        signature = self._key.sign_recoverable(
            keccak(head + _signing_body(unsigned, payload)), hasher=None
        )
        v = signature[64]
        if unsigned.type == _LEGACY:
            v += 35 + 2 * unsigned.chain_id
        body = (
            payload
            + encode_raw(_uint(v))
            + encode_raw(signature[:32].lstrip(b"\0"))
            + encode_raw(signature[32:64].lstrip(b"\0"))
        )
        raw = head + length_prefix(len(body), _LIST_OFFSET) + body
        return SignedTransaction(
            raw="0x" + raw.hex(),
            hash=Hash("0x" + keccak(raw).hex()),
            sender=self.address,
            unsigned=unsigned,
        )

    def sign_message_now(self, text: bytes) -> str:
        """Sign `text` per EIP-191 version 0x45; 65 bytes r, s, v with v 27 or 28."""
        signature = self._key.sign_recoverable(message_digest(text), hasher=None)
        return f"0x{signature[:64].hex()}{signature[64] + 27:02x}"


def account_of(key: PublicKey) -> Address:
    """The account of a public key: the last 20 bytes of its point's hash."""
    return Address("0x" + keccak(key.format(compressed=False)[1:])[12:].hex())


def message_digest(text: bytes) -> bytes:
    """EIP-191 version 0x45: keccak(0x19 + "Ethereum Signed Message:" + newline + length + text)."""
    return keccak(b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text)


def recover_message(text: bytes, signature: str) -> Address:
    """The account whose `sign_message` gave `signature` for `text`.

    Raises:
        SignerError: not a 65-byte signature with a recoverable point.
    """
    try:
        blob = bytes.fromhex(signature.removeprefix("0x"))
        v = blob[64] - 27 if blob[64] >= 27 else blob[64]  # noqa: PLR2004 - both forms are in use
        return _recover(message_digest(text), blob[:64] + bytes((v,)))
    except (ValueError, IndexError):
        raise SignerError("signature is not 65 bytes of r, s and v (27 or 28)") from None


def decode_transaction(raw: str) -> SignedTransaction:
    """Decode signed bytes of type 0, 1 or 2 and recover who signed them.

    A legacy transaction without replay protection (v 27 or 28) decodes with chain id 0.

    Raises:
        ConfigError: not a canonical encoding of a signed transaction of these types. The message
            does not contain the bytes, which may be private.
    """
    if not isinstance(raw, str):
        raise ConfigError(f"raw transaction is a {type(raw).__name__}: give 0x hex")
    try:
        blob = bytes.fromhex(raw.removeprefix("0x"))
        kind = _kind(blob)
        fields = rlp.decode(blob if kind == _LEGACY else blob[1:], strict=True)
        unsigned, signature = _unpack(kind, fields)
        head = b"" if kind == _LEGACY else bytes((kind,))
        digest = keccak(head + _signing_body(unsigned, _payload(unsigned)))
        sender = _recover(digest, signature)
    except ConfigError:
        raise
    except (ValueError, IndexError, TypeError, rlp.RLPException, SignerError) as error:
        raise ConfigError(
            f"raw transaction is not a signed transaction: {type(error).__name__} while decoding"
        ) from None
    tx_hash = Hash("0x" + keccak(blob).hex())
    return SignedTransaction(raw="0x" + blob.hex(), hash=tx_hash, sender=sender, unsigned=unsigned)


def _secret(key: str | bytes) -> bytes:
    what = "private key"
    if not isinstance(key, str | bytes | bytearray):  # bytes(5) would be five zeros
        raise SignerError(f"{what} is a {type(key).__name__}: give 64 hex digits or 32 bytes")
    try:
        secret = bytes.fromhex(key.removeprefix("0x")) if isinstance(key, str) else bytes(key)
    except ValueError:
        raise SignerError(f"{what} is not hex: give 64 hex digits, with or without 0x") from None
    if len(secret) != KEY_BYTES:
        raise SignerError(f"{what} has {len(secret)} bytes, not {KEY_BYTES}: give 64 hex digits")
    try:
        PrivateKey(secret)
    except ValueError:
        raise SignerError(f"{what} is zero or not below the order of secp256k1") from None
    return secret


def _uint(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _account(account: Address | None) -> bytes:
    if account is None:
        return b""
    blob = bytes.fromhex(account[2:])
    if len(blob) != _ADDRESS_BYTES:
        raise ValueError("to")
    return blob


def _payload(tx: UnsignedTransaction) -> bytes:
    """The fields that are signed, RLP-encoded and joined, without the list's own prefix."""
    if max(tx.nonce, tx.gas) > _MAX_UINT64 or max(tx.value, tx.fee_cap) > _MAX_UINT256:
        raise SignerError("transaction cannot be signed: nonce, gas, value or fee is too large")
    try:
        to, data = _account(tx.to), bytes.fromhex(tx.data[2:])
        call = [_uint(tx.gas), to, _uint(tx.value), data]
        fields: list[object]
        if tx.type == _DYNAMIC_FEE:
            caps = [_uint(tx.max_priority_fee_per_gas), _uint(tx.max_fee_per_gas)]
            fields = [_uint(tx.chain_id), _uint(tx.nonce), *caps, *call, _access(tx.access_list)]
        elif tx.type == _ACCESS_LIST:
            price = _uint(tx.gas_price)
            fields = [_uint(tx.chain_id), _uint(tx.nonce), price, *call, _access(tx.access_list)]
        elif tx.type == _LEGACY and not tx.access_list:
            fields = [_uint(tx.nonce), _uint(tx.gas_price), *call]
        else:
            raise SignerError(f"transaction of type {tx.type} cannot be signed: use 0, 1 or 2")
    except (ValueError, OverflowError):
        raise SignerError(
            f"transaction cannot be signed: a negative number, or malformed hex in to, data or"
            f" access list (nonce {tx.nonce})"
        ) from None
    return b"".join([encode_raw(field) for field in fields])


def _signing_body(tx: UnsignedTransaction, payload: bytes) -> bytes:
    if tx.type == _LEGACY and tx.chain_id:  # EIP-155: (chain id, 0, 0) stand in for v, r, s
        payload += encode_raw(_uint(tx.chain_id)) + b"\x80\x80"
    return bytes(length_prefix(len(payload), _LIST_OFFSET)) + payload


def _access(items: tuple[AccessListItem, ...]) -> list[object]:
    return [
        [_account(item.address), [bytes.fromhex(key[2:]) for key in item.storage_keys]]
        for item in items
    ]


def _recover(digest: bytes, signature: bytes) -> Address:
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # noqa: BLE001 - coincurve raises bare Exception for a bad point
        raise SignerError(f"signature does not recover to an account: {error}") from None
    return account_of(key)


def _int(blob: object, limit: int = _MAX_UINT256) -> int:
    if not isinstance(blob, bytes) or blob[:1] == b"\0":
        raise ValueError("integer")
    value = int.from_bytes(blob, "big")
    if value > limit:
        raise ValueError("integer")
    return value


def _kind(blob: bytes) -> int:
    if blob[0] >= _LIST_OFFSET:
        return _LEGACY
    if blob[0] not in {_ACCESS_LIST, _DYNAMIC_FEE}:
        raise ConfigError(f"raw transaction has type {blob[0]}; types 0, 1 and 2 are known")
    return blob[0]


def _hex_bytes(blob: object, *sizes: int) -> str:
    if not isinstance(blob, bytes) or (sizes and len(blob) not in sizes):
        raise ValueError("bytes")
    return "0x" + blob.hex()


def _unpack(kind: int, fields: Sequence[object]) -> tuple[UnsignedTransaction, bytes]:
    count = _FIELDS[kind]
    if not isinstance(fields, list | tuple) or len(fields) != count + _SIGNATURE_FIELDS:
        raise ConfigError(f"raw transaction of type {kind} has the wrong number of fields")
    v, r, s = (_int(field) for field in fields[count:])
    if kind == _LEGACY:
        chain_id, parity = divmod(v - 35, 2) if v >= 35 else (0, v - 27)  # noqa: PLR2004 - EIP-155
        rest = fields
    else:
        chain_id, parity, rest = _int(fields[0], _MAX_UINT64), v, fields[1:]
    if parity not in {0, 1} or not 0 < s <= _MAX_S or not r:
        raise ValueError("signature")
    nonce, rest = _int(rest[0], _MAX_UINT64), rest[1:]
    fees = {"gas_price": _int(rest[0])}
    if kind == _DYNAMIC_FEE:
        fees = {"max_priority_fee_per_gas": _int(rest[0]), "max_fee_per_gas": _int(rest[1])}
        rest = rest[1:]
    to = _hex_bytes(rest[2], 0, _ADDRESS_BYTES)
    unsigned = UnsignedTransaction(
        type=kind,
        chain_id=chain_id,
        nonce=nonce,
        gas=_int(rest[1], _MAX_UINT64),
        to=None if to == "0x" else Address(to),
        value=_int(rest[3]),
        data=_hex_bytes(rest[4]),
        access_list=() if kind == _LEGACY else _unpack_access(rest[5]),
    )
    unsigned = msgspec.structs.replace(unsigned, **fees)
    return unsigned, r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))


def _unpack_access(items: object) -> tuple[AccessListItem, ...]:
    if not isinstance(items, list | tuple):
        raise ValueError("access list")  # noqa: TRY004 - one handler turns them all into one line
    return tuple(
        AccessListItem(
            address=Address(_hex_bytes(account, _ADDRESS_BYTES)),
            storage_keys=tuple(Hash(_hex_bytes(key, KEY_BYTES)) for key in keys),
        )
        for account, keys in items
    )
