"""The byte layouts of transactions: what is signed, and what signed bytes hold.

EIP-155 (type 0), EIP-2930 (1), EIP-1559 (2), EIP-7702 (4); the fields that EIP-4844 (3) shares
with them are read here too. RLP is written and read here, because pyrlp asks of every field which
abstract kind it is, which took a third of a signature, and reads whatever depth it is given.
"""

from collections.abc import Sequence

import msgspec

from toolkit.chain.hashing import keccak
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, SignerError
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    AccessListItem,
    Authorization,
    UnsignedTransaction,
)

LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE = 0, 1, 2, 3, 4
# Fields in front of the signature.
_FIELDS = {LEGACY: 6, ACCESS_LIST: 8, DYNAMIC_FEE: 9, SET_CODE: 10}
_SIGNATURE_FIELDS = 3
_MAX_UINT8 = 2**8 - 1
MAX_UINT64 = 2**64 - 1
MAX_UINT256 = 2**256 - 1
_ADDRESS_BYTES, _WORD_BYTES = 20, 32
_BYTES_OFFSET, _LIST_OFFSET = 0x80, 0xC0
_MOST_SHORT = 55  # bytes whose length fits into the prefix itself
_EMPTY_LIST = bytes((_LIST_OFFSET,))
# Lists within each other: the storage keys of an access list beside a transaction's blobs.
_DEEPEST = 5
# EIP-155: v = parity + 35 + 2 * chain id; before it v was 27 or 28.
_EIP_155, _UNPROTECTED = 35, 27


Item = bytes | list["Item"]
"""What RLP knows: bytes, and lists of such."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A signature as the three numbers a transaction carries."""

    parity: int
    r: int
    s: int


def kind_of(blob: bytes) -> int:
    """The type of encoded bytes (EIP-2718); IndexError when there are none."""
    return LEGACY if blob[0] >= _LIST_OFFSET else blob[0]


def payload(tx: UnsignedTransaction) -> bytes:
    """The fields that are signed, RLP-encoded and joined, without the list's own prefix.

    Raises:
        SignerError: a field is out of range, or the type is not 0, 1, 2 or 4.
    """
    if (
        max(tx.nonce, tx.gas) > MAX_UINT64
        or max(tx.value, tx.fee_cap, tx.max_priority_fee_per_gas, tx.chain_id) > MAX_UINT256
    ):
        raise SignerError("transaction cannot be signed: nonce, gas, value or fee is too large")
    if tx.type != SET_CODE and tx.authorization_list:
        raise SignerError(
            f"transaction of type {tx.type} cannot be signed: only type 4 has authorizations"
        )
    try:
        fields = _fields(tx)
    except (ValueError, OverflowError):
        raise SignerError(
            f"transaction cannot be signed: a negative or oversized number, or malformed hex in"
            f" to, data, access list or authorizations (nonce {tx.nonce})"
        ) from None
    return b"".join(fields)


def digest(tx: UnsignedTransaction, fields: bytes) -> bytes:
    """What is signed for a transaction whose `payload` is `fields`."""
    if tx.type == LEGACY and tx.chain_id:  # EIP-155: (chain id, 0, 0) stand in for v, r, s
        fields += number(tx.chain_id) + b"\x80\x80"
    return keccak(type_prefix(tx.type) + joined(fields))


def signed_bytes(tx: UnsignedTransaction, fields: bytes, signature: bytes) -> bytes:
    """The transaction as it is broadcast; `signature` is r, s and parity in 65 bytes."""
    v = signature[64]
    if tx.type == LEGACY:
        v += _EIP_155 + 2 * tx.chain_id
    r, s = signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")
    tail = number(v) + encoded(r) + encoded(s)
    return type_prefix(tx.type) + joined(fields + tail)


def authorization_digest(*, chain_id: int, address: Address, nonce: int) -> bytes:
    """EIP-7702: keccak(0x05 + rlp([chain id, address, nonce])).

    Raises:
        SignerError: the chain id or the nonce is out of range, or the address is no address.
    """
    if chain_id > MAX_UINT256 or nonce >= MAX_UINT64:
        raise SignerError(
            f"authorization cannot be signed: chain id {chain_id} or nonce {nonce} is too large"
        )
    try:
        fields: list[Item] = [uint(chain_id), account_bytes(address), uint(nonce)]
    except (ValueError, OverflowError):
        raise SignerError(
            f"authorization cannot be signed: give a chain id (0 is any chain), an address and a"
            f" nonce that are not negative, not {chain_id}, {address!r} and {nonce}"
        ) from None
    return keccak(b"\x05" + encoded(fields))


