"""How builders name bundles: bundle hash, bundle uuid (v1, v2) and the key of a repeated request.

Sources: go-utils rpctypes (the reference of the vectors) and rbuilder's serialize.rs. Written
apart from the relay client's own.
"""

import hashlib
from collections.abc import Iterable, Sequence
from uuid import UUID

from toolkit.chain.hashing import keccak
from toolkit.devnet.building.fields import BundleFields
from toolkit.model.chain import Address, Hash

_NO_END = 2**64 - 1
_NIL = bytes(16)
_SEVEN_BITS, _MORE = 0x7F, 0x80
_WORD = 8


def bundle_hash(hashes: Iterable[Hash]) -> Hash:
    """Keccak of the transaction hashes in order, joined: what relays call `bundleHash`."""
    return Hash("0x" + keccak(b"".join(_bytes(each) for each in hashes)).hex())


def hash_with_block(bundle: Hash, number: int) -> Hash:
    """A hash of transactions and block, for builders whose bundle hash covers both."""
    return Hash("0x" + keccak(_bytes(bundle) + number.to_bytes(_WORD, "big")).hex())


def bundle_uuid(fields: BundleFields) -> UUID:
    """The name of a bundle with its conditions: UUIDv5 with SHA-256 over the nil namespace.

    v1: zigzag varint of the block ‖ bundle hash ‖ reverting hashes, sorted. v2: varints of block,
    first and last second, and the counts of reverting and dropping hashes ‖ bundle hash ‖ both
    kinds of hashes, each sorted ‖ the refund, where there is one.
    """
    named = _bytes(bundle_hash(each.hash for each in fields.transactions))
    block = fields.block_number or 0
    reverting = b"".join(sorted(map(_bytes, fields.reverting)))
    if fields.version != "v2":
        return _uuid(_NIL + _varint(2 * block) + named + reverting)
    last = _NO_END if fields.max_timestamp is None else fields.max_timestamp
    numbers = (
        *(block, fields.min_timestamp or 0, last),
        *(len(fields.reverting), len(fields.dropping)),
    )
    dropping = b"".join(sorted(map(_bytes, fields.dropping)))
    head = b"".join(map(_varint, numbers))
    return _uuid(_NIL + head + named + reverting + dropping + _refund(fields))


def unique_key(fields: BundleFields) -> UUID:
    """The same for two requests only if they ask for the same, so that a repeated one is known.

    SHA-256 over the fields that are there, numbers as 64 bits little-endian, transactions raw.
    """
    parts = [_word(fields.block_number or 0)]
    parts += [_bytes(each.raw) for each in fields.transactions]
    parts += _words(fields.min_timestamp, fields.max_timestamp)
    parts += sorted(map(_bytes, fields.reverting))
    if fields.uuid is not None:
        parts.append(_uuid_bytes(fields.uuid))
    parts += _words(fields.replacement_nonce)
    parts += sorted(map(_bytes, fields.dropping))
    parts += _words(fields.refund_percent)
    parts += _accounts(fields.refund_recipient)
    parts += [each.encode() for each in fields.refund_hashes]  # as text, as the reference does
    parts += _accounts(fields.signing_address)
    return _uuid(b"".join(parts))


def _refund(fields: BundleFields) -> bytes:
    if not fields.refund_percent or not fields.transactions:
        return b""
    recipient = fields.refund_recipient or fields.transactions[0].sender
    hashes: Sequence[Hash] = fields.refund_hashes or (fields.transactions[-1].hash,)
    return b"".join(
        (
            bytes((fields.refund_percent,)),
            _bytes(recipient),
            _varint(len(hashes)),
            *sorted(map(_bytes, hashes)),
        )
    )


def _varint(value: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    found = bytearray()
    while value > _SEVEN_BITS:
        found.append(value & _SEVEN_BITS | _MORE)
        value >>= 7
    return bytes((*found, value))


def _uuid(content: bytes) -> UUID:
    return UUID(bytes=hashlib.sha256(content).digest()[:16], version=5)


def _uuid_bytes(text: str) -> bytes:
    """A uuid as its 16 bytes; free text, which some builders take for one, as it is."""
    try:
        return UUID(text).bytes
    except ValueError:
        return text.encode()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _word(value: int) -> bytes:
    return value.to_bytes(_WORD, "little")


def _words(*values: int | None) -> list[bytes]:
    return [_word(value) for value in values if value is not None]


def _accounts(account: Address | None) -> list[bytes]:
    return [] if account is None else [_bytes(account)]
