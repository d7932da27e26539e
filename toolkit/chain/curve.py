"""Signatures on secp256k1: who made one, and which ones a chain takes."""

from coincurve import PublicKey

from toolkit.chain.hashing import keccak
from toolkit.model.chain import Address
from toolkit.model.errors import SignerError

# Half of the curve's order: EIP-2 refuses the mirrored signature above it.
MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def account_of(key: PublicKey) -> Address:
    """The account of a public key: the last 20 bytes of its point's hash."""
    return Address("0x" + keccak(key.format(compressed=False)[1:])[12:].hex())


def recover(digest: bytes, *, parity: int, r: int, s: int) -> Address:
    """The account whose key signed a digest, by the rules of transactions.

    Raises:
        SignerError: no point belongs to this signature, or EIP-2 refuses it.
    """
    if parity not in {0, 1} or not 0 < s <= MAX_S or not r:
        raise SignerError("signature has a parity, r or s out of range")
    return recover_compact(digest, r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,)))


def recover_compact(digest: bytes, signature: bytes) -> Address:
    """The account whose key made r, s and parity, 65 bytes; s may be the mirrored one.

    Raises:
        SignerError: no point belongs to this signature.
    """
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # noqa: BLE001 - coincurve raises bare Exception for a bad point
        raise SignerError(f"signature does not recover to an account: {error}") from None
    return account_of(key)
