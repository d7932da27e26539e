"""The names of a bundle: as every relay computes it, and what it is taken back by."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from toolkit.chain.hashing import keccak
from toolkit.model.chain import Hash


def bundle_hash(hashes: Iterable[Hash]) -> Hash:
    """keccak(txhash_1 || ... || txhash_n), the field's common rule for `eth_sendBundle`.

    It depends on neither block, timestamps nor reverting hashes, so it does not name one
    submission uniquely.
    """
    return Hash("0x" + keccak(b"".join(bytes.fromhex(one[2:]) for one in hashes)).hex())


def replacement_uuid(hashes: Sequence[Hash]) -> str:
    """Name a bundle so that it can be taken back: a version 4, the same for the same transactions.

    Nobody can guess it: nobody knows the transactions before relays are told.
    """
    return str(UUID(bytes=keccak("".join(hashes).encode())[:16], version=4))
