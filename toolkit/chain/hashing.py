"""Keccak-256 and what is derived from it by convention: checksums, selectors."""

from Crypto.Hash import keccak as _keccak

from toolkit.model.chain import Address, address


def keccak(data: bytes) -> bytes:
    """Hash with Keccak-256 as Ethereum uses it (not the later SHA3-256)."""
    return _keccak.new(data=data, digest_bits=256).digest()


def checksum(account: str) -> str:
    """Write an address with the mixed case of EIP-55, for people and for web3.

    Raises:
        ConfigError: not 20 bytes of hex.
    """
    digits = address(account)[2:]
    case = keccak(digits.encode()).hex()
    return "0x" + "".join(
        d.upper() if c >= "8" else d for d, c in zip(digits, case[:40], strict=True)
    )


def selector(signature: str) -> str:
    """The first four bytes of a function signature's hash, e.g. `transfer(address,uint256)`."""
    return "0x" + keccak(signature.encode())[:4].hex()


def contract_address(sender: Address, nonce: int) -> Address:
    """Where a creation transaction of `sender` at `nonce` puts its contract: keccak(rlp)[12:]."""
    account = b"\x94" + bytes.fromhex(sender[2:])
    count = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    short = len(count) == 1 and count[0] < 0x80  # noqa: PLR2004 - RLP: such a byte is itself
    body = account + (count if short else bytes([0x80 + len(count)]) + count)
    return Address("0x" + keccak(bytes([0xC0 + len(body)]) + body)[12:].hex())
