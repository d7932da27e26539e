"""Signing and decoding of transactions of types 0, 1, 2 and 4, on native secp256k1.

The layouts are in `encoding`; the curve is libsecp256k1 through coincurve, whose nonces are
RFC 6979: the same input gives the same bytes as eth-account. A key lives in its signer only: it
is in no repr and no error.
"""

from typing import Protocol

from coincurve import PrivateKey

from toolkit.chain import encoding
from toolkit.chain.curve import account_of, recover, recover_compact
from toolkit.chain.hashing import keccak
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, SignerError
from toolkit.model.tx import Authorization, SignedTransaction, UnsignedTransaction

KEY_BYTES = 32


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
            SignerError: a field is out of range, or the type is not 0, 1, 2 or 4.
        """
        if unsigned.chain_id < 1:
            raise SignerError(
                f"transaction cannot be signed: chain id {unsigned.chain_id} protects nothing"
            )
        fields = encoding.payload(unsigned)
        signature = self._key.sign_recoverable(encoding.digest(unsigned, fields), hasher=None)
        raw = encoding.signed_bytes(unsigned, fields, signature)
        return SignedTransaction(
            raw="0x" + raw.hex(),
            hash=Hash("0x" + keccak(raw).hex()),
            sender=self.address,
            unsigned=unsigned,
        )

    def sign_authorization(self, *, chain_id: int, address: Address, nonce: int) -> Authorization:
        """Let this account run the code at `address` (EIP-7702); the zero address ends that.

        Args:
            chain_id: where it holds; 0 is every chain.
            address: the contract whose code the account delegates to.
            nonce: the account's nonce when the authorization is applied: one more than its own
                transaction's where the account sends the authorization itself.

        Raises:
            SignerError: a number is out of range, or the address is no address.
        """
        digest = encoding.authorization_digest(chain_id=chain_id, address=address, nonce=nonce)
        signature = self._key.sign_recoverable(digest, hasher=None)
        return Authorization(
            chain_id=chain_id,
            address=address,
            nonce=nonce,
            y_parity=signature[64],
            r=int.from_bytes(signature[:32], "big"),
            s=int.from_bytes(signature[32:64], "big"),
        )

    def sign_message_now(self, text: bytes) -> str:
        """Sign `text` per EIP-191 version 0x45; 65 bytes r, s, v with v 27 or 28."""
        signature = self._key.sign_recoverable(message_digest(text), hasher=None)
        return f"0x{signature[:64].hex()}{signature[64] + 27:02x}"


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
        return recover_compact(message_digest(text), blob[:64] + bytes((v,)))
    except (ValueError, IndexError):
        raise SignerError("signature is not 65 bytes of r, s and v (27 or 28)") from None


def authority_of(grant: Authorization) -> Address | None:
    """The account that signed an authorization; None where the chain will skip it as unsigned."""
    try:
        digest = encoding.authorization_digest(
            chain_id=grant.chain_id, address=grant.address, nonce=grant.nonce
        )
        return recover(digest, parity=grant.y_parity, r=grant.r, s=grant.s)
    except SignerError:
        return None  # safe because EIP-7702 skips it too: nobody is delegated by it


def authorities(tx: UnsignedTransaction) -> tuple[Address, ...]:
    """The accounts that a type 4 transaction delegates, in its order and each named once."""
    found = [authority_of(grant) for grant in tx.authorization_list]
    return tuple(dict.fromkeys(account for account in found if account is not None))


def decode_transaction(raw: str) -> SignedTransaction:
    """Decode signed bytes of type 0, 1, 2 or 4 and recover who signed them.

    A legacy transaction without replay protection (v 27 or 28) decodes with chain id 0.

    Raises:
        ConfigError: not a canonical encoding of a signed transaction of these types. The message
            does not contain the bytes, which may be private.
    """
    if not isinstance(raw, str):
        raise ConfigError(f"raw transaction is a {type(raw).__name__}: give 0x hex")
    try:
        blob, unsigned, signature = encoding.parse(raw)
        digest = encoding.digest(unsigned, encoding.payload(unsigned))
        sender = recover(digest, parity=signature.parity, r=signature.r, s=signature.s)
    except ConfigError:
        raise
    except (
        ValueError,
        IndexError,
        TypeError,
        SignerError,
    ) as error:
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
