"""What a pool needs to know of a blob transaction (type 3): read and verified, never signed here.

EIP-4844 has two forms. The canonical one is what blocks hold and what the hash is taken of:
0x03 + rlp([chain id, ..., blob versioned hashes, y parity, r, s]). Broadcasting wraps it with its
blobs: 0x03 + rlp([canonical list, blobs, commitments, proofs]), and since EIP-7594 with a version
and cell proofs: 0x03 + rlp([canonical list, 1, blobs, commitments, cell proofs]). That the blobs
fit their commitments (KZG) is not checked here; that each versioned hash is its commitment's, is.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
import rlp

from toolkit.chain import encoding
from toolkit.chain.curve import recover
from toolkit.chain.hashing import keccak
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, SignerError
from toolkit.model.tx import AccessListItem

BLOB_GAS = 131_072  # EIP-4844 GAS_PER_BLOB
_BLOB_BYTES = 4096 * 32
_POINT_BYTES = 48
_CELLS = 128  # EIP-7594 CELLS_PER_EXT_BLOB: proofs of one blob
_VERSION_KZG = b"\x01"
_FIELDS = 14
_HASH_BYTES = 32


class BlobTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A signed type 3 transaction without its blobs; fees in wei per unit of their gas."""

    hash: Hash
    sender: Address
    chain_id: int
    nonce: int
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    max_fee_per_blob_gas: int
    to: Address
    value: int
    data: str
    access_list: tuple[AccessListItem, ...] = ()
    versioned_hashes: tuple[Hash, ...]
    size: int  # bytes of the canonical form
    with_sidecar: bool

    @property
    def blobs(self) -> int:
        """How many blobs it carries."""
        return len(self.versioned_hashes)

    @property
    def blob_gas(self) -> int:
        """Units of blob gas it uses."""
        return BLOB_GAS * self.blobs

    @property
    def worst_cost_wei(self) -> int:
        """What the account must hold: both gases at their caps, and the value."""
        return (
            self.gas * self.max_fee_per_gas + self.blob_gas * self.max_fee_per_blob_gas + self.value
        )


def is_blob(raw: str) -> bool:
    """Whether encoded bytes, as 0x hex, say that they are of type 3."""
    return raw[:4].lower() == "0x03"


def decode_blob(raw: str) -> BlobTransaction:
    """Read a signed type 3 transaction in either form, and recover who signed it.

    Raises:
        ConfigError: not a canonical encoding, not what EIP-4844 allows (no recipient, no blob, an
            unknown version), or a sidecar that is not the transaction's. The message does not
            contain the bytes.
    """
    if not isinstance(raw, str) or not is_blob(raw):
        raise ConfigError("raw transaction is no blob transaction: give 0x hex that begins 0x03")
    try:
        outer = encoding.read_lists(bytes.fromhex(raw[4:]))
        fields, sidecar = (outer[0], outer[1:]) if isinstance(outer[0], list) else (outer, None)
        found = _read(fields, with_sidecar=sidecar is not None)
        if sidecar is not None:
            _check_sidecar(sidecar, found.versioned_hashes)
    except (ValueError, IndexError, TypeError, SignerError) as error:
        what = str(error) if isinstance(error, _Unfit) else type(error).__name__
        raise ConfigError(f"raw transaction is no signed blob transaction: {what}") from None
    return found


class _Unfit(ValueError):
    """A rule of EIP-4844 or EIP-7594 that the bytes break, in words."""


def _read(fields: Sequence[object], *, with_sidecar: bool) -> BlobTransaction:
    if len(fields) != _FIELDS:
        raise _Unfit(f"{len(fields)} fields, not {_FIELDS}")
    number = [encoding.read_int(field) for field in (*fields[:5], *fields[9:10])]
    parity, r, s = (encoding.read_int(field) for field in fields[11:])
    if max(number[0], number[1], number[4]) > encoding.MAX_UINT64:
        raise _Unfit("chain id, nonce or gas above 64 bits")
    to = encoding.read_hex(fields[5], 0, 20)
    if to == "0x":
        raise _Unfit("no recipient: a blob transaction cannot create a contract")
    body = b"\x03" + bytes(rlp.encode(fields))
    return BlobTransaction(
        hash=Hash("0x" + keccak(body).hex()),
        sender=recover(keccak(b"\x03" + rlp.encode(fields[:11])), parity=parity, r=r, s=s),
        chain_id=number[0],
        nonce=number[1],
        max_priority_fee_per_gas=number[2],
        max_fee_per_gas=number[3],
        gas=number[4],
        to=Address(to),
        value=encoding.read_int(fields[6]),
        data=encoding.read_hex(fields[7]),
        access_list=encoding.read_access_list(fields[8]),
        max_fee_per_blob_gas=number[5],
        versioned_hashes=_versioned_hashes(fields[10]),
        size=len(body),
        with_sidecar=with_sidecar,
    )


def _versioned_hashes(items: object) -> tuple[Hash, ...]:
    if not isinstance(items, list) or not items:
        raise _Unfit("no blob")
    found = tuple(Hash(encoding.read_hex(item, _HASH_BYTES)) for item in items)
    for versioned in found:
        if bytes.fromhex(versioned[2:4]) != _VERSION_KZG:
            raise _Unfit(f"blob hash of version 0x{versioned[2:4]}, not 0x01")
    return found


def _check_sidecar(parts: Sequence[object], hashes: Sequence[Hash]) -> None:
    cells = isinstance(parts[0], bytes)  # EIP-7594 puts a version in front
    if cells and parts[0] != b"\x01":
        raise _Unfit("a sidecar of an unknown version")
    lists = parts[1:] if cells else parts
    if len(lists) != 3:  # noqa: PLR2004 - blobs, commitments, proofs
        raise _Unfit("a sidecar that is not blobs, commitments and proofs")
    sizes = (_BLOB_BYTES, _POINT_BYTES, _POINT_BYTES)
    counts = (len(hashes), len(hashes), len(hashes) * (_CELLS if cells else 1))
    names = ("blobs", "commitments", "proofs")
    for items, name, size, count in zip(lists, names, sizes, counts, strict=True):
        if not isinstance(items, list) or len(items) != count:
            raise _Unfit(f"a sidecar with another number of {name} than {count}")
        for item in items:
            encoding.read_hex(item, size)
    for commitment, versioned in zip(_bytes(lists[1]), hashes, strict=True):
        expected = _VERSION_KZG + sha256(commitment).digest()[1:]
        if "0x" + expected.hex() != versioned:
            raise _Unfit(f"blob hash {versioned} is not its commitment's")


def _bytes(items: object) -> list[bytes]:
    assert isinstance(items, list)
    return items