def parse(raw: str) -> tuple[bytes, UnsignedTransaction, Signature]:
    """Read signed bytes of type 0, 1, 2 or 4; what is read may still be what `payload` refuses.

    Raises:
        ConfigError: a type that is not read here, or a wrong number of fields.
        ValueError, IndexError, TypeError: not a canonical encoding.
    """
    blob = bytes.fromhex(raw.removeprefix("0x"))
    kind = kind_of(blob)
    if kind not in _FIELDS:
        raise ConfigError(f"raw transaction has type {kind}; types 0, 1, 2 and 4 are known")
    fields = read_lists(blob if kind == LEGACY else blob[1:])
    count = _FIELDS[kind]
    if not isinstance(fields, list | tuple) or len(fields) != count + _SIGNATURE_FIELDS:
        raise ConfigError(f"raw transaction of type {kind} has the wrong number of fields")
    v, r, s = (read_int(field) for field in fields[count:])
    if kind == LEGACY:
        protected = v >= _EIP_155
        chain_id, parity = divmod(v - _EIP_155, 2) if protected else (0, v - _UNPROTECTED)
        return blob, _legacy(fields, chain_id), Signature(parity=parity, r=r, s=s)
    return blob, _typed(kind, fields), Signature(parity=v, r=r, s=s)


def read_lists(blob: bytes) -> Item:
    """Decode RLP that is no deeper than a transaction's.

    Deeper lists are refused unread, and a long one takes a time in proportion to it: pyrlp needs a
    frame of the stack for each, and copies what is left once for each.

    Raises:
        ValueError, IndexError: not a canonical encoding, or not of a transaction.
    """
    item, end = _read(blob, 0, len(blob), _DEEPEST)
    if end != len(blob):
        raise ValueError("bytes behind the end")
    return item


def _read(blob: bytes, at: int, limit: int, deepest: int) -> tuple[Item, int]:
    """The item at a place, which ends within a limit, and where it ends."""
    is_list, begin, end = _span(blob, at)
    if end > limit:
        raise ValueError("longer than what it is in")
    if not is_list:
        return blob[begin:end], end
    if not deepest:
        raise ValueError("lists within lists")
    items = list[Item]()
    while begin < end:
        item, begin = _read(blob, begin, end, deepest - 1)
        items.append(item)
    return items, end


def _span(blob: bytes, at: int) -> tuple[bool, int, int]:
    """Whether the item at a place is a list, and where its content begins and ends."""
    first, begin = blob[at], at + 1
    if first < _BYTES_OFFSET:
        return False, at, begin
    is_list = first >= _LIST_OFFSET
    size = first - (_LIST_OFFSET if is_list else _BYTES_OFFSET)
    if size > _MOST_SHORT:
        begin += size - _MOST_SHORT
        size = int.from_bytes(blob[at + 1 : begin], "big")
        if blob[at + 1] == 0 or size <= _MOST_SHORT:
            raise ValueError("a length that could be shorter")
    elif size == 1 and not is_list and blob[begin] < _BYTES_OFFSET:
        raise ValueError("a byte that needs no length")
    return is_list, begin, begin + size


def type_prefix(kind: int) -> bytes:
    """The byte in front of a typed transaction; none for type 0."""
    return b"" if kind == LEGACY else bytes((kind,))


def encoded(item: Item) -> bytes:
    """One item in RLP (Ethereum's Yellow Paper, appendix B)."""
    if isinstance(item, list):
        return joined(b"".join([encoded(one) for one in item]))
    if len(item) == 1 and item[0] < _BYTES_OFFSET:
        return item
    return _prefix(len(item), _BYTES_OFFSET) + item


def number(value: int) -> bytes:
    """An integer of at most 55 bytes in RLP; OverflowError if negative."""
    if 0 < value < _BYTES_OFFSET:
        return bytes((value,))
    size = (value.bit_length() + 7) // 8
    return bytes((_BYTES_OFFSET + size,)) + value.to_bytes(size, "big")


def joined(fields: bytes) -> bytes:
    """Encoded fields as one RLP list."""
    return _prefix(len(fields), _LIST_OFFSET) + fields


def _prefix(length: int, offset: int) -> bytes:
    if length <= _MOST_SHORT:
        return bytes((offset + length,))
    digits = uint(length)
    return bytes((offset + _MOST_SHORT + len(digits),)) + digits


