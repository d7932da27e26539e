"""The name of a bundle, as every relay computes it."""

from collections.abc import Iterable

from toolkit.chain.hashing import keccak
from toolkit.model.chain import Hash


def bundle_hash(hashes: Iterable[Hash]) -> Hash:
    """keccak(txhash_1 || ... || txhash_n), the field's common rule for `eth_sendBundle`.

    It depends on neither block, timestamps nor reverting hashes, so it does not name one
    submission uniquely.
    """
    return Hash("0x" + keccak(b"".join(bytes.fromhex(one[2:]) for one in hashes)).hex())
