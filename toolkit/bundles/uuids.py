"""The names of one submission, which a bundle's hash is not: block and options count too; pure."""

import hashlib
from collections.abc import Iterable
from uuid import UUID

from toolkit.bundles.hashes import bundle_hash
from toolkit.chain.signer import decode_transaction
from toolkit.model.bundle import Bundle, Refund
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError

_NAMESPACE = bytes(16)
_FOREVER = 2**64 - 1
_CONTINUED = 0x80  # of a varint's byte: another one follows
_UUID_BYTES = 16
_UUID_VERSION = 5


def uuid_v1(bundle: Bundle) -> UUID:
    """Name a submission by block, transactions and reverting hashes.

    UUIDv5 with SHA-256, namespace zero, over zigzag-varint(block) || bundle hash || sorted
    reverting hashes (github.com/flashbots/go-utils rpctypes/types.go, `Validate`, version v1).
    """
    block = _varint(2 * bundle.target_block)  # zigzag of what is never negative
    return _named(block + _bytes(bundle_hash(bundle.hashes)) + _sorted(bundle.reverting_hashes))


def uuid_v2(bundle: Bundle) -> UUID:
    """Name a submission by everything that changes what it asks for, except its replacement uuid.

    UUIDv5 with SHA-256, namespace zero, over varints of block, minimum timestamp (0), maximum
    timestamp (2**64 - 1), number of reverting and of dropping hashes, then the bundle hash, both
    lists sorted, and with a refund its percentage as a byte, its recipient (the first sender),
    and the number and sorted list of its transactions (the last one); in brackets what counts
    where nothing is set (as `uuid_v1`, version v2).

    Raises:
        ConfigError: a refund in a bundle without transactions, or one without recipient where the
            first transaction cannot be decoded.
    """
    minimum, maximum = bundle.min_timestamp, bundle.max_timestamp
    numbers = (
        bundle.target_block,
        0 if minimum is None else minimum,
        _FOREVER if maximum is None else maximum,
        len(bundle.reverting_hashes),
        len(bundle.dropping_hashes),
    )
    content = b"".join(map(_varint, numbers)) + _bytes(bundle_hash(bundle.hashes))
    content += _sorted(bundle.reverting_hashes) + _sorted(bundle.dropping_hashes)
    if bundle.refund is not None:
        content += _refund(bundle, bundle.refund)
    return _named(content)


def _refund(bundle: Bundle, refund: Refund) -> bytes:
    if not bundle.transactions:
        raise ConfigError(f"refund of {refund.percent} percent of a bundle without transactions")
    recipient = refund.recipient or decode_transaction(bundle.transactions[0]).sender
    of = refund.tx_hashes or bundle.hashes[-1:]
    return bytes((refund.percent,)) + _bytes(recipient) + _varint(len(of)) + _sorted(of)


def _named(content: bytes) -> UUID:
    # The standard library hashes version 5 with SHA-1; the relays do it with SHA-256.
    digest = hashlib.sha256(_NAMESPACE + content).digest()[:_UUID_BYTES]
    return UUID(bytes=digest, version=_UUID_VERSION)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first (LEB128, as Go's `encoding/binary`)."""
    written = bytearray()
    while number >= _CONTINUED:
        written.append(number % _CONTINUED | _CONTINUED)
        number //= _CONTINUED
    written.append(number)
    return bytes(written)


def _sorted(hashes: Iterable[Hash]) -> bytes:
    return b"".join(sorted(map(_bytes, hashes)))


def _bytes(value: Hash | Address) -> bytes:
    return bytes.fromhex(value[2:])