def uint(value: int) -> bytes:
    """An integer as RLP wants it: big-endian without leading zeros; OverflowError if negative."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def account_bytes(account: Address | None) -> bytes:
    """An address as bytes, none for None; ValueError when it is not 20 bytes."""
    if account is None:
        return b""
    blob = bytes.fromhex(account[2:])
    if len(blob) != _ADDRESS_BYTES:
        raise ValueError("to")
    return blob


def read_int(blob: object, limit: int = MAX_UINT256) -> int:
    """A canonical RLP integer up to `limit`; ValueError for anything else."""
    if not isinstance(blob, bytes) or blob[:1] == b"\0":
        raise ValueError("integer")
    value = int.from_bytes(blob, "big")
    if value > limit:
        raise ValueError("integer")
    return value


def read_hex(blob: object, *sizes: int) -> str:
    """Bytes of one of the given sizes (any if none) as 0x hex; ValueError for anything else."""
    if not isinstance(blob, bytes) or (sizes and len(blob) not in sizes):
        raise ValueError("bytes")
    return "0x" + blob.hex()


def _fields(tx: UnsignedTransaction) -> list[bytes]:
    """Each field that is signed, encoded."""
    to, data = encoded(account_bytes(tx.to)), encoded(bytes.fromhex(tx.data[2:]))
    call = [number(tx.gas), to, number(tx.value), data]
    if tx.type == LEGACY and not tx.access_list:
        return [number(tx.nonce), number(tx.gas_price), *call]
    start = [number(tx.chain_id), number(tx.nonce)]
    if tx.type == ACCESS_LIST:
        return [*start, number(tx.gas_price), *call, _access(tx.access_list)]
    if tx.type not in DYNAMIC_FEE_TYPES:
        raise SignerError(f"transaction of type {tx.type} cannot be signed: use 0, 1, 2 or 4")
    caps = [number(tx.max_priority_fee_per_gas), number(tx.max_fee_per_gas)]
    fields = [*start, *caps, *call, _access(tx.access_list)]
    if tx.type == DYNAMIC_FEE:
        return fields
    if tx.to is None or not tx.authorization_list:
        raise SignerError(
            "transaction of type 4 cannot be signed: EIP-7702 wants a recipient and at least one"
            " authorization"
        )
    grants = [_authorization(grant) for grant in tx.authorization_list]
    return [*fields, joined(b"".join(grants))]


def _access(items: tuple[AccessListItem, ...]) -> bytes:
    if not items:
        return _EMPTY_LIST
    return encoded(
        [
            [account_bytes(item.address), [bytes.fromhex(key[2:]) for key in item.storage_keys]]
            for item in items
        ]
    )


def _authorization(grant: Authorization) -> bytes:
    if (
        max(grant.chain_id, grant.r, grant.s) > MAX_UINT256
        or grant.nonce > MAX_UINT64
        or grant.y_parity > _MAX_UINT8
    ):
        raise ValueError("authorization")
    account = account_bytes(grant.address)
    numbers = [uint(grant.nonce), uint(grant.y_parity), uint(grant.r), uint(grant.s)]
    return encoded([uint(grant.chain_id), account, *numbers])


def _legacy(fields: Sequence[object], chain_id: int) -> UnsignedTransaction:
    return UnsignedTransaction(
        type=LEGACY,
        chain_id=chain_id,
        nonce=read_int(fields[0], MAX_UINT64),
        gas_price=read_int(fields[1]),
        gas=read_int(fields[2], MAX_UINT64),
        to=_recipient(fields[3]),
        value=read_int(fields[4]),
        data=read_hex(fields[5]),
    )


def _typed(kind: int, fields: Sequence[object]) -> UnsignedTransaction:
    fees = {"gas_price": read_int(fields[2])}
    rest = fields[3:]
    if kind in DYNAMIC_FEE_TYPES:
        caps = read_int(fields[2]), read_int(fields[3])
        fees = dict(zip(("max_priority_fee_per_gas", "max_fee_per_gas"), caps, strict=True))
        rest = fields[4:]
    to = _recipient(rest[1])
    grants = read_authorizations(rest[5]) if kind == SET_CODE else ()
    unsigned = UnsignedTransaction(
        type=kind,
        chain_id=read_int(fields[0], MAX_UINT64),
        nonce=read_int(fields[1], MAX_UINT64),
        gas=read_int(rest[0], MAX_UINT64),
        to=to,
        value=read_int(rest[2]),
        data=read_hex(rest[3]),
        access_list=read_access_list(rest[4]),
        authorization_list=grants,
    )
    return msgspec.structs.replace(unsigned, **fees)


def _recipient(blob: object) -> Address | None:
    to = read_hex(blob, 0, _ADDRESS_BYTES)
    return None if to == "0x" else Address(to)


def read_access_list(items: object) -> tuple[AccessListItem, ...]:
    """The access list of decoded fields; ValueError or TypeError for anything else."""
    if not isinstance(items, list | tuple):
        raise ValueError("access list")  # noqa: TRY004 - one handler turns them all into one line
    return tuple(
        AccessListItem(
            address=Address(read_hex(account, _ADDRESS_BYTES)),
            storage_keys=tuple(Hash(read_hex(key, _WORD_BYTES)) for key in keys),
        )
        for account, keys in items
    )


def read_authorizations(items: object) -> tuple[Authorization, ...]:
    """The authorizations of decoded fields, whether or not their signatures hold.

    A chain skips one that does not (EIP-7702), so its transaction is still a transaction.
    """
    if not isinstance(items, list | tuple):
        raise ValueError("authorizations")  # noqa: TRY004 - one handler turns all into one line
    grants = []
    for item in items:
        chain_id, account, nonce, y_parity, r, s = item
        grants.append(
            Authorization(
                chain_id=read_int(chain_id),
                address=Address(read_hex(account, _ADDRESS_BYTES)),
                nonce=read_int(nonce, MAX_UINT64),
                y_parity=read_int(y_parity, _MAX_UINT8),
                r=read_int(r),
                s=read_int(s),
            )
        )
    return tuple(grants)
