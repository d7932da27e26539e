from collections.abc import Sequence

from eth_abi.abi import decode, encode
from eth_abi.grammar import parse

from toolkit.chain.hashing import keccak

MAX_UINT256 = 2**256 - 1


def encode_call(signature: str, *values: object) -> str:
    """Calldata of `name(type,...)` with these values, as 0x hex."""
    types = _types(signature[signature.index("(") :])
    return "0x" + (keccak(signature.encode())[:4] + encode(types, values)).hex()


def encode_values(types: Sequence[str], values: Sequence[object]) -> str:
    """ABI-encoded values without selector and without 0x: constructor arguments."""
    return encode(types, values).hex()


def decode_values(types: str, data: str) -> tuple[object, ...]:
    """Decode 0x hex by a tuple of types such as `(uint256,address)`."""
    return tuple(decode(_types(types), bytes.fromhex(data[2:])))


def _types(signature: str) -> list[str]:
    if signature == "()":
        return []
    return [part.to_type_str() for part in parse(signature).components]
