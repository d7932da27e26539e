"""The signature by which relays know a searcher: `X-Flashbots-Signature`."""

from toolkit.chain.hashing import checksum, keccak
from toolkit.chain.signer import Signer
from toolkit.model.chain import Address

HEADER = "X-Flashbots-Signature"


class RelayAuth:
    """Signs request bodies with a reputation key, which need not hold or move any money."""

    __slots__ = ("_name", "_signer")

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._name = checksum(signer.address)

    def __repr__(self) -> str:
        """Name the account, never the key."""
        return f"RelayAuth({self._signer.address})"

    @property
    def address(self) -> Address:
        """The account whose reputation signs."""
        return self._signer.address

    async def header(self, body: bytes) -> str:
        """Sign exactly the bytes that will be posted; spaces and key order count.

        The value is `<address>:<signature>`, the signature being EIP-191 over the 66 characters
        of `0x` + hex(keccak(body)), not over the 32 bytes
        (github.com/flashbots/go-utils signature/signature.go).
        """
        digest = "0x" + keccak(body).hex()
        return f"{self._name}:{await self._signer.sign_message(digest.encode())}"
